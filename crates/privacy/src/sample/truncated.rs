//! Poisson sampling with a largest batch.
//!
//! # Why this is private
//!
//! Claim: each draw is Poisson's of the declared `examples` places, and of more than `cap` places `cap` are kept, all subsets alike; which is
//! what [`Sampling::TruncatedPoisson`] is priced for (Ganesh 2025, arXiv 2508.15089).
//!
//! Argument: the coins are those of [`Poisson`]; the subset is a Fisher-Yates shuffle by a stream of its own. A place
//! without a row flips its coin and may be kept like any other, and holds nobody: an example removed leaves its place, and nobody comes in.
//! The price is for so many places: beside a batch that is full an example is kept less often than its coin says, and with fewer
//! places than were priced (one row of forty declared, at a cap of one) it would be kept whenever its coin says so.
//!
//! Checked by: `tests::a_full_draw_is_cut_evenly`, `tests::an_absent_row_leaves_its_place_empty`.

use super::{Draw, Poisson, SampleError, Sampler, placed, shuffle};
use crate::{Key, Purpose, Sampling};
use std::sync::Arc;

/// Each example with probability `rate`, at most `cap` of them.
pub struct TruncatedPoisson {
    /// Over all places.
    poisson: Poisson,
    rows: usize,
    examples: u64,
    cap: u64,
}

impl TruncatedPoisson {
    /// A sampler over `rows` rows, of the declared `examples`.
    ///
    /// # Errors
    /// When `rate` is not in `[0, 1]`, nobody fits in, or there are more rows than examples.
    pub fn new(rows: usize, rate: f64, examples: u64, cap: u64, key: impl Into<Arc<Key>>) -> Result<Self, SampleError> {
        if cap == 0 {
            return Err(SampleError::Batch { batch: cap, examples });
        }
        placed(rows, examples)?;
        Ok(TruncatedPoisson { poisson: Poisson::new(examples as usize, rate, key)?, rows, examples, cap })
    }
}

impl Sampler for TruncatedPoisson {
    fn draw(&self, step: u64) -> Draw {
        let (mut who, key) = (self.poisson.rows(step), self.poisson.key.clone());
        if let Ok(cap) = usize::try_from(self.cap)
            && who.len() > cap
        {
            shuffle(&mut who, cap, &key.stream(Purpose::Sample, step, 1));
            who.truncate(cap);
            who.sort_unstable();
        }
        who.retain(|row| *row < self.rows);
        let sampling = Sampling::TruncatedPoisson { rate: self.poisson.rate, examples: self.examples, cap: self.cap };
        Draw { step, sampling, who, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_draw_is_cut_evenly() {
        let sampler = TruncatedPoisson::new(40, 0.5, 40, 12, Key::from_seed(3)).unwrap();
        let mut times = [0.0_f64; 40];
        for step in 0..4000 {
            let who = sampler.draw(step).who;
            assert!(who.len() <= 12 && who.is_sorted());
            who.iter().for_each(|row| times[*row] += 1.0);
        }
        // Nearly every draw is cut: each row is kept with probability just below 12 / 40. Five standard errors of 4000 coins.
        let mean = times.iter().sum::<f64>() / 40.0;
        assert!((mean / 4000.0 - 0.3).abs() < 0.003, "{mean}");
        assert!(times.iter().all(|t| (t - mean).abs() < 5.0 * (4000.0 * 0.3 * 0.7_f64).sqrt()), "{times:?}");
        let loose = TruncatedPoisson::new(40, 0.5, 40, 40, Key::from_seed(3)).unwrap();
        let poisson = Poisson::new(40, 0.5, Key::from_seed(3)).unwrap();
        assert!((0..50).all(|step| loose.draw(step).who == poisson.draw(step).who));
        let waiting = TruncatedPoisson::new(40, 0.5, 30, 30, Key::from_seed(3)).err();
        assert_eq!(waiting, Some(SampleError::More { examples: 30 }));
        assert!(TruncatedPoisson::new(40, 0.5, 40, 0, Key::from_seed(3)).is_err());
    }

    /// Of forty places one is kept: its row takes part once in forty rounds, whether the other rows are there or not.
    #[test]
    fn an_absent_row_leaves_its_place_empty() {
        let [all, fewer, one] =
            [40, 39, 1].map(|rows| TruncatedPoisson::new(rows, 0.5, 40, 1, Key::from_seed(4)).unwrap());
        let mut alone = 0.0;
        for step in 0..4000 {
            let others: Vec<usize> = all.draw(step).who.into_iter().filter(|row| *row < 39).collect();
            assert_eq!(fewer.draw(step).who, others);
            alone += one.draw(step).who.len() as f64;
        }
        // Five standard errors of 4000 coins of 1/40; by a coin of its own it would take part 2000 times.
        assert!((alone - 100.0_f64).abs() < 5.0 * (4000.0 * 0.025 * 0.975_f64).sqrt(), "{alone}");
    }
}
