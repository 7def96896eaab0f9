//! What a kind of tap can do.
use engine::{Part, PartMut, Tensor, op::per_example};
use std::sync::Arc;

/// Every example's gradient of one parameter, of `p` numbers, in some factored form.
pub trait PerExample: Send {
    /// When its norms are best taken, if they will be asked for.
    fn turn(&self) -> Turn {
        Turn::Now
    }
    /// The definition: `[n, p]`, one example a row, in the parameter's layout.
    fn rows(&self) -> Tensor;
    /// The same, where it is on a GPU and lies there so: sums of many such are taken in one go.
    fn rows_there(&self) -> Option<&Tensor> {
        None
    }
    /// The two sides of a product over positions, `[n, t, i]` and `[n, t, o]`, where the gradient is one.
    fn factors(&self) -> Option<(&Tensor, &Arc<Tensor>)> {
        None
    }
    /// Squared norm of each row, `[n]`. May keep what it computed for `sum`.
    fn norms(&mut self) -> per_example::Squares;
    /// Adds the sum of `weights[i]` times row `i` to `out` `[p]`. A weight of exactly 0 adds nothing, whatever the row
    /// holds.
    fn sum(&self, weights: Part, out: PartMut);
    /// The same, instead of whatever `out` holds.
    fn sum_alone(&self, weights: Part, mut out: PartMut) {
        out.clear();
        self.sum(weights, out);
    }
    /// Inner product of each row with `v`, `[n]`, without multiplying the rows out where that is cheaper.
    fn dot(&self, v: Part) -> Vec<f64>;
    /// Each row in other coordinates, measured, `[n]`; none where only the rows themselves tell.
    fn measured(&self, scales: per_example::Scales) -> Option<Vec<per_example::Measured>> {
        let _ = scales;
        None
    }
}

/// When a tap's norms are best taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// As it is left, while its factors are in the caches.
    Now,
    /// When somebody asks: until then another layer may have come by the squares that they are made of.
    Later,
}
