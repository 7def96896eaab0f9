//! Parts of a study that are runs: a configuration of the study's folder with changes, trained to its end.
use super::{Ask, StudyError, book::Came};
use crate::{
    plan::PlanError,
    run::{Run, RunError, Shelf},
};
use serde::{Deserialize, Serialize};

/// A run that a study is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// Its name, unique in the study.
    pub name: String,
    /// What is trained.
    pub what: What,
    /// Whether it is too small for a GPU.
    pub small: bool,
}

/// A configuration of the study and what is changed there: a run with others is another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct What {
    /// The file.
    pub file: String,
    /// The changes.
    pub set: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
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

/// What came of those of `jobs` that were made by anybody, by their names, in order.
pub(super) fn make(ask: &Ask, study: &str, jobs: &[Job]) -> Result<Vec<(String, Made)>, StudyError> {
    let mut shelf = Shelf::default();
    let mut all = Vec::new();
    for job in jobs {
        let made = ask.book.part(&job.name, job.what.clone(), || one(ask, study, job, &mut shelf))?;
        all.extend(made.map(|made| (job.name.clone(), made)));
    }
    Ok(all)
}

/// One run. A plan that is refused is a result like any other; anything else that fails ends the study.
fn one(ask: &Ask, study: &str, job: &Job, shelf: &mut Shelf) -> Result<Made, StudyError> {
    let config = match job.small {
        true => ask.config_on_cpu(study, &job.what.file, &job.what.set)?,
        false => ask.config(study, &job.what.file, &job.what.set)?,
    };
    let mut made = Made {
        refused: None,
        accuracy: None,
        epsilon: 0.0,
        noise_multiplier: 0.0,
        steps: 0,
        ms: 0.0,
        device: super::machine(config.train.open_devices().map_err(RunError::from)?[0]),
        curve: Vec::new(),
    };
    let run = match Run::prepare_from(shelf, config, &ask.data, None, false) {
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
