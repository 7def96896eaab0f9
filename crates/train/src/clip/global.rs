//! Global clipping: what is longer than a threshold is left out, the rest keeps its proportions.
//!
//! Source: Bu, Wang, Long et al. 2021, arXiv 2106.07830. `w = C / Z` if `n <= Z`, else 0. Sensitivity `C`: a summand that is
//! kept has length `C n / Z <= C`. `Z` is public and fixed. Keeps directions unbiased as long as hardly anybody is left out,
//! at the price of small steps under unchanged noise. All or nothing: an example at the threshold jumps. Cost class NORM.
use super::{Bound, ClipRule, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

fn threshold() -> f64 {
    100.0
}

/// `{ rule = "global", bound = 1.0, threshold = 100.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Global {
    /// `C`: what the longest gradient that is kept is scaled to.
    #[serde(default)]
    pub bound: Bound,
    /// `Z`: gradients longer than this are left out.
    #[serde(default = "threshold")]
    pub threshold: f64,
}

impl State for Global {}

impl ClipRule for Global {
    fn check(&self) -> Result<(), String> {
        let fine = self.threshold.is_finite() && self.threshold > 0.0;
        fine.then_some(()).ok_or_else(|| "threshold is a number above 0".into())
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        split(self.bound, groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        let (threshold, bound) = (self.threshold, self.bound.get());
        norms.within(threshold) * (bound / threshold)
    }
    fn curves(&self, groups: usize) -> Option<Vec<Curve>> {
        let below = self.bound.get() / self.threshold;
        Some(vec![Curve { threshold: self.threshold, below, ..Curve::inverse(0.0) }; groups])
    }
}
