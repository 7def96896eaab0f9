//! Convolutions on a GPU: by our own kernel or by cuDNN, whichever is faster for a shape; by products with unfolded images
//! where there is neither. Images in bf16 are cuDNN's in f32: its kernels for such rows of channels are up to a hundred times slower.

use super::super::activation::{Activation, shift_channels};
use super::super::unfold;
use super::octets::Octets;
use super::tensor_cores::Tiles;
use crate::cuda::blas::{Matrix, Product};
use crate::cuda::dnn::{Data, Pass, Shape};
use crate::cuda::{Grid, arguments};
use crate::{Dtype, Gpu, Tensor, Window};

/// The shape of a convolution in cuDNN's words.
fn shape(input: &[usize], outputs: usize, window: Window) -> Shape {
    Shape { n: input[0], input: [input[1], input[2], input[3]], outputs, window }
}

/// Our own kernel for a shape.
enum Own {
    Octets(Octets),
    Tiles(Tiles),
}

impl Own {
    /// The faster of those that fit.
    fn of(gpu: &Gpu, shape: Shape, activation: Option<Activation>) -> Option<Self> {
        let octets = Octets::of(gpu, shape, activation).map(Own::Octets);
        octets.or_else(|| Tiles::of(gpu, shape, activation).map(Own::Tiles))
    }

    /// As [`Own::of`], of the input gradient of a convolution with stride 2.
    fn of_gradient(gpu: &Gpu, shape: Shape) -> Option<Self> {
        Octets::of_gradient(gpu, shape).map(Own::Octets).or_else(|| Tiles::of_gradient(gpu, shape).map(Own::Tiles))
    }

    fn run(&self, gpu: &'static Gpu, data: Data, shift: Option<&Tensor>, turned: bool) {
        match self {
            Own::Octets(octets) => octets.run(gpu, data, shift, turned),
            Own::Tiles(tiles) => tiles.run(gpu, data, shift, turned),
        }
    }
}

/// See [`super::conv2d_then`].
pub(super) fn forward(
    gpu: &'static Gpu,
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
    window: Window,
    activation: Option<Activation>,
) -> Tensor {
    let (n, o, (oh, ow)) = (x.rows(), w.rows(), window.fit(x.shape()[2], x.shape()[3]));
    let dtype = Dtype::of_activations(gpu);
    let mut y = Tensor::unfilled_as(dtype, x.device(), [n, o, oh, ow]);
    if y.is_empty() {
        return y;
    }
    if x.is_empty() {
        y.clear();
        return shift_channels(gpu, y, b, activation);
    }
    let shape = shape(x.shape(), o, window);
    if let Some(own) = Own::of(gpu, shape, activation) {
        let x = x.as_dtype(dtype);
        let ours = || own.run(gpu, Data { x: x.at(), w: w.address(), y: y.at() }, b, false);
        let theirs = || {
            let (x, y) = (x.as_dtype(Dtype::F32), Tensor::unfilled_on(y.device(), y.shape()));
            let data = Data { x: x.address(), w: w.address(), y: y.address() };
            gpu.dnn().map_or(f32::INFINITY, |dnn| dnn.time(gpu, shape, Pass::Forward, data))
        };
        if gpu.prefers((shape, false), ours, theirs) {
            ours();
            return y;
        }
    }
    drop(y);
    let y = by_library(gpu, x, w, shape, [n, o, oh, ow]);
    shift_channels(gpu, y, b, activation).as_dtype(dtype)
}

/// By cuDNN, or by products with unfolded images, of f32.
fn by_library(gpu: &'static Gpu, x: &Tensor, w: &Tensor, shape: Shape, output: [usize; 4]) -> Tensor {
    let (x, y) = (x.as_dtype(Dtype::F32), Tensor::unfilled_on(x.device(), output));
    match gpu.dnn() {
        Some(dnn) => dnn.run(gpu, shape, Pass::Forward, Data { x: x.address(), w: w.address(), y: y.address() }),
        None => unfolded(gpu, &x, w, shape.window, &y),
    }
    y
}

/// By products with unfolded images, of f32.
fn unfolded(gpu: &'static Gpu, x: &Tensor, w: &Tensor, window: Window, y: &Tensor) {
    let o = w.rows();
    unfold::each_part(gpu, x, window, |first, images, cols, [d, t]| {
        let out = Matrix::new(y.address() + (4 * first * o * t) as u64, t).every(o * t);
        let how = Product { batch: images, ..Product::new(gpu, o, t, d) };
        gpu.blas().product(gpu, out, Matrix::new(w.address(), d), Matrix::new(cols, t).every(d * t), &how);
    });
}

/// The convolution that the input gradient of one with stride 1 is (see [`super::turn_round`]).
fn turned_shape(shape: Shape) -> Option<Shape> {
    let Shape { input: [c, h, w], outputs, window, .. } = shape;
    let (Window { kernel: [kh, kw], padding: [ph, pw], stride }, (oh, ow)) = (window, window.fit(h, w));
    let turned = || Window { kernel: [kh, kw], stride, padding: [kh - 1 - ph, kw - 1 - pw] };
    let fits = stride == [1, 1] && ph < kh && pw < kw;
    fits.then(|| Shape { input: [outputs, oh, ow], outputs: c, window: turned(), ..shape })
}

/// Its weights.
fn turned_weights(gpu: &'static Gpu, w: &Tensor) -> Tensor {
    let &[o, c, kh, kw] = w.shape() else { unreachable!("the weight was checked") };
    let turned = Tensor::unfilled_on(w.device(), [c, o, kh, kw]);
    gpu.launch("turn_weights", Grid::over(w.len()), arguments![w, &turned, w.len(), o, c, kh * kw]);
    turned
}

/// See [`super::conv2d_backward`].
pub(super) fn backward(gpu: &'static Gpu, dy: &Tensor, w: &Tensor, input: &[usize], window: Window) -> Tensor {
    let dtype = Dtype::of_activations(gpu);
    let mut dx = Tensor::unfilled_as(dtype, dy.device(), input);
    if dy.is_empty() || dx.is_empty() {
        dx.clear();
        return dx;
    }
    let (straight, plain) = (shape(input, w.rows(), window), || dy.as_dtype(Dtype::F32));
    let own = match turned_shape(straight) {
        Some(turned) => Own::of(gpu, turned, None),
        None => Own::of_gradient(gpu, straight),
    };
    if let Some(own) = own {
        let from = dy.as_dtype(dtype);
        let ours = || own.run(gpu, Data { x: from.at(), w: w.address(), y: dx.at() }, None, true);
        let theirs = || {
            let to = Tensor::unfilled_on(dy.device(), input);
            by_dnn(gpu, straight, [&plain(), w, &to], false).unwrap_or(f32::INFINITY)
        };
        if gpu.prefers((straight, true), ours, theirs) {
            ours();
            return dx;
        }
    }
    let made = if dtype == Dtype::F32 { dx } else { Tensor::unfilled_on(dy.device(), input) };
    if by_dnn(gpu, straight, [&plain(), w, &made], true).is_none() {
        folded(gpu, &plain(), w, &made, window);
    }
    made.as_dtype(dtype)
}

/// By products that are folded, of f32.
fn folded(gpu: &'static Gpu, dy: &Tensor, w: &Tensor, dx: &Tensor, window: Window) {
    unfold::fold_parts(gpu, dx, window, |first, images, cols, [d, t]| {
        let o = w.rows();
        let from = Matrix::new(dy.address() + (4 * first * o * t) as u64, t).every(o * t);
        let how = Product { batch: images, ..Product::new(gpu, d, t, o) };
        gpu.blas().product(gpu, Matrix::new(cols, t).every(d * t), Matrix::new(w.address(), d).t(), from, &how);
    });
}

/// The time of cuDNN's input gradient `dx`, straight or as a turned convolution, whichever is faster, and that carried out if it is
/// to `run`; none without cuDNN.
fn by_dnn(gpu: &'static Gpu, shape: Shape, [dy, w, dx]: [&Tensor; 3], run: bool) -> Option<f32> {
    let dnn = gpu.dnn()?;
    let data = Data { x: dx.address(), w: w.address(), y: dy.address() };
    let time = dnn.time(gpu, shape, Pass::Input, data);
    if let Some(turned) = turned_shape(shape) {
        let weights = turned_weights(gpu, w);
        let forward = Data { x: data.y, w: weights.address(), y: data.x };
        let other = dnn.time(gpu, turned, Pass::Forward, forward);
        if other < time {
            if run {
                dnn.run(gpu, turned, Pass::Forward, forward);
            }
            return Some(other);
        }
    }
    if run {
        dnn.run(gpu, shape, Pass::Input, data);
    }
    Some(time)
}
