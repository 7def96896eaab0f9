//! The examples permuted once an epoch, and cut into batches.
//!
//! # Why this is private
//!
//! Claim: in each epoch the declared `examples` places are in a uniformly random order of its own, cut into `batches` pieces
//! whose sizes differ by at most one; which is what [`Sampling::Shuffled`] is priced for, without amplification.
//!
//! Argument: a Fisher-Yates shuffle of the places by the epoch's own stream. A place without a row holds nobody, so that an
//! example removed leaves its place empty and changes nobody else's batch. There are never more rows than places: a row that waited for
//! a place would come in where another left.
//!
//! Checked by: `tests::an_epoch_holds_everybody_once`, `tests::nobody_waits_for_a_place`.

use super::{Draw, SampleError, Sampler, placed, shuffle};
use crate::{Key, Purpose, Sampling};
use std::sync::{Arc, Mutex, PoisonError};

/// A new order every epoch, in `batches` pieces.
pub struct Shuffled {
    rows: usize,
    examples: u64,
    batches: u64,
    key: Arc<Key>,
    /// An epoch's order, kept to save work: it is a function of key and epoch.
    order: Mutex<Option<(u64, Vec<usize>)>>,
}

impl Shuffled {
    /// A sampler over `rows` rows, of the declared `examples`.
    ///
    /// # Errors
    /// When there is no batch, or fewer examples than batches, or more rows than examples.
    pub fn new(rows: usize, batches: u64, examples: u64, key: impl Into<Arc<Key>>) -> Result<Self, SampleError> {
        if batches == 0 {
            return Err(SampleError::Batches);
        }
        if batches > examples {
            return Err(SampleError::Batch { batch: 0, examples });
        }
        placed(rows, examples)?;
        Ok(Shuffled { rows, examples, batches, key: key.into(), order: Mutex::new(None) })
    }

    fn order(&self, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.examples as usize).collect();
        let count = order.len();
        shuffle(&mut order, count, &self.key.stream(Purpose::Sample, epoch, 4));
        order
    }
}

impl Sampler for Shuffled {
    fn draw(&self, step: u64) -> Draw {
        let (epoch, batch) = (step / self.batches, step % self.batches);
        let edge = |k: u64| (u128::from(k) * u128::from(self.examples) / u128::from(self.batches)) as usize;
        let mut kept = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(of, _)| *of != epoch) {
            *kept = Some((epoch, self.order(epoch)));
        }
        let mut who = kept.as_ref().map_or(Vec::new(), |(_, order)| order[edge(batch)..edge(batch + 1)].to_vec());
        who.retain(|row| *row < self.rows);
        who.sort_unstable();
        Draw { step, sampling: Sampling::Shuffled { batches: self.batches }, who, key: self.key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_everybody_once() {
        let sampler = Shuffled::new(103, 8, 103, Key::from_seed(2)).unwrap();
        for epoch in [0, 5] {
            let mut all: Vec<usize> = (0..8).flat_map(|batch| sampler.draw(8 * epoch + batch).who).collect();
            all.sort_unstable();
            assert_eq!(all, (0..103).collect::<Vec<_>>());
        }
        assert!((0..8).all(|step| (12..=13).contains(&sampler.draw(step).who.len())));
        assert_ne!(sampler.draw(0).who, sampler.draw(8).who, "another order each epoch");
        // Row 3 is in each batch alike: 4000 epochs, probability 1/8 (12 or 13 of 103), five standard errors.
        let first = (0..4000).filter(|epoch| sampler.draw(8 * epoch + 2).who.contains(&3)).count() as f64;
        assert!((first - 4000.0 * 13.0 / 103.0).abs() < 5.0 * (4000.0 * 0.126 * 0.874_f64).sqrt(), "{first}");
        let fewer = Shuffled::new(102, 8, 103, Key::from_seed(2)).unwrap();
        for step in 0..16 {
            let others: Vec<usize> = sampler.draw(step).who.into_iter().filter(|row| *row < 102).collect();
            assert_eq!(fewer.draw(step).who, others);
        }
        assert!(Shuffled::new(5, 6, 5, Key::from_seed(1)).is_err());
    }

    /// With 104 rows in 103 places the last row would come in where another left: an exchange, priced as one example less.
    #[test]
    fn nobody_waits_for_a_place() {
        let error = Shuffled::new(104, 8, 103, Key::from_seed(2)).err().unwrap();
        assert_eq!(error, SampleError::More { examples: 103 });
        assert!(error.to_string().contains("103 declared") && !error.to_string().contains("104"));
    }
}
