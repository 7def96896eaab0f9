//! Whoever listens to releases: adds up, for each canary, how much likelier what was released is if the canary was there.
//!
//! What a coordinate is expected to hold without the canary is the mean of what it held lately. The rest, over the noise's deviation, is
//! normal around 0 or, in the steps that draw the canary, around the bound over the deviation; the logarithm of the ratio of both chances,
//! summed over steps, is the best test there is (Neyman & Pearson). It knows released numbers only.
use super::planted::Aim;
use crate::{
    grads::Grads,
    state::State,
    update::{Now, Update},
};
use std::sync::{Arc, Mutex, PoisonError};

/// How much of the mean a step leaves.
const MEMORY: f64 = 0.95;
/// The same of the mean square of what is left over, which says how much more than noise there is.
const SPREAD: f64 = 0.98;

/// The first link of an audited run's chain: hands on what it gets.
pub(super) struct Listener {
    aim: Arc<Aim>,
    /// Of each group, its share of a canary's length.
    shares: Vec<f64>,
    /// A canary's length over the noise's deviation.
    signal: f64,
    /// How often a canary is drawn.
    rate: f64,
    /// Which way gradients of canaries point whose coin says that they are not there: backwards, or nowhere.
    backwards: bool,
    expected: Vec<f32>,
    spread: Vec<f32>,
    heard: u64,
    scores: Arc<Mutex<Vec<f64>>>,
}

impl Listener {
    pub(super) fn new(
        aim: Arc<Aim>,
        bounds: &[f64],
        (signal, rate, backwards): (f64, f64, bool),
        scores: Arc<Mutex<Vec<f64>>>,
    ) -> Listener {
        let whole = bounds.iter().map(|c| c * c).sum::<f64>().sqrt();
        let shares = bounds.iter().map(|c| c / whole).collect();
        Listener { aim, shares, signal, rate, backwards, expected: vec![], spread: vec![], heard: 0, scores }
    }

    /// What is left of a number when what was expected is taken off, over the deviation to be expected.
    fn rest(&self, at: usize, number: f32, noise: f64) -> f64 {
        let mean = f64::from(self.expected[at]) / (1.0 - MEMORY.powf(self.heard as f64)).max(1.0 - MEMORY);
        (f64::from(number) - mean) / noise
    }

    /// How much wider than noise a number was lately, at least 1.
    fn width(&self, at: usize) -> f64 {
        let forgotten = SPREAD.powf(self.heard as f64);
        (f64::from(self.spread[at]) + forgotten).max(1.0).sqrt()
    }

    fn hear(&self, flat: &[f32], step: u64, noise: f64, scores: &mut [f64]) {
        let lattices = self.aim.lattices(step);
        for (canary, score) in scores.iter_mut().enumerate() {
            let (mut along, mut length) = (0.0, 0.0);
            for (group, (lattice, share)) in lattices.iter().zip(&self.shares).enumerate() {
                let (at, sign) = lattice.place(canary);
                let at = self.aim.flat(group, at);
                let part = share / self.width(at);
                along += part * f64::from(sign) * self.rest(at, flat[at], noise) / self.width(at);
                length += part * part;
            }
            *score += self.evidence(along, length.sqrt());
        }
    }

    /// The logarithm of how much likelier one step is with the canary than without: of `along` times the canary's direction, whose length
    /// over the noise is `signal` times `length`.
    fn evidence(&self, along: f64, length: f64) -> f64 {
        let one = |way: f64| {
            let exponent = way * self.signal * along - 0.5 * (self.signal * length).powi(2);
            match self.rate {
                rate if rate >= 1.0 => exponent,
                // Beyond that, an exponential is nothing but its exponent.
                rate if exponent > 30.0 => rate.ln() + exponent,
                rate => (rate * exponent.exp_m1()).ln_1p(),
            }
        };
        one(1.0) - if self.backwards { one(-1.0) } else { 0.0 }
    }

    fn remember(&mut self, flat: &[f32], noise: f64) {
        for (at, number) in flat.iter().enumerate() {
            let rest = self.rest(at, *number, noise) as f32;
            self.spread[at] += (1.0 - SPREAD) as f32 * (rest * rest - self.spread[at]);
        }
        let by = (1.0 - MEMORY) as f32;
        self.expected.iter_mut().zip(flat).for_each(|(mean, number)| *mean += by * (number - *mean));
        self.heard += 1;
    }
}

impl State for Listener {}

impl Update for Listener {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let flat = g.flat();
        self.expected.resize(flat.len(), 0.0);
        self.spread.resize(flat.len(), 0.0);
        let noise = now.noise.max(f64::MIN_POSITIVE);
        let scores = self.scores.clone();
        self.hear(flat, now.step, noise, &mut scores.lock().unwrap_or_else(PoisonError::into_inner));
        self.remember(flat, noise);
        g
    }
}
