//! Fourier sums over places that lie anywhere, at equidistant frequencies, in the time of one fast transform.
//!
//! # Why this is private
//!
//! Claim: [`sums`] returns `sum of mass (e^(i k x) - 1)` for `k = 0, 1, ...`, each off by at most the second number it returns, for
//! masses `>= 0` and places `x` that may be off by a rounding of theirs.
//!
//! Argument. *Near* places, `|x| K <= 1` for the highest frequency `K`, go into the power series of the exponential: 20 terms
//! leave `1/21!` of `|x| K`, and no term cancels the one that is taken away, so that roundings are in proportion to `|x| K` as
//! they are where every place is turned by itself. *Far* ones are spread over a grid of `n = R K` points by the kernel
//! `g(y) = e^(-y^2/(4 t))`, `t = a/K^2`, whose Fourier coefficients are `c_k = sqrt(t/pi) e^(-t k^2)`: the transform of the
//! grid over `n` is `sum over p of c_(k + p n) f(k + p n)`, where `f` is wanted. What is beyond `p = 0` is at most
//! `2.1 e^(-a R )` of all mass after division by `c_k`; what is not spread, at more than `S` points from its place, at most
//! `2 e^(a - b S^2) / ((1 - e^(-2 b S)) n c_0)` of it, with `b = pi^2/(R^2 a)`. The number `a` makes both exponents equal, at least
//! 40. *Rounding*: `n c_0 >= e^a n c_k` is all that one mass puts on the grid, so that relative errors of the kernel (two
//! exponentials and 16 products), of adding up (twice the digits are kept) and of the transform (`8 u log n` of the sum of all in
//! every frequency, as in [`super::compose`]) count `e^a` times, that is at most 6 times.
//!
//! Citation: Dutt & Rokhlin 1993; Greengard & Lee 2004 (the Gaussian kernel, and its powers by multiplication).
//!
//! Checked by: `tests`, and `super::invert_tests`.

use super::compose::length;
use realfft::RealFftPlanner;
use realfft::num_complex::Complex64;
use std::cell::RefCell;
use std::f64::consts::PI;

/// Points of the grid for each frequency, at least.
const FINE: usize = 6;
/// Points on either side of a place that get a share of its mass.
const REACH: usize = 16;
/// Terms of the power series.
const TERMS: usize = 20;
/// Places added up before they are added to the others.
const GROUP: usize = 64;

thread_local! {
    static PLANS: RefCell<RealFftPlanner<f64>> = RefCell::new(RealFftPlanner::new());
}

/// What it costs, in rotations of one place by one frequency.
pub(super) fn cost(places: usize, count: usize) -> f64 {
    60.0 * places as f64 + 300.0 * count as f64
}

/// `sum of mass (e^(i k 2 pi turn) - 1)` for `k < count`, and by how much each may be off.
pub(super) fn sums(masses: &[f64], turns: &[f64], count: usize) -> (Vec<Complex64>, f64) {
    let highest = (count.max(2) - 1) as f64;
    let near = |turn: f64| 2.0 * PI * turn.abs() * highest <= 1.0;
    let all = || masses.iter().copied().zip(turns.iter().copied());
    let mut series = Series::default();
    all().filter(|(_, turn)| near(*turn)).for_each(|(mass, turn)| series.add(mass, 2.0 * PI * turn * highest));
    series.flush();
    let (far, doubt) = grid(all().filter(|(_, turn)| !near(*turn)), count, highest);
    let sum = |(k, far): (usize, Complex64)| if k == 0 { Complex64::ZERO } else { far + series.at(k as f64 / highest) };
    (far.into_iter().enumerate().map(sum).collect(), doubt)
}

/// `sum of mass y^p / p!`.
#[derive(Default)]
struct Series {
    terms: [f64; TERMS],
    group: [f64; TERMS],
    held: usize,
}

impl Series {
    fn add(&mut self, mass: f64, y: f64) {
        let mut term = mass;
        for (p, sum) in self.group.iter_mut().enumerate() {
            term *= y / (p + 1) as f64;
            *sum += term;
        }
        self.held += 1;
        if self.held == GROUP {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.terms.iter_mut().zip(&mut self.group).for_each(|(term, sum)| *term += std::mem::take(sum));
        self.held = 0;
    }

    /// `sum of terms (i t)^p`, `p >= 1`.
    fn at(&self, t: f64) -> Complex64 {
        let from = |first: usize| {
            let terms = self.terms.iter().skip(first).step_by(2);
            terms.rev().fold(0.0, |sum, term| term - t * t * sum)
        };
        Complex64::new(-t * t * from(1), t * from(0))
    }
}

/// The kernel's width.
#[derive(Clone, Copy)]
struct Kernel {
    n: usize,
    /// `a`, the logarithm of what is lost at the highest frequency.
    a: f64,
    /// `b`, for distances in points.
    b: f64,
    /// `n c_0`.
    whole: f64,
    /// Of all mass, what comes out wrong.
    error: f64,
}

impl Kernel {
    fn new(count: usize, highest: f64) -> Self {
        let n = length((FINE * count) as f64);
        let (fine, reach) = (n as f64 / highest, REACH as f64);
        let a = PI * reach / (fine * (fine * (fine - 2.0)).sqrt());
        let b = (PI / fine).powi(2) / a;
        let whole = fine * (a / PI).sqrt();
        let repeated = 2.1 * (-a * fine * (fine - 2.0)).exp();
        let left = 2.0 * (a - b * reach * reach).exp() / (-(-2.0 * b * reach).exp_m1() * whole);
        let rounding = a.exp() * f64::EPSILON * (8.0 * (n as f64).log2() + 48.0);
        Kernel { n, a, b, whole, error: repeated + left + rounding }
    }

    /// The shares of a place that is so far beyond the point `REACH - 1`, from the point 0 on.
    fn shares(&self, mass: f64, beyond: f64, fall: &[f64; 2 * REACH]) -> [f64; 2 * REACH] {
        let (top, up) = (mass * (-self.b * beyond * beyond).exp(), (2.0 * self.b * beyond).exp());
        let mut shares = [0.0; 2 * REACH];
        let mut power = top;
        for (share, fall) in shares[REACH - 1..].iter_mut().zip(&fall[REACH - 1..]) {
            *share = power * fall;
            power *= up;
        }
        let (down, mut power) = (1.0 / up, top);
        for (share, fall) in shares[..REACH - 1].iter_mut().zip(&fall[..REACH - 1]).rev() {
            power *= down;
            *share = power * fall;
        }
        shares
    }
}

/// The sums over far places, and by how much each may be off.
fn grid(places: impl Iterator<Item = (f64, f64)>, count: usize, highest: f64) -> (Vec<Complex64>, f64) {
    let kernel = Kernel::new(count, highest);
    let n = kernel.n;
    let fall = std::array::from_fn(|k| (-kernel.b * (k as f64 - (REACH - 1) as f64).powi(2)).exp());
    // Twice the digits, with room at both ends for what is to be wrapped around.
    let (mut high, mut low) = (vec![0.0; n + 2 * REACH], vec![0.0; n + 2 * REACH]);
    let (mut whole, mut rest) = (0.0, 0.0);
    for (mass, turn) in places {
        let place = n as f64 * turn;
        let point = place.floor();
        let first = (point as i64).rem_euclid(n as i64) as usize;
        let shares = kernel.shares(mass, place - point, &fall);
        let window = first..first + 2 * REACH;
        for ((high, low), share) in high[window.clone()].iter_mut().zip(&mut low[window]).zip(shares) {
            add(high, low, share);
        }
        add(&mut whole, &mut rest, mass);
    }
    let mut line: Vec<f64> = high.iter().zip(&low).map(|(high, low)| high + low).collect();
    let whole = whole + rest;
    if whole == 0.0 {
        return (vec![Complex64::ZERO; count], 0.0);
    }
    // Room: the point 0 of the grid is at REACH - 1.
    (0..2 * REACH).for_each(|k| line[k] += line[n + k]);
    line.truncate(n);
    line.rotate_left(REACH - 1);
    let plan = PLANS.with(|plans| plans.borrow_mut().plan_fft_forward(n));
    let mut out = plan.make_output_vec();
    let done = plan.process(&mut line, &mut out);
    debug_assert!(done.is_ok(), "lengths are the plan's own");
    let one = |(k, sum): (usize, &Complex64)| {
        let scale = (kernel.a * (k as f64 / highest).powi(2)).exp() / kernel.whole;
        sum.conj() * scale - whole
    };
    (out.iter().take(count).enumerate().map(one).collect(), kernel.error * whole)
}

/// Adds to a number of twice the digits (Knuth).
fn add(high: &mut f64, low: &mut f64, x: f64) {
    let sum = *high + x;
    let part = sum - *high;
    *low += (*high - (sum - part)) + (x - part);
    *high = sum;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sines and cosines, one by one, of products that are exact.
    #[test]
    fn sums_are_those_of_the_places() {
        for (count, places) in [(8, 3), (300, 1000), (5000, 2000)] {
            let turn = |k: usize| ((k * k + 7 * k) as f64 * 1e-7).sin() * [1e-6, 1e-3, 0.9][k % 3];
            let turns: Vec<f64> = (1..=places).map(turn).collect();
            let masses: Vec<f64> = (1..=places).map(|k| 1.0 / (k as f64 * 10.0)).collect();
            let (sums, doubt) = sums(&masses, &turns, count);
            let whole: f64 = masses.iter().sum();
            assert!(doubt < 1e-12 * whole, "{doubt}");
            for k in (0..count).step_by(7) {
                let term = |(mass, turn): (&f64, &f64)| {
                    let half = 0.5 * super::super::transform::angle(*turn, k);
                    Complex64::new(-2.0 * half.sin().powi(2), (2.0 * half).sin()) * mass
                };
                let want: Complex64 = masses.iter().zip(&turns).map(term).sum();
                assert!((sums[k] - want).norm() < 0.2 * doubt + 1e-15 * whole, "{k}: {} {want}", sums[k]);
            }
        }
    }

    /// Where nothing turns far, errors are in proportion to how far.
    #[test]
    fn hardly_turned_is_hardly_wrong() {
        let (masses, turns) = (vec![1.0; 100], vec![1e-12; 100]);
        let (sums, doubt) = sums(&masses, &turns, 100);
        assert_eq!(doubt, 0.0);
        for (k, sum) in sums.iter().enumerate() {
            let y = 2.0 * PI * 1e-12 * k as f64;
            assert!((sum.im - 100.0 * y).abs() <= 1e-13 * y, "{k}: {sum}");
            assert!((sum.re + 50.0 * y * y).abs() <= 1e-13 * y * y, "{k}: {sum}");
        }
    }
}
