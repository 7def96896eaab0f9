//! Elementwise kernels over large slices: fixed blocks, in parallel.

use rayon::prelude::*;

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

/// How many rows of `row` elements make a task worth starting: at least one.
pub(crate) fn rows_at_least(row: usize) -> usize {
    (BLOCK / row.max(1)).max(1)
}
