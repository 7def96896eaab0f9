//! Every example's own bias gradient: sums over positions.

use rayon::prelude::*;

use super::each;
use super::layer_norm::{add_rows, alike, column_sums, warps};
use crate::cuda::arguments;
use crate::{Device, Tensor};

/// `[n, .., o]` to `[n, o]`: row `i` is the sum of the rows of example `i` (bias of a linear map). `[n, o]` stays as it is.
///
/// # Panics
/// If `dy` has fewer than two dimensions.
#[must_use]
pub fn bias_rows_last(dy: &Tensor) -> Tensor {
    assert!(dy.shape().len() >= 2, "bias rows: {dy:?} is not [n, .., o]");
    if dy.gpu().is_some() {
        return if dy.shape().len() == 2 { dy.clone() } else { column_sums(dy, None).1 };
    }
    let (n, o) = (dy.rows(), dy.last());
    let mut rows = Tensor::zeros([n, o]);
    let len = dy.row_len();
    if len > 0 {
        // Few examples of many positions, or many examples of one.
        let block = each::rows_at_least(len);
        let blocks = rows.data_mut().par_chunks_mut(block * o).zip(dy.data().par_chunks(block * len));
        blocks.for_each(|(sums, dy)| {
            sums.chunks_exact_mut(o).zip(dy.chunks_exact(len)).for_each(|(sum, dy)| add_rows(sum, dy));
        });
    }
    rows
}

/// `[n, o, ..]` to `[n, o]`: the sum over the positions of each channel (bias of a convolution).
///
/// # Panics
/// If `dy` has fewer than two dimensions.
#[must_use]
pub fn bias_rows_channels(dy: &Tensor) -> Tensor {
    let &[n, o, ..] = dy.shape() else { panic!("bias rows: {dy:?} is not [n, o, ..]") };
    if dy.gpu().is_some() {
        return channel_sums(dy, None).1;
    }
    let mut rows = Tensor::zeros([n, o]);
    let t = dy.row_len().checked_div(o).unwrap_or(0);
    if t > 0 {
        rows.data_mut().iter_mut().zip(dy.data().chunks_exact(t)).for_each(|(s, t)| *s = sum(t));
    }
    rows
}

/// On a GPU: sums over the positions of each channel of `dy xhat` (empty without `xhat`) and of `dy` `[n, c, ..]`, each
/// `[n, c]`.
pub(super) fn channel_sums(dy: &Tensor, xhat: Option<&Tensor>) -> (Tensor, Tensor) {
    let (n, c) = (dy.rows(), dy.shape()[1]);
    let new = |wanted: bool| Tensor::unfilled_on(dy.device(), if wanted { [n, c] } else { [0, c] });
    let (scale, shift) = (new(xhat.is_some()), new(true));
    if let Device::Cuda(gpu) = dy.device() {
        let area = dy.row_len().checked_div(c).unwrap_or(0);
        let (dtype, dy, xhat) = alike(dy, xhat);
        let (at, wanted) = (xhat.as_ref().map_or(0, Tensor::at), xhat.as_ref().map(|_| &scale));
        gpu.launch_as(dtype, "channel_sums", warps(n * c), arguments![dy.at(), at, wanted, &shift, n * c, area]);
    }
    (scale, shift)
}

/// A sum in eight lanes.
fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<8>();
    let lanes = chunks.iter().fold([0.0; 8], |sum: [f32; 8], x| std::array::from_fn(|i| sum[i] + x[i]));
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
