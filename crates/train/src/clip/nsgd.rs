//! NSGD: normalised SGD with a regulariser.
//!
//! Source: Yang, Zhang, Chen & Liu 2022, arXiv 2206.13033. `w = R / (r + n)`, which is AUTO-S with `gamma = r`. Sensitivity
//! `R` (1 in the paper), NOT `r`: `n / (r + n) < 1`. A public implementation scales its noise by `r`, so that with `r = 0.1`
//! its true noise multiplier is a tenth of what it reports. Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

fn r() -> f64 {
    0.1
}

/// `{ rule = "nsgd", bound = 1.0, r = 0.1 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nsgd {
    /// `R`; the learning rate absorbs it.
    #[serde(default)]
    pub bound: Bound,
    /// Added to every norm; the authors use 0.01 to 1.
    #[serde(default = "r")]
    pub r: f64,
    /// Over what norms are taken.
    #[serde(default)]
    pub per: Grouping,
}

impl State for Nsgd {}

impl ClipRule for Nsgd {
    fn check(&self) -> Result<(), String> {
        let fine = self.r.is_finite() && self.r >= 0.0;
        fine.then_some(()).ok_or_else(|| "r is a number of at least 0".into())
    }
    fn grouping(&self) -> Grouping {
        self.per
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        (norms + self.r).recip_or_zero().times_row(&bounds)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let curve = |bound| Curve { shift: self.r, ..Curve::inverse(bound) };
        Some(self.bounds(groups).into_iter().map(curve).collect())
    }
}
