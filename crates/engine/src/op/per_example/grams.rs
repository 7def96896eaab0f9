//! Norms of many linear maps' gradients by Gram matrices, in one launch that writes no matrix.
//!
//! One map's Gram matrices are too few pieces for a whole GPU, and a library makes them whole and writes them. Here the
//! lower halves of all maps' matrices are shared out piece by piece (`grams.cu`): 16 examples of 512 positions are 96
//! pieces a map.

use super::gpu::slack;
use super::squares::Numbers;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Gpu, Precision, Tensor};

/// Rows of a piece.
const ROWS: usize = 128;
/// Bytes of 128 rows of 32 numbers.
const SLAB: usize = 128 * 32 * 4;
/// Numbers of a row whose products are added up at a time (`LONG` of `grams.cu`).
const LONG: usize = 4096;
/// Multiprocessors to keep busy.
const PROCESSORS: usize = 132;

/// The factors `a` `[n, .., d]` and `b` `[n, .., p]` of a map.
pub(super) type Map<'a> = (&'a Tensor, &'a Tensor);

/// Whether the kernel takes these factors: rounded to TF32, on Hopper, with rows that begin at multiples of 16 bytes.
pub(super) fn fits(gpu: &Gpu, (a, b): Map) -> bool {
    let aligned = |x: &Tensor| {
        let (at, row) = x.rows_at();
        at.is_multiple_of(16) && row.is_multiple_of(4)
    };
    gpu.precision() == Precision::Tf32 && gpu.has_warpgroups() && aligned(a) && aligned(b)
}

/// Positions of an example.
fn positions(x: &Tensor) -> usize {
    x.row_len() / x.last()
}

/// Pieces of an example's matrices of `t` rows: 128 rows by 256 columns, up to the diagonal.
fn pieces(t: usize) -> usize {
    (0..t.div_ceil(ROWS)).map(|row| row / 2 + 1).sum()
}

/// What rounding may take from the sum of products.
pub(super) fn margin(gpu: &Gpu, (a, b): Map) -> f64 {
    slack(gpu, a.last().min(LONG) + b.last().min(LONG))
}

/// What the kernels are told of each map, and how many pieces there are.
fn table(gpu: &Gpu, maps: &[Map]) -> (Vec<u64>, usize) {
    let mut first = 0;
    let entry = |&(a, b): &Map| {
        let ([(a_at, a_row), (b_at, b_row)], t, before) = ([a, b].map(Tensor::rows_at), positions(a), first);
        first += a.rows() * pieces(t);
        let slack = margin(gpu, (a, b)).to_bits();
        [a_at, a_row as u64, a.last() as u64, b_at, b_row as u64, b.last() as u64, t as u64, before as u64, slack]
    };
    (maps.iter().flat_map(entry).collect(), first)
}

/// Whether pieces have 256 columns.
fn wide(maps: &[Map]) -> bool {
    maps.iter().any(|(a, _)| positions(a) > ROWS)
}

/// What the program is compiled with.
fn defines(wide: bool) -> &'static str {
    if wide { "WIDE=1 STAGES=4" } else { "WIDE=0 STAGES=6" }
}

/// The sums of products and of sizes of every piece, map by map, in each example by example.
fn parts(gpu: &'static Gpu, maps: &[Map], table: &Buffer, all: usize) -> Numbers {
    let wide = wide(maps);
    let (stages, slabs, blocks) = if wide { (4, 3, PROCESSORS) } else { (6, 1, 2 * PROCESSORS) };
    let blocks = blocks.min(all);
    let (parts, taken) = (Numbers::new(gpu, 2 * all), Buffer::of(gpu, 1));
    let aside = Buffer::of(gpu, 2 * blocks * ROWS * ROWS * (1 + usize::from(wide)));
    gpu.clear(taken.address(), 4);
    let grid = Grid { shared: (stages * slabs * SLAB + 1024) as u32, ..Grid::blocks(blocks, 1, 256) };
    let list = arguments![table, maps.len(), all, &taken, &aside, parts.at()];
    gpu.launch_variant("grams", defines(wide), grid, list);
    parts
}

/// The parts of one map, and how many an example has.
pub(super) fn of_one(gpu: &'static Gpu, map: Map) -> (Numbers, usize) {
    let (table, all) = table(gpu, &[map]);
    (parts(gpu, &[map], &gpu.constant(&table), all), pieces(positions(map.0)))
}

/// Upper bounds of squared norms, `[maps, n]`; `unit` and `middle` are `gram_norms`'s.
///
/// # Panics
/// If maps have other numbers of examples.
pub(super) fn squares(gpu: &'static Gpu, maps: &[Map], n: usize, [unit, middle]: [f64; 2]) -> Numbers {
    assert!(maps.iter().all(|(a, _)| a.rows() == n), "norms of other than {n} examples");
    let out = Numbers::new(gpu, maps.len() * n);
    let (table, all) = table(gpu, maps);
    if all == 0 {
        return out;
    }
    let table = gpu.constant(&table);
    let parts = parts(gpu, maps, &table, all);
    let list = arguments![&*table, maps.len(), n, parts.at(), out.at(), unit, middle];
    gpu.launch_variant("norms_of_grams", defines(wide(maps)), Grid::over(maps.len() * n), list);
    out
}
