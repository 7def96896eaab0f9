//! Gradients that are a sum of outer products over positions: linear layers, projections, convolutions.
use super::{PerExample, Squares, Turn, kind::side_by_side};
use engine::{
    Device, Part, PartMut, Tensor, Window,
    op::{per_example as op, stacked},
};
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
    held: Held,
    /// Of the rows of `a` and `b`, where there is one position.
    squares: Option<[Squares; 2]>,
}

/// What a gradient is made of, or the gradient itself.
enum Held {
    Factors {
        a: Factor,
        b: Arc<Tensor>,
        kept: Option<op::Kept>,
    },
    /// On a GPU gradients take the place of their factors.
    Kept(op::Kept),
}

impl Product {
    /// From the two sides; `a` says how `b` is laid out.
    pub fn new(a: Factor, b: impl Into<Arc<Tensor>>) -> Self {
        Product { held: Held::Factors { a, b: b.into(), kept: None }, squares: None }
    }

    /// From inputs `[n, 1, d]` and gradients `[n, 1, p]` at one position, the squared norms of which somebody else may know or need.
    pub fn of_one_position(a: Tensor, b: Arc<Tensor>, squares: [Squares; 2]) -> Self {
        debug_assert!(a.shape()[1] == 1 && b.shape()[1] == 1, "{a:?} and {b:?} at one position");
        Product { squares: Some(squares), ..Product::new(Factor::Rows(a), b) }
    }
}

/// `|a|^2 |b|^2` of factors at one position, on the processor.
fn outer_norms(squares: Option<&[Squares; 2]>, a: &Factor, b: &Tensor) -> Option<Vec<f64>> {
    let (Some([of_a, of_b]), Factor::Rows(a), Device::Cpu) = (squares, a, b.device()) else {
        return None;
    };
    let [a, b] = [(of_a, a), (of_b, b)].map(|(squares, rows)| squares.get_or_init(|| op::rows_norms(rows)));
    Some(a.iter().zip(b).map(|(a, b)| op::outer(*a, *b)).collect())
}

impl PerExample for Product {
    fn turn(&self) -> Turn {
        if self.squares.is_some() { Turn::Later } else { Turn::Now }
    }
    fn rows(&self) -> Tensor {
        match &self.held {
            Held::Factors { a, b, .. } => op::product_rows(a.left(), b),
            Held::Kept(kept) => kept.rows(),
        }
    }
    fn factors(&self) -> Option<(&Tensor, &Arc<Tensor>)> {
        match &self.held {
            Held::Factors { a: Factor::Rows(a), b, .. } => Some((a, b)),
            _ => None,
        }
    }
    fn of_people(&self, each: usize) -> Option<Box<dyn PerExample>> {
        let Held::Factors { a, b, .. } = &self.held else { return None };
        Some(Box::new(match a {
            Factor::Rows(a) => Product::new(Factor::Rows(side_by_side(a, each)), side_by_side(b, each)),
            Factor::Patches { x, window } => {
                let (x, b) = stacked(x, b, *window, each);
                Product::new(Factor::Patches { x, window: *window }, b)
            }
        }))
    }
    fn norms(&mut self) -> op::Squares {
        let (a, b, kept) = match &mut self.held {
            Held::Factors { a, b, kept } => (a, b, kept),
            Held::Kept(kept) => return kept.squares(),
        };
        if let Some(norms) = outer_norms(self.squares.as_ref(), a, b) {
            return op::Squares::Host(norms);
        }
        let (norms, made) = op::product_squares_kept(a.left(), b);
        match (made, b.device()) {
            (Some(made), Device::Cuda(_)) => self.held = Held::Kept(made),
            (made, _) => *kept = made,
        }
        norms
    }
    fn sum(&self, weights: Part, out: PartMut) {
        match &self.held {
            Held::Factors { kept: Some(kept), .. } | Held::Kept(kept) => kept.sum(weights, out),
            Held::Factors { a, b, kept: None } => op::product_sum(a.left(), b, weights, out),
        }
    }
    fn sum_alone(&self, weights: Part, mut out: PartMut) {
        if let Held::Factors { a, b, kept: None } = &self.held {
            return op::product_sum_alone(a.left(), b, weights, out);
        }
        out.clear();
        self.sum(weights, out);
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        match &self.held {
            Held::Factors { a, b, .. } => op::product_dot(a.left(), b, v),
            Held::Kept(kept) => kept.dot(v),
        }
    }
    fn measured(&self, scales: op::Scales) -> Option<Vec<op::Measured>> {
        // The closed form is the processor's alone.
        let Held::Factors { a, b, .. } = &self.held else { return None };
        (b.device() == Device::Cpu).then(|| op::product_measured(a.left(), b, scales)).flatten()
    }
}
