//! Rows on a GPU: squares, inner products and weighed sums.
use super::super::squares::Numbers;
use crate::cuda::{Grid, arguments};
use crate::{Dtype, Gpu, Tensor};

/// So few rows are summed by one thread a column.
const FEW: usize = 64;
/// Longer rows are worth a launch of their own.
const TOGETHER: usize = 1 << 14;
/// Threads for each example's reductions.
pub(in super::super) const THREADS: u32 = 256;

/// Pieces that a row of `len` is cut into, so that few long rows keep the GPU busy.
pub(in super::super) fn pieces(len: usize) -> usize {
    len.div_ceil(1 << 13).clamp(1, 64)
}

/// One number for each of `n` examples, from `pieces` parts each that `kernel` makes.
fn reduce(gpu: &'static Gpu, n: usize, pieces: usize, kernel: impl FnOnce(Grid, u64)) -> Numbers {
    let (parts, out) = (Numbers::new(gpu, n * pieces), Numbers::new(gpu, n));
    kernel(Grid::blocks(n, pieces, THREADS), parts.at());
    if pieces == 1 {
        return parts;
    }
    gpu.launch("sum_parts", Grid::over(32 * n), arguments![parts.at(), out.at(), n, pieces]);
    out
}

/// Squared norms of the rows of `g`.
pub(in super::super) fn rows_squares(gpu: &'static Gpu, g: &Tensor) -> Numbers {
    let p = g.row_len();
    let square = |grid, parts| gpu.launch_as(g.dtype(), "square_rows", grid, arguments![g.at(), parts, p]);
    reduce(gpu, g.rows(), pieces(p), square)
}

/// Inner products of `n` rows of `p` at `rows` with rows at `other`, `stride` apart.
pub(in super::super) fn rows_dots(gpu: &'static Gpu, rows: u64, other: u64, [n, p, stride]: [usize; 3]) -> Numbers {
    reduce(gpu, n, pieces(p), |grid, parts| gpu.launch("dot_rows", grid, arguments![rows, other, parts, p, stride]))
}

/// `out += sum_i weights[i] g[i]`, where rows of `g` are `[taps, p / taps]` and `out` is `[p / taps, taps]`.
pub(in super::super) fn rows_sum(gpu: &'static Gpu, g: &Tensor, weights: u64, out: u64, taps: usize) {
    let (n, p) = (g.rows(), g.row_len());
    let (kernel, grid) = match n {
        ..=FEW => ("sum_few_rows", Grid::over(p)),
        _ if g.dtype() == Dtype::Bf16 && p.is_multiple_of(2) && p > TOGETHER => {
            return gpu.launch(
                "sum_rows_in_pairs",
                Grid::blocks(p.div_ceil(64), 1, 1024),
                arguments![g.at(), weights, out, n, p, taps],
            );
        }
        _ => ("sum_rows", Grid::blocks(p.div_ceil(32), 1, 1024)),
    };
    gpu.launch_as(g.dtype(), kernel, grid, arguments![g.at(), weights, out, n, p, taps]);
}

/// See [`super::rows_sums`]: those of few rows in one launch, and those of many in another, whose blocks are told of their columns by a
/// table. Sums are to the bit what [`rows_sum`] makes.
pub(in super::super) fn rows_sums(gpu: &'static Gpu, all: &[(&Tensor, &Tensor, usize)], out: u64, onto: bool) {
    let (mut few, mut many) = (Vec::new(), Vec::new());
    for (g, weights, first) in all {
        let ((n, p), to) = ((g.rows(), g.row_len()), out + 4 * *first as u64);
        if p > TOGETHER {
            if !onto {
                gpu.clear(to, 4 * p);
            }
            rows_sum(gpu, g, weights.address(), to, 1);
            continue;
        }
        let (pieces, width) = if n > FEW { (&mut many, 32) } else { (&mut few, THREADS as usize) };
        for column in (0..p).step_by(width) {
            let (columns, half) = ((p - column).min(width), u64::from(g.dtype() == Dtype::Bf16));
            let (from, to) = (g.at() + (column * g.dtype().bytes()) as u64, to + 4 * column as u64);
            pieces.extend([from, weights.address(), to, n as u64 | (columns as u64) << 32 | half << 48, p as u64]);
        }
    }
    for (kernel, threads, pieces) in [("sum_pieces", THREADS, few), ("sum_many", 1024, many)] {
        if !pieces.is_empty() {
            let table = gpu.constant(&pieces);
            gpu.launch(kernel, Grid::blocks(pieces.len() / 5, 1, threads), arguments![&*table, onto]);
        }
    }
}

/// Each of `n` rows `[taps, len]` at `x` as `[len, taps]`, to `y`.
pub(in super::super) fn taps_last(gpu: &'static Gpu, x: u64, y: u64, [n, len, taps]: [usize; 3]) {
    gpu.launch("taps_last", Grid::over(n * len * taps), arguments![x, y, n, len, taps]);
}
