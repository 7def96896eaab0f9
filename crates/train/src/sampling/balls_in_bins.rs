//! Each example in one of the batches of an epoch, drawn once, which recur in order (Chua et al. 2025): see `privacy::BallsInBins`.
use super::{Draws, batches, boxed};
use privacy::{Key, Sampler};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `sampling = "balls-in-bins"`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BallsInBins {}

impl Draws for BallsInBins {
    fn lot(&self, lot: f64, examples: usize) -> f64 {
        examples as f64 / batches(lot, examples) as f64
    }
    fn bins(&self, lot: f64, examples: usize) -> Option<u64> {
        Some(batches(lot, examples))
    }
    fn sampler(&self, rows: usize, examples: usize, lot: f64, key: Arc<Key>) -> Result<Box<dyn Sampler>, String> {
        boxed(privacy::BallsInBins::new(rows, batches(lot, examples), key))
    }
}
