//! Many discrete losses added up, in the frequency domain, under an exponential tilt.
//!
//! # Why this is private
//!
//! Claim: [`Sum::above`] is at least, and [`Sum::below`] at most, the hockey-stick divergence of the composed discrete
//! losses.
//!
//! Argument. Masses are multiplied by `e^(s l)` and divided by their sum `M(s)`; the tilted masses of a sum of losses are
//! the convolution of the tilted masses, and `p(l) = tilted(l) e^(K - s l)` with `K = sum_j T_j ln M_j(s)`. Near
//! `l = epsilon` the tilted masses are of ordinary size however small delta is, so that rounding hurts it no more
//! than a large one. *Wrapping*: the transform is cyclic, with a window of losses `[A, B)`. A tilted mass outside it, at
//! most `exp(K(s+t) - K - t B)` above and likewise below (Chernoff), comes back inside; wherever it is or should be
//! counted, it counts for at most its size times `e^(K - s epsilon) max_y e^(-s y) (1 - e^-y)`. So much is added above and
//! taken away below. *Rounding*: the transform of masses with sum 1 is off by at most `c u log N` in every frequency
//! (Higham 2002, Theorem 24.2), hence its power by `T/|F|` times that; the sum over frequencies bounds every mass'
//! error. The masses themselves have a relative error `r`, hence powers of them `e^(T r) - 1`. Both are added above and taken
//! away below.
//! *Infinity*: `1 - prod (1 - m_j)^(T_j) <= sum T_j m_j` is added above. *Places*: of very many rounds the zero of the grid lies
//! far from the window, and a place is a difference of large numbers: by what it may be off, in all, epsilon is moved to the
//! safe side; where that is more than a cell, there is no sum.
//!
//! Checked by: `super::tests`, in particular against the Gaussian's closed form at deltas down to `1e-15`.

use super::dots::Masses;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;
use std::cell::RefCell;

/// Frequencies whose power is below `e^-LEAST` are taken as zero.
const LEAST: f64 = 46.0;

/// A sum whose masses may be off by a larger share is none.
const DOUBTFUL: f64 = 0.5;

/// The most points of a sum: windows that are planned have fewer.
const LONGEST: f64 = 8_388_608.0;

/// Roundings in a place.
const ROUNDINGS: f64 = 8.0;

/// A number of equal discrete losses.
pub(in crate::account) struct Term<'a> {
    pub(in crate::account) masses: &'a Masses,
    pub(in crate::account) count: f64,
}

/// Where the sum is wanted: tilt, window, and by how much more to tilt for the bounds on its tails.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::account) struct Window {
    pub(super) tilt: f64,
    pub(in crate::account) lower: f64,
    pub(in crate::account) upper: f64,
    pub(super) down: f64,
    pub(super) up: f64,
}

/// The sum: its tilted masses in a window, and its errors.
pub(in crate::account) struct Sum {
    first: i64,
    /// The loss at the point 0.
    offset: f64,
    h: f64,
    tilt: f64,
    tilted: Vec<f64>,
    log_moment: f64,
    infinite: f64,
    /// No finite loss is above this.
    greatest: f64,
    /// At most this much tilted mass is misplaced.
    wrapped: f64,
    /// Each tilted mass may be off by this.
    noise: f64,
    /// All masses may be off by this share.
    share: f64,
    /// All places may be off by this.
    misplaced: f64,
}

thread_local! {
    static PLANS: RefCell<RealFftPlanner<f64>> = RefCell::new(RealFftPlanner::new());
}

/// `ln sum p e^(s l)`.
fn log_moment(masses: &Masses, s: f64) -> f64 {
    let at = |k: usize| s * (masses.offset + (masses.first + k as i64) as f64 * masses.h);
    let (first, last) = (at(0), at(masses.p.len().saturating_sub(1)));
    let top = first.max(last);
    let sum: f64 = masses.p.iter().enumerate().map(|(k, p)| p * (at(k) - top).exp()).sum();
    if sum > 1e-280 {
        return top + sum.ln();
    }
    let logs = |k: usize| masses.p[k].ln() + at(k);
    let top = (0..masses.p.len()).map(logs).fold(f64::NEG_INFINITY, f64::max);
    top + (0..masses.p.len()).map(|k| (logs(k) - top).exp()).sum::<f64>().ln()
}

fn total_log_moment(terms: &[Term], s: f64) -> f64 {
    terms.iter().map(|term| term.count * log_moment(term.masses, s)).sum()
}

/// The first grid point of a window, how many there are, and by how much their places may be off; `None` where too many, or
/// where the numbers do not tell them apart.
fn points(terms: &[Term], window: Window, (offset, h): (f64, f64)) -> Option<(i64, usize, f64)> {
    let first = ((window.lower - offset) / h).floor();
    let count = ((window.upper - offset) / h).ceil() - first;
    let far: f64 = terms.iter().map(|term| term.count * term.masses.offset.abs()).sum();
    let misplaced = ROUNDINGS * f64::EPSILON * (far + (first.abs() + count) * h);
    (count <= LONGEST && misplaced <= h).then(|| (first as i64, length(count), misplaced))
}

/// A length that transforms quickly, at least this.
pub(super) fn length(least: f64) -> usize {
    let least = least.max(16.0) as usize;
    let power = least.next_power_of_two();
    [power / 8 * 5, power / 4 * 3].into_iter().find(|n| *n >= least).unwrap_or(power)
}

impl Sum {
    /// Adds up the terms, which share one grid; `None` when one of them is nothing, or has numbers that are none, and where
    /// rounding leaves nothing that is known.
    pub(in crate::account) fn new(terms: &[Term], window: Window) -> Option<Self> {
        let h = terms.first()?.masses.h;
        let offset: f64 = terms.iter().map(|term| term.count * term.masses.offset).sum();
        let (first, n, misplaced) = points(terms, window, (offset, h))?;
        let tilt = window.tilt;
        let log_total = total_log_moment(terms, tilt);
        if !log_total.is_finite() {
            return None;
        }
        let (low, high) = (offset + first as f64 * h, offset + (first + n as i64) as f64 * h);
        let above = (total_log_moment(terms, tilt + window.up) - log_total - window.up * high).exp();
        let below = (total_log_moment(terms, tilt - window.down) - log_total + window.down * low).exp();
        let (spectrum, fuzz) = spectrum(terms, tilt, n);
        let tilted = back(spectrum, n, first);
        let doubt = terms.iter().map(|term| term.masses.doubt).fold(0.0, f64::max);
        let count: f64 = terms.iter().map(|term| term.count).sum();
        // Of so many rounds that masses may be off by any factor, and of numbers beyond all bounds, nothing is known.
        let share = (count * 4.0 * f64::EPSILON * doubt).exp_m1();
        if share > DOUBTFUL || !fuzz.is_finite() || tilted.iter().any(|mass| !mass.is_finite()) {
            return None;
        }
        Some(Sum {
            first,
            offset,
            h,
            tilt,
            tilted,
            log_moment: log_total,
            infinite: terms.iter().map(|term| term.count * term.masses.infinite).sum(),
            greatest: terms.iter().map(|term| term.count * term.masses.greatest()).sum(),
            wrapped: finite(above + below),
            noise: fuzz,
            share,
            misplaced,
        })
    }

    /// The greatest `e^(-s y) (1 - e^-y)` over `y >= 0`.
    fn weight(&self) -> f64 {
        let s = self.tilt;
        if s < 1e-9 { 1.0 } else { (s * (-1.0 / (s + 1.0)).ln_1p()).exp() / (s + 1.0) }
    }

    /// What may be misplaced of the untilted divergence, in units of `e^(K - s epsilon)`.
    fn error(&self) -> f64 {
        let (s, n) = (self.tilt, self.tilted.len() as f64);
        let spread = (n * self.weight()).min(1.0 / (s * (s + 1.0) * self.h) + self.weight());
        self.wrapped * self.weight() + self.noise * spread
    }

    fn point(&self, k: usize) -> f64 {
        self.offset + (self.first + k as i64) as f64 * self.h
    }

    /// The smallest epsilon in the window at which the divergence, with all errors against us, is at most delta; negative
    /// infinity where it is in all of it, which says nothing of what is below.
    pub(in crate::account) fn epsilon_above(&self, delta: f64) -> f64 {
        self.search(delta - self.infinite, 1.0 + self.share, self.error()) + self.misplaced
    }

    /// As [`Sum::epsilon_above`], and where the window says nothing of what is below it, its lower end, or 0 if that was asked.
    pub(super) fn enough(&self, delta: f64) -> f64 {
        match self.epsilon_above(delta) {
            f64::NEG_INFINITY if self.above(0.0) <= delta => 0.0,
            f64::NEG_INFINITY => (self.point(0) + self.misplaced).max(0.0),
            epsilon => epsilon.max(0.0),
        }
    }

    /// The smallest epsilon in the window at which the divergence, with all errors for us, is at most delta.
    pub(in crate::account) fn epsilon_below(&self, delta: f64) -> f64 {
        self.search(delta, 1.0 - self.share, -self.error()) - self.misplaced
    }

    /// At grid points, from above: `e^(s epsilon - K)` times the divergence, `d`, and the sum that it grows by, `g`. Stops
    /// where the divergence is more than `delta`; from there the last cell's curve is solved.
    fn search(&self, delta: f64, scale: f64, error: f64) -> f64 {
        if delta.is_nan() || delta <= 0.0 {
            return f64::INFINITY;
        }
        let (once, more) = ((-self.tilt * self.h).exp(), (-(self.tilt + 1.0) * self.h).exp());
        let (mut d, mut g, mut units) = (0.0, 0.0, 0.0);
        for (step, k) in (0..self.tilted.len()).rev().enumerate() {
            // What delta is at this point, in its units; by multiplication, and now and then afresh.
            units *= once;
            if step % 64 == 0 || !units.is_normal() {
                units = self.units(delta, k);
            }
            if d > (units - error) / scale {
                // Errors alone exceed delta at the top of the window: what is certain is that no loss is above the greatest.
                if step == 0 {
                    return self.greatest;
                }
                let epsilon = self.solve(k, g, d, (units / once - error / once) / scale);
                // What is no number is the end that is safe.
                return if epsilon.is_finite() { epsilon } else { self.point(if error < 0.0 { k } else { k + 1 }) };
            }
            g = self.tilted[k] + g * more;
            d = once * (d + -(-self.h).exp_m1() * g);
        }
        // There is room in all of the window.
        f64::NEG_INFINITY
    }

    /// Delta in units of `e^(K - s l)` at the point `k`.
    fn units(&self, delta: f64, k: usize) -> f64 {
        (delta.ln() - self.log_moment + self.tilt * self.point(k)).exp()
    }

    /// Between the points `k` and `k + 1` the divergence is `f - e^(epsilon - next) g`; where it is `room`, all in the units
    /// of the next point.
    fn solve(&self, k: usize, g: f64, d: f64, room: f64) -> f64 {
        let (point, next) = (self.point(k), self.point(k + 1));
        let f = d * (self.tilt * self.h).exp() + (-self.h).exp() * g;
        let epsilon = next + ((f - room) / g).ln();
        epsilon.clamp(point, next)
    }

    /// The divergence at this epsilon, with all errors against us.
    pub(in crate::account) fn above(&self, epsilon: f64) -> f64 {
        let (mut f, epsilon) = (0.0, epsilon - self.misplaced);
        for k in (0..self.tilted.len()).rev().take_while(|k| self.point(*k) > epsilon) {
            let y = self.point(k) - epsilon;
            f += self.tilted[k] * (-self.tilt * y).exp() * -(-y).exp_m1();
        }
        let delta = (f * (1.0 + self.share) + self.error()) * (self.log_moment - self.tilt * epsilon).exp();
        finite(delta + self.infinite).min(1.0)
    }
}

/// An upper bound that is a number.
fn finite(x: f64) -> f64 {
    if x.is_nan() { f64::INFINITY } else { x }
}

/// The transform of the tilted sum, and the largest error of one mass.
fn spectrum(terms: &[Term], tilt: f64, n: usize) -> (Vec<Complex64>, f64) {
    let plan = PLANS.with(|plans| plans.borrow_mut().plan_fft_forward(n));
    let mut logs = vec![(0.0_f64, 0.0_f64); n / 2 + 1];
    let mut slack = vec![0.0; n / 2 + 1];
    let (mut line, mut out) = (plan.make_input_vec(), plan.make_output_vec());
    for term in terms {
        tilted(term.masses, tilt, &mut line);
        let done = plan.process(&mut line, &mut out);
        debug_assert!(done.is_ok(), "lengths are the plan's own");
        for ((log, slack), f) in logs.iter_mut().zip(&mut slack).zip(&out) {
            let size = f.norm_sqr();
            log.0 += term.count * 0.5 * size.ln();
            if log.0 > -LEAST {
                log.1 += term.count * f.arg();
                *slack += term.count / size.sqrt();
            }
        }
    }
    let unit = 8.0 * f64::EPSILON * (n as f64).log2();
    let mut fuzz = (-LEAST).exp();
    let power = |((log, arg), slack): ((f64, f64), f64)| {
        if log <= -LEAST {
            return Complex64::new(0.0, 0.0);
        }
        let size = log.exp();
        fuzz += 2.0 * unit * size * (1.0 + slack) / n as f64;
        Complex64::from_polar(size, arg)
    };
    (logs.into_iter().zip(slack).map(power).collect(), fuzz)
}

/// One line of tilted masses with sum 1, wrapped around.
fn tilted(masses: &Masses, tilt: f64, line: &mut [f64]) {
    let n = line.len() as i64;
    line.fill(0.0);
    let log = log_moment(masses, tilt);
    for (k, p) in masses.p.iter().enumerate() {
        let at = masses.first + k as i64;
        line[at.rem_euclid(n) as usize] += p * (tilt * (masses.offset + at as f64 * masses.h) - log).exp();
    }
}

/// Back from frequencies to masses, from the grid point `first` on, none negative.
fn back(mut spectrum: Vec<Complex64>, n: usize, first: i64) -> Vec<f64> {
    let plan = PLANS.with(|plans| plans.borrow_mut().plan_fft_inverse(n));
    let mut line = plan.make_output_vec();
    if let Some(end) = spectrum.first_mut() {
        end.im = 0.0;
    }
    if let (0, Some(end)) = (n % 2, spectrum.last_mut()) {
        end.im = 0.0;
    }
    let done = plan.process(&mut spectrum, &mut line);
    debug_assert!(done.is_ok(), "lengths are the plan's own");
    line.rotate_left(first.rem_euclid(n as i64) as usize);
    line.iter_mut().for_each(|p| *p = (*p / n as f64).max(0.0));
    line
}
