//! Weight standardisation: each output's weights are centred and scaled before they are used.
//!
//! Qiao et al. 2019 (arXiv 1903.10520), in the scaled form of Brock et al. 2021 (arXiv 2101.08692) that De et al. 2022
//! (arXiv 2204.13650) train privately.

use multiversion::multiversion;
use rayon::prelude::*;

use super::lanes;
use super::layer_norm::Normalised;
use crate::Tensor;
use crate::cuda::{Grid, arguments};

/// `gain_o (w - mean) / sqrt(max(var * fan_in, eps))` for each output row `o` of `w` `[o, ..]`, whose `fan_in` elements
/// have this mean and (biased) variance; shaped like `w`. `gain` is `[o]`.
///
/// The kept `xhat` is the result before the gain, the kept `rstd` `[o]` is one over the square root.
///
/// # Panics
/// If `w` has no dimension or `gain` is not `[o]`.
#[must_use]
pub fn standardise(w: &Tensor, gain: &Tensor, eps: f32) -> (Tensor, Normalised) {
    let o = w.rows();
    assert!(!w.shape().is_empty() && gain.shape() == [o], "standardise: weight {w:?}, gain {gain:?}");
    let new = |shape: &[usize]| Tensor::unfilled_on(w.device(), shape);
    let mut scaled = new(w.shape());
    let mut kept = Normalised { xhat: new(w.shape()), rstd: Tensor::zeros_on(w.device(), [o]) };
    if let Some(gpu) = w.gpu() {
        let list = arguments![w, gain, eps, &scaled, &kept.xhat, &kept.rstd, w.row_len()];
        gpu.launch("standardise_forward", Grid::blocks(if w.is_empty() { 0 } else { o }, 1, 128), list);
        return (scaled, kept);
    }
    if w.is_empty() {
        return (scaled, kept);
    }
    let len = w.row_len();
    let outputs = scaled.data_mut().par_chunks_mut(len).zip(kept.xhat.data_mut().par_chunks_mut(len));
    let inputs = w.data().par_chunks(len).zip(gain.data().par_iter().zip(kept.rstd.data_mut()));
    outputs.zip(inputs).for_each(|((y, xhat), (w, (&gain, rstd)))| *rstd = forward(w, gain, eps, y, xhat));
    (scaled, kept)
}

/// `g`, the gradient by the standardised weight `[o fan_in]`, becomes the gradient by `w`; the gradient by the gain is
/// returned, `[o]`. Both are linear in `g`, which may belong to one example or to a sum of them.
///
/// `gain`, `kept` and `eps` are those of [`standardise`].
///
/// # Panics
/// If `g` or `gain` does not fit what was kept.
#[must_use]
pub fn standardise_gradient(g: &mut [f32], gain: &Tensor, kept: &Normalised, eps: f32) -> Vec<f32> {
    let fits = g.len() == kept.xhat.len() && gain.shape() == kept.rstd.shape();
    assert!(fits, "standardise: gradient of {} elements, gain {gain:?}, kept {kept:?}", g.len());
    let len = kept.xhat.row_len();
    if len == 0 {
        return vec![0.0; gain.len()];
    }
    let rows = g.chunks_exact_mut(len).zip(kept.xhat.data().chunks_exact(len));
    let scales = gain.data().iter().zip(kept.rstd.data());
    rows.zip(scales).map(|((g, xhat), (&gain, &rstd))| backward(g, xhat, gain, rstd, eps)).collect()
}

/// As [`standardise_gradient`] for every example: `rows` `[n, o fan_in]` become gradients by `w`; those by the gains are
/// returned, `[n, o]`.
///
/// # Panics
/// If `rows` or `gain` does not fit what was kept.
#[must_use]
pub fn standardise_rows(rows: &mut Tensor, gain: &Tensor, kept: &Normalised, eps: f32) -> Tensor {
    let (n, o, len) = (rows.rows(), gain.len(), kept.xhat.row_len());
    assert!(rows.row_len() == o * len, "standardise: gradients {rows:?}, gain {gain:?}, kept {kept:?}");
    let mut gains = Tensor::zeros_on(rows.device(), [n, o]);
    if let Some(gpu) = rows.gpu() {
        let at = rows.address_mut();
        let list = arguments![at, &kept.xhat, gain, &kept.rstd, eps, &gains, o, len];
        gpu.launch("standardise_backward", Grid::blocks(if rows.is_empty() { 0 } else { n * o }, 1, 128), list);
        return gains;
    }
    if o * len > 0 {
        let pairs = rows.data_mut().par_chunks_mut(o * len).zip(gains.data_mut().par_chunks_mut(o));
        pairs.for_each(|(row, gains)| gains.copy_from_slice(&standardise_gradient(row, gain, kept, eps)));
    }
    gains
}

/// One over the square root of the sum of squares, or of `eps` if that is larger.
#[inline(always)]
fn reciprocal(square: f32, eps: f32) -> f32 {
    // `max` would turn a NaN into `eps`.
    1.0 / if square < eps { eps } else { square }.sqrt()
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward(w: &[f32], gain: f32, eps: f32, y: &mut [f32], xhat: &mut [f32]) -> f32 {
    let mean = lanes::sum(w, |w| w) / w.len() as f32;
    // The variance times the number of elements.
    let rstd = reciprocal(lanes::sum(w, |w| (w - mean) * (w - mean)), eps);
    y.iter_mut().zip(xhat).zip(w).for_each(|((y, h), w)| {
        *h = (w - mean) * rstd;
        *y = *h * gain;
    });
    rstd
}

/// `g` becomes `gain rstd (g - mean(g) - xhat sum(g xhat))`, without the last term where the variance was too small to
/// count; returns `sum(g xhat)`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward(g: &mut [f32], xhat: &[f32], gain: f32, rstd: f32, eps: f32) -> f32 {
    let mean = lanes::sum(g, |g| g) / g.len() as f32;
    let by_gain = lanes::inner(g, xhat);
    let slope = if rstd == reciprocal(0.0, eps) { 0.0 } else { by_gain };
    let scale = gain * rstd;
    g.iter_mut().zip(xhat).for_each(|(g, x)| *g = scale * (*g - mean - x * slope));
    by_gain
}
