//! Gradients of examples, kept from their norms for their sum.

use rayon::prelude::*;

use super::factors::add_transposed;
use super::rows::gpu;
use super::squares::Squares;
use super::{rows_dot, rows_squares, rows_sum};
use crate::{Device, Part, PartMut, Tensor};

/// Every example's gradient, as taking norms formed it.
#[derive(Clone, Debug)]
pub struct Kept {
    rows: Tensor,
    /// A row is `[taps, len]` of a gradient `[len, taps]`, as was quicker to write.
    taps: usize,
}

impl Kept {
    pub(super) fn new(rows: Tensor, taps: usize) -> Self {
        Self { rows, taps: taps.max(1) }
    }

    /// Numbers between two of a tap.
    fn len(&self) -> usize {
        self.rows.row_len() / self.taps
    }

    /// Adds `sum_i weights[i] G_i` to `out` `[p d]`. Examples of weight exactly 0 are skipped.
    ///
    /// # Panics
    /// If there are not `n` weights or `out` has another length.
    pub fn sum<'a>(&self, weights: impl Into<Part<'a>>, out: impl Into<PartMut<'a>>) {
        let (weights, out) = (weights.into(), out.into());
        if self.taps == 1 {
            return rows_sum(&self.rows, weights, out);
        }
        let (n, p) = (self.rows.rows(), self.rows.row_len());
        assert!(weights.len() == n && out.len() == p, "{} weights, {} sums: {:?}", weights.len(), out.len(), self.rows);
        if let Some(gpu) = self.rows.gpu() {
            return weights.on(gpu, |w| out.on(gpu, |out| gpu::rows_sum(gpu, &self.rows, w, out, self.taps)));
        }
        let mut lying = Tensor::zeros([p]);
        rows_sum(&self.rows, weights, &mut lying);
        add_transposed(lying.data(), out.host(), self.len());
    }

    /// The gradients themselves, `[n, p d]`.
    #[must_use]
    pub fn rows(&self) -> Tensor {
        if self.taps == 1 {
            return self.rows.clone();
        }
        turned((&self.rows).into(), self.rows.device(), [self.rows.rows(), self.len(), self.taps])
    }

    /// `<G_i, v>` for every example.
    ///
    /// # Panics
    /// If `v` is not `[p d]`.
    #[must_use]
    pub fn dot<'a>(&self, v: impl Into<Part<'a>>) -> Vec<f64> {
        let v = v.into();
        if self.taps == 1 {
            return rows_dot(&self.rows, v);
        }
        assert!(v.len() == self.rows.row_len(), "a direction of {} elements for {:?}", v.len(), self.rows);
        rows_dot(&self.rows, &turned(v, self.rows.device(), [1, self.taps, self.len()]))
    }

    /// Squared norms.
    #[must_use]
    pub fn squares(&self) -> Squares {
        rows_squares(&self.rows)
    }
}

/// Each of `n` rows `[taps, len]` as `[len, taps]`.
fn turned(x: Part, device: Device, [n, len, taps]: [usize; 3]) -> Tensor {
    if let Device::Cuda(gpu) = device {
        let to = Tensor::unfilled_on(device, [n, len * taps]);
        x.on(gpu, |x| gpu::taps_last(gpu, x, to.address(), [n, len, taps]));
        return to;
    }
    let mut to = Tensor::zeros([n, len * taps]);
    if len * taps > 0 {
        let rows = to.data_mut().par_chunks_mut(len * taps).zip(x.host().par_chunks(len * taps));
        rows.for_each(|(to, from)| add_transposed(from, to, len));
    }
    to
}
