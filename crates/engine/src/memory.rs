//! Recycled buffers.
//!
//! A training step allocates the same few large buffers again and again. Fresh ones cost a page fault every 4 KiB and a
//! memset, which together take longer than many of the kernels that fill them. So the storage of a dropped tensor waits
//! here for the next tensor of about the same size. Debug builds fill what they hand out with NaN, so that a kernel that
//! forgets to write an element is found by its test.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Gpu;
use crate::cuda::Buffer;
use crate::part::{Part, Span};

/// Buffers shorter than this many elements are left to the allocator.
const SMALL: usize = 1 << 13;
/// The shelf never holds more elements than this (1 GiB).
const LIMIT: usize = 1 << 28;

/// Buffers in waiting, by capacity.
struct Shelf {
    buffers: BTreeMap<usize, Vec<Vec<f32>>>,
    held: usize,
}

static SHELF: Mutex<Shelf> = Mutex::new(Shelf { buffers: BTreeMap::new(), held: 0 });

fn shelf() -> MutexGuard<'static, Shelf> {
    SHELF.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// The smallest buffer that fits without wasting more than half of itself.
    fn find(&mut self, len: usize) -> Option<Vec<f32>> {
        let (&capacity, waiting) = self.buffers.range_mut(len..=len.saturating_mul(2)).next()?;
        let found = waiting.pop();
        if waiting.is_empty() {
            self.buffers.remove(&capacity);
        }
        self.held -= capacity;
        found
    }
}

/// A buffer of `len` elements with UNSPECIFIED contents: the caller overwrites every element.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let found = if len < SMALL { None } else { shelf().find(len) };
    let mut buffer = found.unwrap_or_default();
    if buffer.capacity() == 0 {
        buffer = vec![0.0; len];
    }
    buffer.resize(len, 0.0);
    if cfg!(debug_assertions) {
        buffer.fill(f32::NAN);
    }
    buffer
}

/// Puts a buffer that is no longer needed on the shelf, or frees it when it is small or the shelf is full.
pub(crate) fn give(buffer: Vec<f32>) {
    let capacity = buffer.capacity();
    if capacity < SMALL {
        return;
    }
    let mut shelf = shelf();
    if shelf.held + capacity <= LIMIT {
        shelf.held += capacity;
        shelf.buffers.entry(capacity).or_default().push(buffer);
    }
}

/// Numbers whose storage returns to the shelf when dropped.
pub(crate) struct Recycled(pub Vec<f32>);

impl Drop for Recycled {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

/// A scratch buffer that returns to the shelf when dropped.
pub(crate) struct Scratch(Vec<f32>);

impl Scratch {
    /// An empty scratch; it grows at its first use.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// The first `len` elements, with unspecified contents.
    pub(crate) fn of(&mut self, len: usize) -> &mut [f32] {
        if self.0.len() < len {
            give(std::mem::replace(&mut self.0, take(len)));
        }
        &mut self.0[..len]
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        give(std::mem::take(&mut self.0));
    }
}

/// Whole numbers in recycled storage, on the host or on a GPU.
pub struct Indices(Words);

enum Words {
    Host(Vec<f32>),
    Device(Buffer, usize),
}

impl Indices {
    /// `len` numbers with unspecified contents.
    pub(crate) fn unfilled(len: usize) -> Self {
        Self(Words::Host(take(len)))
    }

    /// As [`Indices::unfilled`], on a GPU.
    pub(crate) fn unfilled_on(gpu: &'static Gpu, len: usize) -> Self {
        Self(Words::Device(Buffer::of(gpu, len), len))
    }

    /// All of them.
    pub(crate) fn part(&self) -> Part<'_, u32> {
        match &self.0 {
            Words::Host(_) => Part::Host(self),
            Words::Device(buffer, len) => Part::Device(Span::new(buffer.gpu(), buffer.address(), *len)),
        }
    }

    /// How many there are, wherever they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.part().len()
    }

    /// A copy on the host.
    #[must_use]
    pub fn to_host(&self) -> Vec<u32> {
        match self.part() {
            Part::Host(words) => words.to_vec(),
            Part::Device(span) => {
                let mut words = vec![0; span.len];
                span.gpu.read(span.at, &mut words);
                words
            }
        }
    }
}

impl From<Vec<u32>> for Indices {
    fn from(words: Vec<u32>) -> Self {
        let mut indices = Self::unfilled(words.len());
        indices.copy_from_slice(&words);
        indices
    }
}

/// # Panics
/// If the numbers are on a GPU.
impl std::ops::Deref for Indices {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        let Words::Host(words) = &self.0 else { panic!("indices on a GPU have no slice") };
        // SAFETY: f32 and u32 have one size and alignment, and every pattern of bits is a value of both.
        unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
    }
}

impl std::ops::DerefMut for Indices {
    fn deref_mut(&mut self) -> &mut [u32] {
        let Words::Host(words) = &mut self.0 else { panic!("indices on a GPU have no slice") };
        // SAFETY: as above; the storage is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), words.len()) }
    }
}

impl Drop for Indices {
    fn drop(&mut self) {
        if let Words::Host(words) = &mut self.0 {
            give(std::mem::take(words));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Scratch, give, take};

    #[test]
    fn a_buffer_comes_back() {
        let len = 1_234_567;
        let buffer = take(len);
        let address = buffer.as_ptr();
        give(buffer);
        let again = take(len - 10);
        assert_eq!((again.as_ptr(), again.len()), (address, len - 10));
    }

    #[test]
    fn scratch_grows() {
        let mut scratch = Scratch::new();
        assert_eq!(scratch.of(3).len(), 3);
        assert_eq!(scratch.of(30_000).len(), 30_000);
        assert_eq!(scratch.of(0).len(), 0);
    }
}
