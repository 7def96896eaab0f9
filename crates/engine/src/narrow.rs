//! Products with few columns or few rows, by vectors along the long side.
//!
//! The kernel of [`crate::kernel`] makes panels of 16 or 32 columns: of a product of two columns it would make sixteen times
//! too many, and for one of two rows it would pack the whole right factor to read it once.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::Mat;
use crate::kernel::Scale;
use crate::matmul::{DEPTH, Extra, Threads};
use crate::op::{lanes, rows_at_least};

/// At most so many columns, or rows.
const FEW: usize = 4;
/// The inner dimension is at least this long.
const LONG: usize = 32;
/// Columns of a product of few rows that are made together: sums of two rows stay in registers.
const COLUMNS: usize = 64;

/// Makes `out = a b`, or `out += a b`, if the product is of a kind that is made here; says whether it is.
pub(crate) fn product(out: &mut [f32], a: Mat, b: Mat, extra: &Extra, accumulate: bool, threads: Threads) -> bool {
    let plain = matches!(extra.scale, Scale::All(scale) if scale == 1.0);
    if a.cols < LONG {
        false
    } else if b.cols <= FEW && b.row_stride == 1 && a.col_stride == 1 && plain && !accumulate {
        let rows = if threads == Threads::Many { rows_at_least(a.cols) } else { a.rows };
        let blocks = out.par_chunks_mut(rows * b.cols).enumerate();
        blocks.for_each(|(block, out)| few_columns(out, a, block * rows, b, extra.start));
        true
    } else if a.rows <= FEW && b.col_stride == 1 && extra.start.is_none() {
        for first in (0..a.rows).step_by(2) {
            let out = &mut out[first * b.cols..][..b.cols * (a.rows - first).min(2)];
            for (block, pairs) in pairs(a, first, extra.scale).chunks(DEPTH).enumerate() {
                let b = Mat { data: &b.data[block * DEPTH * b.row_stride..], ..b };
                two_rows(out, pairs, b, accumulate || block > 0);
            }
        }
        true
    } else {
        false
    }
}

/// Rows `first..` of `a` times `b`, whose columns lie along memory; columns of the result begin with `start`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn few_columns(out: &mut [f32], a: Mat, first: usize, b: Mat, start: Option<&[f32]>) {
    for (i, out) in (first..).zip(out.chunks_exact_mut(b.cols)) {
        let row = &a.data[i * a.row_stride..][..a.cols];
        for (j, out) in out.iter_mut().enumerate() {
            let column = &b.data[j * b.col_stride..][..b.rows];
            *out = start.map_or(0.0, |start| start[j]) + lanes::inner(row, column);
        }
    }
}

/// Rows `first` and `first + 1` (zeros, if there is none) of `a`, step by step and scaled.
fn pairs(a: Mat, first: usize, scale: Scale) -> Vec<[f32; 2]> {
    let at = |i: usize, k: usize| if i < a.rows { a.data[i * a.row_stride + k * a.col_stride] } else { 0.0 };
    (0..a.cols).map(|k| [first, first + 1].map(|i| at(i, k) * scale.at(k))).collect()
}

/// `out = a b` or `out += a b` for one or two rows of the result, whose left factor comes in pairs.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn two_rows(out: &mut [f32], a: &[[f32; 2]], b: Mat, accumulate: bool) {
    for from in (0..b.cols).step_by(COLUMNS) {
        let width = COLUMNS.min(b.cols - from);
        let mut sums = [[0.0f32; COLUMNS]; 2];
        for (k, [x, y]) in a.iter().enumerate() {
            let row = &b.data[k * b.row_stride + from..][..width];
            if let Some(row) = row.first_chunk::<COLUMNS>() {
                (0..COLUMNS).for_each(|j| sums[0][j] += x * row[j]);
                (0..COLUMNS).for_each(|j| sums[1][j] += y * row[j]);
            } else {
                sums[0].iter_mut().zip(row).for_each(|(s, b)| *s += x * b);
                sums[1].iter_mut().zip(row).for_each(|(s, b)| *s += y * b);
            }
        }
        for (out, sums) in out.chunks_exact_mut(b.cols).zip(&sums) {
            let out = out[from..].iter_mut().zip(&sums[..width]);
            out.for_each(|(o, s)| *o = if accumulate { *o + s } else { *s });
        }
    }
}
