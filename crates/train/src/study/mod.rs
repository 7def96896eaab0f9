//! Studies: published experiments, run here, with what the paper reports, what was run, and the difference.
//!
//! A study is one file here, one line in the list below, and a folder of configurations in `studies/`. `quick` runs the same
//! code on less: it finishes within three minutes on two cores and is part of the tests.
mod bu2022;
mod chen2020;
mod fashion2026;
mod networks;
mod parts;
mod results;
mod runs;
pub mod toy;
mod watson2023;

pub use crate::report::Table;
use crate::{config::ConfigError, data::DataError, diagnose::DiagnoseError, run::RunError};
pub use parts::Parts;
pub use results::Results;
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
    /// Where results go.
    pub out: PathBuf,
    /// Studies that are made of many runs: only those whose names hold one of these words; all if there are none.
    pub only: Vec<String>,
    /// Where networks are trained, if elsewhere than configurations say: `cpu`, `cuda` or `cuda:N`. Diagnoses and small
    /// problems stay on the processor.
    pub device: Option<String>,
    /// Where long parts are kept.
    pub parts: Parts,
    /// Told in a line what was done last.
    pub tell: fn(&str),
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
            // What a chunk holds changes nothing but time, and a GPU wants more at once.
            config.train.chunk = config.train.chunk.max(4096);
        }
        Ok(config)
    }

    /// A configuration for what is too small for a GPU.
    fn config_on_cpu(&self, name: &str, file: &str, set: &[String]) -> Result<crate::config::Config, StudyError> {
        let path = self.studies.join(name).join(file);
        let text = std::fs::read_to_string(&path).map_err(|e| {
            StudyError::Other(format!("{}: {e} (say where the folder `studies` is with --studies)", path.display()))
        })?;
        Ok(crate::config::Config::read(&path.display().to_string(), &text, set)?)
    }
}

/// One study.
pub struct Entry {
    /// The word that picks it.
    pub name: &'static str,
    /// What it repeats, in a line.
    pub summary: &'static str,
    /// Whether it is made of many runs, which processes on any device may share.
    pub shared: bool,
    run: fn(&Ask, &mut Results) -> Result<(), StudyError>,
}

/// All of them.
pub const ALL: [Entry; 4] = [
    Entry {
        name: "chen2020",
        summary: "Understanding Gradient Clipping in Private SGD: A Geometric Perspective (arXiv 2006.15429)",
        shared: false,
        run: chen2020::run,
    },
    Entry {
        name: "watson2023",
        summary: "Inference and Interference: clipping, pruning and loss landscapes in DP-SGD (arXiv 2311.06839)",
        shared: false,
        run: watson2023::run,
    },
    Entry {
        name: "bu2022",
        summary: "Automatic Clipping: DP deep learning made easier and stronger (arXiv 2206.07136)",
        shared: false,
        run: bu2022::run,
    },
    Entry {
        name: "fashion2026",
        summary: "Every clip rule of this house on Fashion-MNIST at epsilon 3",
        shared: true,
        run: fashion2026::run,
    },
];

/// Makes the study called `name` and writes `results.json`, `README.md` and `page.html` into its folder; nothing is written
/// by one of several processes that share its parts.
///
/// # Errors
/// If there is no such study, or something that it needs is missing or fails.
pub fn study(name: &str, ask: &Ask) -> Result<Results, StudyError> {
    let names = || ALL.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
    let entry = ALL.iter().find(|e| e.name == name);
    let entry =
        entry.ok_or_else(|| StudyError::Other(format!("no study is called `{name}`: there are {}", names())))?;
    let wrong = match entry.shared {
        true if ask.parts.are_kept() => Some("its runs are kept and shared as they are: leave out --keep and --share"),
        false if !ask.only.is_empty() => Some("it is made whole: leave out --only"),
        _ => None,
    };
    if let Some(wrong) = wrong {
        return Err(StudyError::Other(format!("{name}: {wrong}")));
    }
    let start = Instant::now();
    let mut results = Results::new(entry.name, entry.summary, ask.quick);
    (entry.run)(ask, &mut results)?;
    if ask.parts.are_shared() {
        return Ok(results);
    }
    if !entry.shared {
        results.seconds = start.elapsed().as_secs_f64() + ask.parts.seconds_before();
        results.machines = ask.parts.machines();
    }
    results.write(&ask.out).map_err(|e| StudyError::Other(format!("{}: {e}", ask.out.display())))?;
    Ok(results)
}
