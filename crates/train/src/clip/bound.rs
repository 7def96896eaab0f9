//! A clip bound, checked where it is read.
use serde::{Deserialize, Serialize};

/// How far one example may move a sum, in L2: a number that leaves room in f32, below it for noise and above it for sums.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Bound(f64);

/// The least and the largest: below, noise would be rounded to few values or to zero; above, a sum could overflow.
pub(super) const RANGE: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

impl Bound {
    /// The bound of rules whose bound the learning rate absorbs.
    pub const ONE: Bound = Bound(1.0);

    /// The number.
    pub fn get(self) -> f64 {
        self.0
    }
}

/// [`Bound::ONE`].
impl Default for Bound {
    fn default() -> Self {
        Bound::ONE
    }
}

/// Zero, negative, not finite, or out of what f32 can noise.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("a clip bound is a number above 0, from 1e-30 to 1e30, not {0:e}")]
pub struct BoundError(f64);

impl TryFrom<f64> for Bound {
    type Error = BoundError;
    fn try_from(value: f64) -> Result<Self, BoundError> {
        if RANGE.contains(&value) { Ok(Bound(value)) } else { Err(BoundError(value)) }
    }
}

impl From<Bound> for f64 {
    fn from(bound: Bound) -> f64 {
        bound.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_leaves_room_in_f32() {
        for fine in [1e-30, 1e-6, 1.0, 1e30] {
            assert_eq!(Bound::try_from(fine).unwrap().get(), fine);
        }
        for wrong in [0.0, -1.0, 1e-31, 1e31, 1e300, f64::INFINITY, f64::NAN] {
            assert!(Bound::try_from(wrong).unwrap_err().to_string().contains("1e-30 to 1e30"), "{wrong}");
        }
    }
}
