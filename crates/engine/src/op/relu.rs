//! Rectified linear unit.

use multiversion::multiversion;

use super::each;
use crate::Tensor;

/// `max(x, 0)`, in place; NaN stays NaN.
#[must_use]
pub fn relu(x: Tensor) -> Tensor {
    each::map_in_place(x, "relu_forward").unwrap_or_else(|mut x| {
        each::change(x.data_mut(), forward);
        x
    })
}

/// The input gradient, in the storage of `dy`: `dy` where the output `y` is positive (NaN where `y` is), else 0.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn relu_backward(y: &Tensor, dy: Tensor) -> Tensor {
    assert!(y.shape() == dy.shape(), "relu: output {y:?}, gradient {dy:?}");
    each::zip_in_place(y, dy, "relu_backward").unwrap_or_else(|mut dy| {
        each::change_by(dy.data_mut(), y.data(), backward);
        dy
    })
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = if *x < 0.0 { 0.0 } else { *x });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn backward(dy: &mut [f32], y: &[f32]) {
    dy.iter_mut().zip(y).for_each(|(dy, &y)| *dy = if y <= 0.0 { 0.0 } else { *dy });
}
