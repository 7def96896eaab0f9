//! Batches of one size, drawn without replacement.
//!
//! # Why this is private
//!
//! Claim: the batch of a step is a uniformly random subset of `batch` of the declared `examples` places, independent of all
//! other steps; which is what [`Sampling::FixedSize`] is priced for, under replace-one (Balle, Barthe & Gaboardi 2018).
//!
//! Argument: a partial Fisher-Yates shuffle of the places by the step's own stream. A place without a row holds nobody.
//!
//! Checked by: `tests::all_places_alike`.

use super::{Draw, SampleError, Sampler, shuffle};
use crate::{Key, Purpose, Sampling};
use std::sync::Arc;

/// Exactly `batch` places of `examples`.
pub struct FixedSize {
    rows: usize,
    batch: u64,
    examples: u64,
    key: Arc<Key>,
}

impl FixedSize {
    /// A sampler over `rows` rows, of the declared `examples`.
    ///
    /// # Errors
    /// When the batch is empty or larger than the data.
    pub fn new(rows: usize, batch: u64, examples: u64, key: impl Into<Arc<Key>>) -> Result<Self, SampleError> {
        if batch == 0 || batch > examples {
            return Err(SampleError::Batch { batch, examples });
        }
        Ok(FixedSize { rows, batch, examples, key: key.into() })
    }
}

impl Sampler for FixedSize {
    fn draw(&self, step: u64) -> Draw {
        let mut who: Vec<usize> = (0..self.examples as usize).collect();
        shuffle(&mut who, self.batch as usize, &self.key.stream(Purpose::Sample, step, 2));
        who.truncate(self.batch as usize);
        who.retain(|row| *row < self.rows);
        who.sort_unstable();
        let sampling = Sampling::FixedSize { batch: self.batch, examples: self.examples };
        Draw { step, sampling, who, key: self.key.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_alike() {
        let sampler = FixedSize::new(30, 7, 30, Key::from_seed(5)).unwrap();
        let (mut times, mut pairs) = ([0.0_f64; 30], 0.0_f64);
        for step in 0..6000 {
            let who = sampler.draw(step).who;
            assert!(who.len() == 7 && who.windows(2).all(|pair| pair[0] < pair[1]));
            who.iter().for_each(|row| times[*row] += 1.0);
            pairs += f64::from(u8::from(who.contains(&3) && who.contains(&17)));
        }
        let five = |p: f64| 5.0 * (6000.0 * p * (1.0 - p)).sqrt();
        assert!(times.iter().all(|t| (t - 1400.0).abs() < five(7.0 / 30.0)), "{times:?}");
        let both = 7.0 * 6.0 / (30.0 * 29.0);
        assert!((pairs - 6000.0 * both).abs() < five(both), "{pairs}");
        let one_less = FixedSize::new(29, 7, 30, Key::from_seed(5)).unwrap();
        for step in 0..50 {
            let others: Vec<usize> = sampler.draw(step).who.into_iter().filter(|row| *row < 29).collect();
            assert_eq!(one_less.draw(step).who, others, "an absent row leaves its place empty");
        }
        assert!(
            FixedSize::new(5, 6, 5, Key::from_seed(1)).is_err() && FixedSize::new(5, 0, 5, Key::from_seed(1)).is_err()
        );
    }
}
