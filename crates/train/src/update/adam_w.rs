//! AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101), with PyTorch's meaning of every setting (`torch.optim.AdamW`).
use super::{Now, Prepare, Rate, Update, adam, adam::Moments, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn decay() -> f64 {
    0.01
}

/// `{ update = "adamw", learning_rate = 0.001, weight_decay = 0.01 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamW {
    /// Step size.
    pub learning_rate: Rate,
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
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("weight_decay", self.weight_decay, 0.0..)?;
        within("eps", self.eps, 0.0..)?;
        let moments = Moments::new(self.beta1, self.beta2)?;
        Ok(Box::new(Link { settings: self.clone(), moments }))
    }
}

struct Link {
    settings: AdamW,
    moments: Moments,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        self.moments.state(visit);
    }
}

impl Update for Link {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let (rate, eps) = (self.settings.learning_rate.at(now), self.settings.eps as f32);
        let mut step = self.moments.adam(g, rate, eps);
        let decay = (self.settings.weight_decay * rate) as f32;
        step.blend(&(now.weights)(), 1.0, -decay);
        step
    }
}
