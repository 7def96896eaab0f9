//! One arena for all of a device's memory.
//!
//! Segments are taken from the driver and cut into blocks; a block that is given back is joined with its free neighbours
//! and serves the next request that it fits best. Everything runs on one stream, so a block may be reused as soon as the
//! host gives it back: what used it before was launched before. After the first step of training nothing is asked of the
//! driver any more.

use std::collections::{BTreeMap, BTreeSet};

/// Blocks start at multiples of this.
const ALIGNMENT: usize = 512;
/// Small segments are taken in this size.
const SEGMENT: usize = 32 << 20;
/// What a segment's size is rounded up to.
const PAGE: usize = 2 << 20;

/// Bytes in use, the most there ever were, and what was taken from the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of live buffers.
    pub live: usize,
    /// The largest `live` since [`crate::Gpu::forget_peak`].
    pub peak: usize,
    /// Bytes taken from the driver.
    pub taken: usize,
    /// Bytes of f32 numbers that were ever made of bf16 ones, for operations that ask for f32.
    pub widened: usize,
}

/// Free and used blocks, by address.
#[derive(Default)]
pub(crate) struct Arena {
    /// Every block: its size, whether it is free, whether a segment begins with it.
    blocks: BTreeMap<u64, Block>,
    /// Free blocks by size.
    free: BTreeSet<(usize, u64)>,
    pub(crate) usage: Usage,
}

#[derive(Clone, Copy)]
struct Block {
    size: usize,
    free: bool,
    first: bool,
}

impl Arena {
    /// A block of at least `bytes`; `grow` takes a segment of the given size from the driver.
    pub(crate) fn take(&mut self, bytes: usize, grow: impl FnOnce(usize) -> Option<u64>) -> Option<u64> {
        let size = bytes.max(1).next_multiple_of(ALIGNMENT);
        if self.free.range((size, 0)..).next().is_none() {
            let segment = size.max(SEGMENT).next_multiple_of(PAGE);
            let address = grow(segment)?;
            self.blocks.insert(address, Block { size: segment, free: true, first: true });
            self.free.insert((segment, address));
            self.usage.taken += segment;
        }
        let (found, address) = self.free.range((size, 0)..).next().copied()?;
        self.free.remove(&(found, address));
        self.use_part(address, found, size);
        self.usage.live += size;
        self.usage.peak = self.usage.peak.max(self.usage.live);
        Some(address)
    }

    /// The first `size` bytes of a free block become used, the rest a free block.
    fn use_part(&mut self, address: u64, found: usize, size: usize) {
        let first = self.blocks.get(&address).is_some_and(|block| block.first);
        self.blocks.insert(address, Block { size, free: false, first });
        if found > size {
            let rest = address + size as u64;
            self.blocks.insert(rest, Block { size: found - size, free: true, first: false });
            self.free.insert((found - size, rest));
        }
    }

    /// Gives a block back.
    pub(crate) fn give(&mut self, address: u64) {
        let Some(&Block { mut size, mut first, .. }) = self.blocks.get(&address) else { return };
        self.usage.live -= size;
        let next = self.blocks.get(&(address + size as u64)).copied().filter(|next| next.free && !next.first);
        if let Some(next) = next {
            self.forget(address + size as u64, next.size);
            size += next.size;
        }
        let before = self.blocks.range(..address).next_back().map(|(at, block)| (*at, *block));
        let joined = before.filter(|(at, block)| block.free && !first && at + block.size as u64 == address);
        let start = joined.map_or(address, |(at, block)| {
            self.forget(at, block.size);
            self.blocks.remove(&address);
            (size, first) = (size + block.size, block.first);
            at
        });
        self.blocks.insert(start, Block { size, free: true, first });
        self.free.insert((size, start));
    }

    fn forget(&mut self, address: u64, size: usize) {
        self.blocks.remove(&address);
        self.free.remove(&(size, address));
    }

    /// Segments nobody uses any part of: they are forgotten, for their owner to return to the driver.
    pub(crate) fn idle(&mut self) -> Vec<u64> {
        let whole = |at: u64, block: &Block| {
            let end = at + block.size as u64;
            block.free && block.first && self.blocks.get(&end).is_none_or(|next| next.first)
        };
        let idle: Vec<(u64, usize)> =
            self.blocks.iter().filter(|(at, block)| whole(**at, block)).map(|(at, block)| (*at, block.size)).collect();
        for &(at, size) in &idle {
            self.forget(at, size);
            self.usage.taken -= size;
        }
        idle.into_iter().map(|(at, _)| at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, Arena, SEGMENT};

    /// A driver that hands out addresses far apart.
    fn driver(next: &mut u64) -> impl FnOnce(usize) -> Option<u64> + '_ {
        move |size| {
            let at = *next;
            *next += size as u64 + (1 << 30);
            Some(at)
        }
    }

    #[test]
    fn blocks_are_cut_joined_and_found_again() {
        let (mut arena, mut next) = (Arena::default(), 1 << 40);
        let blocks: Vec<u64> =
            [1000, 2000, 3000].map(|bytes| arena.take(bytes, driver(&mut next)).unwrap_or(0)).to_vec();
        assert_eq!(blocks[1] - blocks[0], 1024);
        assert_eq!(arena.usage.live, 1024 + 2048 + 3072);
        blocks.iter().for_each(|at| arena.give(*at));
        assert_eq!((arena.usage.live, arena.usage.taken), (0, SEGMENT));
        // All of it is one block again.
        assert_eq!(arena.take(SEGMENT, driver(&mut next)), Some(blocks[0]));
        assert_eq!(arena.usage.taken, SEGMENT);
    }

    /// A few hundred requests in a made-up order: no two live blocks overlap, and in the end all memory is idle.
    #[test]
    fn live_blocks_never_overlap() {
        let (mut arena, mut next, mut state) = (Arena::default(), 1 << 40, 1u64);
        let mut live: Vec<(u64, u64)> = Vec::new();
        for _ in 0..2000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let pick = (state >> 33) as usize;
            if pick % 5 < 3 || live.is_empty() {
                let bytes = 1 + pick % (1 << 24);
                let at = arena.take(bytes, driver(&mut next)).unwrap_or(0);
                let end = at + bytes as u64;
                assert!(at.is_multiple_of(ALIGNMENT as u64));
                assert!(live.iter().all(|&(from, to)| end <= from || to <= at), "{at} overlaps");
                live.push((at, end));
            } else {
                arena.give(live.swap_remove(pick % live.len()).0);
            }
        }
        live.drain(..).for_each(|(at, _)| arena.give(at));
        assert_eq!(arena.usage.live, 0);
        assert!(!arena.idle().is_empty());
        assert_eq!(arena.usage.taken, 0);
    }

    #[test]
    fn no_memory_is_said() {
        assert_eq!(Arena::default().take(10, |_| None), None);
    }
}
