//! Gradients that are a sum of outer products over positions: linear layers, projections, convolutions.
use super::{PerExample, Squares, Turn};
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
    /// Of the rows of `a` and `b`, where there is one position.
    squares: Option<[Squares; 2]>,
}

impl Product {
    /// From the two sides; `a` says how `b` is laid out.
    pub fn new(a: Factor, b: impl Into<Arc<Tensor>>) -> Self {
        Product { a, b: b.into(), kept: None, squares: None }
    }

    /// From inputs `[n, 1, d]` and gradients `[n, 1, p]` at one position, the squared norms of which somebody else may know or need.
    pub fn of_one_position(a: Tensor, b: Arc<Tensor>, squares: [Squares; 2]) -> Self {
        debug_assert!(a.shape()[1] == 1 && b.shape()[1] == 1, "{a:?} and {b:?} at one position");
        Product { a: Factor::Rows(a), b, kept: None, squares: Some(squares) }
    }

    /// `|a|^2 |b|^2`, where there is one position.
    fn outer_norms(&self) -> Option<Vec<f64>> {
        let (Some([of_a, of_b]), Factor::Rows(a), Device::Cpu) = (&self.squares, &self.a, self.b.device()) else {
            return None;
        };
        let [a, b] = [(of_a, a), (of_b, &*self.b)].map(|(squares, rows)| squares.get_or_init(|| op::rows_norms(rows)));
        Some(a.iter().zip(b).map(|(a, b)| a * b).collect())
    }
}

impl PerExample for Product {
    fn turn(&self) -> Turn {
        if self.squares.is_some() { Turn::Later } else { Turn::Now }
    }
    fn rows(&self) -> Tensor {
        op::product_rows(self.a.left(), &self.b)
    }
    fn norms(&mut self) -> op::Squares {
        if let Some(norms) = self.outer_norms() {
            return op::Squares::Host(norms);
        }
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
