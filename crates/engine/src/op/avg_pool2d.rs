//! Mean over a sliding window.

use rayon::prelude::*;

use super::each;
use super::unfold::numbers;
use crate::cuda::{Grid, arguments};
use crate::{Tensor, Window};

/// Means of `x` `[n, c, h, w]`: `[n, c, h', w']`. Pixels of the border are zeros and are counted (PyTorch's default).
///
/// # Panics
/// If the window does not fit.
#[must_use]
pub fn avg_pool2d(x: &Tensor, window: Window) -> Tensor {
    let &[n, c, h, w] = x.shape() else { panic!("avg_pool2d: input {x:?} is not [n, c, h, w]") };
    let (oh, ow) = window.fit(h, w);
    if let Some(gpu) = x.gpu() {
        let x = x.as_activations();
        let y = Tensor::unfilled_as(x.dtype(), x.device(), [n, c, oh, ow]);
        let [_, _, _, _, kh, kw, sh, sw, ph, pw] = numbers(h, w, window);
        let list = arguments![x.at(), y.at(), y.len(), h, w, oh, ow, kh, kw, sh, sw, ph, pw];
        gpu.launch_as(x.dtype(), "avg_pool_forward", Grid::over(y.len()), list);
        return y;
    }
    let mut y = Tensor::unfilled([n, c, oh, ow]);
    let planes = each::rows_at_least(h * w);
    let scale = 1.0 / window.cells() as f32;
    if x.is_empty() {
        y.data_mut().fill(0.0);
        return y;
    }
    y.data_mut().par_chunks_mut(planes * oh * ow).zip(x.data().par_chunks(planes * h * w)).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(oh * ow).zip(x.chunks_exact(h * w)) {
            y.fill(0.0);
            each_run(window, [h, w], |to, row, cols| y[to] += x[row * w..][cols].iter().sum::<f32>());
            y.iter_mut().for_each(|y| *y *= scale);
        }
    });
    y
}

/// The input gradient: each element of `dy` (`[n, c, h', w']`) spreads evenly over its window.
///
/// # Panics
/// If the shapes do not fit each other or the window.
#[must_use]
pub fn avg_pool2d_backward(dy: &Tensor, input_shape: &[usize], window: Window) -> Tensor {
    let &[n, c, h, w] = input_shape else { panic!("avg_pool2d: input {input_shape:?} is not [n, c, h, w]") };
    let (oh, ow) = window.fit(h, w);
    assert!(dy.shape() == [n, c, oh, ow], "avg_pool2d: gradient {dy:?} of {input_shape:?}");
    if let Some(gpu) = dy.gpu() {
        let dx = Tensor::unfilled_as(dy.dtype(), dy.device(), input_shape);
        let [_, _, _, _, kh, kw, sh, sw, ph, pw] = numbers(h, w, window);
        let list = arguments![dy.at(), dx.at(), dx.len(), h, w, oh, ow, kh, kw, sh, sw, ph, pw];
        gpu.launch_as(dy.dtype(), "avg_pool_backward", Grid::over(dx.len()), list);
        return dx;
    }
    let mut dx = Tensor::zeros(input_shape);
    let planes = each::rows_at_least(h * w);
    let scale = 1.0 / window.cells() as f32;
    if dx.is_empty() {
        return dx;
    }
    dx.data_mut().par_chunks_mut(planes * h * w).zip(dy.data().par_chunks(planes * oh * ow)).for_each(|(dx, dy)| {
        for (dx, dy) in dx.chunks_exact_mut(h * w).zip(dy.chunks_exact(oh * ow)) {
            each_run(window, [h, w], |from, row, cols| {
                let share = dy[from] * scale;
                dx[row * w..][cols].iter_mut().for_each(|d| *d += share);
            });
        }
    });
    dx
}

/// The parts of rows of pixels that the window covers: position, row, columns.
fn each_run(window: Window, [h, w]: [usize; 2], mut visit: impl FnMut(usize, usize, std::ops::Range<usize>)) {
    let (Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] }, (oh, ow)) = (window, window.fit(h, w));
    let span = |from: usize, k: usize, p: usize, len: usize| {
        let to = (from + k).saturating_sub(p).min(len);
        from.saturating_sub(p).min(to)..to
    };
    for i in 0..oh {
        for row in span(i * sh, kh, ph, h) {
            (0..ow).for_each(|j| visit(i * ow + j, row, span(j * sw, kw, pw, w)));
        }
    }
}
