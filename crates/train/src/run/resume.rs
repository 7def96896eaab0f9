//! Stop and continue: a run's checkpoint, and another life of the run from it.
//!
//! # Why this is private
//! *Claim.* Nothing that a run leaves for its continuation is secret, a continued run uses no noise twice, and its ledger
//! accounts for all that any of its lives released.
//! *Argument.* A checkpoint holds weights and what plug-ins remember: released numbers. The key is NOT in it: it dies with
//! the process, and each life draws its own from the operating system, so that a step that is made again after a crash has
//! fresh noise and a fresh draw. (With `train.seed` the key is that of the seed, so that a continued run equals a straight
//! one to the bit; such a run is not private to whoever knows the seed, and says so.) The ledger is continued, never
//! rewritten: what was charged before a crash stays charged, rounds that the checkpoint does not know of and rounds written
//! ahead included, and the noise of the steps that are left is raised where the budget would not hold otherwise. A
//! checkpoint replaces the one before it in one rename, and the ledger is on disk before any weights that it paid for, so
//! it is never behind a checkpoint; one that is is refused.
//! *Tests.* `tests/resume.rs`: a stop at any step changes nothing; a kill at any moment never under-reports; a changed
//! configuration, another ledger and a finished run are refused.
use super::{Carried, Ground, Run, RunError, Shelf};
use crate::{
    checkpoint::Checkpoint,
    config::{Config, ConfigError, Mode},
    plan::Plan,
    report::{self, Point},
    state::{Memory, State, Value, Visit},
    trainer::{ORDINARY, Trainer},
};
use privacy::{Event, Ledger};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// The checkpoint's file in the folder of results.
pub(super) const CHECKPOINT: &str = "checkpoint.safetensors";

/// What a checkpoint says of what the run that its weights come from had spent.
const ROUNDS: &str = "carried.rounds";
const EPSILON: &str = "carried.epsilon";

fn carried(about: &HashMap<String, String>) -> Option<Carried> {
    let (rounds, epsilon) = (about.get(ROUNDS)?.parse().ok()?, about.get(EPSILON)?.parse().ok()?);
    Some(Carried { rounds, epsilon })
}

/// What a run has behind it.
#[derive(Default)]
pub(super) struct Behind {
    /// The points of `metrics.jsonl`.
    pub(super) points: Vec<Point>,
    /// The noise multiplier of the first life, and each that a later one raised it to.
    pub(super) noises: Vec<f64>,
    /// Seconds since training began, over all lives.
    pub(super) elapsed: Duration,
    /// Seconds spent in steps, over all lives.
    pub(super) training: Duration,
}

/// The numbers of a plan and of the clock, to be kept to the bit.
struct Numbers<'a>(&'a mut Plan, &'a mut Behind);

impl State for Numbers<'_> {
    fn state(&mut self, visit: &mut Visit) {
        let Numbers(plan, behind) = self;
        visit.numbers("noise_multiplier", &mut behind.noises);
        visit.number("epsilon", &mut plan.epsilon);
        for (name, time) in [("elapsed", &mut behind.elapsed), ("training", &mut behind.training)] {
            let mut seconds = time.as_secs_f64();
            visit.number(name, &mut seconds);
            *time = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        }
    }
}

/// All that a run remembers besides its weights.
struct Whole<'a>(&'a mut Trainer, Numbers<'a>);

impl State for Whole<'_> {
    fn state(&mut self, visit: &mut Visit) {
        visit.part("trainer", self.0);
        visit.part("run", &mut self.1);
    }
}

/// The configuration of a run that was stopped, and where its relative paths start.
///
/// # Errors
/// If there is nothing to continue.
pub fn stopped(folder: &Path) -> Result<(Config, PathBuf), RunError> {
    let path = folder.join(CHECKPOINT);
    if !folder.is_dir() {
        return Err(RunError::Resume(format!("{}: there is no such folder of results", folder.display())));
    }
    if !path.exists() {
        return Err(RunError::Resume(format!(
            "{}: there is no {CHECKPOINT}: the run was never stopped (checkpoints are written on Ctrl-C, and every \
             train.checkpoint_every steps), or is finished",
            folder.display()
        )));
    }
    let mut about = Checkpoint::about(&path).map_err(RunError::Resume)?;
    let mut take = |key: &str| {
        let missing =
            || RunError::Resume(format!("{}: not the checkpoint of a run: it says no `{key}`", path.display()));
        about.remove(key).ok_or_else(missing)
    };
    let (text, root) = (take("config")?, take("root")?);
    Ok((Config::read(&path.display().to_string(), &text, &[])?, root.into()))
}

/// Refuses a configuration that asks for another run than the one in `folder`.
pub(super) fn same(folder: &Path, stopped: &Config, asked: &Config) -> Result<(), ConfigError> {
    let other = |what| ConfigError::new(&folder.display().to_string(), format!("this run was started with {what}"));
    stopped.difference(asked).map_or(Ok(()), |what| Err(other(what)))
}

impl Run {
    /// Writes a checkpoint, in the place of the one before.
    pub(super) fn checkpoint(&mut self, behind: &mut Behind) -> Result<(), RunError> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let (path, mut plan) = (folder.join(CHECKPOINT), self.plan);
        let memory = Memory::save(&mut Whole(&mut self.trainer, Numbers(&mut plan, behind)));
        let said = [("config", self.config.to_toml()), ("root", self.root.display().to_string())];
        let mut about = HashMap::from(said.map(|(key, value)| (key.to_owned(), value)));
        for (key, value) in
            self.carried.iter().flat_map(|c| [(ROUNDS, c.rounds.to_string()), (EPSILON, c.epsilon.to_string())])
        {
            about.insert(key.to_owned(), value);
        }
        let checkpoint = Checkpoint { weights: self.trainer.weights.clone(), memory, about };
        let bytes = checkpoint.to_bytes().map_err(RunError::Weights)?;
        report::write_atomically(&path, &bytes).map_err(|source| RunError::Write { path, source })
    }

    /// Takes up a run that was stopped in `folder`, by a key of its own. `asked` is refused where it asks for another run;
    /// `root` is where relative paths of data start now, if elsewhere than before.
    ///
    /// # Errors
    /// If there is nothing to continue, if another process is at it, or as [`Run::prepare`].
    pub fn resume(folder: &Path, asked: Option<&Config>, root: Option<&Path>) -> Result<Run, RunError> {
        let (config, before) = stopped(folder)?;
        let now = root.unwrap_or(&before);
        asked.map_or(Ok(()), |asked| same(folder, &config, &asked.clone().settled(now)?))?;
        let ground = Ground::survey(config, now, &mut Shelf::default())?;
        let path = folder.join(CHECKPOINT);
        let wrong = |what: String| RunError::Resume(format!("{}: {what}", path.display()));
        let layout = ground.model.layout().clone();
        let Checkpoint { weights, mut memory, about } = Checkpoint::read(&path, &layout).map_err(RunError::Resume)?;
        let mut plan = Plan::noiseless(&ground.config, ground.data.declared)?;
        let mut behind = Behind { points: points(folder)?, ..Behind::default() };
        memory.take("run").load(&mut Numbers(&mut plan, &mut behind), &layout).map_err(wrong)?;
        let before = *behind.noises.last().ok_or_else(|| wrong("it says no noise multiplier".into()))?;
        plan.noise_multiplier = before;
        let memory = memory.take("trainer");
        let step = memory.iter().find_map(|(name, value)| match value {
            Value::Count(step) if name == "step" => Some(*step),
            _ => None,
        });
        let step =
            step.filter(|step| *step <= plan.steps).ok_or_else(|| wrong("it says no step of this run".into()))?;
        behind.points.retain(|point| point.step <= step);
        let ledger = Ledger::resume(folder.join("ledger.jsonl"))?;
        let carried = carried(&about);
        let notes =
            settled(step + carried.map_or(0, |c| c.rounds), ground.config.privacy.mode, &ledger).map_err(wrong)?;
        let key = ground.key()?;
        plan.first = if key.is_fixed() { 0 } else { step };
        let plan = plan.rest(&ground.config, &ground.model, step, &ledger, &key)?;
        behind.noises.extend((plan.noise_multiplier != before).then_some(plan.noise_multiplier));
        let super::start::Begun { weights: fresh, seen, remarks } =
            super::start::begin(&ground.config, &ground.model, &ground.root, &key)?;
        let mut run = ground.run(plan, fresh, key, ledger, Some(folder))?;
        if !run.continues() {
            return Err(wrong("its clip rule remembers secrets of single examples, which are not stored".into()));
        }
        run.trainer.weights = weights.to(run.trainer.weights.layout().device());
        run.trainer.team.follow(&run.trainer.weights);
        let there = run.trainer.weights.layout().clone();
        memory.load(&mut run.trainer, &there).map_err(wrong)?;
        run.warnings.extend(notes);
        run.warnings.extend(raised(&behind.noises));
        run.warnings.extend(remarks);
        run.warnings.extend(super::start::claims(&run.config, &run.root));
        (run.behind, run.carried, run.seen) = (behind, carried, seen);
        Ok(run)
    }
}

/// Compares a checkpoint's step with the steps that were charged; looks, and what else a step released, are none.
fn settled(step: u64, mode: Mode, ledger: &Ledger) -> Result<Option<String>, String> {
    let ordinary = |(event, _): &(Event, u64)| matches!(event, Event::Revealed { what } if what == ORDINARY);
    let charged = match mode {
        Mode::Private => ledger.rounds(),
        Mode::Ordinary => ledger.entries().into_iter().filter(ordinary).map(|(_, n)| n).sum(),
    };
    if charged < step {
        return Err(format!("made after {step} rounds, but the ledger beside it knows of {charged} rounds"));
    }
    Ok((charged > step).then(|| {
        let more = charged - step;
        format!("{more} more rounds were charged than the {step} steps behind the checkpoint: the run was killed once, and steps that are made again are paid for again")
    }))
}

/// That steps had different noise, which whoever reads of one multiplier should know.
fn raised(noises: &[f64]) -> Option<String> {
    let [first, later @ ..] = noises else { return None };
    let later: Vec<String> = later.iter().map(f64::to_string).collect();
    let what =
        || format!("noise was raised from multiplier {first} to {}, so that epsilon holds", later.join(", then to "));
    (!later.is_empty()).then(what)
}

/// The points of a run so far; a last line that a crash cut short is not one.
fn points(folder: &Path) -> Result<Vec<Point>, RunError> {
    let path = folder.join("metrics.jsonl");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(RunError::Resume(format!("{}: {source}", path.display()))),
    };
    Point::from_lines(&text)
        .map_err(|(line, e)| RunError::Resume(format!("{}:{line}: not a point: {e}", path.display())))
}

/// Forgets the checkpoint of a run that is finished.
pub(super) fn forget(folder: &Path) -> Result<(), RunError> {
    let path = folder.join(CHECKPOINT);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(RunError::Write { path, source }),
        _ => Ok(()),
    }
}
