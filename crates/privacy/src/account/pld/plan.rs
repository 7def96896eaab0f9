//! Which grid, tilt and window to use. Nothing here is trusted: a bad plan makes the interval wide, not wrong.
//!
//! The cumulant generating function `K(s) = sum_j T_j ln M_j(s)` of the losses, from a few hundred nodes, says where the sum
//! is under every tilt. The tilt is the saddle point of the inversion integral for this delta; the grid is as coarse as the
//! wanted width allows; the window holds all but `e^-TAILS` of the tilted mass.

use super::cells::{GREATEST_LOSS, losses};
use super::compose::Window;
use crate::account::pair::Pair;
use realfft::num_complex::Complex64;
use std::f64::consts::PI;

/// Tilted mass outside the window, as the power of 1/e.
const TAILS: f64 = 23.0;
/// The most points of a window, and of one loss.
const MOST: f64 = 1_048_576.0;

/// Masses and losses at a few nodes, in one direction, so many times.
struct Sketch {
    nodes: Vec<(f64, f64)>,
    count: f64,
    peak: f64,
}

/// `K` and its first two derivatives.
#[derive(Clone, Copy, Debug)]
struct Cumulants {
    value: f64,
    mean: f64,
    variance: f64,
}

/// A line of integration: its tilt, and the range of losses that its step tells apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    pub(super) tilt: f64,
    pub(super) period: f64,
    /// By how much more to tilt for the bound on what is beyond the period.
    pub(super) up: f64,
    /// How far down to tilt for the bound on what is below it, at least 1; or 0.
    pub(super) down: f64,
    /// How small the wanted value is among the tilted ones, as the power of 1/e.
    pub(super) depth: f64,
}

/// What is known before any grid is made: the losses of one direction.
pub(in crate::account) struct Plan {
    sketches: Vec<Sketch>,
    /// The sum of `1/z^2` of Gaussian losses besides, which need no nodes.
    gaussian: f64,
}

/// What the saddle point says.
#[derive(Clone, Copy, Debug)]
pub(in crate::account) struct Saddle {
    pub(in crate::account) tilt: f64,
    pub(in crate::account) epsilon: f64,
    deviation: f64,
    /// Tilted mass outside the window, as the power of 1/e.
    tails: f64,
}

impl Saddle {
    /// The standard deviation of the tilted sum.
    pub(super) fn deviation(self) -> f64 {
        self.deviation
    }
}

impl Sketch {
    fn new(pair: Pair, count: f64, mirrored: bool, (tail, fineness): (f64, f64)) -> Self {
        let mut nodes = Vec::new();
        for (share, part) in pair.components().into_iter().filter(|(share, _)| *share > 0.0) {
            let first = nodes.len();
            Self::nodes(part, mirrored, (tail, fineness), &mut nodes);
            nodes[first..].iter_mut().for_each(|(mass, _)| *mass *= share);
        }
        Sketch { nodes, count, peak: if mirrored { -pair.peak() } else { pair.peak() } }
    }

    /// The nodes of one component.
    fn nodes(pair: Pair, mirrored: bool, (tail, fineness): (f64, f64), nodes: &mut Vec<(f64, f64)>) {
        let (from, to) = pair.span(tail);
        let sharp = pair.slope(0.0) - 1.0;
        let steps = ((to - from) * fineness * sharp.max(1.0)).ceil().clamp(1.0, 20_000.0);
        let width = (to - from) / steps;
        let mut add = |node: crate::account::pair::Node, weight: f64| {
            let (mass, loss) = if mirrored { (node.q, -node.loss()) } else { (node.p, node.loss()) };
            if mass > 0.0 && loss.is_finite() {
                nodes.push((mass * weight, loss));
            }
        };
        if to > from {
            (0..steps as u64).for_each(|k| add(pair.at(from + (k as f64 + 0.5) * width), width));
        }
        pair.atoms().into_iter().for_each(|atom| add(atom, 1.0));
    }

    fn cumulants(&self, s: f64) -> Cumulants {
        let top = self.nodes.iter().map(|(_, loss)| s * loss).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for (mass, loss) in &self.nodes {
            let weight = mass * (s * loss - top).exp();
            sum += weight;
            first += weight * loss;
            second += weight * loss * loss;
        }
        let mean = first / sum;
        Cumulants { value: top + sum.ln(), mean, variance: (second / sum - mean * mean).max(0.0) }
    }

    /// `ln E e^(s loss)` at a complex tilt, of masses that add up to 1.
    fn log_moment(&self, s: Complex64) -> Complex64 {
        let whole: f64 = self.nodes.iter().map(|(mass, _)| mass).sum();
        let top = self.nodes.iter().map(|(_, loss)| s.re * loss).fold(f64::NEG_INFINITY, f64::max);
        let term = |(mass, loss): &(f64, f64)| {
            let (sin, cos) = (s.im * loss).sin_cos();
            Complex64::new(cos, sin) * (mass * (s.re * loss - top).exp())
        };
        (self.nodes.iter().map(term).sum::<Complex64>() / whole).ln() + top
    }

    /// How much a grid of this width shifts `K` both ways together, over `s`, at tilt `s`.
    fn shift(&self, s: f64, h: f64) -> f64 {
        let top = self.nodes.iter().map(|(_, loss)| s * loss).fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut spread) = (0.0, 0.0);
        for (mass, loss) in &self.nodes {
            let weight = mass * (s * loss - top).exp();
            let size = (loss - self.peak).abs();
            let split = if size < h { size * (h - size) } else { h * h / 6.0 };
            let merged = if size < 0.5 * h { size * size } else { h * h / 12.0 };
            sum += weight;
            spread += weight * (split + merged);
        }
        self.count * 0.5 * (s + 1.0) * spread / sum
    }
}

impl Plan {
    /// A plan for these pairs, so many times each, with so many nodes for each standard deviation of the noise.
    pub(in crate::account) fn new(parts: &[(Pair, f64)], mirrored: bool, tail: f64, fineness: f64) -> Self {
        let sketch = |(pair, count): &(Pair, f64)| Sketch::new(*pair, *count, mirrored, (tail, fineness));
        Plan { sketches: parts.iter().map(sketch).collect(), gaussian: 0.0 }
    }

    /// With unsampled Gaussians of this sum of `1/z^2` besides.
    pub(in crate::account) fn and(self, gaussian: f64) -> Self {
        Plan { gaussian, ..self }
    }

    /// How many events there are.
    pub(in crate::account) fn count(&self) -> f64 {
        self.sketches.iter().map(|sketch| sketch.count).sum()
    }

    /// How many nodes its losses have together, at least one.
    pub(in crate::account) fn nodes(&self) -> usize {
        self.sketches.iter().map(|sketch| sketch.nodes.len()).sum::<usize>().max(1)
    }

    /// `K` at a complex tilt.
    pub(in crate::account) fn log_moment(&self, s: Complex64) -> Complex64 {
        let normal = s * (s + 1.0) * (0.5 * self.gaussian);
        self.sketches.iter().map(|sketch| sketch.log_moment(s) * sketch.count).sum::<Complex64>() + normal
    }

    /// The range of losses in which all but `e^-tails` of the tilted mass is, on either side.
    pub(in crate::account) fn reach(&self, saddle: Saddle, tails: f64) -> (f64, f64) {
        let window = self.window(Saddle { tails, ..saddle });
        (window.lower, window.upper)
    }

    fn cumulants(&self, s: f64) -> Cumulants {
        let g = self.gaussian;
        let normal = Cumulants { value: 0.5 * g * s * (s + 1.0), mean: g * (s + 0.5), variance: g };
        self.sketches.iter().fold(normal, |sum, sketch| {
            let one = sketch.cumulants(s);
            Cumulants {
                value: sum.value + sketch.count * one.value,
                mean: sum.mean + sketch.count * one.mean,
                variance: sum.variance + sketch.count * one.variance,
            }
        })
    }

    /// The line that needs the fewest frequencies for a delta that is about met at this epsilon: a smaller tilt than the saddle
    /// point's gives less weight to rare large losses, which a period has to hold, and more to rounding.
    pub(super) fn course(&self, (epsilon, delta): (f64, f64), tilt: f64, (smoothing, spare): (f64, f64)) -> Course {
        let rounding = 1e-13 + 3e-14 * self.count();
        let cost = |course: &Course| {
            let over = if course.tilt > 1.0 { 0.5 / course.tilt } else { 0.5 - 0.3 * course.tilt.ln() };
            course.period
                * (spare + course.depth).sqrt()
                * (1.0 + 0.0136 * spare.exp() * rounding * course.depth.exp() * over)
        };
        let line = |k| self.line((epsilon, delta), 1.5 * tilt * 0.75f64.powi(k), (smoothing, spare));
        (1..24).map(line).fold(line(0), |best, next| if cost(&next) < cost(&best) { next } else { best })
    }

    fn line(&self, (epsilon, delta): (f64, f64), tilt: f64, (smoothing, spare): (f64, f64)) -> Course {
        let value = |s: f64| self.cumulants(s).value + 0.5 * smoothing * s * (s + 1.0);
        let depth = (value(tilt) - tilt * epsilon - delta.ln()).clamp(0.0, 60.0);
        let least = |bounds: &mut dyn Iterator<Item = (f64, f64)>| {
            bounds
                .filter(|(period, _)| period.is_finite())
                .fold((f64::INFINITY, 0.0), |best, new| if new.0 < best.0 { new } else { best })
        };
        // The nodes here are coarse at the ends of a loss.
        let right = |up: f64| {
            let value = value(tilt + up);
            (value + 0.05 * value.abs() - (tilt + up) * epsilon - delta.ln() + spare) / up
        };
        let scale = tilt.max(0.3 / epsilon.max(1e-12));
        let (right, up) = least(&mut (0..12).map(|k| scale * 0.05 * 1.8f64.powi(k)).map(|up| (right(up), up)));
        let spare = spare - delta.ln();
        // Epsilon may be somewhat larger than it seems.
        let epsilon = 1.12 * epsilon;
        let left = |down: f64| {
            let period = (value(-down) + down * epsilon + spare) / (down + tilt);
            // What is known there is so up to a rounding.
            let rounded = ((spare - 28.0) / tilt).max((epsilon + spare - 28.0) / (tilt + 1.0));
            if down > 0.0 { period.max(rounded) } else { period }
        };
        let downs = (0..10).map(|k| (scale * 0.25 * 2f64.powi(k)).max(1.0));
        let (left, down) = least(&mut std::iter::once(0.0).chain(downs).map(|down| (left(down), down)));
        Course { tilt, period: 1.02 * right.max(left).max(1e-300), up, down, depth }
    }

    /// The saddle point at this delta: `K - s K' - ln(s (s+1) sqrt(2 pi K'')) = ln delta`.
    pub(in crate::account) fn at_delta(&self, delta: f64) -> Saddle {
        self.solve(|s, k| {
            let width = (2.0 * PI * k.variance).sqrt().max(0.1 / (s + 1.0));
            k.value - s * k.mean - (s * (s + 1.0) * width).ln() > delta.ln()
        })
    }

    /// The saddle point at this epsilon: `K' - 1/s - 1/(s+1) = epsilon`.
    pub(in crate::account) fn at_epsilon(&self, epsilon: f64) -> Saddle {
        let mut saddle = self.solve(|s, k| k.mean - 1.0 / s - 1.0 / (s + 1.0) < epsilon);
        saddle.epsilon = epsilon;
        saddle
    }

    /// About what delta is at this epsilon, whose saddle point it is.
    pub(super) fn delta_at(&self, saddle: Saddle, epsilon: f64) -> f64 {
        let (s, k) = (saddle.tilt, self.cumulants(saddle.tilt));
        let width = (2.0 * PI * k.variance).sqrt().max(0.1 / (s + 1.0));
        (k.value - s * epsilon).exp() / (s * (s + 1.0) * width).max(1.0)
    }

    /// The tilt whose moment bound is best at this epsilon.
    pub(super) fn best_tilt(&self, epsilon: f64) -> f64 {
        self.solve(|_, k| k.mean < epsilon).tilt
    }

    /// Halves between tilts; `more` says that a tilt is too small.
    fn solve(&self, more: impl Fn(f64, Cumulants) -> bool) -> Saddle {
        let (mut low, mut high) = (1e-4_f64.ln(), 1e9_f64.ln());
        for _ in 0..26 {
            let middle = 0.5 * (low + high);
            if more(middle.exp(), self.cumulants(middle.exp())) {
                low = middle;
            } else {
                high = middle;
            }
        }
        let tilt = low.exp();
        let k = self.cumulants(tilt);
        let epsilon = k.mean - 1.0 / tilt.max(1e-2) - 1.0 / (tilt + 1.0);
        Saddle { tilt, epsilon: epsilon.clamp(0.0, k.mean.max(0.0)), deviation: k.variance.sqrt(), tails: TAILS }
    }

    /// The widest grid on which the two bounds differ by about this share of epsilon.
    pub(super) fn grid(&self, saddle: Saddle, precision: f64) -> f64 {
        let room = precision * saddle.epsilon.max(1e-3 * saddle.deviation).max(1e-12);
        let shift = |h: f64| self.sketches.iter().map(|sketch| sketch.shift(saddle.tilt, h)).sum::<f64>();
        let (mut low, mut high) = (1e-14_f64.ln(), 0.25_f64.ln());
        for _ in 0..14 {
            let middle = 0.5 * (low + high);
            if shift(middle.exp()) <= room { low = middle } else { high = middle }
        }
        low.exp()
    }

    /// The window in which the tilted sum is, with epsilon; it may have no more than `MOST` points on the grid.
    pub(in crate::account) fn window(&self, saddle: Saddle) -> Window {
        let s = saddle.tilt;
        let here = self.cumulants(s);
        let bound = |sign: f64| {
            let guess = (2.0 * saddle.tails).sqrt() / saddle.deviation.max(1e-150);
            let reach = |t: f64| (self.cumulants(s + sign * t).value - here.value + saddle.tails) / t;
            let times = [0.05, 0.12, 0.25, 0.5, 0.7, 1.0, 1.4, 2.5, 6.0];
            let best = |best: (f64, f64), t: f64| if reach(t) < best.1 { (t, reach(t)) } else { best };
            times.into_iter().map(|x| x * guess).fold((guess, f64::INFINITY), best)
        };
        let ((down, low), (up, high)) = (bound(-1.0), bound(1.0));
        let margin = 0.05 * saddle.deviation;
        let lower = (-low).min(saddle.epsilon - saddle.deviation) - margin;
        let upper = high.max(saddle.epsilon + saddle.deviation) + margin;
        Window { tilt: s, lower, upper, down, up }
    }
}

/// A grid no finer than what fits, or `None` when a single loss does not.
pub(super) fn fitting(parts: &[(Pair, f64)], window: Window, h: f64, tail: f64) -> Option<f64> {
    let mut h = h.max((window.upper - window.lower) / MOST);
    for (pair, _) in parts {
        let (least, greatest) = losses(*pair, tail);
        if !(least > -GREATEST_LOSS && greatest < GREATEST_LOSS) {
            return None;
        }
        h = h.max((greatest - least) / MOST);
    }
    // Two atoms of one loss are both on the grid.
    let atoms = parts.iter().map(|(pair, _)| pair.atoms()).find(|atoms| atoms.len() == 2);
    if let Some([a, b]) = atoms.as_deref() {
        let gap = b.loss() - a.loss();
        h = if gap > h { gap / (gap / h).ceil() } else { h };
    }
    (h.is_finite() && h > 0.0 && h < 1.0).then_some(h)
}
