//! Weights of examples that are closed forms of their norms, where the norms are: on a GPU nobody then waits for them.
//!
//! # Why this is private
//! *Claim.* Each weight is at most the bound over the norm (or over `tiny`, for norms below it), whatever the curve, and 0 where
//! an example's norm or weight is not finite.
//! *Argument.* The kernel makes the minimum of the curve and `bound / max(norm, tiny)` in f64, from the squared norms that the
//! host would have been sent, and rounds it down to f32: the host's own cap (`train::clip::cap`), operation by operation.
//! (`cuda/weigh.cuh`, in the launch that adds norms up.)
//! *Tests.* `tests/gpu/weights.rs`: weights bit for bit those of the host's cap, with curves that exceed every bound, norms of 0,
//! below `tiny`, enormous and not finite among them.

use std::sync::Arc;

use crate::cuda::Buffer;
use crate::{Device, Gpu, Tensor};

/// `below` for norms `n` of at most `threshold`; beyond, `scale / (slope n + shift + soft / (n + soft))`, at most `most`. Where the
/// denominator is 0 it is `most`, or 0 if that is infinite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// The largest norm whose weight is `below`; none where it is negative.
    pub threshold: f64,
    /// The weight up to the threshold.
    pub below: f64,
    /// The numerator.
    pub scale: f64,
    /// The largest weight beyond the threshold.
    pub most: f64,
    /// What the norm is multiplied with.
    pub slope: f64,
    /// Added to the denominator.
    pub shift: f64,
    /// The softener `r` of `r / (n + r)`; 0 for none.
    pub soft: f64,
}

impl Curve {
    /// `scale / n`, and 0 at 0.
    #[must_use]
    pub fn inverse(scale: f64) -> Self {
        Curve { threshold: -1.0, below: 0.0, scale, most: f64::INFINITY, slope: 1.0, shift: 0.0, soft: 0.0 }
    }

    /// `min(1, bound / n)`.
    #[must_use]
    pub fn flat(bound: f64) -> Self {
        Curve { most: 1.0, ..Curve::inverse(bound) }
    }

    /// The weight of an example of this norm.
    #[must_use]
    pub fn at(&self, norm: f64) -> f64 {
        if norm <= self.threshold {
            return self.below;
        }
        let soft = if self.soft > 0.0 { self.soft / (norm + self.soft) } else { 0.0 };
        let below = self.slope * norm + self.shift + soft;
        match below == 0.0 {
            true if self.most.is_finite() => self.most,
            true => 0.0,
            false => (self.scale / below).min(self.most),
        }
    }
}

/// How weights are made of norms: a curve and a bound for each group of parameters.
#[derive(Clone, Copy)]
pub struct Weighing<'a> {
    /// The weight before it is capped.
    pub curves: &'a [Curve],
    /// The largest product of a weight and a norm.
    pub bounds: &'a [f64],
    /// Norms below this are taken for this.
    pub tiny: f64,
    /// Only the first examples, so many, have any weight.
    pub present: usize,
}

impl Weighing<'_> {
    /// Tensors `[n]` of weights to be, one a group, and the table that tells a kernel how to make them.
    pub(crate) fn prepare(&self, gpu: &'static Gpu, n: usize) -> (Vec<Tensor>, Arc<Buffer>) {
        let weights: Vec<Tensor> = self.curves.iter().map(|_| Tensor::unfilled_on(Device::Cuda(gpu), [n])).collect();
        let row = |((curve, bound), to): ((&Curve, &f64), &Tensor)| {
            let Curve { threshold, below, scale, most, slope, shift, soft } = *curve;
            let numbers = [threshold, below, scale, most, slope, shift, soft, *bound].map(f64::to_bits);
            numbers.into_iter().chain([to.address()])
        };
        let table =
            gpu.constant(&self.curves.iter().zip(self.bounds).zip(&weights).flat_map(row).collect::<Vec<u64>>());
        (weights, table)
    }
}
