//! The weights that a run starts from, and what they cost before.
//!
//! # Why this is private
//! *Claim.* A run that starts from weights made from its own data pays for them: its ledger begins with theirs.
//! *Argument.* `{ run = .. }` copies the earlier run's ledger, and this run's is the copy, continued: calibration, odometer and statement read
//! one ledger, and adaptive composition is what accountants price (what is chosen in the second part may depend on what the first released).
//! What the earlier statement rests on is told again, a run with a seed is not gone on with by one without, and neither is correlated noise,
//! whose season is its own run's. Its folder is held until its ledger is copied.
//! `{ public = .. }` is a claim. A file that Secateur wrote names the private files that it, and whatever it started from, was trained on; where
//! this run's own is among them, the claim is refused: after ordinary training always, after a private one with the way to carry its ledger on.
//! *Not seen.* The same rows in another file, and files of other programs.
//! *Tests.* `tests/starting.rs`.
use super::{RunError, folder};
use crate::{
    checkpoint,
    config::{Config, Mode},
    model::{Model, Start, Weights},
    plan::Plan,
};
use privacy::{Event, Key, Ledger, Neighbouring};
use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

/// What a run's weights say of themselves, in the file's metadata.
pub(super) const DATA: &str = "secateur.data";
pub(super) const PRIVATE: &str = "secateur.private";
pub(super) const SEEN: &str = "secateur.seen";

/// The keys of a declaration that say where private rows lie.
const PRIVATE_ROWS: [&str; 5] = ["source", "train", "train_images", "train_labels", "folder"];

/// How a warning begins that repeats what an earlier statement rests on.
const EARLIER: &str = "The run that training goes on from rests on a claim of its own: ";

/// The data set of a configuration as it is declared, to be compared.
pub(super) fn declared(config: &Config) -> String {
    toml::to_string(&config.data).unwrap_or_default()
}

/// Where the private rows of a declaration lie, to be compared: what else it says does not make them other rows.
fn rows(declared: &str) -> String {
    let mut table: toml::Table = toml::from_str(declared).unwrap_or_default();
    table.retain(|key, _| PRIVATE_ROWS.contains(&key));
    table.to_string()
}

/// The private rows that the weights which a run starts from were made of, by what their file says, one after the other.
pub(super) fn seen(config: &Config, root: &Path) -> Result<Vec<String>, RunError> {
    let Some(path) = file(config, root) else { return Ok(Vec::new()) };
    let about = checkpoint::about(&path).map_err(|e| RunError::Weights(format!("model.weights: {e}")))?;
    let mut seen: Vec<String> =
        about.get(SEEN).map_or_else(Vec::new, |list| serde_json::from_str(list).unwrap_or_default());
    seen.extend(about.get(DATA).map(|declared| rows(declared)));
    Ok(seen)
}

/// Where training starts: fresh weights, or those of a file.
pub(crate) fn start(config: &Config, model: &Model, root: &Path, key: &Key) -> Result<Weights, RunError> {
    let layout = model.layout();
    if config.model.lora.is_some() && config.clip.name() == "pruned" {
        let why = "adapters begin at zero, and a mask that is chosen once never lets them move. Use another clip.rule";
        return Err(RunError::Weights(format!("clip.rule = \"pruned\" with model.lora: {why}")));
    }
    let Some(path) = file(config, root) else {
        let given =
            |fits: bool| if fits { Ok(()) } else { Err("model.fresh: without model.weights all start fresh".into()) };
        given(config.model.fresh.is_empty()).map_err(RunError::Weights)?;
        return Ok(Weights::public(layout, key));
    };
    if config.privacy.mode == Mode::Private && matches!(config.model.weights, Some(Start::Public(_))) {
        refuse_own(config, &path).map_err(RunError::Weights)?;
        if seen(config, root)?.contains(&rows(&declared(config))) {
            return Err(RunError::Weights(format!(
                "model.weights: {}: what these weights began with was trained on these same rows ([data]), so they are not public",
                path.display()
            )));
        }
    }
    let wrong = |e: String| RunError::Weights(format!("model.weights: {}: {e}", path.display()));
    let stored = checkpoint::read_any(&path).map_err(|e| RunError::Weights(format!("model.weights: {e}")))?;
    config.model.check_fresh(layout, &stored).map_err(RunError::Weights)?;
    Weights::fitted(layout, key, stored, &config.model.fresh).map_err(|e| wrong(e.to_string()))
}

fn file(config: &Config, root: &Path) -> Option<PathBuf> {
    config.model.weights.as_ref().map(|start| match start {
        Start::Public(file) => root.join(file),
        Start::Run(folder) => root.join(folder).join("model.safetensors"),
    })
}

/// What was spent on a run's own data before it begins, by the run that its weights come from.
#[derive(Default)]
pub(super) struct Before {
    /// The earlier ledger, where there is one.
    path: Option<PathBuf>,
    /// Its lock, so that nobody takes its folder before it is copied.
    _held: Option<File>,
}

impl Before {
    /// Looks at what the configuration says of its weights.
    ///
    /// # Errors
    /// If they are those of a run that has no ledger that can be carried on.
    pub(super) fn look(config: &Config, root: &Path) -> Result<Before, RunError> {
        if config.privacy.mode == Mode::Ordinary {
            return Ok(Before::default());
        }
        match &config.model.weights {
            None | Some(Start::Public(_)) => Ok(Before::default()),
            Some(Start::Run(folder)) => carried(config, &root.join(folder)).map_err(RunError::Weights),
        }
    }

    /// The earlier ledger, to price what comes on top; an empty one where there is none.
    pub(super) fn ledger(&self, neighbouring: Neighbouring) -> Result<Ledger, RunError> {
        Ok(self.path.as_ref().map_or_else(|| Ok(Ledger::new(neighbouring)), Ledger::read)?)
    }

    /// Refuses to write into the folder of the run that the weights come from: its ledger and weights are still needed.
    ///
    /// # Errors
    /// If it is that folder.
    pub(super) fn keep_off(&self, folder: &Path) -> Result<(), RunError> {
        let own = self.path.as_ref().and_then(|ledger| ledger.parent()).map(Path::canonicalize);
        match (own, folder.canonicalize()) {
            (Some(Ok(own)), Ok(folder)) if own == folder => Err(RunError::Weights(format!(
                "model.weights: {} is where this run's results would go, too: choose another folder",
                folder.display()
            ))),
            _ => Ok(()),
        }
    }

    /// A ledger on disk that begins with the earlier one.
    pub(super) fn create(&self, path: &Path, neighbouring: Neighbouring) -> Result<Ledger, RunError> {
        let Some(earlier) = &self.path else { return Ok(Ledger::create(path, neighbouring)?) };
        // Never over a ledger: of two runs that begin at once, one has the folder.
        let made = || File::options().write(true).create_new(true).open(path);
        let written = fs::read(earlier).and_then(|bytes| {
            let mut file = made()?;
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(|source| RunError::Write { path: path.to_owned(), source })?;
        Ok(Ledger::resume(path)?)
    }
}

/// Refuses to call weights public that were made from the data of `config`.
fn refuse_own(config: &Config, path: &Path) -> Result<(), String> {
    let about = checkpoint::about(path).map_err(|e| format!("model.weights: {e}"))?;
    if about.get(DATA).map(|earlier| rows(earlier)) != Some(rows(&declared(config))) {
        return Ok(());
    }
    let written = match &config.model.weights {
        Some(Start::Public(file)) => file.as_path(),
        _ => path,
    };
    let (name, folder) = (path.display(), written.parent().unwrap_or(path).display());
    Err(match about.get(PRIVATE).map(String::as_str) {
        Some("true") => format!(
            "model.weights: {name} is from a private run of Secateur on these same rows ([data] names the same file), so it is not public: say \
             model.weights = {{ run = \"{folder}\" }}, the folder with its ledger.jsonl, and what it spent is carried on"
        ),
        _ => format!(
            "model.weights: {name} is from ordinary training on these same rows ([data] names the same file): nothing that starts from it is \
             private. Use weights that have not seen these data"
        ),
    })
}

/// The ledger of an earlier run, if this run can go on with it.
fn carried(config: &Config, folder: &Path) -> Result<Before, String> {
    let wrong = |what: &str| Err(format!("model.weights: run = \"{}\": {what}", folder.display()));
    let [settings, path] = ["config.toml", "ledger.jsonl"].map(|name| folder.join(name));
    let text = fs::read_to_string(&settings).map_err(|e| format!("model.weights: {}: {e}", settings.display()))?;
    let earlier =
        Config::read(&settings.display().to_string(), &text, &[]).map_err(|e| format!("model.weights: {e}"))?;
    if declared(&earlier) != declared(config) {
        return wrong(
            "this run was on other data: its ledger can be carried on where [data] is the same to the letter",
        );
    }
    if earlier.train.seed.is_some() && config.train.seed.is_none() {
        return wrong(
            "this run had a fixed seed, by which its noise can be subtracted: nothing that starts from it is private",
        );
    }
    if earlier.mechanism.name() != "gaussian" {
        return wrong(
            "this run's noise was correlated over its steps, and its season cannot be gone on with by another run",
        );
    }
    let Ok(held) = folder::hold(&path) else {
        return wrong("this run is still at work, or another is just starting from it");
    };
    let ledger = Ledger::read(&path).map_err(|e| format!("model.weights: {e}"))?;
    if ledger.neighbouring() != config.privacy.neighbouring {
        return wrong("its ledger is of another privacy.neighbouring, and the two cannot be added up");
    }
    if ledger.entries().iter().any(|(event, _)| matches!(event, Event::Revealed { .. })) {
        return wrong("its ledger says that these data were shown as they are: nothing that starts from it is private");
    }
    Ok(Before { path: Some(path), _held: held })
}

/// A noise multiplier beyond which hardly anything can be learnt.
const DROWNED: f64 = 100.0;

/// That so little of the budget is left that noise drowns what this run could learn.
pub(super) fn drowned(config: &Config, plan: &Plan, spent: f64) -> Option<String> {
    let (noise, budget) = (plan.noise_multiplier, config.privacy.epsilon?);
    (noise > DROWNED).then(|| {
        format!(
            "The run that the weights come from spent epsilon {spent:.4} of the {budget} of both: what is left buys a noise multiplier of \
             {noise:.0}, under which nothing is learnt. Raise privacy.epsilon."
        )
    })
}

/// What the statement of the run that is gone on with rests on, and what it repeats of those before it.
pub(super) fn claims(config: &Config, root: &Path) -> Vec<String> {
    let Some(Start::Run(folder)) = &config.model.weights else { return Vec::new() };
    let folder = root.join(folder);
    let settings = fs::read_to_string(folder.join("config.toml")).unwrap_or_default();
    let Ok(earlier) = Config::read("config.toml", &settings, &[]) else { return Vec::new() };
    let statement = fs::read(folder.join("privacy.json")).unwrap_or_default();
    let statement: serde_json::Value = serde_json::from_slice(&statement).unwrap_or_default();
    let warnings = statement["warnings"].as_array().into_iter().flatten().filter_map(|warning| warning.as_str());
    let repeated = warnings.filter(|warning| warning.starts_with(EARLIER)).map(str::to_owned);
    let own = match &earlier.model.weights {
        Some(Start::Public(file)) => Some(format!("{EARLIER}the weights in {} are public.", file.display())),
        _ => None,
    };
    repeated.chain(own).collect()
}
