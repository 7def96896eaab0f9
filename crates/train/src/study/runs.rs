//! Parts of a study that are runs: a configuration of the study's folder with changes, trained to its end.
use super::{Ask, StudyError, book::Came};
use crate::{
    config::Config,
    plan::PlanError,
    run::{Run, RunError, Shelf},
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A run that a study is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// Its name, unique in the study.
    pub name: String,
    /// The study's configuration that it starts from.
    pub file: &'static str,
    /// What it changes there: a run with other changes is another.
    pub set: Vec<String>,
}

/// What a run depends on, as its line keeps it.
#[derive(PartialEq, Serialize, Deserialize)]
struct What {
    file: String,
    set: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    /// The job's name, configuration and changes; the line has them beside this.
    #[serde(skip)]
    pub name: String,
    /// See `name`.
    #[serde(skip)]
    pub file: String,
    /// See `name`.
    #[serde(skip)]
    pub set: Vec<String>,
    /// Why there was no run, if its plan was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Test accuracy, in percent; absent in a run that was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// What it spent.
    pub epsilon: f64,
    /// Its noise over its bound.
    pub noise_multiplier: f64,
    /// Steps.
    pub steps: u64,
    /// Training time of a step, in milliseconds, beside whatever else the machine did.
    pub ms: f64,
    /// Where it ran.
    pub device: String,
    /// Accuracy in percent against steps.
    pub curve: Vec<(u64, f64)>,
}

impl Came for Made {
    fn seconds(&self) -> f64 {
        self.ms * self.steps as f64 / 1e3
    }
    fn machine(&self) -> &str {
        &self.device
    }
    fn told(&self) -> String {
        let end = match (&self.accuracy, &self.refused) {
            (Some(accuracy), _) => format!("{accuracy:.2} %"),
            (None, why) => why.clone().unwrap_or_default(),
        };
        format!("{end} ({:.1} ms a step, {})", self.ms, self.device)
    }
}

/// What came of those of `jobs` that were made by anybody, in their order.
pub(super) fn make(ask: &Ask, study: &str, jobs: &[Job]) -> Result<Vec<Made>, StudyError> {
    all(ask, jobs, |job| ask.config(study, job.file, &job.set))
}

/// The same of runs that are too small for a GPU.
pub(super) fn make_on_cpu(ask: &Ask, study: &str, jobs: &[Job]) -> Result<Vec<Made>, StudyError> {
    all(ask, jobs, |job| ask.config_on_cpu(study, job.file, &job.set))
}

fn all(ask: &Ask, jobs: &[Job], config: impl Fn(&Job) -> Result<Config, StudyError>) -> Result<Vec<Made>, StudyError> {
    let mut shelf = Shelf::default();
    let mut all = Vec::new();
    for job in jobs {
        let what = What { file: job.file.to_owned(), set: job.set.clone() };
        let made = ask.book.part(&job.name, what, || one(config(job)?, &ask.data, &mut shelf))?;
        let named = |made| Made { name: job.name.clone(), file: job.file.to_owned(), set: job.set.clone(), ..made };
        all.extend(made.map(named));
    }
    Ok(all)
}

/// One run. A plan that is refused is a result like any other; anything else that fails ends the study.
fn one(config: Config, data: &Path, shelf: &mut Shelf) -> Result<Made, StudyError> {
    let mut made = Made {
        name: String::new(),
        file: String::new(),
        set: Vec::new(),
        refused: None,
        accuracy: None,
        epsilon: 0.0,
        noise_multiplier: 0.0,
        steps: 0,
        ms: 0.0,
        device: super::machine(config.train.open_devices().map_err(RunError::from)?[0]),
        curve: Vec::new(),
    };
    let run = match Run::prepare_from(shelf, config, data, None, false) {
        Err(RunError::Plan(PlanError::Numbers(why))) => return Ok(Made { refused: Some(why), ..made }),
        run => run?,
    };
    let record = run.train(&mut ())?.record;
    let percent = |share: f64| (1e4 * share).round() / 100.0;
    let summary = &record.summary;
    made.accuracy = summary.test_accuracy.map(percent);
    (made.epsilon, made.noise_multiplier, made.steps) = (summary.epsilon, summary.noise_multiplier, summary.steps);
    made.ms = 1e3 * summary.train_seconds / summary.steps.max(1) as f64;
    let points = record.points.iter();
    made.curve = points.filter_map(|p| Some((p.step, percent(p.evaluation_accuracy?)))).collect();
    Ok(made)
}
