//! A clip bound, checked where it is read.
use serde::{Deserialize, Serialize};

/// How far one example may move a sum, in L2: a finite number above zero.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Bound(f64);

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

/// Zero, negative or not finite.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("a clip bound is a finite number above 0, not {0}")]
pub struct BoundError(f64);

impl TryFrom<f64> for Bound {
    type Error = BoundError;
    fn try_from(value: f64) -> Result<Self, BoundError> {
        if value.is_finite() && value > 0.0 { Ok(Bound(value)) } else { Err(BoundError(value)) }
    }
}

impl From<Bound> for f64 {
    fn from(bound: Bound) -> f64 {
        bound.0
    }
}
