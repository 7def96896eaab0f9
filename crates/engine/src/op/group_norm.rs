//! Group normalisation: each example's channels are normalised in groups; what follows may be rectified in the same pass.

use rayon::prelude::*;

use super::layer_norm::{Normalised, centre, normalise};
use super::{add, bias_rows, bias_rows_channels, each, relu};
use crate::cuda::{Grid, arguments};
use crate::{Dtype, Gpu, Tensor};

/// `gamma xhat + beta` for `x` `[n, c, ..]`, where `xhat` is normalised over each of `groups` groups of channels and their
/// positions; `gamma` and `beta` are `[c]`. With `rectified`, the larger of that and 0. The kept `rstd` is `[n, groups]`.
///
/// # Panics
/// If `groups` does not divide `c`, or scale or shift is not `[c]`.
#[must_use]
pub fn group_norm(
    x: &Tensor,
    groups: usize,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f32,
    rectified: bool,
) -> (Tensor, Normalised) {
    let &[n, c, ..] = x.shape() else { panic!("group_norm: input {x:?} is not [n, c, ..]") };
    assert!(groups > 0 && c % groups == 0, "group_norm: input {x:?} in {groups} groups");
    assert!(gamma.shape() == [c] && beta.shape() == [c], "group_norm: input {x:?}, scale {gamma:?}, shift {beta:?}");
    let x = &if x.gpu().is_some() { x.as_activations() } else { x.clone() };
    let new = || Tensor::unfilled_as(x.dtype(), x.device(), x.shape());
    let mut kept = Normalised { xhat: new(), rstd: Tensor::unfilled_on(x.device(), [n, groups]) };
    let mut y = new();
    match x.gpu() {
        _ if x.is_empty() => {
            kept.rstd.clear();
            return (y, kept);
        }
        Some(gpu) => forward_on(gpu, x, [gamma, beta], eps, &y, &kept, rectified),
        None => forward(x, [gamma, beta], eps, &mut y, &mut kept),
    }
    // The processor's second pass is in cache no more, but as cheap as a copy.
    let y = if rectified && Whole::of(x, groups).is_none() { relu(y) } else { y };
    (y, kept)
}

fn forward(x: &Tensor, [gamma, beta]: [&Tensor; 2], eps: f32, y: &mut Tensor, kept: &mut Normalised) {
    let (groups, c) = (kept.rstd.last(), x.shape()[1]);
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
}

/// Kernels that hold a whole group of a GPU's tensor `[n, c, ..]` in registers, where it is small enough.
struct Whole {
    /// Fours of positions that a lane holds.
    fours: usize,
    grid: Grid,
    area: usize,
}

impl Whole {
    fn of(x: &Tensor, groups: usize) -> Option<Self> {
        let (c, channels) = (x.shape()[1], x.shape()[1].checked_div(groups)?);
        let area = x.row_len().checked_div(c)?;
        let fits = x.gpu().is_some() && channels <= 16 && area.is_multiple_of(4) && area <= 1024 && !x.is_empty();
        let fours = area.div_ceil(128).next_power_of_two();
        fits.then(|| Self { fours, grid: Grid::blocks(x.rows() * groups, 1, 32 * channels as u32), area })
    }

    fn defines(&self, rectified: bool, dtype: Dtype) -> String {
        format!("FOURS={} RELU={} {}", self.fours, u8::from(rectified), dtype.define())
    }
}

fn forward_on(
    gpu: &Gpu,
    x: &Tensor,
    [gamma, beta]: [&Tensor; 2],
    eps: f32,
    y: &Tensor,
    kept: &Normalised,
    rectified: bool,
) {
    let groups = kept.rstd.last();
    if let Some(whole) = Whole::of(x, groups) {
        let list = arguments![x.at(), gamma, beta, eps, y.at(), kept.xhat.at(), &kept.rstd, groups, whole.area];
        return gpu.launch_variant("group_norm_whole", &whole.defines(rectified, x.dtype()), whole.grid, list);
    }
    let (c, area) = (x.shape()[1], x.row_len() / x.shape()[1]);
    let list = arguments![x.at(), gamma, beta, eps, y.at(), kept.xhat.at(), &kept.rstd, groups, c / groups, area];
    gpu.launch_as(x.dtype(), "group_norm_forward", Grid::blocks(x.rows() * groups, 1, 256), list);
}

/// From `dy` `[n, c, ..]`: the input gradient, as for a layer norm over each group, and every example's own gradients of scale
/// and shift, each `[n, c]`. `rectified` as in [`group_norm`].
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn group_norm_backward(
    dy: Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    kept: &Normalised,
    rectified: bool,
) -> (Tensor, Tensor, Tensor) {
    group_norm_backward_onto(dy, [gamma, beta], kept, rectified, None)
}

/// As [`group_norm_backward`] for scale and shift, with the input gradient added to `sum`: in the same pass on a GPU.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn group_norm_backward_onto(
    dy: Tensor,
    [gamma, beta]: [&Tensor; 2],
    kept: &Normalised,
    rectified: bool,
    sum: Option<&Tensor>,
) -> (Tensor, Tensor, Tensor) {
    let fits = dy.shape() == kept.xhat.shape() && kept.rstd.shape().len() == 2;
    assert!(fits && gamma.shape() == &dy.shape()[1..2], "group_norm: gradient {dy:?}, scale {gamma:?}, kept {kept:?}");
    assert!(beta.shape() == gamma.shape(), "group_norm: scale {gamma:?}, shift {beta:?}");
    assert!(sum.is_none_or(|sum| sum.shape() == dy.shape()), "group_norm: gradient {dy:?}, sum {sum:?}");
    let (n, c, groups) = (dy.rows(), dy.shape()[1], kept.rstd.last());
    if let (Some(gpu), Some(whole)) = (dy.gpu(), Whole::of(&dy, groups)) {
        let dtype = kept.xhat.dtype();
        let (dy, dx) = (dy.as_dtype(dtype), Tensor::unfilled_as(dtype, dy.device(), dy.shape()));
        let [scale, shift] = [(); 2].map(|()| Tensor::unfilled_on(dy.device(), [n, c]));
        let sum = sum.map(|sum| sum.as_dtype(dtype));
        let (xhat, before, area) = (kept.xhat.at(), sum.as_ref().map_or(0, Tensor::at), whole.area);
        let list = arguments![dy.at(), gamma, beta, xhat, &kept.rstd, before, dx.at(), &scale, &shift, groups, area];
        gpu.launch_variant("group_norm_whole_backward", &whole.defines(rectified, dtype), whole.grid, list);
        return (dx, scale, shift);
    }
    let dy = if rectified { silence(dy, gamma, beta, &kept.xhat) } else { dy };
    let (scale, shift) = rows(&dy, &kept.xhat);
    (sum.into_iter().fold(input_gradient(&dy, gamma, kept), add), scale, shift)
}

/// The gradient where the output is positive (NaN where that is), else 0.
fn silence(mut dy: Tensor, gamma: &Tensor, beta: &Tensor, xhat: &Tensor) -> Tensor {
    let c = dy.shape()[1];
    let area = dy.row_len().checked_div(c).unwrap_or(0);
    if let Some(gpu) = dy.gpu() {
        let (from, dx) = dy.in_place();
        let xhat = xhat.as_dtype(dx.dtype());
        let list = arguments![from, dx.at(), gamma, beta, xhat.at(), dx.len(), c, area];
        gpu.launch_as(dx.dtype(), "silence_negative", Grid::over(dx.len()), list);
        return dx;
    }
    let channels = dy.data_mut().par_chunks_mut(area.max(1)).zip(xhat.data().par_chunks(area.max(1))).enumerate();
    channels.for_each(|(channel, (dy, xhat))| {
        let (scale, shift) = (gamma.data()[channel % c], beta.data()[channel % c]);
        dy.iter_mut().zip(xhat).for_each(|(dy, x)| *dy = if x * scale + shift <= 0.0 { 0.0 } else { *dy });
    });
    dy
}

fn input_gradient(dy: &Tensor, gamma: &Tensor, kept: &Normalised) -> Tensor {
    if let Some(gpu) = dy.gpu() {
        let dtype = kept.xhat.dtype();
        let (dy, dx) = (dy.as_dtype(dtype), Tensor::unfilled_as(dtype, dy.device(), dy.shape()));
        let (groups, c) = (kept.rstd.last(), dy.shape()[1]);
        let area = dy.row_len().checked_div(c).unwrap_or(0);
        let list = arguments![dy.at(), gamma, kept.xhat.at(), &kept.rstd, dx.at(), groups, c / groups, area];
        let blocks = if dy.is_empty() { 0 } else { dy.rows() * groups };
        gpu.launch_as(dtype, "group_norm_backward", Grid::blocks(blocks, 1, 256), list);
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

/// Sums over the positions of `dy xhat` and of `dy`.
fn rows(dy: &Tensor, xhat: &Tensor) -> (Tensor, Tensor) {
    if dy.gpu().is_some() {
        return bias_rows::channel_sums(dy, Some(xhat));
    }
    let mut scaled = dy.clone();
    each::change_by(scaled.data_mut(), xhat.data(), |s, x| s.iter_mut().zip(x).for_each(|(s, x)| *s *= x));
    (bias_rows_channels(&scaled), bias_rows_channels(dy))
}
