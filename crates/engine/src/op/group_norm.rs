//! Group normalisation: each example's channels are normalised in groups.

use rayon::prelude::*;

use super::layer_norm::{Normalised, centre, normalise};
use super::{bias_rows, bias_rows_channels, each};
use crate::Tensor;
use crate::cuda::{Grid, arguments};

/// `gamma xhat + beta` for `x` `[n, c, ..]`, where `xhat` is normalised over each of `groups` groups of channels and their
/// positions; `gamma` and `beta` are `[c]`. The kept `rstd` is `[n, groups]`.
///
/// # Panics
/// If `groups` does not divide `c`, or scale or shift is not `[c]`.
#[must_use]
pub fn group_norm(x: &Tensor, groups: usize, gamma: &Tensor, beta: &Tensor, eps: f32) -> (Tensor, Normalised) {
    let &[n, c, ..] = x.shape() else { panic!("group_norm: input {x:?} is not [n, c, ..]") };
    assert!(groups > 0 && c % groups == 0, "group_norm: input {x:?} in {groups} groups");
    assert!(gamma.shape() == [c] && beta.shape() == [c], "group_norm: input {x:?}, scale {gamma:?}, shift {beta:?}");
    let new = |shape: &[usize]| Tensor::unfilled_on(x.device(), shape);
    let mut kept = Normalised { xhat: new(x.shape()), rstd: Tensor::zeros_on(x.device(), [n, groups]) };
    let mut y = new(x.shape());
    if let Some(gpu) = x.gpu().filter(|_| !x.is_empty()) {
        let (channels, area) = (c / groups, x.row_len() / c);
        let list = arguments![x, gamma, beta, eps, &y, &kept.xhat, &kept.rstd, groups, channels, area];
        gpu.launch("group_norm_forward", Grid::blocks(n * groups, 1, 256), list);
    }
    if x.gpu().is_some() {
        return (y, kept);
    }
    if x.is_empty() {
        return (y, kept);
    }
    let len = x.row_len() / groups;
    let pieces = kept.xhat.data_mut().par_chunks_mut(len).zip(x.data().par_chunks(len));
    let outputs = y.data_mut().par_chunks_mut(len).zip(kept.rstd.data_mut()).enumerate();
    pieces.zip(outputs).for_each(|((xhat, x), (piece, (y, rstd)))| {
        *rstd = normalise(x, eps, xhat);
        let first = piece % groups * (c / groups);
        let channels = y.chunks_exact_mut(len / (c / groups)).zip(xhat.chunks_exact(len / (c / groups)));
        channels.zip(first..).for_each(|((y, xhat), c)| {
            let (scale, shift) = (gamma.data()[c], beta.data()[c]);
            y.iter_mut().zip(xhat).for_each(|(y, x)| *y = x * scale + shift);
        });
    });
    (y, kept)
}

/// The input gradient, as for a layer norm over each group.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn group_norm_backward(dy: &Tensor, gamma: &Tensor, kept: &Normalised) -> Tensor {
    let fits = dy.shape() == kept.xhat.shape() && kept.rstd.shape().len() == 2;
    assert!(fits && gamma.shape() == &dy.shape()[1..2], "group_norm: gradient {dy:?}, scale {gamma:?}, kept {kept:?}");
    if let Some(gpu) = dy.gpu() {
        let dx = Tensor::unfilled_on(dy.device(), dy.shape());
        let (groups, c) = (kept.rstd.last(), dy.shape()[1]);
        let area = dy.row_len().checked_div(c).unwrap_or(0);
        let list = arguments![dy, gamma, &kept.xhat, &kept.rstd, &dx, groups, c / groups, area];
        gpu.launch(
            "group_norm_backward",
            Grid::blocks(if dy.is_empty() { 0 } else { dy.rows() * groups }, 1, 256),
            list,
        );
        return dx;
    }
    let mut dx = dy.clone();
    if dx.is_empty() {
        return dx;
    }
    let (groups, c) = (kept.rstd.last(), dy.shape()[1]);
    let len = dy.row_len() / groups;
    let pieces = kept.xhat.data().par_chunks(len).zip(kept.rstd.data()).enumerate();
    dx.data_mut().par_chunks_mut(len).zip(pieces).for_each(|(dx, (piece, (xhat, &rstd)))| {
        let scales = &gamma.data()[piece % groups * (c / groups)..];
        for (dx, scale) in dx.chunks_exact_mut(len / (c / groups)).zip(scales) {
            dx.iter_mut().for_each(|g| *g *= scale);
        }
        centre(dx, xhat, rstd);
    });
    dx
}

/// Every example's own gradients of scale and shift, each `[n, c]`: sums over the positions of `dy xhat` and of `dy`
/// (both `[n, c, ..]`).
///
/// # Panics
/// If the shapes differ or have fewer than two dimensions.
#[must_use]
pub fn group_norm_rows(dy: &Tensor, xhat: &Tensor) -> (Tensor, Tensor) {
    assert!(dy.shape() == xhat.shape(), "group_norm rows: gradient {dy:?}, input {xhat:?}");
    if dy.gpu().is_some() {
        return bias_rows::channel_sums(dy, Some(xhat));
    }
    let mut scaled = dy.clone();
    each::change_by(scaled.data_mut(), xhat.data(), |s, x| s.iter_mut().zip(x).for_each(|(s, x)| *s *= x));
    (bias_rows_channels(&scaled), bias_rows_channels(dy))
}
