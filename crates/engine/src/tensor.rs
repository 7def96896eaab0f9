//! Contiguous `f32` tensors, row major.

use std::fmt;

use rayon::prelude::*;

use crate::memory;

/// A shape and its elements in row-major order.
///
/// The first dimension counts rows: in a batch, the examples. `Debug` shows the shape and never the values, which may
/// derive from people. Storage is recycled when a tensor is dropped.
#[derive(PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` over `data`.
    ///
    /// # Panics
    /// If the number of elements is not the product of the shape.
    #[must_use]
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert!(volume(&shape) == data.len(), "shape {shape:?} does not hold {} elements", data.len());
        Self { shape, data }
    }

    /// A tensor of zeros.
    #[must_use]
    pub fn zeros(shape: impl Into<Vec<usize>>) -> Self {
        let mut tensor = Self::unfilled(shape);
        pieces(&mut tensor.data).for_each(|piece| piece.fill(0.0));
        tensor
    }

    /// A tensor with unspecified contents, for kernels that write every element.
    pub(crate) fn unfilled(shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        Self { data: memory::take(volume(&shape)), shape }
    }

    /// The sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// All elements, row major.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// All elements, row major, to be changed.
    #[must_use]
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The elements themselves; the tensor is gone.
    #[must_use]
    pub fn into_data(mut self) -> Vec<f32> {
        std::mem::take(&mut self.data)
    }

    /// Number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.data.len()
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// The same elements under another shape.
    ///
    /// # Panics
    /// If the new shape does not hold the same number of elements.
    #[must_use]
    pub fn reshape(mut self, shape: impl Into<Vec<usize>>) -> Self {
        let shape = shape.into();
        assert!(volume(&shape) == self.len(), "cannot reshape {:?} to {shape:?}", self.shape);
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
        &self.data[i * len..(i + 1) * len]
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

impl Clone for Tensor {
    fn clone(&self) -> Self {
        let mut data = memory::take(self.len());
        pieces(&mut data).zip(self.data.par_chunks(PIECE)).for_each(|(to, from)| to.copy_from_slice(from));
        Self { shape: self.shape.clone(), data }
    }
}

impl Drop for Tensor {
    fn drop(&mut self) {
        memory::give(std::mem::take(&mut self.data));
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
    fn debug_hides_the_values() {
        assert_eq!(format!("{:?}", Tensor::new([1, 2], vec![0.5, 7.5])), "Tensor[1, 2]");
    }

    #[test]
    #[should_panic(expected = "shape [2, 2] does not hold 3 elements")]
    fn refuses_a_wrong_shape() {
        let _ = Tensor::new([2, 2], vec![0.0; 3]);
    }
}
