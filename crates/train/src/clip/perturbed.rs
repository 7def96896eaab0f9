//! Pre-clip perturbation, sampled: noise on each gradient before it is clipped, against the bias of clipping.
//!
//! Source: Chen, Wu & Hong 2020 (NeurIPS), arXiv 2006.15429. `clip(g_i + k zeta_i, C)` with fresh normal `zeta_i`; `k = 0` is flat
//! clipping. Sensitivity `C`: clipping comes after. `zeta` buys no privacy and is not charged; it comes from its own stream,
//! by the example's number, so that nobody else's changes. In high dimension `k sqrt(d) >> C` shrinks every gradient by
//! `C / (k sqrt(d))`: write `reach`, which is `k sqrt(d) / C`. The radial rule is the mean of this one over `zeta`, without the
//! noise and its cost. Cost class GRAD.
use super::{Bound, ClipRule, Frame, Prepare, Setting, flat};
use crate::{each::Each, state::State};
use privacy::{Key, Purpose};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

fn reach() -> f64 {
    1.0
}

/// `{ rule = "perturbed", bound = 1.0, reach = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Perturbed {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// `k sqrt(d) / C`: the norm of the perturbation over the bound.
    #[serde(default = "reach")]
    pub reach: f64,
}

impl Prepare for Perturbed {
    fn check(&self) -> Result<(), String> {
        let fine = self.reach.is_finite() && self.reach >= 0.0;
        fine.then_some(()).ok_or_else(|| "reach is a number of at least 0".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let by = self.reach * self.bound.get() / (setting.parameters.max(1) as f64).sqrt();
        let mut rule = Rule { bound: self.bound.get(), by, key: setting.key.clone(), frame: None };
        rule.begin(0);
        Ok(Box::new(rule))
    }
}

struct Rule {
    bound: f64,
    by: f64,
    key: Arc<Key>,
    frame: Option<Frame>,
}

impl State for Rule {}

impl ClipRule for Rule {
    fn begin(&mut self, step: u64) {
        self.frame = Some(Frame::Shake { by: self.by, stream: self.key.stream(Purpose::Perturb, step, 0) });
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.bound; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.bound])
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    /// `clipping-08`, section 4: on T0 with d = 3, k = C = 1, the average over 10^6 draws of the sampled rule is the radial rule
    /// to three standard errors in every coordinate (besides the 3e-4 of its table of norms), for each example by itself. Of
    /// 12 such comparisons one fails with probability 0.03 over keys; the key is fixed.
    #[test]
    fn the_mean_is_radial() {
        let reach = 3f64.sqrt();
        let sampled = rule(&format!("rule = \"perturbed\"\nreach = {reach}"));
        let radial = rule(&format!("rule = \"radial\"\nreach = {reach}"));
        let n = 1_000_000;
        for (k, example) in T0.into_iter().enumerate() {
            let want = sum(&*radial, &[example]);
            // Examples' own numbers pick their normals: each draw is another example.
            let draws = (0..10).map(|part| sum_of(&*sampled, &vec![example; n / 10], (10 * k + part) * n / 10));
            let got = draws.fold(vec![0.0; 3], |a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect());
            for (got, want) in got.iter().zip(want) {
                let mean = got / n as f64;
                let error = ((1.0 - mean * mean) / n as f64).sqrt();
                assert!((mean - want).abs() < 3.0 * error + 3e-4, "{mean} and {want}");
            }
        }
    }
}
