//! Rows times numbers of their own.

use super::each;
use crate::Tensor;
use crate::cuda::{Grid, arguments};
use rayon::prelude::*;

/// Row `i` of `x` `[n, ..]` times `weights[i]`, in the storage of `x`. A row of weight exactly 0 becomes 0, whatever it holds.
///
/// # Panics
/// If `weights` is not `[n]` on the same device.
#[must_use]
pub fn weigh_rows(mut x: Tensor, weights: &Tensor) -> Tensor {
    let (n, width) = (x.rows(), x.row_len());
    assert!(weights.len() == n, "weigh rows: {x:?} by {weights:?}");
    if let Some(gpu) = x.gpu() {
        let (from, y) = x.in_place();
        let list = arguments![from, y.at(), weights, y.len(), width];
        gpu.launch_as(y.dtype(), "share_rows", Grid::over(y.len()), list);
        return y;
    }
    let width = width.max(1);
    let block = each::rows_at_least(width);
    let blocks = x.data_mut().par_chunks_mut(block * width).zip(weights.data().par_chunks(block));
    blocks.for_each(|(rows, weights)| rows.chunks_exact_mut(width).zip(weights).for_each(|(row, w)| weigh(row, *w)));
    x
}

fn weigh(row: &mut [f32], weight: f32) {
    match weight {
        0.0 => row.fill(0.0),
        1.0 => {}
        _ => row.iter_mut().for_each(|x| *x *= weight),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_no_weight_are_zero_whatever_they_hold() {
        let x = Tensor::new([3, 2], vec![1.0, -2.0, f32::NAN, f32::INFINITY, 3.0, 4.0]);
        let y = weigh_rows(x, &Tensor::new([3], vec![0.5, 0.0, 1.0]));
        assert_eq!(y.data(), [0.5, -1.0, 0.0, 0.0, 3.0, 4.0]);
        assert!(weigh_rows(Tensor::zeros([0, 4]), &Tensor::zeros([0])).is_empty());
    }
}
