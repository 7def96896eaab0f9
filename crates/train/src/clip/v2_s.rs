//! Global-Adapt V2-S: threshold and noise that fall by public steps.
//!
//! Source: Chilukoti et al. 2023, arXiv 2312.02400 (formulas second-hand). After every `epochs` epochs the threshold `z` and
//! the *variance* of the noise are multiplied by `decay`. `w = c0 / z` if `n <= z`, else `c0 / (n + a / (n + a))`.
//! Sensitivity `c0`: `w n <= c0` in both branches. The schedule is public, and every step is charged with its own noise
//! multiplier. The paper sums its costs over *epochs*: for n = 60000, b = 256, 60 epochs, sigma 1.1, delta 1e-5 that gives
//! "epsilon 0.526", where its own formula over all 14100 iterations gives 9.35 and a tight accountant 2.60. Cost class NORM.
use super::{Bound, ClipRule, Prepare, Setting};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

pub(super) fn threshold() -> f64 {
    50.0
}
pub(super) fn a() -> f64 {
    0.1
}
fn decay() -> f64 {
    0.64
}
fn epochs() -> u64 {
    2
}

/// `{ rule = "v2-s", bound = 1.0, threshold = 50.0, decay = 0.64, epochs = 2, a = 0.1 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2S {
    /// `c0`.
    #[serde(default)]
    pub bound: Bound,
    /// `z` at the start, in the gradients' own scale.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// What threshold and variance are multiplied with, above 0 and at most 1.
    #[serde(default = "decay")]
    pub decay: f64,
    /// Epochs on a plateau.
    #[serde(default = "epochs")]
    pub epochs: u64,
    /// Of the tail beyond the threshold, as in PSAC.
    #[serde(default = "a")]
    pub a: f64,
}

impl Prepare for V2S {
    fn check(&self) -> Result<(), String> {
        check(self.threshold, self.a)?;
        let fine = self.decay > 0.0 && self.decay <= 1.0 && self.epochs > 0;
        fine.then_some(()).ok_or_else(|| "decay is above 0 and at most 1, epochs at least 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let V2S { bound, threshold, decay, epochs, a } = self.clone();
        let factor = move |epoch: f64| decay.powf((epoch / epochs as f64).floor());
        Ok(Box::new(Scheduled::new(setting, [bound.get(), threshold, a], Box::new(factor))))
    }
}

pub(super) fn check(threshold: f64, a: f64) -> Result<(), String> {
    let fine = |x: f64| x.is_finite() && x > 0.0;
    (fine(threshold) && fine(a)).then_some(()).ok_or_else(|| "threshold and a are numbers above 0".into())
}

/// A factor for threshold and variance, by the number of the epoch.
type Factor = Box<dyn Fn(f64) -> f64 + Send + Sync>;

/// Both variants: what differs is the schedule.
pub(super) struct Scheduled {
    bound: f64,
    threshold: f64,
    a: f64,
    steps_per_epoch: f64,
    factor: Factor,
    now: f64,
}

impl Scheduled {
    pub(super) fn new(setting: &Setting, [bound, threshold, a]: [f64; 3], factor: Factor) -> Self {
        Scheduled { bound, threshold, a, steps_per_epoch: setting.steps_per_epoch(), factor, now: 1.0 }
    }
}

impl State for Scheduled {}

impl ClipRule for Scheduled {
    fn begin(&mut self, step: u64) {
        self.now = (self.factor)((step as f64 / self.steps_per_epoch).floor());
    }
    fn loudness(&self) -> f64 {
        self.now.sqrt()
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.bound; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        let (bound, z, a) = (self.bound, self.threshold * self.now, self.a);
        norms.map(move |n| if n <= z { bound / z } else { bound / (n + a / (n + a)) })
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let z = self.threshold * self.now;
        Some(vec![Curve { threshold: z, below: self.bound / z, soft: self.a, ..Curve::inverse(self.bound) }; groups])
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{T0, close, prepared, setting, sum};

    const TEXT: &str = "rule = \"v2-s\"\nthreshold = 4.0\ndecay = 0.64\nepochs = 2";

    #[test]
    fn published_sum() {
        let rule = prepared(TEXT, &setting(1.0, 4.0));
        close(&sum(&*rule, &T0), &[0.0672345633, 1.4820155622, 0.9277108434], 1e-6);
    }

    /// sigma_e = 1, 1, 0.8, 0.8, 0.64, ... for R = 0.64, K = 2; the noise of a constant run of the same sum of 1 / sigma^2.
    #[test]
    fn published_schedule() {
        let mut rule = prepared(TEXT, &setting(1.0, 4.0));
        let sigma: Vec<f64> = (0..80u64)
            .map(|step| {
                rule.begin(step);
                rule.loudness()
            })
            .collect();
        let epochs: Vec<f64> = sigma.iter().copied().step_by(10).collect();
        close(&epochs, &[1.0, 1.0, 0.8, 0.8, 0.64, 0.64, 0.512, 0.512], 1e-12);
        assert!(sigma.chunks(10).all(|epoch| epoch.iter().all(|s| *s == epoch[0])), "constant within an epoch");
        let precision: f64 = epochs.iter().map(|s| s.powi(-2)).sum();
        close(&[precision, (8.0 / precision).sqrt()], &[17.63720703, 0.6734883490], 1e-9);
        close(&[1.3 * (precision / 8.0).sqrt()], &[1.9302486848], 1e-9);
    }
}
