//! Studies: published experiments, run here, with what the paper reports, what was run, and the difference.
//!
//! A study is one file here, one line in the list below, and a folder of configurations in `studies/`. `quick` runs the same
//! code on less: it finishes within three minutes on two cores and is part of the tests.
mod bu2022;
mod chen2020;
mod fashion2026;
mod networks;
mod results;
mod runs;
pub mod toy;
mod watson2023;

use crate::{config::ConfigError, data::DataError, diagnose::DiagnoseError, run::RunError};
pub use results::{Results, Table};
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
    /// Studies that are made of many runs: where they train, if elsewhere than their configurations say.
    pub device: Option<String>,
    /// Told in a line what was done last.
    pub tell: fn(&str),
}

impl Ask {
    /// The configuration `file` of study `name`, with changes.
    fn config(&self, name: &str, file: &str, set: &[String]) -> Result<crate::config::Config, StudyError> {
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

/// Makes the study called `name` and writes `results.json`, `README.md` and `page.html` into its folder.
///
/// # Errors
/// If there is no such study, or something that it needs is missing or fails.
pub fn study(name: &str, ask: &Ask) -> Result<Results, StudyError> {
    let names = || ALL.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
    let entry = ALL.iter().find(|e| e.name == name);
    let entry =
        entry.ok_or_else(|| StudyError::Other(format!("no study is called `{name}`: there are {}", names())))?;
    if !entry.shared && (ask.device.is_some() || !ask.only.is_empty()) {
        return Err(StudyError::Other(format!(
            "{name} is made whole, on the processor: leave out --device and --only"
        )));
    }
    let start = Instant::now();
    let mut results = Results::new(entry.name, entry.summary, ask.quick);
    (entry.run)(ask, &mut results)?;
    if !entry.shared {
        results.seconds = start.elapsed().as_secs_f64();
    }
    results.write(&ask.out).map_err(|e| StudyError::Other(format!("{}: {e}", ask.out.display())))?;
    Ok(results)
}
