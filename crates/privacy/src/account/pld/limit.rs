//! The divergence itself, as the limit of less and less smoothing: for the accountant that states a value and no bound.
//!
//! With a Gaussian loss of `1/z^2 = v` added, the divergence is a power series in `v` wherever the density of the sum is smooth
//! near epsilon; from five values of `v`, each twice the last, its value at 0 is extrapolated (Richardson). The estimated error
//! is the difference that the fifth makes, and what [`super::smooth`] states of rounding. Nothing here is proved.

use super::ask::{Question, pace};
use super::invert::Inverse;
use super::seek::{Pace, bracket};
use super::smooth::Smooth;
use super::{Pld, PldCurve};

/// Extrapolation to 0 from 1, 2, 4, 8, and also from 16.
const FOUR: [f64; 4] = [64.0 / 21.0, -8.0 / 3.0, 2.0 / 3.0, -1.0 / 21.0];
const FIVE: [f64; 5] = [1024.0 / 315.0, -64.0 / 21.0, 8.0 / 9.0, -2.0 / 21.0, 1.0 / 315.0];
/// What may be left out, over delta, as the power of 1/e.
const SPARE: f64 = 27.0;
/// Less and less smoothing is tried.
const TRIES: usize = 4;
/// The most turns of one attempt.
const MOST: f64 = 1e8;

/// Epsilon and its estimated error.
pub(in crate::account) type Value = (f64, f64);

impl PldCurve {
    /// Epsilon, tried until its estimated error is below the claim; `None` for losses with atoms.
    pub(in crate::account) fn value(&self, delta: f64, claim: f64) -> Option<Value> {
        let smooth = self.parts.iter().all(|(pair, _)| !pair.lumpy());
        let symmetric = self.parts.iter().all(|(pair, _)| pair.symmetric());
        if smooth { Pld::default().question(self, delta).value(symmetric, delta, claim) } else { None }
    }
}

impl Question {
    /// Epsilon of the worse direction.
    fn value(&self, symmetric: bool, delta: f64, claim: f64) -> Option<Value> {
        let first = self.limit(false, delta, claim)?;
        if symmetric || self.less(true, &self.plan(true), first.0, delta) {
            return Some(first);
        }
        let second = self.limit(true, delta, claim)?;
        Some((first.0.max(second.0), first.1.max(second.1)))
    }

    fn limit(&self, mirrored: bool, delta: f64, claim: f64) -> Option<Value> {
        let plan = self.plan(mirrored);
        let (ends, line) = self.direction(mirrored, &plan, delta)?;
        let (epsilon, slope) = (ends.upper, plan.at_delta(delta).tilt);
        // A value to ten digits costs some forty times what its bounds do.
        let line = line.filter(|line| 40.0 * line.cost() < 5.0 * MOST)?;
        let mut smoothing = 0.25 * line.smoothing;
        let sharp = Question { spare: SPARE, tail: (1e-12 * delta / self.count()).max(1e-290), ..self.clone() };
        let plan = sharp.plan(mirrored);
        let mut best: Option<Value> = None;
        for _ in 0..TRIES {
            let course = plan.course((epsilon, delta), slope, (smoothing, SPARE));
            let added = (smoothing, sharp.gaussian);
            let Some(inverse) = Inverse::new(&sharp.pairs, mirrored, sharp.tail, course, added, SPARE) else { break };
            let found = sharp.extrapolated(&inverse, (epsilon, delta), pace(&inverse, slope));
            if let Some(found) = found.filter(|found| best.is_none_or(|best| found.1 < best.1)) {
                best = Some(found);
            }
            if best.is_some_and(|best| best.1 < claim) || 8.0 * inverse.cost() > MOST {
                break;
            }
            smoothing *= 0.125;
        }
        best
    }

    /// The value that the transforms of one line lead to.
    fn extrapolated(&self, inverse: &Inverse, (epsilon, delta): (f64, f64), pace: Pace) -> Option<Value> {
        let counts: Vec<f64> = self.pairs.iter().map(|(_, count)| *count).collect();
        let smooths: Vec<Smooth> =
            (0..FIVE.len()).map(|k| inverse.smoother(2f64.powi(k as i32)).smooth(&counts, self.gaussian)).collect();
        let from = |weights: &[f64], epsilon: f64| {
            weights.iter().zip(&smooths).map(|(weight, smooth)| weight * smooth.value(epsilon).0).sum::<f64>()
        };
        let miss = |epsilon: f64| (from(&FIVE, epsilon) / delta).max(1e-300).ln();
        let (_, found) = bracket(miss, epsilon, pace, 1e-13)?;
        let rounding = 5.0 * smooths.first()?.value(found).1;
        let step = 1e-4 * found.max(1e-9);
        let fall = (from(&FIVE, found - step) - from(&FIVE, found + step)) / (2.0 * step);
        let error = ((from(&FIVE, found) - from(&FOUR, found)).abs() + rounding) / fall;
        (fall > 0.0).then_some((found, error + 1e-12 * found))
    }
}
