//! Studies: published experiments, run here, with what the paper reports, what was run, and the difference.
//!
//! A study is one file here, one line in the list below, and a folder of configurations in `studies/`. `quick` runs the same
//! code on less: it finishes within three minutes on two cores and is part of the tests. What a study is made of is kept part by part
//! (`book.rs`), so that the same command goes on and several processes share the work; what it found is shown by `results.rs`.
mod book;
mod bu2022;
mod chen2020;
mod fashion2026;
mod networks;
mod results;
mod runs;
pub mod toy;
mod watson2023;

pub use crate::report::Table;
use crate::{config::ConfigError, data::DataError, diagnose::DiagnoseError, run::RunError};
pub use book::Book;
use book::{Settings, Worked};
use engine::Device;
pub use results::Results;
use serde::{Serialize, de::DeserializeOwned};
use std::{path::PathBuf, time::Instant};

/// A study that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A diagnosis.
    #[error(transparent)]
    Diagnose(#[from] DiagnoseError),
    /// Something else, in words.
    #[error("{0}")]
    Other(String),
}

/// Where a study finds things, and how much of it is made.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Less of everything.
    pub quick: bool,
    /// Where relative paths of data start.
    pub data: PathBuf,
    /// The folder that holds a folder of configurations for each study.
    pub studies: PathBuf,
    /// Where networks are trained, if elsewhere than configurations say: `cpu`, `cuda` or `cuda:N`. Diagnoses and small
    /// problems stay on the processor.
    pub device: Option<String>,
    /// Where parts are kept and results go.
    pub book: Book,
}

impl Ask {
    /// Where networks are trained.
    fn device(&self) -> &str {
        self.device.as_deref().unwrap_or("cpu")
    }

    /// The configuration `file` of study `name`, with changes, on the device.
    fn config(&self, name: &str, file: &str, set: &[String]) -> Result<crate::config::Config, StudyError> {
        let mut config = self.config_on_cpu(name, file, set)?;
        config.train.device = self.device().to_owned();
        if self.device() != "cpu" {
            // What a chunk holds changes nothing but time, and a GPU wants the whole lot at once.
            let lot = config.train.lot.map_or(0, |lot| 2 * lot as usize);
            config.train.chunk = config.train.chunk.max(4096).max(lot);
        }
        Ok(config)
    }

    /// A configuration for what is too small for a GPU.
    fn config_on_cpu(&self, name: &str, file: &str, set: &[String]) -> Result<crate::config::Config, StudyError> {
        let path = self.studies.join(name).join(file);
        if !path.exists() {
            let what = "there is no such file (say where the folder `studies` is with --studies)";
            return Err(StudyError::Other(format!("{}: {what}", path.display())));
        }
        Ok(crate::config::Config::open(Some(&path), set)?)
    }

    /// What `make` works out on `device`, or worked out before under the same settings; nothing where another process is at it.
    fn part<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        settings: String,
        device: Device,
        make: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<Option<T>, StudyError> {
        let worked = || {
            let start = Instant::now();
            let value = make()?;
            Ok(Worked { seconds: start.elapsed().as_secs_f64(), machine: machine(device), value })
        };
        Ok(self.book.part(name, Settings { settings }, worked)?.map(|worked| worked.value))
    }
}

/// What something is made on, for the reader of results.
fn machine(device: Device) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |line: &str| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned());
    let processor = || info.lines().find_map(named).unwrap_or_else(|| std::env::consts::ARCH.into());
    device
        .gpu()
        .map_or_else(|| format!("{} threads of {}", rayon::current_num_threads(), processor()), |gpu| gpu.name().into())
}

/// One study.
pub struct Entry {
    /// The word that picks it.
    pub name: &'static str,
    /// What it repeats, in a line.
    pub summary: &'static str,
    run: fn(&Ask, &mut Results) -> Result<(), StudyError>,
}

/// All of them.
pub const ALL: [Entry; 4] = [
    Entry {
        name: "chen2020",
        summary: "Understanding Gradient Clipping in Private SGD: A Geometric Perspective (arXiv 2006.15429)",
        run: chen2020::run,
    },
    Entry {
        name: "watson2023",
        summary: "Inference and Interference: clipping, pruning and loss landscapes in DP-SGD (arXiv 2311.06839)",
        run: watson2023::run,
    },
    Entry {
        name: "bu2022",
        summary: "Automatic Clipping: DP deep learning made easier and stronger (arXiv 2206.07136)",
        run: bu2022::run,
    },
    Entry {
        name: "fashion2026",
        summary: "Every clip rule of this house on Fashion-MNIST at epsilon 3",
        run: fashion2026::run,
    },
];

/// Makes what is missing of the study called `name` and writes `results.json`, `README.md` and `page.html` of what there is into
/// its folder.
///
/// # Errors
/// If there is no such study, or something that it needs is missing or fails.
pub fn study(name: &str, ask: &Ask) -> Result<Results, StudyError> {
    let names = || ALL.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
    let entry = ALL.iter().find(|e| e.name == name);
    let entry =
        entry.ok_or_else(|| StudyError::Other(format!("no study is called `{name}`: there are {}", names())))?;
    let mut results = Results::new(entry.name, entry.summary, ask.quick);
    (entry.run)(ask, &mut results)?;
    (results.seconds, results.machines, results.missing) = ask.book.sum();
    let written = results.write(ask.book.folder()).and_then(|()| ask.book.close());
    written.map_err(|e| StudyError::Other(format!("{}: {e}", ask.book.folder().display())))?;
    Ok(results)
}
