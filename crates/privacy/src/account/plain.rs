//! What rounds cost when their sampling hides nothing: a sum of squares, and passes over the data.
//!
//! # Why this is private
//!
//! Claim: [`PlainCurve::squares`] bounds the sum of `1/z^2` over all releases that one example takes part in, whatever was
//! drawn.
//!
//! Argument: whoever is told every draw sees plain Gaussian releases, each of which holds the example or not; hiding the
//! draws again is post-processing. *Poisson*: at most every round. *Fixed size*, replace-one: likewise, since the example
//! and its replacement hold the same place. *Truncated*: under add/remove another example may take the place of the one
//! removed, which moves the sum by twice the bound; under replace-one that is the sensitivity already. *Balls in bins* and
//! *shuffled* batches: one round an epoch, the deterministic-batch bound. Of `n` rounds in a row from the beginning,
//! `ceil(n/bins)` hold the example; a run of rounds that may begin anywhere in an epoch touches `ceil((n-1)/bins) + 1` of
//! them.
//!
//! Citation: Chua et al. 2024 ("How private are DP-SGD implementations?", Section 3) for the deterministic-batch bound,
//! and for why shuffling must not be priced as Poisson sampling.
//!
//! Checked by: `tests` here, and `super::gdp::tests`.

use super::{Curve, check_sampling};
use crate::{Event, Neighbouring, Sampling};

/// Rounds of one kind in a row, each example being in one of every `bins`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Run {
    square: f64,
    bins: u64,
    rounds: u64,
    /// How often this run was made, not in one row.
    repeat: f64,
}

/// Rounds of which each example is in one an epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Passes(Vec<Run>);

impl Passes {
    pub(super) fn one(square: f64, bins: u64) -> Self {
        Passes(vec![Run { square, bins: bins.max(1), rounds: 1, repeat: 1.0 }])
    }

    pub(super) fn plus(&mut self, other: Passes) {
        for run in other.0 {
            let same = |mine: &&mut Run| (mine.square, mine.bins, mine.rounds) == (run.square, run.bins, run.rounds);
            match self.0.iter_mut().find(same) {
                Some(mine) => mine.repeat += run.repeat,
                None => self.0.push(run),
            }
        }
    }

    pub(super) fn times(&mut self, n: u64) {
        match &mut self.0[..] {
            [run] if run.repeat == 1.0 && n > 0 => run.rounds = run.rounds.saturating_mul(n),
            _ if n == 0 => self.0.clear(),
            runs => runs.iter_mut().for_each(|run| run.repeat *= n as f64),
        }
    }

    /// The sum of `1/z^2` over the rounds that one example is in, at most.
    pub(super) fn squares(&self) -> f64 {
        match &self.0[..] {
            [run] if run.repeat == 1.0 => run.square * run.rounds.div_ceil(run.bins) as f64,
            runs => runs
                .iter()
                .map(|run| run.square * run.repeat * (1.0 + run.rounds.saturating_sub(1).div_ceil(run.bins) as f64))
                .sum(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Said whenever sampling would have hidden something.
pub(super) const UNHIDDEN: &str = "sampling is not counted: this is the price of taking part in every round";
/// Said of passes.
pub(super) const PASSES: &str = "priced as fixed batches, one Gaussian release an epoch, which is sound; no better bound is known to \
     be tight. Poisson accounting would claim far less and be wrong: at noise multiplier 1 and 1000 batches, delta 1e-6, it \
     says 0.19, while one epoch costs between 3.72 and 4.89";
/// Said of shuffling under add/remove.
pub(super) const ZERO_OUT: &str = "an example removed leaves its place in the batch empty: the number of places is public, and no data set has more examples";

/// The cost of some events without any amplification.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlainCurve {
    pub(super) sum: f64,
    pub(super) passes: Passes,
    pub(super) notes: Vec<&'static str>,
    /// Whether a limit theorem was used, so that nothing is proved.
    pub(super) estimate: bool,
}

impl PlainCurve {
    /// A sum of squares alone.
    pub(super) fn of(sum: f64) -> Self {
        PlainCurve { sum, ..PlainCurve::default() }
    }

    /// The sum of all squares: `1/z^2` for Gaussians.
    pub fn squares(&self) -> f64 {
        self.sum + self.passes.squares()
    }

    /// Whether nothing but unsampled releases is in it.
    pub(super) fn exact(&self) -> bool {
        self.notes.is_empty() && !self.estimate
    }
}

impl Curve for PlainCurve {
    fn plus(mut self, other: Self) -> Self {
        self.sum += other.sum;
        self.passes.plus(other.passes);
        let new: Vec<_> = other.notes.into_iter().filter(|note| !self.notes.contains(note)).collect();
        self.notes.extend(new);
        self.estimate |= other.estimate;
        self
    }
    fn times(mut self, n: u64) -> Self {
        self.sum = if n == 0 { 0.0 } else { self.sum * n as f64 };
        self.passes.times(n);
        self
    }
}

/// The cost of one event, given the square of one release.
pub(super) fn plain(
    event: &Event,
    neighbouring: Neighbouring,
    square: impl Fn(&Event) -> Result<f64, &'static str>,
) -> Result<PlainCurve, &'static str> {
    let Event::Round { sampling, releases } = event else { return Ok(PlainCurve::of(square(event)?)) };
    check_sampling(sampling)?;
    let sum = releases.iter().map(square).sum::<Result<f64, _>>()?;
    let noted = |sum, notes: &[&'static str]| Ok(PlainCurve { sum, notes: notes.to_vec(), ..PlainCurve::default() });
    if sum == 0.0 {
        return Ok(PlainCurve::default());
    }
    match sampling {
        Sampling::Poisson { rate: 0.0 } => Ok(PlainCurve::default()),
        Sampling::Poisson { rate: 1.0 } => Ok(PlainCurve::of(sum)),
        Sampling::Poisson { .. } => noted(sum, &[UNHIDDEN]),
        Sampling::FixedSize { .. } => match neighbouring {
            Neighbouring::AddRemove => Err(FIXED_SIZE),
            Neighbouring::ReplaceOne => noted(sum, &[UNHIDDEN]),
        },
        Sampling::TruncatedPoisson { .. } => match neighbouring {
            Neighbouring::AddRemove => noted(4.0 * sum, &[UNHIDDEN]),
            Neighbouring::ReplaceOne => noted(sum, &[UNHIDDEN]),
        },
        Sampling::BallsInBins { bins } => Ok(epochs(sum, *bins, &[PASSES])),
        Sampling::Shuffled { batches } if neighbouring == Neighbouring::AddRemove => {
            Ok(epochs(sum, *batches, &[PASSES, ZERO_OUT]))
        }
        Sampling::Shuffled { batches } => Ok(epochs(sum, *batches, &[PASSES])),
    }
}

/// The curve of a Gaussian round of which each example is in one an epoch; `None` for other events.
pub(super) fn passing(event: &Event, neighbouring: Neighbouring) -> Result<Option<PlainCurve>, &'static str> {
    let Event::Round { sampling: Sampling::BallsInBins { .. } | Sampling::Shuffled { .. }, .. } = event else {
        return Ok(None);
    };
    let gaussian = |release: &Event| match super::scale(release)? {
        super::Scale::Gaussian(z) => Ok(1.0 / (z * z)),
        _ => Err("only Gaussian releases are priced with this sampling"),
    };
    plain(event, neighbouring, gaussian).map(Some)
}

fn epochs(square: f64, bins: u64, notes: &[&'static str]) -> PlainCurve {
    PlainCurve { passes: Passes::one(square, bins), notes: notes.to_vec(), ..PlainCurve::default() }
}

/// Why fixed sizes have no price under add/remove.
pub(super) const FIXED_SIZE: &str = "batches of a fixed size are priced under replace-one alone: with one example fewer, \
     another takes its place in the batch";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_is_counted_in_epochs_and_several_are_not_aligned() {
        let run = |rounds| {
            let mut passes = Passes::one(2.0, 10);
            passes.times(rounds);
            passes
        };
        for (rounds, epochs) in [(1, 1.0), (10, 1.0), (11, 2.0), (1000, 100.0)] {
            assert_eq!(run(rounds).squares(), 2.0 * epochs);
        }
        // A round of another noise between two runs: each may reach into one epoch more.
        let mut three = run(10);
        three.plus(Passes::one(8.0, 10));
        three.plus(run(10));
        assert_eq!(three.squares(), 2.0 * 2.0 * 2.0 + 8.0);
        // Alternating kinds: an example may be in the same kind every time.
        let mut alternating = Passes::one(1.0, 2);
        alternating.plus(Passes::one(3.0, 2));
        alternating.times(50);
        assert_eq!(alternating.squares(), 50.0 + 150.0);
        alternating.times(0);
        assert!(alternating.is_empty() && alternating.squares() == 0.0);
    }

    #[test]
    fn a_run_met_twice_is_not_one_long_run() {
        let mut passes = Passes::one(1.0, 4);
        passes.plus(Passes::one(1.0, 4));
        assert_eq!(passes.squares(), 2.0);
    }
}
