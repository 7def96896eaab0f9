//! A frozen matrix and a trained product beside it (LoRA: Hu et al. 2021, arXiv 2106.09685; privately: Yu et al. 2022, arXiv 2110.06500).
//!
//! Layers see `W + s B A`, with `W` `[p, d]`, `A` `[r, d]` and `B` `[p, r]`, and leave the tap that they would leave for `W`: with inputs
//! `x` and gradients `g` of outputs, that of the products `sum_t g x^T`. By the chain rule the gradients of the factors are
//! `dB = sum_t g (s A x)^T` and `dA = sum_t (s B^T g) x^T`: products over positions too, of which norms and sums are taken as of any.
//!
//! # Why this is private
//! *Claim.* The taps of `A` and `B` are the gradients of what is trained; the tap of the frozen matrix is not kept.
//! *Argument.* What is measured and what is summed are the same two taps. That they are the right gradients is no matter of privacy but
//! of learning, and tested: against finite differences, and PyTorch's numbers. A tap that is no product over positions leaves nothing here,
//! and the model is refused, since its factors are untapped.
//! *Tests.* `tests/tuning.rs`.
use super::{Factor, PerExample, Product};
use crate::grads::{Adapter, Place};
use engine::{Tensor, op};

/// What one step makes of an adapter's factors and its frozen matrix.
#[derive(Clone)]
pub(crate) struct Adapted {
    /// `W + s B A`.
    pub(crate) weight: Tensor,
    /// `s A`, `[r, d]`.
    a: Tensor,
    /// `s B`, `[p, r]`.
    b: Tensor,
    adapter: Adapter,
}

impl Adapted {
    /// Of a frozen matrix and its adapter's factors.
    pub(crate) fn new(weight: &Tensor, a: &Tensor, b: &Tensor, adapter: Adapter) -> Adapted {
        let scaled = |factor: &Tensor| {
            let mut factor = factor.clone();
            op::scale(&mut factor, adapter.scale);
            factor
        };
        // Added to a copy of the matrix: a GPU's product may be of fewer bits, and the sum is not.
        let mut whole = weight.clone();
        op::add_scaled(&mut whole, &op::linear_backward(b, a), adapter.scale);
        Adapted { weight: whole, a: scaled(a), b: scaled(b), adapter }
    }

    /// The taps of the factors that are trained, and their numbers, of that of the whole matrix.
    pub(crate) fn taps(&self, whole: &impl PerExample) -> Vec<(usize, Product)> {
        let Some((x, g)) = whole.factors() else { return Vec::new() };
        let of_b = Product::new(Factor::Rows(op::linear(x, &self.a, None)), g.clone());
        let of_a = |p| (p, Product::new(Factor::Rows(x.clone()), op::linear_backward(g, &self.b)));
        let of_a = if let Place::Trained(p) = self.adapter.a { Some(of_a(p)) } else { None };
        of_a.into_iter().chain([(self.adapter.b, of_b)]).collect()
    }
}
