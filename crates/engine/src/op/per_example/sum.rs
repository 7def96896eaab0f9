//! Weighted sums of product gradients.

use std::ops::Range;

use rayon::prelude::*;

use super::factors::{Factors, Left, add_transposed, buffers};
use super::gpu;
use crate::kernel::Scale;
use crate::matmul::{Extra, general_product};
use crate::memory::Scratch;
use crate::{Mat, Part, PartMut, Tensor, Threads};

/// The most blocks of examples that are summed side by side.
const BLOCKS: usize = 16;
/// Their partial sums have at most this many elements altogether (128 MiB).
const PARTIAL: usize = 1 << 25;
/// A gradient of more elements than this is summed by products that themselves use all threads.
const LARGE: usize = 1 << 18;
/// Images that are worth a block.
const IMAGES: usize = 2;
/// Rows of a linear map that are worth a block.
const ROWS: usize = 512;
/// Elements of partial sums that are added together.
const COLUMNS: usize = 1 << 12;
/// Elements that are gathered at a time.
const GATHERED: usize = 1 << 24;

/// Adds `sum_i weights[i] G_i` to `out` `[p d]`, without forming any `G_i`.
///
/// Examples of weight exactly 0 are skipped. The result does not depend on the number of threads.
///
/// # Panics
/// If the factors do not fit each other, there are not `n` weights, or `out` has another length.
pub fn product_sum<'a>(left: Left, b: &Tensor, weights: impl Into<Part<'a>>, out: impl Into<PartMut<'a>>) {
    let (factors, weights, out) = checked(left, b, weights.into(), out.into());
    match b.gpu() {
        Some(gpu) => out.on(gpu, |out| gpu::sum(gpu, &factors, weights, out, true)),
        None => sum_here(&factors, weights.host(), out.host()),
    }
}

/// As [`product_sum`] of zeros, whatever `out` holds.
///
/// # Panics
/// As [`product_sum`].
pub fn product_sum_alone<'a>(left: Left, b: &Tensor, weights: impl Into<Part<'a>>, out: impl Into<PartMut<'a>>) {
    let (factors, weights, mut out) = checked(left, b, weights.into(), out.into());
    if let Some(gpu) = b.gpu() {
        return out.on(gpu, |out| gpu::sum(gpu, &factors, weights, out, false));
    }
    out.clear();
    sum_here(&factors, weights.host(), out.host());
}

fn checked<'a, 'w, 'o>(
    left: Left<'a>,
    b: &'a Tensor,
    weights: Part<'w>,
    out: PartMut<'o>,
) -> (Factors<'a>, Part<'w>, PartMut<'o>) {
    let factors = Factors::new(left, b);
    assert!(weights.len() == factors.n, "{} weights for gradients {b:?}", weights.len());
    assert!(out.len() == factors.size(), "gradients of {} elements into {}", factors.size(), out.len());
    (factors, weights, out)
}

/// On the processor.
fn sum_here(factors: &Factors, weights: &[f32], out: &mut [f32]) {
    let blocks = blocks(factors);
    if out.is_empty() || factors.n * factors.t == 0 {
        return;
    }
    if factors.unfolding.is_none() && blocks == 1 {
        return add_rows(factors, weights, 0..factors.n, Threads::Many, out);
    }
    let block = |index: usize| index * factors.n / blocks..(index + 1) * factors.n / blocks;
    let parts = (0..blocks).into_par_iter().map(|index| {
        let mut part = Tensor::zeros([factors.size()]);
        match factors.unfolding {
            None => add_rows(factors, weights, block(index), Threads::One, part.data_mut()),
            Some(_) => add_patches(factors, weights, block(index), part.data_mut()),
        }
        part
    });
    let mut parts: Vec<Tensor> = parts.collect();
    if !factors.lies() {
        return add_in_order(out, &parts);
    }
    let (first, rest) = parts.split_at_mut(1);
    add_in_order(first[0].data_mut(), rest);
    add_transposed(first[0].data(), out, factors.p);
}

/// Adds `parts` to `out` in their order.
fn add_in_order(out: &mut [f32], parts: &[Tensor]) {
    out.par_chunks_mut(COLUMNS).enumerate().for_each(|(index, out)| {
        for part in parts {
            let part = &part.data()[index * COLUMNS..][..out.len()];
            out.iter_mut().zip(part).for_each(|(o, p)| *o += p);
        }
    });
}

/// Number of blocks, from shapes alone.
fn blocks(factors: &Factors) -> usize {
    let room = (PARTIAL / factors.size().max(1)).clamp(1, BLOCKS).min(factors.n.max(1));
    match factors.unfolding {
        Some(_) => room.min(factors.n.div_ceil(IMAGES)),
        None if factors.size() > LARGE => 1,
        None => (factors.n * factors.t / ROWS).clamp(1, room),
    }
}

/// Adds the gradients of a range of convolution examples, one by one: each is unfolded while in cache. The sum is
/// transposed if the factors lie.
fn add_patches(factors: &Factors, weights: &[f32], range: Range<usize>, out: &mut [f32]) {
    let mut buffers = buffers();
    for i in range.filter(|&i| weights[i] != 0.0) {
        factors.add(i, weights[i], true, &mut buffers, out);
    }
}

/// Adds the gradients of a range of linear examples: one product over their rows, in pieces of bounded size.
fn add_rows(factors: &Factors, weights: &[f32], range: Range<usize>, threads: Threads, out: &mut [f32]) {
    let examples: Vec<usize> = range.filter(|&i| weights[i] != 0.0).collect();
    let piece = (GATHERED / (factors.t * (factors.d + factors.p))).max(1);
    let mut scratch = [const { Scratch::new() }; 2];
    for examples in examples.chunks(piece) {
        add_piece(factors, weights, examples, threads, &mut scratch, out);
    }
}

/// `out += sum_i w_i b_i^T a_i`. Factors are read in place unless examples are left out; weights are multiplied in as the
/// kernel packs.
fn add_piece(
    factors: &Factors,
    weights: &[f32],
    examples: &[usize],
    threads: Threads,
    [left, right]: &mut [Scratch; 2],
    out: &mut [f32],
) {
    let &Factors { t, d, p, a, b, .. } = factors;
    let rows = examples.len() * t;
    let a = Mat::new(gather(a, examples, left), rows, d);
    let b = Mat::new(gather(b, examples, right), rows, p);
    let weights: Vec<f32> = examples.iter().map(|&i| weights[i]).collect();
    let plain = weights.iter().all(|w| *w == 1.0);
    let scale = if plain { Scale::All(1.0) } else { Scale::Steps { weights: &weights, every: t } };
    general_product(out, b.t(), a, Extra { scale, start: None }, true, threads);
}

/// The rows of some examples: in place if there are no gaps.
fn gather<'a>(x: &'a Tensor, examples: &[usize], scratch: &'a mut Scratch) -> &'a [f32] {
    let len = x.row_len();
    let (Some(&first), Some(&last)) = (examples.first(), examples.last()) else { return &[] };
    if last - first + 1 == examples.len() {
        return &x.data()[first * len..(last + 1) * len];
    }
    let out = scratch.of(examples.len() * len);
    out.chunks_exact_mut(len.max(1)).zip(examples).for_each(|(out, &i)| out.copy_from_slice(x.row(i)));
    out
}
