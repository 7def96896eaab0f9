//! A whole run: from a configuration to trained weights, with everything a reader of the result needs.
mod folder;
mod record;

use crate::{
    checkpoint,
    config::{Config, ConfigError, Mode},
    data::{DataError, Examples},
    model::{Model, ModelError, Score, Weights},
    plan::{self, Plan, PlanError},
    report::{self, Point, Record},
    trainer::Trainer,
};
pub use folder::FolderError;
use privacy::{Key, KeyError, Ledger, LedgerError, Odometer};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Epsilon is recomputed for the watcher at most this often.
const REFRESH: Duration = Duration::from_millis(250);

/// A run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The folder of results.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Starting weights that do not fit, or weights that cannot be stored.
    #[error("{0}")]
    Weights(String),
    /// A result that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] engine::DeviceError),
    /// A ledger that cannot be priced.
    #[error("the ledger cannot be priced: {0}")]
    Price(String),
}

/// How a run is going.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Steps made.
    pub step: u64,
    /// Steps planned.
    pub steps: u64,
    /// Spent so far; brought up to date a few times a second.
    pub epsilon: f64,
    /// The latest score on the public evaluation data.
    pub score: Option<Score>,
}

/// Somebody who watches a run and may end it.
pub trait Watch {
    /// Told after each step; `false` ends the run in good order.
    fn step(&mut self, progress: &Progress) -> bool;
}

/// Watches nothing and never ends a run.
impl Watch for () {
    fn step(&mut self, _: &Progress) -> bool {
        true
    }
}

/// A run that is ready to start: everything was checked, nothing has been spent.
pub struct Run {
    config: Config,
    /// The public numbers.
    pub plan: Plan,
    /// What the user should know before starting.
    pub warnings: Vec<String>,
    trainer: Trainer,
    evaluation: Option<Examples>,
    folder: Option<PathBuf>,
}

/// What a run leaves.
pub struct Outcome {
    /// All that the report shows.
    pub record: Record,
    /// The weights.
    pub weights: Weights,
}

impl Run {
    /// Reads the data, builds the model, settles the numbers, and claims the folder of results.
    ///
    /// `root` is where relative paths of data start. With `folder`, results go there; `force` allows replacing an
    /// earlier run's results (its ledger is kept under another name: what was spent stays on record).
    ///
    /// # Errors
    /// Anything wrong with the configuration, the data, the model, the budget or the folder.
    pub fn prepare(config: Config, root: &Path, folder: Option<&Path>, force: bool) -> Result<Run, RunError> {
        let device = config.train.open_device()?;
        let mut loaded = config.data.load(root)?;
        let kind = loaded.train.gather(&[]).targets;
        let model = Arc::new(Model::build(&config.model, loaded.train.shape(), &kind)?);
        let plan = Plan::new(&config, &model, loaded.declared)?;
        let key = Arc::new(config.train.seed.map_or_else(Key::from_os, |seed| Ok(Key::from_seed(seed)))?);
        let weights = start(&config, &model, root, &key)?;
        let weights = engine::guard(|| {
            loaded.train.reside(device);
            weights.to(device)
        })?;
        let warnings = record::warnings(&config, &plan, loaded.notes);
        let ledger = match folder {
            Some(folder) => {
                folder::claim(folder, force)?;
                let path = folder.join("config.toml");
                let written = report::write_atomically(&path, config.to_toml().as_bytes());
                written.map_err(|source| RunError::Write { path, source })?;
                Ledger::create(folder.join("ledger.jsonl"), config.privacy.neighbouring)?
            }
            None => Ledger::new(config.privacy.neighbouring),
        };
        let rows = loaded.train.len();
        let trainer = plan.trainer(&config, &model, weights, loaded.train, rows, key, ledger)?;
        let folder = folder.map(Path::to_owned);
        Ok(Run { config, plan, warnings, trainer, evaluation: loaded.evaluation, folder })
    }

    /// Trains, and writes the results.
    ///
    /// # Errors
    /// If the ledger or the results cannot be written. What was spent until then is in the ledger.
    pub fn train(mut self, watch: &mut dyn Watch) -> Result<Outcome, RunError> {
        let mut points = Points::new(self.folder.as_deref())?;
        let (start, mut refreshed) = (Instant::now(), Instant::now());
        let mut training = Duration::ZERO;
        let mut odometer = Odometer::new(self.config.privacy.delta);
        let mut progress = Progress { step: 0, steps: self.plan.steps, epsilon: 0.0, score: self.score() };
        points.push(self.point(&progress, start))?;
        while progress.step < self.plan.steps {
            let began = Instant::now();
            engine::guard(|| self.trainer.step())??;
            training += began.elapsed();
            progress.step = self.trainer.step;
            let due = self.is_due(progress.step);
            if due {
                progress.epsilon = self.spent()?;
            } else if refreshed.elapsed() > REFRESH {
                progress.epsilon = self.read(&mut odometer)?;
                refreshed = Instant::now();
            }
            if due {
                progress.score = self.score();
                points.push(self.point(&progress, start))?;
            }
            if !watch.step(&progress) {
                break;
            }
        }
        self.finish(points, progress, start, training)
    }

    fn finish(
        mut self,
        mut points: Points,
        mut progress: Progress,
        start: Instant,
        training: Duration,
    ) -> Result<Outcome, RunError> {
        self.trainer.ledger.close()?;
        if !self.is_due(progress.step) && progress.step > 0 {
            progress.epsilon = self.spent()?;
            progress.score = self.score();
            points.push(self.point(&progress, start))?;
        }
        let record = record::record(&self, points.all, &progress, training);
        if let Some(folder) = &self.folder {
            let path = folder.join("model.safetensors");
            let bytes = checkpoint::to_bytes(&self.trainer.weights).map_err(RunError::Weights)?;
            report::write_atomically(&path, &bytes).map_err(|source| RunError::Write { path, source })?;
            report::write(folder, &record).map_err(|source| RunError::Write { path: folder.clone(), source })?;
        }
        Ok(Outcome { record, weights: self.trainer.weights })
    }

    fn is_due(&self, step: u64) -> bool {
        let (wanted, steps) = (u128::from(self.config.train.evaluations.max(1)), u128::from(self.plan.steps));
        let passed = |step: u64| u128::from(step) * wanted / steps;
        step > 0 && passed(step) > passed(step - 1)
    }

    fn score(&self) -> Option<Score> {
        self.evaluation.as_ref().map(|public| self.trainer.model.score(&self.trainer.weights, public))
    }

    fn spent(&self) -> Result<f64, RunError> {
        plan::spent(&self.config, &self.trainer.ledger).map_err(RunError::Price)
    }

    /// What was spent so far, between two evaluations: by an odometer where that gives the accountant's own answer.
    fn read(&self, odometer: &mut Odometer) -> Result<f64, RunError> {
        match self.config.privacy.accountant.as_str() {
            "pld" => odometer.read(&self.trainer.ledger).map(|p| p.epsilon).map_err(|e| RunError::Price(e.to_string())),
            _ => self.spent(),
        }
    }

    fn point(&self, progress: &Progress, start: Instant) -> Point {
        Point {
            step: progress.step,
            epoch: progress.step as f64 * self.plan.sample_rate,
            seconds: start.elapsed().as_secs_f64(),
            epsilon: progress.epsilon,
            evaluation_loss: progress.score.map(|s| s.loss),
            evaluation_accuracy: progress.score.and_then(|s| s.accuracy),
        }
    }

    /// Whether the run is private.
    pub fn is_private(&self) -> bool {
        self.config.privacy.mode == Mode::Private
    }
}

/// Where training starts: fresh weights, or public ones from a file.
fn start(config: &Config, model: &Model, root: &Path, key: &Key) -> Result<Weights, RunError> {
    let Some(file) = &config.model.weights else { return Ok(Weights::public(model.layout(), key)) };
    let path = root.join(file);
    let named = checkpoint::read(&path).map_err(RunError::Weights)?;
    let wrong = |e| RunError::Weights(format!("model.weights: {}: {e}", path.display()));
    Weights::from_public(model.layout(), named).map_err(wrong)
}

/// The points of `metrics.jsonl`, written as they come.
struct Points {
    all: Vec<Point>,
    file: Option<(PathBuf, std::fs::File)>,
}

impl Points {
    fn new(folder: Option<&Path>) -> Result<Self, RunError> {
        let open = |folder: &Path| {
            let path = folder.join("metrics.jsonl");
            let file = std::fs::File::create(&path);
            file.map(|file| (path.clone(), file)).map_err(|source| RunError::Write { path, source })
        };
        Ok(Points { all: Vec::new(), file: folder.map(open).transpose()? })
    }

    fn push(&mut self, point: Point) -> Result<(), RunError> {
        if let Some((path, file)) = &mut self.file {
            let written =
                point.to_line().map_err(io::Error::from).and_then(|line| io::Write::write_all(file, line.as_bytes()));
            written.map_err(|source| RunError::Write { path: path.clone(), source })?;
        }
        self.all.push(point);
        Ok(())
    }
}
