//! The loss on the straight line between two checkpoints, and the barrier between them.
//!
//! `clipping-02`, experiment E3 (a); `diagnostics.md`, H9: `barrier = max_t [L(t) - (1 - t) L(0) - t L(1)]` over `[0, 1]`.
use super::{Diagnostic, Finding, Scan, Scene};
use crate::{
    grads::Grads,
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::Sum;
use serde_json::json;

/// See the module.
pub struct Interpolation;

/// Points on the line, from half a length before the first to half a length beyond the second.
const POINTS: usize = 41;

impl Diagnostic for Interpolation {
    fn heading(&self) -> &'static str {
        "Between two checkpoints"
    }

    fn find(&self, scene: &Scene, _: &Scan) -> Option<Finding> {
        let (other, name) = scene.other.as_ref()?;
        let (from, to) = (other.point(), scene.weights.point());
        let line = line(&from, &to, |point| scene.loss_at(point));
        let losses: Vec<(f64, f64)> = line.iter().map(|(t, (loss, _))| (*t, *loss)).collect();
        let barrier = barrier(&losses);
        let distance = from.add_scaled(to, -1.0).norm();
        let points: Vec<_> =
            line.iter().map(|(t, (loss, right))| json!({ "t": t, "loss": loss, "accuracy": right })).collect();
        let picture = Picture {
            title: "Loss between two checkpoints".into(),
            x: Axis::new("0: the other, 1: this one"),
            y: Axis::new("loss").unit("nats"),
            layers: vec![Layer::new("loss", Mark::Joined, 1, losses)],
            marks: vec![(0.0, name.clone()), (1.0, "this checkpoint".into())],
        };
        Some(Finding {
            name: "interpolation",
            numbers: json!({ "from": name, "distance": distance, "barrier": barrier, "line": points }),
            words: vec![match barrier > 1e-3 {
                true => format!("On the line from {name} the loss rises {barrier:.3} nats above the chord: a barrier."),
                false => format!("There is no barrier between {name} and here, {distance:.2} apart."),
            }],
            pictures: vec![picture],
            table: None,
        })
    }
}

/// `f` along the line through `from` (0) and `to` (1).
pub fn line<T>(from: &Grads, to: &Grads, f: impl Fn(&Grads) -> T) -> Vec<(f64, T)> {
    let at = |k: usize| -0.5 + 2.0 * k as f64 / (POINTS - 1) as f64;
    (0..POINTS).map(at).map(|t| (t, f(&from.clone().scale(1.0 - t).add_scaled(to.clone(), t)))).collect()
}

/// The largest height of the losses over the chord between 0 and 1, at least 0; points outside do not count.
pub fn barrier(losses: &[(f64, f64)]) -> f64 {
    let inside: Vec<_> = losses.iter().filter(|(t, _)| (-1e-9..=1.0 + 1e-9).contains(t)).collect();
    let (Some(first), Some(last)) = (inside.first(), inside.last()) else { return 0.0 };
    let height = |(t, loss): &&(f64, f64)| loss - ((1.0 - t) * first.1 + t * last.1);
    inside.iter().map(height).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `diagnostics.md`, H9.
    #[test]
    fn the_specifications_barrier() {
        let losses = [0.5, 0.8, 1.1, 0.9, 0.4].iter().enumerate().map(|(k, l)| (k as f64 / 4.0, *l));
        assert!((barrier(&losses.collect::<Vec<_>>()) - 0.65).abs() < 1e-12);
        assert_eq!(barrier(&[]), 0.0);
    }
}
