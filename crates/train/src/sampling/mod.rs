//! Who takes part in a step. The privacy crate draws and prices; here are the words for it in a configuration.
//!
//! A new way of sampling is a sampler in `privacy/src/sample/`, its price, and one file and one word in the list below.
#[cfg(test)]
mod tests;

use crate::registry::registry;
use privacy::{Key, Sampler};
use std::sync::Arc;

registry! {
    /// A way of sampling as a configuration names it: `sampling = "poisson"`, or a table with its settings.
    SamplingConfig by "sampling" as Draws:
    poisson::Poisson = "poisson", "each example by its own coin; the sampling that amplification is proved for";
    truncated_poisson::TruncatedPoisson = "truncated-poisson", "as poisson, but never more than so many";
    fixed_size::FixedSize = "fixed-size", "so many at random in each step; replace-one only";
    balls_in_bins::BallsInBins = "balls-in-bins", "each example in one of an epoch's batches, which recur; what correlated noise needs";
    shuffled::Shuffled = "shuffled", "a new order every epoch, cut into batches; priced without amplification";
}

impl Default for SamplingConfig {
    fn default() -> Self {
        SamplingConfig::Poisson(Poisson {})
    }
}

/// What a way of sampling can do: settle its public numbers, and draw.
pub trait Draws: Send + Sync {
    /// The expected size of a lot where about `lot` of `examples` were asked for: what sums are divided by.
    fn lot(&self, lot: f64, examples: usize) -> f64 {
        let _ = examples;
        lot
    }

    /// Rounds after which an example comes back, if it does so in order.
    fn bins(&self, lot: f64, examples: usize) -> Option<u64> {
        let _ = (lot, examples);
        None
    }

    /// Whether each example takes part by a coin of its own, whoever else does. What is remembered of some examples would
    /// otherwise tell of others: the argument for rules that remember (`clip/mod.rs`) fixes all other coins.
    fn is_independent(&self) -> bool {
        false
    }

    /// The sampler of `rows` rows, of `examples` declared ones, for lots of `lot`.
    ///
    /// # Errors
    /// What makes no sense.
    fn sampler(&self, rows: usize, examples: usize, lot: f64, key: Arc<Key>) -> Result<Box<dyn Sampler>, String>;
}

/// How many lots of about this size the examples make: at least one, at most as many as there are examples.
fn batches(lot: f64, examples: usize) -> u64 {
    (examples as f64 / lot).round().clamp(1.0, (examples as f64).max(1.0)) as u64
}

/// A sampler, with its error in words.
fn boxed<S: Sampler + 'static>(made: Result<S, privacy::SampleError>) -> Result<Box<dyn Sampler>, String> {
    made.map(|sampler| Box::new(sampler) as Box<dyn Sampler>).map_err(|e| e.to_string())
}
