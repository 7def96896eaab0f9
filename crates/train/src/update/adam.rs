//! Adam (Kingma & Ba 2015, arXiv 1412.6980), with PyTorch's meaning of every setting (`torch.optim.Adam`).
use super::{Now, Prepare, Rate, Update, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

pub(super) fn beta1() -> f64 {
    0.9
}
pub(super) fn beta2() -> f64 {
    0.999
}
pub(super) fn eps() -> f64 {
    1e-8
}

/// `{ update = "adam", learning_rate = 0.001 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// Step size.
    pub learning_rate: Rate,
    /// Share of the mean gradient that is kept.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Share of the mean squared gradient that is kept.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Added to the root of the mean squared gradient.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Added to the gradient: `weight_decay * weights`.
    #[serde(default)]
    pub weight_decay: f64,
}

impl Prepare for Adam {
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
    settings: Adam,
    moments: Moments,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        self.moments.state(visit);
    }
}

impl Update for Link {
    fn update(&mut self, mut g: Grads, now: &mut Now) -> Grads {
        let [decay, eps] = [self.settings.weight_decay, self.settings.eps].map(|x| x as f32);
        if decay != 0.0 {
            g.blend(&(now.weights)(), 1.0, decay);
        }
        self.moments.adam(g, self.settings.learning_rate.at(now), eps)
    }
}

/// The two running means that Adam and its kin share.
pub(super) struct Moments {
    beta1: f64,
    beta2: f64,
    count: u64,
    mean: Option<Grads>,
    square: Option<Grads>,
}

impl State for Moments {
    fn state(&mut self, visit: &mut Visit) {
        visit.count("count", &mut self.count);
        visit.grads("mean", &mut self.mean);
        visit.grads("square", &mut self.square);
    }
}

impl Moments {
    pub(super) fn new(beta1: f64, beta2: f64) -> Result<Self, String> {
        within("beta1", beta1, 0.0..1.0)?;
        within("beta2", beta2, 0.0..1.0)?;
        Ok(Moments { beta1, beta2, count: 0, mean: None, square: None })
    }

    /// The factors of the two means by which the hats differ from them, after one step more.
    fn advance(&mut self, g: &Grads) -> (f64, f32) {
        self.count += 1;
        let m = self.mean.get_or_insert_with(|| privacy::Sum::blank(g));
        let v = self.square.get_or_insert_with(|| privacy::Sum::blank(g));
        let [keep1, keep2] = [self.beta1, self.beta2].map(|x| x as f32);
        m.blend(g, keep1, 1.0 - keep1);
        v.blend_square(g, keep2, 1.0 - keep2);
        (1.0 / young(self.beta1, self.count), (1.0 / young(self.beta2, self.count)) as f32)
    }

    /// `-rate * m_hat / (sqrt(v_hat) + eps)`, on whatever device.
    pub(super) fn adam(&mut self, g: Grads, rate: f64, eps: f32) -> Grads {
        let (young, grown) = self.advance(&g);
        match (&self.mean, &self.square) {
            (Some(m), Some(v)) => g.adam_step(m, v, (rate * young) as f32, grown.sqrt(), eps),
            _ => g,
        }
    }

    /// `scale * m_hat / denominator(v_hat)`, where the hats stand for Adam's correction of early steps.
    pub(super) fn step(&mut self, mut g: Grads, scale: f64, denominator: impl Fn(f32) -> f32 + Sync) -> Grads {
        let (young, grown) = self.advance(&g);
        let scale = (scale * young) as f32;
        if let (Some(m), Some(v)) = (&self.mean, &self.square) {
            g.zip_with(m, |g, m| *g = scale * m);
            g.zip_with(v, |g, v| *g /= denominator(v * grown));
        }
        g
    }

    /// Steps made.
    pub(super) fn count(&self) -> u64 {
        self.count
    }
}

/// What a running mean that keeps `beta` has seen of a constant after `count` steps: `1 - beta^count`.
pub(super) fn young(beta: f64, count: u64) -> f64 {
    1.0 - beta.powi(i32::try_from(count).unwrap_or(i32::MAX))
}
