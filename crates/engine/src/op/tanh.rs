//! Hyperbolic tangent.

use multiversion::multiversion;

use super::each;
use crate::{Tensor, math};

/// `tanh(x)`, in place; relative error below 3e-7.
#[must_use]
pub fn tanh(x: Tensor) -> Tensor {
    each::map_in_place(x, "tanh_forward").unwrap_or_else(|mut x| {
        each::change(x.data_mut(), forward);
        x
    })
}

/// The input gradient, in the storage of `dy`: `dy (1 - y^2)` for the output `y`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn tanh_backward(y: &Tensor, dy: Tensor) -> Tensor {
    assert!(y.shape() == dy.shape(), "tanh: output {y:?}, gradient {dy:?}");
    each::zip_in_place(y, dy, "tanh_backward").unwrap_or_else(|mut dy| {
        each::change_by(dy.data_mut(), y.data(), backward);
        dy
    })
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = math::tanh(*x));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn backward(dy: &mut [f32], y: &[f32]) {
    dy.iter_mut().zip(y).for_each(|(dy, y)| *dy *= 1.0 - y * y);
}
