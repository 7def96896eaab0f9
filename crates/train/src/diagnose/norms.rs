//! Norms of per-example gradients: how long, how many are clipped, and what each rule makes of them.
use super::{
    Diagnostic, Finding, Scan, Scene,
    clipped::shrink,
    ruled::Ruled,
    statistics::{histogram, mean, quantile, share, sorted},
};
use crate::report::plot::{Axis, Layer, Mark, Picture};
use serde_json::{Value, json};

/// See the module.
pub struct Norms;

const QUANTILES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

impl Diagnostic for Norms {
    fn heading(&self) -> &'static str {
        "Norms"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        let c = scene.setting.bound;
        let ascending = sorted(&scan.norms);
        let clipped = share(&scan.norms, |n| n > c);
        let median = quantile(&ascending, 0.5);
        let layers = scan.layers.iter().zip(&scan.layer_norms);
        let by_layer: Vec<Value> = layers.map(|(name, norms)| layer(name, norms, &scan.norms)).collect();
        let rules: Vec<Value> = scan.rules.iter().map(|rule| contribution(rule, scan)).collect();
        let words = vec![
            format!(
                "{:.0} % of examples are clipped: the bound is {c:.3}, the median norm {median:.3}.",
                100.0 * clipped
            ),
            format!(
                "Clipping keeps {:.0} % of the gradients' total length.",
                100.0 * mean(&scan.norms.iter().map(|n| n * shrink(*n, c)).collect::<Vec<_>>()) / mean(&scan.norms)
            ),
        ];
        Some(Finding {
            name: "norms",
            numbers: json!({
                "examples": scan.len(), "left_out_as_not_finite": scan.lost, "bound": c, "share_clipped": clipped,
                "whole": numbers(&scan.norms), "layers": by_layer, "rules": rules, "rules_that_learn": scene.setting.learning,
            }),
            words,
            pictures: vec![histogram_of(scan, c), layers_of(scan), lengths(scan)],
            table: Some(super::ruled::table(&scan.rules, &scene.setting.learning, scan.mean_norm())),
        })
    }
}

fn numbers(norms: &[f64]) -> Value {
    let ascending = sorted(norms);
    let quantiles: Vec<Value> =
        QUANTILES.iter().map(|q| json!({ "at": q, "norm": quantile(&ascending, *q) })).collect();
    json!({ "mean": mean(norms), "largest": ascending.last(), "quantiles": quantiles })
}

fn layer(name: &str, norms: &[f64], whole: &[f64]) -> Value {
    let energy = |x: &[f64]| x.iter().map(|n| n * n).sum::<f64>();
    json!({ "layer": name, "share_of_energy": energy(norms) / energy(whole), "norms": numbers(norms) })
}

fn contribution(rule: &Ruled, scan: &Scan) -> Value {
    json!({
        "rule": rule.name, "bound": rule.bound, "mean_contribution_norm": rule.square.sqrt(),
        "root_mean_square_contribution": rule.second.sqrt(),
        "cosine_with_mean": rule.cosine(scan.mean_norm()),
    })
}

fn histogram_of(scan: &Scan, c: f64) -> Picture {
    let bars = histogram(&scan.norms, 40, true).into_iter().map(|(x, y)| (x, 100.0 * y)).collect();
    let median = quantile(&sorted(&scan.norms), 0.5);
    Picture {
        title: "Gradient norms".into(),
        x: Axis::new("norm of an example's gradient").log(),
        y: Axis::new("examples").unit("%").including(0.0),
        layers: vec![Layer::new("norms", Mark::Bars, 1, bars)],
        marks: vec![(c, format!("bound {c:.3}")), (median, format!("median {median:.3}"))],
    }
}

/// Distribution functions of the norms, by layer: the three that weigh most.
fn layers_of(scan: &Scan) -> Picture {
    let mut order: Vec<usize> = (0..scan.layers.len()).collect();
    let energy = |g: &usize| scan.layer_norms[*g].iter().map(|n| n * n).sum::<f64>();
    order.sort_by(|a, b| energy(b).total_cmp(&energy(a)));
    let looks = [Mark::Line, Mark::Dashed, Mark::Joined];
    let layer = |(k, g): (usize, &usize)| {
        let ascending = sorted(&scan.layer_norms[*g]);
        let points = (0..=24).map(|q| (quantile(&ascending, f64::from(q) / 24.0), 100.0 * f64::from(q) / 24.0));
        Layer::new(format!("layer {}", scan.layers[*g]), looks[k], k as u8 + 1, points.collect())
    };
    Picture {
        title: if scan.layers.len() > 3 { "Norms by layer, the three heaviest" } else { "Norms by layer" }.into(),
        x: Axis::new("norm of the layer's part").log(),
        y: Axis::new("examples at or below").unit("%").within(0.0, 100.0),
        layers: order.iter().take(3).enumerate().map(layer).collect(),
        marks: Vec::new(),
    }
}

/// How long a contribution is for a gradient of each norm: the first rules that see only the norm of the whole.
fn lengths(scan: &Scan) -> Picture {
    let looks = [(Mark::Line, 1), (Mark::Dashed, 2), (Mark::Joined, 3)];
    let drawn = scan.rules.iter().filter(|rule| !rule.lengths.is_empty());
    let layer =
        |(rule, (mark, tone)): (&Ruled, (Mark, u8))| Layer::new(rule.name.clone(), mark, tone, rule.lengths.clone());
    Picture {
        title: "What rules make of a norm".into(),
        x: Axis::new("norm before").log(),
        y: Axis::new("norm after").including(0.0),
        layers: drawn.zip(looks).map(layer).collect(),
        marks: Vec::new(),
    }
}
