//! A point in parameter space: every parameter's numbers in one flat buffer, always in the layout's order.
//!
//! Gradients, steps and noise are all such points. One buffer keeps noise, sums and optimizers to single passes over
//! memory; the [`Layout`] says which stretch belongs to which parameter.
use crate::layer::Parameter;
use engine::Tensor;
use rayon::prelude::*;
use std::{ops::Range, sync::Arc};

/// Numbers that a thread works through at a time.
pub(crate) const BLOCK: usize = 1 << 14;

/// Which stretch of a flat buffer belongs to which parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    parameters: Vec<Parameter>,
    ranges: Vec<Range<usize>>,
}

impl Layout {
    /// Lays `parameters` one after the other.
    pub fn new(parameters: Vec<Parameter>) -> Arc<Self> {
        let sizes: Vec<usize> = parameters.iter().map(Parameter::len).collect();
        Self::with_sizes(parameters, &sizes)
    }

    /// The same parameters with no numbers in them: what a rehearsal runs on.
    pub fn hollow(&self) -> Arc<Self> {
        Self::with_sizes(self.parameters.clone(), &vec![0; self.parameters.len()])
    }

    fn with_sizes(parameters: Vec<Parameter>, sizes: &[usize]) -> Arc<Self> {
        let mut at = 0;
        let ranges = sizes
            .iter()
            .map(|n| {
                at += n;
                at - n..at
            })
            .collect();
        Arc::new(Layout { parameters, ranges })
    }

    /// The parameters, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Where parameter `p` lies in a flat buffer.
    pub fn range(&self, p: usize) -> Range<usize> {
        self.ranges[p].clone()
    }

    /// How many numbers there are altogether.
    pub fn len(&self) -> usize {
        self.ranges.last().map_or(0, |r| r.end)
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A gradient, a step or noise: one number for each of the model's. Storage is recycled when it is dropped.
#[derive(Clone)]
pub struct Grads {
    layout: Arc<Layout>,
    flat: Tensor,
}

impl Grads {
    /// All zeros.
    pub fn zeros(layout: &Arc<Layout>) -> Self {
        Grads { layout: layout.clone(), flat: Tensor::zeros([layout.len()]) }
    }

    /// Wraps a flat buffer.
    ///
    /// # Panics
    /// If `flat` does not have the layout's length.
    pub fn new(layout: &Arc<Layout>, flat: Vec<f32>) -> Self {
        assert_eq!(flat.len(), layout.len(), "a buffer of {} numbers for {} parameters", flat.len(), layout.len());
        Grads { layout: layout.clone(), flat: Tensor::new([flat.len()], flat) }
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All numbers.
    pub fn flat(&self) -> &[f32] {
        self.flat.data()
    }

    /// All numbers, to change.
    pub fn flat_mut(&mut self) -> &mut [f32] {
        self.flat.data_mut()
    }

    /// Parameter `p`'s numbers.
    pub fn parameter(&self, p: usize) -> &[f32] {
        &self.flat.data()[self.layout.range(p)]
    }

    /// Parameter `p`'s numbers, to change.
    pub fn parameter_mut(&mut self, p: usize) -> &mut [f32] {
        &mut self.flat.data_mut()[self.layout.range(p)]
    }

    /// The L2 norm, accumulated in f64.
    pub fn norm(&self) -> f64 {
        let square = |block: &[f32]| block.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
        let blocks: Vec<f64> = self.flat.data().par_chunks(BLOCK).map(square).collect();
        blocks.into_iter().sum::<f64>().sqrt()
    }

    /// `f` applied to each pair of numbers, in place.
    pub fn zip_with(&mut self, other: &Grads, f: impl Fn(&mut f32, f32) + Sync) {
        let blocks = self.flat.data_mut().par_chunks_mut(BLOCK).zip(other.flat.data().par_chunks(BLOCK));
        blocks.for_each(|(a, b)| a.iter_mut().zip(b).for_each(|(a, b)| f(a, *b)));
    }

    /// `f` applied to each number, in place.
    pub fn for_each(&mut self, f: impl Fn(&mut f32) + Sync) {
        self.flat.data_mut().par_chunks_mut(BLOCK).for_each(|block| block.iter_mut().for_each(&f));
    }
}

impl privacy::Sum for Grads {
    fn add(mut self, other: Self) -> Self {
        self.zip_with(&other, |a, b| *a += b);
        self
    }
    fn scale(mut self, by: f64) -> Self {
        self.for_each(|x| *x = (f64::from(*x) * by) as f32);
        self
    }
    fn blank(&self) -> Self {
        Grads::zeros(&self.layout)
    }
    fn add_scaled(mut self, other: Self, by: f64) -> Self {
        self.zip_with(&other, |a, b| *a += (f64::from(b) * by) as f32);
        self
    }
}
