//! What a user asks for: one TOML file, every key of which has a default.
//!
//! Sections that a file leaves out, but for `[data]`, and keys that its `[privacy]` and `[train]` leave out, come from the default
//! configuration (the Adult census). Unknown keys are errors that name the line and the nearest known key.
mod read;

use crate::{
    augment::Augment, clip::ClipConfig, data::DataConfig, mechanism::MechanismConfig, model::ModelConfig,
    sampling::SamplingConfig, update::UpdateConfig,
};
use engine::{Device, DeviceError};
use privacy::Neighbouring;
pub use read::ConfigError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The default configuration: a classifier of the Adult census, as a user would write it.
pub const DEFAULT: &str = include_str!("../../assets/default.toml");

const NO_DATA: &str = "there is no [data], which says what is trained on, such as source = \"csv\" (docs/configuration.md has all kinds); \
                       source = \"adult\" is the census that is built in";

/// Whether training is private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Clipped, noised, charged.
    Private,
    /// NOT PRIVATE: neither clipped nor noised, for baselines.
    Ordinary,
}

/// `[privacy]`: what may be spent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivacyConfig {
    /// `"private"`, or `"ordinary"` for a baseline without any privacy.
    pub mode: Mode,
    /// The budget; the noise multiplier is calibrated to it. Give this or `noise_multiplier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epsilon: Option<f64>,
    /// Standard deviation of the noise over the clip bound. Give this or `epsilon`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise_multiplier: Option<f64>,
    /// The probability with which the loss may exceed epsilon; well below one over the number of examples.
    pub delta: f64,
    /// Which data sets are neighbours: `"add-remove"` one example, or `"replace-one"`.
    pub neighbouring: Neighbouring,
    /// Who prices the ledger.
    pub accountant: String,
}

/// `[train]`: how long, and how much at a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Expected number of examples in a step. Give this or `sample_rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lot: Option<f64>,
    /// Probability with which an example takes part in a step. Give this or `lot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<f64>,
    /// Steps. Give this or `epochs`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
    /// Steps, counted in expected passes over the data. Give this or `steps`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Examples held in memory at once; changes nothing but memory and time.
    pub chunk: usize,
    /// Evaluations on the public evaluation data, spread evenly over the run.
    pub evaluations: u64,
    /// Where to train: `"cpu"`, `"cuda"` (the first GPU), `"cuda:N"`, or on several GPUs of this machine, among which each
    /// lot is shared out: `"cuda:0,1"`, `"cuda:all"`.
    #[serde(default = "cpu")]
    pub device: String,
    /// How exact a GPU is: `"f32"`; `"tf32"`, products of factors rounded to 11 bits; `"bf16"`, of factors rounded to 8 bits, with
    /// activations and their gradients kept in bf16, at half the memory. Weights, norms, sums and noise are f32 in every case.
    #[serde(default)]
    pub precision: Precision,
    /// Write a checkpoint every so many steps; without it, only a run that is stopped can be continued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every: Option<u64>,
    /// A fixed seed makes a run reproducible and NOT private: whoever knows it can subtract the noise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How the examples of a step are chosen.
    #[serde(default)]
    pub sampling: SamplingConfig,
    /// How images are altered in each step, and in how many copies: `{ multiplicity = 8, flip = true, shift = 4 }`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub augment: Option<Augment>,
}

fn cpu() -> String {
    "cpu".into()
}

/// How exact a GPU is; the processor's numbers are always f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// Products of f32 numbers.
    #[default]
    F32,
    /// Products of numbers rounded to 11 bits.
    Tf32,
    /// Products of numbers rounded to 8 bits; activations and their gradients are kept so.
    Bf16,
}

impl TrainConfig {
    /// The devices, set to the configured precision; the first leads.
    ///
    /// # Errors
    /// If there are no such devices.
    pub fn open_devices(&self) -> Result<Vec<Device>, DeviceError> {
        let devices = Device::list(&self.device).map_err(|e| DeviceError(format!("train.device: {e}")))?;
        for gpu in devices.iter().filter_map(|device| device.gpu()) {
            gpu.set_precision(match self.precision {
                Precision::F32 => engine::Precision::F32,
                Precision::Tf32 => engine::Precision::Tf32,
                Precision::Bf16 => engine::Precision::Bf16,
            });
        }
        Ok(devices)
    }
}

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Printed on the report.
    pub title: String,
    /// The data.
    pub data: DataConfig,
    /// What may be spent.
    pub privacy: PrivacyConfig,
    /// How long, and how much at a time.
    pub train: TrainConfig,
    /// The clip rule.
    pub clip: ClipConfig,
    /// The noise.
    pub mechanism: MechanismConfig,
    /// From released gradients to steps, link by link.
    pub update: Vec<UpdateConfig>,
    /// The network and its loss.
    pub model: ModelConfig,
    /// Where relative paths of files start; no part of what is asked for. Set when a run is prepared.
    #[serde(skip)]
    pub root: PathBuf,
}

impl Config {
    /// Reads a configuration. `name` is what errors call it; `set` holds changes such as `privacy.epsilon=2`.
    ///
    /// # Errors
    /// If it is not TOML, has an unknown key, lacks a value, or asks for something impossible.
    pub fn read(name: &str, text: &str, set: &[String]) -> Result<Self, ConfigError> {
        let config = read::read(name, text, set)?;
        config.check().map_err(|what| ConfigError::new(name, what))?;
        Ok(config)
    }

    /// Reads the configuration in `file`, or the default one where none is named, with changes.
    ///
    /// # Errors
    /// As [`Config::read`]; if the file cannot be read, or says nothing of its data: only who names no file gets the default's.
    pub fn open(file: Option<&Path>, set: &[String]) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Config::read("the default configuration", DEFAULT, set) };
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::new(&name, e.to_string()))?;
        let config = Config::read(&name, &text, set)?;
        let lacks = text.parse().is_ok_and(|table: toml::Table| !table.contains_key("data"));
        match lacks && !set.iter().any(|change| change.starts_with("data=") || change.starts_with("data.source=")) {
            true => Err(ConfigError::new(&name, NO_DATA)),
            false => Ok(config),
        }
    }

    /// The resolved configuration, as a file that reads back to the same.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| format!("# this configuration cannot be written: {e}\n"))
    }

    /// The first key in which another configuration differs, with both values; none if they ask for the same run.
    pub fn difference(&self, other: &Config) -> Option<String> {
        let tables = [self, other].map(|config| toml::Value::try_from(config).ok());
        let [Some(mine), Some(theirs)] = tables else { return Some("a value that cannot be written".into()) };
        differ("", &mine, &theirs)
    }

    fn check(&self) -> Result<(), String> {
        let one_of = |a: (&str, bool), b: (&str, bool)| match (a.1, b.1) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => Err(format!("{} and {} exclude each other: give one", a.0, b.0)),
            (false, false) => Err(format!("one of {} and {} is needed", a.0, b.0)),
        };
        let (p, t) = (&self.privacy, &self.train);
        if p.mode == Mode::Private {
            let given = ("privacy.epsilon", p.epsilon.is_some());
            one_of(given, ("privacy.noise_multiplier", p.noise_multiplier.is_some()))?;
        }
        one_of(("train.lot", t.lot.is_some()), ("train.sample_rate", t.sample_rate.is_some()))?;
        one_of(("train.steps", t.steps.is_some()), ("train.epochs", t.epochs.is_some()))?;
        self.check_numbers()?;
        if self.model.layers.is_empty() && self.model.published.is_none() {
            return Err("model.layers is missing: a list of layers, or model.published = \"...\", the folder of a published model".into());
        }
        self.clip.get().check().map_err(|e| format!("clip: {e}"))?;
        if self.update.is_empty() {
            return Err("update: at least one link is needed, such as { update = \"sgd\", learning_rate = 0.1 }".into());
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<(), String> {
        let (p, t) = (&self.privacy, &self.train);
        let positive = |v: f64| v.is_finite() && v > 0.0;
        let rules = [
            ("privacy.epsilon", p.epsilon, "a finite number above 0", positive as fn(f64) -> bool),
            ("privacy.noise_multiplier", p.noise_multiplier, "a finite number of at least 0", |v| {
                v.is_finite() && v >= 0.0
            }),
            ("privacy.delta", Some(p.delta), "a number above 0 and below 1", |v| v > 0.0 && v < 1.0),
            ("train.sample_rate", t.sample_rate, "a number above 0 and at most 1", |v| v > 0.0 && v <= 1.0),
            ("train.lot", t.lot, "a finite number above 0", positive),
            ("train.epochs", t.epochs, "a finite number above 0", positive),
            ("train.steps", t.steps.map(|s| s as f64), "at least 1", |v| v >= 1.0),
            ("train.checkpoint_every", t.checkpoint_every.map(|s| s as f64), "at least 1", |v| v >= 1.0),
            ("train.chunk", Some(t.chunk as f64), "at least 1", |v| v >= 1.0),
        ];
        for (name, value, want, fine) in rules {
            match value {
                Some(v) if !fine(v) => return Err(format!("{name} = {v}: must be {want}")),
                _ => {}
            }
        }
        let known = privacy::account::by_name(&p.accountant).is_some();
        let names = || privacy::account::names().join(", ");
        known
            .then_some(())
            .ok_or_else(|| format!("privacy.accountant = \"{}\": expected one of {}", p.accountant, names()))
    }
}

/// The first place in which two values differ.
fn differ(path: &str, a: &toml::Value, b: &toml::Value) -> Option<String> {
    use toml::Value::{Array, Table};
    let inside = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    let said =
        |path: &str, value: Option<&toml::Value>| value.map_or(format!("no {path}"), |v| format!("{path} = {v}"));
    let pair = |key: &str, a: Option<&toml::Value>, b: Option<&toml::Value>| match (a, b) {
        (Some(a), Some(b)) => differ(&inside(key), a, b),
        (a, b) => Some(format!("{}, not {}", said(&inside(key), a), said(&inside(key), b))),
    };
    match (a, b) {
        _ if a == b => None,
        (Table(a), Table(b)) => {
            let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
            keys.filter(|key| a.get(*key) != b.get(*key)).find_map(|key| pair(key, a.get(key), b.get(key)))
        }
        (Array(a), Array(b)) => (0..a.len().max(b.len())).find_map(|k| {
            let (a, b) = (a.get(k), b.get(k));
            if a == b { None } else { pair(&k.to_string(), a, b) }
        }),
        _ => Some(format!("{path} = {a}, not {b}")),
    }
}
