//! Mean squared error.

use crate::Tensor;
use crate::cuda::{Grid, arguments};

/// Every row's own loss and gradient, the MEAN over its `k` outputs of `(y - t)^2`.
///
/// `outputs` and `targets` are `[n, k]`; nothing is averaged over rows.
///
/// # Panics
/// If the shapes differ or are not `[n, k]`.
#[must_use]
pub fn mean_squared_error(outputs: &Tensor, targets: &Tensor) -> (Tensor, Tensor) {
    let &[n, k] = outputs.shape() else { panic!("mean_squared_error: outputs {outputs:?} are not [n, k]") };
    assert!(targets.shape() == [n, k], "mean_squared_error: outputs {outputs:?}, targets {targets:?}");
    if let Some(gpu) = outputs.gpu() {
        let (outputs, losses) = (outputs.as_activations(), Tensor::unfilled_on(outputs.device(), [n]));
        let gradient = Tensor::unfilled_as(outputs.dtype(), outputs.device(), [n, k]);
        let list = arguments![outputs.at(), targets, &losses, gradient.at(), k];
        gpu.launch_as(outputs.dtype(), "squared_error_rows", Grid::blocks(n, 1, 128), list);
        return (losses, gradient);
    }
    let mut gradient = outputs.clone();
    gradient.data_mut().iter_mut().zip(targets.data()).for_each(|(y, t)| *y = 2.0 * (*y - t) / k as f32);
    let square = |(y, t): (&f32, &f32)| f64::from(y - t) * f64::from(y - t);
    let row = |i| outputs.row(i).iter().zip(targets.row(i)).map(square).sum::<f64>() / k as f64;
    (Tensor::new([n], (0..n).map(|i| row(i) as f32).collect()), gradient)
}
