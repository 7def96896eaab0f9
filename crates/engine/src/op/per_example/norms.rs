//! Norms of product gradients, by Gram matrices or by the gradients themselves.

use rayon::prelude::*;

use super::factors::{Buffers, Factors, Left, add_transposed, buffers};
use super::gpu::{self, Squares};
use super::rows::squares;
use super::{rows_sum, square};
use crate::memory::Scratch;
use crate::{Mat, Part, PartMut, Tensor, Threads, product};

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
/// * else the gradients are formed, in cache ([`materialises`]).
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_norms(left: Left, b: &Tensor) -> Vec<f64> {
    let factors = Factors::new(left, b);
    match b.gpu() {
        Some(gpu) => gpu::squares(gpu, &factors).0.to_host(),
        None => short(&factors),
    }
}

/// As [`product_norms`]; gradients that had to be formed are kept for their sum. On a GPU norms by Gram matrices are upper
/// bounds: see `per_example/gpu.rs`.
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
        let (norms, rows) = gpu::squares(gpu, &factors);
        return (Squares::Device(norms), rows.map(|rows| Kept { rows, lying: None }));
    }
    if forms_gradients(&factors) {
        let (norms, kept) = keep(&factors);
        (Squares::Host(norms), Some(kept))
    } else {
        (Squares::Host(short(&factors)), None)
    }
}

/// Every example's gradient, as taking norms formed it.
#[derive(Clone, Debug)]
pub struct Kept {
    rows: Tensor,
    /// The number of outputs `p`, where the rows are `[d, p]` and not `[p, d]`.
    lying: Option<usize>,
}

impl Kept {
    /// Adds `sum_i weights[i] G_i` to `out` `[p d]`. Examples of weight exactly 0 are skipped.
    ///
    /// # Panics
    /// If there are not `n` weights or `out` has another length.
    pub fn sum<'a>(&self, weights: impl Into<Part<'a>>, out: impl Into<PartMut<'a>>) {
        let (weights, out) = (weights.into(), out.into());
        let Some(p) = self.lying else { return rows_sum(&self.rows, weights, out) };
        let out = out.host();
        let mut lying = Tensor::zeros([out.len()]);
        rows_sum(&self.rows, weights, &mut lying);
        add_transposed(lying.data(), out, p);
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
    (norms, Kept { rows, lying: factors.lies().then_some(factors.p) })
}

fn short(factors: &Factors) -> Vec<f64> {
    if let (1, None) = (factors.t, &factors.unfolding) {
        let [a, b] = [(factors.a, factors.d), (factors.b, factors.p)].map(|(x, len)| squares(x.data(), factors.n, len));
        return a.into_iter().zip(b).map(|(a, b)| a * b).collect();
    }
    let norm: fn(&Factors, usize, &mut Buffers, &mut [Scratch; 2]) -> f64 = match factors.t {
        1 => |factors, i, buffers, _| single(factors, i, buffers),
        _ if forms_gradients(factors) => |factors, i, buffers, _| formed(factors, i, buffers),
        _ => ghost,
    };
    let scratch = || (buffers(), [const { Scratch::new() }; 2]);
    let examples = (0..factors.n).into_par_iter();
    examples.map_init(scratch, |(buffers, scratch), i| norm(factors, i, buffers, scratch)).collect()
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

/// Columns of a Gram matrix that are made together: one panel of the product kernel, which is packed once, and below whose
/// diagonal all is made.
const GRAM: usize = 32;

/// The norm by Gram matrices: their lower halves, since they are symmetric.
fn ghost(factors: &Factors, i: usize, buffers: &mut Buffers, [left, right]: &mut [Scratch; 2]) -> f64 {
    let (a, b) = factors.example(i, buffers);
    let (mut sum, mut size) = (0.0, 0.0);
    for from in (0..factors.t).step_by(GRAM) {
        let width = GRAM.min(factors.t - from);
        let (aa, bb) = (gram(a, from, width, left), gram(b, from, width, right));
        for (row, (aa, bb)) in aa.chunks_exact(width).zip(bb.chunks_exact(width)).enumerate() {
            let terms = aa.iter().zip(bb).map(|(a, b)| f64::from(*a) * f64::from(*b));
            // Twice what lies below the diagonal, once what lies on it.
            for (column, term) in terms.enumerate().take(row + 1) {
                let term = if column < row { 2.0 * term } else { term };
                sum += term;
                size += term.abs();
            }
        }
    }
    if sum < CANCELLED * size { formed(factors, i, buffers) } else { sum }
}

/// Columns `from..from + width` of `m^T m`, from the diagonal down.
fn gram<'s>(m: Mat, from: usize, width: usize, scratch: &'s mut Scratch) -> &'s [f32] {
    let below = Mat { data: &m.data[from * m.col_stride..], cols: m.cols - from, ..m };
    let out = scratch.of(below.cols * width);
    product(out, below.t(), Mat { cols: width, ..below }, false, Threads::One);
    out
}
