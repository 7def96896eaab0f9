//! Lots of one size, drawn without replacement (Balle, Barthe & Gaboardi 2018): see `privacy::FixedSize`. Priced under replace-one.
use super::{Draws, boxed};
use privacy::{Key, Sampler};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `sampling = "fixed-size"`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedSize {}

impl Draws for FixedSize {
    fn lot(&self, lot: f64, examples: usize) -> f64 {
        lot.round().clamp(1.0, examples as f64)
    }
    fn sampler(&self, rows: usize, examples: usize, lot: f64, key: Arc<Key>) -> Result<Box<dyn Sampler>, String> {
        boxed(privacy::FixedSize::new(rows, lot as u64, examples as u64, key))
    }
}
