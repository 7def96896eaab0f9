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

/// Nodes looked at together.
const BLOCK: u64 = 16;

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

impl Grid {
    fn node(&self, k: u64) -> f64 {
        self.from + k as f64 * self.step
    }
}

/// A node of the grid and the integrand there.
type At = (u64, Integrand);

/// A sum of exponentials, over that of the largest.
struct Summed {
    top: f64,
    sum: f64,
}

impl Summed {
    fn add(&mut self, term: f64) {
        if term > self.top {
            self.sum = self.sum * (self.top - term).exp() + 1.0;
            self.top = term;
        } else if term > self.top - 745.0 || term.is_nan() {
            self.sum += (term - self.top).exp(); // not a number stays one, and is seen by the caller
        }
    }
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

    /// `ln(A - 1)` by the trapezoid rule, summed on the scale of the largest term. Runs of nodes on which the integrand is
    /// below `e^-60` of a value that it has are left out: between two bumps there may be nothing for most of the way.
    fn log_excess(&self, order: f64, grid: &Grid) -> f64 {
        let top = self.integrand(order, 0.0).value().max(self.integrand(order, self.far(order)).value());
        let mut sum = Summed { top, sum: 0.0 };
        let last = grid.nodes as u64;
        let ends = [0, last + 1].map(|k| (k, self.integrand(order, grid.node(k))));
        self.add_run(order, grid, (&ends[0], &ends[1]), &mut sum);
        sum.top + sum.sum.ln() + grid.step.ln() - 0.5 * (2.0 * PI).ln()
    }

    /// Adds the nodes from one on until before another: by halves, so that what is next to nothing is seen to be.
    fn add_run(&self, order: f64, grid: &Grid, (from, to): (&At, &At), sum: &mut Summed) {
        if from.1.most_until(&to.1) <= sum.top - 60.0 {
            return;
        }
        if to.0 - from.0 <= BLOCK {
            let inside = (from.0 + 1..to.0).map(|k| self.integrand(order, grid.node(k)).value());
            std::iter::once(from.1.value()).chain(inside).for_each(|term| sum.add(term));
            return;
        }
        let middle = from.0 + (to.0 - from.0) / 2;
        let middle = (middle, self.integrand(order, grid.node(middle)));
        self.add_run(order, grid, (from, &middle), sum);
        self.add_run(order, grid, (&middle, to), sum);
    }

    /// Where the part of the integrand in which the example was sampled is largest.
    fn far(&self, order: f64) -> f64 {
        match self.neighbouring {
            Neighbouring::AddRemove => order / self.noise_multiplier,
            Neighbouring::ReplaceOne => -0.5 * order / self.noise_multiplier,
        }
    }

    /// The integrand `Q/N ((1+w)^a - 1 - a w)` times the standard normal density's exponential, at `u` standard deviations
    /// of the noise, as three logarithms.
    fn integrand(&self, order: f64, u: f64) -> Integrand {
        let (z, q) = (self.noise_multiplier, self.rate);
        match self.neighbouring {
            Neighbouring::AddRemove => {
                let y = u / z - 0.5 / (z * z);
                Integrand { u, log_q: 0.0, rest: log_bernoulli(order, log_mixture(q, y), excess(q, y)) }
            }
            Neighbouring::ReplaceOne => {
                let (left, right) = (-0.5 * u / z - 0.125 / (z * z), 0.5 * u / z - 0.125 / (z * z));
                let (log_p, log_q) = (log_mixture(q, left), log_mixture(q, right));
                let ratio = log_p - log_q;
                let w =
                    if ratio.abs() < 0.5 { (excess(q, left) - excess(q, right)) / log_q.exp() } else { ratio.exp_m1() };
                Integrand { u, log_q, rest: log_bernoulli(order, ratio, w) }
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

/// The integrand at one place: the normal density, `Q` over it, and what Bernoulli's inequality leaves.
struct Integrand {
    u: f64,
    log_q: f64,
    rest: f64,
}

impl Integrand {
    fn value(&self) -> f64 {
        self.log_q + self.rest - 0.5 * self.u * self.u
    }

    /// The most it can be from here to there. `Q` over the normal grows or falls all the way, and so does `w`; the rest
    /// is convex in `w`.
    fn most_until(&self, to: &Integrand) -> f64 {
        let nearest = if self.u * to.u < 0.0 { 0.0 } else { self.u.abs().min(to.u.abs()) };
        self.log_q.max(to.log_q) + self.rest.max(to.rest) - 0.5 * nearest * nearest
    }
}

/// `q (e^y - 1)`: the mixture's excess over 1.
fn excess(q: f64, y: f64) -> f64 {
    q * y.exp_m1()
}

/// `ln(1 - q + q e^y)`, also where the exponential overflows, and where it vanishes with `1 - q`.
pub(super) fn log_mixture(q: f64, y: f64) -> f64 {
    if q == 1.0 {
        y
    } else if y >= 30.0 {
        y + q.ln() + ((1.0 - q) / q * (-y).exp()).ln_1p()
    } else if y < -1.0 && q > 0.5 {
        (1.0 - q + q * y.exp()).ln()
    } else {
        excess(q, y).ln_1p()
    }
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
    x * x * EXP_REST.iter().rev().fold(0.0, |sum, c| c + sum * x)
}

/// `1/2!, 1/3!, ...`
const EXP_REST: [f64; 15] = {
    let (mut all, mut k) = ([0.5; 15], 1);
    while k < 15 {
        all[k] = all[k - 1] / (k + 2) as f64;
        k += 1;
    }
    all
};

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
