//! DP-AdamBC: Adam without the noise's share in the second moment.
//!
//! Source: Tang, Shpilevskiy & Lecuyer, AAAI 2024, arXiv 2312.14334. Noise of deviation `s` on each coordinate of the mean
//! gradient adds `s^2` to Adam's second moment, where it drowns the gradient's own and makes Adam a kind of momentum.
//! `v = max(v_hat - s^2, floor)`, `step = -rate m_hat / sqrt(v)`. The deviation is public and comes with the gradient: a
//! filter in front lowers it, a rule that changes its bound moves it. `s^2` is averaged exactly as `v` is, so that the
//! correction holds while it changes. Post-processing: costs no privacy.
use super::{Now, Prepare, Rate, Update, adam, adam::Moments, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

/// `{ update = "adam-bc", learning_rate = 0.001, floor = 1e-8 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdamBc {
    /// Step size.
    pub learning_rate: Rate,
    /// The least second moment: a step is at most `learning_rate |m_hat| / sqrt(floor)`. Tune it with the rate.
    pub floor: f64,
    /// Share of the mean gradient that is kept.
    #[serde(default = "adam::beta1")]
    pub beta1: f64,
    /// Share of the mean squared gradient that is kept.
    #[serde(default = "adam::beta2")]
    pub beta2: f64,
    /// Share of the weights that a step of size one takes away, apart from the gradient.
    #[serde(default)]
    pub weight_decay: f64,
}

impl Prepare for AdamBc {
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("floor", self.floor, f64::MIN_POSITIVE..)?;
        within("weight_decay", self.weight_decay, 0.0..)?;
        let moments = Moments::new(self.beta1, self.beta2)?;
        Ok(Box::new(Link { settings: self.clone(), moments, noise: 0.0 }))
    }
}

struct Link {
    settings: AdamBc,
    moments: Moments,
    /// The running mean of the noise's variance.
    noise: f64,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        self.moments.state(visit);
        visit.number("noise", &mut self.noise);
    }
}

impl Update for Link {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let AdamBc { floor, beta2, weight_decay, .. } = self.settings;
        let rate = self.settings.learning_rate.at(now);
        self.noise = beta2 * self.noise + (1.0 - beta2) * now.noise.powi(2);
        let noise = (self.noise / adam::young(beta2, self.moments.count() + 1)) as f32;
        let floor = (floor as f32).max(f32::MIN_POSITIVE);
        let mut step = self.moments.step(g, -rate, |v| (v - noise).max(floor).sqrt());
        if weight_decay != 0.0 {
            let decay = (weight_decay * rate) as f32;
            step.zip_with(&(now.weights)(), |s, w| *s -= decay * w);
        }
        step
    }
}
