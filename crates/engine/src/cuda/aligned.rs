//! Products of matrices whose rows do not begin at multiples of 16 bytes.
//!
//! Tensor cores are fed 16 bytes at a time; with rows of 50257 numbers cuBLAS takes kernels a third as fast. Copying such a
//! matrix to longer rows costs far less than that: of a dimension that is no multiple of 8, the largest multiple is
//! multiplied from the copies, and the few rows or columns that are left as they are.

use super::blas::{Blas, Matrix, Product};
use super::rows::move_rows;
use super::{Buffer, Gpu, Precision};
use crate::Dtype;

/// Multiplications that are worth the copies.
const LARGE: usize = 1 << 29;
/// Rows of copies are multiples of this many numbers.
const ROW: usize = 8;

/// How far apart the rows of a product `[m, n]` of `k` terms should be, if they should be further apart than they are long.
pub(crate) fn pitch(gpu: &Gpu, [m, n, k]: [usize; 3], dtype: Dtype) -> Option<usize> {
    let wanted = gpu.precision() != Precision::F32
        && !n.is_multiple_of(16 / dtype.bytes())
        && n >= 64 * ROW
        && m * n * k >= LARGE;
    wanted.then(|| n.next_multiple_of(ROW))
}

/// Which dimension of a product.
const M: usize = 0;
const N: usize = 1;
const K: usize = 2;

/// Carries the product out by copies, if that pays: whether it did.
pub(super) fn by_copies(blas: &Blas, gpu: &'static Gpu, [out, a, b]: [Matrix; 3], how: &Product) -> bool {
    let [m, n, k] = how.size;
    if how.precision == Precision::F32 || m * n * k * how.batch < LARGE {
        return false;
    }
    // The dimension along the rows of each, and how many rows it has.
    let (a_along, a_rows) = if a.turned { (M, k) } else { (K, m) };
    let (b_along, b_rows) = if b.turned { (K, n) } else { (N, k) };
    let odd = |matrix: Matrix| !matrix.row.is_multiple_of(matrix.together());
    // Rows that are far enough apart may still be of an odd length.
    let of = |matrix: Matrix, along: usize| {
        (odd(matrix) || !how.size[along].is_multiple_of(matrix.together())).then_some(along)
    };
    let mut dimensions = [of(a, a_along), of(b, b_along), of(out, N)].into_iter().flatten();
    let Some(split) = dimensions.next().filter(|first| dimensions.all(|other| other == *first)) else { return false };
    if how.size[split] < 64 * ROW || (how.beta != 0.0 && odd(out)) {
        return false;
    }
    let (Some(first), Some(second)) = (Copy::of(gpu, a, a_rows, how.batch), Copy::of(gpu, b, b_rows, how.batch)) else {
        return false;
    };
    let result = if odd(out) { Copy::room(gpu, out, m, how.batch) } else { Copy::none(out) };
    in_two(blas, gpu, [result.matrix, first.matrix, second.matrix], how, split);
    if odd(out) {
        move_rows(gpu, out.dtype, (result.matrix.at, result.matrix.row), (out.at, out.row), [m * how.batch, out.row]);
    }
    true
}

/// A matrix, or its copy with longer rows.
struct Copy {
    matrix: Matrix,
    _memory: Option<Buffer>,
}

impl Copy {
    fn none(matrix: Matrix) -> Self {
        Self { matrix, _memory: None }
    }

    /// Room for a copy.
    fn room(gpu: &'static Gpu, matrix: Matrix, rows: usize, batch: usize) -> Self {
        let row = matrix.row.next_multiple_of(ROW);
        let memory = Buffer::new(gpu, rows * batch * row * matrix.dtype.bytes());
        let step = if batch > 1 { rows * row } else { 0 };
        Self { matrix: Matrix { at: memory.address(), row, step, ..matrix }, _memory: Some(memory) }
    }

    /// The matrix itself, where its rows are fine; none where a batch does not lie in one piece.
    fn of(gpu: &'static Gpu, matrix: Matrix, rows: usize, batch: usize) -> Option<Self> {
        if matrix.row.is_multiple_of(matrix.together()) {
            return Some(Self::none(matrix));
        }
        if batch > 1 && matrix.step != rows * matrix.row {
            return None;
        }
        let copy = Self::room(gpu, matrix, rows, batch);
        move_rows(
            gpu,
            matrix.dtype,
            (matrix.at, matrix.row),
            (copy.matrix.at, copy.matrix.row),
            [rows * batch, matrix.row],
        );
        Some(copy)
    }
}

/// The product over the largest multiple of [`ROW`] of one dimension, and over the rest.
fn in_two(blas: &Blas, gpu: &'static Gpu, [out, a, b]: [Matrix; 3], how: &Product, split: usize) {
    let whole = how.size[split] / ROW * ROW;
    let sized = |size: usize, beta: f32| {
        let mut part = Product { beta, ..*how };
        part.size[split] = size;
        part
    };
    blas.plain(gpu, out, a, b, &sized(whole, how.beta));
    if whole == how.size[split] {
        return;
    }
    // From number `whole` on, along rows or across them.
    let later = |matrix: Matrix, along: bool| matrix.from(whole * if along { 1 } else { matrix.row });
    let (out, a, b, beta) = match split {
        M => (later(out, false), later(a, a.turned), b, how.beta),
        N => (later(out, true), a, later(b, !b.turned), how.beta),
        _ => (out, later(a, !a.turned), later(b, b.turned), 1.0),
    };
    blas.plain(gpu, out, a, b, &sized(how.size[split] - whole, beta));
}
