//! A whole run: from a configuration to trained weights, with everything a reader of the result needs.
mod error;
mod folder;
mod ground;
pub(crate) mod left;
mod planted;
mod points;
mod record;
mod resume;
mod shelf;
mod start;

use crate::{
    checkpoint,
    config::{Config, Mode},
    data::{Examples, Promise},
    model::{Model, Score, Weights},
    plan::{self, Plan},
    published::Published,
    report::{self, Point, Record},
    trainer::{Method, Trainer},
    world::Place,
};
pub use error::RunError;
pub use folder::FolderError;
use ground::Ground;
pub(crate) use planted::Field;
use points::Points;
use privacy::{Ledger, Odometer};
use resume::Behind;
pub use shelf::Shelf;
pub(crate) use start::Beginning;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

/// Epsilon is recomputed for the watcher at most this often.
const REFRESH: Duration = Duration::from_millis(250);

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
    /// Shown the model after each step, for those who look closer.
    ///
    /// # Errors
    /// What ends the run, in words.
    fn look(&mut self, seen: &Seen) -> Result<(), String> {
        let _ = seen;
        Ok(())
    }
}

/// A model in training, with what is public around it.
pub struct Seen<'a> {
    /// Steps made.
    pub step: u64,
    /// The configuration.
    pub config: &'a Config,
    /// The public numbers.
    pub plan: &'a Plan,
    /// The model.
    pub model: &'a Model,
    /// The weights, which are released.
    pub weights: &'a Weights,
    /// The public evaluation data.
    pub evaluation: Option<&'a Examples>,
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
    /// What the user should know before starting; published with the results.
    pub warnings: Vec<String>,
    /// What is for whoever runs this alone, since it depends on the private rows: not in any result.
    pub notes: Vec<String>,
    trainer: Trainer,
    evaluation: Option<Arc<Examples>>,
    folder: Option<PathBuf>,
    root: PathBuf,
    behind: Behind,
    carried: Option<Carried>,
    /// The published model that it goes on from, in whose form its weights are left too.
    published: Option<Published>,
    /// Private files that the starting weights were made of, by what they say.
    seen: Vec<start::Seen>,
}

/// What the run that the weights come from had spent.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Carried {
    rounds: u64,
    epsilon: f64,
}

impl Carried {
    fn of(config: &Config, paid: &Ledger) -> Result<Option<Carried>, RunError> {
        let carried = || plan::spent(config, paid).map(|epsilon| Carried { rounds: paid.rounds(), epsilon });
        (!paid.entries().is_empty()).then(carried).transpose().map_err(RunError::Price)
    }
}

/// What a run leaves.
pub struct Outcome {
    /// All that the report shows.
    pub record: Record,
    /// The weights.
    pub weights: Weights,
    /// What was spent, in detail.
    pub ledger: Ledger,
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
        Run::prepare_at(config, root, folder, force, None)
    }

    /// As [`Run::prepare`], as one of several processes, which all call this with the same configuration. Rank 0 alone keeps
    /// the ledger and writes results.
    ///
    /// # Errors
    /// As [`Run::prepare`], and if a process does not come, is lost, or has another configuration or other data.
    pub fn prepare_at(
        config: Config,
        root: &Path,
        folder: Option<&Path>,
        force: bool,
        place: Option<Place>,
    ) -> Result<Run, RunError> {
        let mut ground = Ground::survey(config, root, &mut Shelf::default())?;
        place.map_or(Ok(()), |place| ground.meet(place))?;
        Run::begin(ground, folder, force)
    }

    /// As [`Run::prepare`], with data from `shelf`, which other runs may share.
    ///
    /// # Errors
    /// As [`Run::prepare`].
    pub fn prepare_from(
        shelf: &mut Shelf,
        config: Config,
        root: &Path,
        folder: Option<&Path>,
        force: bool,
    ) -> Result<Run, RunError> {
        Run::begin(Ground::survey(config, root, shelf)?, folder, force)
    }

    fn begin(ground: Ground, folder: Option<&Path>, force: bool) -> Result<Run, RunError> {
        let key = ground.key()?;
        let begun = Beginning::new(&ground.config, &ground.root, &ground.model, ground.data.declared, &key)?;
        let neighbouring = ground.config.privacy.neighbouring;
        let (plan, carried) = (ground.settle(begun.plan)?, Carried::of(&ground.config, &begun.paid)?);
        ground.draws(&plan)?;
        let folder = folder.filter(|_| ground.rank() == 0);
        let ledger = match folder {
            Some(folder) => {
                begun.before.keep_off(folder)?;
                start::keep_off(&ground.config, &ground.root, folder)?;
                let claimed = folder::claim(folder, force)?;
                // The ledger's lock first: of two runs that begin at once, one has the folder.
                let ledger = begun.book(&folder.join("ledger.jsonl"), neighbouring)?;
                drop(claimed);
                let path = folder.join(left::CONFIG);
                let written = report::write_atomically(&path, ground.config.to_toml().as_bytes());
                written.map_err(|source| RunError::Write { path, source })?;
                ledger
            }
            None => begun.paid,
        };
        let mut run = ground.run(plan, begun.weights, key, ledger, folder)?;
        run.warnings.extend(begun.remarks);
        run.warnings.extend(start::claims(&run.config, &run.root));
        run.warnings.extend(carried.and_then(|carried| start::drowned(&run.config, &run.plan, carried.epsilon)));
        (run.carried, run.seen) = (carried, begun.seen);
        Ok(run)
    }

    /// Trains, and writes the results.
    ///
    /// # Errors
    /// If the ledger or the results cannot be written. What was spent until then is in the ledger.
    pub fn train(mut self, watch: &mut dyn Watch) -> Result<Outcome, RunError> {
        let mut behind = std::mem::take(&mut self.behind);
        self.folder.as_deref().map_or(Ok(()), |folder| report::followed::rewind(folder, self.trainer.step))?;
        let mut points = Points::new(self.folder.as_deref(), std::mem::take(&mut behind.points))?;
        let (mut refreshed, before) = (Instant::now(), behind.elapsed);
        let start = refreshed;
        let mut odometer = Odometer::new(self.config.privacy.delta);
        let step = self.trainer.step;
        let mut progress = Progress { step, steps: self.plan.steps, epsilon: self.spent()?, score: self.score() };
        if points.all.is_empty() {
            points.push(self.point(&progress, behind.elapsed))?;
        }
        while progress.step < self.plan.steps {
            let began = Instant::now();
            engine::guard(|| self.trainer.step())??;
            behind.training += began.elapsed();
            behind.elapsed = before + start.elapsed();
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
                points.push(self.point(&progress, behind.elapsed))?;
            }
            let every = self.config.train.checkpoint_every;
            if every.is_some_and(|n| progress.step.is_multiple_of(n)) && progress.step < self.plan.steps {
                self.checkpoint(&mut behind)?;
            }
            watch.look(&self.seen()).map_err(RunError::Look)?;
            if !watch.step(&progress) {
                break;
            }
        }
        self.finish(points, progress, behind)
    }

    fn finish(mut self, mut points: Points, mut progress: Progress, mut behind: Behind) -> Result<Outcome, RunError> {
        self.trainer.ledger.close()?;
        if progress.step < self.plan.steps && self.continues() {
            self.checkpoint(&mut behind)?;
        }
        if !self.is_due(progress.step) && progress.step > 0 {
            progress.epsilon = self.spent()?;
            progress.score = self.score();
            points.push(self.point(&progress, behind.elapsed))?;
        }
        let record = record::record(&self, points.all, &progress, behind.training);
        if let Some(folder) = &self.folder {
            let path = folder.join(left::WEIGHTS);
            let shown = self.trainer.shown();
            let seen = serde_json::to_string(&start::seen_after(&self.config, &self.root, &self.seen));
            let about = [(start::SEEN, seen.map_err(|e| RunError::Weights(e.to_string()))?)];
            let bytes = checkpoint::to_bytes(&shown, &about).map_err(RunError::Weights)?;
            report::write_atomically(&path, &bytes).map_err(|source| RunError::Write { path, source })?;
            if let Some(lora) = &self.config.model.lora {
                let path = folder.join(folder::ADAPTERS);
                let bytes = checkpoint::adapters(&shown, lora, &about).map_err(RunError::Weights)?;
                report::write_atomically(&path, &bytes).map_err(|source| RunError::Write { path, source })?;
            }
            report::write(folder, &record)?;
            if let Some(published) = &self.published {
                published.take_back(folder, &shown, &about).map_err(RunError::Weights)?;
            }
            if progress.step == self.plan.steps {
                resume::forget(folder)?;
            }
        }
        Ok(Outcome { record, weights: self.trainer.shown().into_owned(), ledger: self.trainer.ledger })
    }

    fn seen(&self) -> Seen<'_> {
        Seen {
            step: self.trainer.step,
            config: &self.config,
            plan: &self.plan,
            model: &self.trainer.model,
            weights: &self.trainer.weights,
            evaluation: self.evaluation.as_deref(),
        }
    }

    fn is_due(&self, step: u64) -> bool {
        let (wanted, steps) = (u128::from(self.config.train.evaluations.max(1)), u128::from(self.plan.steps));
        let passed = |step: u64| u128::from(step) * wanted / steps;
        step > 0 && passed(step) > passed(step - 1)
    }

    fn score(&self) -> Option<Score> {
        self.evaluation.as_ref().map(|public| self.trainer.model.score(&self.trainer.shown(), public))
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

    fn point(&self, progress: &Progress, elapsed: Duration) -> Point {
        Point {
            step: progress.step,
            epoch: progress.step as f64 * self.plan.sample_rate,
            seconds: elapsed.as_secs_f64(),
            epsilon: progress.epsilon,
            evaluation_loss: progress.score.map(|s| s.loss),
            evaluation_accuracy: progress.score.and_then(|s| s.accuracy),
            evaluation_token_loss: progress.score.and_then(|s| s.token_loss),
            evaluation_bits_per_byte: progress.score.and_then(|s| s.bits_per_byte),
        }
    }

    /// What the declaration of the data means for the privacy statement.
    pub fn promise(&self) -> Promise {
        self.config.data.promise()
    }

    /// What was asked for.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Steps made, by earlier lives of the run too.
    pub fn step(&self) -> u64 {
        self.trainer.step
    }

    /// How many numbers are trained, and how many there are.
    pub fn numbers(&self) -> (usize, usize) {
        let layout = self.trainer.model.layout();
        (layout.len(), layout.total())
    }

    /// What the run that the weights come from had spent on the same data, which this run's epsilon includes.
    pub fn epsilon_before(&self) -> Option<f64> {
        self.carried.map(|carried| carried.epsilon)
    }

    /// Which of several processes this is; 0 where there is one.
    pub fn rank(&self) -> usize {
        self.trainer.team.rank()
    }

    /// Whether the run can be gone on with once it is stopped: not where its clip rule remembers secrets of single examples, which are lost with
    /// the process.
    pub fn continues(&self) -> bool {
        !matches!(&self.trainer.method, Method::Private { rule, .. } if rule.remembers())
    }

    /// Whether the run is private.
    pub fn is_private(&self) -> bool {
        self.config.privacy.mode == Mode::Private
    }
}
