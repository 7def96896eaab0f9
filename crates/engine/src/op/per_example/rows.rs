//! Gradients that are already one row for each example: biases, scales, shifts, and whatever was materialised.
pub(super) mod gpu;

use multiversion::multiversion;
use rayon::prelude::*;

use super::squares::Squares;
use super::{inner, square};
use crate::{Part, PartMut, Tensor};

/// Rows longer than this are worth a kernel of their own on a GPU.
const LONG: usize = 1 << 13;
/// The most columns that are summed together.
const COLUMNS: usize = 1024;
/// Parts that few columns are cut into, so that all threads have some.
const PARTS: usize = 8;
/// Examples whose sum is taken in one go before it is added to the others.
const BLOCK: usize = 64;

/// Squared norms of the rows of `g` `[n, p]`.
#[must_use]
pub fn rows_norms(g: &Tensor) -> Vec<f64> {
    rows_squares(g).to_host()
}

/// As [`rows_norms`], left where they were made.
#[must_use]
pub fn rows_squares(g: &Tensor) -> Squares {
    match g.gpu() {
        Some(gpu) if g.row_len() > LONG => Squares::Device(gpu::rows_squares(gpu, g)),
        Some(_) => Squares::Rows(g.clone(), None),
        None => Squares::Host(squares(g.data(), g.rows(), g.row_len())),
    }
}

/// Squared norms of `n` rows of `len` elements.
pub(super) fn squares(rows: &[f32], n: usize, len: usize) -> Vec<f64> {
    let mut norms = vec![0.0; n];
    let blocks = norms.par_chunks_mut(BLOCK).zip(rows.par_chunks((BLOCK * len).max(1)));
    blocks.for_each(|(norms, rows)| block_squares(rows, len, norms));
    norms
}

/// Lanes that squares are added up in.
const LANES: usize = 16;
/// Elements whose squares are added up in f32, sixteen a lane: right to `17 / 2^24`, about 1e-6, at the very worst.
const RUN: usize = 16 * LANES;
/// Squared norms outside of this range may have lost squares to f32's own range: they are taken again in f64.
const SAFE: std::ops::Range<f64> = 1e-28..1e36;

/// Rows whose lanes are brought together at a time: after each row, that would take as long as the row.
const ROWS: usize = 16;

/// Squared norms of rows of `len` elements.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(crate) fn block_squares(rows: &[f32], len: usize, norms: &mut [f64]) {
    for (norms, rows) in norms.chunks_mut(ROWS).zip(rows.chunks((ROWS * len).max(1))) {
        let mut sums = [[0.0f64; LANES]; ROWS];
        // Widened once all rows have their lanes: right after each, the halves would be waited for.
        let mut lanes = [[0.0f32; LANES]; ROWS];
        for from in (0..len).step_by(RUN) {
            let run = from..len.min(from + RUN);
            let rows = rows.chunks_exact(len).map(|row| &row[run.clone()]);
            rows.zip(&mut lanes).for_each(|(run, lanes)| *lanes = squares_of_run(run));
            let all = sums.as_flattened_mut().iter_mut().zip(lanes.as_flattened());
            all.for_each(|(sum, lane)| *sum += f64::from(*lane));
        }
        for (norm, sums) in norms.iter_mut().zip(&sums) {
            let eight: [f64; 8] = std::array::from_fn(|i| sums[i] + sums[i + 8]);
            let four: [f64; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
            *norm = (four[0] + four[2]) + (four[1] + four[3]);
        }
        let doubtful = norms.iter_mut().zip(rows.chunks_exact(len)).filter(|(norm, _)| !SAFE.contains(norm));
        doubtful.for_each(|(norm, row)| *norm = square(row));
    }
}

/// The squares of a run of a row, added up lane by lane.
#[inline(always)]
fn squares_of_run(run: &[f32]) -> [f32; LANES] {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = run.as_chunks::<LANES>();
    chunks.iter().for_each(|x| (0..LANES).for_each(|i| lanes[i] += x[i] * x[i]));
    match run.last_chunk::<LANES>() {
        // The last vector again, but for what was in the chunks.
        Some(last) => {
            let seen = LANES - rest.len();
            (0..LANES).for_each(|i| lanes[i] += if i < seen { 0.0 } else { last[i] * last[i] });
        }
        None => lanes.iter_mut().zip(rest).for_each(|(sum, &x)| *sum += x * x),
    }
    lanes
}

/// `<g_i, direction>` for every row of `g` `[n, p]`.
///
/// # Panics
/// If `direction` is not `[p]`.
#[must_use]
pub fn rows_dot<'a>(g: &Tensor, direction: impl Into<Part<'a>>) -> Vec<f64> {
    let direction = direction.into();
    assert!(direction.len() == g.row_len(), "a direction of {} elements for {g:?}", direction.len());
    if let Some(gpu) = g.gpu() {
        let size = [g.rows(), g.row_len(), 0];
        return direction.on(gpu, |v| gpu::rows_dots(gpu, g.address(), v, size).to_host());
    }
    let direction = direction.host();
    (0..g.rows()).into_par_iter().map(|i| inner(g.row(i), direction)).collect()
}

/// Adds `sum_i weights[i] g_i` to `out` `[p]`, for `g` `[n, p]`.
///
/// Rows of weight exactly 0 are skipped. The result does not depend on the number of threads.
///
/// # Panics
/// If there are not `n` weights or `out` has another length.
pub fn rows_sum<'a>(g: &Tensor, weights: impl Into<Part<'a>>, out: impl Into<PartMut<'a>>) {
    let (weights, out) = (weights.into(), out.into());
    assert!(g.rows() == weights.len(), "{} weights for gradients {g:?}", weights.len());
    let p = g.row_len();
    assert!(out.len() == p, "gradients of {p} elements into {}", out.len());
    if let Some(gpu) = g.gpu() {
        return weights.on(gpu, |w| out.on(gpu, |out| gpu::rows_sum(gpu, g, w, out, 1)));
    }
    let (g, weights, out) = (g.data(), weights.host(), out.host());
    let used: Vec<usize> = (0..weights.len()).filter(|&i| weights[i] != 0.0).collect();
    let columns = p.div_ceil(PARTS).next_multiple_of(32).clamp(32, COLUMNS);
    out.par_chunks_mut(columns).enumerate().for_each(|(index, sum)| {
        let mut part = [0.0; COLUMNS];
        let part = &mut part[..sum.len()];
        for block in used.chunks(BLOCK) {
            part.fill(0.0);
            add_block(part, block, weights, &g[index * columns..], p);
            sum.iter_mut().zip(&*part).for_each(|(s, p)| *s += p);
        }
    });
}

/// As [`rows_sum`] for several gradients at once, each with its weights and the first of the elements of `out` that its sum is added
/// to, or if not `onto` put instead of, which no two share. On a GPU one launch takes all that are of few examples.
///
/// # Panics
/// As [`rows_sum`].
pub fn rows_sums(all: &[(&Tensor, &Tensor, usize)], out: PartMut, onto: bool) {
    let fits = all.iter().all(|(g, weights, first)| g.rows() == weights.len() && first + g.row_len() <= out.len());
    assert!(fits, "gradients {all:?} into {}", out.len());
    match all.iter().find_map(|(g, ..)| g.gpu()) {
        Some(gpu) => out.on(gpu, |out| gpu::rows_sums(gpu, all, out, onto)),
        None => {
            let out = out.host();
            for (g, weights, first) in all {
                let mut out = PartMut::from(&mut out[*first..first + g.row_len()]);
                if !onto {
                    out.clear();
                }
                rows_sum(g, *weights, out);
            }
        }
    }
}

/// `part += sum_i weights[i] g[i p..]`, four rows at a time.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add_block(part: &mut [f32], rows: &[usize], weights: &[f32], g: &[f32], p: usize) {
    let len = part.len();
    let row = |i: usize| (weights[i], &g[i * p..i * p + len]);
    let (fours, rest) = rows.as_chunks::<4>();
    for four in fours {
        let [(w0, r0), (w1, r1), (w2, r2), (w3, r3)] = four.map(row);
        for j in 0..len {
            part[j] += (w0 * r0[j] + w1 * r1[j]) + (w2 * r2[j] + w3 * r3[j]);
        }
    }
    for (w, row) in rest.iter().map(|&i| row(i)) {
        part.iter_mut().zip(row).for_each(|(s, r)| *s += w * r);
    }
}

#[cfg(test)]
mod tests {
    use super::squares;

    fn wide(row: &[f32]) -> f64 {
        row.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
    }

    /// Rows of every length around the lanes and runs, and more than a block of them, against sums in f64; nobody else's
    /// infinity.
    #[test]
    fn squares_of_rows_are_their_own() {
        for len in [0, 1, 15, 16, 17, 31, 108, 256, 257, 1000] {
            let mut rows: Vec<f32> = (0..150 * len).map(|i| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0).collect();
            rows[100 * len..101 * len].fill(f32::INFINITY);
            let got = squares(&rows, 150, len);
            assert_eq!(got.len(), 150);
            for (i, got) in got.into_iter().enumerate() {
                let want = wide(&rows[i * len..(i + 1) * len]);
                assert!(got == want || (got - want).abs() <= 1e-6 * want, "row {i} of {len}: {got}, {want}");
            }
        }
    }

    /// Squares that f32 has no room for, alone and beside others, are not lost.
    #[test]
    fn no_square_is_lost_to_the_range_of_f32() {
        let sizes = [1e-45f32, 1e-38, 1e-30, 1e-23, 1e-19, 1e-14, 1e-12, 1.0, 1e17, 1e19, 1e30, 3e38];
        for large in sizes {
            for small in sizes {
                let mut row = vec![small; 300];
                row[17] = large;
                let (got, want) = (squares(&row, 1, 300)[0], wide(&row));
                assert!((got - want).abs() <= 1e-6 * want, "{small} beside {large}: {got}, {want}");
            }
        }
        assert_eq!(squares(&[0.0; 40], 1, 40), [0.0]);
        assert!(squares(&[f32::NAN, 1.0], 1, 2)[0].is_nan());
    }
}
