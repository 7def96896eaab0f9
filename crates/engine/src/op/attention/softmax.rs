//! Softmax over rows of scores, and which of them count.

use multiversion::multiversion;

use crate::math;
use crate::op::lanes;

/// Which keys a query does not see.
pub(super) struct Mask<'a> {
    causal: bool,
    present: Option<&'a [bool]>,
    /// The first queries, which see nobody.
    pub(super) blind: usize,
}

impl<'a> Mask<'a> {
    /// For `t` positions.
    pub(super) fn new(causal: bool, present: Option<&'a [bool]>, t: usize) -> Self {
        let first = present.map_or(0, |flags| flags.iter().position(|&present| present).unwrap_or(t));
        Self { causal, present, blind: if causal || first == t { first } else { 0 } }
    }

    /// Scores that do not count become minus infinity, in rows of `keys` for the queries from `first` on.
    pub(super) fn hide(&self, scores: &mut [f32], first: usize, keys: usize) {
        if let Some(present) = self.present {
            scores.chunks_exact_mut(keys).for_each(|row| hide_absent(row, &present[..keys]));
        }
        if self.causal {
            let rows = scores.chunks_exact_mut(keys).zip(first + 1..);
            rows.for_each(|(row, seen)| row[seen..].fill(f32::NEG_INFINITY));
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn hide_absent(row: &mut [f32], present: &[bool]) {
    row.iter_mut().zip(present).for_each(|(s, &present)| *s = if present { *s } else { f32::NEG_INFINITY });
}

/// Rows of `keys` scores become probabilities but for the factor `scales`, one over the sum of a row's exponentials after
/// `tops`, its largest score, was subtracted. Both are 0 for the first `blind` rows, which become 0.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn exp_rows(scores: &mut [f32], keys: usize, blind: usize, tops: &mut [f32], scales: &mut [f32]) {
    scores[..blind * keys].fill(0.0);
    tops[..blind].fill(0.0);
    scales[..blind].fill(0.0);
    let sums = tops.iter_mut().zip(scales).skip(blind);
    for (row, (top, scale)) in scores.chunks_exact_mut(keys).skip(blind).zip(sums) {
        *top = lanes::largest(row);
        *scale = 1.0 / exponentials(row, *top);
    }
}

/// `row *= scale` for rows of `width`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn scale_rows(rows: &mut [f32], width: usize, scales: &[f32]) {
    let rows = rows.chunks_exact_mut(width).zip(scales);
    rows.for_each(|(row, scale)| row.iter_mut().for_each(|x| *x *= scale));
}

/// Rows of `keys` scores become probabilities again, and the gradients `dp` by them become gradients by the scores:
/// `p (dp - sum(p dp))`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(super) fn backward_rows(scores: &mut [f32], dp: &mut [f32], keys: usize, tops: &[f32], scales: &[f32]) {
    let rows = scores.chunks_exact_mut(keys).zip(dp.chunks_exact_mut(keys));
    for ((p, dp), (top, scale)) in rows.zip(tops.iter().zip(scales)) {
        let mean = exponentials_with(p, dp, *top, *scale);
        dp.iter_mut().zip(&*p).for_each(|(dp, p)| *dp = p * (*dp - mean));
    }
}

/// The row becomes `exp(row - shift)`; its sum.
#[inline(always)]
fn exponentials(row: &mut [f32], shift: f32) -> f32 {
    let (chunks, rest) = row.as_chunks_mut::<16>();
    let mut sum = [0.0; 16];
    for x in chunks {
        for i in 0..16 {
            x[i] = math::exp_below_zero(x[i] - shift);
            sum[i] += x[i];
        }
    }
    rest.iter_mut().for_each(|x| *x = math::exp_below_zero(*x - shift));
    lanes::tree(sum, |a, b| a + b) + rest.iter().sum::<f32>()
}

/// The row becomes `p = scale exp(row - shift)`; the inner product of `p` and `y`.
#[inline(always)]
fn exponentials_with(row: &mut [f32], y: &[f32], shift: f32, scale: f32) -> f32 {
    let ((chunks, rest), (ys, y_rest)) = (row.as_chunks_mut::<16>(), y.as_chunks::<16>());
    let mut sum = [0.0; 16];
    for (x, y) in chunks.iter_mut().zip(ys) {
        for i in 0..16 {
            x[i] = math::exp_below_zero(x[i] - shift) * scale;
            sum[i] += x[i] * y[i];
        }
    }
    rest.iter_mut().for_each(|x| *x = math::exp_below_zero(*x - shift) * scale);
    lanes::tree(sum, |a, b| a + b) + rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f32>()
}
