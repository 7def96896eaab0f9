//! Gradients whose rows are added at ids: embeddings.

use rayon::prelude::*;

use super::{add_scaled, inner, square};
use crate::Tensor;
use crate::op::each;

/// Every example's gradient norm, squared: `ids` and `b` are `[n, t]` and `[n, t, d]`; rows of equal ids within an example
/// are added before they are squared.
///
/// # Panics
/// If `ids` and `b` do not fit each other.
#[must_use]
pub fn scatter_norms(ids: &[u32], b: &Tensor) -> Vec<f64> {
    let [n, t, d] = shape(ids, b);
    let norm = |sum: &mut Vec<f32>, i: usize| {
        let order = by_id(ids, i * t..(i + 1) * t);
        let group = |group: &[usize]| {
            sum.clear();
            sum.resize(d, 0.0);
            group.iter().for_each(|&row| add_scaled(sum, 1.0, &b.data()[row * d..(row + 1) * d]));
            square(sum)
        };
        order.chunk_by(|&x, &y| ids[x] == ids[y]).map(group).sum()
    };
    (0..n).into_par_iter().map_init(Vec::new, norm).collect()
}

/// The definition: every example's gradient, `[n, v d]`, for a table of `v` rows.
///
/// # Panics
/// If `ids` and `b` do not fit each other, or an id is not below `v`.
#[must_use]
pub fn scatter_rows(ids: &[u32], b: &Tensor, v: usize) -> Tensor {
    let [n, t, d] = shape(ids, b);
    check(ids, v);
    let mut rows = Tensor::zeros([n, v * d]);
    for (at, &id) in ids.iter().enumerate() {
        let to = (at / t * v + id as usize) * d;
        add_scaled(&mut rows.data_mut()[to..to + d], 1.0, &b.data()[at * d..(at + 1) * d]);
    }
    rows
}

/// Adds `sum_i weights[i] G_i` to `out` `[v d]`. Examples of weight exactly 0 are skipped.
///
/// # Panics
/// If `ids`, `b`, `weights` and `out` do not fit each other, or an id is not below `v`.
pub fn scatter_sum(ids: &[u32], b: &Tensor, weights: &[f32], out: &mut [f32]) {
    let [n, t, d] = shape(ids, b);
    assert!(weights.len() == n, "{} weights for gradients {b:?}", weights.len());
    if d == 0 {
        return;
    }
    assert!(out.len().is_multiple_of(d), "gradients {b:?} into {} elements", out.len());
    check(ids, out.len() / d);
    let mut order = by_id(ids, 0..n * t);
    order.retain(|&at| weights[at / t] != 0.0);
    let block = each::rows_at_least(d);
    out.par_chunks_mut(block * d).enumerate().for_each(|(index, sum)| {
        let first = index * block;
        let from = order.partition_point(|&at| (ids[at] as usize) < first);
        let to = order.partition_point(|&at| (ids[at] as usize) < first + block);
        for &at in &order[from..to] {
            let row = ids[at] as usize - first;
            add_scaled(&mut sum[row * d..(row + 1) * d], weights[at / t], &b.data()[at * d..(at + 1) * d]);
        }
    });
}

/// `<G_i, direction>` for every example; `direction` is `[v d]`.
///
/// # Panics
/// If `ids` and `b` do not fit each other, or an id lies beyond the direction.
#[must_use]
pub fn scatter_dot(ids: &[u32], b: &Tensor, direction: &[f32]) -> Vec<f64> {
    let [n, t, d] = shape(ids, b);
    check(ids, direction.len().checked_div(d).unwrap_or(usize::MAX));
    let term = |at: usize| {
        let row = ids[at] as usize * d;
        inner(&b.data()[at * d..(at + 1) * d], &direction[row..row + d])
    };
    (0..n).into_par_iter().map(|i| (i * t..(i + 1) * t).map(term).sum()).collect()
}

/// `[n, t, d]` of the factors.
fn shape(ids: &[u32], b: &Tensor) -> [usize; 3] {
    let &[n, t, d] = b.shape() else { panic!("scatter: gradients {b:?} are not [n, t, d]") };
    assert!(ids.len() == n * t, "scatter: {} ids, gradients {b:?}", ids.len());
    [n, t, d]
}

pub(super) fn check(ids: &[u32], v: usize) {
    assert!(ids.iter().all(|&id| (id as usize) < v), "scatter: an id beyond a table of {v} rows");
}

/// Positions in the order of their ids; equal ids stay in order.
pub(super) fn by_id(ids: &[u32], range: std::ops::Range<usize>) -> Vec<usize> {
    let mut order: Vec<usize> = range.collect();
    order.sort_by_key(|&at| ids[at]);
    order
}
