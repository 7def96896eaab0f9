//! Norms and sums of linear maps' gradients on a GPU where the gradients are formed, by kernels that make each of them in
//! registers and write none.
//!
//! # Why this is private
//! *Claim.* What is summed is what was measured.
//! *Argument.* As for convolutions (`tiles.rs`): both kernels make an example's gradient by the same steps in the same
//! order, from factors rounded in the same way; one squares the accumulators, the other multiplies them, finished, by the
//! weight. That a gradient is formed is decided by its shape alone, once for both.
//! *Tests.* `tests/gpu`: `sums_stay_within_reported_norms`, `products_of_examples`.

use super::squares::Numbers;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Dtype, Gpu, Precision, Tensor};

/// Multiprocessors to keep busy.
const PROCESSORS: usize = 132;

/// How a gradient `[p, d]` is cut into tiles.
struct Tile {
    /// What a warp makes, warps, and blocks on a multiprocessor.
    warp: [usize; 2],
    warps: [usize; 2],
    blocks: usize,
    /// Positions that are in shared memory at a time.
    depth: usize,
}

/// How the kernels read a map's factors `[n, t, d]` and `[n, t, p]`, which are of one type.
struct Map {
    n: usize,
    t: usize,
    d: usize,
    p: usize,
    /// Where they begin, and how many numbers apart their rows are.
    a: (u64, usize),
    b: (u64, usize),
    dtype: Dtype,
}

impl Map {
    fn new([a, b]: &[Tensor; 2]) -> Self {
        let ((from, lda, dtype), (other, ldb, _)) = (a.rows_at(), b.rows_at());
        assert!(dtype == b.rows_dtype(), "gradients of factors of two types");
        let (n, d) = (a.rows(), a.last());
        Self { n, t: a.row_len() / d, d, p: b.last(), a: (from, lda), b: (other, ldb), dtype }
    }
}

impl Tile {
    fn for_norms(p: usize) -> Self {
        let (warp, warps, blocks) = match p {
            0..=32 => ([32, 32], [1, 4], 4),
            33..=64 => ([32, 64], [2, 2], 3),
            _ => ([64, 64], [2, 2], 2),
        };
        Self { warp, warps, blocks, depth: 32 }
    }

    fn for_sums(p: usize, exact: bool) -> Self {
        let (warp, warps, blocks, depth) = match p {
            0..=32 => ([32, 32], [1, 4], 2, 32),
            33..=64 => ([32, 64], [2, 2], 2, 32),
            1024.. if !exact => ([64, 64], [4, 2], 1, 16),
            _ => ([64, 32], [2, 4], 1, 16),
        };
        Self { warp, warps, blocks, depth }
    }

    fn size(&self) -> [usize; 2] {
        [self.warp[0] * self.warps[0], self.warp[1] * self.warps[1]]
    }

    /// Tiles of one gradient.
    fn count(&self, map: &Map) -> usize {
        let [m, n] = self.size();
        map.p.div_ceil(m) * map.d.div_ceil(n)
    }

    fn defines(&self, gpu: &Gpu, map: &Map) -> String {
        let Self { warp: [wm, wn], warps: [warps_m, warps_n], blocks, depth } = self;
        let aligned = u8::from([map.a.1, map.b.1].iter().all(|row| (row * map.dtype.bytes()).is_multiple_of(16)));
        let precision = match map.dtype {
            Dtype::F32 => u8::from(gpu.precision() != Precision::F32),
            Dtype::Bf16 => 2,
        };
        format!(
            "ALONG=0 STAGES=3 BK={depth} PRECISION={precision} ALIGNED={aligned} WM={wm} WN={wn} WARPS_M={warps_m} \
             WARPS_N={warps_n} BLOCKS={blocks}"
        )
    }

    /// `blocks` blocks, which hold `more` numbers of f32 in shared memory besides three stages of factors.
    fn grid(&self, map: &Map, blocks: usize, more: usize) -> Grid {
        let ([m, n], threads) = (self.size(), 32 * self.warps[0] * self.warps[1]);
        let shared = 3 * self.depth * (m + n + 16) * map.dtype.bytes() + 4 * more;
        Grid { shared: shared as u32, ..Grid::blocks(blocks, 1, threads as u32) }
    }
}

/// Squared norms of the gradients, in parts.
pub(super) fn squares(gpu: &'static Gpu, factors: &[Tensor; 2]) -> Numbers {
    let map = Map::new(factors);
    let Map { n, t, d, p, a: (a, lda), b: (b, ldb), .. } = map;
    let tile = Tile::for_norms(p);
    let count = tile.count(&map);
    let (parts, none) = (Numbers::of_parts(gpu, n, count), 0u64);
    let list = arguments![a, b, t, d, p, lda, ldb, none, none, parts.at()];
    gpu.launch_variant("product_norms", &tile.defines(gpu, &map), tile.grid(&map, n * count, 0), list);
    parts
}

/// `out += sum_i weights[i] G_i`.
pub(super) fn sum(gpu: &'static Gpu, factors: &[Tensor; 2], weights: u64, out: u64) {
    let map = Map::new(factors);
    let Map { n, t, d, p, a: (a, lda), b: (b, ldb), .. } = map;
    let tile = Tile::for_sums(p, gpu.precision() == Precision::F32);
    let count = tile.count(&map);
    let splits = (PROCESSORS * tile.blocks / count).clamp(1, n);
    let parts = Buffer::of(gpu, splits * p * d);
    let [rows, columns] = tile.size();
    let list = arguments![a, b, weights, n, t, d, p, lda, ldb, splits, &parts];
    let grid = tile.grid(&map, splits * count, rows * columns);
    gpu.launch_variant("product_sum", &tile.defines(gpu, &map), grid, list);
    gpu.launch("sum_of_parts", Grid::over(p * d), arguments![&parts, splits, p * d, out]);
}
