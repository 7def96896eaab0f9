//! Tensors on a GPU in other forms than f32 numbers one after the other.

use std::sync::Arc;

use super::{Storage, Tensor, volume};
use crate::cuda::{Buffer, Rows};
use crate::{Device, Dtype, Gpu};

impl Tensor {
    /// As [`Tensor::unfilled_on`], with numbers of a type. Operations that do not ask for [`Tensor::at`] get a copy in f32.
    pub(crate) fn unfilled_as(dtype: Dtype, device: Device, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        match (dtype, device) {
            (Dtype::Bf16, Device::Cuda(gpu)) => {
                let pitch = shape.last().copied().unwrap_or(1);
                Self::rows_on(gpu, dtype, shape, pitch)
            }
            _ => Self::unfilled_on(device, shape),
        }
    }

    /// As [`Tensor::unfilled_as`], with rows of the last dimension `pitch` elements apart. Operations that do not ask for
    /// [`Tensor::rows_at`] get a copy without the gaps.
    pub(crate) fn rows_on(gpu: &'static Gpu, dtype: Dtype, shape: impl Into<Vec<usize>>, pitch: usize) -> Self {
        let shape = shape.into();
        let rows = volume(&shape[..shape.len().saturating_sub(1)]);
        let buffer = Buffer::new(gpu, rows * pitch * dtype.bytes()).into();
        Self { data: Storage::Rows(Rows::new(buffer, dtype, pitch)), shape }
    }

    /// The type of its numbers, as they lie at [`Tensor::at`].
    pub(crate) fn dtype(&self) -> Dtype {
        match &self.data {
            Storage::Rows(rows) if rows.rows().1 == self.last() => rows.dtype(),
            _ => Dtype::F32,
        }
    }

    /// The type of its numbers, as they lie at [`Tensor::rows_at`].
    pub(crate) fn rows_dtype(&self) -> Dtype {
        match &self.data {
            Storage::Rows(rows) => rows.dtype(),
            _ => Dtype::F32,
        }
    }

    /// The address of its numbers one after the other, of the type [`Tensor::dtype`].
    ///
    /// # Panics
    /// If they are on the host.
    pub(crate) fn at(&self) -> u64 {
        match &self.data {
            Storage::Rows(rows) if rows.rows().1 == self.last() => rows.rows().0,
            _ => self.address(),
        }
    }

    /// The address of its rows, how many elements apart they are, and the type of their numbers.
    ///
    /// # Panics
    /// If they are on the host.
    pub(crate) fn rows_at(&self) -> (u64, usize, Dtype) {
        match &self.data {
            Storage::Rows(rows) => (rows.rows().0, rows.rows().1, rows.dtype()),
            _ => (self.address(), self.last(), Dtype::F32),
        }
    }

    /// The same numbers, rounded to a type or made wide, one after the other; what is of it already is shared. The rounded
    /// form of f32 numbers is made once, as long as they do not change.
    pub(crate) fn as_dtype(&self, dtype: Dtype) -> Self {
        if self.dtype() == dtype && matches!(&self.data, Storage::Device(_)) == (dtype == Dtype::F32) {
            return self.clone();
        }
        let plain = match &self.data {
            Storage::Host(_) => panic!("{self:?} is on the host"),
            Storage::Device(buffer) => buffer.clone(),
            Storage::Rows(rows) => rows.plain(self.len(), self.last()),
        };
        let data = match dtype {
            Dtype::F32 => Storage::Device(plain),
            Dtype::Bf16 => Storage::Rows(Rows::new(plain.rounded(self.len()), dtype, self.last())),
        };
        Self { data, shape: self.shape.clone() }
    }

    /// The rounded form of f32 numbers that are about to change, if somebody made one and nobody looks at it any more: for
    /// whoever changes both, and leaves it with [`Tensor::keep_rounded`].
    pub(crate) fn take_rounded(&mut self) -> Option<Arc<Buffer>> {
        match &mut self.data {
            Storage::Device(buffer) => Buffer::take_rounded(buffer),
            Storage::Host(_) | Storage::Rows(_) => None,
        }
    }

    /// Leaves the rounded form of its numbers as they are now.
    pub(crate) fn keep_rounded(&self, rounded: Option<Arc<Buffer>>) {
        if let Storage::Device(buffer) = &self.data {
            rounded.into_iter().for_each(|rounded| buffer.keep_rounded(rounded));
        }
    }

    /// As activations on its GPU are: what began as f32 is rounded where those are bf16.
    ///
    /// # Panics
    /// If they are on the host.
    pub(crate) fn as_activations(&self) -> Self {
        match self.gpu() {
            Some(gpu) if self.dtype() == Dtype::F32 => self.as_dtype(Dtype::of_activations(gpu)),
            Some(_) => self.clone(),
            None => panic!("{self:?} is on the host"),
        }
    }

    /// As [`Tensor::as_dtype`], for operations that ask for [`Tensor::rows_at`]: rows of that type stay as far apart as they are.
    pub(crate) fn rows_as(&self, dtype: Dtype) -> Self {
        if self.rows_dtype() == dtype { self.clone() } else { self.as_dtype(dtype) }
    }

    /// As f32, one element after the other.
    pub(super) fn close_up(&mut self) {
        let (len, width) = (self.len(), self.last());
        if let Storage::Rows(rows) = &self.data {
            self.data = Storage::Device(rows.plain(len, width));
        }
    }

    /// For an operation that works in place on [`Tensor::at`]: the address of its elements, and the tensor to write to, of the
    /// same type, which is this one unless somebody shares it.
    pub(crate) fn in_place(mut self) -> (u64, Self) {
        if matches!(&self.data, Storage::Rows(rows) if rows.rows().1 != self.last()) {
            self.close_up();
        }
        let (at, _, to) = self.rows_in_place();
        (at, to)
    }

    /// As [`Tensor::in_place`], for operations that ask for [`Tensor::rows_at`]: the address of its rows, the type of their
    /// numbers, and the tensor to write to, whose rows are as far apart.
    ///
    /// The elements that are shared live on with whoever shares them, and work on the stream is in order.
    pub(crate) fn rows_in_place(mut self) -> (u64, Dtype, Self) {
        let ((at, pitch, dtype), device) = (self.rows_at(), self.device());
        let shared = match &mut self.data {
            Storage::Host(_) => panic!("{self:?} is on the host"),
            Storage::Device(buffer) => !Buffer::is_own(buffer),
            Storage::Rows(rows) => rows.is_shared(),
        };
        let to = match (&self.data, device) {
            _ if !shared => self,
            (Storage::Rows(rows), _) => Self::rows_on(rows.gpu(), dtype, &*self.shape, pitch),
            _ => Self::unfilled_on(device, &*self.shape),
        };
        (at, dtype, to)
    }
}
