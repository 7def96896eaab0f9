//! Gradients seen in other coordinates: each shifted and scaled by public numbers.
use super::{PerExample, Scaling};
use engine::{
    Device, Part, PartMut, Tensor,
    op::per_example::{self as op, Measured, Scales, Squares},
};
use std::sync::Arc;

/// A closed sum below this part of the sum of its terms' sizes has cancelled: norms and sums are then taken from the rows.
const CANCELLED: f64 = 1.0 / 64.0;

/// `scale * (g_i - shift)`, coordinate by coordinate.
///
/// Where the other tap can be measured as it is (`||s o (b a^T)||^2 = (b^2)^T s^2 (a^2)`), nothing is multiplied out: the shift
/// adds `||s o shift||^2 - 2 <g_i, s^2 o shift>`, of which an upper bound is taken. Sums need no rows then. Where there is no closed form (several
/// positions, or a GPU), rows are formed for the norms and, by the same operations, again for the sum: summed by its factors a gradient is rounded
/// otherwise than it was when it was measured, and where its terms cancel, or factors are rounded to few bits, it is longer. If what is measured cancels for
/// anybody, so that f32 might show too small a norm or sum, the rows are formed for the sum, and those who cancel are measured by theirs.
/// Nobody else's norm changes: bounds and norms differ, and an example's must not depend on who is there beside it.
pub struct Scaled {
    inner: Box<dyn PerExample>,
    scaling: Arc<Scaling>,
    p: usize,
    formed: Option<Tensor>,
    /// Whether rows were measured that are formed again.
    by_rows: bool,
}

impl Scaled {
    /// Of `inner`, parameter `p`'s gradients.
    pub fn new(inner: Box<dyn PerExample>, scaling: Arc<Scaling>, p: usize) -> Self {
        Scaled { inner, scaling, p, formed: None, by_rows: false }
    }

    fn scales(&self) -> Scales<'_> {
        self.scaling.of(self.p)
    }

    /// Turns plain rows into scaled ones.
    fn enter(&self, mut rows: Tensor) -> Tensor {
        rows = rows.to(Device::Cpu);
        let Scales { scale, shift, .. } = self.scales();
        for row in rows.data_mut().chunks_mut(scale.len().max(1)) {
            if let Some(shift) = shift {
                row.iter_mut().zip(shift).for_each(|(x, a)| *x -= a);
            }
            row.iter_mut().zip(scale).for_each(|(x, s)| *x *= s);
        }
        rows
    }
}

impl PerExample for Scaled {
    fn rows(&self) -> Tensor {
        self.formed.clone().unwrap_or_else(|| self.enter(self.inner.rows()))
    }
    fn norms(&mut self) -> Squares {
        let measured = self.inner.measured(self.scales());
        let cancels = |one: &Measured| one.square < CANCELLED * one.size;
        if let Some(all) = measured.as_ref().filter(|all| !all.iter().any(cancels)) {
            return Squares::Host(all.iter().map(|one| one.square).collect());
        }
        let rows = self.inner.rows();
        if self.scales().shift.is_none() {
            self.by_rows = true;
            let all = op::rows_measured(&rows.to(Device::Cpu), self.scales());
            return Squares::Host(all.into_iter().map(|one| one.square).collect());
        }
        let rows = self.enter(rows);
        let mut norms = op::rows_norms(self.formed.insert(rows));
        let apart = measured.iter().flatten().zip(&mut norms).filter(|(one, _)| !cancels(one));
        apart.for_each(|(one, norm)| *norm = one.square);
        Squares::Host(norms)
    }
    fn sum(&self, weights: Part, out: PartMut) {
        let weights = weights.to_vec();
        if let Some(rows) = &self.formed {
            return out.on_host(|out| op::rows_sum(rows, &weights, out));
        }
        if self.by_rows {
            let rows = self.enter(self.inner.rows());
            return out.on_host(|out| op::rows_sum(&rows, &weights, out));
        }
        let mut plain = Tensor::zeros([out.len()]);
        self.inner.sum((&weights).into(), plain.data_mut().into());
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        out.on_host(|out| op::add_scaled_sum(out, plain.data(), self.scales(), total));
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        let Scales { scale, shift, .. } = self.scales();
        let turned: Vec<f32> = v.to_vec().iter().zip(scale).map(|(v, s)| v * s).collect();
        let constant = turned.iter().zip(shift.unwrap_or_default());
        let constant: f64 = constant.map(|(v, a)| f64::from(*v) * f64::from(*a)).sum();
        self.inner.dot((&turned).into()).into_iter().map(|x| x - constant).collect()
    }
}
