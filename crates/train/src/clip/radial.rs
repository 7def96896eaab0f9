//! Radial clipping: pre-clip perturbation without the perturbation.
//!
//! Source: Chen, Wu & Hong 2020, arXiv 2006.15429, perturb each gradient with `k zeta` before it is clipped, to lessen the bias
//! of clipping. By symmetry the mean of that over `zeta` is along the gradient: `E clip(g + k zeta, C) = phi(n) g / n` with
//! `phi(n) = E (n + k u) min(1, C / sqrt((n + k u)^2 + k^2 s))`, `u` normal, `s` chi-squared with `d - 1` degrees. This rule
//! is that mean: `w = phi(n) / n`. It has the same fixed points as the sampled rule (`perturbed`), less variance, and no noise
//! per example. Sensitivity `C`: `phi(n) <= min(n, C)`. For `k sqrt(d) >> C` it is nearly `C / sqrt(n^2 + k^2 d)`: smoothed
//! normalisation, whose settings are best thought of as the norm `k sqrt(d)` at which shrinking sets in. Cost class NORM.
use super::{Bound, ClipRule, Prepare, Setting};
use crate::{each::Each, state::State};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

fn reach() -> f64 {
    1.0
}

/// `{ rule = "radial", bound = 1.0, reach = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Radial {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// `k sqrt(d) / C`: the norm at which shrinking sets in, over the bound; 0 is flat clipping.
    #[serde(default = "reach")]
    pub reach: f64,
}

impl Prepare for Radial {
    fn check(&self) -> Result<(), String> {
        let fine = self.reach.is_finite() && self.reach >= 0.0;
        fine.then_some(()).ok_or_else(|| "reach is a number of at least 0".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let dimensions = setting.parameters.max(1);
        Ok(Box::new(Rule {
            bound: self.bound.get(),
            shape: Shape::new(self.reach, dimensions),
            table: OnceLock::new(),
        }))
    }
}

struct Rule {
    bound: f64,
    shape: Shape,
    /// Made when the first example is weighed: a rehearsal has none.
    table: OnceLock<Arc<Table>>,
}

impl State for Rule {}

impl ClipRule for Rule {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.bound; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        let table = self.table.get_or_init(|| Arc::new(Table::new(&self.shape)));
        (norms / self.bound).lookup(table)
    }
}

/// `phi(n)` for `C = 1`, `k` and so many dimensions, by quadrature: how long a gradient of norm `n` is in the mean after it is
/// perturbed and clipped.
pub(crate) fn phi(n: f64, k: f64, dimensions: usize) -> f64 {
    if n > 0.0 { n * Shape { k, dimensions }.weight(n) } else { 0.0 }
}

/// The problem for `C = 1`: how much each coordinate is perturbed, and how many there are.
struct Shape {
    k: f64,
    dimensions: usize,
}

impl Shape {
    fn new(reach: f64, dimensions: usize) -> Self {
        Shape { k: reach / (dimensions as f64).sqrt(), dimensions }
    }

    /// `phi(n) / n` for `C = 1`, `n > 0`.
    fn weight(&self, n: f64) -> f64 {
        if self.k < 1e-9 {
            return n.recip().min(1.0);
        }
        self.across().into_iter().map(|(r, p)| p * self.along(n, r)).sum::<f64>() / n
    }

    /// Nodes for the length of what is perpendicular, over `k`: the root of a chi-squared number, split where it alone
    /// reaches the bound.
    fn across(&self) -> Vec<(f64, f64)> {
        let free = self.dimensions as f64 - 1.0;
        if free == 0.0 {
            return vec![(0.0, 1.0)];
        }
        let peak = (free - 1.0).max(0.0).sqrt();
        let nodes = quadrature((peak - 9.0).max(0.0), peak + 9.0, 12, &[self.k.recip()]);
        let log = |r: f64| (free - 1.0) * (r.max(1e-300)).ln() - 0.5 * r * r;
        let top = log(peak.max(1e-150));
        let dense: Vec<(f64, f64)> = nodes.into_iter().map(|(r, w)| (r, w * (log(r) - top).exp())).collect();
        let whole: f64 = dense.iter().map(|(_, p)| p).sum();
        dense.into_iter().map(|(r, p)| (r, p / whole)).collect()
    }

    /// The mean of `(n + k u) min(1, 1 / sqrt((n + k u)^2 + k^2 r^2))` over a normal `u`, split at its kinks.
    fn along(&self, n: f64, r: f64) -> f64 {
        let half = (1.0 - (self.k * r).powi(2)).max(0.0).sqrt();
        let kinks = if half > 0.0 { vec![(half - n) / self.k, (-half - n) / self.k] } else { vec![-n / self.k] };
        let value = |u: f64| {
            let x = n + self.k * u;
            x * (x * x + (self.k * r).powi(2)).sqrt().max(1.0).recip() * (-0.5 * u * u).exp()
        };
        let sum: f64 = quadrature(-9.0, 9.0, 9, &kinks).into_iter().map(|(u, w)| w * value(u)).sum();
        sum / (2.0 * std::f64::consts::PI).sqrt()
    }
}

/// Gauss-Legendre nodes and weights on `[from, to]`, in `pieces` and split at `kinks` besides.
fn quadrature(from: f64, to: f64, pieces: usize, kinks: &[f64]) -> Vec<(f64, f64)> {
    let even = (0..=pieces).map(|i| from + (to - from) * i as f64 / pieces as f64);
    let mut ends: Vec<f64> = even.chain(kinks.iter().copied().filter(|x| *x > from && *x < to)).collect();
    ends.sort_by(f64::total_cmp);
    let piece = |ends: &[f64]| {
        let (middle, half) = (0.5 * (ends[0] + ends[1]), 0.5 * (ends[1] - ends[0]));
        LEGENDRE.iter().flat_map(move |(x, w)| [(middle - half * x, half * w), (middle + half * x, half * w)])
    };
    ends.windows(2).flat_map(piece).collect()
}

/// Positive nodes and weights of the rule of 12 points (Abramowitz & Stegun 1964, table 25.4).
const LEGENDRE: [(f64, f64); 6] = [
    (0.125_233_408_511_468_9, 0.249_147_045_813_402_8),
    (0.367_831_498_998_180_2, 0.233_492_536_538_354_8),
    (0.587_317_954_286_617_4, 0.203_167_426_723_065_9),
    (0.769_902_674_194_304_7, 0.160_078_328_543_346_2),
    (0.904_117_256_370_474_9, 0.106_939_325_995_318_4),
    (0.981_560_634_246_719_3, 0.047_175_336_386_511_8),
];

/// Logarithms of weights at evenly spaced logarithms of norms, with a cubic between them.
pub(crate) struct Table {
    logs: Vec<f64>,
}

/// Norms between which weights are looked up, over the bound; below, the weight hardly changes, and above it is `1 / n`.
const RANGE: (f64, f64) = (1e-6, 1e6);
const POINTS: usize = 256;

impl Table {
    fn new(shape: &Shape) -> Self {
        use rayon::prelude::*;
        let node = |i: usize| shape.weight(RANGE.0 * (RANGE.1 / RANGE.0).powf(i as f64 / (POINTS - 1) as f64)).ln();
        Table { logs: (0..POINTS).into_par_iter().map(node).collect() }
    }

    /// The weight of an example of norm `n`.
    pub(crate) fn weight(&self, n: f64) -> f64 {
        if n > RANGE.1 || n.is_nan() {
            return n.recip();
        }
        let at = (n.max(RANGE.0) / RANGE.0).ln() / (RANGE.1 / RANGE.0).ln() * (POINTS - 1) as f64;
        let i = (at as usize).min(POINTS - 2);
        let y = |j: usize| self.logs[j.min(POINTS - 1)];
        let (a, b, t) = (y(i), y(i + 1), at - i as f64);
        let (before, after) = (y(i.saturating_sub(1)), y(i + 2));
        let (da, db) = (0.5 * (b - before), 0.5 * (after - a));
        let cubic = a + t * (da + t * (3.0 * (b - a) - 2.0 * da - db + t * (2.0 * (a - b) + da + db)));
        cubic.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    /// The specification's table (`clipping-08`, section 4): n, k, d, phi, w = phi / n and the limit of many dimensions for
    /// C = 1, by adaptive quadrature to 1e-9.
    const PUBLISHED: [(f64, f64, usize, f64, f64, f64); 11] = [
        (2.0, 1.0, 1, 0.917066684, 0.458533342, 0.894427191),
        (4.0, 2.0, 1, 0.945394687, 0.236348672, 0.894427191),
        (0.5, 1.0, 2, 0.288503688, 0.577007377, 0.333333333),
        (0.5, 0.1, 10, 0.499999888, 0.999999776, 0.845154255),
        (5.0, 0.1, 10, 0.998203774, 0.199640755, 0.998005980),
        (1.0, 1.0, 10, 0.296234826, 0.296234826, 0.301511345),
        (3.0, 1.0, 100, 0.286849068, 0.095616356, 0.287347886),
        (20.0, 1.0, 1000, 0.534508759, 0.026725438, 0.534522484),
        (3.0, 1.0, 26010, 0.018598237, 0.006199412, 0.018598416),
        (1.0, 0.01, 26010, 0.526972480, 0.526972480, 0.526973091),
        (0.2, 0.002, 26010, 0.200000000, 1.000000000, 0.526973091),
    ];

    #[test]
    fn published_means() {
        let digits = |got: f64, want: f64| assert!((got - want).abs() <= 0.51e-9, "{got} is not {want}");
        for (n, k, dimensions, phi, w, limit) in PUBLISHED {
            let shape = Shape { k, dimensions };
            digits(super::phi(n, k, dimensions), phi);
            digits(shape.weight(n), w);
            digits(n / (n * n + k * k * dimensions as f64).sqrt(), limit);
            let table = Table::new(&shape).weight(n) * n;
            assert!((table / phi - 1.0).abs() < 3e-4, "looked up: {table} for {phi}");
        }
    }

    /// `clipping-08`, section 1: phi is increasing, its slope is at most 1, and it is no longer than the gradient or the bound.
    #[test]
    fn means_rise_no_faster_than_norms() {
        for (k, dimensions) in [(0.3, 1), (1.0, 2), (0.1, 10), (0.05, 1000), (3.0, 100)] {
            let phi = |n: f64| super::phi(n, k, dimensions);
            let steps: Vec<f64> = (0..200).map(|i| 0.05 * f64::from(i)).collect();
            for pair in steps.windows(2) {
                let (a, b) = (phi(pair[0]), phi(pair[1]));
                assert!(b >= a - 1e-12 && b - a <= pair[1] - pair[0] + 1e-9, "k = {k}, d = {dimensions}: {a}, {b}");
                assert!(b <= pair[1].min(1.0) + 1e-9);
            }
            assert!(phi(1e4 * (1.0 + k * (dimensions as f64).sqrt())) > 0.999);
        }
    }

    /// Example 1 of Chen et al.: the zero of the expected rule for data (-3, -3, 9), by k. One dimension.
    #[test]
    fn published_fixed_points() {
        for (k, zero) in
            [(0.5, -2.44989945), (1.0, -2.21353224), (2.0, -1.59481291), (5.0, 0.09631514), (20.0, 0.94618980)]
        {
            let shape = Shape { k, dimensions: 1 };
            let phi = |x: f64| if x == 0.0 { 0.0 } else { x * shape.weight(x.abs()) };
            let mean: f64 = [-3.0, -3.0, 9.0].iter().map(|a| phi(zero - a)).sum();
            assert!(mean.abs() < 2e-8, "k = {k}: {mean}");
        }
    }

    #[test]
    fn no_reach_is_flat_clipping() {
        let (radial, flat) = (rule("rule = \"radial\"\nreach = 0.0"), rule("rule = \"flat\"\nbound = 1.0"));
        close(&sum(&*radial, &T0), &sum(&*flat, &T0), 1e-3);
    }
}
