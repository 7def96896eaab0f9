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
//! Whoever trains begins by a [`Beginning`], a diagnosis too (`diagnose/visit.rs`).
//! Files are known by their declared names and by their paths; not by their content, of which weights that are published may say nothing.
//! *Not seen.* The same rows in another file, and files of other programs.
//! *Tests.* `tests/starting.rs`.
use super::{RunError, folder, left};
use crate::{
    checkpoint,
    config::{Config, Mode},
    data,
    grads::Layout,
    model::{Model, Start, StartError, Stored, Weights},
    plan::Plan,
    published::{self, Published, Taken},
};
use privacy::{Event, Key, Ledger, Neighbouring};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The key of a weights file's metadata under which it lists what it was trained on.
pub(super) const SEEN: &str = "secateur.seen";

/// A private file that weights were trained on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// As it was declared.
    file: String,
    /// A fingerprint of its path, so that another way to say the same place is known; of nothing in it, since weights may be published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<String>,
    /// Whether that training was private.
    private: bool,
    /// By how many runs before the one that wrote the weights.
    ago: u64,
}

/// How a warning begins that repeats what an earlier statement rests on.
const EARLIER: &str = "The run that training goes on from rests on a claim of its own: ";

/// What the weights of a run have seen that began with such that had seen `before`.
pub(super) fn seen_after(config: &Config, root: &Path, before: &[Seen]) -> Vec<Seen> {
    let private = config.privacy.mode == Mode::Private;
    let own = files(config, root).into_iter().map(|(file, place)| Seen { file, place, private, ago: 0 });
    before.iter().map(|one| Seen { ago: one.ago + 1, ..one.clone() }).chain(own).collect()
}

/// The private files of `config`: how they are declared, and a fingerprint of where they lie.
fn files(config: &Config, root: &Path) -> Vec<(String, Option<String>)> {
    let one = |file: &&Path| (file.display().to_string(), place(&data::find(root, file).unwrap_or(root.join(file))));
    config.data.private_files().iter().map(one).collect()
}

/// A fingerprint of a file's path, links resolved (FNV-1a: the same in every build).
fn place(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    Some(format!("{:016x}", path.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix)))
}

/// Where training starts.
pub(super) struct Begun {
    pub weights: Weights,
    /// What they have seen, by what their file says.
    pub seen: Vec<Seen>,
    /// What whoever asked for them should know.
    pub remarks: Vec<String>,
}

/// Where training starts: fresh weights, or those of a file.
pub(super) fn begin(config: &Config, model: &Model, root: &Path, key: &Key) -> Result<Begun, RunError> {
    let layout = model.layout();
    if config.model.lora.is_some() && config.clip.name() == "pruned" {
        let why = "adapters begin at zero, and a mask that is chosen once never lets them move. Use another clip.rule";
        return Err(RunError::Weights(format!("clip.rule = \"pruned\" with model.lora: {why}")));
    }
    let Some(path) = file(config, root) else {
        let given =
            |fits: bool| if fits { Ok(()) } else { Err("model.fresh: without model.weights all start fresh".into()) };
        given(config.model.fresh.is_empty()).map_err(RunError::Weights)?;
        let weights = Weights::public(layout, key);
        return Ok(Begun { weights, seen: Vec::new(), remarks: Vec::new() });
    };
    let wrong = |e: String| RunError::Weights(format!("model.weights: {e}"));
    let (stored, about) = checkpoint::read_any(&path).map_err(wrong)?;
    let seen: Vec<Seen> = match about.get(SEEN).map(|seen| serde_json::from_str(seen)) {
        None => Vec::new(),
        Some(seen) => seen.map_err(|e| wrong(format!("{}: `{SEEN}`: {e}", path.display())))?,
    };
    if let (Mode::Private, Some(Start::Public(file))) = (config.privacy.mode, &config.model.weights) {
        refuse_own(config, root, file, &seen).map_err(wrong)?;
    }
    let taken = taken(config, layout, root, &path, stored)?;
    let fresh = config.model.fresh.and(taken.fresh);
    let weights = Weights::fitted(layout, key, taken.stored, &fresh).map_err(|e| unfit(&path, &e))?;
    Ok(Begun { weights, seen, remarks: taken.remark.into_iter().collect() })
}

fn unfit(path: &Path, problem: &StartError) -> RunError {
    RunError::Weights(format!("model.weights: {}: {problem}", path.display()))
}

/// What is `stored` in the file at `path`, under the model's own names.
fn taken(
    config: &Config,
    layout: &Layout,
    root: &Path,
    path: &Path,
    stored: HashMap<String, Stored>,
) -> Result<Taken, RunError> {
    let published = match config.model.weights {
        Some(Start::Public(_)) => Published::of(config, root).map_err(RunError::Weights)?,
        _ => None,
    };
    let names = published.as_ref().map(Published::names);
    let found = stored.keys().flat_map(|name| names.as_ref().map_or(vec![name.clone()], |names| names.forms(name)));
    config.model.check_fresh(layout, &found.collect::<Vec<_>>()).map_err(RunError::Weights)?;
    match names {
        None => Ok(Taken { stored, ..Taken::default() }),
        Some(names) => {
            let parameters = layout.places().iter().map(|place| layout.at(*place));
            names.take(parameters, stored, &config.model.fresh, path).map_err(|e| unfit(path, &e))
        }
    }
}

/// Where training starts and what it is going to do, settled before anything is written.
pub(crate) struct Beginning {
    pub(crate) plan: Plan,
    pub(crate) weights: Weights,
    /// What was spent on the same data before; empty where nothing was.
    pub(crate) paid: Ledger,
    pub(super) seen: Vec<Seen>,
    /// What whoever asked for the weights should know.
    pub(super) remarks: Vec<String>,
    pub(super) before: Before,
}

impl Beginning {
    /// # Errors
    /// If the weights do not fit or cannot be started from, or no noise meets the budget after what was paid.
    pub(crate) fn new(
        config: &Config,
        root: &Path,
        model: &Arc<Model>,
        examples: usize,
        key: &Key,
    ) -> Result<Beginning, RunError> {
        let before = Before::look(config, root)?;
        let Begun { weights, seen, remarks } = begin(config, model, root, key)?;
        let paid = before.ledger(config.privacy.neighbouring)?;
        let plan = Plan::after(config, model, examples, &paid)?;
        Ok(Beginning { plan, weights, paid, seen, remarks, before })
    }

    /// A ledger on disk that begins with what was paid.
    pub(crate) fn book(&self, path: &Path, neighbouring: Neighbouring) -> Result<Ledger, RunError> {
        self.before.create(path, neighbouring)
    }

    /// Whether the weights say that they were trained on private files of `config`, and if so, whether always with noise.
    pub(crate) fn has_seen(&self, config: &Config, root: &Path) -> Option<bool> {
        own(config, root, &self.seen).map(|one| one.private)
    }
}

fn file(config: &Config, root: &Path) -> Option<PathBuf> {
    config.model.weights.as_ref().map(|start| match start {
        Start::Public(file) => root.join(file),
        Start::Run(folder) => root.join(folder).join(left::WEIGHTS),
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

/// Of what was `seen`, the most telling that is a private file of `config`: what was shown without noise, then what is nearest.
fn own<'a>(config: &Config, root: &Path, seen: &'a [Seen]) -> Option<&'a Seen> {
    let own = files(config, root);
    let same =
        |one: &&Seen| own.iter().any(|(file, place)| *file == one.file || (place.is_some() && *place == one.place));
    seen.iter().filter(same).min_by_key(|one| (one.private, one.ago))
}

/// Refuses to take over the folder whose weights training starts from: it would be cleared of them.
///
/// # Errors
/// If they lie in it.
pub(super) fn keep_off(config: &Config, root: &Path, folder: &Path) -> Result<(), RunError> {
    let weights = match &config.model.weights {
        Some(Start::Public(file)) => Some(file),
        _ => None,
    };
    let inside = |file: &&PathBuf| match (root.join(file).canonicalize(), folder.canonicalize()) {
        (Ok(file), Ok(folder)) => file.starts_with(folder),
        _ => false,
    };
    match weights.into_iter().chain(&config.model.published).find(inside) {
        None => Ok(()),
        Some(file) => Err(RunError::Weights(format!(
            "model.weights: {} lies in {}, where this run's results would go: choose another folder",
            file.display(),
            folder.display()
        ))),
    }
}

/// Refuses to call the weights in `file` public where they have `seen` private rows of `config`.
fn refuse_own(config: &Config, root: &Path, file: &Path, seen: &[Seen]) -> Result<(), String> {
    let Some(one) = own(config, root, seen) else { return Ok(()) };
    let folder = file.parent().unwrap_or(file);
    // A run's published form lies in a folder inside its own.
    let inside = folder.file_name().is_some_and(|name| name == published::FOLDER);
    let folder = folder.parent().filter(|_| inside).unwrap_or(folder).display();
    let name = file.display();
    let origin = match one.ago {
        0 => format!("{name} is from"),
        _ => format!("what {name} began with is from"),
    };
    let rows = &one.file;
    Err(match one {
        Seen { private: true, ago: 0, .. } => format!(
            "{origin} a private run on {rows}, which [data] names, so it is not public: say model.weights = {{ run = \"{folder}\" }}, the folder \
             with its ledger.jsonl, and what it spent is carried on"
        ),
        Seen { private: true, .. } => {
            format!(
                "{origin} a private run on {rows}, which [data] names, so it is not public. Use weights that have not seen these rows"
            )
        }
        _ => format!(
            "{origin} ordinary training on {rows}, which [data] names: nothing that starts from it is private. Use weights that have not seen \
             these rows"
        ),
    })
}

/// The ledger of an earlier run, if this run can go on with it.
fn carried(config: &Config, folder: &Path) -> Result<Before, String> {
    let wrong = |what: &str| Err(format!("model.weights: run = \"{}\": {what}", folder.display()));
    let path = folder.join("ledger.jsonl");
    let earlier = left::config(folder).map_err(|e| format!("model.weights: {e}"))?;
    if earlier.data != config.data {
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
    let Ok(earlier) = left::config(&folder) else { return Vec::new() };
    let statement = fs::read(folder.join("privacy.json")).unwrap_or_default();
    let statement: serde_json::Value = serde_json::from_slice(&statement).unwrap_or_default();
    let warnings = statement["warnings"].as_array().into_iter().flatten().filter_map(|warning| warning.as_str());
    let repeated = warnings.filter(|warning| warning.starts_with(EARLIER)).map(str::to_owned);
    let own = match &earlier.model.weights {
        Some(Start::Public(file)) => Some(format!("{EARLIER}the weights in {} are public.", file.display())),
        _ => None,
    };
    // What its own price and its rule rest on.
    let among = earlier.train.sampling.get().among().map(str::to_owned);
    let rests = earlier.clip.get().claims().into_iter().chain(among).map(|claim| format!("{EARLIER}{claim}"));
    repeated.chain(own).chain(rests).collect()
}
