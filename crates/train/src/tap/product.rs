//! Gradients that are a sum of outer products over positions: linear layers, projections, convolutions.
use super::PerExample;
use engine::{Device, Part, PartMut, Tensor, Window, op::per_example as op};
use std::sync::Arc;

/// The inputs' side of the product.
pub enum Factor {
    /// `[n, t, d]`: position `t` of example `i` had this input. The other side is `[n, t, p]`.
    Rows(Tensor),
    /// `[n, c, h, w]`: positions are where `window` lands, inputs are the patches under it, cut out only inside the
    /// kernels. The other side is `[n, p, t]`.
    Patches {
        /// The images.
        x: Tensor,
        /// The kernel's window.
        window: Window,
    },
}

impl Factor {
    fn left(&self) -> op::Left<'_> {
        match self {
            Factor::Rows(a) => op::Left::Rows { a },
            Factor::Patches { x, window } => op::Left::Patches { x, window: *window },
        }
    }
}

/// Example `i`'s gradient is the sum over positions of output gradient times input, `[p, d]` as PyTorch lays weights.
///
/// Where taking norms multiplies gradients out anyway (few positions do not pay for Gram matrices), they are kept for the
/// sum: "BK-MixOpt" of Bu et al. 2022, arXiv 2210.00038.
pub struct Product {
    a: Factor,
    b: Arc<Tensor>,
    kept: Option<op::Kept>,
}

impl Product {
    /// From the two sides; `a` says how `b` is laid out.
    pub fn new(a: Factor, b: impl Into<Arc<Tensor>>) -> Self {
        Product { a, b: b.into(), kept: None }
    }
}

impl PerExample for Product {
    fn rows(&self) -> Tensor {
        op::product_rows(self.a.left(), &self.b)
    }
    fn norms(&mut self) -> op::Squares {
        let (norms, kept) = op::product_squares_kept(self.a.left(), &self.b);
        self.kept = kept;
        norms
    }
    fn sum(&self, weights: Part, out: PartMut) {
        match &self.kept {
            Some(kept) => kept.sum(weights, out),
            None => op::product_sum(self.a.left(), &self.b, weights, out),
        }
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        op::product_dot(self.a.left(), &self.b, v)
    }
    fn scaled_norms(&self, scale: &[f32]) -> Option<Vec<f64>> {
        // The closed form is the processor's alone.
        (self.b.device() == Device::Cpu).then(|| op::product_weighted_norms(self.a.left(), &self.b, scale)).flatten()
    }
}
