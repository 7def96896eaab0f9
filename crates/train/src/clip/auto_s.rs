//! AUTO-S: normalise, with a little stability.
//!
//! Source: Bu, Wang, Zha & Karypis 2022 (NeurIPS 2023), arXiv 2206.07136, Algorithm 1. `w = R / (n + gamma)`.
//! Sensitivity `R`: `n / (n + gamma) < 1`. `R` is absorbed by the learning rate and the weight decay, so `R = 1` and
//! there is no threshold to tune. The convergence theory needs symmetric gradients; Chen et al. 2020 have the counter-example
//! `a = (-3, -3, 9)`, where small gammas stop far from the optimum. Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

fn one() -> Bound {
    Bound::ONE
}
fn gamma() -> f64 {
    0.01
}

/// `{ rule = "auto-s", bound = 1.0, gamma = 0.01 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoS {
    /// `R`.
    #[serde(default = "one")]
    pub bound: Bound,
    /// Added to every norm; gradients much shorter than it keep their proportions.
    #[serde(default = "gamma")]
    pub gamma: f64,
    /// Over what norms are taken. Gamma is not divided among groups, as in the authors' library.
    #[serde(default)]
    pub per: Grouping,
}

impl State for AutoS {}

impl ClipRule for AutoS {
    fn check(&self) -> Result<(), String> {
        let fine = self.gamma.is_finite() && self.gamma >= 0.0;
        fine.then_some(()).ok_or_else(|| "gamma is a number of at least 0".into())
    }
    fn grouping(&self) -> Grouping {
        self.per
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        (norms + self.gamma).recip_or_zero().times_row(&bounds)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let curve = |bound| Curve { shift: self.gamma, ..Curve::inverse(bound) };
        Some(self.bounds(groups).into_iter().map(curve).collect())
    }
}
