//! Extrapolation: gradients are taken a little ahead of the weights, in front of an optimizer.
//!
//! Source: Lin, Kong, Stich & Jaggi, ICML 2020, arXiv 2006.05720. Gradients are taken at `x - distance e`, and the optimizer
//! steps from `x`. `e` is the gradient released last (the optimistic form of the extra-gradient method), or isotropic noise
//! (which smooths the loss). The extra-gradient method itself, `e` being the gradient of the same lot at `x`, would need a
//! release of its own and is not offered.
//!
//! Privacy: `e` is released or made of nothing; one gradient of each example is taken and clipped, as always.
use super::{Now, Prepare, Update, within};
use crate::{
    grads::{BLOCK, Grads},
    look::Look,
    state::{State, Visit},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// What is extrapolated along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Along {
    /// The gradient released last.
    #[default]
    Gradient,
    /// Standard normals.
    Noise,
}

/// `{ update = "extrapolation", distance = 0.05 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Extrapolation {
    /// How far, in units of what is extrapolated along: about the learning rate.
    pub distance: f64,
    /// What is extrapolated along.
    #[serde(default)]
    pub along: Along,
}

impl Prepare for Extrapolation {
    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        within("distance", self.distance, 0.0..)?;
        Ok(Box::new(Link { settings: self.clone(), offset: None }))
    }
}

struct Link {
    settings: Extrapolation,
    offset: Option<Grads>,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("offset", &mut self.offset);
    }
}

impl Update for Link {
    fn looks(&self) -> Vec<Look> {
        vec![Look { weight: 1.0, offset: self.offset.clone() }]
    }

    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let mut direction = g.clone();
        if self.settings.along == Along::Noise {
            let blocks = direction.flat_mut().par_chunks_mut(BLOCK).enumerate();
            blocks.for_each(|(k, block)| now.stream.fill_normal((k * BLOCK) as u64, block));
        }
        self.offset = Some(privacy::Sum::scale(direction, -self.settings.distance));
        g
    }
}
