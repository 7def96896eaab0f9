//! The sum of losses with a little Gaussian loss added, by inversion of its characteristic function.
//!
//! # Why this is private
//!
//! Claim: [`Smooth::above`] is at least, and [`Smooth::below`] at most, the hockey-stick divergence `delta(epsilon)` of the sum
//! `S` of all losses.
//!
//! Argument. *Above*: let `Z` be the loss of one more Gaussian release with `1/z^2 = v`. Whoever is told more can tell more, so
//! that the divergence of `S + Z` is at least that of `S`. *Below*: the excess is half the integral over `0 < u < v` of the
//! density of `S + Z_u` at epsilon: `E (1 - e^(-y-Z))+ - (1 - e^-y)+` is the time value of the option of Black and Scholes,
//! whose derivative in `u` is half the density of `Z_u` at `-y`. That density is at most `sqrt(v/u) e^(v/8)` times the one
//! for `v`, hence the excess at most `v e^(v/8)` times the density of `S + Z` at epsilon. *Inversion*: `e^(c x) delta(x)` of
//! `S + Z` has the transform `e^K(s) / (s (s+1))` on the line `s = c + i w`, and its density `e^K(s)`. The trapezoid rule with a
//! step of `2 pi/P` gives the sum of `e^(c (x + m P)) delta(x + m P)` over all whole `m` (Poisson), of which all but `m = 0`
//! only add to `above`. For negative `m` delta is `1 - e^x E e^(-S) + E (e^(x - S) - 1)+`, of which the first two are known
//! and taken away; from `below`, so is a moment bound on the third, and for positive `m` the moment bound on delta at a larger
//! tilt. *The end of the line*: `Z` makes the transform fall as `e^(-v w^2/2)`, which bounds what is
//! left out. *Errors*: a transform with an error `r` has a `T`-th power with an error of at most `T r (size + r)^(T-1)`; that
//! is summed up, with the rounding of the sums. What was cut off from the losses is taken for a loss of 0; as much is added
//! above, as if it were infinite, and taken away below.
//!
//! Citation: Abate & Whitt 1992 (inversion by Poisson summation); Balle, Barthe & Gaboardi 2018 (divergences).
//!
//! Checked by: `super::invert_tests`, `super::reference`.

use super::transform::{Transform, angle};
use realfft::num_complex::Complex64;
use std::f64::consts::PI;

/// A value below `e^-FAINT` is taken as zero.
const FAINT: f64 = 80.0;
/// Frequencies turned in a row.
const BLOCK: usize = 64;

/// The line of integration: tilt, step, and the Gaussian loss that is added for smoothness.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) tilt: f64,
    /// Distance of the frequencies.
    pub(super) step: f64,
    /// How many frequencies.
    pub(super) count: usize,
    /// `1/z^2` of what is added.
    pub(super) smoothing: f64,
    /// `1/z^2` of unsampled Gaussians, which are priced.
    pub(super) gaussian: f64,
    /// A tilt larger by `up`, at which the sum's log moment is `log_up`, Gaussians included.
    pub(super) up: f64,
    pub(super) log_up: f64,
    /// A tilt of `-down`, at least 1 or else 0, at which it is `log_down`.
    pub(super) down: f64,
    pub(super) log_down: f64,
    /// Mass that counts as infinite.
    pub(super) infinite: f64,
    /// By how much the sum may be off.
    pub(super) wrong: f64,
}

/// `e^(K - real K)` along the line, and over `s (s+1)`.
pub(super) struct Smooth {
    line: Line,
    /// `K` at the tilt.
    scale: f64,
    density: Vec<Complex64>,
    tail: Vec<Complex64>,
    density_error: f64,
    tail_error: f64,
}

impl Smooth {
    /// The sum of so many of each loss.
    pub(super) fn new(parts: &[(&Transform, f64)], line: Line) -> Self {
        let Line { tilt: c, step, count, smoothing, gaussian, .. } = line;
        let (variance, real) = (smoothing + gaussian, 0.5 * c * (c + 1.0));
        let (mut density, mut tail) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let (mut density_error, mut tail_error, mut density_sum, mut tail_sum) = (0.0, 0.0, 0.0, 0.0);
        for k in 0..count {
            let w = step * k as f64;
            let (mut log, mut most, mut turn) = (-0.5 * variance * w * w, 0.0, variance * (c + 0.5) * w);
            let mut share = 1e-15 * turn;
            for (part, times) in parts {
                let (size, by) = part.round[k];
                // Of rounds without number the least doubt counts: it must not drown in one.
                let doubt = size + (part.error * (-size).exp()).ln_1p();
                (log, most, turn) = (log + times * size, most + times * doubt, turn + times * by);
                share += times * part.error * (-doubt).exp();
            }
            let s = Complex64::new(c, w);
            let over = s * (s + 1.0);
            // A difference of powers is never more than both.
            let doubt = (most - 0.5 * variance * w * w).exp() * share.min(2.0) + (-FAINT).exp();
            let value = if log < -FAINT { Complex64::ZERO } else { Complex64::from_polar(log.exp(), turn) };
            density.push(value);
            tail.push(value / over);
            (density_error, tail_error) = (density_error + doubt, tail_error + doubt / over.norm());
            (density_sum, tail_sum) = (density_sum + value.norm(), tail_sum + value.norm() / over.norm());
        }
        // What is left out at the end, in units of the sums.
        let last = step * (count - 1) as f64;
        let end = (-0.5 * variance * last * last).exp() / step;
        let rounding = f64::EPSILON * (BLOCK as f64 * 4.0 + count as f64 / BLOCK as f64);
        Smooth {
            line,
            scale: parts.iter().map(|(part, times)| times * part.log_moment).sum::<f64>() + variance * real,
            density,
            tail,
            density_error: density_error + end / (variance * last) + rounding * density_sum,
            tail_error: tail_error + end / last + rounding * tail_sum,
        }
    }

    /// The sums `density` and `tail` at epsilon, in units of `e^(K - c epsilon)`.
    fn sums(&self, epsilon: f64) -> (f64, f64) {
        let turn = (self.line.step * epsilon / (2.0 * PI)).fract();
        let once = Complex64::from_polar(1.0, -2.0 * PI * turn);
        let (mut density, mut tail) = (0.0, 0.0);
        for (block, (densities, tails)) in self.density.chunks(BLOCK).zip(self.tail.chunks(BLOCK)).enumerate() {
            let mut z = Complex64::from_polar(1.0, -angle(turn, block * BLOCK));
            let (mut first, mut second) = (0.0, 0.0);
            for (a, g) in densities.iter().zip(tails) {
                first += a.re * z.re - a.im * z.im;
                second += g.re * z.re - g.im * z.im;
                z *= once;
            }
            (density, tail) = (density + first, tail + second);
        }
        let half = |first: Option<&Complex64>| first.map_or(0.0, |first| 0.5 * first.re);
        let over = self.line.step / PI;
        (over * (density - half(self.density.first())), over * (tail - half(self.tail.first())))
    }

    /// Whether so many losses are off by so much that a period may be missed.
    fn lost(&self) -> bool {
        let period = 2.0 * PI / self.line.step;
        self.line.wrong.is_nan() || self.line.wrong > 0.1 * period
    }

    /// `ln` of the unit at epsilon.
    fn unit(&self, epsilon: f64) -> f64 {
        self.scale - self.line.tilt * epsilon
    }

    /// The rounding of the unit.
    fn pad(&self, epsilon: f64) -> f64 {
        f64::EPSILON * (8.0 + self.scale.abs() + (self.line.tilt * epsilon).abs())
    }

    /// The divergence, with all errors against us.
    pub(super) fn above(&self, epsilon: f64) -> f64 {
        if self.lost() {
            return f64::INFINITY;
        }
        let at = epsilon - self.line.wrong;
        let (_, tail) = self.sums(at);
        let error = self.line.step / PI * self.tail_error;
        let sum = scaled((tail + error) * (1.0 + self.pad(at)), self.unit(at));
        sum - self.left(at).0 + self.line.infinite
    }

    /// The divergence, with all errors for us.
    pub(super) fn below(&self, epsilon: f64) -> f64 {
        if self.lost() {
            return f64::NEG_INFINITY;
        }
        let at = epsilon + self.line.wrong;
        let (density, tail) = self.sums(at);
        let Line { step, smoothing: v, .. } = self.line;
        let excess = v * (0.125 * v).exp() * (density + step / PI * self.density_error);
        let sum = tail - step / PI * self.tail_error - excess;
        scaled(sum * (1.0 - self.pad(at)), self.unit(at)) - self.left(at).1 - self.right(at) - self.line.infinite
    }

    /// The divergence of the smoothed sum, and by how much it may be off.
    pub(super) fn value(&self, epsilon: f64) -> (f64, f64) {
        let (least, most) = self.left(epsilon);
        let error =
            scaled(self.line.step / PI * self.tail_error, self.unit(epsilon)) + (most - least) + self.right(epsilon);
        (scaled(self.sums(epsilon).1, self.unit(epsilon)) - least, error + self.line.infinite)
    }

    /// What repetition adds on the left, at least and at most: there delta is `1 - e^x` and the price of the option the other
    /// way, and at most 1.
    fn left(&self, epsilon: f64) -> (f64, f64) {
        let Line { tilt, down, log_down, infinite, .. } = self.line;
        let (one, rest) = (self.repeated(0.0, tilt), self.repeated(epsilon, tilt + 1.0));
        // The mass of Q is 1, but for what was cut off; powers are rounded.
        let doubt = rest * infinite + 1e-13 * (1.0 + tilt) * (one + rest);
        let other = if down < 1.0 { rest } else { self.repeated(log_down + down * epsilon, tilt + down) };
        let (least, most) = (one - rest - doubt, one - rest + doubt + other);
        (least.max(0.0), if most >= 0.0 { most.min(one * (1.0 + 1e-12)) } else { one })
    }

    /// What repetition adds on the right, at most: delta is at most `e^(K(t) - t x)` at a larger tilt `t`.
    fn right(&self, epsilon: f64) -> f64 {
        let Line { tilt, up, log_up, .. } = self.line;
        let right = self.repeated(log_up - (tilt + up) * epsilon, up);
        if right.is_nan() { f64::INFINITY } else { right }
    }

    /// The sum of `e^(log - rate m P)` over `m = 1, 2, ...`
    fn repeated(&self, log: f64, rate: f64) -> f64 {
        let period = 2.0 * PI / self.line.step;
        (log - rate * period).exp() / -(-rate * period).exp_m1()
    }
}

/// `x e^log`, without overflow of one where the other is small.
fn scaled(x: f64, log: f64) -> f64 {
    if log < 700.0 { x * log.exp() } else { x.signum() * (x.abs().ln() + log).exp() }
}
