//! Stochastic gradient descent, with PyTorch's meaning of every setting (`torch.optim.SGD`).
use super::{Now, Prepare, Rate, Update, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

/// `{ update = "sgd", learning_rate = 0.5, momentum = 0.9 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// Step size.
    pub learning_rate: Rate,
    /// Share of the last direction that is kept.
    #[serde(default)]
    pub momentum: f64,
    /// Nesterov's form of momentum.
    #[serde(default)]
    pub nesterov: bool,
    /// Added to the gradient: `weight_decay * weights`.
    #[serde(default)]
    pub weight_decay: f64,
}

struct Link {
    settings: Sgd,
    velocity: Option<Grads>,
}

impl Prepare for Sgd {
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("momentum", self.momentum, 0.0..1.0)?;
        within("weight_decay", self.weight_decay, 0.0..)?;
        Ok(Box::new(Link { settings: self.clone(), velocity: None }))
    }
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("velocity", &mut self.velocity);
    }
}

impl Update for Link {
    fn update(&mut self, mut g: Grads, now: &mut Now) -> Grads {
        let Sgd { momentum, nesterov, weight_decay, .. } = self.settings;
        let rate = self.settings.learning_rate.at(now) as f32;
        let [momentum, decay] = [momentum, weight_decay].map(|x| x as f32);
        if decay != 0.0 {
            g.blend(&(now.weights)(), 1.0, decay);
        }
        let direction = match (&mut self.velocity, momentum != 0.0) {
            (_, false) => g,
            (None, true) => {
                self.velocity = Some(g.clone());
                if nesterov { g.times(1.0 + momentum) } else { g }
            }
            (Some(v), true) => {
                v.blend(&g, momentum, 1.0);
                if nesterov {
                    g.blend(v, 1.0, momentum);
                    g
                } else {
                    v.clone()
                }
            }
        };
        direction.times(-rate)
    }
}
