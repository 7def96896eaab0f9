//! Gradients of an input embedding that is also the output head: rows added at ids, plus a product.
//!
//! Phantom clipping (Ding et al., arXiv 2405.18194) is the norm without the gradient.

use rayon::prelude::*;

use super::allowance::{Allowance, outer};
use super::gpu;
use super::scatter::{by_id, check, length, squares_on, together};
use super::squares::Squares;
use super::{add_scaled, square};
use crate::memory::Scratch;
use crate::{Mat, Part, Tensor, Threads, product};

/// What belongs to one example: `ids` `[t]`, `e` and `h` `[t, d]`, `r` `[t, v]`.
struct Example<'a> {
    ids: &'a [u32],
    e: Mat<'a>,
    h: Mat<'a>,
    r: Mat<'a>,
}

/// Every example's squared gradient norm by a table `[v, d]` that is looked up at the input and multiplied with at the
/// output (`logits = h table^T`): of `sum_t onehot(ids_t) e_t^T + sum_s r_s h_s^T`.
///
/// `ids` are `n t`; `e` `[n, t, d]` is the gradient by the embeddings, `h` `[n, t, d]` are the hidden states, `r`
/// `[n, t, v]` is the gradient by the logits. The norm is exact: the scattered part, the product part and twice their
/// inner product `sum_ts r_s[ids_t] <e_t, h_s>`. On a processor no `[v, d]` matrix is formed, unless it is small beside the Gram
/// matrices, or the terms cancel so far that f32 might show too small a norm; on a GPU none is.
///
/// # Panics
/// If the factors do not fit each other or an id is not below `v`.
#[must_use]
pub fn tied_norms<'a>(ids: impl Into<Part<'a, u32>>, e: &Tensor, h: &Tensor, r: &Tensor) -> Vec<f64> {
    tied_squares(ids, e, h, r).to_host()
}

/// As [`tied_norms`], left where they were made. On a GPU norms by Gram matrices are upper bounds: see
/// `per_example/gpu.rs`.
///
/// # Panics
/// As [`tied_norms`].
#[must_use]
pub fn tied_squares<'a>(ids: impl Into<Part<'a, u32>>, e: &Tensor, h: &Tensor, r: &Tensor) -> Squares {
    let ids = ids.into();
    let &[n, t, d] = e.shape() else { panic!("tied: embedding gradients {e:?} are not [n, t, d]") };
    let v = r.last();
    let fits = h.shape() == e.shape() && r.shape() == [n, t, v] && ids.len() == n * t;
    assert!(fits, "tied: {} ids, embedding gradients {e:?}, inputs {h:?}, gradients {r:?}", ids.len());
    if let Some(gpu) = e.gpu() {
        // A gradient that is formed would have to be kept for the sum, which rounds what it weighs: Gram matrices allow for that.
        return Squares::Device(ids.on(gpu, |ids| gpu::tied(gpu, [h, r, e], ids, squares_on(gpu, ids, e))));
    }
    let formed_is_cheaper = t == 0 || 2 * t * (v + d) > v * d;
    let ids = ids.host();
    check(ids, v);
    let norm = |scratch: &mut [Scratch; 3], i: usize| {
        let [e, h, r] = [(e, d), (h, d), (r, v)].map(|(x, width)| Mat::new(x.row(i), t, width));
        let example = Example { ids: &ids[i * t..(i + 1) * t], e, h, r };
        if formed_is_cheaper { formed(&example, scratch) } else { short(&example, scratch) }
    };
    Squares::Host((0..n).into_par_iter().map_init(|| [const { Scratch::new() }; 3], norm).collect())
}

/// The norm of the gradient itself, and what rounding may have taken from it and may add to its sum.
fn formed(example: &Example, [scratch, ..]: &mut [Scratch; 3]) -> f64 {
    let &Example { ids, e, h, r } = example;
    let mut allowance = Allowance::new(2 * ids.len(), [h.cols, r.cols]);
    let at = |x: Mat, row: usize| length(x.data, x.cols, row);
    (0..ids.len()).for_each(|t| allowance.row(outer(at(h, t).powi(2), at(r, t).powi(2)).sqrt() + at(e, t)));
    let gradient = scratch.of(r.cols * h.cols);
    product(gradient, r.t(), h, false, Threads::One);
    for (row, &id) in ids.iter().enumerate() {
        let at = id as usize * e.cols;
        add_scaled(&mut gradient[at..at + e.cols], 1.0, &e.data[row * e.cols..(row + 1) * e.cols]);
    }
    allowance.of_formed(square(gradient))
}

/// The norm by the three terms.
fn short(example: &Example, scratch: &mut [Scratch; 3]) -> f64 {
    let &Example { ids, e, h, r } = example;
    let t = ids.len();
    let [left, right, cross] = scratch.each_mut().map(|scratch| scratch.of(t * t));
    product(left, h, h.t(), false, Threads::One);
    product(right, r, r.t(), false, Threads::One);
    product(cross, h, e.t(), false, Threads::One);
    let mut allowance = Allowance::new(2 * t, [h.cols, r.cols]);
    (0..t).for_each(|at| allowance.diagonal([left[at * t + at], right[at * t + at]]));
    let other = (0..t).map(|row| length(e.data, e.cols, row)).sum();
    let across = allowance.lost_across(other);
    allowance.row(other);
    let scattered = scattered(example);
    let (mut sum, mut size) = (scattered, scattered);
    let mut add = |term: f64| (sum, size) = (sum + term, size + term.abs());
    for (&x, &y) in left.iter().zip(&*right) {
        let (x, y) = (f64::from(x), f64::from(y));
        add(x * y);
        allowance.squares = [allowance.squares[0] + x * x, allowance.squares[1] + y * y];
    }
    for (cross, r) in cross.chunks_exact(t).zip(r.data.chunks_exact(r.cols)) {
        cross.iter().zip(ids).for_each(|(&x, &id)| add(2.0 * f64::from(x) * f64::from(r[id as usize])));
    }
    let whole = allowance.of_grams(sum, size, allowance.lost() + across);
    whole.unwrap_or_else(|| formed(example, &mut [const { Scratch::new() }; 3]))
}

/// `|sum_t onehot(ids_t) e_t^T|^2`.
fn scattered(example: &Example) -> f64 {
    let &Example { ids, e, .. } = example;
    let (order, mut sum) = (by_id(ids, 0..ids.len()), Vec::new());
    let groups = order.chunk_by(|&x, &y| ids[x] == ids[y]);
    groups.map(|group| together(group, e.data, e.cols, &mut sum)).sum()
}
