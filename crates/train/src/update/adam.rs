//! Adam (Kingma & Ba 2015, arXiv 1412.6980), with PyTorch's meaning of every setting (`torch.optim.Adam`).
use super::{Here, Prepare, Update, within};
use crate::grads::Grads;
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
    pub learning_rate: f64,
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
    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        within("weight_decay", self.weight_decay, 0.0..)?;
        let moments = Moments::new(self.learning_rate, self.beta1, self.beta2, self.eps)?;
        Ok(Box::new(Link { decay: self.weight_decay as f32, moments }))
    }
}

struct Link {
    decay: f32,
    moments: Moments,
}

impl Update for Link {
    fn update(&mut self, mut g: Grads, here: Here) -> Grads {
        if self.decay != 0.0 {
            g.blend(&here(), 1.0, self.decay);
        }
        self.moments.step(g)
    }
}

/// The two running means that Adam and AdamW share.
pub(super) struct Moments {
    pub(super) rate: f64,
    beta1: f64,
    beta2: f64,
    eps: f64,
    count: i32,
    state: Option<(Grads, Grads)>,
}

impl Moments {
    pub(super) fn new(rate: f64, beta1: f64, beta2: f64, eps: f64) -> Result<Self, String> {
        within("learning_rate", rate, 0.0..)?;
        within("beta1", beta1, 0.0..1.0)?;
        within("beta2", beta2, 0.0..1.0)?;
        within("eps", eps, 0.0..)?;
        Ok(Moments { rate, beta1, beta2, eps, count: 0, state: None })
    }

    /// `-rate * m_hat / (sqrt(v_hat) + eps)`.
    pub(super) fn step(&mut self, g: Grads) -> Grads {
        self.count = self.count.saturating_add(1);
        let (m, v) = self.state.get_or_insert_with(|| (privacy::Sum::blank(&g), privacy::Sum::blank(&g)));
        let [keep1, keep2, eps] = [self.beta1, self.beta2, self.eps].map(|x| x as f32);
        m.blend(&g, keep1, 1.0 - keep1);
        v.blend_square(&g, keep2, 1.0 - keep2);
        let rate = (self.rate / (1.0 - self.beta1.powi(self.count))) as f32;
        let root = (1.0 / (1.0 - self.beta2.powi(self.count)).sqrt()) as f32;
        g.adam_step(m, v, rate, root, eps)
    }
}
