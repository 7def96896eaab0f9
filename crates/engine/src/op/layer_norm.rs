//! Layer normalisation over the last dimension.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{add, each, lanes};
use crate::cuda::{Grid, arguments};
use crate::{Device, Dtype, Gpu, Tensor};

/// The longest row that a warp holds in its registers.
const MOST_HELD: usize = 2048;

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
    if let Some(gpu) = x.gpu() {
        return normalised_on(gpu, x, gamma, Some(beta), eps);
    }
    let (mut y, mut kept) = unfilled(x);
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
        return back_on(gpu, dy, gamma, kept, true, None);
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

/// As [`layer_norm_backward`], added to `sum`: in the same pass on a GPU.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn layer_norm_backward_onto(dy: &Tensor, gamma: &Tensor, kept: &Normalised, sum: &Tensor) -> Tensor {
    match dy.gpu() {
        Some(gpu) => back_on(gpu, dy, gamma, kept, true, Some(sum)),
        None => add(layer_norm_backward(dy, gamma, kept), sum),
    }
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
    let new = || Tensor::unfilled_as(x.dtype(), x.device(), x.shape());
    (new(), Normalised { xhat: new(), rstd: Tensor::unfilled_on(x.device(), leading) })
}

/// [`layer_norm`] on a GPU, and without a shift [`super::rms_norm`].
pub(super) fn normalised_on(
    gpu: &'static Gpu,
    x: &Tensor,
    gamma: &Tensor,
    beta: Option<&Tensor>,
    eps: f32,
) -> (Tensor, Normalised) {
    let (x, d) = (x.as_activations(), x.last());
    let (y, kept) = unfilled(&x);
    let (dtype, rows) = (x.dtype(), kept.rstd.len());
    if let Some(held) = held(d, &[Some(gamma), beta]) {
        let list = arguments![x.at(), gamma, beta, eps, y.at(), kept.xhat.at(), &kept.rstd, rows, d];
        gpu.launch_variant("norm_held", &held.defines(dtype), warps(rows), list);
    } else if let Some(beta) = beta {
        let list = arguments![x.at(), gamma, beta, eps, y.at(), kept.xhat.at(), &kept.rstd, rows, d];
        gpu.launch_as(dtype, "layer_norm_forward", warps(rows), list);
    } else {
        let list = arguments![x.at(), gamma, eps, y.at(), kept.xhat.at(), &kept.rstd, rows, d];
        gpu.launch_as(dtype, "rms_norm_forward", warps(rows), list);
    }
    (y, kept)
}

/// [`layer_norm_backward`] on a GPU, and [`super::rms_norm_backward`], which is not `centred`; added to `sum`.
pub(super) fn back_on(
    gpu: &'static Gpu,
    dy: &Tensor,
    gamma: &Tensor,
    kept: &Normalised,
    centred: bool,
    sum: Option<&Tensor>,
) -> Tensor {
    let fits = dy.shape() == kept.xhat.shape() && gamma.shape() == [dy.last()];
    assert!(
        fits && sum.is_none_or(|sum| sum.shape() == dy.shape()),
        "norm: gradient {dy:?}, kept {kept:?}, sum {sum:?}"
    );
    let (dtype, rows, d) = (kept.xhat.dtype(), kept.rstd.len(), dy.last());
    let (dy, dx) = (dy.as_dtype(dtype), Tensor::unfilled_as(dtype, dy.device(), dy.shape()));
    if let Some(held) = held(d, &[Some(gamma)]) {
        let sum = sum.map(|sum| sum.as_dtype(dtype));
        let before = sum.as_ref().map_or(0, Tensor::at);
        let list = arguments![dy.at(), gamma, kept.xhat.at(), &kept.rstd, before, dx.at(), rows, d, centred];
        gpu.launch_variant("norm_held_backward", &held.defines(dtype), warps(rows), list);
        return dx;
    }
    let kernel = if centred { "layer_norm_backward" } else { "rms_norm_backward" };
    gpu.launch_as(dtype, kernel, warps(rows), arguments![dy.at(), gamma, kept.xhat.at(), &kept.rstd, dx.at(), rows, d]);
    sum.into_iter().fold(dx, add)
}

/// Kernels that hold rows in a warp's registers: how many fours of numbers a lane holds.
pub(super) struct Held(pub(super) usize);

impl Held {
    pub(super) fn defines(&self, dtype: Dtype) -> String {
        format!("FOURS={} {}", self.0, dtype.define())
    }
}

/// Whether rows of `d` are held, beside parameters that are read four at a time.
fn held(d: usize, parameters: &[Option<&Tensor>]) -> Option<Held> {
    let aligned = parameters.iter().flatten().all(|of| of.address().is_multiple_of(16));
    (aligned && d.is_multiple_of(4) && (4..=MOST_HELD).contains(&d)).then(|| Held(d.div_ceil(128)))
}

/// Blocks for sums over the positions of `n` examples, of `d` columns (`columns.cuh`).
pub(super) fn columns(dtype: Dtype, n: usize, d: usize) -> Grid {
    Grid::blocks(n, d.div_ceil(128 / dtype.bytes()), 512)
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
        let (dtype, dy, xhat) = alike(dy, xhat);
        let (at, wanted, t) =
            (xhat.as_ref().map_or(0, Tensor::at), xhat.as_ref().map(|_| &scale), dy.row_len().checked_div(d));
        let list = arguments![dy.at(), at, wanted, &shift, t.unwrap_or(0), d];
        gpu.launch_as(dtype, "column_sums", columns(dtype, n, d), list);
    }
    (scale, shift)
}

/// A gradient and what it is multiplied with, both as the latter is stored.
pub(super) fn alike(dy: &Tensor, xhat: Option<&Tensor>) -> (Dtype, Tensor, Option<Tensor>) {
    let dtype = xhat.unwrap_or(dy).dtype();
    (dtype, dy.as_dtype(dtype), xhat.map(|xhat| xhat.as_dtype(dtype)))
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
