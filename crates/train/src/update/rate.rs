//! Learning rates, for every update that has one: a number, a peak with a warm-up and a schedule, or one that finds itself.
//!
//! `learning_rate = 0.5`, `learning_rate = { peak = 0.5, warm_up = 50, schedule = "cosine" }`, or `learning_rate = "auto"`.
//! Schedules are functions of the step alone, with PyTorch's meaning (`LinearLR`, `CosineAnnealingLR`, `StepLR`); an
//! automatic rate reads released losses, which are charged (`auto_rate.rs`).
use super::{Now, within};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::f64::consts::PI;

/// A learning rate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Rate {
    /// The same in every step.
    Constant(f64),
    /// A function of the step.
    Scheduled(Scheduled),
    /// Tuned by released losses while training.
    Auto(Auto),
}

/// `"auto"`, or `{ auto = true, start = 0.001, every = 10, loss_noise = 10.0, cut = 4.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auto {
    /// Whether the rate is tuned: only `true` means anything.
    pub auto: bool,
    /// The rate that is tried first.
    pub start: f64,
    /// Steps between looks at losses.
    pub every: u64,
    /// Noise of each loss, over the cut of losses, in units of the gradient's noise multiplier.
    pub loss_noise: f64,
    /// At what losses are cut before the first look at them: above the loss that training starts from.
    pub cut: f64,
}

impl Default for Auto {
    fn default() -> Self {
        Auto { auto: true, start: 1e-3, every: 10, loss_noise: 10.0, cut: 4.0 }
    }
}

/// `{ peak = 0.5, warm_up = 50, schedule = "cosine", last = 0.01 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduled {
    /// The largest rate.
    pub peak: f64,
    /// How the rate falls from its peak.
    #[serde(default)]
    pub schedule: Schedule,
    /// Steps over which the rate rises to its peak in a straight line.
    #[serde(default)]
    pub warm_up: u64,
    /// `cosine` and `linear`: the rate in the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<f64>,
    /// `step`: steps between falls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// `step`: what the rate is multiplied by in a fall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
}

/// How a rate falls from its peak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It does not.
    #[default]
    Constant,
    /// Along half a cosine (Loshchilov & Hutter 2017, arXiv 1608.03983, equation 5).
    Cosine,
    /// In a straight line.
    Linear,
    /// By a factor every so many steps.
    Step,
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(from)? {
            toml::Value::Float(rate) => Ok(Rate::Constant(rate)),
            toml::Value::Integer(rate) => Ok(Rate::Constant(rate as f64)),
            toml::Value::String(word) if word == "auto" => Ok(Rate::Auto(Auto::default())),
            toml::Value::Table(table) if table.contains_key("auto") => {
                crate::registry::fields(table).map(Rate::Auto).map_err(D::Error::custom)
            }
            toml::Value::Table(table) => crate::registry::fields(table).map(Rate::Scheduled).map_err(D::Error::custom),
            other => Err(D::Error::custom(format!(
                "learning_rate is a number, \"auto\" or a table such as {{ peak = 0.5, schedule = \"cosine\" }}, not a {}",
                other.type_str()
            ))),
        }
    }
}

impl Rate {
    /// Whether the numbers make sense; says which does not.
    pub fn check(&self) -> Result<(), String> {
        let s = match self {
            Rate::Constant(rate) => return within("learning_rate", *rate, 0.0..).map(drop),
            Rate::Auto(auto) => return auto.check(),
            Rate::Scheduled(scheduled) => scheduled,
        };
        within("learning_rate.peak", s.peak, 0.0..)?;
        within("learning_rate.last", s.last.unwrap_or(0.0), 0.0..=s.peak)?;
        within("learning_rate.factor", s.factor.unwrap_or(1.0), 0.0..=1.0)?;
        let stepping = s.schedule == Schedule::Step;
        match (stepping, s.every, s.factor) {
            (true, Some(1..), Some(_)) | (false, None, None) => {}
            (true, ..) => return Err("learning_rate: schedule = \"step\" needs every (at least 1) and factor".into()),
            (false, ..) => return Err("learning_rate: every and factor belong to schedule = \"step\"".into()),
        }
        match s.last.is_some() && !matches!(s.schedule, Schedule::Cosine | Schedule::Linear) {
            true => Err("learning_rate: last belongs to the schedules cosine and linear".into()),
            false => Ok(()),
        }
    }

    /// The rate of this step.
    pub fn at(&self, now: &Now) -> f64 {
        match self {
            Rate::Constant(rate) => *rate,
            Rate::Scheduled(scheduled) => scheduled.at(now.step, now.steps),
            Rate::Auto(_) => now.tuned,
        }
    }

    /// How this rate is tuned, if it is.
    pub fn auto(&self) -> Option<&Auto> {
        if let Rate::Auto(auto) = self { Some(auto) } else { None }
    }
}

impl Auto {
    fn check(&self) -> Result<(), String> {
        within("learning_rate.start", self.start, f64::MIN_POSITIVE..)?;
        within("learning_rate.cut", self.cut, f64::MIN_POSITIVE..)?;
        within("learning_rate.loss_noise", self.loss_noise, f64::MIN_POSITIVE..)?;
        match (self.auto, self.every) {
            (false, _) => Err("learning_rate.auto = false: give a number instead".into()),
            (_, 0) => Err("learning_rate.every = 0: must be at least 1".into()),
            _ => Ok(()),
        }
    }
}

impl Scheduled {
    /// The rate of step `step`, from 0, of `steps`.
    fn at(&self, step: u64, steps: u64) -> f64 {
        if step < self.warm_up {
            return self.peak * (step + 1) as f64 / self.warm_up as f64;
        }
        let (made, all) = (step - self.warm_up, steps.saturating_sub(self.warm_up).max(1));
        let (way, last) = ((made as f64 / all as f64).min(1.0), self.last.unwrap_or(0.0));
        match self.schedule {
            Schedule::Constant => self.peak,
            Schedule::Cosine => last + (self.peak - last) * (1.0 + (PI * way).cos()) / 2.0,
            Schedule::Linear => self.peak + (last - self.peak) * way,
            Schedule::Step => {
                let falls = made / self.every.unwrap_or(1).max(1);
                self.peak * self.factor.unwrap_or(1.0).powi(i32::try_from(falls).unwrap_or(i32::MAX))
            }
        }
    }
}
