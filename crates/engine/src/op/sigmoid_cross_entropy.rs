//! Sigmoid (binary) cross-entropy with soft targets.

use crate::Tensor;
use crate::cuda::{Grid, arguments};

/// Every row's own loss and gradient, the MEAN over its `k` outputs of `softplus(z) - t z`.
///
/// `logits` and `targets` (0 to 1) are `[n, k]`; nothing is averaged over rows. Stable for logits of any size.
///
/// # Panics
/// If the shapes differ or are not `[n, k]`.
#[must_use]
pub fn sigmoid_cross_entropy(logits: &Tensor, targets: &Tensor) -> (Tensor, Tensor) {
    let &[n, k] = logits.shape() else { panic!("sigmoid_cross_entropy: logits {logits:?} are not [n, k]") };
    assert!(targets.shape() == [n, k], "sigmoid_cross_entropy: logits {logits:?}, targets {targets:?}");
    if let Some(gpu) = logits.gpu() {
        let (logits, losses) = (logits.as_activations(), Tensor::unfilled_on(logits.device(), [n]));
        let gradient = Tensor::unfilled_as(logits.dtype(), logits.device(), [n, k]);
        let list = arguments![logits.at(), targets, &losses, gradient.at(), k];
        gpu.launch_as(logits.dtype(), "sigmoid_rows", Grid::blocks(n, 1, 128), list);
        return (losses, gradient);
    }
    let mut gradient = logits.clone();
    for (z, t) in gradient.data_mut().iter_mut().zip(targets.data()) {
        *z = (sigmoid(*z) - t) / k as f32;
    }
    let loss = |(&z, &t): (&f32, &f32)| f64::from(z.max(0.0) - t * z + (-z.abs()).exp().ln_1p() + 0.0 * z);
    let row = |i| logits.row(i).iter().zip(targets.row(i)).map(loss).sum::<f64>() / k as f64;
    (Tensor::new([n], (0..n).map(|i| row(i) as f32).collect()), gradient)
}

fn sigmoid(z: f32) -> f32 {
    let e = (-z.abs()).exp();
    if z < 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) }
}
