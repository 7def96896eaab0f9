//! Tensors on a GPU whose rows are further apart than they are long.

use super::{Storage, Tensor, volume};
use crate::cuda::{Buffer, Padded};
use crate::{Gpu, Part};

impl Tensor {
    /// As [`Tensor::unfilled_on`], with rows of the last dimension `pitch` elements apart. Operations that do not ask for
    /// [`Tensor::rows_at`] get a copy without the gaps.
    pub(crate) fn padded_on(gpu: &'static Gpu, shape: impl Into<Vec<usize>>, pitch: usize) -> Self {
        let shape = shape.into();
        let rows = volume(&shape[..shape.len() - 1]);
        Self { data: Storage::Padded(Padded::new(Buffer::of(gpu, rows * pitch), pitch)), shape }
    }

    /// The address of its rows, and how many elements apart they are.
    ///
    /// # Panics
    /// If they are on the host.
    pub(crate) fn rows_at(&self) -> (u64, usize) {
        match &self.data {
            Storage::Padded(padded) => padded.rows(),
            _ => (self.address(), self.last()),
        }
    }

    /// One element after the other.
    pub(super) fn close_up(&mut self) {
        let (len, width) = (self.len(), self.last());
        if let Storage::Padded(padded) = &self.data {
            self.data = Storage::Device(padded.dense(len, width));
        }
    }

    /// As [`Tensor::in_place`], for operations that ask for [`Tensor::rows_at`]: the address of its rows, and the tensor to
    /// write to, whose rows are as far apart.
    pub(crate) fn rows_in_place(mut self) -> (u64, Self) {
        if let Storage::Padded(padded) = &mut self.data {
            let (at, pitch) = padded.rows();
            return if padded.is_shared() {
                (at, Self::padded_on(padded.gpu(), &*self.shape, pitch))
            } else {
                (at, self)
            };
        }
        let (from, to) = self.in_place();
        let Part::Device(span) = from else { unreachable!("a device tensor has device parts") };
        (span.at, to)
    }
}
