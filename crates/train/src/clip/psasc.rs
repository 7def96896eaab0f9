//! PSASC: per-sample adaptive scaling, which weighs small gradients up against large ones.
//!
//! Source: Huang et al. 2024, arXiv 2411.03059. `w = C / (s n + r / (n + r))`; `s = 1` is PSAC. Sensitivity `C / s`, since
//! `w n < C / s`: the noise shrinks with the gradients, and the learning rate is to be multiplied by `s` in comparisons.
//! The paper's momentum, over released gradients, is an update here (`momentum` of `sgd`). Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

fn r() -> f64 {
    0.1
}
fn s() -> f64 {
    1.0
}

/// `{ rule = "psasc", bound = 1.0, r = 0.1, s = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Psasc {
    /// `C`; the bound on what one example does is `C / s`.
    #[serde(default)]
    pub bound: Bound,
    /// Where weights stop growing as gradients shrink.
    #[serde(default = "r")]
    pub r: f64,
    /// How much large gradients are compressed.
    #[serde(default = "s")]
    pub s: f64,
    /// Over what norms are taken.
    #[serde(default)]
    pub per: Grouping,
}

impl State for Psasc {}

impl ClipRule for Psasc {
    fn check(&self) -> Result<(), String> {
        let fine = |x: f64| x.is_finite() && x > 0.0;
        (fine(self.r) && fine(self.s)).then_some(()).ok_or_else(|| "r and s are numbers above 0".into())
    }
    fn grouping(&self) -> Grouping {
        self.per
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups).into_iter().map(|c| c / self.s).collect()
    }
    fn weigh(&self, norms: Each) -> Each {
        let (r, s, bounds) = (self.r, self.s, split(self.bound, norms.columns()));
        norms.map(move |n| (s * n + r / (n + r)).recip()).times_row(&bounds)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let curve = |bound| Curve { slope: self.s, soft: self.r, ..Curve::inverse(bound) };
        Some(split(self.bound, groups).into_iter().map(curve).collect())
    }
}
