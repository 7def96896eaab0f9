//! Norms of product gradients, by Gram matrices or by the gradients themselves.

use rayon::prelude::*;

use super::allowance::outer;
use super::factors::{Buffers, Factors, Left, buffers};
use super::ghost::{self, Scratches, forms_gradients};
use super::gpu;
use super::kept::Kept;
use super::rows::squares;
use super::square;
use super::squares::Squares;
use crate::Tensor;
use crate::memory::Scratch;

/// Whether [`product_norms`] forms the gradients, because that is cheaper than Gram matrices. It depends on shapes alone:
/// see `per_example/ghost.rs`.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn materialises(left: Left, b: &Tensor) -> bool {
    forms_gradients(&Factors::new(left, b))
}

/// Every example's squared gradient norm.
///
/// * `t = 1`: `|a|^2 |b|^2`;
/// * few positions: `sum_ts (a a^T)_ts (b b^T)_ts` (ghost norms) and what rounding may add to it, here and in [`product_sum`](super::product_sum)
///   (`per_example/allowance.rs`); where the terms cancel so far that f32 might show too small a norm, the example's gradient is formed;
/// * else the gradients are formed, in cache ([`materialises`]): what sums them is [`Kept`], as [`product_norms_kept`] hands it out.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_norms(left: Left, b: &Tensor) -> Vec<f64> {
    let factors = Factors::new(left, b);
    match b.gpu() {
        Some(gpu) => gpu::squares(gpu, &factors, false).0.to_host(),
        None => short(&factors),
    }
}

/// As [`product_norms`]; gradients that had to be formed are kept for their sum, on a GPU where that is quicker than to form
/// them again. On a GPU norms by Gram matrices are upper bounds: see `per_example/gpu.rs`.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_norms_kept(left: Left, b: &Tensor) -> (Vec<f64>, Option<Kept>) {
    let (squares, kept) = product_squares_kept(left, b);
    (squares.to_host(), kept)
}

/// As [`product_norms_kept`], left where they were made.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_squares_kept(left: Left, b: &Tensor) -> (Squares, Option<Kept>) {
    let factors = Factors::new(left, b);
    if let Some(gpu) = b.gpu() {
        return gpu::squares(gpu, &factors, true);
    }
    if forms_gradients(&factors) {
        let (norms, kept) = keep(&factors);
        (Squares::Host(norms), Some(kept))
    } else {
        (Squares::Host(short(&factors)), None)
    }
}

fn keep(factors: &Factors) -> (Vec<f64>, Kept) {
    let mut rows = Tensor::unfilled([factors.n, factors.size()]);
    let mut norms = vec![0.0; factors.n];
    if factors.size() > 0 {
        let each = rows.data_mut().par_chunks_mut(factors.size()).zip(&mut norms).enumerate();
        each.for_each_init(buffers, |buffers, (i, (row, norm))| {
            factors.add(i, 1.0, false, buffers, row);
            *norm = square(row);
        });
    }
    (norms, Kept::new(rows, if factors.lies() { factors.d } else { 1 }))
}

fn short(factors: &Factors) -> Vec<f64> {
    if let (1, None) = (factors.t, &factors.unfolding) {
        let [a, b] = [(factors.a, factors.d), (factors.b, factors.p)].map(|(x, len)| squares(x.data(), factors.n, len));
        return a.into_iter().zip(b).map(|(a, b)| outer(a, b)).collect();
    }
    let forms = forms_gradients(factors);
    let norm = |(buffers, scratch): &mut (Buffers, Scratches), i: usize| match factors.t {
        1 => ghost::single(factors, i, buffers),
        _ if forms => square(factors.any_gradient(i, buffers)),
        _ => {
            let short = ghost::norm(factors, i, buffers, scratch);
            short.unwrap_or_else(|allowance| allowance.of_formed(square(factors.any_gradient(i, buffers))))
        }
    };
    let scratch = || (buffers(), [const { Scratch::new() }; 3]);
    (0..factors.n).into_par_iter().with_max_len(1).map_init(scratch, norm).collect()
}
