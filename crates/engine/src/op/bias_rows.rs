//! Every example's own bias gradient: sums over positions.

use crate::Tensor;

/// `[n, .., o]` to `[n, o]`: row `i` is the sum of the rows of example `i` (bias of a linear map). `[n, o]` stays as it is.
///
/// # Panics
/// If `dy` has fewer than two dimensions.
#[must_use]
pub fn bias_rows_last(dy: &Tensor) -> Tensor {
    assert!(dy.shape().len() >= 2, "bias rows: {dy:?} is not [n, .., o]");
    let (n, o) = (dy.rows(), dy.last());
    let mut rows = Tensor::zeros([n, o]);
    for i in 0..n * usize::from(o > 0) {
        let sum = &mut rows.data_mut()[i * o..(i + 1) * o];
        dy.row(i).chunks_exact(o).for_each(|row| sum.iter_mut().zip(row).for_each(|(s, r)| *s += r));
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
    let mut rows = Tensor::zeros([n, o]);
    let t = dy.row_len().checked_div(o).unwrap_or(0);
    if t > 0 {
        rows.data_mut().iter_mut().zip(dy.data().chunks_exact(t)).for_each(|(s, t)| *s = sum(t));
    }
    rows
}

/// A sum in eight lanes.
fn sum(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<8>();
    let lanes = chunks.iter().fold([0.0; 8], |sum: [f32; 8], x| std::array::from_fn(|i| sum[i] + x[i]));
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}
