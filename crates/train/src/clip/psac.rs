//! PSAC: per-sample adaptive clipping, which does not blow up tiny gradients.
//!
//! Source: Xia et al. 2023 (AAAI), arXiv 2212.00328. `w = C / (n + r / (n + r))`: about `C / n` for long gradients, `C` at 0
//! (AUTO-S gives `C / gamma` there, a hundred times more), largest at `n = sqrt(r) - r`. Sensitivity `C`, whatever the data:
//! `w n < C`. A public implementation clips with `min(1, C w / n)`, which is another rule, and scales its noise by the
//! largest `C w` of the batch, which is not private. Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

fn r() -> f64 {
    0.1
}

/// `{ rule = "psac", bound = 1.0, r = 0.1 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Psac {
    /// `C`; the learning rate absorbs it.
    #[serde(default)]
    pub bound: Bound,
    /// Where weights stop growing as gradients shrink; 0.1 or 0.01 in the paper.
    #[serde(default = "r")]
    pub r: f64,
    /// Over what norms are taken.
    #[serde(default)]
    pub per: Grouping,
}

impl State for Psac {}

impl ClipRule for Psac {
    fn check(&self) -> Result<(), String> {
        let fine = self.r.is_finite() && self.r > 0.0;
        fine.then_some(()).ok_or_else(|| "r is a number above 0".into())
    }
    fn grouping(&self) -> Grouping {
        self.per
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let (r, bounds) = (self.r, self.bounds(norms.columns()));
        norms.map(move |n| (n + r / (n + r)).recip()).times_row(&bounds)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let curve = |bound| Curve { soft: self.r, ..Curve::inverse(bound) };
        Some(self.bounds(groups).into_iter().map(curve).collect())
    }
}
