//! Layer normalisation over the last dimension.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{each, lanes};
use crate::cuda::{Grid, arguments};
use crate::{Device, Tensor};

/// What a normalisation's backward needs.
#[derive(Clone, Debug)]
pub struct Normalised {
    /// The normalised input, before scale and shift; same shape as the input.
    pub xhat: Tensor,
    /// One over the standard deviation of each normalised piece.
    pub rstd: Tensor,
}

/// `gamma xhat + beta` with `xhat = (x - mean) / sqrt(variance + eps)` over the last dimension `d` of `x` `[.., d]`.
///
/// # Panics
/// If `gamma` or `beta` is not `[d]`.
#[must_use]
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f32) -> (Tensor, Normalised) {
    let d = x.last();
    assert!(gamma.shape() == [d] && beta.shape() == [d], "layer_norm: input {x:?}, scale {gamma:?}, shift {beta:?}");
    let (mut y, mut kept) = unfilled(x);
    if let Some(gpu) = x.gpu() {
        let list = arguments![x, gamma, beta, eps, &y, &kept.xhat, &kept.rstd, kept.rstd.len(), d];
        gpu.launch("layer_norm_forward", warps(kept.rstd.len()), list);
        return (y, kept);
    }
    if x.is_empty() {
        kept.rstd.data_mut().fill(0.0);
        return (y, kept);
    }
    let rows = each::rows_at_least(d);
    let outputs = y.data_mut().par_chunks_mut(rows * d).zip(kept.xhat.data_mut().par_chunks_mut(rows * d));
    let inputs = x.data().par_chunks(rows * d).zip(kept.rstd.data_mut().par_chunks_mut(rows));
    outputs.zip(inputs).for_each(|((y, xhat), (x, rstd))| {
        let outputs = y.chunks_exact_mut(d).zip(xhat.chunks_exact_mut(d));
        outputs.zip(x.chunks_exact(d).zip(rstd)).for_each(|((y, xhat), (x, rstd))| {
            *rstd = normalise(x, eps, xhat);
            affine(xhat, gamma.data(), beta.data(), y);
        });
    });
    (y, kept)
}

/// The input gradient `rstd (g - mean(g) - xhat mean(g xhat))` with `g = gamma dy`.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn layer_norm_backward(dy: &Tensor, gamma: &Tensor, kept: &Normalised) -> Tensor {
    let d = dy.last();
    assert!(dy.shape() == kept.xhat.shape() && gamma.shape() == [d], "layer_norm: gradient {dy:?}, kept {kept:?}");
    if let Some(gpu) = dy.gpu() {
        let dx = Tensor::unfilled_on(dy.device(), dy.shape());
        let list = arguments![dy, gamma, &kept.xhat, &kept.rstd, &dx, kept.rstd.len(), d];
        gpu.launch("layer_norm_backward", warps(kept.rstd.len()), list);
        return dx;
    }
    let mut dx = Tensor::unfilled(dy.shape());
    if dx.is_empty() {
        return dx;
    }
    let rows = each::rows_at_least(d);
    let inputs = kept.xhat.data().par_chunks(rows * d).zip(kept.rstd.data().par_chunks(rows));
    let outputs = dx.data_mut().par_chunks_mut(rows * d).zip(dy.data().par_chunks(rows * d));
    outputs.zip(inputs).for_each(|((dx, dy), (xhat, rstd))| {
        let outputs = dx.chunks_exact_mut(d).zip(dy.chunks_exact(d));
        for ((dx, dy), (xhat, &rstd)) in outputs.zip(xhat.chunks_exact(d).zip(rstd)) {
            scale(dx, dy, gamma.data());
            centre(dx, xhat, rstd);
        }
    });
    dx
}

/// Every example's own gradients of scale and shift, each `[n, d]`: sums over the positions of `dy xhat` and of `dy`
/// (both `[n, .., d]`).
///
/// # Panics
/// If the shapes differ or have fewer than two dimensions.
#[must_use]
pub fn layer_norm_rows(dy: &Tensor, xhat: &Tensor) -> (Tensor, Tensor) {
    assert!(dy.shape() == xhat.shape() && dy.shape().len() >= 2, "layer_norm rows: gradient {dy:?}, input {xhat:?}");
    let (n, d) = (dy.rows(), dy.last());
    if dy.gpu().is_some() {
        return column_sums(dy, Some(xhat));
    }
    let (mut gamma, mut beta) = (Tensor::zeros([n, d]), Tensor::zeros([n, d]));
    let len = dy.row_len();
    if len == 0 {
        return (gamma, beta);
    }
    let outputs = gamma.data_mut().par_chunks_mut(d).zip(beta.data_mut().par_chunks_mut(d));
    outputs.zip(dy.data().par_chunks(len).zip(xhat.data().par_chunks(len))).for_each(|((gamma, beta), (dy, xhat))| {
        add_products(gamma, dy, xhat);
        add_rows(beta, dy);
    });
    (gamma, beta)
}

/// Room for the output and for what is kept, for a normalisation of the last dimension.
pub(super) fn unfilled(x: &Tensor) -> (Tensor, Normalised) {
    let leading = &x.shape()[..x.shape().len().saturating_sub(1)];
    let new = |shape: &[usize]| Tensor::unfilled_on(x.device(), shape);
    (new(x.shape()), Normalised { xhat: new(x.shape()), rstd: new(leading) })
}

/// A warp for each of `rows`.
pub(super) fn warps(rows: usize) -> Grid {
    Grid::blocks(rows.div_ceil(8), 1, 256)
}

/// On a GPU: sums over positions of `dy xhat` (empty without `xhat`) and of `dy` `[n, .., d]`, each `[n, d]`.
pub(super) fn column_sums(dy: &Tensor, xhat: Option<&Tensor>) -> (Tensor, Tensor) {
    let (n, d) = (dy.rows(), dy.last());
    let new = |wanted: bool| Tensor::unfilled_on(dy.device(), if wanted { [n, d] } else { [0, d] });
    let (scale, shift) = (new(xhat.is_some()), new(true));
    if let Device::Cuda(gpu) = dy.device() {
        let list = arguments![dy, xhat, xhat.map(|_| &scale), &shift, dy.row_len().checked_div(d).unwrap_or(0), d];
        gpu.launch("column_sums", Grid::blocks(n, d.div_ceil(32), 256), list);
    }
    (scale, shift)
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn affine(xhat: &[f32], gamma: &[f32], beta: &[f32], y: &mut [f32]) {
    y.iter_mut().zip(xhat).zip(gamma.iter().zip(beta)).for_each(|((y, x), (g, b))| *y = x * g + b);
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn scale(g: &mut [f32], dy: &[f32], gamma: &[f32]) {
    g.iter_mut().zip(dy.iter().zip(gamma)).for_each(|(g, (dy, gamma))| *g = dy * gamma);
}

/// Writes `(x - mean) / sqrt(variance + eps)` and returns `1 / sqrt(variance + eps)`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn normalise(x: &[f32], eps: f32, xhat: &mut [f32]) -> f32 {
    let len = x.len() as f32;
    let mean = lanes::sum(x, |x| x) / len;
    let variance = lanes::sum(x, |x| (x - mean) * (x - mean)) / len;
    let rstd = 1.0 / (variance + eps).sqrt();
    xhat.iter_mut().zip(x).for_each(|(h, x)| *h = (x - mean) * rstd);
    rstd
}

/// `g` becomes `rstd (g - mean(g) - xhat mean(g xhat))`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn centre(g: &mut [f32], xhat: &[f32], rstd: f32) {
    let len = g.len() as f32;
    let mean = lanes::sum(g, |g| g) / len;
    let slope = lanes::inner(g, xhat) / len;
    g.iter_mut().zip(xhat).for_each(|(g, x)| *g = rstd * (*g - mean - x * slope));
}

/// Adds the rows of `dy xhat`, each as long as `sum`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn add_products(sum: &mut [f32], dy: &[f32], xhat: &[f32]) {
    for (dy, xhat) in dy.chunks_exact(sum.len()).zip(xhat.chunks_exact(sum.len())) {
        sum.iter_mut().zip(dy.iter().zip(xhat)).for_each(|(sum, (dy, xhat))| *sum += dy * xhat);
    }
}

/// Adds the rows of `dy`, each as long as `sum`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn add_rows(sum: &mut [f32], dy: &[f32]) {
    dy.chunks_exact(sum.len()).for_each(|dy| sum.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy));
}
