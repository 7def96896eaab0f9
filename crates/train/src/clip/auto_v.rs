//! AUTO-V: normalise every gradient to the same length.
//!
//! Source: Bu, Wang, Zha & Karypis 2022 (NeurIPS 2023), arXiv 2206.07136, section 3. `w = R / n`, and 0 where `n = 0`.
//! Sensitivity `R`: every summand has length `R` or 0. Has a lazy region: where unit vectors cancel, training stops
//! although the gradient has not vanished; AUTO-S mends that. Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

fn one() -> Bound {
    Bound::ONE
}

/// `{ rule = "auto-v", bound = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoV {
    /// `R`.
    #[serde(default = "one")]
    pub bound: Bound,
    /// Over what norms are taken.
    #[serde(default)]
    pub per: Grouping,
}

impl State for AutoV {}

impl ClipRule for AutoV {
    fn grouping(&self) -> Grouping {
        self.per
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        norms.recip_or_zero().times_row(&bounds)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        Some(self.bounds(groups).into_iter().map(Curve::inverse).collect())
    }
}
