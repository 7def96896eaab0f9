//! Affine map of the last dimension.

use super::activation::{Activation, shift_rows};
use super::add;
use crate::cuda::aligned::pitch;
use crate::cuda::blas::{Matrix, Product};
use crate::cuda::lt::Affine;
use crate::kernel::Scale;
use crate::matmul::{Extra, general_product};
use crate::{Dtype, Gpu, Mat, Tensor, Threads, product};

/// `y = x w^T + b`: `x` is `[.., i]`, `w` is `[o, i]` (PyTorch's layout), `b` is `[o]`; the result is `[.., o]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    linear_then(x, w, b, None)
}

/// As [`linear`], with an activation of the result.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn linear_then(x: &Tensor, w: &Tensor, b: Option<&Tensor>, activation: Option<Activation>) -> Tensor {
    let (o, i) = weight(w);
    assert!(x.last() == i, "linear: input {x:?}, weight {w:?}");
    assert!(b.is_none_or(|b| b.shape() == [o]), "linear: weight {w:?}, bias {b:?}");
    if let Some(gpu) = x.gpu() {
        return linear_on(gpu, x, w, b, activation);
    }
    let mut y = Tensor::unfilled(with_last(x.shape(), o));
    let extra = Extra { scale: Scale::All(1.0), start: b.map(Tensor::data) };
    let (x, w) = (Mat::new(x.data(), outer(x), i), Mat::new(w.data(), o, i).t());
    general_product(y.data_mut(), x, w, extra, false, Threads::Many);
    activation.into_iter().fold(y, |y, activation| activation.forward(y))
}

/// As [`linear`], added to `sum` `[.., o]`: where a GPU's activations are bf16, in one pass and rounded once.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn linear_onto(x: &Tensor, w: &Tensor, b: Option<&Tensor>, sum: &Tensor) -> Tensor {
    let (o, i) = weight(w);
    assert!(x.last() == i && sum.shape() == with_last(x.shape(), o), "linear: input {x:?}, weight {w:?}, sum {sum:?}");
    let rounded = x.gpu().filter(|gpu| Dtype::of_activations(gpu) == Dtype::Bf16);
    let at_once = rounded.zip(b).and_then(|(gpu, b)| affine(gpu, x, w, b, false, Some(sum)));
    at_once.unwrap_or_else(|| add(linear(x, w, b), sum))
}

/// The input gradient `dy w`: `dy` is `[.., o]`, `w` is `[o, i]`; the result is `[.., i]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn linear_backward(dy: &Tensor, w: &Tensor) -> Tensor {
    let (o, i) = weight(w);
    assert!(dy.last() == o, "linear: gradient {dy:?}, weight {w:?}");
    if let Some(gpu) = dy.gpu() {
        return times(gpu, dy, w, false, [o, i]);
    }
    let mut dx = Tensor::unfilled(with_last(dy.shape(), i));
    product(dx.data_mut(), Mat::new(dy.data(), outer(dy), o), Mat::new(w.data(), o, i), false, Threads::Many);
    dx
}

fn linear_on(gpu: &'static Gpu, x: &Tensor, w: &Tensor, b: Option<&Tensor>, activation: Option<Activation>) -> Tensor {
    let (o, i) = weight(w);
    if let Some(y) = b.and_then(|b| affine(gpu, x, w, b, activation == Some(Activation::Relu), None)) {
        let left = activation.filter(|activation| *activation != Activation::Relu);
        return left.into_iter().fold(y, |y, activation| activation.forward(y));
    }
    let y = times(gpu, x, w, true, [i, o]);
    match b {
        Some(b) => shift_rows(gpu, y, b, activation),
        None => activation.into_iter().fold(y, |y, activation| activation.forward(y)),
    }
}

/// The product with its shift, and rectified or added to a sum, in one go: where the library has a kernel for that and rows are its own kind.
fn affine(
    gpu: &'static Gpu,
    x: &Tensor,
    w: &Tensor,
    b: &Tensor,
    rectified: bool,
    sum: Option<&Tensor>,
) -> Option<Tensor> {
    let ((o, i), m, dtype) = (weight(w), outer(x), Dtype::of_activations(gpu));
    if m * o * i == 0 || pitch(gpu, [m, o, i], dtype).is_some() {
        return None;
    }
    let y = Tensor::unfilled_as(dtype, x.device(), with_last(x.shape(), o));
    let (x, w, b) = (x.rows_as(dtype), w.as_dtype(dtype), b.as_dtype(dtype));
    let (at, row, _) = x.rows_at();
    let sum = sum.map(|sum| sum.as_dtype(dtype));
    let (onto, before) = (sum.is_some(), sum.as_ref().map_or(y.at(), Tensor::at));
    let affine = Affine { size: [m, o, i], rows: [o, row, i], rectified, onto, precision: gpu.precision(), dtype };
    gpu.lt()?.run(gpu, affine, [y.at(), at, w.at(), b.at(), before]).then_some(y)
}

/// The rows of `x`, of `inner`, times `w`, or its transpose, of `columns` columns.
fn times(gpu: &'static Gpu, x: &Tensor, w: &Tensor, turned: bool, [inner, columns]: [usize; 2]) -> Tensor {
    let (rows, shape, dtype) = (outer(x), with_last(x.shape(), columns), Dtype::of_activations(gpu));
    let y = match pitch(gpu, [rows, columns, inner], dtype) {
        Some(pitch) => Tensor::rows_on(gpu, dtype, shape, pitch),
        None => Tensor::unfilled_as(dtype, x.device(), shape),
    };
    let (x, w) = (x.rows_as(dtype), w.as_dtype(dtype));
    let how = Product::new(gpu, rows, columns, inner);
    let w = Matrix { turned, ..Matrix::of(&w) };
    gpu.blas().product(gpu, Matrix::of(&y), Matrix::of(&x), w, &how);
    y
}

fn weight(w: &Tensor) -> (usize, usize) {
    let &[o, i] = w.shape() else { panic!("linear: weight {w:?} is not [out, in]") };
    (o, i)
}

/// Product of the leading dimensions.
fn outer(x: &Tensor) -> usize {
    x.shape().iter().rev().skip(1).product()
}

/// The shape with another last dimension.
fn with_last(shape: &[usize], last: usize) -> Vec<usize> {
    let mut shape = shape.to_vec();
    shape.pop();
    shape.push(last);
    shape
}
