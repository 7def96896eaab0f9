//! One released step taken apart: what it keeps of the true gradient, and what clipping, sampling and noise add to its
//! error, as a function of the threshold.
//!
//! With `v` the mean gradient, `m` the mean of what examples contribute, `L` the lot and `q` the sample rate, the mean
//! squared error of the released mean is
//!
//! ```text
//! |m - v|^2  +  (1 - q)/L mean |w_i g_i|^2  +  d (z C / L)^2        bias, Poisson sampling, noise
//! ```
//!
//! All three come from one scan. Squares of means over `n` examples are corrected for those examples' own scatter (each
//! over-counts by the trace of its covariance over `n`), so the numbers speak of the population. A learning rate can undo a
//! common factor, so the error after the best rescaling, `1 - <v, m>^2 / (|v|^2 E|release|^2)`, is given too.
use super::{Diagnostic, Finding, Scan, Scene, Setting, clipped::shrink, statistics::mean};
use crate::report::{
    plot::{Axis, Layer, Mark, Picture},
    words::significant,
};
use serde::Serialize;
use serde_json::json;

/// See the module.
pub struct Step;

/// Squared lengths that one release is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Parts {
    /// The bound on an example's contribution.
    pub c: f64,
    /// `|v|^2`.
    pub signal: f64,
    /// `|m - v|^2`.
    pub bias: f64,
    /// Variance of the lot's mean.
    pub sampling: f64,
    /// Energy of the noise.
    pub noise: f64,
    /// Mean squared error of the release: bias, sampling and noise together.
    pub error: f64,
    /// Share of the signal that is lost when the release is rescaled as well as can be: 0 for the true direction, 1 for none.
    pub misdirection: f64,
    /// The same without sampling and noise: what clipping alone turns away, `sin^2` of the angle between means.
    pub turned: f64,
}

/// Moments of what `n` examples contribute: `square = |m|^2`, `dot = <v, m>`, means of `|w g|^2`, `|(1 - w) g|^2` and
/// `w |g|^2`.
#[derive(Debug, Clone, Copy)]
pub struct Moments {
    /// `|m|^2`.
    pub square: f64,
    /// `<v, m>`.
    pub dot: f64,
    /// Mean of `|w g|^2`.
    pub second: f64,
    /// Mean of `|(1 - w) g|^2`.
    pub change: f64,
    /// Mean of `w |g|^2`.
    pub own: f64,
}

impl Parts {
    /// The parts of a release of contributions with these moments, where `energy` is the mean of `|g|^2`, `v` is `|v|^2` over
    /// `n` examples, and the model has `d` parameters.
    pub fn new(setting: &Setting, c: f64, m: Moments, (v, energy): (f64, f64), (n, d): (usize, usize)) -> Parts {
        let correct = |of_means: f64, of_examples: f64| of_means - (of_examples - of_means) / (n.max(2) - 1) as f64;
        let signal = correct(v, energy).max(0.0);
        let bias = correct(m.square - 2.0 * m.dot + v, m.change).max(0.0);
        let sampling = (1.0 - setting.sample_rate) / setting.lot * m.second;
        let noise = d as f64 * (setting.noise_multiplier * c / setting.lot).powi(2);
        let length = correct(m.square, m.second).max(0.0);
        let along = correct(m.dot, m.own).max(0.0).powi(2);
        let lost = |released: f64| 1.0 - (along / (signal * released)).min(1.0);
        let (misdirection, turned) = (lost(length + sampling + noise), lost(length));
        Parts { c, signal, bias, sampling, noise, error: bias + sampling + noise, misdirection, turned }
    }
}

impl Diagnostic for Step {
    fn heading(&self) -> &'static str {
        "One step, taken apart"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        let curve = curve(scene.setting, scan);
        let now = configured(scene.setting, scan)?;
        let best = |by: fn(&Parts) -> f64| curve.iter().copied().min_by(|a, b| by(a).total_cmp(&by(b)));
        let (closest, straightest) = (best(|p| p.error)?, best(|p| p.misdirection)?);
        Some(Finding {
            name: "step",
            numbers: json!({
                "rule": scene.setting.rules[0].0, "parts": now, "curve": curve,
                "best_threshold": closest, "best_threshold_with_learning_rate_retuned": straightest,
                "noise_over_bias": now.noise / now.bias,
            }),
            words: words(scene.setting, now, closest, straightest),
            pictures: vec![errors(&curve, now.c, closest), directions(&curve, now.c, straightest)],
            table: None,
        })
    }
}

/// The parts at every threshold of flat clipping.
pub fn curve(setting: &Setting, scan: &Scan) -> Vec<Parts> {
    let all = sizes(scan);
    let average = |f: &dyn Fn(f64) -> f64| mean(&scan.norms.iter().map(|n| f(*n)).collect::<Vec<_>>());
    let at = |t: &super::Threshold| {
        let moments = Moments {
            square: t.square,
            dot: t.dot,
            second: average(&|n| n.min(t.c).powi(2)),
            change: average(&|n| (n - t.c).max(0.0).powi(2)),
            own: average(&|n| n * n * shrink(n, t.c)),
        };
        Parts::new(setting, t.c, moments, all.0, all.1)
    };
    scan.thresholds.iter().map(at).collect()
}

/// The parts under the configured rule.
pub fn configured(setting: &Setting, scan: &Scan) -> Option<Parts> {
    let r = scan.rules.first()?;
    let moments = Moments { square: r.square, dot: r.dot, second: r.second, change: r.change, own: r.own };
    let (energies, sizes) = sizes(scan);
    Some(Parts::new(setting, r.bound, moments, energies, sizes))
}

fn sizes(scan: &Scan) -> ((f64, f64), (usize, usize)) {
    let energy = mean(&scan.norms.iter().map(|n| n * n).collect::<Vec<_>>());
    ((scan.mean_norm().powi(2), energy), (scan.len(), scan.parameters))
}

fn words(setting: &Setting, now: Parts, closest: Parts, straightest: Parts) -> Vec<String> {
    let of = |x: f64| times(x / now.signal);
    let mut words = vec![
        format!(
            "In units of the squared true gradient, one release has clipping bias {}, sampling variance {} and noise {}.",
            of(now.bias),
            of(now.sampling),
            of(now.noise)
        ),
        advice(now, straightest),
    ];
    if setting.noise_multiplier > 0.0 {
        words.push(format!(
            "The released mean is closest to the true one at C = {}; with the learning rate retuned, it points best at C = \
             {}, where {:.1} % of the signal is lost, not {:.1} % as at C = {} now. On public data this choice is free.",
            threshold(closest.c),
            threshold(straightest.c),
            100.0 * straightest.misdirection,
            100.0 * now.misdirection,
            threshold(now.c)
        ));
    }
    words
}

/// A clip threshold in words: thresholds go over many powers of ten.
fn threshold(c: f64) -> String {
    significant(c, 3)
}

/// What to do about the larger of bias and noise.
fn advice(now: Parts, best: Parts) -> String {
    let ratio = now.noise / now.bias;
    let gain = now.misdirection - best.misdirection;
    match (now.noise, ratio) {
        (0.0, _) => "There is no noise in this configuration: what is lost is lost to clipping and sampling.".into(),
        (_, r) if r > 2.0 && gain < 0.05 => format!(
            "Noise is {} the clipping bias: raising C will not help, a larger batch will (noise falls with its square).",
            folds(r)
        ),
        (_, r) if r > 2.0 => format!(
            "Noise is {} the clipping bias: lower C to {} and raise the learning rate in proportion, or take a larger batch.",
            folds(r),
            threshold(best.c)
        ),
        (_, r) if r < 0.5 && best.c > now.c && gain > 0.01 => {
            format!(
                "Clipping bias is {} the noise: raising C to {} points the step better.",
                folds(1.0 / r),
                threshold(best.c)
            )
        }
        (_, r) if r < 0.5 && now.turned < 0.1 => format!(
            "Clipping bias is {} the noise, but almost all of it is length, not direction: a larger learning rate undoes it.",
            folds(1.0 / r)
        ),
        (_, r) if r < 0.5 => format!(
            "Clipping bias is {} the noise, and clipping alone turns {:.0} % of the signal away, but a larger C would let in \
             as much noise: a larger batch helps, another threshold hardly.",
            folds(1.0 / r),
            100.0 * now.turned
        ),
        _ => "Clipping bias and noise are of one size: the threshold is about right.".into(),
    }
}

fn folds(ratio: f64) -> String {
    if ratio >= 1e4 { "far more than".into() } else { format!("{ratio:.*}x", usize::from(ratio < 10.0)) }
}

fn times(x: f64) -> String {
    if (0.01..1000.0).contains(&x) || x == 0.0 { format!("{x:.2}") } else { format!("{x:.1e}") }
}

fn errors(curve: &[Parts], now: f64, best: Parts) -> Picture {
    // A bias of a hundred-thousandth of the signal is nobody's concern, and its logarithm would fill the frame.
    let line =
        |f: fn(&Parts) -> f64| curve.iter().map(|p| (p.c, f(p) / p.signal)).filter(|p| p.1 > 1e-5).collect::<Vec<_>>();
    Picture {
        title: "Error of the released mean".into(),
        x: Axis::new("threshold C (flat)").log(),
        y: Axis::new("error / |v|²").log(),
        layers: vec![
            Layer::new("bias", Mark::Line, 1, line(|p| p.bias)),
            Layer::new("sampling", Mark::Dashed, 2, line(|p| p.sampling)),
            Layer::new("noise", Mark::Joined, 3, line(|p| p.noise)),
            Layer::new("all", Mark::Line, 0, line(|p| p.error)),
        ],
        marks: vec![(best.c, format!("closest {}", threshold(best.c))), (now, format!("bound {}", threshold(now)))],
    }
}

fn directions(curve: &[Parts], now: f64, best: Parts) -> Picture {
    let points = curve.iter().map(|p| (p.c, 100.0 * p.misdirection)).collect();
    Picture {
        title: "Signal lost, the learning rate retuned".into(),
        x: Axis::new("threshold C (flat)").log(),
        y: Axis::new("lost of the signal").unit("%").within(0.0, 100.0),
        layers: vec![Layer::new("lost", Mark::Joined, 1, points)],
        marks: vec![(best.c, format!("best {}", threshold(best.c))), (now, format!("bound {}", threshold(now)))],
    }
}
