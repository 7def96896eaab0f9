//! Elementwise kernels over large slices: fixed blocks, in parallel.

use multiversion::multiversion;
use rayon::prelude::*;

use crate::cuda::{Grid, arguments};
use crate::{Dtype, Tensor};

/// Elements in a block: 64 KiB, which stays in cache.
const BLOCK: usize = 1 << 14;

/// `kernel` on blocks of `y`.
pub(crate) fn change(y: &mut [f32], kernel: fn(&mut [f32])) {
    y.par_chunks_mut(BLOCK).for_each(kernel);
}

/// `kernel` on blocks of `y` with the same blocks of `x`.
pub(crate) fn change_by(y: &mut [f32], x: &[f32], kernel: impl Fn(&mut [f32], &[f32]) + Sync) {
    assert!(y.len() == x.len(), "{} elements beside {}", y.len(), x.len());
    y.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).for_each(|(y, x)| kernel(y, x));
}

/// `kernel(x, y, n)` on the GPU of `x`, into a new tensor.
pub(crate) fn map(x: &Tensor, kernel: &'static str) -> Option<Tensor> {
    let gpu = x.gpu()?;
    let y = Tensor::unfilled_as(x.dtype(), x.device(), x.shape());
    gpu.launch_as(x.dtype(), kernel, many(x.dtype(), x.len()), arguments![x.at(), y.at(), x.len()]);
    Some(y)
}

/// `kernel(x, x, n)` on the GPU of `x`, in place; or `x` again, if it is on the host.
pub(crate) fn map_in_place(x: Tensor, kernel: &'static str) -> Result<Tensor, Tensor> {
    let Some(gpu) = x.gpu() else { return Err(x) };
    let (from, y) = x.in_place();
    gpu.launch_as(y.dtype(), kernel, many(y.dtype(), y.len()), arguments![from, y.at(), y.len()]);
    Ok(y)
}

/// `kernel(x, dy, dx, n)` on the GPU of `dy`, in its storage; or `dy` again, if it is on the host.
pub(crate) fn zip_in_place(x: &Tensor, dy: Tensor, kernel: &'static str) -> Result<Tensor, Tensor> {
    let Some(gpu) = dy.gpu() else { return Err(dy) };
    let (from, dx) = dy.in_place();
    let x = x.as_dtype(dx.dtype());
    gpu.launch_as(dx.dtype(), kernel, many(dx.dtype(), dx.len()), arguments![x.at(), from, dx.at(), dx.len()]);
    Ok(dx)
}

/// Runs `f`, a short loop over slices, compiled for the widest vectors that this machine has. The bits are the same.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"), dispatcher = "direct")]
pub fn in_vectors<F: FnOnce()>(f: F) {
    f();
}

/// A thread for every four f32 numbers.
pub(crate) fn fours(n: usize) -> Grid {
    many(Dtype::F32, n)
}

/// A thread for every 16 bytes of numbers.
pub(crate) fn many(dtype: Dtype, n: usize) -> Grid {
    Grid::over(n.div_ceil(16 / dtype.bytes()))
}

/// How many rows of `row` elements make a task worth starting: at least one.
pub(crate) fn rows_at_least(row: usize) -> usize {
    (BLOCK / row.max(1)).max(1)
}
