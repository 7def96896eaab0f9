//! Steps out of sums on GPUs, behind their noise, in one pass: [`crate::op::add_normals`] and [`crate::op::walk_all`] in one.
//!
//! Of several GPUs, each of which has summands of the sum and a copy of the weights, each goes through a part of the numbers: it reads the
//! summands of all, makes that part of the noise, and writes the weights of all, over whatever joins them. For `n` GPUs and `b`
//! bytes of numbers, `(n - 1) / n` of `2 b` come to each and go from it, as in a sum and copies by rings, and noise and steps
//! take an `n`th of the time.
//!
//! # Why this is private
//! *Claim.* Weights move by the sum with its noise, to the bit the one that the noise added to the sum first gives.
//! *Argument.* See `cuda/noised_walk.cu`. Parts ([`part`]) cover every number once. GPUs wait for each other before, so that summands
//! are whole, and after, so that nobody goes on with weights or memory that another is still at.
//! *Tests.* `parts_are_all_numbers_once` below; among the GPU tests of `secateur-train` `a_step_behind_its_noise_is_the_noisy_step` (one GPU),
//! `steps_are_taken_together` and `noise_is_made_once` (several).

use std::ops::Range;
use std::sync::Arc;

use super::keystream::Cipher;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Gpu, Tensor};

/// Numbers that a warp goes through.
const WARP: usize = 512;

/// Models of fewer numbers are small: they need all multiprocessors.
const SMALL: usize = 1 << 20;

/// White noise: element `i` of the stream for number `i`.
#[derive(Clone, Copy)]
pub struct Noise<'a> {
    /// What its normals are made by.
    pub cipher: Cipher<'a>,
    /// Their standard deviation.
    pub deviation: f32,
}

/// Adds `by (sum + noise)` to tensors that lie one after the other in the sum. `summands` are one from each of some GPUs, and so are
/// the lists of tensors, which are all alike and have the same numbers.
///
/// # Panics
/// If devices or lengths differ, or if they are on the host.
pub fn noised_walk(lists: &mut [&mut [Tensor]], summands: &[Tensor], by: f64, noise: Option<Noise>) {
    let gpus: Vec<&'static Gpu> = summands.iter().map(on_gpu).collect();
    let ground = Ground::of(lists, summands);
    Gpu::meet(&gpus);
    for (k, gpu) in gpus.iter().enumerate() {
        let table = gpu.constant(&ground.table(k));
        launch(gpu, &table, (ground.starts.len() - 1, gpus.len()), by, noise, ground.part(k));
    }
    Gpu::meet(&gpus);
    for (list, rounded) in lists.iter().zip(ground.rounded) {
        list.iter().zip(rounded).for_each(|(tensor, rounded)| tensor.keep_rounded(rounded));
    }
}

/// Where everything lies.
struct Ground {
    /// Of each GPU's summand.
    sums: Vec<u64>,
    /// Where each tensor begins in the sum, and where the last ends.
    starts: Vec<usize>,
    /// Of each GPU's tensors, which nobody shares.
    places: Vec<Vec<u64>>,
    /// The rounded forms that are there and stay true: of tensors that are wholly in their GPU's part.
    rounded: Vec<Vec<Option<Arc<Buffer>>>>,
}

impl Ground {
    fn of(lists: &mut [&mut [Tensor]], summands: &[Tensor]) -> Self {
        let mut ground = Ground {
            sums: summands.iter().map(Tensor::address).collect(),
            starts: checked(lists, summands),
            places: Vec::new(),
            rounded: Vec::new(),
        };
        for (k, list) in lists.iter_mut().enumerate() {
            let part = ground.part(k);
            let whole = |p: usize| part.start <= ground.starts[p] && ground.starts[p + 1] <= part.end;
            let rounded = list.iter_mut().map(Tensor::take_rounded).enumerate();
            ground.rounded.push(rounded.map(|(p, rounded)| rounded.filter(|_| whole(p))).collect());
            ground.places.push(list.iter_mut().map(Tensor::address_mut).collect());
        }
        ground
    }

    /// Which numbers are GPU `k`'s.
    fn part(&self, k: usize) -> Range<usize> {
        part(self.starts[self.starts.len() - 1], k, self.sums.len())
    }

    /// What GPU `k` is told: the summands' addresses, and for each tensor, and where the last ends, where it begins, its rounded form
    /// there, and its places, that GPU's first.
    fn table(&self, k: usize) -> Vec<u64> {
        let others = (0..self.sums.len()).filter(|other| *other != k);
        let order: Vec<usize> = std::iter::once(k).chain(others).collect();
        let mut table = self.sums.clone();
        for (p, start) in self.starts.iter().enumerate() {
            let rounded = self.rounded[k].get(p).and_then(Option::as_ref).map_or(0, |rounded| rounded.address());
            table.extend([*start as u64, rounded]);
            table.extend(order.iter().map(|k| self.places[*k].get(p).copied().unwrap_or(0)));
        }
        table
    }
}

fn launch(
    gpu: &'static Gpu,
    table: &Buffer,
    (count, gpus): (usize, usize),
    by: f64,
    noise: Option<Noise>,
    part: Range<usize>,
) {
    let [a, b, c, d, nonce] = noise.map_or([0; 5], |noise| noise.cipher.slots());
    let (deviation, warps) = (noise.map_or(0.0, |noise| noise.deviation), part.len().div_ceil(WARP));
    let together: usize = if part.len() < SMALL { 1 } else { 8 };
    let shared = (together * (2 + gpus) * WARP * size_of::<f32>()) as u32;
    let grid = Grid { shared, ..Grid::blocks(warps.div_ceil(together), 1, 32 * together as u32) };
    let list = arguments![a, b, c, d, nonce, deviation, noise.is_some(), table, count, by, part.start, part.end];
    gpu.launch_variant("noised_walk", &format!("GPUS={gpus}"), grid, list);
}

/// Which of `len` numbers are GPU `k`'s, of `n`.
fn part(len: usize, k: usize, n: usize) -> Range<usize> {
    let cut = |k: usize| (len.div_ceil(WARP) * k / n * WARP).min(len);
    cut(k)..cut(k + 1)
}

/// Where each tensor begins in the sum, and where the last ends.
fn checked(lists: &[&mut [Tensor]], summands: &[Tensor]) -> Vec<usize> {
    let alike = |list: &&mut [Tensor]| list.iter().map(Tensor::len).eq(lists[0].iter().map(Tensor::len));
    assert!(lists.len() == summands.len() && lists.iter().all(alike), "lists of other tensors");
    let home = |(list, sum): (&&mut [Tensor], &Tensor)| list.iter().all(|tensor| tensor.device() == sum.device());
    assert!(lists.iter().zip(summands).all(home), "tensors on other devices than the sums");
    let mut starts = vec![0];
    lists[0].iter().for_each(|tensor| starts.push(starts[starts.len() - 1] + tensor.len()));
    let len = starts[starts.len() - 1];
    assert!(summands.iter().all(|sum| sum.len() == len), "a step of {summands:?} for {len} elements");
    starts
}

fn on_gpu(tensor: &Tensor) -> &'static Gpu {
    tensor.gpu().unwrap_or_else(|| panic!("{tensor:?} is on the host"))
}

#[cfg(test)]
mod tests {
    use super::{WARP, part};

    #[test]
    fn parts_are_all_numbers_once() {
        for len in [0, 1, 511, 512, 513, 5000, 163_037_184] {
            for n in 1..=8 {
                let parts: Vec<_> = (0..n).map(|k| part(len, k, n)).collect();
                assert_eq!((parts[0].start, parts[n - 1].end), (0, len));
                assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                assert!(parts.iter().all(|part| part.start.is_multiple_of(WARP) || part.is_empty()));
            }
        }
    }
}
