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
    /// The gradients of every `each` records in a row added up as those of one person, `[n / each, p]`, where that is the same kind of
    /// tap: its positions are then those of all the records. None where only the rows themselves can be added up.
    fn of_people(&self, each: usize) -> Option<Box<dyn PerExample>> {
        let _ = each;
        None
    }
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

/// `[n, t, ..]` as `[n / each, each t, ..]`: the positions of every `each` records in a row as those of one.
pub(super) fn side_by_side(x: &Tensor, each: usize) -> Tensor {
    let mut shape = x.shape().to_vec();
    (shape[0], shape[1]) = (shape[0] / each, shape[1] * each);
    x.clone().reshape(shape)
}
