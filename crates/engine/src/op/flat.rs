//! Long vectors: sums, steps, norms. What optimizers and releases are made of.

use rayon::prelude::*;

use super::each;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{PartMut, Tensor};

/// Numbers that are worked through at a time.
const BLOCK: usize = 1 << 14;

/// Numbers that are made at a time: they stay in the first cache.
const FEW: usize = 1 << 11;

/// Models of fewer numbers are small.
const SMALL: usize = 1 << 20;

/// `f(a, b)` for each pair of numbers, in parallel, on the host.
fn zip(a: &mut Tensor, b: &Tensor, f: impl Fn(&mut f32, f32) + Sync) {
    let blocks = a.data_mut().par_chunks_mut(BLOCK).zip(b.data().par_chunks(BLOCK));
    blocks.for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| f(a, *b)));
}

fn check(a: &Tensor, b: &Tensor) {
    assert!(a.len() == b.len(), "{a:?} beside {b:?}");
}

/// `a += by b`; the product is taken in f64.
///
/// # Panics
/// If the lengths differ.
pub fn add_scaled(a: &mut Tensor, b: &Tensor, by: f64) {
    check(a, b);
    if let Some(gpu) = a.gpu() {
        let (len, a) = (a.len(), a.address_mut());
        return gpu.launch("add_scaled", each::fours(len), arguments![a, b, by, len]);
    }
    zip(a, b, |a, b| *a += (f64::from(b) * by) as f32);
}

/// `a *= by`, in f64 before it is rounded.
pub fn scale(a: &mut Tensor, by: f64) {
    if let Some(gpu) = a.gpu() {
        let (len, a) = (a.len(), a.address_mut());
        return gpu.launch("scale", each::fours(len), arguments![a, by, len]);
    }
    let blocks = a.data_mut().par_chunks_mut(BLOCK);
    blocks.for_each(|block| block.iter_mut().for_each(|x| *x = (f64::from(*x) * by) as f32));
}

/// `a = keep a + by b`.
///
/// # Panics
/// If the lengths differ.
pub fn blend(a: &mut Tensor, b: &Tensor, keep: f32, by: f32) {
    check(a, b);
    if let Some(gpu) = a.gpu() {
        let (len, a) = (a.len(), a.address_mut());
        return gpu.launch("blend", each::fours(len), arguments![a, b, keep, by, len]);
    }
    zip(a, b, |a, b| *a = keep * *a + by * b);
}

/// `a = keep a + by b^2`.
///
/// # Panics
/// If the lengths differ.
pub fn blend_square(a: &mut Tensor, b: &Tensor, keep: f32, by: f32) {
    check(a, b);
    if let Some(gpu) = a.gpu() {
        let (len, a) = (a.len(), a.address_mut());
        return gpu.launch("blend_square", each::fours(len), arguments![a, b, keep, by, len]);
    }
    zip(a, b, |a, b| *a = keep * *a + by * b * b);
}

/// Adam's step from its two running means: `-rate m / (root sqrt(v) + eps)`, in the storage of `step`.
///
/// # Panics
/// If the lengths differ.
#[must_use]
pub fn adam_step(mut step: Tensor, m: &Tensor, v: &Tensor, rate: f32, root: f32, eps: f32) -> Tensor {
    check(&step, m);
    check(&step, v);
    if let Some(gpu) = step.gpu() {
        let (len, at) = (step.len(), step.address_mut());
        gpu.launch("adam_step", each::fours(len), arguments![m, v, at, rate, root, eps, len]);
        return step;
    }
    let means = m.data().par_chunks(BLOCK).zip(v.data().par_chunks(BLOCK));
    step.data_mut().par_chunks_mut(BLOCK).zip(means).for_each(|(step, (m, v))| {
        step.iter_mut().zip(m.iter().zip(v)).for_each(|(step, (m, v))| *step = -rate * m / (v.sqrt() * root + eps));
    });
    step
}

/// The sum of squares, in f64.
#[must_use]
pub fn square(x: &Tensor) -> f64 {
    if let Some(gpu) = x.gpu() {
        let mut pieces = vec![0.0f64; x.len().div_ceil(BLOCK)];
        let parts = Buffer::new(gpu, 8 * pieces.len());
        gpu.launch("square_pieces", Grid::blocks(pieces.len(), 1, 256), arguments![x, &parts, x.len()]);
        gpu.read(parts.address(), &mut pieces);
        return pieces.iter().sum();
    }
    let square = |block: &[f32]| block.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let blocks: Vec<f64> = x.data().par_chunks(BLOCK).map(square).collect();
    blocks.into_iter().sum()
}

/// 1 where one of the first `present` numbers of `x` is finite, else 0.
#[must_use]
pub fn finite(x: &Tensor, present: usize) -> Tensor {
    if let Some(gpu) = x.gpu() {
        let flags = Tensor::unfilled_on(x.device(), x.shape());
        gpu.launch("finite_flags", Grid::over(x.len()), arguments![x, &flags, present, x.len()]);
        return flags;
    }
    let flag = |(i, x): (usize, &f32)| f32::from(u8::from(i < present && x.is_finite()));
    Tensor::new(x.shape(), x.data().iter().enumerate().map(flag).collect())
}

/// Copies all of `from` to `to`, which may be a stretch of a longer tensor on the same device.
///
/// # Panics
/// If the lengths differ.
pub fn copy(from: &Tensor, to: PartMut) {
    assert!(from.len() == to.len(), "{from:?} into {} elements", to.len());
    match (from.gpu(), to) {
        (Some(gpu), PartMut::Device(to)) => gpu.copy(to.at, from.address(), 4 * from.len()),
        (Some(_), PartMut::Host(to)) => to.copy_from_slice(from.to_host().data()),
        (None, to) => {
            let blocks = to.host().par_chunks_mut(BLOCK).zip(from.data().par_chunks(BLOCK));
            blocks.for_each(|(to, from)| to.copy_from_slice(from));
        }
    }
}

/// Adds `by` times `step`, a stretch of a longer tensor on the same device, to `w`. On a GPU `by` is 1.
///
/// # Panics
/// If the lengths differ, or `by` is not 1 on a GPU.
pub fn walk(w: &mut Tensor, step: crate::Part, by: f32) {
    assert!(w.len() == step.len(), "a step of {} elements for {w:?}", step.len());
    if let Some(gpu) = w.gpu() {
        assert!(by == 1.0, "a step to be multiplied with {by} on a GPU");
        let (len, w) = (w.len(), w.address_mut());
        // A stretch begins anywhere, so not four at a time.
        return step.on(gpu, |step| gpu.launch("walk", Grid::over(len), arguments![w, step, len]));
    }
    let blocks = w.data_mut().par_chunks_mut(BLOCK).zip(step.host().par_chunks(BLOCK));
    blocks.for_each(|(w, step)| add(w, step, by));
}

/// Where each of the tensors begins, if they lie one after the other, and how long all are.
fn starts(tensors: &[Tensor]) -> (Vec<usize>, usize) {
    let mut len = 0;
    let starts = tensors.iter().map(|tensor| {
        len += tensor.len();
        len - tensor.len()
    });
    (starts.collect(), len)
}

/// `f(place, numbers)` for stretches of tensors that lie one after the other, in parallel, on the host.
fn stretches(tensors: &mut [Tensor], f: impl Fn(usize, &mut [f32]) + Sync) {
    let (starts, _) = starts(tensors);
    tensors.par_iter_mut().zip(&starts).for_each(|(tensor, start)| {
        let blocks = tensor.data_mut().par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(k, block)| f(start + k * BLOCK, block));
    });
}

/// Adds `by (step + size plus)` to tensors that lie one after the other in `step`; on a GPU in one go. Products are taken in f64.
///
/// # Panics
/// If the lengths differ, or if there is a `plus` on the host.
pub fn walk_all(tensors: &mut [Tensor], step: &Tensor, by: f64, plus: Option<(&Tensor, f64)>) {
    let (starts, len) = starts(tensors);
    assert!(len == step.len(), "a step of {} elements for {len}", step.len());
    if let Some(gpu) = step.gpu() {
        // Rounded forms that are there stay true.
        let rounded: Vec<_> = tensors.iter_mut().map(Tensor::take_rounded).collect();
        let places = tensors.iter_mut().zip(&starts).zip(&rounded);
        let rows = places.flat_map(|((tensor, start), rounded)| {
            [tensor.address_mut(), *start as u64, rounded.as_ref().map_or(0, |rounded| rounded.address())]
        });
        let size = plus.map_or(0.0, |(_, size)| size);
        assert!(plus.is_none_or(|(plus, _)| plus.len() == len), "a term beside a step of {len} elements");
        let table = gpu.constant(&rows.chain([0, len as u64, 0]).collect::<Vec<u64>>());
        // Small models need all multiprocessors, large ones few searches in the table.
        let block: usize = if len < SMALL { 512 } else { 4096 };
        let list = arguments![&*table, tensors.len(), step, by, plus.map(|(plus, _)| plus), size, block, len];
        gpu.launch("walk_all", Grid::blocks(len.div_ceil(block), 1, (block / 4).min(256) as u32), list);
        return tensors.iter().zip(rounded).for_each(|(tensor, rounded)| tensor.keep_rounded(rounded));
    }
    assert!(plus.is_none(), "a term beside a step on the host");
    let (step, by) = (step.data(), by as f32);
    stretches(tensors, |at, w| add(w, &step[at..at + w.len()], by));
}

/// As [`walk_all`] on the host, by a step that is never in memory as a whole: `make` writes its numbers from a place on.
pub fn walk_made(tensors: &mut [Tensor], by: f64, make: impl Fn(usize, &mut [f32]) + Sync) {
    let by = by as f32;
    stretches(tensors, |mut at, w| {
        let mut step = [0.0; FEW];
        for w in w.chunks_mut(FEW) {
            let step = &mut step[..w.len()];
            make(at, step);
            add(w, step, by);
            at += w.len();
        }
    });
}

fn add(w: &mut [f32], step: &[f32], by: f32) {
    w.iter_mut().zip(step).for_each(|(w, d)| *w += by * d);
}
