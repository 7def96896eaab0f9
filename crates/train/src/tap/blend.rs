//! A tap times a number: one part of a gradient that is blended from several.
use super::PerExample;
use engine::{Part, PartMut, Tensor, op, op::per_example::Squares};

/// `by` times another tap's gradients. Several of them left for one parameter are added up, as any taps of one parameter.
pub struct Blend {
    inner: Box<dyn PerExample>,
    by: f32,
}

impl Blend {
    /// `by` times `inner`.
    pub fn new(inner: Box<dyn PerExample>, by: f32) -> Self {
        Blend { inner, by }
    }
}

impl PerExample for Blend {
    fn rows(&self) -> Tensor {
        let mut rows = self.inner.rows();
        op::scale(&mut rows, f64::from(self.by));
        rows
    }
    fn norms(&mut self) -> Squares {
        let by = f64::from(self.by).powi(2);
        Squares::Host(self.inner.norms().to_host().into_iter().map(|x| x * by).collect())
    }
    fn sum(&self, weights: Part, out: PartMut) {
        let weights: Vec<f32> = weights.to_vec().into_iter().map(|w| w * self.by).collect();
        self.inner.sum((&weights).into(), out);
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        self.inner.dot(v).into_iter().map(|x| x * f64::from(self.by)).collect()
    }
}
