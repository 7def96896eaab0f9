//! Sums of gradients, from nothing.
use engine::{
    Tensor,
    op::per_example::{Left, product_rows, product_sum, scatter_sum},
};

/// What `add` adds to `len` zeros.
pub fn total(len: usize, add: impl Fn(&mut [f32])) -> Vec<f32> {
    let mut out = vec![0.0; len];
    add(&mut out);
    out
}

pub fn product_total(left: Left, b: &Tensor, weights: &[f32]) -> Vec<f32> {
    total(product_rows(left, b).row_len(), |out| product_sum(left, b, weights, out))
}

pub fn scatter_total(ids: &[u32], b: &Tensor, weights: &[f32], v: usize) -> Vec<f32> {
    total(v * b.shape()[2], |out| scatter_sum(ids, b, weights, out))
}
