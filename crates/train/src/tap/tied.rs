//! Gradients of a table that is used twice: rows added at ids by the embedding, and a product by the output head.
use super::{PerExample, kind::side_by_side};
use engine::{
    Indices, Part, PartMut, Tensor,
    op::per_example::{self as op, Left},
};
use std::sync::Arc;

/// Example `i`'s gradient is the sum over tokens `t` of `e[i, t]` added to row `ids[i, t]`, plus `r[i, t] h[i, t]^T`
/// (phantom clipping: Ding et al. 2024, arXiv 2405.18194).
pub struct Tied {
    ids: Arc<Indices>,
    e: Tensor,
    h: Tensor,
    r: Tensor,
}

impl Tied {
    /// `ids` `[n, t]` and the embedding's gradients `e` `[n, t, d]`; the head's inputs `h` `[n, t, d]` and the gradients of
    /// its outputs `r` `[n, t, v]`, for a table of `v` rows and `d` columns.
    pub fn new(ids: impl Into<Indices>, e: Tensor, h: Tensor, r: Tensor) -> Self {
        Tied { ids: Arc::new(ids.into()), e, h, r }
    }
    fn vocabulary(&self) -> usize {
        self.r.shape().last().copied().unwrap_or(1)
    }
}

impl PerExample for Tied {
    fn rows(&self) -> Tensor {
        let scattered = op::scatter_rows(&*self.ids, &self.e, self.vocabulary());
        engine::op::add(scattered, &op::product_rows(Left::Rows { a: &self.h }, &self.r))
    }
    fn of_people(&self, each: usize) -> Option<Box<dyn PerExample>> {
        let [e, h, r] = [&self.e, &self.h, &self.r].map(|x| side_by_side(x, each));
        Some(Box::new(Tied { ids: self.ids.clone(), e, h, r }))
    }
    fn norms(&mut self) -> op::Squares {
        op::tied_squares(&*self.ids, &self.e, &self.h, &self.r)
    }
    fn sum(&self, weights: Part, mut out: PartMut) {
        op::product_sum(Left::Rows { a: &self.h }, &self.r, weights, out.reborrow());
        op::scatter_sum(&*self.ids, &self.e, weights, out);
    }
    fn sum_alone(&self, weights: Part, mut out: PartMut) {
        op::product_sum_alone(Left::Rows { a: &self.h }, &self.r, weights, out.reborrow());
        op::scatter_sum(&*self.ids, &self.e, weights, out);
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        let product = op::product_dot(Left::Rows { a: &self.h }, &self.r, v);
        product.into_iter().zip(op::scatter_dot(&*self.ids, &self.e, v)).map(|(p, s)| p + s).collect()
    }
}
