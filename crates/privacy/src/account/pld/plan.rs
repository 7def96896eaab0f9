//! Which grid, tilt and window to use. Nothing here is trusted: a bad plan makes the interval wide, not wrong.
//!
//! The cumulant generating function `K(s) = sum_j T_j ln M_j(s)` of the losses, from a few hundred nodes, says where the sum
//! is under every tilt. The tilt is the saddle point of the inversion integral for this delta; the grid is as coarse as the
//! wanted width allows; the window holds all but `e^-TAILS` of the tilted mass.

use super::cells::{GREATEST_LOSS, losses};
use super::compose::Window;
use super::sketch::{Cumulants, Sketch};
use crate::account::pair::Pair;
use realfft::num_complex::Complex64;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Tilted mass outside the window, as the power of 1/e.
const TAILS: f64 = 23.0;
/// The most points of a window, and of one loss.
pub(super) const MOST: f64 = 1_048_576.0;

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
    /// `K` at the rungs of a ladder of tilts, up and down from 0, that were asked for.
    rungs: RefCell<BTreeMap<(bool, i32), f64>>,
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

impl Plan {
    /// A plan for these pairs, so many times each, with so many nodes for each standard deviation of the noise.
    pub(in crate::account) fn new(parts: &[(Pair, f64)], mirrored: bool, tail: f64, fineness: f64) -> Self {
        let sketch = |(pair, count): &(Pair, f64)| Sketch::new(*pair, *count, mirrored, (tail, fineness));
        Plan { sketches: parts.iter().map(sketch).collect(), gaussian: 0.0, rungs: RefCell::default() }
    }

    /// With unsampled Gaussians of this sum of `1/z^2` besides.
    pub(in crate::account) fn and(self, gaussian: f64) -> Self {
        Plan { gaussian, ..self }
    }

    /// How many events there are.
    pub(in crate::account) fn count(&self) -> f64 {
        self.sketches.iter().map(|sketch| sketch.count).sum()
    }

    /// `K` at a real tilt, of masses that add up to 1.
    pub(in crate::account) fn log_moment(&self, tilt: f64) -> f64 {
        let normal = 0.5 * self.gaussian * tilt * (tilt + 1.0);
        self.sketches.iter().map(|sketch| sketch.count * sketch.log_moment(tilt)).sum::<f64>() + normal
    }

    /// `K` less its value at the tilt, at `s` with the imaginary parts `k step`, and by how much it may be off, about.
    pub(in crate::account) fn line_of(&self, tilt: f64, step: f64, count: usize) -> (Vec<Complex64>, f64) {
        let normal = |w: f64| Complex64::new(-0.5 * w * w, (tilt + 0.5) * w) * self.gaussian;
        let mut line: Vec<Complex64> = (0..count).map(|k| normal(step * k as f64)).collect();
        let mut wrong = 0.0;
        for sketch in &self.sketches {
            let (one, doubt) = sketch.line(tilt, step, count);
            line.iter_mut().zip(one).for_each(|(sum, log)| *sum += log * sketch.count);
            wrong += sketch.count * doubt;
        }
        (line, wrong)
    }

    /// How far apart the losses of neighbouring nodes are, at most.
    pub(in crate::account) fn gap(&self) -> f64 {
        self.sketches.iter().map(Sketch::gap).fold(0.0, f64::max)
    }

    /// The logarithm of the size of `e^K` over its value at the tilt, at `s` with this imaginary part, about.
    pub(in crate::account) fn size(&self, tilt: f64, w: f64) -> f64 {
        let sampled = self.sketches.iter().map(|sketch| sketch.count * sketch.size(tilt, w)).sum::<f64>();
        sampled - 0.5 * self.gaussian * w * w
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

    /// `K` at a rung of the ladder.
    fn at_rung(&self, down: bool, rung: i32) -> f64 {
        let tilt = if down { -tilt(rung) } else { tilt(rung) };
        *self.rungs.borrow_mut().entry((down, rung)).or_insert_with(|| self.cumulants(tilt).value)
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
        let top = rung(1.5 * tilt);
        let line = |k| self.line((epsilon, delta), top - 2 * k, (smoothing, spare));
        (1..24).map(line).fold(line(0), |best, next| if cost(&next) < cost(&best) { next } else { best })
    }

    fn line(&self, (epsilon, delta): (f64, f64), at: i32, (smoothing, spare): (f64, f64)) -> Course {
        let tilt = tilt(at);
        let value = |s: f64, known: f64| known + 0.5 * smoothing * s * (s + 1.0);
        let depth = (value(tilt, self.at_rung(false, at)) - tilt * epsilon - delta.ln()).clamp(0.0, 60.0);
        let least = |bounds: &mut dyn Iterator<Item = (f64, f64)>| {
            bounds
                .filter(|(period, _)| period.is_finite())
                .fold((f64::INFINITY, 0.0), |best, new| if new.0 < best.0 { new } else { best })
        };
        let scale = tilt.max(0.3 / epsilon.max(1e-12));
        // The nodes here are coarse at the ends of a loss.
        let right = |up: f64| {
            let above = rung(tilt + up).max(at + 1);
            let s = self::tilt(above);
            let value = value(s, self.at_rung(false, above));
            ((value + 0.05 * value.abs() - s * epsilon - delta.ln() + spare) / (s - tilt), s - tilt)
        };
        let (right, up) = least(&mut (0..12).map(|k| right(scale * 0.05 * 1.8f64.powi(k))));
        let spare = spare - delta.ln();
        // Epsilon may be somewhat larger than it seems.
        let epsilon = 1.12 * epsilon;
        let left = |below: Option<i32>| {
            let down = below.map_or(0.0, self::tilt);
            let known = below.map_or(0.0, |below| self.at_rung(true, below));
            let period = (value(-down, known) + down * epsilon + spare) / (down + tilt);
            // What is known there is so up to a rounding.
            let rounded = ((spare - 28.0) / tilt).max((epsilon + spare - 28.0) / (tilt + 1.0));
            (if down > 0.0 { period.max(rounded) } else { period }, down)
        };
        let downs = (0..10).map(|k| Some(rung(scale * 0.25 * 2f64.powi(k)).max(0)));
        let (left, down) = least(&mut std::iter::once(None).chain(downs).map(left));
        Course { tilt, period: 1.02 * right.max(left).max(1e-300), up, down, depth }
    }

    /// The saddle point at this delta: `K - s K' - ln(s (s+1) sqrt(2 pi K'')) = ln delta`.
    pub(in crate::account) fn at_delta(&self, delta: f64) -> Saddle {
        self.solve(|s, k| {
            let width = (2.0 * PI * k.variance).sqrt().max(0.1 / (s + 1.0));
            k.value - s * k.mean - (s * (s + 1.0) * width).ln() > delta.ln()
        })
    }

    /// The saddle point, or where its tilt is more than this, about the same with that.
    pub(super) fn no_steeper(&self, saddle: Saddle, tilt: f64) -> Saddle {
        if saddle.tilt <= tilt {
            return saddle;
        }
        Saddle { tilt, deviation: self.cumulants(tilt).variance.sqrt(), ..saddle }
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

    /// The tilt whose moment bound is best at this epsilon, of those whose `K` is not above `most`.
    pub(super) fn best_tilt(&self, epsilon: f64, most: f64) -> f64 {
        self.solve(|_, k| k.mean < epsilon && k.value < most).tilt
    }

    /// Halves between tilts; `more` says that a tilt is too small.
    fn solve(&self, more: impl Fn(f64, Cumulants) -> bool) -> Saddle {
        let (mut low, mut high) = (1e-4_f64.ln(), 1e9_f64.ln());
        for _ in 0..22 {
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

/// A rung of the ladder of tilts: 1 at 0, and by a factor of `sqrt(4/3)` more each.
fn tilt(rung: i32) -> f64 {
    (f64::from(rung) * 0.5 * (4.0_f64 / 3.0).ln()).exp()
}

/// The rung nearest to a tilt.
fn rung(tilt: f64) -> i32 {
    (2.0 * tilt.ln() / (4.0_f64 / 3.0).ln()).round() as i32
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
