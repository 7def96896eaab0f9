//! AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), with PyTorch's meaning of every setting (`torch.optim.AdamW`).
use super::{Here, Prepare, Update, adam, adam::Moments, within};
use crate::grads::Grads;
use serde::{Deserialize, Serialize};

fn decay() -> f64 {
    0.01
}

/// `{ update = "adamw", learning_rate = 0.001, weight_decay = 0.01 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: f64,
    /// Share of the mean gradient that is kept.
    #[serde(default = "adam::beta1")]
    pub beta1: f64,
    /// Share of the mean squared gradient that is kept.
    #[serde(default = "adam::beta2")]
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    #[serde(default = "adam::eps")]
    pub eps: f64,
    /// Share of the weights that a step of size one takes away.
    #[serde(default = "decay")]
    pub weight_decay: f64,
}

impl Prepare for AdamW {
    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        within("weight_decay", self.weight_decay, 0.0..)?;
        let moments = Moments::new(self.learning_rate, self.beta1, self.beta2, self.eps)?;
        Ok(Box::new(Link { decay: (self.weight_decay * self.learning_rate) as f32, moments }))
    }
}

struct Link {
    decay: f32,
    moments: Moments,
}

impl Update for Link {
    fn update(&mut self, g: Grads, here: Here) -> Grads {
        let mut step = self.moments.step(g);
        step.blend(&here(), 1.0, -self.decay);
        step
    }
}
