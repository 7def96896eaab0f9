//! The characteristic function of tilted losses, at equidistant frequencies.
//!
//! # Why this is private
//!
//! Claim: [`Transform::round`] holds `E e^(s loss)` over its value at the real tilt, for `s` with the imaginary parts `k step`,
//! off by at most [`Transform::error`], if every loss may be off by [`Nodes::wrong`].
//!
//! Argument: where there are many places and frequencies, [`super::spread`]. Otherwise [`super::nodes`], and rotations of `e^(i w loss) -
//! 1`, whose roundings are in proportion to it: a turn's start is the
//! fractional part of an exact product, and 64 rotations later it starts afresh. What is wrong with a turn is
//! proportional to the frequency, which is a wrong loss.
//!
//! Checked by: `super::invert_tests`.

use super::nodes::Nodes;
use super::spread;
use realfft::num_complex::Complex64;
use std::f64::consts::PI;

/// Rotations in a row.
const BLOCK: usize = 64;
/// Nodes added up before they are added to the others.
const GROUP: usize = 256;
/// Nodes turned together.
const LANES: usize = 4;

/// The characteristic function of one tilted loss.
#[derive(Clone, Debug)]
pub(super) struct Transform {
    /// `ln` of size, and angle.
    pub(super) round: Vec<(f64, f64)>,
    /// `ln E e^(tilt loss)`.
    pub(super) log_moment: f64,
    pub(super) error: f64,
}

impl Transform {
    /// At the frequencies `0, step, 2 step, ...`, so many.
    pub(super) fn new(nodes: &Nodes, step: f64, count: usize) -> Self {
        let (sums, doubt) = sums(&nodes.tilted, nodes.losses.iter().copied(), step, count);
        // Of 1 + x, without losing a small x nor a small sum.
        let polar = |x: &Complex64| {
            let whole = Complex64::new(1.0 + x.re, x.im);
            let size = if whole.norm() < 0.5 { whole.norm().ln() } else { 0.5 * (2.0 * x.re + x.norm_sqr()).ln_1p() };
            (size.clamp(-300.0, 0.0), whole.arg())
        };
        let round = sums.iter().map(polar).collect();
        Transform { round, log_moment: nodes.log_moment, error: nodes.error + doubt }
    }
}

/// `sum of mass (e^(i k step loss) - 1)` for `k < count`, and by how much each may be off besides the roundings of rotations.
pub(super) fn sums(
    masses: &[f64],
    losses: impl Iterator<Item = f64>,
    step: f64,
    count: usize,
) -> (Vec<Complex64>, f64) {
    let turns: Vec<f64> = losses.map(|loss| (step * loss / (2.0 * PI)).fract()).collect();
    if fast(turns.len(), count) { spread::sums(masses, &turns, count) } else { (rotated(masses, &turns, count), 0.0) }
}

/// Whether spreading is worth its while.
fn fast(places: usize, count: usize) -> bool {
    spread::cost(places, count) < 0.5 * (places * count) as f64
}

/// What a transform costs, in rotations of one place by one frequency.
pub(super) fn cost(places: usize, count: usize) -> f64 {
    spread::cost(places, count).min((places * count) as f64)
}

/// `sum of mass (e^(i k 2 pi turn) - 1)`, by turning every place by itself.
fn rotated(masses: &[f64], turns: &[f64], count: usize) -> Vec<Complex64> {
    let mut sums = vec![Complex64::ZERO; count.next_multiple_of(BLOCK)];
    for (masses, turns) in masses.chunks(GROUP).zip(turns.chunks(GROUP)) {
        for (block, sums) in sums.chunks_mut(BLOCK).enumerate() {
            let mut group = [([0.0; LANES], [0.0; LANES]); BLOCK];
            for (masses, turns) in masses.chunks(LANES).zip(turns.chunks(LANES)) {
                rotate(masses, turns, block * BLOCK, &mut group);
            }
            for (sum, (re, im)) in sums.iter_mut().zip(group) {
                *sum += Complex64::new(re.iter().sum(), im.iter().sum());
            }
        }
    }
    sums.truncate(count);
    sums
}

/// Adds `mass (e^(i angle) - 1)` of a few nodes to the sums of a block of frequencies, real and imaginary parts apart.
fn rotate(masses: &[f64], turns: &[f64], first: usize, sums: &mut [([f64; LANES], [f64; LANES])]) {
    let [mut mass, mut re, mut im, mut cos, mut sin] = [[0.0; LANES]; 5];
    for (k, (m, turn)) in masses.iter().zip(turns).enumerate() {
        let start = less_one(angle(*turn, first));
        let once = less_one(2.0 * PI * turn);
        (mass[k], re[k], im[k], cos[k], sin[k]) = (*m, m * start.re, m * start.im, once.re, once.im);
    }
    for (real, imaginary) in sums {
        for k in 0..LANES {
            real[k] += re[k];
            imaginary[k] += im[k];
            let (whole, old) = (mass[k] + re[k], im[k]);
            im[k] += whole * sin[k] + old * cos[k];
            re[k] += whole * cos[k] - old * sin[k];
        }
    }
}

/// `e^(i angle) - 1`, without cancellation.
fn less_one(angle: f64) -> Complex64 {
    let (half, cos) = (0.5 * angle).sin_cos();
    Complex64::new(-2.0 * half * half, 2.0 * half * cos)
}

/// `2 pi` times the fractional part of `times turn`, for a turn below 1 and fewer than `2^26` times: the upper half of the
/// turn's digits gives an exact product.
pub(super) fn angle(turn: f64, times: usize) -> f64 {
    let upper = (turn * 67_108_864.0).round() / 67_108_864.0;
    let product = (upper * times as f64).fract() + (turn - upper) * times as f64;
    2.0 * PI * product.fract()
}
