//! Activations that the operation before them applies itself, with its shift and in the same pass over memory.

use rayon::prelude::*;

use super::each::rows_at_least;
use super::layer_norm::warps;
use super::per_example::block_squares;
use super::{bias_rows_channels, relu, relu_backward, tanh, tanh_backward};
use crate::cuda::{Grid, arguments};
use crate::{Dtype, Gpu, Tensor};

/// Rows whose slopes and squares are taken together, in the first cache.
const ROWS: usize = 16;

/// An activation whose slope follows from its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// [`relu`].
    Relu,
    /// [`tanh`].
    Tanh,
}

impl Activation {
    /// The activation of `x`, in place.
    #[must_use]
    pub fn forward(self, x: Tensor) -> Tensor {
        match self {
            Activation::Relu => relu(x),
            Activation::Tanh => tanh(x),
        }
    }

    /// The input gradient, in the storage of `dy`, for the output `y`.
    ///
    /// # Panics
    /// If the shapes differ.
    #[must_use]
    pub fn backward(self, y: &Tensor, dy: Tensor) -> Tensor {
        match self {
            Activation::Relu => relu_backward(y, dy),
            Activation::Tanh => tanh_backward(y, dy),
        }
    }

    /// As [`Activation::backward`], on the host, with the squared norms of the rows of `y` and of the result: in one pass over
    /// memory.
    ///
    /// # Panics
    /// If the shapes differ, or they are on a GPU.
    #[must_use]
    pub fn backward_measured(self, y: &Tensor, mut dy: Tensor) -> (Tensor, [Vec<f64>; 2]) {
        assert!(y.shape() == dy.shape(), "activation: output {y:?}, gradient {dy:?}");
        let (n, len) = (dy.rows(), dy.row_len().max(1));
        let mut squares = [vec![0.0; n], vec![0.0; n]];
        let [of_y, of_dy] = &mut squares;
        let both = of_y.par_chunks_mut(ROWS).zip(of_dy.par_chunks_mut(ROWS));
        let rows = dy.data_mut().par_chunks_mut(ROWS * len).zip(y.data().par_chunks(ROWS * len));
        rows.zip(both).with_min_len(rows_at_least(ROWS * len)).for_each(|((dy, y), (of_y, of_dy))| {
            match self {
                Activation::Relu => relu::backward(dy, y),
                Activation::Tanh => tanh::backward(dy, y),
            }
            block_squares(y, len, of_y);
            block_squares(dy, len, of_dy);
        });
        (dy, squares)
    }

    /// As [`Activation::backward`] for `dy` `[n, c, ..]`, and the sums of the result over each channel's positions, `[n, c]`.
    ///
    /// # Panics
    /// If the shapes differ or have fewer than two dimensions.
    #[must_use]
    pub fn backward_channels(self, y: &Tensor, dy: Tensor) -> (Tensor, Tensor) {
        let &[n, c, ..] = dy.shape() else { panic!("activation: gradient {dy:?} is not [n, c, ..]") };
        assert!(y.shape() == dy.shape(), "activation: output {y:?}, gradient {dy:?}");
        let Some(gpu) = dy.gpu() else {
            let dx = self.backward(y, dy);
            let rows = bias_rows_channels(&dx);
            return (dx, rows);
        };
        let (area, sums) = (dy.row_len().checked_div(c).unwrap_or(0), Tensor::unfilled_on(dy.device(), [n, c]));
        let (from, dx) = dy.in_place();
        let y = y.as_dtype(dx.dtype());
        let list = arguments![y.at(), from, dx.at(), &sums, n * c, area];
        gpu.launch_variant("shift_channels_backward", &defines(Some(self), dx.dtype()), warps(n * c), list);
        (dx, sums)
    }
}

/// What programs with an activation are compiled with.
pub(super) fn defines(activation: Option<Activation>, dtype: Dtype) -> String {
    let number = match activation {
        None => 0,
        Some(Activation::Relu) => 1,
        Some(Activation::Tanh) => 2,
    };
    format!("ACTIVATION={number} {}", dtype.define())
}

/// On a GPU: `y = f(x + shift)` for each row of the last dimension of `x`, in place; `shift` has at least as many numbers.
pub(super) fn shift_rows(gpu: &Gpu, x: Tensor, shift: &Tensor, activation: Option<Activation>) -> Tensor {
    let (width, (from, dtype, y)) = (x.last(), x.rows_in_place());
    let (to, pitch, _) = y.rows_at();
    let grid = Grid::blocks(y.len().checked_div(width).unwrap_or(0), width.div_ceil(1024), 256);
    let list = arguments![from, to, pitch, shift, width];
    gpu.launch_variant("shift_rows", &defines(activation, dtype), grid, list);
    y
}

/// On a GPU: `f(y + shift)` for `y` `[n, c, ..]` and a shift for each channel, in place.
pub(super) fn shift_channels(gpu: &Gpu, y: Tensor, shift: Option<&Tensor>, activation: Option<Activation>) -> Tensor {
    if shift.is_none() && activation.is_none() {
        return y;
    }
    let (rows, c) = (y.rows() * y.shape()[1], y.shape()[1]);
    let (area, (from, to)) = (y.row_len().checked_div(c).unwrap_or(0), y.in_place());
    let list = arguments![from, to.at(), shift, rows, c, area];
    gpu.launch_variant("shift_channels", &defines(activation, to.dtype()), warps(rows), list);
    to
}

#[cfg(test)]
mod tests {
    use super::Activation;
    use crate::Tensor;
    use crate::op::per_example::rows_norms;

    /// Rows around the blocks that are taken together.
    #[test]
    fn slopes_with_squares_are_slopes_and_squares() {
        for (n, len) in [(0, 3), (1, 1), (16, 256), (70, 33), (130, 1)] {
            let numbers = |seed: usize| -> Vec<f32> {
                (0..n * len).map(|i| ((i * 7919 + seed) % 1009) as f32 / 600.0 - 0.8).collect()
            };
            let (y, dy) = (Tensor::new([n, len], numbers(13)), Tensor::new([n, len], numbers(500)));
            for activation in [Activation::Relu, Activation::Tanh] {
                let want = activation.backward(&y, dy.clone());
                let (got, [of_y, of_dy]) = activation.backward_measured(&y, dy.clone());
                assert_eq!(got.data(), want.data());
                assert_eq!((of_y, of_dy), (rows_norms(&y), rows_norms(&want)));
            }
        }
    }
}
