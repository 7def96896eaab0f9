//! Affine map of the last dimension.

use crate::kernel::Scale;
use crate::matmul::{Extra, general_product};
use crate::{Mat, Tensor, Threads, product};

/// `y = x w^T + b`: `x` is `[.., i]`, `w` is `[o, i]` (PyTorch's layout), `b` is `[o]`; the result is `[.., o]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn linear(x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    let (o, i) = weight(w);
    assert!(x.last() == i, "linear: input {x:?}, weight {w:?}");
    assert!(b.is_none_or(|b| b.shape() == [o]), "linear: weight {w:?}, bias {b:?}");
    let mut y = Tensor::unfilled(with_last(x.shape(), o));
    let extra = Extra { scale: Scale::All(1.0), start: b.map(Tensor::data) };
    let (x, w) = (Mat::new(x.data(), outer(x), i), Mat::new(w.data(), o, i).t());
    general_product(y.data_mut(), x, w, extra, false, Threads::Many);
    y
}

/// The input gradient `dy w`: `dy` is `[.., o]`, `w` is `[o, i]`; the result is `[.., i]`.
///
/// # Panics
/// If the shapes do not fit.
#[must_use]
pub fn linear_backward(dy: &Tensor, w: &Tensor) -> Tensor {
    let (o, i) = weight(w);
    assert!(dy.last() == o, "linear: gradient {dy:?}, weight {w:?}");
    let mut dx = Tensor::unfilled(with_last(dy.shape(), i));
    product(dx.data_mut(), Mat::new(dy.data(), outer(dy), o), Mat::new(w.data(), o, i), false, Threads::Many);
    dx
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
