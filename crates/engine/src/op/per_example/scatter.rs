//! Gradients whose rows are added at ids: embeddings.

use rayon::prelude::*;

use super::allowance;
use super::squares::{Numbers, Squares};
use super::{add_scaled, inner, square};
use crate::cuda::{Grid, arguments};
use crate::op::each;
use crate::{Dtype, Gpu, Part, PartMut, Tensor};

/// Every example's gradient norm, squared: `ids` and `b` are `[n, t]` and `[n, t, d]`; rows of equal ids within an example
/// are added before they are squared, with what rounding may add to their sum (`per_example/allowance.rs`).
///
/// # Panics
/// If `ids` and `b` do not fit each other.
#[must_use]
pub fn scatter_norms<'a>(ids: impl Into<Part<'a, u32>>, b: &Tensor) -> Vec<f64> {
    scatter_squares(ids, b).to_host()
}

/// As [`scatter_norms`], left where they were made.
///
/// # Panics
/// If `ids` and `b` do not fit each other.
#[must_use]
pub fn scatter_squares<'a>(ids: impl Into<Part<'a, u32>>, b: &Tensor) -> Squares {
    let ids = ids.into();
    let [n, t, d] = shape(ids, b);
    if let Some(gpu) = b.gpu() {
        return Squares::Device(ids.on(gpu, |ids| squares_on(gpu, ids, b)));
    }
    let ids = ids.host();
    let share = allowance::of_rows(t);
    let norm = |[sum, size]: &mut [Vec<f32>; 2], i: usize| {
        let order = by_id(ids, i * t..(i + 1) * t);
        let group = |group: &[usize]| match group {
            [row] => square(&b.data()[row * d..(row + 1) * d]),
            _ => {
                together(group, b.data(), d, sum);
                sizes(group, b.data(), d, size);
                let whole = |(x, size): (&f32, &f32)| (f64::from(x.abs()) + share * f64::from(*size)).powi(2);
                sum.iter().zip(&*size).map(whole).sum()
            }
        };
        order.chunk_by(|&x, &y| ids[x] == ids[y]).map(group).sum()
    };
    Squares::Host((0..n).into_par_iter().map_init(|| [Vec::new(), Vec::new()], norm).collect())
}

/// The square of the sum of these rows of `d`.
pub(super) fn together(group: &[usize], rows: &[f32], d: usize, sum: &mut Vec<f32>) -> f64 {
    sum.clear();
    sum.resize(d, 0.0);
    group.iter().for_each(|&row| add_scaled(sum, 1.0, &rows[row * d..(row + 1) * d]));
    square(sum)
}

/// The sum of the sizes of the elements of these rows of `d`.
fn sizes(group: &[usize], rows: &[f32], d: usize, size: &mut Vec<f32>) {
    size.clear();
    size.resize(d, 0.0);
    let rows = group.iter().map(|&row| &rows[row * d..(row + 1) * d]);
    rows.for_each(|row| size.iter_mut().zip(row).for_each(|(size, x)| *size += x.abs()));
}

/// The length of a row of `d`.
pub(super) fn length(rows: &[f32], d: usize, row: usize) -> f64 {
    square(&rows[row * d..(row + 1) * d]).sqrt()
}

/// Threads for rows of `d`; they look for ids together, too.
fn threads(d: usize) -> u32 {
    d.next_multiple_of(32).clamp(256, 1024) as u32
}

/// Rows as all that is made of them reads them: rounded where activations are.
fn operand(gpu: &Gpu, b: &Tensor) -> Tensor {
    b.as_dtype(Dtype::of_activations(gpu))
}

pub(super) fn squares_on(gpu: &'static Gpu, ids: u64, b: &Tensor) -> Numbers {
    let &[n, t, d] = b.shape() else { unreachable!("checked by `shape`") };
    let (parts, out, b) = (Numbers::new(gpu, n * t), Numbers::new(gpu, n), operand(gpu, b));
    let list = arguments![ids, b.at(), parts.at(), t, d, allowance::of_rows(t)];
    gpu.launch_as(b.dtype(), "scatter_norm_parts", Grid::blocks(n * t, 1, threads(d)), list);
    gpu.launch("sum_parts", Grid::over(32 * n), arguments![parts.at(), out.at(), n, t]);
    out
}

/// The definition: every example's gradient, `[n, v d]`, for a table of `v` rows.
///
/// # Panics
/// If `ids` and `b` do not fit each other, or an id is not below `v`.
#[must_use]
pub fn scatter_rows<'a>(ids: impl Into<Part<'a, u32>>, b: &Tensor, v: usize) -> Tensor {
    let ids = ids.into();
    let [n, t, d] = shape(ids, b);
    if let Some(gpu) = b.gpu() {
        let rows = Tensor::zeros_on(b.device(), [n, v * d]);
        let (grid, b) = (Grid::blocks(n * t, 1, threads(d)), operand(gpu, b));
        let launch = |ids| gpu.launch_as(b.dtype(), "scatter_rows", grid, arguments![ids, b.at(), &rows, t, v, d]);
        ids.on(gpu, launch);
        return rows;
    }
    let ids = ids.host();
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
pub fn scatter_sum<'a>(
    ids: impl Into<Part<'a, u32>>,
    b: &Tensor,
    weights: impl Into<Part<'a>>,
    out: impl Into<PartMut<'a>>,
) {
    let (ids, weights, out) = (ids.into(), weights.into(), out.into());
    let [n, t, d] = shape(ids, b);
    assert!(weights.len() == n, "{} weights for gradients {b:?}", weights.len());
    if d == 0 {
        return;
    }
    assert!(out.len().is_multiple_of(d), "gradients {b:?} into {} elements", out.len());
    if let Some(gpu) = b.gpu() {
        let (grid, b) = (Grid::blocks(n * t, 1, threads(d)), operand(gpu, b));
        let launch = |ids, w, out| {
            gpu.launch_as(b.dtype(), "scatter_sum", grid, arguments![ids, b.at(), w, out, n * t, t, d]);
        };
        return ids.on(gpu, |ids| weights.on(gpu, |w| out.on(gpu, |out| launch(ids, w, out))));
    }
    let (ids, weights, out) = (ids.host(), weights.host(), out.host());
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
pub fn scatter_dot<'a>(ids: impl Into<Part<'a, u32>>, b: &Tensor, direction: impl Into<Part<'a>>) -> Vec<f64> {
    let (ids, direction) = (ids.into(), direction.into());
    let [n, t, d] = shape(ids, b);
    if let Some(gpu) = b.gpu() {
        let (out, b) = (Numbers::new(gpu, n), operand(gpu, b));
        let list = |ids, v| [ids, b.at(), v, out.at(), t as u64, d as u64];
        let launch = |ids, v| gpu.launch_as(b.dtype(), "scatter_dot", Grid::blocks(n, 1, 256), &list(ids, v));
        ids.on(gpu, |ids| direction.on(gpu, |v: u64| launch(ids, v)));
        return out.to_host();
    }
    let (ids, direction) = (ids.host(), direction.host());
    check(ids, direction.len().checked_div(d).unwrap_or(usize::MAX));
    let term = |at: usize| {
        let row = ids[at] as usize * d;
        inner(&b.data()[at * d..(at + 1) * d], &direction[row..row + d])
    };
    (0..n).into_par_iter().map(|i| (i * t..(i + 1) * t).map(term).sum()).collect()
}

/// `[n, t, d]` of the factors.
fn shape(ids: Part<u32>, b: &Tensor) -> [usize; 3] {
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
