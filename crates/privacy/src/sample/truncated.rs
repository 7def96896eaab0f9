//! Poisson sampling with a largest batch.
//!
//! # Why this is private
//!
//! Claim: each draw is Poisson's, and of a draw of more than `cap` examples `cap` are kept, all subsets alike; which is what
//! [`Sampling::TruncatedPoisson`] is priced for (Ganesh 2025, arXiv 2508.15089).
//!
//! Argument: the coins are those of [`Poisson`]; the subset is a Fisher-Yates shuffle by a stream of its own. The price grows
//! with the number of examples, which is declared and public: rows beyond it never take part.
//!
//! Checked by: `tests::a_full_draw_is_cut_evenly`.

use super::{Draw, Poisson, SampleError, Sampler, shuffle};
use crate::{Key, Purpose, Sampling};
use std::sync::Arc;

/// Each example with probability `rate`, at most `cap` of them.
pub struct TruncatedPoisson {
    poisson: Poisson,
    examples: u64,
    cap: u64,
}

impl TruncatedPoisson {
    /// A sampler over `rows` rows, of the declared `examples`.
    ///
    /// # Errors
    /// When `rate` is not in `[0, 1]`, or nobody fits in.
    pub fn new(rows: usize, rate: f64, examples: u64, cap: u64, key: impl Into<Arc<Key>>) -> Result<Self, SampleError> {
        if cap == 0 {
            return Err(SampleError::Batch { batch: cap, examples });
        }
        let rows = rows.min(usize::try_from(examples).unwrap_or(usize::MAX));
        Ok(TruncatedPoisson { poisson: Poisson::new(rows, rate, key)?, examples, cap })
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
        assert!(
            TruncatedPoisson::new(40, 0.5, 30, 30, Key::from_seed(3)).unwrap().draw(0).who.iter().all(|row| *row < 30)
        );
        assert!(TruncatedPoisson::new(40, 0.5, 40, 0, Key::from_seed(3)).is_err());
    }
}
