//! Gradients that are already one row an example: biases, norm scales and shifts, positions. Few numbers each.
use super::{PerExample, Turn};
use engine::{
    Device, Part, PartMut, Tensor,
    op::{bias_rows_last, pad_rows, per_example as op},
};
use std::sync::{Arc, OnceLock};

/// Squared norms of rows that two parameters' gradients are made of, `[n]`: whoever asks first adds them up.
pub type Squares = Arc<OnceLock<Vec<f64>>>;

/// `[n, p]`: row `i` is example `i`'s gradient.
pub struct Rows {
    g: Arc<Tensor>,
    squares: Option<Squares>,
}

impl Rows {
    /// Wraps `[n, p]`.
    pub fn new(g: impl Into<Arc<Tensor>>) -> Self {
        Rows { g: g.into(), squares: None }
    }

    /// Wraps `[n, p]` whose squared norms somebody else needs too.
    pub fn shared(g: Arc<Tensor>, squares: Squares) -> Self {
        Rows { g, squares: Some(squares) }
    }

    /// The rows of `[n, p]` added up for every `each` of them.
    pub fn added_up(rows: Tensor, each: usize) -> Self {
        let (n, p) = (rows.rows(), rows.row_len());
        Rows::new(bias_rows_last(&rows.reshape([n / each, each, p])))
    }

    /// Wraps `[n, p]`, the gradients of the first `p` numbers of a parameter; those of the `rest` are zero.
    pub fn padded(g: Tensor, rest: usize) -> Self {
        if rest == 0 { Rows::new(g) } else { Rows::new(pad_rows(&g, rest)) }
    }
}

impl PerExample for Rows {
    fn turn(&self) -> Turn {
        if self.squares.is_some() { Turn::Later } else { Turn::Now }
    }
    fn rows(&self) -> Tensor {
        Tensor::clone(&self.g)
    }
    fn rows_there(&self) -> Option<&Tensor> {
        (self.g.device() != Device::Cpu).then_some(&*self.g)
    }
    fn norms(&mut self) -> op::Squares {
        match &self.squares {
            Some(squares) if self.g.device() == Device::Cpu => {
                op::Squares::Host(squares.get_or_init(|| op::rows_norms(&self.g)).clone())
            }
            _ => op::rows_squares(&self.g),
        }
    }
    fn sum(&self, weights: Part, out: PartMut) {
        op::rows_sum(&self.g, weights, out)
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        op::rows_dot(&self.g, v)
    }
    fn measured(&self, scales: op::Scales) -> Option<Vec<op::Measured>> {
        (self.g.device() == Device::Cpu).then(|| op::rows_measured(&self.g, scales))
    }
}
