//! Poisson sampling with a largest lot (Ganesh 2025): see `privacy::TruncatedPoisson`. For memory that is never exceeded.
use super::{Draws, PLACES, boxed};
use privacy::{Key, Sampler};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `sampling = { sampling = "truncated-poisson", largest = 300 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruncatedPoisson {
    /// The most examples in a lot; above `train.lot`, or much is thrown away.
    pub largest: u64,
}

impl Draws for TruncatedPoisson {
    fn among(&self) -> Option<&'static str> {
        Some(PLACES)
    }
    fn sampler(&self, rows: usize, examples: usize, lot: f64, key: Arc<Key>) -> Result<Box<dyn Sampler>, String> {
        if (self.largest as f64) < lot {
            return Err(format!("train.sampling.largest = {} is less than the expected lot of {lot}", self.largest));
        }
        boxed(privacy::TruncatedPoisson::new(rows, lot / examples as f64, examples as u64, self.largest, key))
    }
}
