//! Maximum over a sliding window.

use multiversion::multiversion;
use rayon::prelude::*;

use super::each;
use super::unfold::numbers;
use crate::cuda::{Grid, arguments};
use crate::memory::Indices;
use crate::part::Part;
use crate::tensor::volume;
use crate::{Gpu, Tensor, Window};

/// Maxima of `x` `[n, c, h, w]`, `[n, c, h', w']`, and for each the index of its pixel in its plane (`h w` pixels).
///
/// The border counts as minus infinity. Of equal pixels the first in row-major order wins, a NaN wins over numbers, as in
/// PyTorch.
///
/// # Panics
/// If the window does not fit, or lies in the border altogether (padding beyond half the kernel).
#[must_use]
pub fn max_pool2d(x: &Tensor, window: Window) -> (Tensor, Indices) {
    let (shape, plane) = output(x, window);
    if let Some(gpu) = x.gpu() {
        let argmax = Indices::unfilled_on(gpu, volume(&shape));
        let y = argmax.part().on(gpu, |argmax| forward_on(gpu, x, shape, argmax, window));
        return (y, argmax);
    }
    let mut y = Tensor::unfilled(shape);
    let mut argmax = Indices::unfilled(y.len());
    let (from, to) = (plane.h * plane.w, plane.oh * plane.ow);
    let planes = each::rows_at_least(from.max(to));
    if !y.is_empty() {
        let pairs = y.data_mut().par_chunks_mut(planes * to).zip(argmax.par_chunks_mut(planes * to));
        pairs.zip(x.data().par_chunks(planes * from)).for_each(|((y, argmax), x)| plane.maxima(x, y, argmax));
    }
    (y, argmax)
}

/// As [`max_pool2d`] without keeping the indices, for evaluation.
///
/// # Panics
/// As [`max_pool2d`].
#[must_use]
pub fn max_pool2d_only(x: &Tensor, window: Window) -> Tensor {
    let (shape, plane) = output(x, window);
    if let Some(gpu) = x.gpu() {
        return forward_on(gpu, x, shape, 0, window);
    }
    let mut y = Tensor::unfilled(shape);
    let (from, to) = (plane.h * plane.w, plane.oh * plane.ow);
    let planes = each::rows_at_least(from.max(to));
    if !y.is_empty() {
        let pairs = y.data_mut().par_chunks_mut(planes * to).zip(x.data().par_chunks(planes * from));
        pairs.for_each_init(|| vec![0; planes * to], |argmax, (y, x)| plane.maxima(x, y, &mut argmax[..y.len()]));
    }
    y
}

/// The input gradient: each element of `dy` (`[n, c, h', w']`) goes to the pixel of its maximum. `argmax` is that of
/// [`max_pool2d`] with this `window`.
///
/// # Panics
/// If the shapes do not fit each other.
#[must_use]
pub fn max_pool2d_backward<'a>(
    dy: &Tensor,
    argmax: impl Into<Part<'a, u32>>,
    input_shape: &[usize],
    window: Window,
) -> Tensor {
    let argmax = argmax.into();
    let &[n, c, h, w] = input_shape else { panic!("max_pool2d: input {input_shape:?} is not [n, c, h, w]") };
    assert!(dy.shape().len() == 4 && dy.shape()[..2] == [n, c], "max_pool2d: gradient {dy:?} of {input_shape:?}");
    assert!(dy.len() == argmax.len(), "max_pool2d: gradient {dy:?}, {} indices", argmax.len());
    if let Some(gpu) = dy.gpu() {
        let dx = Tensor::unfilled_as(dy.dtype(), dy.device(), input_shape);
        let [_, _, oh, ow, kh, kw, sh, sw, ph, pw] = numbers(h, w, window);
        // Windows that tile the image: each writes its own pixels.
        let apart = window.kernel == window.stride && window.padding == [0, 0] && [h, w] == [oh * kh, ow * kw];
        argmax.on(gpu, |argmax| {
            if apart && dy.len() < 1 << 32 {
                let list = arguments![dy.at(), argmax, dx.at(), dy.len(), oh, ow, kh, kw];
                return gpu.launch_as(dy.dtype(), "max_pool_backward_apart", Grid::over(dy.len()), list);
            }
            let list = arguments![dy.at(), argmax, dx.at(), dx.len(), h, w, oh, ow, kh, kw, sh, sw, ph, pw];
            gpu.launch_as(dy.dtype(), "max_pool_backward", Grid::over(dx.len()), list);
        });
        return dx;
    }
    let argmax = argmax.host();
    let mut dx = Tensor::unfilled(input_shape);
    let (to, from) = (h * w, dy.shape()[2] * dy.shape()[3]);
    if dy.is_empty() {
        dx.data_mut().fill(0.0);
        return dx;
    }
    let planes = each::rows_at_least(to.max(from));
    let pairs = dy.data().par_chunks(planes * from).zip(argmax.par_chunks(planes * from));
    dx.data_mut().par_chunks_mut(planes * to).zip(pairs).for_each(|(dx, (dy, argmax))| {
        dx.fill(0.0);
        let pairs = dy.chunks_exact(from).zip(argmax.chunks_exact(from));
        for (dx, (dy, argmax)) in dx.chunks_exact_mut(to).zip(pairs) {
            dy.iter().zip(argmax).for_each(|(dy, &at)| dx[at as usize] += dy);
        }
    });
    dx
}

fn forward_on(gpu: &'static Gpu, x: &Tensor, shape: [usize; 4], argmax: u64, window: Window) -> Tensor {
    let x = x.as_activations();
    let y = Tensor::unfilled_as(x.dtype(), x.device(), shape);
    let [h, w, oh, ow, kh, kw, sh, sw, ph, pw] = numbers(x.shape()[2], x.shape()[3], window);
    let list = arguments![x.at(), y.at(), argmax, y.len(), h, w, oh, ow, kh, kw, sh, sw, ph, pw];
    gpu.launch_as(x.dtype(), "max_pool_forward", Grid::over(y.len()), list);
    y
}

/// The shapes of the output and of a plane.
fn output(x: &Tensor, window: Window) -> ([usize; 4], Plane) {
    let &[n, c, h, w] = x.shape() else { panic!("max_pool2d: input {x:?} is not [n, c, h, w]") };
    let ((oh, ow), [kh, kw], [ph, pw]) = (window.fit(h, w), window.kernel, window.padding);
    assert!(2 * ph <= kh && 2 * pw <= kw, "max_pool2d: padding beyond half the kernel: {window:?}");
    ([n, c, oh, ow], Plane { h, w, oh, ow, window })
}

/// One plane of an image.
struct Plane {
    h: usize,
    w: usize,
    oh: usize,
    ow: usize,
    window: Window,
}

impl Plane {
    /// Maxima of consecutive planes.
    fn maxima(&self, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
        if (self.window.kernel, self.window.padding) == ([2, 2], [0, 0]) {
            return match (self.window.stride[1], self.ow) {
                (1, 9..) => pairs_1x16(self, x, y, argmax),
                (1, _) => pairs_1x4(self, x, y, argmax),
                (2, 9..) => pairs_2x16(self, x, y, argmax),
                (2, _) => pairs_2x4(self, x, y, argmax),
                _ => self.any(x, y, argmax),
            };
        }
        self.any(x, y, argmax);
    }

    /// Any window.
    fn any(&self, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
        for (at, (y, a)) in y.iter_mut().zip(argmax).enumerate() {
            let plane = at / (self.oh * self.ow) * self.h * self.w;
            (*y, *a) = self.maximum(&x[plane..plane + self.h * self.w], at / self.ow % self.oh, at % self.ow);
        }
    }

    /// The maximum at position (i, j), and where it is.
    fn maximum(&self, x: &[f32], i: usize, j: usize) -> (f32, u32) {
        let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = self.window;
        let span = |from: usize, k: usize, p: usize, len: usize| from.saturating_sub(p)..(from + k).min(len + p) - p;
        let mut best = None;
        for r in span(i * sh, kh, ph, self.h) {
            for at in span(j * sw, kw, pw, self.w).map(|c| r * self.w + c) {
                best = Some(best.map_or((x[at], at as u32), |best| later(best, (x[at], at as u32))));
            }
        }
        best.unwrap_or((f32::NEG_INFINITY, 0))
    }

    /// 2 x 2 windows with horizontal stride `S`, `L` at a time.
    ///
    /// A row is rounded up to a multiple of `L`: what is written beyond its end is overwritten by the next row. Only at
    /// the very end, where there is no room, positions are taken one by one.
    #[inline(always)]
    fn pairs<const S: usize, const L: usize>(&self, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
        let (cells, len) = (self.oh * self.ow, y.len());
        for row in 0..len / self.ow {
            let (plane, i) = (row / self.oh, row % self.oh);
            let first = i * self.window.stride[0] * self.w;
            let (from, to) = (plane * self.h * self.w + first, plane * cells + i * self.ow);
            for j in (0..self.ow).step_by(L) {
                let pixel = from + j * S;
                if to + j + L <= len && pixel + self.w + L * S < x.len() {
                    let rows = [&x[pixel..=pixel + L * S], &x[pixel + self.w..=pixel + self.w + L * S]];
                    let outputs = (&mut y[to + j..to + j + L], &mut argmax[to + j..to + j + L]);
                    lanes::<S, L>(rows, (first + j * S) as u32, self.w as u32, outputs);
                } else {
                    let x = &x[plane * self.h * self.w..(plane + 1) * self.h * self.w];
                    for j in j..(j + L).min(self.ow) {
                        (y[to + j], argmax[to + j]) = self.maximum(x, i, j);
                    }
                }
            }
        }
    }
}

/// Of two pixels the larger; the first when equal; a NaN when there is one.
#[inline(always)]
fn later(first: (f32, u32), second: (f32, u32)) -> (f32, u32) {
    if second.0 > first.0 || second.0.is_nan() { second } else { first }
}

/// `L` maxima side by side from two rows of `L S + 1` pixels, the upper of which starts at index `first` of its plane.
#[inline(always)]
fn lanes<const S: usize, const L: usize>(
    [upper, lower]: [&[f32]; 2],
    first: u32,
    width: u32,
    (y, argmax): (&mut [f32], &mut [u32]),
) {
    assert!(upper.len() == L * S + 1 && lower.len() == L * S + 1 && y.len() == L && argmax.len() == L);
    for j in 0..L {
        let at = first + (j * S) as u32;
        let top = later((upper[j * S], at), (upper[j * S + 1], at + 1));
        let left = later(top, (lower[j * S], at + width));
        (y[j], argmax[j]) = later(left, (lower[j * S + 1], at + width + 1));
    }
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn pairs_1x16(plane: &Plane, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    plane.pairs::<1, 16>(x, y, argmax);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn pairs_1x4(plane: &Plane, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    plane.pairs::<1, 4>(x, y, argmax);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn pairs_2x16(plane: &Plane, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    plane.pairs::<2, 16>(x, y, argmax);
}

#[multiversion(targets("x86_64+avx512f+avx512bw+avx512vl", "x86_64+avx2"))]
fn pairs_2x4(plane: &Plane, x: &[f32], y: &mut [f32], argmax: &mut [u32]) {
    plane.pairs::<2, 4>(x, y, argmax);
}
