//! A loss at a few nodes: what its moments are about, for plans.
//!
//! No bound follows from it. The accountant that states a value and an estimated error makes use of [`Sketch::line`]: at nodes
//! that are close enough the midpoint rule converges geometrically.

use super::cells::NODES;
use super::transform;
use crate::account::pair::{Node, Pair};
use realfft::num_complex::Complex64;
use std::f64::consts::PI;

/// Terms below `e^-FAINT` of the largest do not count.
const FAINT: f64 = 40.0;
/// How much of the bound on a transform's error is true, about.
const TRUE: f64 = 0.02;
/// The most nodes for each of those of one standard deviation of the noise.
const MOST: f64 = 250.0;

/// Masses, their logarithms and losses at a few nodes, in one direction, so many times.
pub(super) struct Sketch {
    nodes: Vec<(f64, f64, f64)>,
    pub(super) count: f64,
    peak: f64,
}

/// `K` and its first two derivatives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cumulants {
    pub(super) value: f64,
    pub(super) mean: f64,
    pub(super) variance: f64,
}

impl Sketch {
    pub(super) fn new(pair: Pair, count: f64, mirrored: bool, (tail, fineness): (f64, f64)) -> Self {
        let mut nodes = Vec::new();
        for (share, part) in pair.components().into_iter().filter(|(share, _)| *share > 0.0) {
            Self::nodes(part, mirrored, (tail, fineness), |mass, loss| {
                nodes.push((share * mass, (share * mass).ln(), loss));
            });
        }
        Sketch { nodes, count, peak: if mirrored { -pair.peak() } else { pair.peak() } }
    }

    /// The nodes of one component.
    fn nodes(pair: Pair, mirrored: bool, (tail, fineness): (f64, f64), mut put: impl FnMut(f64, f64)) {
        let (from, to) = pair.span(tail);
        let sharp = pair.slope(0.0) - 1.0;
        let steps = ((to - from) * fineness * sharp.max(1.0)).ceil().clamp(1.0, MOST * fineness);
        let width = (to - from) / steps;
        let mut add = |node: Node, weight: f64| {
            let (mass, loss) = if mirrored { (node.q, -node.loss()) } else { (node.p, node.loss()) };
            if mass > 0.0 && loss.is_finite() {
                put(mass * weight, loss);
            }
        };
        if to > from && matches!(pair, Pair::Subset(_)) {
            // The midpoint rule would be off at the end where the density is not zero.
            let panels = (0.25 * steps).ceil();
            let width = (to - from) / panels;
            let each = (0..panels as u64).flat_map(|k| NODES.map(|(place, weight)| (k as f64 + place, weight)));
            each.for_each(|(place, weight)| add(pair.at(from + place * width), weight * width));
        } else if to > from {
            (0..steps as u64).for_each(|k| add(pair.at(from + (k as f64 + 0.5) * width), width));
        }
        pair.atoms().into_iter().for_each(|atom| add(atom, 1.0));
    }

    /// The logarithm of the largest tilted mass.
    fn top(&self, s: f64) -> f64 {
        self.nodes.iter().map(|(_, log, loss)| log + s * loss).fold(f64::NEG_INFINITY, f64::max)
    }

    pub(super) fn cumulants(&self, s: f64) -> Cumulants {
        let top = self.top(s);
        let (mut sum, mut first, mut second) = (0.0, 0.0, 0.0);
        for (_, log, loss) in &self.nodes {
            let log = log + s * loss - top;
            if log > -FAINT {
                let weight = log.exp();
                sum += weight;
                first += weight * loss;
                second += weight * loss * loss;
            }
        }
        let mean = first / sum;
        Cumulants { value: top + sum.ln(), mean, variance: (second / sum - mean * mean).max(0.0) }
    }

    /// `ln E e^(tilt loss)`, of masses that add up to 1.
    pub(super) fn log_moment(&self, tilt: f64) -> f64 {
        self.cumulants(tilt).value - self.nodes.iter().map(|(mass, ..)| mass).sum::<f64>().ln()
    }

    /// `ln E e^(s loss)` less its value at the tilt, for `s` with the imaginary parts `k step`, and by how much each may be off,
    /// about.
    pub(super) fn line(&self, tilt: f64, step: f64, count: usize) -> (Vec<Complex64>, f64) {
        let value = self.cumulants(tilt).value;
        let masses: Vec<f64> = self.nodes.iter().map(|(_, log, loss)| (log + tilt * loss - value).exp()).collect();
        let (sums, doubt) = transform::sums(&masses, self.nodes.iter().map(|(.., loss)| *loss), step, count);
        (sums.into_iter().map(|sum| (sum + 1.0).ln()).collect(), TRUE * doubt)
    }

    /// How far apart the losses of neighbouring nodes are, at most.
    pub(super) fn gap(&self) -> f64 {
        self.nodes.windows(2).map(|pair| (pair[1].2 - pair[0].2).abs()).fold(0.0, f64::max)
    }

    /// The logarithm of the size of `E e^(s loss)` over its value at the tilt, for `s` with this imaginary part.
    pub(super) fn size(&self, tilt: f64, w: f64) -> f64 {
        let value = self.cumulants(tilt).value;
        let turned = |(_, log, loss): &(f64, f64, f64)| {
            let mass = (log + tilt * loss - value).exp();
            if mass > 0.0 { Complex64::from_polar(mass, (w * loss) % (2.0 * PI)) } else { Complex64::ZERO }
        };
        self.nodes.iter().map(turned).sum::<Complex64>().norm().ln()
    }

    /// How much a grid of this width shifts `K` both ways together, over `s`, at tilt `s`.
    pub(super) fn shift(&self, s: f64, h: f64) -> f64 {
        let top = self.top(s);
        let (mut sum, mut spread) = (0.0, 0.0);
        for (_, log, loss) in &self.nodes {
            let log = log + s * loss - top;
            if log < -FAINT {
                continue;
            }
            let weight = log.exp();
            let size = (loss - self.peak).abs();
            let split = if size < h { size * (h - size) } else { h * h / 6.0 };
            let merged = if size < 0.5 * h { size * size } else { h * h / 12.0 };
            sum += weight;
            spread += weight * (split + merged);
        }
        self.count * 0.5 * (s + 1.0) * spread / sum
    }
}
