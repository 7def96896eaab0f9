//! A new order every epoch, cut into batches: see `privacy::Shuffled`. Priced without amplification, as it must be (Chua et al. 2024).
use super::{Draws, PLACES, batches, boxed};
use privacy::{Key, Sampler};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `sampling = "shuffled"`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shuffled {}

impl Draws for Shuffled {
    fn lot(&self, lot: f64, examples: usize) -> f64 {
        examples as f64 / batches(lot, examples) as f64
    }
    fn among(&self) -> Option<&'static str> {
        Some(PLACES)
    }
    fn sampler(&self, rows: usize, examples: usize, lot: f64, key: Arc<Key>) -> Result<Box<dyn Sampler>, String> {
        boxed(privacy::Shuffled::new(rows, batches(lot, examples), examples as u64, key))
    }
}
