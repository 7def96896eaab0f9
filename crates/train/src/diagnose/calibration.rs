//! Whether confidence is earned: reliability diagram, expected calibration error, likelihood, Brier score.
//!
//! `diagnostics.md`, H8 (Guo et al. 2017; for private training Knolle et al. 2021, Bu et al. 2021).
use super::{Diagnostic, Finding, Scan, Scene};
use crate::{
    data::Targets,
    report::plot::{Axis, Layer, Mark, Picture},
};
use engine::Tensor;
use serde_json::json;

/// See the module.
pub struct Calibration;

/// Bins of equal width, each with its upper end.
const BINS: usize = 15;

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Bin {
    /// Examples in it.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share of them that is right.
    pub accuracy: f64,
}

impl Diagnostic for Calibration {
    fn heading(&self) -> &'static str {
        "Calibration"
    }

    fn find(&self, scene: &Scene, _: &Scan) -> Option<Finding> {
        let all = probabilities(scene)?;
        let sure: Vec<(f64, bool)> = all.iter().map(|(p, label)| top(p, *label)).collect();
        let bins = bins(&sure, BINS);
        let (ece, worst) = errors(&bins, sure.len());
        let n = all.len() as f64;
        let likelihood = all.iter().map(|(p, label)| -p[*label].max(1e-30).ln()).sum::<f64>() / n;
        let brier = all.iter().map(|(p, label)| brier(p, *label)).sum::<f64>() / n;
        let (confidence, accuracy) = (average(&sure, |s| s.0), average(&sure, |s| f64::from(u8::from(s.1))));
        let lean = if confidence > accuracy { "over-confident" } else { "under-confident" };
        Some(Finding {
            name: "calibration",
            numbers: json!({
                "bins": bins, "ece": ece, "mce": worst, "ece_equal_mass": equal_mass(&sure, BINS), "nll": likelihood,
                "brier": brier, "mean_confidence": confidence, "accuracy": accuracy,
            }),
            words: vec![format!(
                "The model is {lean} by {:.1} points: mean confidence {:.1} %, accuracy {:.1} %; expected calibration error {:.1} %.",
                100.0 * (confidence - accuracy).abs(),
                100.0 * confidence,
                100.0 * accuracy,
                100.0 * ece
            )],
            pictures: vec![diagram(&bins)],
            table: None,
        })
    }
}

/// Each example's probabilities of the classes, and its own class; nothing where targets are not classes.
fn probabilities(scene: &Scene) -> Option<Vec<(Vec<f64>, usize)>> {
    let mut all = Vec::new();
    for (_, batch) in scene.chunks(&scene.who) {
        let Targets::Classes { labels, .. } = &batch.targets else { return None };
        let inputs = Tensor::new([&[batch.n], batch.shape.as_slice()].concat(), batch.inputs);
        let outputs = scene.model.outputs(scene.weights, inputs);
        for (i, label) in labels.iter().enumerate() {
            all.push((scene.model.loss().probabilities(outputs.row(i))?, *label as usize));
        }
    }
    Some(all)
}

fn top(p: &[f64], label: usize) -> (f64, bool) {
    let best = (0..p.len()).fold(0, |best, k| if p[k] > p[best] { k } else { best });
    (p[best], best == label)
}

fn brier(p: &[f64], label: usize) -> f64 {
    p.iter().enumerate().map(|(k, p)| (p - f64::from(u8::from(k == label))).powi(2)).sum()
}

fn average(sure: &[(f64, bool)], f: impl Fn(&(f64, bool)) -> f64) -> f64 {
    sure.iter().map(f).sum::<f64>() / sure.len().max(1) as f64
}

/// Confidences and hits in `m` bins of equal width, `(low, high]`.
pub fn bins(sure: &[(f64, bool)], m: usize) -> Vec<Bin> {
    let of = |confidence: f64| ((confidence * m as f64).ceil() as usize).clamp(1, m) - 1;
    let bin = |k: usize| one_bin(&sure.iter().filter(|s| of(s.0) == k).copied().collect::<Vec<_>>());
    (0..m).map(bin).collect()
}

fn one_bin(inside: &[(f64, bool)]) -> Bin {
    Bin {
        count: inside.len(),
        confidence: average(inside, |s| s.0),
        accuracy: average(inside, |s| f64::from(u8::from(s.1))),
    }
}

/// Expected and largest calibration error.
pub fn errors(bins: &[Bin], n: usize) -> (f64, f64) {
    let gap = |b: &Bin| (b.accuracy - b.confidence).abs();
    let expected = bins.iter().map(|b| b.count as f64 * gap(b)).sum::<f64>() / n.max(1) as f64;
    (expected, bins.iter().filter(|b| b.count > 0).map(gap).fold(0.0, f64::max))
}

fn equal_mass(sure: &[(f64, bool)], m: usize) -> f64 {
    let mut sure = sure.to_vec();
    sure.sort_by(|a, b| a.0.total_cmp(&b.0));
    let bins: Vec<Bin> = sure.chunks(sure.len().div_ceil(m).max(1)).map(one_bin).collect();
    errors(&bins, sure.len()).0
}

fn diagram(bins: &[Bin]) -> Picture {
    let width = 1.0 / bins.len() as f64;
    let bars = bins.iter().enumerate().map(|(k, b)| (k as f64 * width, b.accuracy)).chain([(1.0, 0.0)]).collect();
    let filled = bins.iter().filter(|b| b.count > 0).map(|b| (b.confidence, b.accuracy)).collect();
    Picture {
        title: "Reliability diagram".into(),
        x: Axis::new("confidence").within(0.0, 1.0).including(0.0),
        y: Axis::new("share that is right").within(0.0, 1.0).including(1.0),
        layers: vec![
            Layer::new("right", Mark::Bars, 1, bars),
            Layer::new("earned", Mark::Dashed, 0, vec![(0.0, 0.0), (1.0, 1.0)]),
            Layer::new("bins", Mark::Dots, 3, filled),
        ],
        marks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `diagnostics.md`, H8.
    #[test]
    fn the_specifications_numbers() {
        let sure = [(0.95, true), (0.85, true), (0.65, false), (0.75, true), (0.55, false), (0.92, false)];
        let (ece, mce) = errors(&bins(&sure, 10), sure.len());
        assert!((ece - 0.411_666_67).abs() < 1e-8 && (mce - 0.65).abs() < 1e-12, "{ece} {mce}");
        let p = [vec![0.7f64, 0.2, 0.1], vec![0.3, 0.4, 0.3]];
        let nll = -(p[0][0].ln() + p[1][2].ln()) / 2.0;
        let score = (brier(&p[0], 0) + brier(&p[1], 2)) / 2.0;
        assert!((nll - 0.780_323_87).abs() < 1e-8 && (score - 0.44).abs() < 1e-12, "{nll} {score}");
    }

    #[test]
    fn equal_mass_bins_of_perfect_confidence_have_no_error() {
        assert_eq!(equal_mass(&[(1.0, true); 40], 4), 0.0);
        assert!((equal_mass(&[(0.8, true), (0.6, false)], 1) - 0.2).abs() < 1e-12);
    }
}
