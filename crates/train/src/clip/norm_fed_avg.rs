//! NormFedAvg: every contribution brought to the same length.
//!
//! Source: Das, Hashemi, Sanghavi & Dhillon 2021, arXiv 2106.07094 (DP-NormFedAvg). `w = C / n`, and 0 where `n = 0`: long
//! updates are shortened and short ones lengthened, since what lies below `C` would drown in noise. There a client's model
//! delta is normalised; here an example's gradient, which is AUTO-V with `C` for `R`. Sensitivity `C`: every summand has
//! length `C` or 0. Knows nothing of magnitudes: where unit vectors cancel it stands still. Cost class NORM.
use super::{Bound, ClipRule, Grouping, split};
use crate::{each::Each, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

/// `{ rule = "norm-fed-avg", bound = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NormFedAvg {
    /// `C`: the length that everybody gets.
    #[serde(default)]
    pub bound: Bound,
    /// Over what norms are taken.
    #[serde(default)]
    pub per: Grouping,
}

impl State for NormFedAvg {}

impl ClipRule for NormFedAvg {
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
