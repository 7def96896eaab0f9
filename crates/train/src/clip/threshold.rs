//! A threshold that moves with what was released, and what rules with one have in common. Not a rule.
use super::{Setting, SideNoise, bound::RANGE};
use crate::{grads::Grads, state::Visit};
use privacy::Sum;

/// A bound that is followed from release to release.
#[derive(Debug, Clone)]
pub(super) struct Threshold {
    /// The bound now.
    pub now: f64,
    lowest: f64,
    highest: f64,
    unit: Option<f64>,
}

impl Threshold {
    /// Starts at `start`; kept between `lowest` and `highest`. With `unit`, means are scaled as if the bound were that.
    pub fn new(start: f64, lowest: f64, highest: f64, unit: Option<f64>) -> Self {
        Threshold { now: start.clamp(lowest, highest), lowest, highest, unit }
    }
    /// Moves to `to`, within its limits; stays where it is if that is no number.
    pub fn follow(&mut self, to: f64) {
        if !to.is_nan() {
            self.now = to.clamp(self.lowest, self.highest);
        }
    }
    /// A released mean in units of the bound, if asked for, so that a step does not change with the threshold.
    pub fn rescale(&self, mean: Grads) -> Grads {
        match self.unit {
            Some(unit) => mean.scale(unit / self.now),
            None => mean,
        }
    }
    /// Shows the bound.
    pub fn state(&mut self, visit: &mut Visit) {
        visit.number("bound", &mut self.now);
    }
}

pub(super) fn lowest() -> f64 {
    1e-6
}
pub(super) fn highest() -> f64 {
    1e6
}

/// Whether limits and a unit make sense.
pub(super) fn check(lowest: f64, highest: f64, unit: Option<f64>) -> Result<(), String> {
    let fine = RANGE.contains(&lowest) && RANGE.contains(&highest) && lowest <= highest;
    let unit = unit.is_none_or(|unit| unit.is_finite() && unit > 0.0);
    match (fine, unit) {
        (false, _) => Err("lowest and highest are numbers from 1e-30 to 1e30, in this order".into()),
        (_, false) => Err("unit is a number above 0".into()),
        _ => Ok(()),
    }
}

/// A setting that must be a number above 0.
pub(super) fn positive(name: &str, value: f64) -> Result<(), String> {
    let fine = value.is_finite() && value > 0.0;
    fine.then_some(()).ok_or_else(|| format!("{name} = {value}: must be a number above 0"))
}

/// The noise of a side release whose answers are at most `bound` long: as written, or the usual one, or more where that
/// would take more than a tenth of the budget.
pub(super) fn side_noise(written: Option<f64>, usual: f64, bound: f64, setting: &Setting) -> SideNoise {
    let tenth = 10f64.sqrt() * bound * setting.noise_multiplier;
    SideNoise::Deviation(written.unwrap_or(usual.max(tenth)))
}
