//! Noise correlated over rounds: the mechanism that keeps a season's promise.
//!
//! With `A = B C` (`A` the prefix sums), a season releases `G + C^-1 Z`: each round's sum with noise that later rounds
//! partly take back. Everything here is a function of key and step: what is kept between steps only saves work, is never
//! stored, and is made anew where it does not fit the step that is asked for.
//!
//! *Tree* (Kairouz et al. 2021, arXiv 2103.00039): `Z` has one row for each node of a binary tree over the rounds. The noise
//! of a prefix sum is that of its live nodes, one for each bit of the number of rounds; a release's noise is what changes:
//! the new node's noise less that of the nodes which it replaces. *Variance-reduced* (Honaker 2015): a node's noise is
//! estimated from all nodes below it, `u / (2 - 2^-height)` where `u = z + (u_left + u_right) / 2`, of variance
//! `1 / (2 - 2^-height)`.
//! *Toeplitz* (Choquette-Choo et al. 2023, arXiv 2306.08153): `x_t = (z_t - sum_k c_k x_{t-k}) / c_0`.
//!
//! # Why this is private
//!
//! Claim: the noise of rounds `0, 1, ...` of a season is `C^-1 Z` for the `C` of its strategy and independent standard normals
//! `Z`, or a linear estimate from released nodes (post-processing of them): the whole season is one Gaussian mechanism of
//! its noise multiplier, over the sensitivity that [`Strategy::square`](crate::Strategy::square) bounds.
//!
//! Argument: a Toeplitz round adds `x_t` with `sum_k c_k x_{t-k} = z_t`, so that `C` times what is released is `C G + Z`. A tree
//! node's released value is its rounds' sum plus its own normal; releases are differences of sums of such values, or of
//! averages of a node's value with its children's. Normals are told apart by the step that completes a node and its
//! height: no two nodes share a stream, and a season's streams are of a purpose of their own.
//!
//! Citation: as above; Denisov et al. 2022 for rounds chosen adaptively.
//!
//! Checked by: `tests` (worked numbers; covariances against a dense inverse and by statistics over keys; the noise of
//! prefix sums against the tree's live nodes; restarting anywhere).

use crate::{Event, Mechanism, Source, Strategy, Stream, Sum};

/// White noise for a `T`: standard normals in the place of a blank's zeros, by a stream.
pub type White<T> = Box<dyn FnMut(&Stream, T) -> T + Send>;

/// A mechanism whose noise is correlated as a season's strategy says.
pub struct Correlated<T> {
    strategy: Strategy,
    noise_multiplier: f64,
    first: u64,
    reduced: bool,
    white: White<T>,
    /// Toeplitz: earlier noise, newest first. Trees: each live node's noise (its `u` where reduced), by height.
    kept: Vec<Option<T>>,
    /// The round, counted from the beginning of what `kept` is about, that comes next.
    next: u64,
}

impl<T: Sum + Clone> Correlated<T> {
    /// Noise of a season that begins at step `first`.
    pub fn new(strategy: Strategy, noise_multiplier: f64, first: u64, white: White<T>) -> Self {
        Correlated { strategy, noise_multiplier, first, reduced: false, white, kept: Vec::new(), next: 0 }
    }

    /// For trees: noise estimated from all nodes, not from the live ones alone. It costs the same.
    #[must_use]
    pub fn reduced(self) -> Self {
        Correlated { reduced: true, ..self }
    }

    /// The first round of the stretch that round `at` is correlated with: its tree, or the season.
    fn start(&self, at: u64) -> u64 {
        let Strategy::Tree { rounds, .. } = &self.strategy else { return 0 };
        let epoch = rounds.iter().sum::<u64>().max(1);
        let inside = at % epoch;
        let ends = rounds.iter().scan(0, |end, n| {
            *end += n;
            Some(*end)
        });
        at - inside + ends.take_while(|end| *end <= inside).last().unwrap_or(0)
    }

    /// The noise of a round, from `begin` on; rounds before it have been asked for.
    fn advance(&mut self, begin: u64, round: u64, source: &Source, blank: T) -> T {
        let step = self.first + begin + round;
        match &self.strategy {
            Strategy::Toeplitz { coefficients, .. } => {
                let x = (self.white)(&source.season(step, 0), blank);
                let earlier = coefficients[1..].iter().zip(&self.kept);
                let x = earlier.fold(x, |x, (c, y)| y.iter().fold(x, |x, y| x.add_scaled(y.clone(), -c)));
                let x = x.scale(1.0 / coefficients[0]);
                self.kept.insert(0, Some(x.clone()));
                self.kept.truncate(coefficients.len() - 1);
                x
            }
            Strategy::Tree { .. } | Strategy::TreeOfEpochs { .. } => self.node(round + 1, step, source, blank),
        }
    }

    /// What completing the `count`-th leaf changes in the noise of the prefix sum.
    fn node(&mut self, count: u64, step: u64, source: &Source, blank: T) -> T {
        let (height, reduced) = (count.trailing_zeros() as usize, self.reduced);
        self.kept.resize_with(self.kept.len().max(height + 1), || None);
        let mut fresh = |lane: usize| (self.white)(&source.season(step, lane as u8), blank.clone());
        let weight = |level: usize| if reduced { 1.0 / (2.0 - 0.5_f64.powi(level as i32)) } else { 1.0 };
        let mut node = if reduced { fresh(0) } else { fresh(height) };
        let mut gone = blank.clone();
        for level in 0..height {
            let Some(left) = self.kept[level].take() else { continue };
            if reduced {
                // The right child is the node so far.
                node = fresh(level + 1).add_scaled(left.clone().add(node), 0.5);
            }
            gone = gone.add_scaled(left, weight(level));
        }
        self.kept[height] = Some(node.clone());
        gone.scale(-1.0).add_scaled(node, weight(height))
    }
}

impl<T: Sum + Clone + Send> Mechanism<T> for Correlated<T> {
    /// The season; none that can be noised outside its steps, where noise would be correlated with that of a season that is over, and not as another one's.
    fn event(&self, step: u64) -> Event {
        let inside = step.checked_sub(self.first).is_some_and(|at| at < self.strategy.rounds());
        let noise_multiplier = if inside { self.noise_multiplier } else { f64::NAN };
        Event::Season { strategy: self.strategy.clone(), noise_multiplier }
    }

    fn unit(&mut self, source: &Source, blank: T) -> T {
        let at = source.step().saturating_sub(self.first);
        let begin = self.start(at);
        let round = at - begin;
        if self.next != at || round == 0 {
            self.kept.clear();
            (0..round).for_each(|k| drop(self.advance(begin, k, source, blank.clone())));
        }
        self.next = at + 1;
        self.advance(begin, round, source, blank)
    }
}

#[cfg(test)]
#[path = "correlated_tests.rs"]
mod tests;
