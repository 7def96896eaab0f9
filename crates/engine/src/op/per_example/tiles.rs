//! Norms and sums of convolutions' gradients on a GPU, by kernels that make each gradient in registers and write none, unless
//! it is to be kept.
//!
//! # Why this is private
//! *Claim.* What is summed is what was measured.
//! *Argument.* Both kernels make an example's gradient by the same operations in the same order; one squares the
//! accumulators, the other multiplies them, finished, by the weight. Which kernel and which tile is chosen here, by shape,
//! precision and the types that factors are stored in alone, once for both. Gradients that are kept are the accumulators that
//! were squared. Factors that are stored in bf16 are multiplied as they are; one that is not is rounded to nearest, which is
//! the same each time, and both kernels read the rounded numbers. Accumulators are f32. What is kept of those of bf16 factors may be
//! rounded once more, to bf16; it is squared after that, and summed as it is kept.
//! *Tests.* `tests/gpu`: `sums_stay_within_reported_norms`, `sums_of_rounded_images_stay_within_reported_norms`,
//! `products_of_examples`, `gradients_of_many_positions_are_kept`, `gradients_of_rounded_images`.

use super::factors::Factors;
use super::kept::Kept;
use super::squares::{Numbers, Squares};
use crate::cuda::{Buffer, Grid, arguments};
use crate::op::unfold::numbers;
use crate::{Device, Dtype, Gpu, Precision, Tensor, Window};

/// Shared memory that a block may have.
const SHARED: usize = 200 << 10;
/// Positions that are worth a partial sum.
const POSITIONS: usize = 100;
/// Multiprocessors to keep busy.
const PROCESSORS: usize = 132;

/// A program's tile: what it is compiled with, and what follows from that.
struct Tile {
    defines: String,
    threads: usize,
    /// Tiles of one gradient.
    count: usize,
    shared: usize,
    /// Blocks on a multiprocessor.
    blocks: usize,
}

/// Which kernels serve a convolution.
enum Way {
    /// Few taps, many channels: an image's rows are shared by all taps. Rows of positions at a time.
    Stencil(usize),
    /// Any window: patches are cut out on their way to shared memory.
    Patches,
}

/// A convolution, as the kernels take it.
struct Images<'a> {
    factors: &'a Factors<'a>,
    /// The factors as they are multiplied: bf16 where one of them is stored so.
    a: Tensor,
    b: Tensor,
    dtype: Dtype,
    c: usize,
    /// Height, width, positions, window.
    numbers: [usize; 10],
    precision: u8,
}

impl<'a> Images<'a> {
    fn new(gpu: &Gpu, factors: &'a Factors<'a>, window: Window) -> Self {
        let (&Factors { a, b, .. }, [_, c, h, w]) = (factors, [0, 1, 2, 3].map(|at| factors.a.shape()[at]));
        let rounded = gpu.precision() == Precision::Bf16 && [a, b].iter().any(|x| x.dtype() == Dtype::Bf16);
        let dtype = if rounded { Dtype::Bf16 } else { Dtype::F32 };
        let (a, b) = (a.as_dtype(dtype), b.as_dtype(dtype));
        let precision = if rounded { 2 } else { u8::from(gpu.precision() != Precision::F32) };
        Self { factors, a, b, dtype, c, numbers: numbers(h, w, window), precision }
    }

    /// Numbers in a word of shared memory.
    fn per_word(&self) -> usize {
        4 / self.dtype.bytes()
    }

    /// The tile for norms or for sums.
    fn tile(&self, sums: bool) -> (Way, Tile) {
        let [.., kh, kw, _, _, ph, pw] = self.numbers;
        let wide = if self.c <= 16 { 2 } else { 4 };
        let [mi, warps_m, warps_c] = match (sums, self.c, self.factors.p) {
            (_, ..=8, ..=16) => [1, 1, 1],
            (_, ..=8, _) => [2, 1, 1],
            (false, _, p) => [if p > 32 && kh * kw <= 9 { 4 } else { 2 }, 1, wide],
            // Sums take as many registers again: two parts of so many taps would not stay there.
            (true, _, p) if (10..=18).contains(&(kh * kw)) => [1, if p > 16 { 2 } else { 1 }, wide],
            (true, _, p) => [2, if p > 32 { 2 } else { 1 }, wide],
        };
        let (way, tile) = self.stencil([mi, warps_m, warps_c]);
        let fits = kh * kw * mi <= 36 && ph.max(pw) <= 4 && tile.shared <= SHARED;
        if fits { (way, tile) } else { (Way::Patches, self.patches(sums)) }
    }

    /// A program for this convolution alone: with its sizes as constants the copies unroll.
    fn stencil(&self, [mi, warps_m, warps_c]: [usize; 3]) -> (Way, Tile) {
        let ([h, w, oh, ow, kh, kw, sh, sw, ph, pw], c, p) = (self.numbers, self.c, self.factors.p);
        let (rows_of_b, channels, threads) = (16 * mi * warps_m, 8 * warps_c, 32 * warps_m * warps_c);
        let span = ow.next_multiple_of(8);
        let rows = (64 / span.max(1)).clamp(1, oh.max(1));
        let (lines, per_word) = ((rows - 1) * sh + kh, self.per_word());
        let seen = (span.max(1) * sw - sw + kw + per_word - 1).saturating_sub(pw);
        let line = (4 * per_word + w.max(seen)).next_multiple_of(4 * per_word);
        let aligned = u8::from(w.is_multiple_of(4) && ow.is_multiple_of(4));
        let defines = format!(
            "IN_C={c} IN_H={h} IN_W={w} OUT_C={p} OUT_H={oh} OUT_W={ow} KH={kh} KW={kw} SH={sh} SW={sw} PH={ph} PW={pw} \
             ROWS={rows} MI={mi} WARPS_M={warps_m} WARPS_C={warps_c} WARPS={} PRECISION={} ALIGNED={aligned} {}",
            warps_m * warps_c,
            self.precision,
            self.dtype.define()
        );
        let positions = (rows * span).next_multiple_of(8 * per_word) / per_word;
        let shared = 8 * (rows_of_b * (positions + 4) + channels * ((lines * line / per_word) | 4));
        let count = p.div_ceil(rows_of_b) * c.div_ceil(channels);
        let blocks = (256 / threads).max(1);
        (Way::Stencil(rows), Tile { defines, threads, count, shared, blocks })
    }

    fn patches(&self, sums: bool) -> Tile {
        let Factors { p, d, t, .. } = *self.factors;
        let ([wm, wn, warps_m, warps_n], blocks, line) = match (sums, p) {
            (_, 65..) => ([64, 64, 2, 2], 2, if sums { 16 } else { 32 }),
            (_, 33..) => ([32, 64, 2, 2], if sums { 2 } else { 3 }, 32),
            _ => ([32, 32, 1, 4], if sums { 2 } else { 4 }, 32),
        };
        let (m, n) = (wm * warps_m, wn * warps_n);
        let aligned = u8::from(t.is_multiple_of(4 * self.per_word()));
        let defines = format!(
            "ALONG=1 LINE={line} STAGES=3 PRECISION={} ALIGNED={aligned} WM={wm} WN={wn} WARPS_M={warps_m} \
             WARPS_N={warps_n} BLOCKS={blocks}",
            self.precision
        );
        let shared = 3 * (m + n) * line * 4 + if sums { 4 * m * n } else { 0 };
        Tile { defines, threads: 32 * warps_m * warps_n, count: p.div_ceil(m) * d.div_ceil(n), shared, blocks: 2 }
    }
}

impl Tile {
    fn grid(&self, blocks: usize) -> Grid {
        Grid { shared: self.shared as u32, ..Grid::blocks(blocks, 1, self.threads as u32) }
    }
}

/// Squared norms of a convolution's gradients, and these, if they are to be kept: as they were squared.
pub(super) fn squares(gpu: &'static Gpu, factors: &Factors, window: Window, keep: bool) -> (Squares, Option<Kept>) {
    let images = Images::new(gpu, factors, window);
    let (way, tile) = images.tile(false);
    let (&Factors { n, p, d, .. }, [h, w, oh, ow, kh, kw, sh, sw, ph, pw]) = (factors, images.numbers);
    let dtype = if matches!(way, Way::Stencil(_)) { images.dtype } else { Dtype::F32 };
    let rows = keep.then(|| Tensor::unfilled_as(dtype, Device::Cuda(gpu), [n, p * d]));
    let (a, b) = (images.a.at(), images.b.at());
    let (parts, c) = (Numbers::of_parts(gpu, n, tile.count), images.c);
    let to = rows.as_ref().map_or(0, Tensor::at);
    let taps = match way {
        Way::Stencil(r) => {
            // Small gradients are made several to a block, as long as there are enough blocks.
            let each = 16usize.div_ceil(oh.div_ceil(r)).min(n * tile.count / (8 * PROCESSORS)).max(1);
            let list = arguments![a, b, n, each, to, parts.at()];
            gpu.launch_variant("stencil_norms", &tile.defines, tile.grid(n.div_ceil(each) * tile.count), list);
            kh * kw
        }
        Way::Patches => {
            let list = arguments![a, b, c, h, w, kh, kw, sh, sw, ph, pw, oh, ow, p, to, parts.at()];
            gpu.launch_variant("patches_norms", &tile.defines, tile.grid(n * tile.count), list);
            1
        }
    };
    (Squares::Device(parts), rows.map(|rows| Kept::new(rows, taps)))
}

/// `out += sum_i weights[i] G_i` of a convolution's gradients.
pub(super) fn sum(gpu: &'static Gpu, factors: &Factors, window: Window, weights: u64, out: u64) {
    let images = Images::new(gpu, factors, window);
    let (way, tile) = images.tile(true);
    let (&Factors { n, t, p, d, .. }, [h, w, oh, ow, kh, kw, sh, sw, ph, pw]) = (factors, images.numbers);
    let (a, b) = (images.a.at(), images.b.at());
    // A range of few positions takes longer to write than to make.
    let splits = (PROCESSORS * tile.blocks / tile.count).clamp(1, n.div_ceil(POSITIONS.div_ceil(t)));
    let parts = Buffer::of(gpu, splits * p * d);
    let (grid, c) = (tile.grid(splits * tile.count), images.c);
    match way {
        Way::Stencil(_) => {
            gpu.launch_variant("stencil_sum", &tile.defines, grid, arguments![a, b, weights, n, splits, &parts]);
        }
        Way::Patches => {
            let list = arguments![a, b, weights, n, c, h, w, kh, kw, sh, sw, ph, pw, oh, ow, p, splits, &parts];
            gpu.launch_variant("patches_sum", &tile.defines, grid, list);
        }
    }
    gpu.launch("sum_of_parts", Grid::over(p * d), arguments![&parts, splits, p * d, out]);
}
