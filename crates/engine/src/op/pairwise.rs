//! Two tensors of one shape, element by element.

use super::each;
use crate::Tensor;

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

/// `a b`, element by element, in the storage of `a`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn multiply(a: Tensor, b: &Tensor) -> Tensor {
    assert!(a.shape() == b.shape(), "multiply: {a:?} and {b:?}");
    each::zip_in_place(b, a, "multiply_pairs").unwrap_or_else(|mut a| {
        each::change_by(a.data_mut(), b.data(), |a, b| a.iter_mut().zip(b).for_each(|(a, b)| *a *= b));
        a
    })
}
