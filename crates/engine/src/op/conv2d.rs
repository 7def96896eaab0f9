//! Two-dimensional convolution (cross-correlation, as in PyTorch): read in place where the horizontal stride is 1, else by
//! products with patches unfolded in cache.

mod gpu;
mod octets;
mod sight;
mod tensor_cores;

use multiversion::multiversion;
use rayon::prelude::*;

use super::activation::Activation;
use super::direct::Direct;
use super::unfold::Unfolding;
use crate::memory::Scratch;
use crate::{Mat, Tensor, Threads, Window, product};

/// Images are unfolded together until they have this many positions, so that products are wide enough.
const POSITIONS: usize = 256;

/// `x` is `[n, c, h, w]`, `w` is `[o, c, kh, kw]`, `b` is `[o]`; the result is `[n, o, h', w']`.
///
/// # Panics
/// If the shapes do not fit each other or the window.
#[must_use]
pub fn conv2d(x: &Tensor, w: &Tensor, b: Option<&Tensor>, window: Window) -> Tensor {
    conv2d_then(x, w, b, window, None)
}

/// As [`conv2d`], with an activation of the result.
///
/// # Panics
/// If the shapes do not fit each other or the window.
#[must_use]
pub fn conv2d_then(
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    window: Window,
    activation: Option<Activation>,
) -> Tensor {
    let (o, unfolding) = check(x.shape(), w, window);
    assert!(b.is_none_or(|b| b.shape() == [o]), "conv2d: weight {w:?}, bias {b:?}");
    let (oh, ow) = window.fit(x.shape()[2], x.shape()[3]);
    if let Some(gpu) = x.gpu() {
        return gpu::forward(gpu, x, w, b, window, activation);
    }
    let mut y = Tensor::unfilled([x.rows(), o, oh, ow]);
    let bias = b.map(Tensor::data);
    match Direct::new(&unfolding) {
        Some(direct) => each_image(&unfolding, &direct, w.data(), bias, x.data(), y.data_mut()),
        None => each_group(&unfolding, o, y.data_mut(), x.data(), |y, x, scratch| {
            forward(&unfolding, w, bias, y, x, scratch);
        }),
    }
    activation.into_iter().fold(y, |y, activation| activation.forward(y))
}

/// The input gradient: `dy` is `[n, o, h', w']`, `input_shape` is `[n, c, h, w]`, which is also the result's shape.
///
/// # Panics
/// If the shapes do not fit each other or the window.
#[must_use]
pub fn conv2d_backward(dy: &Tensor, w: &Tensor, input_shape: &[usize], window: Window) -> Tensor {
    let (o, unfolding) = check(input_shape, w, window);
    let (oh, ow) = window.fit(input_shape[2], input_shape[3]);
    assert!(dy.shape() == [input_shape[0], o, oh, ow], "conv2d: gradient {dy:?} of input {input_shape:?}");
    if let Some(gpu) = dy.gpu() {
        return gpu::backward(gpu, dy, w, input_shape, window);
    }
    let mut dx = Tensor::unfilled(input_shape);
    if dy.is_empty() {
        dx.data_mut().fill(0.0);
        return dx;
    }
    if let Some((turned, weight)) = turn_round(&unfolding, w)
        && let Some(direct) = Direct::new(&turned)
    {
        each_image(&turned, &direct, weight.data(), None, dy.data(), dx.data_mut());
        return dx;
    }
    let images = group(&unfolding);
    let (y_chunk, x_chunk) = (images * o * unfolding.positions(), images * unfolding.image());
    let pairs = dx.data_mut().par_chunks_mut(x_chunk.max(1)).zip(dy.data().par_chunks(y_chunk));
    pairs.for_each_init(scratches, |scratch, (dx, dy)| backward(&unfolding, w, dx, dy, scratch));
    dx
}

/// A direct convolution of every image, in parallel.
fn each_image(unfolding: &Unfolding, direct: &Direct, w: &[f32], bias: Option<&[f32]>, x: &[f32], y: &mut [f32]) {
    let (from, to) = (unfolding.image(), w.len() / unfolding.patch() * unfolding.positions());
    if from == 0 || to == 0 {
        return y.fill(0.0);
    }
    let images = y.par_chunks_mut(to).zip(x.par_chunks(from));
    images.for_each_init(scratches, |[pad, panel, _], (y, x)| {
        direct.forward(unfolding.bordered(x, pad), w, bias, y, panel);
    });
}

/// The input gradient of a convolution with stride 1 is a convolution too: of the output gradient with a wider border, by
/// the weights with channels swapped and both axes turned round. Nothing where the border would be negative.
fn turn_round(unfolding: &Unfolding, w: &Tensor) -> Option<(Unfolding, Tensor)> {
    let (Window { kernel: [kh, kw], padding: [ph, pw], stride }, o) = (unfolding.window(), w.rows());
    if stride != [1, 1] || ph >= kh || pw >= kw {
        return None;
    }
    let ([c, ..], (oh, ow)) = (unfolding.shape(), unfolding.fit());
    let window = Window { kernel: [kh, kw], stride, padding: [kh - 1 - ph, kw - 1 - pw] };
    let cells = kh * kw;
    let mut turned = Tensor::unfilled(w.shape());
    for (to, turned) in turned.data_mut().chunks_exact_mut(cells).enumerate() {
        let (channel, output) = (to / o, to % o);
        let from = &w.data()[(output * c + channel) * cells..][..cells];
        turned.iter_mut().zip(from.iter().rev()).for_each(|(t, f)| *t = *f);
    }
    Some((Unfolding::new([o, oh, ow], window), turned))
}

/// Scratch for the border, the patches and the other side of the product.
type Scratches = [Scratch; 3];

fn scratches() -> Scratches {
    [const { Scratch::new() }; 3]
}

/// Output channels and the unfolding of a convolution.
fn check(x: &[usize], w: &Tensor, window: Window) -> (usize, Unfolding) {
    let (&[_, c, h, wide], &[o, wc, kh, kw]) = (x, w.shape()) else { panic!("conv2d: input {x:?}, weight {w:?}") };
    assert!(c == wc && [kh, kw] == window.kernel, "conv2d: input {x:?}, weight {w:?}, {window:?}");
    (o, Unfolding::new([c, h, wide], window))
}

/// Images that are unfolded together.
fn group(unfolding: &Unfolding) -> usize {
    (POSITIONS / unfolding.positions()).max(1)
}

/// `kernel` on groups of output and input images, in parallel.
fn each_group(
    unfolding: &Unfolding,
    o: usize,
    y: &mut [f32],
    x: &[f32],
    kernel: impl Fn(&mut [f32], &[f32], &mut Scratches) + Sync,
) {
    let images = group(unfolding);
    let (y_chunk, x_chunk) = (images * o * unfolding.positions(), images * unfolding.image());
    if x_chunk == 0 {
        return y.fill(0.0);
    }
    let pairs = y.par_chunks_mut(y_chunk.max(1)).zip(x.par_chunks(x_chunk));
    pairs.for_each_init(scratches, |scratch, (y, x)| kernel(y, x, scratch));
}

/// Forward of a group of images.
fn forward(
    unfolding: &Unfolding,
    w: &Tensor,
    bias: Option<&[f32]>,
    y: &mut [f32],
    x: &[f32],
    [pad, cols, out]: &mut Scratches,
) {
    let (images, o, positions) = (x.len() / unfolding.image(), w.rows(), unfolding.positions());
    let cols = cols.of(images * positions * unfolding.patch());
    unfolding.fill(x, pad, cols);
    let (out, columns) = (out.of(o * images * positions), images * positions);
    let weight = Mat::new(w.data(), o, unfolding.patch());
    if unfolding.by_patch() {
        product(out, unfolding.matrix(cols, images).t(), weight.t(), false, Threads::One);
        transpose(out, y, bias, positions, o);
        return;
    }
    product(out, weight, unfolding.matrix(cols, images), false, Threads::One);
    for (i, y) in y.chunks_exact_mut(positions).enumerate() {
        let (image, channel) = (i / o, i % o);
        let shift = bias.map_or(0.0, |b| b[channel]);
        let from = &out[channel * columns + image * positions..][..positions];
        y.iter_mut().zip(from).for_each(|(y, f)| *y = f + shift);
    }
}

/// Images of pixels by channels become images of channels by pixels, plus a bias.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn transpose(from: &[f32], to: &mut [f32], bias: Option<&[f32]>, positions: usize, channels: usize) {
    let images = from.chunks_exact(positions * channels).zip(to.chunks_exact_mut(positions * channels));
    for (from, to) in images {
        for (channel, to) in to.chunks_exact_mut(positions).enumerate() {
            let shift = bias.map_or(0.0, |b| b[channel]);
            let from = from[channel..].chunks(channels);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from[0] + shift);
        }
    }
}

/// Input gradient of a group of images.
fn backward(unfolding: &Unfolding, w: &Tensor, dx: &mut [f32], dy: &[f32], [pad, cols, out]: &mut Scratches) {
    let (o, positions, patch) = (w.rows(), unfolding.positions(), unfolding.patch());
    let images = dy.len() / (o * positions);
    let out = out.of(dy.len());
    for (i, dy) in dy.chunks_exact(positions).enumerate() {
        let (image, channel) = (i / o, i % o);
        out[(channel * images + image) * positions..][..positions].copy_from_slice(dy);
    }
    let cols = cols.of(images * positions * patch);
    let (weight, out) = (Mat::new(w.data(), o, patch), Mat::new(out, o, images * positions));
    if unfolding.by_patch() {
        product(cols, out.t(), weight, false, Threads::One);
    } else {
        product(cols, weight.t(), out, false, Threads::One);
    }
    unfolding.fold(cols, pad, dx);
}
