//! Two tensors of one shape, element by element.

use super::each;
use crate::Tensor;
use crate::cuda::arguments;

/// `a + b`, in the storage of `a`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn add(a: Tensor, b: &Tensor) -> Tensor {
    assert!(a.shape() == b.shape(), "add: {a:?} and {b:?}");
    each::zip_in_place(b, a, "add_pairs").unwrap_or_else(|mut a| {
        each::change_by(a.data_mut(), b.data(), |a, b| a.iter_mut().zip(b).for_each(|(a, b)| *a += b));
        a
    })
}

/// `a b by`, element by element, in the storage of `a`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn multiply(mut a: Tensor, b: &Tensor, by: f32) -> Tensor {
    assert!(a.shape() == b.shape(), "multiply: {a:?} and {b:?}");
    if let Some(gpu) = a.gpu() {
        let (from, c) = a.in_place();
        let b = b.as_dtype(c.dtype());
        let list = arguments![from, b.at(), c.at(), c.len(), by];
        gpu.launch_as(c.dtype(), "multiply_pairs", each::many(c.dtype(), c.len()), list);
        return c;
    }
    each::change_by(a.data_mut(), b.data(), |a, b| a.iter_mut().zip(b).for_each(|(a, b)| *a *= b * by));
    a
}
