//! Stochastic gradient Langevin dynamics, in which the noise of privacy is part of the temperature.
//!
//! Source: Welling & Teh 2011; Knolle et al. 2021, arXiv 2107.04296. A step is `-rate g + sqrt(2 rate tau) z` at temperature
//! `tau`. The release's own noise, of deviation `s` on each coordinate of `g`, already gives `rate s`, so what is added is
//! `sqrt(2 rate tau - rate^2 s^2) z`: nothing where the release alone is as hot (`tau <= rate s^2 / 2`; then the
//! temperature is `rate s^2 / 2`, and a smaller rate or less noise brings it down). Private noise of multiplier `sigma`
//! alone is Langevin dynamics exactly where `sigma = (lot / bound) sqrt(2 tau / rate)`.
//! A Gaussian prior is `weight_decay`. Iterates of the tail, from checkpoints, are samples of the posterior.
//! Post-processing of the release and of fresh noise: costs no privacy, and none is claimed for the noise added here.
use super::{Now, Prepare, Rate, Update, within};
use crate::{
    grads::{BLOCK, Grads},
    state::State,
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// `{ update = "sgld", learning_rate = 0.001, temperature = 1e-6 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgld {
    /// Step size.
    pub learning_rate: Rate,
    /// Temperature of the posterior that is sampled, in units of the mean loss: `1 / examples` for the Bayesian one.
    pub temperature: f64,
    /// Added to the gradient: `weight_decay * weights`.
    #[serde(default)]
    pub weight_decay: f64,
}

impl Prepare for Sgld {
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("temperature", self.temperature, 0.0..)?;
        within("weight_decay", self.weight_decay, 0.0..)?;
        Ok(Box::new(Link { settings: self.clone() }))
    }
}

struct Link {
    settings: Sgld,
}

impl State for Link {}

impl Update for Link {
    fn update(&mut self, mut g: Grads, now: &mut Now) -> Grads {
        let (rate, decay) = (self.settings.learning_rate.at(now), self.settings.weight_decay as f32);
        if decay != 0.0 {
            g.zip_with(&(now.weights)(), |g, w| *g += decay * w);
        }
        let released = rate * now.noise;
        let added = (2.0 * rate * self.settings.temperature - released.powi(2)).max(0.0).sqrt();
        let (rate, by) = (rate as f32, added as f32);
        let blocks = g.flat_mut().par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(k, block)| {
            let mut z = vec![0.0; block.len()];
            now.stream.fill_normal((k * BLOCK) as u64, &mut z);
            block.iter_mut().zip(z).for_each(|(g, z)| *g = by * z - rate * *g);
        });
        now.noise = released.hypot(added);
        g
    }
}
