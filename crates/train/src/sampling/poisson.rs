//! Poisson sampling (Mironov, Talwar & Zhang 2019): see `privacy::Poisson`.
use super::{Draws, boxed};
use privacy::{Key, Sampler};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// `sampling = "poisson"`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poisson {}

impl Draws for Poisson {
    fn sampler(&self, rows: usize, examples: usize, lot: f64, key: Arc<Key>) -> Result<Box<dyn Sampler>, String> {
        boxed(privacy::Poisson::new(rows, lot / examples as f64, key))
    }
}
