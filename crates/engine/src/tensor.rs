//! Contiguous tensors, row major: of f32 on the host, of f32 or bf16 on a GPU.

mod rows;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::cuda::{Buffer, Rows};
use crate::memory::{self, Recycled};
use crate::part::{Part, PartMut, Span};
use crate::{Device, Gpu};

/// A shape and its elements in row-major order.
///
/// The first dimension counts rows: in a batch, the examples. `Debug` shows the shape and never the values, which may
/// derive from people. Storage is recycled when nobody needs it. Elements are on the host or on a GPU; clones share them
/// until one is changed.
pub struct Tensor {
    shape: Vec<usize>,
    data: Storage,
}

enum Storage {
    Host(Arc<Recycled>),
    Device(Arc<Buffer>),
    /// On a GPU, in another form than f32 numbers one after the other.
    Rows(Rows),
}

impl Storage {
    fn host(numbers: Vec<f32>) -> Self {
        Storage::Host(Arc::new(Recycled(numbers)))
    }
}

impl Tensor {
    /// A tensor of `shape` over `data`, on the host.
    ///
    /// # Panics
    /// If the number of elements is not the product of the shape.
    #[must_use]
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert!(volume(&shape) == data.len(), "shape {shape:?} does not hold {} elements", data.len());
        Self { shape, data: Storage::host(data) }
    }

    /// A tensor of zeros, on the host.
    #[must_use]
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        Self::zeros_on(Device::Cpu, shape)
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros_on(device: Device, shape: impl Into<Vec<usize>>) -> Self {
        let mut tensor = Self::unfilled_on(device, shape);
        tensor.clear();
        tensor
    }

    /// A tensor with unspecified contents, for kernels that write every element.
    pub(crate) fn unfilled(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        Self { data: Storage::host(memory::take(volume(&shape))), shape }
    }

    /// A tensor with whatever its memory holds, for whoever writes every element of it.
    #[must_use]
    pub fn unfilled_on(device: Device, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        match device {
            Device::Cpu => Self::unfilled(shape),
            Device::Cuda(gpu) => Self { data: Storage::Device(Arc::new(Buffer::of(gpu, volume(&shape)))), shape },
        }
    }

    /// Where its elements are.
    #[must_use]
    pub fn device(&self) -> Device {
        self.gpu().map_or(Device::Cpu, Device::Cuda)
    }

    /// The GPU that it is on, if any.
    pub(crate) fn gpu(&self) -> Option<&'static Gpu> {
        match &self.data {
            Storage::Host(_) => None,
            Storage::Device(buffer) => Some(buffer.gpu()),
            Storage::Rows(rows) => Some(rows.gpu()),
        }
    }

    /// A copy on `device`, or the same tensor if it is there.
    #[must_use]
    pub fn to(self, device: Device) -> Self {
        if self.device() == device {
            return self;
        }
        let buffer = match (device, self.gpu()) {
            (Device::Cpu, _) => return self.to_host(),
            (Device::Cuda(gpu), None) => gpu.upload(self.data()),
            (Device::Cuda(gpu), Some(there)) => gpu.fetched(there, self.address(), 4 * self.len()),
        };
        Self { data: Storage::Device(Arc::new(buffer)), shape: self.shape.clone() }
    }

    /// Takes over the elements of a tensor of the same length, on whatever device, into this one's own storage.
    pub(crate) fn take_from(&mut self, other: &Tensor) {
        match (self.gpu(), other.gpu()) {
            (Some(gpu), Some(there)) => gpu.fetch(self.address_mut(), there, other.address(), 4 * other.len()),
            _ => *self = other.clone().to(self.device()).reshape(&*self.shape),
        }
    }

    /// A copy on the host.
    #[must_use]
    pub fn to_host(&self) -> Self {
        match &self.data {
            Storage::Host(_) => self.clone(),
            Storage::Device(_) | Storage::Rows(_) => {
                let mut host = Self::unfilled(&*self.shape);
                self.gpu().into_iter().for_each(|gpu| gpu.read(self.address(), host.data_mut()));
                host
            }
        }
    }

    /// Sets every element to 0.
    pub fn clear(&mut self) {
        let bytes = self.len() * 4;
        match self.gpu() {
            None => pieces(self.data_mut()).for_each(|piece| piece.fill(0.0)),
            Some(gpu) => gpu.clear(self.address_mut(), bytes),
        }
    }

    /// The address of its elements as f32, one after the other.
    ///
    /// # Panics
    /// If they are on the host.
    pub(crate) fn address(&self) -> u64 {
        match &self.data {
            Storage::Host(_) => panic!("{self:?} is on the host, the others on a GPU"),
            Storage::Device(buffer) => buffer.address(),
            Storage::Rows(rows) => rows.plain(self.len(), self.last()).address(),
        }
    }

    /// The address of its elements, which nobody else looks at: shared ones are copied first.
    pub(crate) fn address_mut(&mut self) -> u64 {
        self.close_up();
        let bytes = self.len() * 4;
        if let Storage::Device(buffer) = &mut self.data
            && !Buffer::is_own(buffer)
        {
            let copy = Buffer::new(buffer.gpu(), bytes);
            copy.gpu().copy(copy.address(), buffer.address(), bytes);
            *buffer = Arc::new(copy);
        }
        self.address()
    }

    /// The elements `range`.
    ///
    /// # Panics
    /// If there are not that many.
    #[must_use]
    pub fn part(&self, range: Range<usize>) -> Part<'_> {
        assert!(range.start <= range.end && range.end <= self.len(), "elements {range:?} of {self:?}");
        match self.gpu() {
            Some(gpu) => Part::Device(Span::new(gpu, self.address() + 4 * range.start as u64, range.len())),
            None => Part::Host(&self.data()[range]),
        }
    }

    /// The elements `range`, to be changed.
    ///
    /// # Panics
    /// If there are not that many.
    #[must_use]
    pub fn part_mut(&mut self, range: Range<usize>) -> PartMut<'_> {
        assert!(range.start <= range.end && range.end <= self.len(), "elements {range:?} of {self:?}");
        match self.gpu() {
            Some(gpu) => PartMut::Device(Span::new(gpu, self.address_mut() + 4 * range.start as u64, range.len())),
            None => PartMut::Host(&mut self.data_mut()[range]),
        }
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All elements, row major.
    ///
    /// # Panics
    /// If they are on a GPU: see [`Tensor::to_host`].
    #[must_use]
    pub fn data(&self) -> &[f32] {
        match &self.data {
            Storage::Host(data) => &data.0,
            Storage::Device(_) | Storage::Rows(_) => panic!("{self:?} is on {}, not on the host", self.device()),
        }
    }

    /// All elements, row major, to be changed: shared ones are copied first.
    ///
    /// # Panics
    /// If they are on a GPU.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [f32] {
        let device = self.device();
        let Storage::Host(data) = &mut self.data else { panic!("a tensor on {device}, not on the host") };
        if Arc::get_mut(data).is_none() {
            *data = Arc::new(Recycled(copied(&data.0)));
        }
        let Some(Recycled(own)) = Arc::get_mut(data) else { unreachable!("nobody shares a fresh copy") };
        own
    }

    /// The elements themselves; the tensor is gone.
    #[must_use]
    pub fn into_data(self) -> Vec<f32> {
        match self.to(Device::Cpu).data {
            Storage::Host(data) => match Arc::try_unwrap(data) {
                Ok(mut own) => std::mem::take(&mut own.0),
                Err(shared) => copied(&shared.0),
            },
            Storage::Device(_) | Storage::Rows(_) => unreachable!("it was just copied to the host"),
        }
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        volume(&self.shape)
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The same elements under another shape.
    ///
    /// # Panics
    /// If the new shape does not hold the same number of elements.
    #[must_use]
    pub fn reshape(mut self, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        assert!(volume(&shape) == self.len(), "cannot reshape {:?} to {shape:?}", self.shape);
        if shape.last() != self.shape.last() {
            match (&mut self.data, shape.last(), self.shape.last()) {
                (Storage::Rows(rows), Some(new), Some(old)) if rows.rows().1 == *old => rows.cut(*new),
                _ => self.close_up(),
            }
        }
        self.shape = shape;
        self
    }

    /// Number of rows: the first dimension (1 for a tensor without dimensions).
    #[must_use]
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Elements in a row: the product of all dimensions but the first. Known for an empty batch too.
    #[must_use]
    pub fn row_len(&self) -> usize {
        volume(self.shape.get(1..).unwrap_or_default())
    }

    /// Row `i`.
    ///
    /// # Panics
    /// If there are not that many rows.
    #[must_use]
    pub fn row(&self, i: usize) -> &[f32] {
        assert!(i < self.rows(), "row {i} of shape {:?}", self.shape);
        let len = self.row_len();
        &self.data()[i * len..(i + 1) * len]
    }

    /// Whether both are the same numbers in memory, under whatever shapes: a change of one would be seen in the other, and makes a copy
    /// instead.
    #[must_use]
    pub fn is_shared_with(&self, other: &Tensor) -> bool {
        match (&self.data, &other.data) {
            (Storage::Host(a), Storage::Host(b)) => Arc::ptr_eq(a, b),
            (Storage::Device(a), Storage::Device(b)) => Arc::ptr_eq(a, b),
            (Storage::Rows(a), Storage::Rows(b)) => a.is_shared_with(b),
            _ => false,
        }
    }

    /// The last dimension (1 for a tensor without dimensions).
    pub(crate) fn last(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }
}

/// Elements that a thread copies at a time.
const PIECE: usize = 1 << 16;

fn pieces(data: &mut [f32]) -> rayon::slice::ChunksMut<'_, f32> {
    data.par_chunks_mut(PIECE)
}

/// Number of elements of a shape.
pub(crate) fn volume(shape: &[usize]) -> usize {
    shape.iter().product()
}

/// A copy, from the store.
fn copied(from: &[f32]) -> Vec<f32> {
    let mut data = memory::take(from.len());
    pieces(&mut data).zip(from.par_chunks(PIECE)).for_each(|(to, from)| to.copy_from_slice(from));
    data
}

impl Clone for Tensor {
    fn clone(&self) -> Self {
        let data = match &self.data {
            Storage::Host(data) => Storage::Host(data.clone()),
            Storage::Device(buffer) => Storage::Device(buffer.clone()),
            Storage::Rows(rows) => Storage::Rows(rows.clone()),
        };
        Self { shape: self.shape.clone(), data }
    }
}

/// # Panics
/// If one of them is on a GPU.
impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data() == other.data()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tensor{:?}", self.shape)
    }
}

#[cfg(test)]
mod tests {
    use super::Tensor;

    #[test]
    fn rows_and_shapes() {
        let tensor = Tensor::new([2, 3], vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!((tensor.rows(), tensor.row_len(), tensor.len()), (2, 3, 6));
        assert_eq!(tensor.row(1), [4.0, 5.0, 6.0]);
        assert_eq!(tensor.clone().reshape([3, 2]).row(2), [5.0, 6.0]);
        assert_eq!(Tensor::zeros([0, 4, 5]).row_len(), 20);
        assert!(Tensor::zeros([0, 4]).is_empty());
        assert_eq!(tensor.into_data().len(), 6);
    }

    #[test]
    fn clones_share_until_one_is_changed() {
        let one = Tensor::new([2, 2], vec![1.0, 2.0, 3.0, 4.0]);
        let mut two = one.clone();
        assert_eq!(one.data().as_ptr(), two.data().as_ptr());
        two.data_mut()[3] = 9.0;
        assert_eq!((one.data(), two.data()), (&[1.0, 2.0, 3.0, 4.0][..], &[1.0, 2.0, 3.0, 9.0][..]));
        let (own, shared) = (two.data().as_ptr(), one.clone());
        assert_eq!(two.data_mut().as_ptr(), own, "what nobody shares is changed in place");
        let mut numbers = one.into_data();
        numbers[0] = 7.0;
        assert_eq!(shared.data(), [1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn debug_hides_the_values() {
        assert_eq!(format!("{:?}", Tensor::new([1, 2], vec![0.5, 7.5])), "Tensor[1, 2]");
    }

    #[test]
    #[should_panic(expected = "shape [2, 2] does not hold 3 elements")]
    fn refuses_a_wrong_shape() {
        let _ = Tensor::new([2, 2], vec![0.0; 3]);
    }
}
