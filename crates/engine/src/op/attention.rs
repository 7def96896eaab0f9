//! Scaled dot-product self-attention of several heads (Vaswani et al. 2017, arXiv 1706.03762, section 3.2).
//!
//! Every head of every example is a task of its own. Its queries, keys and values are copied next to each other, scores are
//! made for a block of queries at a time, and what the backward needs of them are two numbers a query: it makes them again,
//! which is cheaper than a trip to memory (FlashAttention, Dao et al. 2022, arXiv 2205.14135, does so for the same
//! reason).

mod gpu;
mod softmax;

use rayon::prelude::*;

use crate::matmul::scaled_product;
use crate::memory::Scratch;
use crate::op::Present;
use crate::{Mat, Tensor, Threads, product};
use softmax::{Mask, backward_rows, exp_rows, scale_rows};

/// Scores of one block of queries: 128 KiB, which stay in cache.
const SCORES: usize = 1 << 15;
/// Queries in a block when what lies beyond a query is left out: fewer waste less, more make better products.
const CAUSAL: usize = 32;

/// How positions look at each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attention {
    /// Heads, which share the width of the projections evenly.
    pub heads: usize,
    /// Whether a position sees itself and those before it only.
    pub causal: bool,
}

/// What [`attention_backward`] needs beside the input.
#[derive(Clone, Debug)]
pub struct Attended {
    /// Each query's largest score, and one over the sum of the exponentials of its scores less that one, `[n, heads, 2, t]`;
    /// 0 where nobody is present.
    sums: Tensor,
    /// The output, on a GPU.
    y: Option<Tensor>,
}

/// Checked sizes: `n` examples of `t` positions, `heads` of `width`.
#[derive(Clone, Copy)]
struct Sizes {
    n: usize,
    t: usize,
    heads: usize,
    width: usize,
    causal: bool,
}

impl Sizes {
    /// # Panics
    /// If the projections or the flags do not fit.
    fn new(qkv: &Tensor, how: Attention, present: Option<&Present>) -> Self {
        let Attention { heads, causal } = how;
        let &[n, t, triple] = qkv.shape() else { panic!("attention: projections {qkv:?} are not [n, t, 3 d]") };
        assert!(heads > 0 && triple % (3 * heads) == 0, "attention: projections {qkv:?} for {heads} heads");
        let flags = present.map_or(n * t, Present::count);
        assert!(flags == n * t, "attention: projections {qkv:?}, {flags} flags");
        Self { n, t, heads, width: triple / (3 * heads), causal }
    }

    fn d(&self) -> usize {
        self.heads * self.width
    }

    /// Elements of one head: its queries, keys, values or outputs.
    fn head(&self) -> usize {
        self.t * self.width
    }

    /// Copies the queries (scaled), keys and values of one head next to each other, each `[t, width]`. Keys and values that
    /// are not present become 0: a hidden one must not matter even if it is not a number.
    fn gather<'a>(&self, qkv: &[f32], head: usize, present: Option<&[bool]>, scratch: &'a mut Scratch) -> &'a [f32] {
        let (width, d, inputs) = (self.width, self.d(), scratch.of(3 * self.head()));
        for (part, to) in inputs.chunks_exact_mut(self.head()).enumerate() {
            let rows = qkv[part * d + head * width..].chunks(3 * d);
            to.chunks_exact_mut(width).zip(rows).for_each(|(to, row)| to.copy_from_slice(&row[..width]));
        }
        let (q, rest) = inputs.split_at_mut(self.head());
        let scale = scale(width);
        q.iter_mut().for_each(|q| *q *= scale);
        for (at, _) in present.unwrap_or_default().iter().enumerate().filter(|(_, present)| !**present) {
            rest.chunks_exact_mut(self.head()).for_each(|x| x[at * width..(at + 1) * width].fill(0.0));
        }
        inputs
    }

    /// Blocks of queries, each with the number of keys that any of them sees.
    fn blocks(self) -> impl Iterator<Item = (std::ops::Range<usize>, usize)> {
        let most = (SCORES / self.t.max(1)).max(1);
        let rows = if self.causal { most.min(CAUSAL) } else { most };
        (0..self.t).step_by(rows).map(move |from| {
            let to = (from + rows).min(self.t);
            (from..to, if self.causal { to } else { self.t })
        })
    }
}

/// The factor of scores, `1 / sqrt(width)`.
fn scale(width: usize) -> f32 {
    1.0 / (width as f32).sqrt()
}

/// Scratch of one task: inputs of a head, gradients of its outputs, scores, their gradients.
struct Buffers([Scratch; 4]);

fn buffers() -> Buffers {
    Buffers([const { Scratch::new() }; 4])
}

/// `softmax(q k^T / sqrt(width)) v` for every head; `[n, t, d]`, heads side by side.
///
/// `qkv` `[n, t, 3 d]` holds queries, keys and values side by side, each of them `heads` of `width = d / heads`. `present`
/// are `n t` flags: nobody looks at a position whose flag is false (padding), whatever it holds. A query for which nobody
/// is present gives zeros. Stable for scores of any size.
///
/// # Panics
/// If `3 heads` does not divide the last dimension, or there are not `n t` flags.
#[must_use]
pub fn attention(qkv: &Tensor, how: Attention, present: Option<&Present>) -> (Tensor, Attended) {
    let sizes = Sizes::new(qkv, how, present);
    if let Some(gpu) = qkv.gpu() {
        return gpu::attention(gpu, qkv, sizes, present);
    }
    let present = present.map(Present::host);
    let Sizes { n, t, heads, width, .. } = sizes;
    let mut y = Tensor::unfilled([n, t, sizes.d()]);
    let mut sums = Tensor::unfilled([n, heads, 2, t]);
    if y.is_empty() {
        sums.data_mut().fill(0.0);
        return (y, Attended { sums, y: None });
    }
    let examples = y.data_mut().par_chunks_mut(t * sizes.d()).zip(sums.data_mut().par_chunks_mut(2 * heads * t));
    examples.enumerate().for_each_init(Scratch::new, |scratch, (i, (y, sums))| {
        let present = present.map(|flags| &flags[i * t..(i + 1) * t]);
        let outputs = scratch.of(y.len());
        let tasks = outputs.par_chunks_mut(sizes.head()).zip(sums.par_chunks_mut(2 * t)).enumerate();
        tasks.for_each_init(buffers, |buffers, (head, (out, sums))| {
            forward(sizes, qkv.row(i), head, present, buffers, out, sums);
        });
        for (head, out) in outputs.chunks_exact(sizes.head()).enumerate() {
            spread(out, y, head * width, sizes.d(), width);
        }
    });
    (y, Attended { sums, y: None })
}

/// The gradient by the projections, `[n, t, 3 d]`, from that by the output, `[n, t, d]`. Zero at queries for which nobody
/// is present, and at keys and values of positions that are not.
///
/// # Panics
/// As [`attention`], or if `dy` or `kept` does not fit `qkv`.
#[must_use]
pub fn attention_backward(
    dy: &Tensor,
    qkv: &Tensor,
    kept: &Attended,
    how: Attention,
    present: Option<&Present>,
) -> Tensor {
    let sizes = Sizes::new(qkv, how, present);
    let Sizes { n, t, heads, width, .. } = sizes;
    let fits = dy.shape() == [n, t, sizes.d()] && kept.sums.shape() == [n, heads, 2, t];
    assert!(fits, "attention: gradient {dy:?}, projections {qkv:?}, kept {kept:?}");
    if let Some(gpu) = qkv.gpu() {
        return gpu::attention_backward(gpu, dy, qkv, kept, sizes, present);
    }
    let present = present.map(Present::host);
    let mut gradient = Tensor::unfilled(qkv.shape());
    if gradient.is_empty() {
        return gradient;
    }
    let examples = gradient.data_mut().par_chunks_mut(3 * t * sizes.d()).enumerate();
    examples.for_each_init(Scratch::new, |scratch, (i, gradient)| {
        let present = present.map(|flags| &flags[i * t..(i + 1) * t]);
        let parts = scratch.of(gradient.len());
        parts.par_chunks_mut(3 * sizes.head()).enumerate().for_each_init(buffers, |buffers, (head, parts)| {
            let sums = &kept.sums.row(i)[2 * head * t..2 * (head + 1) * t];
            backward(sizes, (dy.row(i), qkv.row(i)), head, present, buffers, sums, parts);
        });
        for (at, part) in parts.chunks_exact(sizes.head()).enumerate() {
            spread(part, gradient, at % 3 * sizes.d() + at / 3 * width, 3 * sizes.d(), width);
        }
    });
    gradient
}

/// The output of one head, `[t, width]`.
fn forward(
    sizes: Sizes,
    qkv: &[f32],
    head: usize,
    present: Option<&[bool]>,
    Buffers([inputs, scores, ..]): &mut Buffers,
    out: &mut [f32],
    sums: &mut [f32],
) {
    let width = sizes.width;
    let [q, k, v] = split(sizes.gather(qkv, head, present, inputs));
    let (tops, scales) = sums.split_at_mut(sizes.t);
    let mask = Mask::new(sizes.causal, present, sizes.t);
    for (queries, keys) in sizes.blocks() {
        let rows = queries.len();
        let scores = scores.of(rows * keys);
        let q = Mat::new(&q[queries.start * width..], rows, width);
        product(scores, q, Mat::new(k, keys, width).t(), false, Threads::One);
        mask.hide(scores, queries.start, keys);
        let blind = mask.blind.saturating_sub(queries.start).min(rows);
        exp_rows(scores, keys, blind, &mut tops[queries.clone()], &mut scales[queries.clone()]);
        let out = &mut out[queries.start * width..queries.end * width];
        product(out, Mat::new(scores, rows, keys), Mat::new(v, keys, width), false, Threads::One);
        scale_rows(out, width, &scales[queries]);
    }
}

/// The gradients by the queries, keys and values of one head, each `[t, width]`, one after the other.
fn backward(
    sizes: Sizes,
    (dy, qkv): (&[f32], &[f32]),
    head: usize,
    present: Option<&[bool]>,
    Buffers([inputs, scores, gradients, outputs]): &mut Buffers,
    sums: &[f32],
    parts: &mut [f32],
) {
    let width = sizes.width;
    let [q, k, v] = split(sizes.gather(qkv, head, present, inputs));
    let dy_head = outputs.of(sizes.head());
    let columns = dy[head * width..].chunks(sizes.d());
    dy_head.chunks_exact_mut(width).zip(columns).for_each(|(to, from)| to.copy_from_slice(&from[..width]));
    let mask = Mask::new(sizes.causal, present, sizes.t);
    let (tops, scales) = sums.split_at(sizes.t);
    parts.fill(0.0);
    let (dq, rest) = parts.split_at_mut(sizes.head());
    let (dk, dv) = rest.split_at_mut(sizes.head());
    for (queries, keys) in sizes.blocks() {
        let (rows, from) = (queries.len(), queries.start * width..queries.end * width);
        let (q, dy) = (Mat::new(&q[from.clone()], rows, width), Mat::new(&dy_head[from.clone()], rows, width));
        let (k, v) = (Mat::new(k, keys, width), Mat::new(v, keys, width));
        let (p, ds) = (scores.of(rows * keys), gradients.of(rows * keys));
        product(p, q, k.t(), false, Threads::One);
        mask.hide(p, queries.start, keys);
        product(ds, dy, v.t(), false, Threads::One);
        backward_rows(p, ds, keys, &tops[queries.clone()], &scales[queries]);
        let (p, ds) = (Mat::new(p, rows, keys), Mat::new(ds, rows, keys));
        product(&mut dv[..keys * width], p.t(), dy, true, Threads::One);
        product(&mut dk[..keys * width], ds.t(), q, true, Threads::One);
        scaled_product(&mut dq[from], ds, k, scale(width), false, Threads::One);
    }
}

/// Queries, keys and values.
fn split(inputs: &[f32]) -> [&[f32]; 3] {
    let head = inputs.len() / 3;
    [0, 1, 2].map(|part| &inputs[part * head..(part + 1) * head])
}

/// Copies rows of `width` next to each other into columns `from..` of rows of `stride`.
fn spread(rows: &[f32], to: &mut [f32], from: usize, stride: usize, width: usize) {
    let columns = to[from..].chunks_mut(stride);
    rows.chunks_exact(width).zip(columns).for_each(|(row, to)| to[..width].copy_from_slice(row));
}
