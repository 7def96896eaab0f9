//! Gradients seen in other coordinates: each shifted and scaled by public numbers.
use super::PerExample;
use engine::{
    Device, Part, PartMut, Tensor,
    op::per_example::{self as op, Squares},
};

/// A closed sum below this part of the sum of its terms' sizes has cancelled: norms and sums are then taken from the rows.
const CANCELLED: f64 = 1.0 / 64.0;

/// `scale * (g_i - shift)`, coordinate by coordinate.
///
/// Where the other tap has a closed form for its scaled norms (`||s o (b a^T)||^2 = (b^2)^T s^2 (a^2)`), nothing is multiplied
/// out: the shift adds `||s o shift||^2 - 2 <g_i, s^2 o shift>`. Sums never need rows. If the closed form cancels for
/// anybody, so that f32 might show too small a norm, the rows are formed, for the norms and the sum alike.
pub struct Scaled {
    inner: Box<dyn PerExample>,
    scale: Vec<f32>,
    shift: Option<Vec<f32>>,
    formed: Option<Tensor>,
}

impl Scaled {
    /// Of `inner`, a parameter of as many numbers as `scale` and `shift` have.
    pub fn new(inner: Box<dyn PerExample>, scale: &[f32], shift: Option<&[f32]>) -> Self {
        Scaled { inner, scale: scale.to_vec(), shift: shift.map(<[f32]>::to_vec), formed: None }
    }

    /// `||s o shift||^2` and `s^2 o shift`.
    fn constants(&self, shift: &[f32]) -> (f64, Vec<f32>) {
        let pairs = || self.scale.iter().zip(shift);
        let norm = pairs().map(|(s, a)| (f64::from(*s) * f64::from(*a)).powi(2)).sum();
        (norm, pairs().map(|(s, a)| s * s * a).collect())
    }

    /// The norms without rows; none where there is no closed form or it cancels.
    fn closed(&self) -> Option<Vec<f64>> {
        let plain = self.inner.scaled_norms(&self.scale)?;
        let Some(shift) = &self.shift else { return Some(plain) };
        let (norm, direction) = self.constants(shift);
        let both = plain.iter().zip(self.inner.dot((&direction).into()));
        let sums: Vec<(f64, f64)> = both.map(|(g, dot)| (g - 2.0 * dot + norm, g + 2.0 * dot.abs() + norm)).collect();
        let cancelled = sums.iter().any(|(sum, size)| *sum < CANCELLED * size);
        (!cancelled).then(|| sums.into_iter().map(|(sum, _)| sum).collect())
    }

    /// Turns plain rows into scaled ones.
    fn enter(&self, mut rows: Tensor) -> Tensor {
        rows = rows.to(Device::Cpu);
        let p = self.scale.len().max(1);
        for row in rows.data_mut().chunks_mut(p) {
            if let Some(shift) = &self.shift {
                row.iter_mut().zip(shift).for_each(|(x, a)| *x -= a);
            }
            row.iter_mut().zip(&self.scale).for_each(|(x, s)| *x *= s);
        }
        rows
    }
}

impl PerExample for Scaled {
    fn rows(&self) -> Tensor {
        self.formed.clone().unwrap_or_else(|| self.enter(self.inner.rows()))
    }
    fn norms(&mut self) -> Squares {
        if let Some(norms) = self.closed() {
            return Squares::Host(norms);
        }
        Squares::Host(match self.shift {
            None => op::rows_weighted_norms(&self.inner.rows().to(Device::Cpu), &self.scale, None),
            Some(_) => op::rows_norms(self.formed.insert(self.enter(self.inner.rows()))),
        })
    }
    fn sum(&self, weights: Part, out: PartMut) {
        let weights = weights.to_vec();
        if let Some(rows) = &self.formed {
            return out.on_host(|out| op::rows_sum(rows, &weights, out));
        }
        let mut plain = vec![0.0; out.len()];
        self.inner.sum((&weights).into(), (&mut plain).into());
        let total: f64 = weights.iter().map(|w| f64::from(*w)).sum();
        if let Some(shift) = &self.shift {
            plain.iter_mut().zip(shift).for_each(|(x, a)| *x = (f64::from(*x) - total * f64::from(*a)) as f32);
        }
        out.on_host(|out| out.iter_mut().zip(plain).zip(&self.scale).for_each(|((o, x), s)| *o += x * s));
    }
    fn dot(&self, v: Part) -> Vec<f64> {
        let turned: Vec<f32> = v.to_vec().iter().zip(&self.scale).map(|(v, s)| v * s).collect();
        let shift = self.shift.as_deref().unwrap_or_default();
        let constant: f64 = turned.iter().zip(shift).map(|(v, a)| f64::from(*v) * f64::from(*a)).sum();
        self.inner.dot((&turned).into()).into_iter().map(|x| x - constant).collect()
    }
}
