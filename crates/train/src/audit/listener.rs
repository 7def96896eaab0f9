//! Whoever listens to releases: adds up, for each canary, how much likelier what was released is if the canary was there.
//!
//! What a coordinate is expected to hold without the canary is the mean of what it held lately. The rest, over the noise's deviation (or over
//! what is seen to be there: other people's gradients are in it too, and noise may be less than it should be), is
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
const MEMORY: f64 = 0.8;
/// The same of the mean square of what is left over, which says how much more than noise there is.
const SPREAD: f64 = 0.98;
/// For so many steps, what is left over is taken to be as wide as everywhere in the step.
const PRIOR: f64 = 5.0;
/// What is farther out than noise ever is, or noise and a canary, is somebody else's, and counts as no farther than that.
const OUT: f64 = 4.0;
/// Noise is never taken to be less than this share of what it should be.
const NARROWEST: f64 = 0.05;
/// The median of a normal's absolute value.
const MEDIAN: f64 = 0.6745;

fn median(mut numbers: Vec<f64>) -> f64 {
    let middle = numbers.len() / 2;
    numbers.select_nth_unstable_by(middle, f64::total_cmp);
    numbers[middle]
}

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

    /// Where what is left over lies in a step and how wide it is, by medians over the canaries' coordinates: most of them are not drawn.
    fn typical(&self, flat: &[f32], noise: f64, places: &[usize]) -> (f64, f64) {
        let rests: Vec<f64> = places.iter().map(|at| self.rest(*at, flat[*at], noise)).collect();
        let middle = median(rests.clone());
        let far = median(rests.iter().map(|rest| (rest - middle).abs()).collect());
        (middle, far / MEDIAN)
    }

    /// How wide one coordinate is, by what it held lately, and by as many more steps as are typical of this one.
    fn width(&self, at: usize, typical: f64) -> f64 {
        let count = (1.0 - SPREAD.powf(self.heard as f64)) / (1.0 - SPREAD);
        let square = (PRIOR * typical * typical + f64::from(self.spread[at])) / (PRIOR + count);
        square.sqrt().max(NARROWEST)
    }

    fn hear(&self, flat: &[f32], step: u64, noise: f64, scores: &mut [f64]) {
        let lattices = self.aim.lattices(step);
        let place = |group: usize, canary: usize| {
            let (at, sign) = lattices[group].place(canary);
            (self.aim.flat(group, at), f64::from(sign))
        };
        let typical = |group: usize| {
            let places: Vec<usize> = (0..scores.len()).map(|canary| place(group, canary).0).collect();
            self.typical(flat, noise, &places)
        };
        let typical: Vec<(f64, f64)> = (0..lattices.len()).map(typical).collect();
        for (canary, score) in scores.iter_mut().enumerate() {
            let (mut along, mut length) = (0.0, 0.0);
            for (group, share) in self.shares.iter().enumerate() {
                let (at, sign) = place(group, canary);
                let (middle, wide) = typical[group];
                let width = self.width(at, wide);
                along += share / width * sign * (self.rest(at, flat[at], noise) - middle) / width;
                length += (share / width).powi(2);
            }
            *score += self.evidence(along, length.sqrt());
        }
    }

    /// The logarithm of how much likelier one step is with the canary than without: of `along` times the canary's direction, whose length
    /// over the noise is `signal` times `length`.
    fn evidence(&self, along: f64, length: f64) -> f64 {
        let farthest = length * (OUT + self.signal * length);
        let along = along.clamp(-farthest, farthest);
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
        let rests: Vec<f64> = flat.iter().enumerate().map(|(at, number)| self.rest(at, *number, noise)).collect();
        let middle = if rests.is_empty() { 0.0 } else { median(rests.clone()) };
        for (spread, rest) in self.spread.iter_mut().zip(rests) {
            *spread = SPREAD as f32 * *spread + (rest - middle).powi(2) as f32;
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
