//! Flat clipping: the rule of the founding DP-SGD.
//!
//! Source: Abadi et al. 2016, arXiv 1607.00133, Algorithm 1. `w = min(1, C / n)`. Sensitivity `C`: every summand
//! `w g` has norm `min(n, C)`. Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

/// `{ rule = "flat", bound = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flat {
    /// `C`: gradients longer than this are shortened to it.
    pub bound: Bound,
    /// Over what norms are taken.
    #[serde(default)]
    pub per: Grouping,
}

impl State for Flat {}

impl ClipRule for Flat {
    fn grouping(&self) -> Grouping {
        self.per
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        weights(norms, &bounds)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        Some(self.bounds(groups).into_iter().map(Curve::flat).collect())
    }
}

/// `min(1, C / n)`, column by column: what rules propose that only choose the bound.
pub(super) fn weights(norms: Each, bounds: &[f64]) -> Each {
    norms.at_least(f64::MIN_POSITIVE).map(f64::recip).times_row(bounds).at_most(1.0)
}
