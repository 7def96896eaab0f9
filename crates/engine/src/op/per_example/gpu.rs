//! Per-example norms and sums on a GPU.
//!
//! # Why this is private
//! *Claim.* With any [`Precision`](crate::Precision), what an example adds to a sum is no longer than its weight times the
//! norm reported for it, but for the rounding of f32 sums, which clipping's margin covers.
//! *Argument.* Three ways lead to a norm.
//! * The gradient itself is made, by a product whose factors may be rounded; its norm is taken in f64, and the SAME numbers,
//!   made again by the same operations ([`tiles`], [`products`]), are then weighed and summed in f32. How the factors were
//!   rounded does not matter.
//! * One position (`t = 1`): norms and sums are true f32, whatever the precision.
//! * Gram matrices: `n^2 = sum_ts (a_t a_s)(b_t b_s)` of the rounded factors. Their sum multiplies `w b` instead of `b`, and
//!   `round(w b)` is not `w round(b)`: each is within `unit` of `w b`, relative, so term `t` moves by at most
//!   `2 unit w |a_t| |b_t|`. Terms may cancel and these errors do not: the bound is `2 unit s` with
//!   `s = sum_t |a_t| |b_t|`, the roots of the matrices' diagonals. Rounding in the accumulation of `n^2` is allowed for by
//!   [`slack`] `s^2`: in f32 sums are rounded to nearest; tensor cores cut off, which showed 1.3e-5 of the squared norm where it
//!   shows most (all numbers positive). What is reported is `sqrt(n^2 + slack s^2) + 2 unit s`: for terms at right angles,
//!   with `t = 128` in TF32, 2 % above the norm; never below it.
//!
//! A rounded `a` is the same in the Gram matrix and in the sum: a library rounds a number one way.
//! *Tests.* `tests/gpu.rs`: `sums_stay_within_reported_norms`, with factors whose terms cancel, at each precision.

use super::factors::Factors;
use super::squares::{Numbers, Squares};
use super::{products, tiles};
use crate::cuda::blas::{Matrix, Product};
use crate::cuda::{Buffer, Grid, arguments};
use crate::op::unfold;
use crate::{Device, Gpu, Part, Precision, Tensor};

/// Rounding to f32.
const EPSILON: f64 = 1.0 / (1 << 24) as f64;
/// Elements of Gram matrices that are held at a time.
const GRAMS: usize = 1 << 26;
/// Threads for each example's reductions.
const THREADS: u32 = 256;

/// What rounding may take from a sum of products of Gram matrices, relative to the square of the sum of its terms' sizes.
fn slack(gpu: &Gpu) -> f64 {
    if gpu.precision() == Precision::F32 { 2f64.powi(-21) } else { 2f64.powi(-16) }
}

/// How far one term of a sum may move because a weighted factor is rounded anew.
fn unit(gpu: &Gpu) -> f64 {
    2.0 * gpu.precision().unit() + 2.0 * EPSILON
}

/// Pieces that a row of `len` is cut into, so that few long rows keep the GPU busy.
fn pieces(len: usize) -> usize {
    len.div_ceil(1 << 13).clamp(1, 64)
}

/// One number for each of `n` examples, from `pieces` parts each that `kernel` makes.
fn reduce(gpu: &'static Gpu, n: usize, pieces: usize, kernel: impl FnOnce(Grid, u64)) -> Numbers {
    let (parts, out) = (Numbers::new(gpu, n * pieces), Numbers::new(gpu, n));
    kernel(Grid::blocks(n, pieces, THREADS), parts.at());
    if pieces == 1 {
        return parts;
    }
    gpu.launch("sum_parts", Grid::over(n), arguments![parts.at(), out.at(), n, pieces]);
    out
}

/// Squared norms of `n` rows of `p` at `rows`.
pub(super) fn rows_squares(gpu: &'static Gpu, rows: u64, n: usize, p: usize) -> Numbers {
    reduce(gpu, n, pieces(p), |grid, parts| gpu.launch("square_rows", grid, arguments![rows, parts, p]))
}

/// Inner products of `n` rows of `p` at `rows` with rows at `other`, `stride` apart.
pub(super) fn rows_dots(gpu: &'static Gpu, rows: u64, other: u64, [n, p, stride]: [usize; 3]) -> Numbers {
    reduce(gpu, n, pieces(p), |grid, parts| gpu.launch("dot_rows", grid, arguments![rows, other, parts, p, stride]))
}

/// `out += sum_i weights[i] rows[i]`.
pub(super) fn rows_sum(gpu: &'static Gpu, rows: u64, weights: u64, out: u64, [n, p]: [usize; 2]) {
    gpu.launch("sum_rows", Grid::blocks(p.div_ceil(32), 1, 1024), arguments![rows, weights, out, n, p]);
}

/// Whether Gram matrices are cheaper than the gradients: `t^2 (p + d)` against `t p d` multiplications.
fn by_grams(factors: &Factors) -> bool {
    let &Factors { t, d, p, .. } = factors;
    factors.unfolding.is_none() && t * (p + d) < p * d
}

/// Squared norms.
pub(super) fn squares(gpu: &'static Gpu, factors: &Factors) -> Squares {
    let &Factors { n, t, d, p, a, b, window, .. } = factors;
    Squares::Device(match window {
        _ if n * t * d * p == 0 => {
            let out = Numbers::new(gpu, n);
            gpu.clear(out.at(), 8 * n);
            out
        }
        Some(window) => tiles::squares(gpu, factors, window),
        None if t == 1 => return Squares::Rows(a.clone(), Some(b.clone())),
        None if by_grams(factors) => grams(gpu, factors, None),
        None => products::squares(gpu, factors),
    })
}

/// What a table that is used twice adds to the Gram matrices of its product part.
pub(super) struct Twice<'a> {
    /// `e` `[n, t, d]`, the gradients by the embeddings.
    pub(super) e: &'a Tensor,
    /// The address of the ids.
    pub(super) ids: u64,
    /// Squared norms of the scattered part.
    pub(super) scattered: Numbers,
}

/// Upper bounds of squared norms by Gram matrices, for as many examples at a time as memory is held for.
pub(super) fn grams(gpu: &'static Gpu, factors: &Factors, twice: Option<&Twice>) -> Numbers {
    let &Factors { n, t, d, p, a, b, .. } = factors;
    let (out, most) = (Numbers::new(gpu, n), (GRAMS / (2 * t * t)).clamp(1, n.max(1)));
    let squares = [0; 3].map(|_| Buffer::of(gpu, most * t * t));
    let pieces = pieces(t * t);
    let (parts, crosses) = (Numbers::new(gpu, 2 * most * pieces), Numbers::new(gpu, 2 * most));
    let blas = gpu.blas();
    for first in (0..n).step_by(most) {
        let batch = most.min(n - first);
        let part = |x: &Tensor| {
            let (at, row) = x.rows_at();
            Matrix::new(at + (4 * first * t * row) as u64, row).every(t * row)
        };
        let square = |k: usize| Matrix::new(squares[k].address(), t).every(t * t);
        let how = |inner: usize| Product { batch, ..Product::new(gpu, t, t, inner) };
        blas.product(gpu, square(0), part(a), part(a).t(), &how(d));
        blas.product(gpu, square(1), part(b), part(b).t(), &how(p));
        let grid = Grid::blocks(batch, pieces, THREADS);
        gpu.launch("gram_parts", grid, arguments![square(0).at, square(1).at, parts.at(), t]);
        let to = out.at() + 8 * first as u64;
        let Some(Twice { e, ids, scattered }) = twice else {
            let list = arguments![parts.at(), to, batch, pieces, slack(gpu), unit(gpu)];
            gpu.launch("gram_norms", Grid::over(batch), list);
            continue;
        };
        blas.product(gpu, square(2), part(a), part(e).t(), &how(d));
        let (ids, scattered) = (ids + (4 * first * t) as u64, scattered.at() + 8 * first as u64);
        let list = arguments![square(2).at, part(b).at, part(e).at, ids, crosses.at(), t, part(b).row, d];
        gpu.launch("tied_parts", Grid::blocks(batch, 1, THREADS), list);
        let list = arguments![parts.at(), crosses.at(), scattered, to, batch, pieces, slack(gpu), unit(gpu)];
        gpu.launch("tied_norms", Grid::over(batch), list);
    }
    out
}

/// Every example's gradient, `[n, p d]`.
pub(super) fn rows(gpu: &'static Gpu, factors: &Factors) -> Tensor {
    let &Factors { n, t, d, p, a, b, window, .. } = factors;
    let mut rows = Tensor::unfilled_on(Device::Cuda(gpu), [n, p * d]);
    if t == 0 {
        rows.clear();
        return rows;
    }
    let to = |first: usize| Matrix::new(rows.address() + (4 * first * p * d) as u64, d).every(p * d);
    let b = |first: usize| b.address() + (4 * first * t * p) as u64;
    match window {
        None => {
            let (a, b) = (Matrix::new(a.address(), d).every(t * d), Matrix::new(b(0), p).every(t * p));
            gpu.blas().product(gpu, to(0), b.t(), a, &Product { batch: n, ..exact(gpu, t, [p, d, t]) });
        }
        Some(window) => unfold::each_part(gpu, a, window, |first, images, cols, _| {
            let (a, b) = (Matrix::new(cols, t).every(d * t), Matrix::new(b(first), t).every(p * t));
            gpu.blas().product(gpu, to(first), b, a.t(), &Product { batch: images, ..exact(gpu, t, [p, d, t]) });
        }),
    }
    rows
}

/// A product that is true f32 where there is but one position.
fn exact(gpu: &Gpu, t: usize, [m, n, k]: [usize; 3]) -> Product {
    let precision = if t == 1 { Precision::F32 } else { gpu.precision() };
    Product { precision, ..Product::new(gpu, m, n, k) }
}

/// `out += sum_i weights[i] G_i`.
pub(super) fn sum(gpu: &'static Gpu, factors: &Factors, weights: Part, out: u64) {
    let &Factors { n, t, d, p, window, .. } = factors;
    if n * t * d * p == 0 {
        return;
    }
    weights.on(gpu, |weights| match window {
        Some(window) => tiles::sum(gpu, factors, window, weights, out),
        None if t == 1 || by_grams(factors) => weighed_sum(gpu, factors, weights, out),
        None => products::sum(gpu, factors, weights, out),
    });
}

/// As one product. The narrower factor is weighed; numbers that are not finite are taken out of the other where the weight is 0.
fn weighed_sum(gpu: &'static Gpu, factors: &Factors, weights: u64, out: u64) {
    let &Factors { n, t, d, p, a, b, .. } = factors;
    let (narrow, wide) = if d < p { (a, b) } else { (b, a) };
    let (scaled, (at, row)) = (Buffer::of(gpu, narrow.len()), wide.rows_at());
    let pieces = narrow.row_len().div_ceil(1024).clamp(64.min((t * row).div_ceil(1024)), 4096);
    let list = arguments![narrow, weights, &scaled, narrow.row_len(), at, t * row];
    gpu.launch("weigh_rows", Grid::blocks(n, pieces, THREADS), list);
    let (scaled, wide) = (Matrix::new(scaled.address(), narrow.last()), Matrix::new(at, row));
    let (a, b) = if d < p { (scaled, wide) } else { (wide, scaled) };
    let how = Product { beta: 1.0, ..exact(gpu, t, [p, d, n * t]) };
    gpu.blas().product(gpu, Matrix::new(out, d), b.t(), a, &how);
}

/// `<G_i, v>` for every example, as `sum_t b_it^T V a_it`, in true f32.
pub(super) fn dots(gpu: &'static Gpu, factors: &Factors, v: Part) -> Vec<f64> {
    let &Factors { n, t, d, p, a, b, window, .. } = factors;
    let image = Buffer::of(gpu, n * t * p);
    let how = |m: usize, n: usize, k: usize| Product { precision: Precision::F32, ..Product::new(gpu, m, n, k) };
    v.on(gpu, |v| match window {
        None => {
            let (to, a) = (Matrix::new(image.address(), p), Matrix::new(a.address(), d));
            gpu.blas().product(gpu, to, a, Matrix::new(v, d).t(), &how(n * t, p, d));
        }
        Some(window) => unfold::each_part(gpu, a, window, |first, images, cols, _| {
            let to = Matrix::new(image.address() + (4 * first * p * t) as u64, t).every(p * t);
            let how = Product { batch: images, ..how(p, t, d) };
            gpu.blas().product(gpu, to, Matrix::new(v, d), Matrix::new(cols, t).every(d * t), &how);
        }),
    });
    rows_dots(gpu, image.address(), b.address(), [n, t * p, t * p]).to_host()
}
