//! Convolutions on a GPU: by our own kernel or by cuDNN, whichever is faster for a shape; by products with unfolded images
//! where there is neither.

use super::super::activation::{Activation, shift_channels};
use super::super::unfold;
use super::strips::Strips;
use super::tensor_cores::Tiles;
use crate::cuda::blas::{Matrix, Product};
use crate::cuda::dnn::{Data, Pass, Shape};
use crate::cuda::{Grid, arguments};
use crate::{Dtype, Gpu, Tensor, Window};

/// The shape of a convolution in cuDNN's words.
fn shape(dtype: Dtype, input: &[usize], outputs: usize, window: Window) -> Shape {
    Shape { dtype, n: input[0], input: [input[1], input[2], input[3]], outputs, window }
}

/// Our own kernel for a shape.
enum Own {
    Strips(Strips),
    Tiles(Tiles),
}

impl Own {
    /// The faster of those that fit.
    fn of(gpu: &Gpu, shape: Shape, activation: Option<Activation>) -> Option<Self> {
        let strips = Strips::of(gpu, shape, activation).map(Own::Strips);
        strips.or_else(|| Tiles::of(gpu, shape, activation).map(Own::Tiles))
    }

    fn run(&self, gpu: &'static Gpu, data: Data, shift: Option<&Tensor>, turned: bool) {
        match self {
            Own::Strips(strips) => strips.run(gpu, data, shift, turned),
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
    let (x, shape) = (x.as_dtype(dtype), shape(dtype, x.shape(), o, window));
    let data = |w: &Tensor| Data { x: x.at(), w: w.at(), y: y.at() };
    // cuDNN has its weights of the images' type.
    let theirs =
        || gpu.dnn().map_or(f32::INFINITY, |dnn| dnn.time(gpu, shape, Pass::Forward, data(&w.as_dtype(dtype))));
    if let Some(own) = Own::of(gpu, shape, activation)
        && gpu.prefers((shape, false), || own.run(gpu, data(w), b, false), theirs)
    {
        own.run(gpu, data(w), b, false);
        return y;
    }
    match gpu.dnn().filter(|_| theirs().is_finite()) {
        Some(dnn) => dnn.run(gpu, shape, Pass::Forward, data(&w.as_dtype(dtype))),
        None => y = unfolded(gpu, &x, w, window, y.shape()).as_dtype(dtype),
    }
    shift_channels(gpu, y, b, activation)
}

/// By products with unfolded images, of f32.
fn unfolded(gpu: &'static Gpu, x: &Tensor, w: &Tensor, window: Window, output: &[usize]) -> Tensor {
    let (y, o) = (Tensor::unfilled_on(x.device(), output), w.rows());
    unfold::each_part(gpu, x, window, |first, images, cols, [d, t]| {
        let out = Matrix::new(y.address() + (4 * first * o * t) as u64, t).every(o * t);
        let how = Product { batch: images, ..Product::new(gpu, o, t, d) };
        gpu.blas().product(gpu, out, Matrix::new(w.address(), d), Matrix::new(cols, t).every(d * t), &how);
    });
    y
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
    let straight = shape(dtype, input, w.rows(), window);
    let own = match turned_shape(straight) {
        Some(turned) => Own::of(gpu, turned, None),
        None => Strips::of_gradient(gpu, straight).map(Own::Strips),
    };
    if let Some(own) = own {
        let from = dy.as_dtype(dtype);
        let ours = || own.run(gpu, Data { x: from.at(), w: w.at(), y: dx.at() }, None, true);
        if gpu.prefers((straight, true), ours, || by_dnn(gpu, straight, dy, w, None).unwrap_or(f32::INFINITY)) {
            ours();
            return dx;
        }
    }
    // With strides cuDNN's kernels for bf16 take a hundred times as long as those for f32.
    let made =
        if dtype == Dtype::F32 || window.stride == [1, 1] { dx } else { Tensor::unfilled_on(dx.device(), input) };
    let straight = Shape { dtype: made.dtype(), ..straight };
    match by_dnn(gpu, straight, dy, w, Some(&made)) {
        Some(_) => made.as_dtype(dtype),
        None => folded(gpu, dy, w, input, window).as_dtype(dtype),
    }
}

/// By products that are folded, of f32.
fn folded(gpu: &'static Gpu, dy: &Tensor, w: &Tensor, input: &[usize], window: Window) -> Tensor {
    let dx = Tensor::unfilled_on(dy.device(), input);
    unfold::fold_parts(gpu, &dx, window, |first, images, cols, [d, t]| {
        let o = w.rows();
        let from = Matrix::new(dy.address() + (4 * first * o * t) as u64, t).every(o * t);
        let how = Product { batch: images, ..Product::new(gpu, d, t, o) };
        gpu.blas().product(gpu, Matrix::new(cols, t).every(d * t), Matrix::new(w.address(), d).t(), from, &how);
    });
    dx
}

/// The time of cuDNN's input gradient, straight or as a turned convolution, whichever is faster, and that carried out if there is
/// somewhere to write `to`; none where cuDNN has neither.
fn by_dnn(gpu: &'static Gpu, shape: Shape, dy: &Tensor, w: &Tensor, to: Option<&Tensor>) -> Option<f32> {
    let (dnn, dtype) = (gpu.dnn()?, shape.dtype);
    let (dy, rounded) = (dy.as_dtype(dtype), w.as_dtype(dtype));
    let dx = to.cloned().unwrap_or_else(|| {
        let (n, [c, h, w]) = (shape.n, shape.input);
        Tensor::unfilled_as(dtype, dy.device(), [n, c, h, w])
    });
    let data = Data { x: dx.at(), w: rounded.at(), y: dy.at() };
    let time = dnn.time(gpu, shape, Pass::Input, data);
    if let Some(turned) = turned_shape(shape) {
        let weights = turned_weights(gpu, w).as_dtype(dtype);
        let forward = Data { x: data.y, w: weights.at(), y: data.x };
        let other = dnn.time(gpu, turned, Pass::Forward, forward);
        if other < time {
            to.into_iter().for_each(|_| dnn.run(gpu, turned, Pass::Forward, forward));
            return Some(other);
        }
    }
    if to.is_some() && time.is_finite() {
        dnn.run(gpu, shape, Pass::Input, data);
    }
    Some(time).filter(|time| time.is_finite())
}
