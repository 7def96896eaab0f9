//! LAMB: Adam's direction at the scale of each parameter.
//!
//! Source: You et al., ICLR 2020, arXiv 1904.00962, Algorithm 2. `r = m_hat / (sqrt(v_hat) + eps) + weight_decay w`;
//! each parameter's step is `-rate (||w|| / ||r||) r`, or `-rate r` where either norm is zero (fresh biases). A "layer" of
//! the paper is one parameter, as in its implementations. Post-processing: costs no privacy.
use super::{Now, Prepare, Rate, Update, adam, adam::Moments, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn eps() -> f64 {
    1e-6
}
fn decay() -> f64 {
    0.01
}

/// `{ update = "lamb", learning_rate = 0.001 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lamb {
    /// Step size, as a share of each parameter's norm.
    pub learning_rate: Rate,
    /// Share of the mean gradient that is kept.
    #[serde(default = "adam::beta1")]
    pub beta1: f64,
    /// Share of the mean squared gradient that is kept.
    #[serde(default = "adam::beta2")]
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Added to the direction: `weight_decay * weights`.
    #[serde(default = "decay")]
    pub weight_decay: f64,
}

impl Prepare for Lamb {
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("eps", self.eps, 0.0..)?;
        within("weight_decay", self.weight_decay, 0.0..)?;
        let moments = Moments::new(self.beta1, self.beta2)?;
        Ok(Box::new(Link { settings: self.clone(), moments }))
    }
}

struct Link {
    settings: Lamb,
    moments: Moments,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        self.moments.state(visit);
    }
}

impl Update for Link {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let [decay, eps] = [self.settings.weight_decay, self.settings.eps].map(|x| x as f32);
        let (rate, weights) = (self.settings.learning_rate.at(now), (now.weights)());
        let mut r = self.moments.step(g, 1.0, |v| v.sqrt() + eps);
        r.zip_with(&weights, |r, w| *r += decay * w);
        for p in 0..r.layout().parameters().len() {
            let trust = trust(norm(weights.parameter(p)), norm(r.parameter(p)));
            let by = (-rate * trust) as f32;
            r.parameter_mut(p).iter_mut().for_each(|r| *r *= by);
        }
        r
    }
}

fn norm(numbers: &[f32]) -> f64 {
    numbers.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

fn trust(weights: f64, direction: f64) -> f64 {
    if weights > 0.0 && direction > 0.0 { weights / direction } else { 1.0 }
}
