//! Gaussian error linear unit, `x Phi(x)`, exact and in the tanh approximation.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use multiversion::multiversion;

use super::each;
use super::layer_norm::columns;
use crate::cuda::arguments;
use crate::{Tensor, math};

/// sqrt(2 / pi).
const SCALE: f32 = FRAC_2_SQRT_PI * FRAC_1_SQRT_2;
/// The cubic coefficient of the tanh form.
const CUBE: f32 = 0.044_715;

/// One form on blocks of numbers.
type Kernel = fn(&mut [f32], &[f32]);

/// Which form of the function (PyTorch's `approximate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Approximation {
    /// `x (1 + erf(x / sqrt 2)) / 2` (`"none"`).
    Erf,
    /// `x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2` (`"tanh"`).
    Tanh,
}

/// `gelu(x)` elementwise; the input stays, since the backward needs it.
#[must_use]
pub fn gelu(x: &Tensor, approximation: Approximation) -> Tensor {
    let (kernel, on_gpu): (Kernel, _) = match approximation {
        Approximation::Erf => (forward_erf, "gelu_erf_forward"),
        Approximation::Tanh => (forward_tanh, "gelu_tanh_forward"),
    };
    if let Some(y) = each::map(x, on_gpu) {
        return y;
    }
    let mut y = Tensor::unfilled(x.shape());
    each::change_by(y.data_mut(), x.data(), kernel);
    y
}

/// The input gradient, in the storage of `dy`: `dy gelu'(x)` for the input `x`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn gelu_backward(x: &Tensor, dy: Tensor, approximation: Approximation) -> Tensor {
    assert!(x.shape() == dy.shape(), "gelu: input {x:?}, gradient {dy:?}");
    let (kernel, on_gpu): (Kernel, _) = match approximation {
        Approximation::Erf => (backward_erf, "gelu_erf_backward"),
        Approximation::Tanh => (backward_tanh, "gelu_tanh_backward"),
    };
    each::zip_in_place(x, dy, on_gpu).unwrap_or_else(|mut dy| {
        each::change_by(dy.data_mut(), x.data(), kernel);
        dy
    })
}

/// As [`gelu_backward`] for `dy` `[n, t, d]`, and, where a GPU has them in the same pass, the sums of the result over positions,
/// `[n, d]`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn gelu_backward_sums(x: &Tensor, dy: Tensor, approximation: Approximation) -> (Tensor, Option<Tensor>) {
    let (dtype, shape) = (dy.dtype(), dy.shape().to_vec());
    let (Some(gpu), &[n, t, d]) = (dy.gpu(), &shape[..]) else { return (gelu_backward(x, dy, approximation), None) };
    if !d.is_multiple_of(16 / dtype.bytes()) {
        return (gelu_backward(x, dy, approximation), None);
    }
    assert!(x.shape() == dy.shape(), "gelu: input {x:?}, gradient {dy:?}");
    let kernel = match approximation {
        Approximation::Erf => "gelu_erf_backward_sums",
        Approximation::Tanh => "gelu_tanh_backward_sums",
    };
    let (x, sums) = (x.as_dtype(dtype), Tensor::unfilled_on(dy.device(), [n, d]));
    let (from, dx) = dy.in_place();
    gpu.launch_as(dtype, kernel, columns(dtype, n, d), arguments![x.at(), from, dx.at(), &sums, t, d]);
    (dx, Some(sums))
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward_erf(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = 0.5 * x * (1.0 + math::erf(x * FRAC_1_SQRT_2)));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward_erf(dy: &mut [f32], x: &[f32]) {
    dy.iter_mut().zip(x).for_each(|(dy, &x)| {
        let density = 0.5 * SCALE * math::exp(-0.5 * x * x);
        // Beyond 20 the density is 0, but 0 times infinity would not be.
        let slope = if x.abs() > 20.0 { 0.0 } else { x * density };
        *dy *= 0.5 * (1.0 + math::erf(x * FRAC_1_SQRT_2)) + slope;
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward_tanh(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = 0.5 * x * (1.0 + math::tanh(SCALE * (x + CUBE * x * x * x))));
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward_tanh(dy: &mut [f32], x: &[f32]) {
    dy.iter_mut().zip(x).for_each(|(dy, &x)| {
        let t = math::tanh(SCALE * (x + CUBE * x * x * x));
        let slope = 0.5 * x * (1.0 - t * t) * SCALE * (1.0 + 3.0 * CUBE * x * x);
        *dy *= 0.5 * (1.0 + t) + if x.abs() > 20.0 { 0.0 } else { slope };
    });
}
