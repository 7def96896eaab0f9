//! The disparity of Chen, Wu, Hong 2020: how far asymmetry of the gradients holds clipped descent back.
//!
//! `clipping-01`, section 3: for the symmetrised law clipped descent makes at least `|v| min(|v|, 3c/4) P(|xi| < c/4)`
//! progress; the true law differs from it by `b`, and `|b| <= W`. Only a negative `b` hurts.
use super::{
    Diagnostic, Finding, Scan, Scene,
    clipped::{Disparity, disparity},
};
use crate::report::plot::{Axis, Layer, Mark, Picture};
use serde_json::json;

/// See the module.
pub struct Bias;

impl Diagnostic for Bias {
    fn heading(&self) -> &'static str {
        "Bias from asymmetry"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        let v = scan.mean_norm();
        let at = |c: f64| disparity(&scan.norms, &scan.dots, v, c);
        let now = at(scene.setting.bound);
        let curve: Vec<Disparity> = scan.thresholds.iter().map(|t| at(t.c)).collect();
        Some(Finding {
            name: "bias",
            numbers: json!({
                "at_bound": now, "relative": relative(&now), "curve": curve, "mean_gradient_norm": v,
                "inner_product_of_gradient_with_clipped_mean": now.clipped,
            }),
            words: words(&now),
            pictures: vec![relative_curve(&curve, now.c), progress(&curve, v, now.c)],
            table: None,
        })
    }
}

/// `b` over the progress that the symmetrised law would make.
fn relative(d: &Disparity) -> f64 {
    2.0 * d.b / (d.clipped + d.reflected)
}

fn words(d: &Disparity) -> Vec<String> {
    let share = 100.0 * relative(d);
    let surely = d.b.abs() > 2.0 * d.error;
    let first = match (surely, d.b < 0.0) {
        (false, _) => format!(
            "Asymmetry of the gradients makes no difference that could be seen: b = {:.2e}, standard error {:.1e}.",
            d.b, d.error
        ),
        (true, true) if d.clipped < 0.0 => format!(
            "Asymmetry of the gradients turns clipped descent round: it loses {:.1} % of what a symmetric law would gain.",
            -share
        ),
        (true, true) => format!(
            "Asymmetry of the gradients slows clipped descent by {:.1} % of what a symmetric law would make.",
            -share
        ),
        (true, false) => format!(
            "Asymmetry of the gradients speeds clipped descent up by {share:.1} % of what a symmetric law would make."
        ),
    };
    vec![
        first,
        format!("b = {:.3e} and its bound W = {:.3e}, where <v, clipped mean> = {:.3e}.", d.b, d.w, d.clipped),
        theorem(d),
    ]
}

/// What the theorem says, beside what is measured.
fn theorem(d: &Disparity) -> String {
    let close = format!("{:.1} % of gradients lie within C/4 of the mean", 100.0 * d.close);
    match (d.close > 0.0, d.clipped > 0.0) {
        (true, true) => format!(
            "{close}: were gradients symmetric, the theorem would guarantee {:.1} % of the measured progress.",
            100.0 * d.guaranteed / d.clipped
        ),
        (true, false) => {
            format!("{close}: were gradients symmetric, the theorem would guarantee progress. There is none.")
        }
        (false, true) => {
            "No gradient lies within C/4 of the mean, so the theorem's guarantee is empty here; the measured \
                          progress is not."
                .into()
        }
        (false, false) => {
            "No gradient lies within C/4 of the mean, so the theorem's guarantee is empty here, and there is no \
                           progress."
                .into()
        }
    }
}

fn relative_curve(curve: &[Disparity], now: f64) -> Picture {
    let scale = |d: &Disparity, x: f64| 200.0 * x / (d.clipped + d.reflected);
    let line = |f: fn(&Disparity) -> f64| curve.iter().map(|d| (d.c, scale(d, f(d)))).collect::<Vec<_>>();
    Picture {
        title: "Disparity against the threshold".into(),
        x: Axis::new("threshold c").log(),
        y: Axis::new("relative to symmetric").unit("%").including(0.0),
        layers: vec![
            Layer::new("b", Mark::Joined, 1, line(|d| d.b)),
            Layer::new("± 2 s.e.", Mark::Dashed, 1, line(|d| d.b + 2.0 * d.error)),
            Layer::new("", Mark::Dashed, 1, line(|d| d.b - 2.0 * d.error)),
            Layer::new("−W", Mark::Line, 3, line(|d| -d.w)),
        ],
        marks: vec![(now, format!("bound {now:.3}"))],
    }
}

fn progress(curve: &[Disparity], v: f64, now: f64) -> Picture {
    let line = |f: fn(&Disparity) -> f64| curve.iter().map(|d| (d.c, f(d) / (v * v))).collect::<Vec<_>>();
    Picture {
        title: "Progress against the threshold".into(),
        x: Axis::new("threshold c").log(),
        y: Axis::new("progress / |v|²").including(0.0),
        layers: vec![
            Layer::new("measured", Mark::Line, 1, line(|d| d.clipped)),
            Layer::new("reflected", Mark::Dashed, 2, line(|d| d.reflected)),
            Layer::new("theorem", Mark::Joined, 3, line(|d| d.guaranteed)),
        ],
        marks: vec![(now, format!("bound {now:.3}"))],
    }
}
