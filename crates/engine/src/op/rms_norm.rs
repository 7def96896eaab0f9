//! Root mean square normalisation over the last dimension (Zhang & Sennrich 2019, arXiv 1910.07467).

use multiversion::multiversion;
use rayon::prelude::*;

use super::layer_norm::{Normalised, add_products, back_on, column_sums, normalised_on, unfilled};
use super::{add, each, lanes};
use crate::Tensor;

/// `gamma xhat` with `xhat = x rstd`, `rstd = 1 / sqrt(mean(x^2) + eps)` over the last dimension `d` of `x` `[.., d]`.
/// PyTorch's `RMSNorm`.
///
/// # Panics
/// If `gamma` is not `[d]`.
#[must_use]
pub fn rms_norm(x: &Tensor, gamma: &Tensor, eps: f32) -> (Tensor, Normalised) {
    let d = x.last();
    assert!(gamma.shape() == [d], "rms_norm: input {x:?}, scale {gamma:?}");
    if let Some(gpu) = x.gpu() {
        return normalised_on(gpu, x, gamma, None, eps);
    }
    let (mut y, mut kept) = unfilled(x);
    if x.is_empty() {
        kept.rstd.data_mut().fill(0.0);
        return (y, kept);
    }
    let rows = each::rows_at_least(d);
    let outputs = y.data_mut().par_chunks_mut(rows * d).zip(kept.xhat.data_mut().par_chunks_mut(rows * d));
    let inputs = x.data().par_chunks(rows * d).zip(kept.rstd.data_mut().par_chunks_mut(rows));
    outputs.zip(inputs).for_each(|((y, xhat), (x, rstd))| forward(x, gamma.data(), eps, y, xhat, rstd));
    (y, kept)
}

/// The input gradient `rstd (g - xhat mean(g xhat))` with `g = gamma dy`.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn rms_norm_backward(dy: &Tensor, gamma: &Tensor, kept: &Normalised) -> Tensor {
    let d = dy.last();
    assert!(dy.shape() == kept.xhat.shape() && gamma.shape() == [d], "rms_norm: gradient {dy:?}, kept {kept:?}");
    if let Some(gpu) = dy.gpu() {
        return back_on(gpu, dy, gamma, kept, false, None);
    }
    let mut dx = Tensor::unfilled(dy.shape());
    if dx.is_empty() {
        return dx;
    }
    let rows = each::rows_at_least(d);
    let inputs = kept.xhat.data().par_chunks(rows * d).zip(kept.rstd.data().par_chunks(rows));
    let outputs = dx.data_mut().par_chunks_mut(rows * d).zip(dy.data().par_chunks(rows * d));
    outputs.zip(inputs).for_each(|((dx, dy), (xhat, rstd))| backward(dy, gamma.data(), xhat, rstd, dx));
    dx
}

/// As [`rms_norm_backward`], added to `sum`: in the same pass on a GPU.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn rms_norm_backward_onto(dy: &Tensor, gamma: &Tensor, kept: &Normalised, sum: &Tensor) -> Tensor {
    match dy.gpu() {
        Some(gpu) => back_on(gpu, dy, gamma, kept, false, Some(sum)),
        None => add(rms_norm_backward(dy, gamma, kept), sum),
    }
}

/// Every example's own gradient of the scale, `[n, d]`: the sum over the positions of `dy xhat` (both `[n, .., d]`).
///
/// # Panics
/// If the shapes differ or have fewer than two dimensions.
#[must_use]
pub fn rms_norm_rows(dy: &Tensor, xhat: &Tensor) -> Tensor {
    assert!(dy.shape() == xhat.shape() && dy.shape().len() >= 2, "rms_norm rows: gradient {dy:?}, input {xhat:?}");
    let (len, d) = (dy.row_len(), dy.last());
    if dy.gpu().is_some() {
        return column_sums(dy, Some(xhat)).0;
    }
    let mut gamma = Tensor::zeros([dy.rows(), d]);
    if len > 0 {
        let inputs = dy.data().par_chunks(len).zip(xhat.data().par_chunks(len));
        gamma.data_mut().par_chunks_mut(d).zip(inputs).for_each(|(gamma, (dy, xhat))| add_products(gamma, dy, xhat));
    }
    gamma
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward(x: &[f32], gamma: &[f32], eps: f32, y: &mut [f32], xhat: &mut [f32], rstd: &mut [f32]) {
    let d = gamma.len();
    let outputs = y.chunks_exact_mut(d).zip(xhat.chunks_exact_mut(d)).zip(rstd);
    for (((y, xhat), rstd), x) in outputs.zip(x.chunks_exact(d)) {
        let scale = 1.0 / (lanes::sum(x, |x| x * x) / d as f32 + eps).sqrt();
        let each = y.iter_mut().zip(xhat).zip(x.iter().zip(gamma));
        each.for_each(|((y, h), (x, g))| {
            *h = x * scale;
            *y = *h * g;
        });
        *rstd = scale;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward(dy: &[f32], gamma: &[f32], xhat: &[f32], rstd: &[f32], dx: &mut [f32]) {
    let d = gamma.len();
    let inputs = dy.chunks_exact(d).zip(xhat.chunks_exact(d)).zip(rstd);
    for (dx, ((dy, xhat), rstd)) in dx.chunks_exact_mut(d).zip(inputs) {
        dx.iter_mut().zip(dy.iter().zip(gamma)).for_each(|(g, (dy, gamma))| *g = dy * gamma);
        let slope = lanes::inner(dx, xhat) / d as f32;
        dx.iter_mut().zip(xhat).for_each(|(g, x)| *g = rstd * (*g - x * slope));
    }
}
