//! Norms of product gradients, by Gram matrices or by the gradients themselves.

use rayon::prelude::*;

use super::factors::{Buffers, Factors, Left, buffers};
use super::square;
use crate::memory::{self, Scratch};
use crate::{Mat, Tensor, Threads, product};

/// A Gram sum below this part of the sum of its terms' sizes has lost too many digits to cancellation. Each term is right to
/// about 1e-7 of its size, so what passes is right to about 64e-7 as a squared norm: inside the margin of 1e-5 that
/// clipping leaves for rounding.
pub(super) const CANCELLED: f64 = 1.0 / 64.0;

/// Whether [`product_norms`] forms the gradients: when that is cheaper than Gram matrices, `2 t (p + d) > p d` and `t > 1`.
/// It depends on shapes alone.
///
/// Mixed ghost clipping (Bu et al., arXiv 2205.10683) compares memory, `2 t^2 > p d`. In cache memory is free, so time is
/// compared: `t^2 (p + d)` against `t p d` multiplications, of which the first run at half the speed, being in small
/// products.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn materialises(left: Left, b: &Tensor) -> bool {
    forms_gradients(&Factors::new(left, b))
}

fn forms_gradients(factors: &Factors) -> bool {
    factors.t > 1 && 2 * factors.t * (factors.p + factors.d) > factors.size()
}

/// Every example's squared gradient norm.
///
/// * `t = 1`: `|a|^2 |b|^2`;
/// * few positions: `sum_ts (a a^T)_ts (b b^T)_ts` (ghost norms), unless the terms cancel so far that f32 might show
///   too small a norm: such an example's gradient is formed;
/// * else the gradients are formed, in cache; with `keep` they are kept there, `[n, p d]`, for
///   [`kept_sum`](super::kept_sum). `keep` is left empty when they were not formed ([`materialises`]). Make the vector a
///   [`Tensor`] afterwards: its storage is then recycled.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_norms(left: Left, b: &Tensor, keep: Option<&mut Vec<f32>>) -> Vec<f64> {
    let factors = Factors::new(left, b);
    match keep {
        Some(keep) if forms_gradients(&factors) => return kept(&factors, keep, &|_| {}),
        Some(keep) => keep.clear(),
        None => {}
    }
    let norm: fn(&Factors, usize, &mut Buffers, &mut [Scratch; 2]) -> f64 = match factors.t {
        1 => |factors, i, buffers, _| single(factors, i, buffers),
        _ if forms_gradients(&factors) => |factors, i, buffers, _| formed(factors, i, buffers),
        _ => ghost,
    };
    let scratch = || (buffers(), [const { Scratch::new() }; 2]);
    let examples = (0..factors.n).into_par_iter();
    examples.map_init(scratch, |(buffers, scratch), i| norm(&factors, i, buffers, scratch)).collect()
}

/// Norms of gradients that are all written to `keep`, after `map`.
fn kept(factors: &Factors, keep: &mut Vec<f32>, map: &(dyn Fn(&mut [f32]) + Sync)) -> Vec<f64> {
    let len = factors.n * factors.size();
    if keep.capacity() < len {
        memory::give(std::mem::replace(keep, memory::take(len)));
    }
    keep.resize(len, 0.0);
    let mut norms = vec![0.0; factors.n];
    if factors.size() > 0 {
        let rows = keep.par_chunks_mut(factors.size()).zip(&mut norms).enumerate();
        rows.for_each_init(buffers, |buffers, (i, (row, norm))| {
            factors.gradient(i, buffers, row);
            map(row);
            *norm = square(row);
        });
    }
    norms
}

/// Every example's squared norm after `map` has changed its gradient `[p, d]` in place.
///
/// For parameters that are themselves functions of trained ones (weight standardisation): `map` is the transposed
/// derivative. It is called once for each example, from several threads, and must depend on what it is given alone.
/// Gradients are formed one by one, in cache; with `keep` the mapped ones are kept there, `[n, p d]`, as by
/// [`product_norms`].
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_norms_mapped(
    left: Left,
    b: &Tensor,
    map: &(dyn Fn(&mut [f32]) + Sync),
    keep: Option<&mut Vec<f32>>,
) -> Vec<f64> {
    let factors = Factors::new(left, b);
    if let Some(keep) = keep {
        return kept(&factors, keep, map);
    }
    let scratch = || (buffers(), Scratch::new());
    let norm = |(buffers, scratch): &mut (Buffers, Scratch), i: usize| {
        let gradient = scratch.of(factors.size());
        factors.gradient(i, buffers, gradient);
        map(gradient);
        square(gradient)
    };
    (0..factors.n).into_par_iter().map_init(scratch, norm).collect()
}

/// `|a|^2 |b|^2`.
fn single(factors: &Factors, i: usize, buffers: &mut Buffers) -> f64 {
    let (a, b) = factors.example(i, buffers);
    square(&a.data[..factors.d]) * square(&b.data[..factors.p])
}

/// The norm of the gradient itself.
fn formed(factors: &Factors, i: usize, buffers: &mut Buffers) -> f64 {
    square(factors.any_gradient(i, buffers))
}

/// The norm by Gram matrices.
fn ghost(factors: &Factors, i: usize, buffers: &mut Buffers, [left, right]: &mut [Scratch; 2]) -> f64 {
    let (a, b) = factors.example(i, buffers);
    let gram = |m: Mat, out: &mut [f32]| product(out, m.t(), m, false, Threads::One);
    let (aa, bb) = (left.of(factors.t * factors.t), right.of(factors.t * factors.t));
    gram(a, aa);
    gram(b, bb);
    let terms = aa.iter().zip(&*bb).map(|(&x, &y)| f64::from(x) * f64::from(y));
    let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs()));
    if sum < CANCELLED * size { formed(factors, i, buffers) } else { sum }
}
