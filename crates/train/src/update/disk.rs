//! DiSK: a simplified Kalman filter of gradients, in front of an optimizer.
//!
//! Source: Zhang, Bu, Balle, Hong, Razaviyayn & Mirrokni, ICLR 2025, arXiv 2410.03883. With the last displacement `d`, each
//! example's gradient is `u_i = c grad f_i(x + gamma d) + (1 - c) grad f_i(x)`, `c = (1 - kappa) / (kappa gamma)`: what the
//! filter would expect, corrected by what is seen. The clipped and noised mean `h` of them goes into
//! `g = (1 - kappa) g + kappa h`. With `gamma = (1 - kappa) / kappa`, `c` is 1 and one look is enough; else a step costs two.
//! The released code differs from the paper and is not followed: it weighs the old state by `kappa` and the new gradient by
//! `1 - kappa`, and it divides the noise by `sqrt(c^2 + (1-c)^2)`, by 5 for `kappa = 0.5, gamma = 0.25`, although the blended
//! gradient is clipped whole.
//!
//! Privacy: places and weights of the looks come from released values; gradients are blended BEFORE they are clipped, so the
//! sensitivity is the bound, once (`look.rs`). What follows is post-processing.
use super::{Now, Prepare, Update, within};
use crate::{
    grads::Grads,
    look::Look,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn kappa() -> f64 {
    0.7
}

/// `{ update = "disk", kappa = 0.7 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// The filter's gain: the weight of what was seen now.
    #[serde(default = "kappa")]
    pub kappa: f64,
    /// How far ahead to look, over the last displacement. Without it, as far as makes one look enough.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gamma: Option<f64>,
}

impl Disk {
    fn gamma(&self) -> f64 {
        self.gamma.unwrap_or((1.0 - self.kappa) / self.kappa)
    }

    /// The weight of the look ahead.
    fn ahead(&self) -> f64 {
        self.gamma.map_or(1.0, |gamma| (1.0 - self.kappa) / (self.kappa * gamma))
    }
}

impl Prepare for Disk {
    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        within("kappa", self.kappa, f64::MIN_POSITIVE..1.0)?;
        within("gamma", self.gamma(), f64::MIN_POSITIVE..)?;
        Ok(Box::new(Link { settings: self.clone(), filtered: None, displacement: None, variance: 0.0 }))
    }
}

struct Link {
    settings: Disk,
    filtered: Option<Grads>,
    displacement: Option<Grads>,
    /// Of the noise in `filtered`.
    variance: f64,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("filtered", &mut self.filtered);
        visit.grads("displacement", &mut self.displacement);
        visit.number("variance", &mut self.variance);
    }
}

impl Update for Link {
    fn looks(&self) -> Vec<Look> {
        let Some(displacement) = &self.displacement else { return Look::here() };
        let (ahead, gamma) = (self.settings.ahead(), self.settings.gamma());
        let offset = Some(privacy::Sum::scale(displacement.clone(), gamma));
        let here = (ahead != 1.0).then_some(Look { weight: 1.0 - ahead, offset: None });
        std::iter::once(Look { weight: ahead, offset }).chain(here).collect()
    }

    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let (kappa, fresh) = (self.settings.kappa, now.noise.powi(2));
        match &mut self.filtered {
            Some(filtered) => {
                let [new, old] = [kappa, 1.0 - kappa].map(|x| x as f32);
                filtered.zip_with(&g, |f, g| *f = old * *f + new * g);
                self.variance = (1.0 - kappa).powi(2) * self.variance + kappa * kappa * fresh;
            }
            None => (self.filtered, self.variance) = (Some(g.clone()), fresh),
        }
        now.noise = self.variance.sqrt();
        self.filtered.clone().unwrap_or(g)
    }

    fn moved(&mut self, step: &Grads, _: &dyn Fn() -> Grads) {
        self.displacement = Some(step.clone());
    }
}
