//! Means within an example: over positions of a text, over the pixels of a channel.

use super::Present;
use crate::Tensor;
use crate::cuda::{Grid, arguments};
use crate::op::layer_norm::warps;

/// The mean over the positions of each example, `[n, t, d]` to `[n, d]`. Only positions that are `present` count; an example
/// without any has a mean of zero.
///
/// # Panics
/// If `x` is not `[n, t, d]` or there are not `n t` flags.
#[must_use]
pub fn mean_positions(x: &Tensor, present: Option<&Present>) -> Tensor {
    let &[n, t, d] = x.shape() else { panic!("mean_positions: {x:?} is not [n, t, d]") };
    check(n * t, present);
    if let Some(gpu) = x.gpu() {
        let x = x.as_activations();
        let y = Tensor::unfilled_as(x.dtype(), x.device(), [n, d]);
        let (_copy, flags) = present.map_or((None, 0), |present| present.address(gpu));
        let list = arguments![x.at(), flags, y.at(), t, d];
        gpu.launch_as(x.dtype(), "mean_positions", Grid::blocks(n, d.div_ceil(32), 256), list);
        return y;
    }
    let mut y = Tensor::zeros([n, d]);
    for (row, y) in y.data_mut().chunks_exact_mut(d.max(1)).enumerate() {
        let tokens = x.row(row).chunks_exact(d).zip(shares(present, row, t));
        for (token, share) in tokens.filter(|(_, share)| *share > 0.0) {
            y.iter_mut().zip(token).for_each(|(y, x)| *y += x * share);
        }
    }
    y
}

/// The input gradient `[n, t, d]`, from that by the means, `[n, d]`.
///
/// # Panics
/// If `dy` is not `[n, d]` or there are not `n t` flags.
#[must_use]
pub fn mean_positions_backward(dy: &Tensor, t: usize, present: Option<&Present>) -> Tensor {
    let &[n, d] = dy.shape() else { panic!("mean_positions: gradient {dy:?} is not [n, d]") };
    check(n * t, present);
    if let Some(gpu) = dy.gpu() {
        let dx = Tensor::unfilled_as(dy.dtype(), dy.device(), [n, t, d]);
        let (_copy, flags) = present.map_or((None, 0), |present| present.address(gpu));
        let list = arguments![dy.at(), flags, dx.at(), t, d];
        gpu.launch_as(dy.dtype(), "mean_positions_backward", Grid::blocks(n * t, 1, 128), list);
        return dx;
    }
    let mut dx = Tensor::zeros([n, t, d]);
    for (row, dx) in dx.data_mut().chunks_exact_mut((t * d).max(1)).enumerate() {
        let tokens = dx.chunks_exact_mut(d).zip(shares(present, row, t));
        for (token, share) in tokens.filter(|(_, share)| *share > 0.0) {
            token.iter_mut().zip(dy.row(row)).for_each(|(dx, dy)| *dx = dy * share);
        }
    }
    dx
}

fn check(positions: usize, present: Option<&Present>) {
    let flags = present.map_or(positions, Present::count);
    assert!(flags == positions, "mean_positions: {positions} positions, {flags} flags");
}

/// What each position of an example counts for.
fn shares(present: Option<&Present>, row: usize, t: usize) -> Vec<f32> {
    let Some(present) = present else { return vec![1.0 / t as f32; t] };
    let present = &present.host()[row * t..(row + 1) * t];
    let share = 1.0 / present.iter().filter(|p| **p).count().max(1) as f32;
    present.iter().map(|p| if *p { share } else { 0.0 }).collect()
}

/// The mean over the pixels of each channel, `[n, c, ..]` to `[n, c]`.
///
/// # Panics
/// If `x` has fewer than two dimensions.
#[must_use]
pub fn mean_pixels(x: &Tensor) -> Tensor {
    let &[n, c, ..] = x.shape() else { panic!("mean_pixels: {x:?} is not [n, c, ..]") };
    let area = x.row_len().checked_div(c).unwrap_or(0).max(1);
    if let Some(gpu) = x.gpu() {
        let x = x.as_activations();
        let y = Tensor::unfilled_as(x.dtype(), x.device(), [n, c]);
        gpu.launch_as(x.dtype(), "mean_last", warps(n * c), arguments![x.at(), y.at(), n * c, area]);
        return y;
    }
    let share = 1.0 / area as f32;
    Tensor::new([n, c], x.data().chunks_exact(area).map(|image| image.iter().sum::<f32>() * share).collect())
}

/// The input gradient, of shape `input`, from that by the means, `[n, c]`.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn mean_pixels_backward(dy: &Tensor, input: &[usize]) -> Tensor {
    assert!(dy.shape() == &input[..2], "mean_pixels: gradient {dy:?} of {input:?}");
    let area = input[2..].iter().product::<usize>().max(1);
    if let Some(gpu) = dy.gpu() {
        let dx = Tensor::unfilled_as(dy.dtype(), dy.device(), input);
        let list = arguments![dy.at(), dx.at(), dx.len(), area];
        gpu.launch_as(dy.dtype(), "mean_last_backward", Grid::over(dx.len()), list);
        return dx;
    }
    let mut dx = Tensor::zeros(input);
    let share = 1.0 / area as f32;
    dx.data_mut().chunks_exact_mut(area).zip(dy.data()).for_each(|(dx, dy)| dx.fill(dy * share));
    dx
}
