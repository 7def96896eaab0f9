//! From a question to a diagnosis: load what is needed, go to each point of training, look.
//!
//! # Why this is private
//! *Claim.* Training here is charged as a run is, for the weights that it starts from too; and no page is called made from public data whose weights
//! are not.
//! *Argument.* It begins by the same [`Beginning`] as a run: weights that a run refuses are refused, the ledger of a run that they come from is
//! where this one begins, and the plan comes on top of it. Weights that nothing was trained on here are told of by what they come from ([`Origin`]).
//! *Tests.* `a_diagnosis_pays_for_the_weights_that_it_starts_from`.
use super::{
    ALL, Finding, Origin, Scan, Scene, Setting,
    ruled::{self, Rules},
    source::{On, Standing, book, examples},
};
use crate::{
    checkpoint, clip,
    config::Config,
    data::{DataError, Examples},
    model::{Model, ModelError, Weights},
    plan::{Plan, PlanError},
    report::{self, followed::Glance},
    run::{Beginning, RunError},
};
use engine::Device;
use privacy::{Key, KeyError, Ledger, LedgerError};
use serde::Serialize;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

/// A diagnosis that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// The question makes no sense.
    #[error("{0}")]
    Ask(String),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Where training starts.
    #[error(transparent)]
    Start(#[from] RunError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The device that is trained on.
    #[error(transparent)]
    Device(#[from] engine::DeviceError),
    /// A file of a run.
    #[error(transparent)]
    File(#[from] report::FileError),
    /// A result that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is to be looked at.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Checkpoints, in the order of the page. Where there are none, the configuration is trained up to the last of `steps`.
    pub checkpoints: Vec<PathBuf>,
    /// Steps to look at when training here; 0 is before the first.
    pub steps: Vec<u64>,
    /// Examples to look at, at most.
    pub examples: usize,
    /// Whose.
    pub on: On,
    /// Names of diagnostics; all that are not dear where empty.
    pub only: Vec<String>,
    /// Eigenvalues of the Hessian; 0 for none.
    pub eigenvalues: usize,
    /// The folder of the run that is looked at, whose statement follows its ledger.
    pub run: Option<PathBuf>,
    /// The ledger that is charged for training here, and for looking at private data.
    pub ledger: PathBuf,
}

/// What was found at one point of training.
#[derive(Debug, Clone, Serialize)]
pub struct Visit {
    /// What the point is called.
    pub label: String,
    /// Its step, where known.
    pub step: Option<u64>,
    /// How long looking took, in seconds.
    pub seconds: f64,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl Visit {
    /// What of it is followed along training.
    pub(super) fn followed(&self) -> Glance {
        let finding = |name: &str| self.findings.iter().find(|finding| finding.name == name);
        Glance::new(self.step, |name, path| finding(name)?.numbers.pointer(path)?.as_f64())
    }
}

/// Everything that `diagnose.json` holds and the page shows.
#[derive(Debug, Clone, Serialize)]
pub struct Diagnosis {
    /// The configuration's title.
    pub title: String,
    /// The program.
    pub secateur_version: &'static str,
    /// Whose gradients these are.
    pub standing: Standing,
    /// Where the weights come from that they are taken at.
    pub origin: Origin,
    /// How many examples were looked at.
    pub examples: usize,
    /// The model's parameters.
    pub parameters: usize,
    /// The clip rule.
    pub rule: String,
    /// How far one example may move the sum.
    pub bound: f64,
    /// The noise multiplier; 0 where there is no noise.
    pub noise_multiplier: f64,
    /// Examples in a step on average.
    pub lot: f64,
    /// What must be known about the rules that are shown.
    pub notes: Vec<String>,
    /// What was found, in order of training.
    pub visits: Vec<Visit>,
}

/// What [`Diagnosis::write`] writes.
pub(crate) const FILES: [&str; 2] = ["diagnose.json", "diagnose.html"];

impl Diagnosis {
    /// What is known before anything is looked at.
    pub(super) fn about(
        config: &Config,
        model: &Model,
        setting: &Setting,
        (standing, origin): (Standing, Origin),
    ) -> Diagnosis {
        Diagnosis {
            title: config.title.clone(),
            secateur_version: env!("CARGO_PKG_VERSION"),
            standing,
            origin,
            examples: 0,
            parameters: model.layout().len(),
            rule: config.clip.name().into(),
            bound: setting.bound,
            noise_multiplier: setting.noise_multiplier,
            lot: setting.lot,
            notes: setting.notes.clone(),
            visits: Vec::new(),
        }
    }

    /// Writes `diagnose.json` and `diagnose.html` into `folder`, each all or nothing.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), DiagnoseError> {
        let json = serde_json::to_vec_pretty(self).map_err(|e| DiagnoseError::Ask(e.to_string()))?;
        for (name, bytes) in FILES.into_iter().zip([json, super::html(self).into_bytes()]) {
            let path = folder.join(name);
            report::write_atomically(&path, &bytes).map_err(|source| DiagnoseError::Write { path, source })?;
        }
        Ok(())
    }
}

/// The diagnostics that are wanted.
fn wanted(ask: &Ask) -> Result<Vec<super::Entry>, DiagnoseError> {
    let known = || ALL.iter().map(|e| e.name).collect::<Vec<_>>().join(", ");
    let entry = |name: &String| {
        let found = ALL.iter().find(|e| e.name == name).copied();
        found.ok_or_else(|| DiagnoseError::Ask(format!("no diagnostic is called `{name}`: there are {}", known())))
    };
    if !ask.only.is_empty() {
        return ask.only.iter().map(entry).collect();
    }
    Ok(ALL.iter().filter(|e| !e.diagnostic.dear() || ask.eigenvalues > 0).copied().collect())
}

/// Looks at everything that was asked for. `root` is where relative paths of data start.
///
/// # Errors
/// Anything wrong with the configuration, its data or model, a checkpoint, or the ledger.
pub fn diagnose(config: &Config, root: &Path, ask: &Ask) -> Result<Diagnosis, DiagnoseError> {
    let entries = wanted(ask)?;
    of_single_examples(config)?;
    let config = &config.clone().settled(root)?;
    let loaded = config.data.load(root)?;
    let model = Arc::new(Model::of_data(&config.model, &loaded.train)?);
    let (plan, points, origin) = match ask.checkpoints.is_empty() {
        true => train(config, root, ask, &model, loaded.declared)?,
        false => left(config, ask, &model, loaded.declared)?,
    };
    let (shown, standing) = examples(loaded, ask, config.privacy.neighbouring)?;
    let setting = setting(config, &model, &plan, ask.eigenvalues)?;
    let who = choose(&shown, ask.examples);
    let mut visits = Vec::new();
    for (k, (label, step, weights)) in points.iter().enumerate() {
        let other = (k > 0).then(|| (&points[0].2, points[0].0.clone()));
        let scene = Scene { model: &model, weights, other, examples: &shown, who: who.clone(), setting: &setting };
        visits.push(visit(&scene, label, *step, &entries));
    }
    Ok(Diagnosis { examples: who.len(), visits, ..Diagnosis::about(config, &model, &setting, (standing, origin)) })
}

/// Refuses to look at single records where a person's are clipped together: their norms say little of what is clipped.
fn of_single_examples(config: &Config) -> Result<(), DiagnoseError> {
    match config.data.promise().person {
        None => Ok(()),
        Some(_) => Err(DiagnoseError::Ask(
            "data.person: gradients of single records are looked at, and this configuration clips people's means of several; look at a copy \
             of it without data.person and data.per_person"
                .into(),
        )),
    }
}

fn visit(scene: &Scene, label: &str, step: Option<u64>, entries: &[super::Entry]) -> Visit {
    let start = Instant::now();
    let scan = Scan::new(scene);
    let findings = entries.iter().filter_map(|entry| entry.diagnostic.find(scene, &scan)).collect();
    Visit { label: label.to_owned(), step, seconds: start.elapsed().as_secs_f64(), findings }
}

/// Examples that are looked at while a run goes on.
pub(super) const CHEAPLY: usize = 512;

/// The cheap diagnostics of one point while a run goes on, on public examples.
pub(super) fn cheap(
    config: &Config,
    model: &Model,
    plan: &Plan,
    weights: &Weights,
    public: &Examples,
    step: u64,
) -> Result<(Setting, Visit), DiagnoseError> {
    of_single_examples(config)?;
    const CHEAP: [&str; 5] = ["norms", "angle", "step", "bias", "symmetry"];
    let setting = setting(config, model, plan, 0)?;
    let who = choose(public, CHEAPLY);
    // Looking is done on the processor, wherever the run is.
    let weights = &weights.clone().to(Device::Cpu);
    let scene = Scene { model, weights, other: None, examples: public, who, setting: &setting };
    let entries: Vec<_> = ALL.iter().filter(|e| CHEAP.contains(&e.name)).copied().collect();
    let visit = visit(&scene, &format!("step {step}"), Some(step), &entries);
    Ok((setting, visit))
}

/// For pages of configurations that train on altered copies.
const AS_THEY_ARE: &str = "Images are looked at as they are. Training clips means over altered copies of them (train.augment), which are shorter.";

fn setting(config: &Config, model: &Model, plan: &Plan, eigenvalues: usize) -> Result<Setting, DiagnoseError> {
    let own = ruled::prepare(&config.clip, &config.root, plan, model)
        .map_err(|e| DiagnoseError::Ask(format!("clip: {e}")))?;
    let bound = clip::sensitivity(&*own, model.layout());
    let Rules { shown, learning, mut notes } = Rules::new(config, own, bound, plan, model)?;
    notes.extend(config.train.augment.map(|_| AS_THEY_ARE.to_owned()));
    Ok(Setting {
        bound,
        rules: shown,
        learning,
        notes,
        noise_multiplier: plan.noise_multiplier,
        lot: plan.lot,
        sample_rate: plan.sample_rate,
        key: Key::from_seed(2020),
        chunk: config.train.chunk,
        eigenvalues,
    })
}

/// At most `wanted` examples, spread evenly over the data.
fn choose(examples: &Examples, wanted: usize) -> Vec<usize> {
    let (n, wanted) = (examples.len(), wanted.min(examples.len()));
    (0..wanted).map(|k| k * n / wanted).collect()
}

type Point = (String, Option<u64>, Weights);
type Points = (Plan, Vec<Point>, Origin);

/// The weights in files.
fn left(config: &Config, ask: &Ask, model: &Arc<Model>, declared: usize) -> Result<Points, DiagnoseError> {
    let plan = Plan::new(config, model, declared)?;
    // Runs call their weights by the same name: of several, the whole path tells which.
    let name = |path: &PathBuf| match (ask.checkpoints.len(), path.file_name()) {
        (1, Some(name)) => name.to_string_lossy().into_owned(),
        _ => path.display().to_string(),
    };
    let read = |path: &PathBuf| {
        let weights = checkpoint::trained(path, model.layout()).map_err(DiagnoseError::Ask)?;
        Ok((name(path), None, weights))
    };
    let points: Result<Vec<Point>, DiagnoseError> = ask.checkpoints.iter().map(read).collect();
    let origin = ask.run.as_deref().map_or(Ok(Origin::Unknown), Origin::left);
    Ok((plan, points?, origin?))
}

/// Trains as the configuration says and keeps the weights at the wanted steps.
fn train(
    config: &Config,
    root: &Path,
    ask: &Ask,
    model: &Arc<Model>,
    declared: usize,
) -> Result<Points, DiagnoseError> {
    let steps = &ask.steps;
    let last = steps.iter().copied().max().unwrap_or(0);
    let key = Arc::new(config.train.seed.map_or_else(Key::from_os, |seed| Ok(Key::from_seed(seed)))?);
    let begun = Beginning::new(config, root, model, declared, &key)?;
    let plan = begun.plan;
    if last > plan.steps {
        return Err(DiagnoseError::Ask(format!("--steps {last}: the configuration makes {} steps", plan.steps)));
    }
    // Nothing is drawn for step 0, and then nothing is charged.
    if last == 0 {
        let origin = Origin::start(config, root, &begun)?;
        return Ok((plan, vec![("step 0".into(), Some(0), begun.weights)], origin));
    }
    let ledger = charged(&begun, ask, config)?;
    let mut data = config.data.load(root)?.train;
    let rows = data.units();
    let device = config.train.open_devices()?[0];
    let weights = engine::guard(|| {
        data.reside(device);
        begun.weights.to(device)
    })?;
    let mut trainer = plan.trainer(config, model, weights, data, rows, key, ledger)?;
    let mut points = Vec::new();
    for step in 0..=last {
        if steps.contains(&step) {
            let copy = trainer.weights.clone().to(Device::Cpu);
            points.push((format!("step {step}"), Some(step), copy));
        }
        if step < last {
            engine::guard(|| trainer.step())??;
        }
    }
    trainer.ledger.close()?;
    let origin = Origin::charged(config, &trainer.ledger)?;
    Ok((plan, points, origin))
}

/// The ledger of training here: one that is there is gone on with, unless there is another that this one has to begin with.
fn charged(begun: &Beginning, ask: &Ask, config: &Config) -> Result<Ledger, DiagnoseError> {
    let (path, relation) = (&ask.ledger, config.privacy.neighbouring);
    match (path.exists(), begun.paid.entries().is_empty()) {
        (true, true) => book(path, relation),
        (true, false) => Err(DiagnoseError::Ask(format!(
            "{} is there, and does not begin with what the run spent that model.weights comes from: choose another folder with --out",
            path.display()
        ))),
        (false, _) => Ok(begun.book(path, relation)?),
    }
}
