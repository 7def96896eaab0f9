//! Studies made of many runs, shared by as many processes as there are.
//!
//! A run is made once: what came of it is one line of `runs.jsonl` in the study's folder, and whoever starts the study on
//! that folder goes on with what is missing. Processes take runs by locking a file, which a process that dies gives back;
//! where each trains is its own choice. Whoever ends writes the tables of what there is.
use super::{Ask, StudyError};
use crate::{
    config::Config,
    plan::PlanError,
    run::{Run, RunError, Shelf},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

/// A run that a study is made of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// Its name, unique in the study.
    pub name: String,
    /// The study's configuration that it starts from.
    pub file: &'static str,
    /// What it changes there.
    pub set: Vec<String>,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Made {
    /// The job's name.
    pub name: String,
    /// The configuration that the job started from, and its changes: a run with others is another.
    pub file: String,
    /// See `file`.
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

impl Made {
    fn is(&self, job: &Job) -> bool {
        (&self.name, self.file.as_str(), &self.set) == (&job.name, job.file, &job.set)
    }
}

/// The folder in which runs are kept.
struct Book<'a> {
    folder: &'a Path,
}

impl Book<'_> {
    fn file(&self) -> PathBuf {
        self.folder.join("runs.jsonl")
    }
    fn claims(&self) -> PathBuf {
        self.folder.join("claims")
    }

    /// What was made so far, by name. A line that a crash cut short is no run.
    fn read(&self) -> io::Result<BTreeMap<String, Made>> {
        let text = match fs::read_to_string(self.file()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let made = text.lines().filter_map(|line| serde_json::from_str::<Made>(line).ok());
        Ok(made.map(|made| (made.name.clone(), made)).collect())
    }

    fn holds(&self, job: &Job) -> io::Result<bool> {
        Ok(self.read()?.get(&job.name).is_some_and(|made| made.is(job)))
    }

    /// The right to make the run number `k`, unless somebody has it.
    fn claim(&self, k: usize) -> io::Result<Option<File>> {
        fs::create_dir_all(self.claims())?;
        let file = File::create(self.claims().join(k.to_string()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// Adds a run, on a line of its own even after a line that was cut short.
    fn add(&self, made: &Made) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(self.file())?;
        file.lock()?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(io::SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let line = format!("{}{}\n", if last == [b'\n'] { "" } else { "\n" }, serde_json::to_string(made)?);
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }
}

/// Makes those of `jobs` that nobody has made and nobody is making, and whose names hold one of the words asked for. All
/// that were made by anybody, in order of `jobs`.
pub(super) fn make(ask: &Ask, study: &str, jobs: &[Job]) -> Result<Vec<Made>, StudyError> {
    let wrong = |e: io::Error| StudyError::Other(format!("{}: {e}", ask.out.display()));
    let book = Book { folder: &ask.out };
    fs::create_dir_all(book.folder).map_err(wrong)?;
    let mut shelf = Shelf::default();
    let wanted = |job: &&Job| ask.only.is_empty() || ask.only.iter().any(|word| job.name.contains(word));
    for (k, job) in jobs.iter().enumerate().filter(|(_, job)| wanted(job)) {
        if book.holds(job).map_err(wrong)? {
            continue;
        }
        let Some(claim) = book.claim(k).map_err(wrong)? else { continue };
        // Somebody may have made it between the two looks.
        if !book.holds(job).map_err(wrong)? {
            let made = one(ask, study, job, &mut shelf)?;
            book.add(&made).map_err(wrong)?;
            (ask.tell)(&told(&made));
        }
        drop(claim);
    }
    let mut made = book.read().map_err(wrong)?;
    let all = jobs.iter().filter_map(|job| made.remove(&job.name).filter(|made| made.is(job)));
    let all: Vec<Made> = all.collect();
    if all.len() == jobs.len() {
        match fs::remove_dir_all(book.claims()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(wrong(e)),
            _ => {}
        }
    }
    Ok(all)
}

fn told(made: &Made) -> String {
    let end = match (&made.accuracy, &made.refused) {
        (Some(accuracy), _) => format!("{accuracy:.2} %"),
        (None, why) => why.clone().unwrap_or_default(),
    };
    format!("{}: {end} ({:.1} ms a step, {})", made.name, made.ms, made.device)
}

/// One run. A plan that is refused is a result like any other; anything else that fails ends the study.
fn one(ask: &Ask, study: &str, job: &Job, shelf: &mut Shelf) -> Result<Made, StudyError> {
    let mut config = ask.config(study, job.file, &job.set)?;
    place(&mut config, ask.device.as_deref());
    let mut made = Made {
        name: job.name.clone(),
        file: job.file.to_owned(),
        set: job.set.clone(),
        refused: None,
        accuracy: None,
        epsilon: 0.0,
        noise_multiplier: 0.0,
        steps: 0,
        ms: 0.0,
        device: config.train.open_devices().map_err(RunError::from)?[0]
            .gpu()
            .map_or("cpu", |gpu| gpu.name())
            .to_owned(),
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

/// Trains on `device`; on a GPU the whole lot is looked at together.
fn place(config: &mut Config, device: Option<&str>) {
    let Some(device) = device else { return };
    config.train.device = device.to_owned();
    if let Some(lot) = config.train.lot.filter(|_| device != "cpu") {
        config.train.chunk = config.train.chunk.max((2.0 * lot) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str) -> Job {
        Job { name: name.into(), file: "a.toml", set: vec!["train.seed=1".into()] }
    }

    fn made(job: &Job) -> Made {
        let (name, file, set) = (job.name.clone(), job.file.to_owned(), job.set.clone());
        let (refused, accuracy, device, curve) = (None, Some(86.0), "cpu".into(), vec![(0, 10.0)]);
        Made {
            name,
            file,
            set,
            refused,
            accuracy,
            epsilon: 3.0,
            noise_multiplier: 1.0,
            steps: 1,
            ms: 1.0,
            device,
            curve,
        }
    }

    #[test]
    fn a_run_is_claimed_once_and_kept_with_its_settings() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book { folder: folder.path() };
        let claim = book.claim(0).unwrap();
        assert!(claim.is_some() && book.claim(0).unwrap().is_none() && book.claim(1).unwrap().is_some());
        drop(claim);
        assert!(book.claim(0).unwrap().is_some(), "who lets go gives it back");
        book.add(&made(&job("x"))).unwrap();
        assert!(book.holds(&job("x")).unwrap() && !book.holds(&job("y")).unwrap());
        let other = Job { set: vec!["train.seed=2".into()], ..job("x") };
        assert!(!book.holds(&other).unwrap(), "other settings are another run");
    }

    #[test]
    fn a_line_that_was_cut_short_costs_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let book = Book { folder: folder.path() };
        book.add(&made(&job("x"))).unwrap();
        let whole = fs::read(book.file()).unwrap();
        fs::write(book.file(), [&whole[..], &whole[..20]].concat()).unwrap();
        book.add(&made(&job("y"))).unwrap();
        let read = book.read().unwrap();
        assert_eq!(read.into_values().collect::<Vec<_>>(), [made(&job("x")), made(&job("y"))]);
    }
}
