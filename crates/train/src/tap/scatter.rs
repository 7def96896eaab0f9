//! Gradients of embedding tables: rows added at the tokens' ids.
use super::PerExample;
use engine::{Tensor, op::per_example as op};

/// Example `i`'s gradient is the table with `b[i, t]` added to row `ids[i, t]` for every token `t`.
pub struct Scatter {
    ids: Vec<u32>,
    b: Tensor,
    vocabulary: usize,
}

impl Scatter {
    /// `ids` of shape `[n, t]` row by row, `b` of shape `[n, t, d]`, for a table of `vocabulary` rows.
    pub fn new(ids: Vec<u32>, b: Tensor, vocabulary: usize) -> Self {
        Scatter { ids, b, vocabulary }
    }
}

impl PerExample for Scatter {
    fn rows(&self) -> Tensor {
        op::scatter_rows(&self.ids, &self.b, self.vocabulary)
    }
    fn norms(&mut self) -> Vec<f64> {
        op::scatter_norms(&self.ids, &self.b)
    }
    fn sum(&self, weights: &[f32], out: &mut [f32]) {
        op::scatter_sum(&self.ids, &self.b, weights, out)
    }
    fn dot(&self, v: &[f32]) -> Vec<f64> {
        op::scatter_dot(&self.ids, &self.b, v)
    }
}
