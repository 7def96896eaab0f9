//! A data set on a GPU, and rows of it.

use super::activation::shift_rows;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Device, Gpu, Tensor};

/// Rows of one width on a GPU, as numbers or as bytes that are read through a table.
pub struct Table {
    gpu: &'static Gpu,
    rows: Buffer,
    width: usize,
    /// Values of bytes, `[channels, 256]`, and the bytes of a channel.
    values: Option<(Buffer, usize)>,
}

impl Table {
    /// Rows of numbers.
    #[must_use]
    pub fn of_floats(gpu: &'static Gpu, rows: &[f32], width: usize) -> Self {
        Self { gpu, rows: gpu.upload(rows), width, values: None }
    }

    /// Rows of bytes: `values[channel][byte]`, channels side by side in a row.
    #[must_use]
    pub fn of_bytes(gpu: &'static Gpu, rows: &[u8], width: usize, values: &[[f32; 256]]) -> Self {
        let plane = width / values.len().max(1);
        Self { gpu, rows: gpu.upload(rows), width, values: Some((gpu.upload(values.as_flattened()), plane)) }
    }

    /// The rows `who`, `[who.len(), width]`.
    #[must_use]
    pub fn gather(&self, who: &[u32]) -> Tensor {
        let out = Tensor::unfilled_on(Device::Cuda(self.gpu), [who.len(), self.width]);
        let who = self.gpu.upload(who);
        let grid = Grid::over(out.len());
        match &self.values {
            None => {
                let list = arguments![&self.rows, &who, &out, out.len(), self.width];
                self.gpu.launch("gather_floats", grid, list);
            }
            Some((values, plane)) => {
                let list = arguments![&self.rows, values, &who, &out, out.len(), self.width, *plane];
                self.gpu.launch("gather_bytes", grid, list);
            }
        }
        out
    }
}

/// Rows of `x` `[n, p]` with `rest` zeros behind each: `[n, p + rest]`.
#[must_use]
pub fn pad_rows(x: &Tensor, rest: usize) -> Tensor {
    let (n, p) = (x.rows(), x.row_len());
    if let Some(gpu) = x.gpu() {
        let y = Tensor::unfilled_as(x.dtype(), x.device(), [n, p + rest]);
        gpu.launch_as(x.dtype(), "pad_rows", Grid::over(y.len()), arguments![x.at(), y.at(), y.len(), p, p + rest]);
        return y;
    }
    let mut y = Tensor::zeros([n, p + rest]);
    let rows = y.data_mut().chunks_exact_mut((p + rest).max(1)).zip(x.data().chunks(p.max(1)));
    rows.for_each(|(to, from)| to[..p].copy_from_slice(from));
    y
}

/// `x + shift` for examples `x` `[n, ..]`; `shift` begins with as many numbers as an example has.
///
/// # Panics
/// If it is shorter.
#[must_use]
pub fn add_to_each(mut x: Tensor, shift: &Tensor) -> Tensor {
    let width = x.row_len();
    assert!(shift.len() >= width, "add_to_each: {x:?}, {shift:?}");
    if let Some(gpu) = x.gpu() {
        let shape = x.shape().to_vec();
        let rows = x.reshape([shape[0], width]);
        return shift_rows(gpu, rows, shift, None).reshape(shape);
    }
    let rows = x.data_mut().chunks_exact_mut(width.max(1));
    rows.for_each(|row| row.iter_mut().zip(shift.data()).for_each(|(x, s)| *x += s));
    x
}
