//! Who takes part in a round.
//!
//! # Why this is private
//!
//! Claim: in the draw of a step each example takes part with probability `rate`, independently of all others and of all
//! other steps, whatever the data are; and the rate in the ledger is the rate that was used.
//!
//! Argument: example `i` is in exactly when word `i` of the stream (key, [`Purpose::Sample`], step) is below
//! `rate * 2^64`, rounded down. The words are independent and uniform (see `random`), so the probability is at most
//! `rate` and falls short of it by less than `2^-64`. A larger data set does not change the coins of the examples before.
//! A [`Draw`] has no public constructor, and carries its [`Sampling`] and its key to [`Ledger::open`](crate::Ledger::open).
//! This is the sampling that amplification by subsampling is proved for (Mironov, Talwar & Zhang 2019). The other samplers
//! say in their files what is proved for them; none is priced as if it were this one (Chua et al. 2024).
//!
//! Not claimed: the *time* a round takes. The number of chunks follows the size of the draw, which is a secret under
//! add/remove; whoever can time the steps sees it. Size chunks so that the usual draw fits in the same number of them.
//!
//! Checked by: `tests::the_rate_is_met`, `tests::a_draw_is_a_function_of_key_and_step`,
//! `tests::nobody_and_everybody_are_exact`, and the `compile_fail` examples of the crate page.

mod balls_in_bins;
mod fixed_size;
mod shuffled;
mod truncated;

pub use balls_in_bins::BallsInBins;
pub use fixed_size::FixedSize;
pub use shuffled::Shuffled;
pub use truncated::TruncatedPoisson;

use crate::{Key, Purpose, Sampling, Secret};
use std::sync::Arc;

/// Words looked at together when drawing.
const BATCH: usize = 1024;

/// Why a sampler cannot be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// The rate is not a probability.
    #[error("sample rate {0} is not in [0, 1]")]
    Rate(f64),
    /// Nobody fits in.
    #[error("a batch must hold at least one example, and at most all {examples}: not {batch}")]
    Batch {
        /// How many it was to hold.
        batch: u64,
        /// How many there are.
        examples: u64,
    },
    /// A place for each declared example, and more examples than that.
    #[error(
        "there are more examples than the {examples} declared ones, which have a place each in this sampling: with one fewer, another would take \
         the place; declare as many as there can be"
    )]
    More {
        /// How many are declared.
        examples: u64,
    },
    /// No batches.
    #[error("an epoch needs at least one batch")]
    Batches,
}

/// Says who takes part in each round. Only this crate can make a [`Draw`], so whoever implements this elsewhere can pass on
/// another sampler's draws and nothing else.
pub trait Sampler: Send + Sync {
    /// Who takes part at this step: a pure function of key and step.
    fn draw(&self, step: u64) -> Draw;
}

/// Whether `rows` rows have a place each among the declared `examples`. Those beyond would take no part until one of the others
/// left: an exchange, which moves a sum by twice the bound of one.
fn placed(rows: usize, examples: u64) -> Result<(), SampleError> {
    if rows as u64 > examples { Err(SampleError::More { examples }) } else { Ok(()) }
}

/// The whole number below `below` that a uniform word stands for; its chance is off by less than `2^-64` of itself.
fn below(word: u64, below: u64) -> u64 {
    ((u128::from(word) * u128::from(below)) >> 64) as u64
}

/// Brings `count` of the items, chosen at random by `words`, to the front in random order (Fisher & Yates).
fn shuffle<T>(items: &mut [T], count: usize, stream: &crate::Stream) {
    let mut words = vec![0; count.min(items.len())];
    stream.fill_words(0, &mut words);
    for (at, word) in words.into_iter().enumerate() {
        items.swap(at, at + below(word, (items.len() - at) as u64) as usize);
    }
}

/// Poisson sampling: each example takes part with probability `rate`, independently.
pub struct Poisson {
    examples: usize,
    rate: f64,
    key: Arc<Key>,
}

impl Poisson {
    /// A sampler over `examples` rows. `rate` is public and must come from the configuration; the number of rows is a
    /// secret under add/remove, and is used for nothing but knowing where to stop.
    ///
    /// # Errors
    /// When `rate` is not in `[0, 1]`.
    pub fn new(examples: usize, rate: f64, key: impl Into<Arc<Key>>) -> Result<Self, SampleError> {
        if !(0.0..=1.0).contains(&rate) {
            return Err(SampleError::Rate(rate));
        }
        Ok(Poisson { examples, rate, key: key.into() })
    }

    /// The rows that take part at this step.
    fn rows(&self, step: u64) -> Vec<usize> {
        let stream = self.key.stream(Purpose::Sample, step, 0);
        // 2^64 times a double is exact; the cast rounds down, so that nobody is in more often than was charged for.
        let below = (self.rate * 2f64.powi(64)) as u128;
        let mut words = [0; BATCH];
        let mut who = Vec::new();
        for from in (0..self.examples).step_by(BATCH) {
            let words = &mut words[..BATCH.min(self.examples - from)];
            stream.fill_words(from as u64, words);
            who.extend((from..).zip(words).filter(|(_, word)| u128::from(**word) < below).map(|(row, _)| row));
        }
        who
    }
}

impl Sampler for Poisson {
    fn draw(&self, step: u64) -> Draw {
        let sampling = Sampling::Poisson { rate: self.rate };
        Draw { step, sampling, who: self.rows(step), key: self.key.clone() }
    }
}

/// Who takes part in one round. Only a sampler can make one. Its size is a secret and has no getter.
pub struct Draw {
    step: u64,
    sampling: Sampling,
    who: Vec<usize>,
    key: Arc<Key>,
}

impl Draw {
    /// The step this was drawn for.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// How it was drawn.
    pub fn sampling(&self) -> &Sampling {
        &self.sampling
    }

    /// The rows that take part, ascending, in pieces of at most `size` (at least 1). Each row is in one piece.
    ///
    /// How many pieces there are is a secret that the loop over them tells the clock.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Secret<Vec<usize>>> + '_ {
        self.who.chunks(size.max(1)).map(|rows| Secret::new(rows.to_vec()))
    }

    /// The rows that take part, dealt out to `workers` (at least 1): one share each, in stretches as even as can be, and each
    /// share in pieces of at most `size`. Each row is in one piece of one share. One worker's share is [`Draw::chunks`].
    ///
    /// How many pieces there are is a secret that the loops over them tell the clock.
    pub fn shares(&self, workers: usize, size: usize) -> Vec<Vec<Secret<Vec<usize>>>> {
        let (n, workers) = (self.who.len(), workers.max(1));
        let share = |k: usize| &self.who[n * k / workers..n * (k + 1) / workers];
        let pieces = |rows: &[usize]| rows.chunks(size.max(1)).map(|rows| Secret::new(rows.to_vec())).collect();
        (0..workers).map(|k| pieces(share(k))).collect()
    }

    pub(crate) fn key(&self) -> &Arc<Key> {
        &self.key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(examples: usize, rate: f64, seed: u64) -> Poisson {
        Poisson::new(examples, rate, Key::from_seed(seed)).unwrap()
    }

    #[test]
    fn the_rate_is_met() {
        // The mean of n coins of probability q is within 5 sqrt(q(1-q)/n) of q; false alarm 6e-7, with a fixed seed.
        for (rate, seed) in [(0.001, 1), (0.01, 2), (0.25, 3), (0.9, 4)] {
            let sampler = sampler(10_000, rate, seed);
            let total: usize = (0..100).map(|step| sampler.draw(step).who.len()).sum();
            let far = (total as f64 / 1e6 - rate).abs() / (rate * (1.0 - rate) / 1e6_f64).sqrt();
            assert!(far < 5.0, "rate {rate}: {far} standard errors");
        }
    }

    #[test]
    fn coins_of_different_rows_and_steps_are_uncorrelated() {
        let sampler = sampler(5000, 0.5, 9);
        let draws: Vec<Vec<usize>> = (0..40).map(|step| sampler.draw(step).who).collect();
        let mut both = 0;
        for pair in draws.windows(2) {
            let next: std::collections::HashSet<_> = pair[1].iter().collect();
            both += pair[0].iter().filter(|row| next.contains(row)).count();
        }
        // 39 * 5000 pairs of coins, each both in with probability 1/4.
        let (n, p) = (39.0 * 5000.0, 0.25_f64);
        assert!((both as f64 / n - p).abs() < 5.0 * (p * (1.0 - p) / n).sqrt());
    }

    #[test]
    fn a_draw_is_a_function_of_key_and_step() {
        let (a, b, other) = (sampler(3000, 0.1, 5), sampler(3000, 0.1, 5), sampler(3000, 0.1, 6));
        let _ = b.draw(77);
        assert_eq!(a.draw(3).who, b.draw(3).who);
        assert_ne!(a.draw(3).who, a.draw(4).who);
        assert_ne!(a.draw(3).who, other.draw(3).who);
    }

    #[test]
    fn one_more_example_changes_nobody_elses_coin() {
        let (few, many) = (sampler(1500, 0.3, 5).draw(2).who, sampler(1501, 0.3, 5).draw(2).who);
        let others: Vec<usize> = many.into_iter().filter(|row| *row < 1500).collect();
        assert_eq!(few, others);
    }

    #[test]
    fn nobody_and_everybody_are_exact() {
        assert!((0..50).all(|step| sampler(3000, 0.0, 1).draw(step).who.is_empty()));
        assert!((0..50).all(|step| sampler(3000, 1.0, 1).draw(step).who == (0..3000).collect::<Vec<_>>()));
        assert!(sampler(0, 1.0, 1).draw(0).who.is_empty());
    }

    #[test]
    fn chunks_hold_every_row_once() {
        let draw = sampler(1000, 0.37, 8).draw(0);
        for size in [0, 1, 7, 64, 10_000] {
            let rows: Vec<usize> = draw.chunks(size).flat_map(|chunk| chunk.vouch(0.0).into_parts().0).collect();
            assert_eq!(rows, draw.who, "chunks of {size}");
            assert!(draw.chunks(size).all(|chunk| (1..=size.max(1)).contains(&chunk.vouch(0.0).into_parts().0.len())));
        }
    }

    #[test]
    fn shares_hold_every_row_once_and_are_even() {
        let draw = sampler(1000, 0.37, 8).draw(0);
        for (workers, size) in [(0, 7), (1, 64), (2, 0), (3, 50), (8, 10_000), (700, 3)] {
            let shares = draw.shares(workers, size).into_iter();
            let rows = |share: Vec<Secret<Vec<usize>>>| {
                let pieces = share.into_iter().map(|piece| piece.vouch(0.0).into_parts().0);
                pieces.inspect(|piece| assert!((1..=size.max(1)).contains(&piece.len()))).flatten().collect()
            };
            let shares: Vec<Vec<usize>> = shares.map(rows).collect();
            assert_eq!(shares.concat(), draw.who, "{workers} workers");
            let sizes = shares.iter().map(Vec::len);
            assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1, "{workers} workers");
        }
        assert!(sampler(0, 1.0, 1).draw(0).shares(3, 5).iter().all(Vec::is_empty));
    }

    #[test]
    fn a_rate_is_a_probability() {
        for rate in [-0.1, 1.000_001, f64::NAN, f64::INFINITY] {
            let error = Poisson::new(1, rate, Key::from_seed(0)).err().unwrap();
            assert!(error.to_string().contains("not in [0, 1]"));
        }
    }
}
