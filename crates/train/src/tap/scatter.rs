//! Gradients of embedding tables: rows added at the tokens' ids.
use super::{PerExample, kind::side_by_side};
use engine::{Indices, Part, PartMut, Tensor, op::per_example as op};
use std::sync::Arc;

/// Example `i`'s gradient is the table with `b[i, t]` added to row `ids[i, t]` for every token `t`.
pub struct Scatter {
    ids: Arc<Indices>,
    b: Tensor,
    vocabulary: usize,
}

impl Scatter {
    /// `ids` of shape `[n, t]` row by row, `b` of shape `[n, t, d]`, for a table of `vocabulary` rows.
    pub fn new(ids: impl Into<Indices>, b: Tensor, vocabulary: usize) -> Self {
        Scatter { ids: Arc::new(ids.into()), b, vocabulary }
    }
}

impl PerExample for Scatter {
    fn rows(&self) -> Tensor {
        op::scatter_rows(&*self.ids, &self.b, self.vocabulary)
    }
    fn of_people(&self, each: usize) -> Option<Box<dyn PerExample>> {
        let (ids, b) = (self.ids.clone(), side_by_side(&self.b, each));
        Some(Box::new(Scatter { ids, b, vocabulary: self.vocabulary }))
    }
    fn norms(&mut self) -> op::Squares {
        op::scatter_squares(&*self.ids, &self.b)
    }
    fn sum(&self, weights: Part, out: PartMut) {
        op::scatter_sum(&*self.ids, &self.b, weights, out)
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        op::scatter_dot(&*self.ids, &self.b, v)
    }
}
