//! Gradients that are already one row an example: biases, norm scales and shifts, positions. Few numbers each.
use super::PerExample;
use engine::{Tensor, op::per_example as op};
use std::sync::Arc;

/// `[n, p]`: row `i` is example `i`'s gradient.
pub struct Rows {
    g: Arc<Tensor>,
}

impl Rows {
    /// Wraps `[n, p]`.
    pub fn new(g: impl Into<Arc<Tensor>>) -> Self {
        Rows { g: g.into() }
    }

    /// Wraps `[n, p]`, the gradients of the first `p` numbers of a parameter; those of the `rest` are zero.
    pub fn padded(g: Tensor, rest: usize) -> Self {
        let (n, p) = (g.rows(), g.row_len());
        if rest == 0 {
            return Rows::new(g);
        }
        let mut whole = Tensor::zeros([n, p + rest]);
        whole
            .data_mut()
            .chunks_mut(p + rest)
            .zip(g.data().chunks(p.max(1)))
            .for_each(|(to, from)| to[..p].copy_from_slice(from));
        Rows::new(whole)
    }
}

impl PerExample for Rows {
    fn rows(&self) -> Tensor {
        Tensor::clone(&self.g)
    }
    fn norms(&mut self) -> Vec<f64> {
        op::rows_norms(&self.g)
    }
    fn sum(&self, weights: &[f32], out: &mut [f32]) {
        op::rows_sum(&self.g, weights, out)
    }
    fn dot(&self, v: &[f32]) -> Vec<f64> {
        op::rows_dot(&self.g, v)
    }
    fn scaled_norms(&self, scale: &[f32]) -> Option<Vec<f64>> {
        Some(op::rows_weighted_norms(&self.g, scale, None))
    }
}
