//! Weights of examples that are closed forms of their norms, where the norms are: on a GPU nobody then waits for them.
//!
//! # Why this is private
//! *Claim.* Each weight is at most the bound over the norm (or over `tiny`, for norms below it), whatever the curve, and 0 where
//! an example's norm or weight is not finite.
//! *Argument.* The kernel makes the minimum of the curve and `bound / max(norm, tiny)` in f64, from the squared norms that the
//! host would have been sent, and rounds it down to f32: the host's own cap (`train::clip::cap`), operation by operation.
//! *Tests.* `tests/gpu/weights.rs`: weights bit for bit those of the host's cap, with curves that exceed every bound, norms of 0,
//! below `tiny`, enormous and not finite among them.

use super::per_example::Numbers;
use crate::cuda::{Grid, arguments};
use crate::{Device, Tensor};

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

/// On a GPU: a tensor `[n]` of weights for each group, from squared norms `[n, groups]`, a curve and a bound for each group. Only the
/// first `present` examples have any.
///
/// # Panics
/// If there are not as many curves as bounds, or norms for each.
#[must_use]
pub fn weights(squares: &Numbers, present: usize, curves: &[Curve], bounds: &[f64], tiny: f64) -> Vec<Tensor> {
    let (gpu, groups) = (squares.gpu(), bounds.len());
    assert!(curves.len() == groups && squares.len().is_multiple_of(groups), "a curve, a bound and a norm a group");
    let n = squares.len() / groups;
    let weights: Vec<Tensor> = curves.iter().map(|_| Tensor::unfilled_on(Device::Cuda(gpu), [n])).collect();
    let row = |((curve, bound), to): ((&Curve, &f64), &Tensor)| {
        let Curve { threshold, below, scale, most, slope, shift, soft } = *curve;
        let numbers = [threshold, below, scale, most, slope, shift, soft, *bound].map(f64::to_bits);
        numbers.into_iter().chain([to.address()])
    };
    let table = gpu.constant(&curves.iter().zip(bounds).zip(&weights).flat_map(row).collect::<Vec<u64>>());
    gpu.launch("weigh_examples", Grid::over(n), arguments![squares.at(), &*table, present, n, groups, tiny]);
    weights
}
