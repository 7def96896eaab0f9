//! Norms and sums of convolutions' gradients on a GPU, by kernels that make each gradient in registers and write none.
//!
//! # Why this is private
//! *Claim.* What is summed is what was measured.
//! *Argument.* Both kernels make an example's gradient by the same operations in the same order; one squares the
//! accumulators, the other multiplies them, finished, by the weight. Which kernel and which tile is chosen here, by shape
//! and precision alone, once for both.
//! *Tests.* `tests/gpu`: `sums_stay_within_reported_norms`, `products_of_examples`.

use super::factors::Factors;
use super::gpu::Numbers;
use crate::cuda::{Buffer, Grid, arguments};
use crate::op::unfold::numbers;
use crate::{Gpu, Precision, Window};

/// Shared memory that a block may have.
const SHARED: usize = 200 << 10;
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
    c: usize,
    /// Height, width, positions, window.
    numbers: [usize; 10],
    precision: u8,
}

impl<'a> Images<'a> {
    fn new(gpu: &Gpu, factors: &'a Factors<'a>, window: Window) -> Self {
        let (c, h, w) = (factors.a.shape()[1], factors.a.shape()[2], factors.a.shape()[3]);
        let precision = u8::from(gpu.precision() != Precision::F32);
        Self { factors, c, numbers: numbers(h, w, window), precision }
    }

    /// The tile for norms or for sums.
    fn tile(&self, sums: bool) -> (Way, Tile) {
        let [h, w, oh, ow, kh, kw, sh, sw, ph, pw] = self.numbers;
        let few = kh * kw <= 9 && self.c >= 8 && pw <= 4 && ph <= 4 && sh <= 2 && sw <= 2;
        let stencil = self.stencil(sums, [w, oh, ow, kh, kw, sh, sw, pw]);
        if few && h > 0 && stencil.1.shared <= SHARED { stencil } else { (Way::Patches, self.patches(sums, oh * ow)) }
    }

    fn stencil(&self, sums: bool, [w, oh, ow, kh, kw, sh, sw, pw]: [usize; 8]) -> (Way, Tile) {
        let p = self.factors.p;
        let (mi, warps, blocks) = match (sums, p > 32) {
            (false, true) => (4, 1, 2),
            (false, false) => (2, 1, 3),
            (true, true) => (2, 2, 1),
            (true, false) => (2, 1, 2),
        };
        let (m, c) = (16 * mi * warps, 32);
        let span = ow.next_multiple_of(8);
        let r = (64 / span).clamp(1, oh.max(1));
        let rows = (r - 1) * sh + kh;
        let pitch = (4 + w).max((4 + (span - 1) * sw + kw).saturating_sub(pw)).next_multiple_of(4);
        let aligned = u8::from(w.is_multiple_of(4) && ow.is_multiple_of(4));
        let defines = format!(
            "KH={kh} KW={kw} SH={sh} SW={sw} PRECISION={} ALIGNED={aligned} MI={mi} WARPS_M={warps} WARPS_C=4 BLOCKS={blocks}",
            self.precision
        );
        let shared = 8 * (m * (r * span + 4) + c * ((rows * pitch) | 4));
        let count = p.div_ceil(m) * self.c.div_ceil(c);
        (Way::Stencil(r), Tile { defines, threads: 128 * warps, count, shared, blocks })
    }

    fn patches(&self, sums: bool, positions: usize) -> Tile {
        let Factors { p, d, .. } = *self.factors;
        let ([wm, wn, warps_m, warps_n], blocks) = match (sums, p) {
            (false, 65..) => ([64, 64, 2, 2], 2),
            (true, 65..) => ([64, 32, 2, 4], 1),
            (_, 33..) => ([32, 64, 2, 2], if sums { 2 } else { 3 }),
            _ => ([32, 32, 1, 4], if sums { 3 } else { 4 }),
        };
        let (m, n) = (wm * warps_m, wn * warps_n);
        let defines = format!(
            "ALONG=1 LINE=32 STAGES=3 PRECISION={} ALIGNED={} WM={wm} WN={wn} WARPS_M={warps_m} WARPS_N={warps_n} \
             BLOCKS={blocks}",
            self.precision,
            u8::from(positions.is_multiple_of(4))
        );
        let threads = 32 * warps_m * warps_n;
        Tile { defines, threads, count: p.div_ceil(m) * d.div_ceil(n), shared: 3 * (m + n) * 32 * 4, blocks }
    }
}

impl Tile {
    fn grid(&self, blocks: usize) -> Grid {
        Grid { shared: self.shared as u32, ..Grid::blocks(blocks, 1, self.threads as u32) }
    }
}

/// Squared norms of a convolution's gradients.
pub(super) fn squares(gpu: &'static Gpu, factors: &Factors, window: Window) -> Numbers {
    let images = Images::new(gpu, factors, window);
    let (way, tile) = images.tile(false);
    let (&Factors { n, p, a, b, .. }, [h, w, oh, ow, kh, kw, sh, sw, ph, pw]) = (factors, images.numbers);
    let (parts, out, none) = (Numbers::new(gpu, n * tile.count), Numbers::new(gpu, n), 0u64);
    let (grid, c) = (tile.grid(n * tile.count), images.c);
    match way {
        Way::Stencil(r) => {
            let list = arguments![a, b, c, h, w, ph, pw, oh, ow, p, r, none, parts.at()];
            gpu.launch_variant("stencil_norms", &tile.defines, grid, list);
        }
        Way::Patches => {
            let list = arguments![a, b, c, h, w, kh, kw, sh, sw, ph, pw, oh, ow, p, none, parts.at()];
            gpu.launch_variant("patches_norms", &tile.defines, grid, list);
        }
    }
    let list = arguments![parts.at(), n, tile.count, 0u32, none, out.at()];
    gpu.launch("norms_of_parts", Grid::over(32 * n), list);
    out
}

/// `out += sum_i weights[i] G_i` of a convolution's gradients.
pub(super) fn sum(gpu: &'static Gpu, factors: &Factors, window: Window, weights: u64, out: u64) {
    let images = Images::new(gpu, factors, window);
    let (way, tile) = images.tile(true);
    let (&Factors { n, p, d, a, b, .. }, [h, w, oh, ow, kh, kw, sh, sw, ph, pw]) = (factors, images.numbers);
    let splits = (PROCESSORS * tile.blocks / tile.count).clamp(1, n);
    let parts = Buffer::of(gpu, splits * p * d);
    let (grid, c) = (tile.grid(splits * tile.count), images.c);
    match way {
        Way::Stencil(r) => {
            let list = arguments![a, b, weights, n, c, h, w, ph, pw, oh, ow, p, r, splits, &parts];
            gpu.launch_variant("stencil_sum", &tile.defines, grid, list);
        }
        Way::Patches => {
            let list = arguments![a, b, weights, n, c, h, w, kh, kw, sh, sw, ph, pw, oh, ow, p, splits, &parts];
            gpu.launch_variant("patches_sum", &tile.defines, grid, list);
        }
    }
    gpu.launch("sum_of_parts", Grid::over(p * d), arguments![&parts, splits, p * d, out]);
}
