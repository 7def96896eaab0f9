//! A tap times a number: one part of a gradient that is blended from several.
use super::PerExample;
use engine::Tensor;

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
        rows.data_mut().iter_mut().for_each(|x| *x *= self.by);
        rows
    }
    fn norms(&mut self) -> Vec<f64> {
        let by = f64::from(self.by).powi(2);
        self.inner.norms().into_iter().map(|x| x * by).collect()
    }
    fn sum(&self, weights: &[f32], out: &mut [f32]) {
        let weights: Vec<f32> = weights.iter().map(|w| w * self.by).collect();
        self.inner.sum(&weights, out);
    }
    fn dot(&self, v: &[f32]) -> Vec<f64> {
        self.inner.dot(v).into_iter().map(|x| x * f64::from(self.by)).collect()
    }
}
