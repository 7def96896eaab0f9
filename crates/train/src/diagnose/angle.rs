//! Directions: single gradients against their mean, and the clipped mean against the true one.
use super::{
    Diagnostic, Finding, Scan, Scene,
    statistics::{histogram, mean, share},
};
use crate::report::plot::{Axis, Layer, Mark, Picture};
use serde_json::json;

/// See the module.
pub struct Angle;

impl Diagnostic for Angle {
    fn heading(&self) -> &'static str {
        "Angles"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        let (v, n) = (scan.mean_norm(), scan.len() as f64);
        let pairs = || scan.norms.iter().zip(&scan.dots).filter(|(norm, _)| **norm > 0.0);
        let cosines: Vec<f64> = pairs().map(|(norm, dot)| dot / (norm * v)).collect();
        // Each example is part of the mean: leaving it out removes that part of the cosine that comes from itself.
        let others: Vec<f64> = pairs().map(|(norm, dot)| dot - norm * norm / n).collect();
        let positive = share(&cosines, |x| x > 0.0);
        let rule = scan.rules.first()?;
        let cosine = rule.dot / (rule.square.sqrt() * v);
        let degrees = cosine.clamp(-1.0, 1.0).acos().to_degrees();
        Some(Finding {
            name: "angle",
            numbers: json!({
                "mean_gradient_norm": v, "mean_cosine": mean(&cosines), "share_positive": positive,
                "share_positive_leaving_itself_out": share(&others, |x| x > 0.0),
                "cosine_of_clipped_mean_with_mean": cosine, "degrees": degrees, "rule": rule.name,
            }),
            words: vec![
                format!(
                    "The mean of what examples contribute under {} points {degrees:.1} degrees away from the true mean.",
                    rule.name
                ),
                format!(
                    "{:.0} % of examples have a gradient that agrees in direction with the mean of all (cosine above 0).",
                    100.0 * positive
                ),
            ],
            pictures: vec![cosine_histogram(&cosines), by_threshold(scan, v, scene.setting.bound)],
            table: None,
        })
    }
}

fn cosine_histogram(cosines: &[f64]) -> Picture {
    let bars = histogram(cosines, 40, false).into_iter().map(|(x, y)| (x, 100.0 * y)).collect();
    Picture {
        title: "Cosine with the mean gradient".into(),
        x: Axis::new("cosine of an example with the mean").within(-1.0, 1.0),
        y: Axis::new("examples").unit("%").including(0.0),
        layers: vec![Layer::new("cosines", Mark::Bars, 1, bars)],
        marks: vec![(mean(cosines), format!("mean {:.3}", mean(cosines)))],
    }
}

fn by_threshold(scan: &Scan, v: f64, bound: f64) -> Picture {
    let degrees = |t: &super::Threshold| (t.dot / (t.square.sqrt() * v)).clamp(-1.0, 1.0).acos().to_degrees();
    let points = scan.thresholds.iter().map(|t| (t.c, degrees(t))).collect();
    Picture {
        title: "Clipped mean against the true mean".into(),
        x: Axis::new("threshold of flat clipping").log(),
        y: Axis::new("angle").unit("degrees").including(0.0).within(0.0, 180.0),
        layers: vec![Layer::new("angle", Mark::Joined, 1, points)],
        marks: vec![(bound, format!("bound {bound:.3}"))],
    }
}
