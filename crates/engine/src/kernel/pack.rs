//! Panels out of rows.

use crate::Mat;
use crate::memory::Scratch;

/// Columns of the widest panel.
pub(crate) const MOST: usize = 32;
/// Elements of a cache line.
const LINE: usize = 16;

/// `len` elements of scratch that begin a cache line, so that no load of a panel straddles two.
pub(crate) fn aligned(scratch: &mut Scratch, len: usize) -> &mut [f32] {
    let room = scratch.of(len + LINE);
    let skip = room.as_ptr().align_offset(4 * LINE).min(LINE);
    &mut room[skip..skip + len]
}

/// What a factor is multiplied with as it is packed.
#[derive(Clone, Copy)]
pub(crate) enum Scale<'a> {
    /// One number.
    All(f32),
    /// A number for each `every` steps of the inner dimension.
    Steps { weights: &'a [f32], every: usize },
}

impl Scale<'_> {
    /// Nothing changes.
    pub(crate) const ONE: Scale<'static> = Scale::All(1.0);

    /// What this step of the inner dimension is multiplied with.
    pub(crate) fn at(self, step: usize) -> f32 {
        match self {
            Scale::All(all) => all,
            Scale::Steps { weights, every } => weights[step / every],
        }
    }
}

/// Packs steps `from..to` of columns `first..` of `b` (whose rows are steps), times `scale`, into `panel`, `width` a step;
/// what lies beyond the columns is 0.
pub(crate) fn pack(b: Mat, scale: Scale, (from, to): (usize, usize), first: usize, width: usize, panel: &mut [f32]) {
    let columns = width.min(b.cols - first);
    let panel = &mut panel[..(to - from) * width];
    let data = &b.data[from * b.row_stride + first * b.col_stride..];
    if b.row_stride == 1 {
        let all = if let Scale::All(all) = scale { all } else { 1.0 };
        turn(data, b.col_stride, columns, all, width, panel);
    } else {
        copy(b, data, columns, width, panel);
    }
    match scale {
        Scale::All(all) if all == 1.0 || b.row_stride == 1 => {}
        Scale::All(all) => panel.iter_mut().for_each(|x| *x *= all),
        Scale::Steps { weights, every } => {
            let weight = (from..to).map(|step| weights[step / every]);
            panel.chunks_exact_mut(width).zip(weight).for_each(|(x, w)| x.iter_mut().for_each(|x| *x *= w));
        }
    }
}

/// Rows of `data`, `b.row_stride` apart, one a step.
fn copy(b: Mat, data: &[f32], columns: usize, width: usize, panel: &mut [f32]) {
    if columns < width {
        panel.fill(0.0);
    }
    if b.col_stride == 1 && columns == MOST {
        for (out, row) in panel.as_chunks_mut::<MOST>().0.iter_mut().zip(data.chunks(b.row_stride)) {
            out.copy_from_slice(&row[..MOST]);
        }
    } else if b.col_stride == 1 {
        for (out, row) in panel.chunks_exact_mut(width).zip(data.chunks(b.row_stride)) {
            out[..columns].copy_from_slice(&row[..columns]);
        }
    } else {
        for j in 0..columns {
            let column = data[j * b.col_stride..].iter().step_by(b.row_stride);
            panel[j..].iter_mut().step_by(width).zip(column).for_each(|(out, b)| *out = *b);
        }
    }
}

/// Rows of a tile whose steps are copied whole.
const WHOLE: usize = 12;

/// Copies rows `first..first + rows` of `a`'s steps `from..to`, times `scale`, next to each other, `width` a step: element
/// (i, k) is at `k * width + i`. What lies beyond the rows is unspecified.
pub(crate) fn pack_rows(
    a: Mat,
    scale: Scale,
    (from, to): (usize, usize),
    (first, rows): (usize, usize),
    width: usize,
    out: &mut [f32],
) {
    for (step, out) in (from..to).zip(out.chunks_exact_mut(width)) {
        let data = &a.data[step * a.col_stride + first * a.row_stride..];
        let by = scale.at(step);
        match (data.first_chunk::<WHOLE>(), out.first_chunk_mut::<WHOLE>()) {
            // Whatever follows the rows comes along: one size is copied faster than any.
            (Some(data), Some(out)) if a.row_stride == 1 && rows <= WHOLE => *out = data.map(|x| x * by),
            _ => out.iter_mut().zip(data.iter().step_by(a.row_stride)).take(rows).for_each(|(o, x)| *o = x * by),
        }
    }
}

/// Packs rows of `from`, which begin `stride` apart, as the columns of a panel of `width`: element `j` of row `i`, `scale`
/// times, goes to `panel[j * width + i]`. There are at most `width` rows; columns beyond them are 0.
pub(crate) fn turn(from: &[f32], stride: usize, rows: usize, scale: f32, width: usize, panel: &mut [f32]) {
    if rows < width {
        panel.fill(0.0);
    }
    let steps = panel.len() / width;
    let (mut fast_rows, mut fast_steps) = (0, 0);
    #[cfg(target_arch = "x86_64")]
    if width == MOST {
        // A panel as wide as this belongs to AVX-512.
        (fast_rows, fast_steps) = (rows / 16 * 16, steps / 16 * 16);
        for i in (0..fast_rows).step_by(16) {
            for j in (0..fast_steps).step_by(16) {
                // SAFETY: `Level::Avx512` is in use, else panels are narrower; the slices hold 16 rows of 16.
                unsafe {
                    turn_16x16(&from[i * stride + j..][..15 * stride + 16], stride, scale, &mut panel[j * width + i..])
                }
            }
        }
    }
    let mut slow = |rows: std::ops::Range<usize>, steps: std::ops::Range<usize>| {
        for i in rows {
            let row = &from[i * stride..][steps.clone()];
            let out = panel[i..].iter_mut().step_by(width).skip(steps.start);
            out.zip(row).for_each(|(out, x)| *out = *x * scale);
        }
    };
    slow(0..fast_rows, fast_steps..steps);
    slow(fast_rows..rows, 0..steps);
}

/// Sixteen elements of sixteen rows, by shuffles: into a panel of [`MOST`].
///
/// # Safety
/// The machine has AVX-512 F; `from` holds 16 rows of 16, `stride` apart.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn turn_16x16(from: &[f32], stride: usize, scale: f32, panel: &mut [f32]) {
    use std::arch::x86_64::*;
    assert!(panel.len() >= 15 * MOST + 16);
    unsafe {
        let scale = _mm512_set1_ps(scale);
        let row = |i: usize| _mm512_mul_ps(_mm512_loadu_ps(from.as_ptr().add(i * stride)), scale);
        let rows: [__m512; 16] = std::array::from_fn(row);
        let pairs = |i: usize| match i % 2 {
            0 => _mm512_unpacklo_ps(rows[i], rows[i + 1]),
            _ => _mm512_unpackhi_ps(rows[i - 1], rows[i]),
        };
        let pairs: [__m512d; 16] = std::array::from_fn(|i| _mm512_castps_pd(pairs(i)));
        // Of rows 4g..4g + 4: columns j, 4 + j, 8 + j, 12 + j at 4g + j.
        let fours = |i: usize| {
            let at = i / 4 * 4 + i % 4 / 2;
            match i % 2 {
                0 => _mm512_unpacklo_pd(pairs[at], pairs[at + 2]),
                _ => _mm512_unpackhi_pd(pairs[at], pairs[at + 2]),
            }
        };
        let fours: [__m512; 16] = std::array::from_fn(|i| _mm512_castpd_ps(fours(i)));
        for j in 0..4 {
            let even = |g: usize| _mm512_shuffle_f32x4::<0x88>(fours[g + j], fours[g + 4 + j]);
            let odd = |g: usize| _mm512_shuffle_f32x4::<0xdd>(fours[g + j], fours[g + 4 + j]);
            let ([a, b], [c, d]) = ([even(0), even(8)], [odd(0), odd(8)]);
            let columns = [
                _mm512_shuffle_f32x4::<0x88>(a, b),
                _mm512_shuffle_f32x4::<0x88>(c, d),
                _mm512_shuffle_f32x4::<0xdd>(a, b),
                _mm512_shuffle_f32x4::<0xdd>(c, d),
            ];
            for (block, column) in columns.into_iter().enumerate() {
                _mm512_storeu_ps(panel.as_mut_ptr().add((4 * block + j) * MOST), column);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, turn};

    #[test]
    fn turning_is_exact_for_every_size() {
        let from: Vec<f32> = (0..40 * 50).map(|i| i as f32).collect();
        for width in [8, 16, MOST] {
            if width > crate::Level::current().width() {
                continue;
            }
            for rows in 1..=width {
                for steps in [1, 15, 16, 17, 35, 48] {
                    let mut panel = vec![f32::NAN; steps * width];
                    turn(&from, 50, rows, 2.0, width, &mut panel);
                    for (at, x) in panel.iter().enumerate() {
                        let (j, i) = (at / width, at % width);
                        let want = if i < rows { 2.0 * from[i * 50 + j] } else { 0.0 };
                        assert_eq!(*x, want, "{rows} rows, {steps} steps of {width}: ({i}, {j})");
                    }
                }
            }
        }
    }
}
