//! The kernel of products and convolutions: a few rows of one factor, read in place, times a packed panel of the other.
//!
//! A panel holds [`Level::width`] columns, step by step of the inner dimension, padded with zeros. The rows' elements are
//! broadcast, so they need not be packed: a row is a pointer, and its inner dimension may be strided and come in
//! segments. That is why this is our own and not a library's: the rows under a convolution's window are read where they
//! are in the image, and copying them out for a library costs more than a small product does. Sums of a tile stay in
//! registers until the end.

mod pack;
mod rounded;
mod vector;

pub(crate) use pack::{MOST, Scale, aligned, pack, pack_rows, turn};
pub(crate) use rounded::{Panels, Rounding};
use std::sync::atomic::{AtomicU8, Ordering};
use vector::{Plain, Vector};

/// The instructions that products and convolutions use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Whatever the target always has.
    Portable = 1,
    /// AVX2 and FMA.
    Avx2 = 2,
    /// AVX-512 F.
    Avx512 = 3,
    /// AVX-512 F, and pairs of bf16 numbers (AVX512_BF16) where factors are rounded anyway.
    Avx512Bf16 = 4,
}

/// The level in use; 0 before the first product.
static LEVEL: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// The best this machine has.
    #[must_use]
    pub fn best() -> Level {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
                return Level::Avx512Bf16;
            }
            if is_x86_feature_detected!("avx512f") {
                return Level::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Level::Avx2;
            }
        }
        Level::Portable
    }

    /// The level in use: the best, or a lower one that was chosen.
    #[must_use]
    pub fn current() -> Level {
        match LEVEL.load(Ordering::Relaxed) {
            0 => {
                let best = Level::best();
                LEVEL.store(best as u8, Ordering::Relaxed);
                best
            }
            1 => Level::Portable,
            2 => Level::Avx2,
            3 => Level::Avx512,
            _ => Level::Avx512Bf16,
        }
    }

    /// Uses no more than this level from now on, in the whole process: for tests and comparisons. What the machine does not
    /// have is not used.
    pub fn limit(self) {
        LEVEL.store(self.min(Level::best()) as u8, Ordering::Relaxed);
    }

    /// Columns of a panel.
    pub(crate) fn width(self) -> usize {
        match self {
            Level::Portable => 2 * Plain::LANES,
            Level::Avx2 => 16,
            Level::Avx512 | Level::Avx512Bf16 => 32,
        }
    }
}

/// Where the inner dimension of a row's elements lies: `segments` runs of `len` elements, `step` apart; the runs begin
/// `stride` apart.
#[derive(Clone, Copy)]
pub(crate) struct Inner {
    pub segments: usize,
    pub stride: usize,
    pub len: usize,
    pub step: usize,
}

impl Inner {
    /// Elements `step` apart.
    pub(crate) fn run(len: usize, step: usize) -> Inner {
        Inner { segments: 1, stride: 0, len, step }
    }
}

/// What becomes of a tile's sums.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    /// Elements from one row of the result to the next.
    pub row_stride: usize,
    /// Columns of the result that the panel covers, at most its width.
    pub columns: usize,
    /// Whether sums are added to what is there.
    pub accumulate: bool,
    /// What is added to each row, or null.
    pub shift: *const f32,
    /// What is added to each column, one number for each of the panel's, or null.
    pub start: *const f32,
}

/// Rows times a panel: row `i` of the result is the sum over the inner dimension of row `i`'s elements times the panel's
/// steps.
///
/// # Safety
/// `level` is at most [`Level::best`]. Each pointer of `rows` is good for every element that `inner` names; `panel` holds
/// `segments * len` steps of `level.width()`; `out` is good for `rows.len()` rows of `columns`, `row_stride` apart, and nobody
/// else touches these; `shift` is null or good for as many elements as there are rows, `start` for the panel's width.
pub(crate) unsafe fn rows_by_panel(
    level: Level,
    rows: &[*const f32],
    inner: Inner,
    panel: *const f32,
    out: *mut f32,
    finish: Finish,
) {
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 | Level::Avx512Bf16 => avx512(rows, inner, panel, out, finish),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => avx2(rows, inner, panel, out, finish),
            _ => all_rows::<Plain>(rows, inner, panel, out, finish),
        }
    }
}

/// As [`rows_by_panel`], of numbers that are each a pair of bf16 numbers, two steps of the inner dimension: products and sums of
/// pairs are made in f32.
///
/// # Safety
/// As there; the machine has [`Level::Avx512Bf16`].
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pairs_by_panel(rows: &[*const f32], inner: Inner, panel: *const f32, out: *mut f32, finish: Finish) {
    unsafe { all_rows::<vector::Pairs>(rows, inner, panel, out, finish) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(rows: &[*const f32], inner: Inner, panel: *const f32, out: *mut f32, finish: Finish) {
    unsafe { all_rows::<std::arch::x86_64::__m512>(rows, inner, panel, out, finish) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2(rows: &[*const f32], inner: Inner, panel: *const f32, out: *mut f32, finish: Finish) {
    unsafe { all_rows::<std::arch::x86_64::__m256>(rows, inner, panel, out, finish) }
}

/// Cuts the rows into tiles of about the same height.
#[inline(always)]
unsafe fn all_rows<V: Vector>(
    rows: &[*const f32],
    inner: Inner,
    panel: *const f32,
    mut out: *mut f32,
    mut finish: Finish,
) {
    let mut rest = rows;
    let mut tiles = rows.len().div_ceil(V::ROWS);
    while tiles > 0 {
        let (tile, below) = rest.split_at(rest.len().div_ceil(tiles));
        unsafe {
            match finish.columns > V::LANES {
                true => any_tile::<V, 2>(tile, inner, panel, out, finish),
                false => any_tile::<V, 1>(tile, inner, panel, out, finish),
            }
            out = out.add(tile.len() * finish.row_stride);
            if !finish.shift.is_null() {
                finish.shift = finish.shift.add(tile.len());
            }
        }
        (rest, tiles) = (below, tiles - 1);
    }
}

/// A tile of any height, of which only the first `W` vectors of the panel's columns are made.
#[inline(always)]
unsafe fn any_tile<V: Vector, const W: usize>(
    rows: &[*const f32],
    inner: Inner,
    panel: *const f32,
    out: *mut f32,
    finish: Finish,
) {
    unsafe {
        match rows.len() {
            1 => one_tile::<V, 1, W>(rows, inner, panel, out, finish),
            2 => one_tile::<V, 2, W>(rows, inner, panel, out, finish),
            3 => one_tile::<V, 3, W>(rows, inner, panel, out, finish),
            4 => one_tile::<V, 4, W>(rows, inner, panel, out, finish),
            5 => one_tile::<V, 5, W>(rows, inner, panel, out, finish),
            6 => one_tile::<V, 6, W>(rows, inner, panel, out, finish),
            7 => one_tile::<V, 7, W>(rows, inner, panel, out, finish),
            8 => one_tile::<V, 8, W>(rows, inner, panel, out, finish),
            9 => one_tile::<V, 9, W>(rows, inner, panel, out, finish),
            10 => one_tile::<V, 10, W>(rows, inner, panel, out, finish),
            11 => one_tile::<V, 11, W>(rows, inner, panel, out, finish),
            _ => one_tile::<V, 12, W>(rows, inner, panel, out, finish),
        }
    }
}

#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "what is unrolled must be plain to the compiler: see below")]
unsafe fn one_tile<V: Vector, const R: usize, const W: usize>(
    rows: &[*const f32],
    inner: Inner,
    panel: *const f32,
    out: *mut f32,
    finish: Finish,
) {
    unsafe {
        let rows: [*const f32; R] = std::array::from_fn(|i| *rows.get_unchecked(i));
        for i in 0..R {
            for w in 0..W {
                V::prefetch(out.wrapping_add(i * finish.row_stride + w * V::LANES));
            }
        }
        let mut sums = [[V::zero(); W]; R];
        if !finish.start.is_null() {
            for i in 0..R {
                for w in 0..W {
                    sums[i][w] = V::load(finish.start.add(w * V::LANES));
                }
            }
        }
        let mut panel = panel;
        for segment in 0..inner.segments {
            let mut at = segment * inner.stride;
            for _ in 0..inner.len {
                let mut b = [V::zero(); W];
                for w in 0..W {
                    b[w] = V::load(panel.add(w * V::LANES));
                }
                for i in 0..R {
                    let a = V::splat(rows[i].add(at));
                    for w in 0..W {
                        sums[i][w] = sums[i][w].add_product(a, b[w]);
                    }
                }
                at += inner.step;
                panel = panel.add(2 * V::LANES);
            }
        }
        leave(sums, out, finish);
    }
}

/// Stores a tile of sums, or adds it to what is there.
#[inline(always)]
#[allow(clippy::needless_range_loop, reason = "what is unrolled must be plain to the compiler")]
unsafe fn leave<V: Vector, const R: usize, const W: usize>(sums: [[V; W]; R], out: *mut f32, finish: Finish) {
    unsafe {
        // Short loops with nothing in them, which the compiler unrolls: sums that are indexed by a variable would not stay in
        // registers while they are made.
        let whole = finish.columns == W * V::LANES && finish.shift.is_null();
        if whole && finish.accumulate {
            for i in 0..R {
                for w in 0..W {
                    let out = out.add(i * finish.row_stride + w * V::LANES);
                    V::load(out).add(sums[i][w]).store(out);
                }
            }
        } else if whole {
            for i in 0..R {
                for w in 0..W {
                    sums[i][w].store(out.add(i * finish.row_stride + w * V::LANES));
                }
            }
        } else {
            let mut tile = [[0.0f32; 32]; R];
            for i in 0..R {
                for w in 0..W {
                    sums[i][w].store(tile[i].as_mut_ptr().add(w * V::LANES));
                }
            }
            for (i, row) in tile.iter().enumerate() {
                write(row, out.add(i * finish.row_stride), i, finish);
            }
        }
    }
}

/// Stores row `i` of a tile, or adds it: a part of it, or with a shift.
#[inline(always)]
unsafe fn write(row: &[f32; 32], out: *mut f32, i: usize, finish: Finish) {
    unsafe {
        let shift = if finish.shift.is_null() { 0.0 } else { *finish.shift.add(i) };
        for (j, sum) in row.iter().enumerate().take(finish.columns) {
            let out = out.add(j);
            *out = if finish.accumulate { *out + sum + shift } else { *sum + shift };
        }
    }
}
