//! Batches that recur: each example is put into one of them at random, once.
//!
//! # Why this is private
//!
//! Claim: each example is in the rounds of one bin, `bins` apart, and its bin is uniform and independent of all others';
//! which is what [`Sampling::BallsInBins`] is priced for, and what correlated noise needs of participation.
//!
//! Argument: row `i`'s bin is word `i` of one stream of the key, scaled to the number of bins. Rows that are not there change
//! nobody else's bin. The stream does not depend on the step, so the bins hold for the life of the key; a run that is
//! continued by another key puts its examples into other bins, and its ledger begins another run of rounds there.
//!
//! Citation: Chua et al. 2025 ("Balls-and-bins sampling for DP-SGD"); Choquette-Choo et al. 2023 for participation.
//!
//! Checked by: `tests::everybody_comes_back_after_an_epoch`.

use super::{Draw, SampleError, Sampler, below};
use crate::{Key, Purpose, Sampling};
use std::sync::Arc;

/// Each example in one of `bins` batches, which recur in order.
pub struct BallsInBins {
    bin_of: Vec<u64>,
    bins: u64,
    key: Arc<Key>,
}

impl BallsInBins {
    /// A sampler over `rows` rows.
    ///
    /// # Errors
    /// When there is no bin.
    pub fn new(rows: usize, bins: u64, key: impl Into<Arc<Key>>) -> Result<Self, SampleError> {
        if bins == 0 {
            return Err(SampleError::Batches);
        }
        let (key, mut bin_of) = (key.into(), vec![0; rows]);
        key.stream(Purpose::Sample, 0, 3).fill_words(0, &mut bin_of);
        bin_of.iter_mut().for_each(|word| *word = below(*word, bins));
        Ok(BallsInBins { bin_of, bins, key })
    }
}

impl Sampler for BallsInBins {
    fn draw(&self, step: u64) -> Draw {
        let bin = step % self.bins;
        let who = self.bin_of.iter().enumerate().filter(|(_, of)| **of == bin).map(|(row, _)| row).collect();
        Draw { step, sampling: Sampling::BallsInBins { bins: self.bins }, who, key: self.key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_comes_back_after_an_epoch() {
        let sampler = BallsInBins::new(5000, 8, Key::from_seed(2)).unwrap();
        let mut all: Vec<usize> = (5..13).flat_map(|step| sampler.draw(step).who).collect();
        all.sort_unstable();
        assert_eq!(all, (0..5000).collect::<Vec<_>>(), "once in any eight rounds");
        assert!((0..8).all(|step| sampler.draw(step).who == sampler.draw(step + 24).who));
        // 5000 coins of probability 1/8 a bin: 625, give or take five standard errors of 23.4.
        assert!((0..8).all(|step| (sampler.draw(step).who.len() as f64 - 625.0).abs() < 117.0));
        let fewer = BallsInBins::new(4999, 8, Key::from_seed(2)).unwrap();
        for step in 0..8 {
            let others: Vec<usize> = sampler.draw(step).who.into_iter().filter(|row| *row < 4999).collect();
            assert_eq!(fewer.draw(step).who, others);
        }
        assert!(BallsInBins::new(10, 0, Key::from_seed(2)).is_err());
    }
}
