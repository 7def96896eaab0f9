//! Noise correlated over many rounds: a season, paid once.
//!
//! A mechanism that releases prefix sums with correlated noise is one Gaussian release of the whole run: with `A = B C`,
//! it releases `C G + Z` and post-processes. Its cost is that of one Gaussian whose sensitivity is how far one example, in
//! all rounds that it takes part in, can move `C G`. The ledger holds one [`Event::Season`] for the run, and an
//! [`Event::Prepaid`] for each round of it.
//!
//! # Why this is private
//!
//! Claim: [`settle`] turns a ledger into one without seasons whose price bounds that of the original.
//!
//! Argument: (1) [`Strategy::square`] is at least the square of the L2 sensitivity of `C G` in units of one share. *Tree*:
//! in one tree a share is in at most one node a level, `ceil(log2(rounds + 1))` levels, with weight 1; epochs whose trees
//! start afresh add. *One tree of many epochs*: a batch is counted in each node as often as it comes there; counts are
//! squared, since the shares of one example may all point one way. *Toeplitz*: rounds at least `separation` apart, at most
//! `participations` of them; with coefficients that are not negative and do not grow, the norm of the sum of shifted
//! columns is largest when they come first and closest (Choquette-Choo et al. 2023, Kalinin & Lampert 2024, Theorem 2).
//! (2) Gaussian noise stays private when rounds are chosen adaptively (Denisov et al. 2022, Theorem 2.1). (3) A prepaid
//! round is post-processing of its season; there may not be more of them than the seasons of the same noise have rounds.
//! What else was released in it is priced as if no sampling hid it: the season's price lets everyone know the draws.
//!
//! Citation: Kairouz et al. 2021 (tree aggregation, appendix D), Choquette-Choo et al. 2023 (participation), Kalinin &
//! Lampert 2024 (banded square root).
//!
//! Checked by: `tests`.

use crate::{Event, Sampling};
use serde::{Deserialize, Serialize};
use std::fmt;

/// How the noise of a season is correlated, and how often one example takes part in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// Tree aggregation, restarted often enough that no example is in one tree twice.
    Tree {
        /// The rounds of each tree of an epoch. An example is in one of these trees, once.
        rounds: Vec<u64>,
        /// How many epochs, each with its own trees.
        epochs: u64,
    },
    /// One tree over several epochs of the same batches in the same order.
    TreeOfEpochs {
        /// Rounds of an epoch.
        batches: u64,
        /// How many epochs the tree holds.
        epochs: u64,
        /// Whether the tree is completed with rounds that hold nobody, to the next power of two.
        completed: bool,
    },
    /// A lower triangular Toeplitz matrix `C`, banded or not.
    Toeplitz {
        /// Its first column: not negative, not growing. What is missing is zero.
        coefficients: Vec<f64>,
        /// How many rounds.
        rounds: u64,
        /// In how many of them one example takes part, at most.
        participations: u64,
        /// How many rounds later it may come back, at the soonest.
        separation: u64,
    },
}

impl Strategy {
    /// The best Toeplitz coefficients for prefix sums, cut to `bands` of them and scaled to length 1: the square root of
    /// the all-ones triangle (Fichtenberger, Henzinger & Upadhyay 2023).
    pub fn banded(bands: u64, rounds: u64, participations: u64, separation: u64) -> Strategy {
        let next = |c: &mut f64, k: u64| {
            *c *= if k == 0 { 1.0 } else { (2 * k - 1) as f64 / (2 * k) as f64 };
            Some(*c)
        };
        let raw: Vec<f64> = (0..bands.min(rounds)).scan(1.0, next).collect();
        let norm = raw.iter().map(|c| c * c).sum::<f64>().sqrt();
        let coefficients = raw.into_iter().map(|c| c / norm).collect();
        Strategy::Toeplitz { coefficients, rounds, participations, separation }
    }

    /// How many rounds a season has.
    pub fn rounds(&self) -> u64 {
        match self {
            Strategy::Tree { rounds, epochs } => {
                rounds.iter().fold(0, |sum: u64, n| sum.saturating_add(*n)).saturating_mul(*epochs)
            }
            Strategy::TreeOfEpochs { batches, epochs, .. } => batches.saturating_mul(*epochs),
            Strategy::Toeplitz { rounds, .. } => *rounds,
        }
    }

    /// Whether draws made like this keep to the participation that the price assumes, from whichever round they begin.
    ///
    /// Examples that are put once into one of `n` batches which recur in order come back after exactly `n` rounds.
    ///
    /// # Errors
    /// What the price assumes of a draw, in words.
    pub(crate) fn admits(&self, sampling: &Sampling) -> Result<(), &'static str> {
        let Sampling::BallsInBins { bins } = sampling else {
            return Err("its examples must come back in order, at the soonest after so many rounds (balls in bins)");
        };
        let (fine, why) = match self {
            Strategy::Tree { rounds, epochs } => {
                let epoch = rounds.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
                (
                    *epochs == 1 && epoch <= *bins || epoch == *bins,
                    "the trees of an epoch must hold as many rounds as there are bins",
                )
            }
            Strategy::TreeOfEpochs { batches, .. } => {
                (batches == bins, "its epochs must have as many rounds as there are bins")
            }
            Strategy::Toeplitz { rounds, participations, separation, .. } => (
                separation <= bins && *participations >= rounds.div_ceil(*bins),
                "its separation must be at most the number of bins, its participations at least the number of epochs",
            ),
        };
        self.square()?;
        match self {
            Strategy::Toeplitz { coefficients, .. } if coefficients.first().is_none_or(|c| *c <= 0.0) => {
                Err("its first coefficient must be above zero")
            }
            _ if fine => Ok(()),
            _ => Err(why),
        }
    }

    /// The square of the sensitivity, in units of one share's.
    ///
    /// # Errors
    /// When the numbers make no sense, saying why.
    pub fn square(&self) -> Result<f64, &'static str> {
        match self {
            Strategy::Tree { rounds, epochs } => {
                let longest = rounds.iter().copied().max().unwrap_or(0);
                Ok(f64::from(tree_depth(longest)) * *epochs as f64)
            }
            Strategy::TreeOfEpochs { batches, epochs, completed } => tree_of_epochs(*batches, *epochs, *completed),
            Strategy::Toeplitz { coefficients, rounds, participations, separation } => {
                toeplitz(coefficients, *rounds, *participations, *separation)
            }
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Strategy::Tree { rounds, epochs } => write!(f, "trees of {rounds:?} rounds, {epochs} epochs"),
            Strategy::TreeOfEpochs { batches, epochs, .. } => {
                write!(f, "one tree of {epochs} epochs of {batches} rounds")
            }
            Strategy::Toeplitz { coefficients, rounds, participations, separation } => write!(
                f,
                "Toeplitz of {} bands over {rounds} rounds, {participations} participations {separation} apart",
                coefficients.len()
            ),
        }
    }
}

/// Levels of a tree over so many rounds: `ceil(log2(rounds + 1))`.
pub fn tree_depth(rounds: u64) -> u32 {
    u64::BITS - rounds.leading_zeros()
}

/// The largest tree whose nodes are counted one by one.
const MOST_LEAVES: u64 = 1 << 24;

/// Sum over the nodes of a tree of the squared count of one batch, at most over batches (Kairouz et al. 2021, appendix D).
fn tree_of_epochs(batches: u64, epochs: u64, completed: bool) -> Result<f64, &'static str> {
    let real = batches.saturating_mul(epochs);
    if real > MOST_LEAVES {
        return Err("one tree of more than 2^24 rounds is not counted");
    }
    let leaves = if completed { real.next_power_of_two() } else { real };
    // A node of 2^level leaves ends where a multiple of that ends; incomplete nodes are never released.
    let square = |batch: u64| -> f64 {
        let before = |end: u64| if end > batch { (end.min(real) - batch - 1) / batches + 1 } else { 0 };
        let level = |size: u64| -> u64 {
            (0..epochs)
                .map(|epoch| batch + epoch * batches)
                .map(|leaf| leaf / size)
                .fold((None, 0), |(last, sum), node| {
                    let counted = last == Some(node) || (node + 1) * size > leaves;
                    let count = before((node + 1) * size) - before(node * size);
                    (Some(node), if counted { sum } else { sum + count * count })
                })
                .1
        };
        (0..u64::BITS - leaves.leading_zeros()).map(|power| level(1 << power) as f64).sum()
    };
    Ok((0..batches).map(square).fold(0.0, f64::max))
}

/// The squared norm of the sum of the first columns that one example can be in.
fn toeplitz(coefficients: &[f64], rounds: u64, participations: u64, separation: u64) -> Result<f64, &'static str> {
    let falling = coefficients.windows(2).all(|pair| pair[1] <= pair[0]);
    if !falling || !coefficients.iter().all(|c| *c >= 0.0 && c.is_finite()) {
        return Err("its coefficients must be finite, not negative, and not growing");
    }
    if separation == 0 {
        return Err("its separation must be at least one round");
    }
    let times = participations.min(rounds.div_ceil(separation));
    let bands = coefficients.len().min(usize::try_from(rounds).unwrap_or(usize::MAX)) as u64;
    if bands <= separation {
        // No two columns share a row, and the last may be cut short: at most this.
        return Ok(times as f64 * coefficients.iter().map(|c| c * c).sum::<f64>());
    }
    if times.saturating_mul(bands) > 1 << 32 {
        return Err("its columns are too many and too long to be summed");
    }
    let last = rounds.min((times - u64::from(times > 0)).saturating_mul(separation).saturating_add(bands));
    let row = |t: u64| -> f64 {
        let newest = (t / separation).min(times.saturating_sub(1));
        let oldest = if t < bands { 0 } else { (t - bands) / separation + 1 };
        (oldest..=newest).map(|j| coefficients[(t - j * separation) as usize]).sum()
    };
    Ok(if times == 0 { 0.0 } else { (0..last).map(|t| row(t).powi(2)).sum() })
}

/// The same entries without seasons: each becomes one Gaussian, and what they paid for is struck out.
///
/// # Errors
/// The event that makes no sense, and why.
pub(crate) fn settle(entries: Vec<(Event, u64)>) -> Result<Vec<(Event, u64)>, (Event, &'static str)> {
    let mut tickets: Vec<(f64, u64)> = Vec::new();
    for (event, count) in &entries {
        if let Event::Season { strategy, noise_multiplier } = event {
            tickets.push((*noise_multiplier, strategy.rounds().saturating_mul(*count)));
        }
    }
    let mut settled = Vec::with_capacity(entries.len());
    for (event, count) in entries {
        let why = |why| (event.clone(), why);
        match &event {
            Event::Season { strategy, noise_multiplier } => {
                settled.push((whole(strategy, *noise_multiplier).map_err(why)?, count));
            }
            Event::Prepaid { noise_multiplier } => punch(&mut tickets, *noise_multiplier, count).map_err(why)?,
            Event::Round { releases, .. } if releases.iter().any(|r| matches!(r, Event::Prepaid { .. })) => {
                let (paid, rest): (Vec<_>, Vec<_>) =
                    releases.iter().cloned().partition(|r| matches!(r, Event::Prepaid { .. }));
                for ticket in paid {
                    let Event::Prepaid { noise_multiplier } = ticket else { continue };
                    punch(&mut tickets, noise_multiplier, count).map_err(why)?;
                }
                if !rest.is_empty() {
                    settled.push((Event::Round { sampling: Sampling::Poisson { rate: 1.0 }, releases: rest }, count));
                }
            }
            _ => settled.push((event, count)),
        }
    }
    Ok(settled)
}

/// Takes rounds from seasons of this noise.
fn punch(tickets: &mut [(f64, u64)], noise_multiplier: f64, mut count: u64) -> Result<(), &'static str> {
    for (_, left) in tickets.iter_mut().filter(|(z, _)| *z == noise_multiplier) {
        let taken = count.min(*left);
        (*left, count) = (*left - taken, count - taken);
    }
    if count == 0 { Ok(()) } else { Err("more rounds are prepaid than the seasons of this noise multiplier hold") }
}

/// The one Gaussian that a season is.
fn whole(strategy: &Strategy, noise_multiplier: f64) -> Result<Event, &'static str> {
    if noise_multiplier.is_nan() || noise_multiplier < 0.0 {
        return Err("its noise multiplier is negative or not a number");
    }
    let square = strategy.square()?;
    let noise_multiplier = if square == 0.0 { f64::INFINITY } else { noise_multiplier / square.sqrt() };
    Ok(Event::Gaussian { noise_multiplier })
}

#[cfg(test)]
#[path = "season_tests.rs"]
mod tests;
