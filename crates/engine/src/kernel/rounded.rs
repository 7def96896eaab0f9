//! Products of factors that are rounded to bf16: numbers with the eight leading bits of an f32's mantissa.
//!
//! AVX512_BF16 multiplies and adds two steps of the inner dimension where f32 makes one, so there the factors are words of two
//! numbers. Elsewhere the same rounded numbers are multiplied as f32. Products are exact both ways and sums are made in f32, so that
//! all levels agree to the rounding of sums. (The pairs' instruction takes numbers below 2^-126 for 0: factors should have been
//! divided by their largest.)

use multiversion::multiversion;
use rayon::prelude::*;

use super::{Finish, Inner, Level, MOST, rows_by_panel, turn};
use crate::memory::{Recycled, Scratch, take};

/// The elements of a cache line, where panels begin.
const LINE: usize = 16;

/// How a number becomes a bf16 one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// To the next that is not below it, which is less than 2^-7 of it away. For numbers that are not negative.
    Up,
    /// To the nearest, which is at most 2^-8 of it away; halves to even.
    Nearest,
}

/// A right factor, rounded and packed: to be multiplied with many rows.
pub(crate) struct Panels {
    words: Recycled,
    /// Where the first panel begins, and how long each is.
    from: usize,
    panel: usize,
    count: usize,
    steps: usize,
    level: Level,
}

impl Panels {
    /// The matrix `[depth, columns]` whose column `i` is what `fill` makes of `(i, column)`, for products at this level.
    pub(crate) fn new(
        level: Level,
        [depth, columns]: [usize; 2],
        rounding: Rounding,
        fill: impl Fn(usize, &mut [f32]) + Sync,
    ) -> Self {
        let level = level.min(Level::best());
        let (width, steps) = (level.width(), words(level, depth));
        let (count, panel) = (columns.div_ceil(width), steps * width);
        let mut all = Recycled(take(count * panel + LINE));
        let from = all.0.as_ptr().align_offset(4 * LINE).min(LINE);
        let panels = all.0[from..][..count * panel].par_chunks_mut(panel.max(1)).enumerate();
        panels.for_each_init(
            || [const { Scratch::new() }; 2],
            |[column, rows], (k, out)| {
                let (column, here) = (column.of(depth), width.min(columns - k * width));
                let rows = rows.of(here * steps);
                for (i, row) in rows.chunks_exact_mut(steps.max(1)).enumerate() {
                    fill(k * width + i, column);
                    round(level, column, rounding, row);
                }
                // Times one, which changes no bit of any word whose halves are finite.
                turn(rows, steps, here, 1.0, width, out);
            },
        );
        Panels { words: all, from, panel, count, steps, level }
    }

    /// How many panels there are; all but the last cover [`Panels::width`] columns, and what it has more is zeros.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
    /// Columns of a panel.
    pub(crate) fn width(&self) -> usize {
        self.level.width()
    }
    /// How many words a rounded row takes.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }
    /// A row of a left factor, rounded into `words`.
    pub(crate) fn round(&self, row: &[f32], rounding: Rounding, words: &mut [f32]) {
        round(self.level, row, rounding, words);
    }

    /// Rounded rows, at most `N`, times panel `k`: the first [`Panels::width`] of each row of `out`.
    ///
    /// # Panics
    /// If there are more rows or panels than that.
    pub(crate) fn multiply<const N: usize>(&self, rows: &[f32], k: usize, out: &mut [[f32; MOST]; N]) {
        let mut pointers = [std::ptr::null(); N];
        let count = rows.len() / self.steps.max(1);
        let pointers = &mut pointers[..count];
        let each = pointers.iter_mut().zip(rows.chunks_exact(self.steps.max(1)));
        each.for_each(|(pointer, row)| *pointer = row.as_ptr());
        let panel = &self.words.0[self.from + k * self.panel..][..self.panel];
        let null = std::ptr::null();
        let finish = Finish { row_stride: MOST, columns: self.width(), accumulate: false, shift: null, start: null };
        let (inner, out) = (Inner::run(self.steps, 1), out.as_mut_ptr().cast());
        // SAFETY: the level is the machine's; each pointer is good for `steps` elements, the panel for as many steps, and `out`
        // for `N` rows, of which there are no more.
        unsafe {
            match self.level {
                #[cfg(target_arch = "x86_64")]
                Level::Avx512Bf16 => super::pairs_by_panel(pointers, inner, panel.as_ptr(), out, finish),
                level => rows_by_panel(level, pointers, inner, panel.as_ptr(), out, finish),
            }
        }
    }
}

/// How many words `depth` numbers take.
fn words(level: Level, depth: usize) -> usize {
    if level == Level::Avx512Bf16 { depth.div_ceil(2) } else { depth }
}

fn round(level: Level, row: &[f32], rounding: Rounding, words: &mut [f32]) {
    match (level, rounding) {
        (Level::Avx512Bf16, rounding) => {
            if let Some(last) = words.last_mut() {
                *last = 0.0;
            }
            // SAFETY: every f32 is two u16, whatever they are, and lies where a u16 may.
            let (_, halves, _) = unsafe { words.align_to_mut::<u16>() };
            match rounding {
                Rounding::Up => halves_up(&mut halves[..row.len()], row),
                Rounding::Nearest => halves_nearest(&mut halves[..row.len()], row),
            }
        }
        (_, Rounding::Up) => wide_up(words, row),
        (_, Rounding::Nearest) => wide_nearest(words, row),
    }
}

/// What is no number stays so.
#[inline(always)]
fn up(x: f32) -> u16 {
    ((x.to_bits().min(0x7fff_0000) + 0xffff) >> 16) as u16
}
/// Finite numbers may become infinite, and what is no number may become one.
#[inline(always)]
fn nearest(x: f32) -> u16 {
    let bits = x.to_bits();
    (bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}
#[inline(always)]
fn wide(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn halves_up(to: &mut [u16], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, x)| *to = up(*x));
}
#[multiversion(targets("x86_64+avx512f+avx512vl+avx512bw", "x86_64+avx2"))]
fn halves_nearest(to: &mut [u16], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, x)| *to = nearest(*x));
}
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn wide_up(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, x)| *to = wide(up(*x)));
}
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn wide_nearest(to: &mut [f32], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, x)| *to = wide(nearest(*x)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_what_it_says() {
        for bits in (0..0x7f80_0000u32).step_by(65_521 * 7) {
            let x = f32::from_bits(bits);
            let (above, near) = (wide(up(x)), wide(nearest(x)));
            assert!(above >= x && above.to_bits() & 0xffff == 0 && near.to_bits() & 0xffff == 0, "{x}");
            if (f32::MIN_POSITIVE..3e38).contains(&x) {
                assert!(f64::from(above) < f64::from(x) * (1.0 + 1.0 / 128.0), "{x} to {above}");
                assert!((f64::from(near) - f64::from(x)).abs() <= f64::from(x) / 256.0, "{x} to {near}");
                assert_eq!(wide(nearest(-x)), -near);
            }
            assert_eq!((wide(up(above)), wide(nearest(above))), (above, above), "what fits is kept");
        }
        assert!(wide(up(f32::INFINITY)).is_infinite() && up(0.0) == 0);
        for bits in [0x7fc0_0000, 0x7fff_ffff, 0x7f80_0001, 0xffff_ffff, 0xff80_0001] {
            assert!(wide(up(f32::from_bits(bits))).is_nan(), "{bits:x}");
        }
    }

    /// Every level's products against the definition with rounded factors, over odd depths and panels that are not full.
    #[test]
    fn products_are_those_of_the_rounded_factors() {
        let number = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0;
        for (rows, depth, columns) in [(1, 1, 1), (12, 7, 33), (5, 256, 64), (3, 31, 100), (12, 4, 16)] {
            let a: Vec<f32> = (0..rows * depth).map(number).collect();
            let at = |column: usize, step: usize| number(column * depth + step + 5).abs();
            let fill = |i: usize, to: &mut [f32]| to.iter_mut().enumerate().for_each(|(k, to)| *to = at(i, k));
            let panels = Panels::new(Level::current(), [depth, columns], Rounding::Up, fill);
            let mut words = vec![f32::NAN; rows * panels.steps()];
            for (row, words) in a.chunks(depth).zip(words.chunks_mut(panels.steps())) {
                panels.round(row, Rounding::Nearest, words);
            }
            for k in 0..panels.count() {
                let mut out = [[f32::NAN; MOST]; 12];
                panels.multiply(&words, k, &mut out);
                for (i, j) in (0..rows).flat_map(|i| (0..panels.width()).map(move |j| (i, j))) {
                    let column = k * panels.width() + j;
                    let term = |step: usize| {
                        let b = if column < columns { wide(up(at(column, step))) } else { 0.0 };
                        f64::from(wide(nearest(a[i * depth + step]))) * f64::from(b)
                    };
                    let want: f64 = (0..depth).map(term).sum();
                    assert!((f64::from(out[i][j]) - want).abs() < 1e-4, "({i}, {column}): {} {want}", out[i][j]);
                }
            }
        }
    }
}
