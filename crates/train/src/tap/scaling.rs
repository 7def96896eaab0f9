//! Other coordinates for gradients: each number shifted and scaled by public ones.
use crate::{grads::Grads, layer::Parameter};
use engine::{
    Device,
    op::per_example::{Diagonal, Scales},
};

/// `scale * (g - shift)`, coordinate by coordinate, and what is made of both once for all examples.
pub struct Scaling {
    scale: Grads,
    shift: Option<Grads>,
    diagonals: Vec<Diagonal>,
}

impl Scaling {
    /// By these numbers; none are subtracted where there is no shift.
    ///
    /// # Panics
    /// If the two are of different layouts.
    pub fn new(scale: Grads, shift: Option<Grads>) -> Self {
        let (scale, shift) = (scale.to(Device::Cpu), shift.map(|shift| shift.to(Device::Cpu)));
        let diagonal = |(p, parameter): (usize, &Parameter)| {
            let d = parameter.shape.iter().skip(1).product();
            Diagonal::new(scale.parameter(p), shift.as_ref().map(|shift| shift.parameter(p)), d)
        };
        let diagonals = scale.layout().parameters().iter().enumerate().map(diagonal).collect();
        Scaling { scale, shift, diagonals }
    }

    /// What coordinates are multiplied with.
    pub fn scale(&self) -> &Grads {
        &self.scale
    }

    /// What is subtracted before.
    pub fn shift(&self) -> Option<&Grads> {
        self.shift.as_ref()
    }

    /// Parameter `p`'s.
    pub(super) fn of(&self, p: usize) -> Scales<'_> {
        let shift = self.shift.as_ref().map(|shift| shift.parameter(p));
        Scales { scale: self.scale.parameter(p), shift, diagonal: &self.diagonals[p] }
    }

    /// A mean of shifted and scaled gradients, back in their own coordinates; those that were left out are 0, or the shift.
    pub(crate) fn leave(&self, mut mean: Grads) -> Grads {
        let back = |x: f32, s: f32| if s == 0.0 { 0.0 } else { x / s };
        match &self.shift {
            None => mean.zip_with(&self.scale, |x, s| *x = back(*x, s)),
            Some(shift) => mean.zip_with_both(&self.scale, shift, |x, s, a| *x = back(*x, s) + a),
        }
        mean
    }
}
