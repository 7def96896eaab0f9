//! Stretches of tensors, on either side.

use std::marker::PhantomData;

use crate::memory::Indices;
use crate::{Gpu, Tensor};

/// Numbers next to each other, to be read: of a host slice or of a tensor on a GPU.
#[derive(Clone, Copy)]
pub enum Part<'a, T = f32> {
    /// On the host.
    Host(&'a [T]),
    /// On a GPU.
    Device(Span<&'a [T]>),
}

/// Numbers next to each other, to be changed.
pub enum PartMut<'a, T = f32> {
    /// On the host.
    Host(&'a mut [T]),
    /// On a GPU.
    Device(Span<&'a mut [T]>),
}

/// A stretch of a GPU's memory, borrowed as `B`.
#[derive(Clone, Copy)]
pub struct Span<B> {
    pub(crate) gpu: &'static Gpu,
    pub(crate) at: u64,
    pub(crate) len: usize,
    borrow: PhantomData<B>,
}

impl<B> Span<B> {
    pub(crate) fn new(gpu: &'static Gpu, at: u64, len: usize) -> Self {
        Self { gpu, at, len, borrow: PhantomData }
    }
}

impl<'a, T: Copy> Part<'a, T> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Part::Host(slice) => slice.len(),
            Part::Device(span) => span.len,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy on the host.
    #[must_use]
    pub fn to_vec(self) -> Vec<T>
    where
        T: Default,
    {
        match self {
            Part::Host(slice) => slice.to_vec(),
            Part::Device(span) => {
                let mut numbers = vec![T::default(); span.len];
                span.gpu.read(span.at, &mut numbers);
                numbers
            }
        }
    }

    /// The numbers themselves.
    ///
    /// # Panics
    /// If they are on a GPU.
    pub(crate) fn host(self) -> &'a [T] {
        match self {
            Part::Host(slice) => slice,
            Part::Device(span) => panic!("numbers on {:?} where the others are on the host", span.gpu),
        }
    }

    /// `work` with their address on `gpu`; they are copied there if they are on the host or on another GPU.
    pub(crate) fn on<R>(self, gpu: &'static Gpu, work: impl FnOnce(u64) -> R) -> R {
        match self {
            Part::Host(slice) => {
                let copy = gpu.upload(slice);
                work(copy.address())
            }
            Part::Device(span) if span.gpu == gpu => work(span.at),
            Part::Device(span) => {
                let copy = gpu.fetched(span.gpu, span.at, span.len * size_of::<T>());
                work(copy.address())
            }
        }
    }
}

impl<'a> PartMut<'a> {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            PartMut::Host(slice) => slice.len(),
            PartMut::Device(span) => span.len,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same numbers, for a shorter time.
    pub fn reborrow(&mut self) -> PartMut<'_> {
        match self {
            PartMut::Host(slice) => PartMut::Host(slice),
            PartMut::Device(span) => PartMut::Device(Span::new(span.gpu, span.at, span.len)),
        }
    }

    /// `work` on the numbers, on the host: those on a GPU are copied there and back.
    pub fn on_host<R>(self, work: impl FnOnce(&mut [f32]) -> R) -> R {
        match self {
            PartMut::Host(slice) => work(slice),
            PartMut::Device(span) => {
                let mut numbers = vec![0.0; span.len];
                span.gpu.read(span.at, &mut numbers);
                let done = work(&mut numbers);
                span.gpu.write(span.at, &numbers);
                done
            }
        }
    }

    /// Makes them zeros.
    pub fn clear(&mut self) {
        match self {
            PartMut::Host(slice) => slice.fill(0.0),
            PartMut::Device(span) => span.gpu.clear(span.at, size_of::<f32>() * span.len),
        }
    }

    /// The numbers themselves.
    ///
    /// # Panics
    /// If they are on a GPU.
    pub(crate) fn host(self) -> &'a mut [f32] {
        match self {
            PartMut::Host(slice) => slice,
            PartMut::Device(span) => panic!("numbers on {:?} where the others are on the host", span.gpu),
        }
    }

    /// `work` with their address on `gpu`; numbers on the host are copied there and back.
    pub(crate) fn on(self, gpu: &'static Gpu, work: impl FnOnce(u64)) {
        match self {
            PartMut::Host(slice) => {
                let copy = gpu.upload(slice);
                work(copy.address());
                gpu.read(copy.address(), slice);
            }
            PartMut::Device(span) => {
                assert!(span.gpu == gpu, "numbers on {:?} to be changed by {gpu:?}", span.gpu);
                work(span.at);
            }
        }
    }
}

macro_rules! from_slices {
    ($($T:ty),*) => { $(
        impl<'a> From<&'a [$T]> for Part<'a, $T> {
            fn from(slice: &'a [$T]) -> Self { Part::Host(slice) }
        }
        impl<'a> From<&'a Vec<$T>> for Part<'a, $T> {
            fn from(vec: &'a Vec<$T>) -> Self { Part::Host(vec) }
        }
        impl<'a, const N: usize> From<&'a [$T; N]> for Part<'a, $T> {
            fn from(array: &'a [$T; N]) -> Self { Part::Host(array) }
        }
    )* };
}
from_slices!(f32, u32);

impl<'a> From<&'a Tensor> for Part<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        tensor.part(0..tensor.len())
    }
}

impl<'a> From<&'a Indices> for Part<'a, u32> {
    fn from(indices: &'a Indices) -> Self {
        indices.part()
    }
}

impl<'a> From<&'a mut [f32]> for PartMut<'a> {
    fn from(slice: &'a mut [f32]) -> Self {
        PartMut::Host(slice)
    }
}

impl<'a> From<&'a mut Vec<f32>> for PartMut<'a> {
    fn from(vec: &'a mut Vec<f32>) -> Self {
        PartMut::Host(vec)
    }
}

impl<'a, const N: usize> From<&'a mut [f32; N]> for PartMut<'a> {
    fn from(array: &'a mut [f32; N]) -> Self {
        PartMut::Host(array)
    }
}

impl<'a> From<&'a mut Tensor> for PartMut<'a> {
    fn from(tensor: &'a mut Tensor) -> Self {
        let len = tensor.len();
        tensor.part_mut(0..len)
    }
}
