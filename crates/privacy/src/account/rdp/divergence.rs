//! The Rényi divergence of one round: a Gaussian release from a Poisson sample, at any real order above 1.
//!
//! # Why this is private
//!
//! Claim: [`Pair::divergence`] is, up to rounding, the largest Rényi divergence that one example can cause.
//!
//! Argument. In units of the sensitivity, with noise of standard deviation `z`:
//!
//! *Add/remove.* The worst pair is `P = (1-q) N(0, z^2) + q N(1, z^2)` against `Q = N(0, z^2)`, in this direction
//! (Mironov, Talwar & Zhang 2019, Theorems 4 and 5).
//!
//! *Replace-one.* The sensitivity is twice the bound, so that shares are vectors `v`, `w` of length at most 1/2, and the
//! pair is `(1-q) N(0) + q N(v)` against `(1-q) N(0) + q N(w)`. Opposite shares of full length are the worst. Proof: let
//! `L_v`, `L_w` be the densities over that of `N(0)`, `exp(Z_i - G_ii/2)` for normal `Z` with the Gram matrix `G` of
//! `(v, w)/z`. Every hockey-stick divergence of the pair is `E f(L_v, L_w)` for `f = (a L_v - b L_w - c)_+`, `a, b >= 0`,
//! and Gaussian interpolation (Kahane 1986) gives `d/dt E f = 1/2 sum_ij G'_ij E[L_i L_j f_ij]`. Since `f_vv, f_ww >= 0`
//! and `f_vw <= 0`, it grows with `G_vv` and `G_ww` and falls with `G_vw`; the largest diagonal, `1/(4 z^2)`, with the
//! smallest off-diagonal it allows, is `w = -v`. The pair with means `-1/2` and `+1/2` therefore dominates, and stays
//! dominating under adaptive composition (Zhu, Dong & Wang 2022, Theorem 10), which carries over to Rényi divergences.
//! By symmetry both directions are equal. Mixing over the other examples' coins changes nothing (joint convexity).
//!
//! *Numbers.* With `w = P/Q - 1`, `E_Q[w] = 0` and so `A - 1 = E_Q[(1+w)^a - 1 - a w]`, whose integrand is not negative
//! (Bernoulli): nothing cancels, however small the divergence. The trapezoid rule converges geometrically for it, since
//! it is analytic in a strip (Trefethen & Weideman 2014, Theorem 5.1); the step is chosen for an error below `e^-44`. Where
//! that takes too many nodes (noise multipliers under about 0.01, orders in the millions) the bound by convexity is
//! returned instead: it is larger, hence sound.
//!
//! Checked by: `tests` (closed form at integer orders, the reference's 132 values to `1e-11`, opposite shares against
//! others), and the reference tests of the parent module.

use crate::Neighbouring;
use std::f64::consts::PI;

/// How far into the tails of the normal to integrate, in standard deviations: `e^-50` remains.
const TAIL: f64 = 10.0;
/// Trapezoid error allowed, as the power of 1/e.
const DIGITS: f64 = 46.0;
/// Beyond this many nodes the convexity bound is used.
const MOST_NODES: f64 = 1e5;

/// The two distributions that one example tells apart in one round, with a rate strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) rate: f64,
    pub(super) noise_multiplier: f64,
    pub(super) neighbouring: Neighbouring,
}

/// A grid for the trapezoid rule.
struct Grid {
    from: f64,
    step: f64,
    nodes: f64,
}

impl Pair {
    /// The Rényi divergence of this order, `> 1`. Never negative, never not a number.
    pub(super) fn divergence(&self, order: f64) -> f64 {
        let grid = self.grid(order);
        let log_excess = if grid.nodes <= MOST_NODES { self.log_excess(order, &grid) } else { f64::NAN };
        if log_excess.is_nan() {
            return self.by_convexity(order);
        }
        // ln A = ln(1 + e^log_excess)
        let log_moment = if log_excess > 40.0 { log_excess } else { log_excess.exp().ln_1p() };
        (log_moment / (order - 1.0)).max(0.0)
    }

    /// What the divergence is at least: the part of `A` in which the example was sampled. For replace-one on the half line
    /// where `Q <= N(0, z^2)`, which holds at least half of that part; its means are half as far apart.
    pub(super) fn at_least(&self, order: f64) -> f64 {
        let sampled = order * self.rate.ln() / (order - 1.0);
        match self.neighbouring {
            Neighbouring::AddRemove => (self.unsampled(order) + sampled).max(0.0),
            Neighbouring::ReplaceOne => {
                (0.25 * self.unsampled(order) + sampled - std::f64::consts::LN_2 / (order - 1.0)).max(0.0)
            }
        }
    }

    /// What the divergence is at most: `A` is convex in the pair, so that sampling mixes 1 and the unsampled moment.
    fn by_convexity(&self, order: f64) -> f64 {
        log_mixture(self.rate, (order - 1.0) * self.unsampled(order)) / (order - 1.0)
    }

    /// The divergence without sampling.
    fn unsampled(&self, order: f64) -> f64 {
        0.5 * order / (self.noise_multiplier * self.noise_multiplier)
    }

    /// `ln(A - 1)` by the trapezoid rule, summed on the scale of the largest term.
    fn log_excess(&self, order: f64, grid: &Grid) -> f64 {
        let (mut top, mut sum) = (f64::NEG_INFINITY, 0.0);
        for k in 0..=grid.nodes as u64 {
            let term = self.log_integrand(order, grid.from + k as f64 * grid.step);
            if term > top {
                sum = sum * (top - term).exp() + 1.0;
                top = term;
            } else if term > top - 60.0 {
                sum += (term - top).exp();
            }
        }
        top + sum.ln() + grid.step.ln() - 0.5 * (2.0 * PI).ln()
    }

    /// The logarithm of `Q/N (1+w)^a - 1 - a w` times the standard normal density's exponential, at `u` standard
    /// deviations of the noise.
    fn log_integrand(&self, order: f64, u: f64) -> f64 {
        let (z, q) = (self.noise_multiplier, self.rate);
        let normal = -0.5 * u * u;
        match self.neighbouring {
            Neighbouring::AddRemove => {
                let y = u / z - 0.5 / (z * z);
                normal + log_bernoulli(order, log_mixture(q, y), excess(q, y))
            }
            Neighbouring::ReplaceOne => {
                let (left, right) = (-0.5 * u / z - 0.125 / (z * z), 0.5 * u / z - 0.125 / (z * z));
                let (log_p, log_q) = (log_mixture(q, left), log_mixture(q, right));
                let ratio = log_p - log_q;
                let w =
                    if ratio.abs() < 0.5 { (excess(q, left) - excess(q, right)) / log_q.exp() } else { ratio.exp_m1() };
                normal + log_q + log_bernoulli(order, ratio, w)
            }
        }
    }

    /// Where to integrate, and in what steps. The integrand moves by at most `max(a, 2)/z` from the origin, and is analytic
    /// until the mixtures vanish, `pi z` above the real line (twice that for replace-one, whose `Q^(1-a)` grows on the way).
    fn grid(&self, order: f64) -> Grid {
        let z = self.noise_multiplier;
        let (from, to, height, growth) = match self.neighbouring {
            Neighbouring::AddRemove => {
                let height = (0.9 * PI * z).min((2.0 * DIGITS).sqrt());
                (-TAIL, order.max(2.0) / z + TAIL, height, 0.0)
            }
            Neighbouring::ReplaceOne => {
                let angle = (0.9 * PI).min((320.0 / order).sqrt());
                let height = (2.0 * z * angle).min((2.0 * DIGITS).sqrt());
                let growth = -(order - 1.0) * (0.25 * height / z).cos().ln();
                (-order / z - TAIL, 1.0 / z + TAIL, height, growth)
            }
        };
        let step = 2.0 * PI * height / (DIGITS + 0.5 * height * height + growth);
        Grid { from, step, nodes: ((to - from) / step).ceil() }
    }
}

/// `q (e^y - 1)`: the mixture's excess over 1.
fn excess(q: f64, y: f64) -> f64 {
    q * y.exp_m1()
}

/// `ln(1 - q + q e^y)`, also where the exponential overflows.
pub(super) fn log_mixture(q: f64, y: f64) -> f64 {
    if y < 30.0 { excess(q, y).ln_1p() } else { y + q.ln() + ((1.0 - q) / q * (-y).exp()).ln_1p() }
}

/// `ln((1+w)^a - 1 - a w)`, given `l = ln(1+w)` too. Negative infinity where `w = 0`.
pub(super) fn log_bernoulli(order: f64, l: f64, w: f64) -> f64 {
    let power = order * l;
    if power > 40.0 {
        // Against e^power the rest is a w < a e^l.
        return power + (-(order.ln() + l - power).exp()).ln_1p();
    }
    // (1+w)^a - 1 - a w = (e^power - 1 - power) - a (w - ln(1+w))
    (exp_rest(power) - order * log_rest(w, l)).max(0.0).ln()
}

/// `e^x - 1 - x` without cancellation.
pub(super) fn exp_rest(x: f64) -> f64 {
    if x.abs() > 0.5 {
        return x.exp_m1() - x;
    }
    // x^2/2 (1 + x/3 (1 + x/4 (...)))
    0.5 * x * x * (3..19).rev().fold(1.0, |sum, k| 1.0 + sum * x / f64::from(k))
}

/// `w - ln(1+w)` without cancellation, given `l = ln(1+w)`.
fn log_rest(w: f64, l: f64) -> f64 {
    if w.abs() > 0.1 {
        return w - l;
    }
    // w^2 (1/2 - w/3 + w^2/4 - ...)
    w * w * (2..20).rev().fold(0.0, |sum, k| 1.0 / f64::from(k) - w * sum)
}

#[cfg(test)]
#[path = "divergence_tests.rs"]
mod tests;
