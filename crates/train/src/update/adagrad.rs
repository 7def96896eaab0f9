//! Adagrad (Duchi, Hazan & Singer 2011), with PyTorch's meaning of every setting (`torch.optim.Adagrad`).
//!
//! `v += g^2`, `step = -rate g / (sqrt(v) + eps)`. Post-processing: costs no privacy.
use super::{Now, Prepare, Rate, Update, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn eps() -> f64 {
    1e-10
}

/// `{ update = "adagrad", learning_rate = 0.1 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// Step size.
    pub learning_rate: Rate,
    /// Added to the root of the summed squares.
    #[serde(default = "eps")]
    pub eps: f64,
    /// What the sum of squares starts from.
    #[serde(default)]
    pub start: f64,
    /// Added to the gradient: `weight_decay * weights`.
    #[serde(default)]
    pub weight_decay: f64,
}

impl Prepare for Adagrad {
    fn rate(&self) -> Option<&Rate> {
        Some(&self.learning_rate)
    }

    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        self.learning_rate.check()?;
        within("eps", self.eps, 0.0..)?;
        within("start", self.start, 0.0..)?;
        within("weight_decay", self.weight_decay, 0.0..)?;
        Ok(Box::new(Link { settings: self.clone(), squares: None }))
    }
}

struct Link {
    settings: Adagrad,
    squares: Option<Grads>,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("squares", &mut self.squares);
    }
}

impl Update for Link {
    fn update(&mut self, mut g: Grads, now: &mut Now) -> Grads {
        let rate = self.settings.learning_rate.at(now) as f32;
        let [eps, start, decay] =
            [self.settings.eps, self.settings.start, self.settings.weight_decay].map(|x| x as f32);
        if decay != 0.0 {
            g.zip_with(&(now.weights)(), |g, w| *g += decay * w);
        }
        let squares = self.squares.get_or_insert_with(|| {
            let mut squares = privacy::Sum::blank(&g);
            squares.for_each(|v| *v = start);
            squares
        });
        squares.zip_with(&g, |v, g| *v += g * g);
        // Where nothing was ever seen, nothing is stepped: 0 / 0 is not a number when eps is 0.
        g.zip_with(squares, |g, v| *g = if *g == 0.0 { 0.0 } else { -rate * *g / (v.sqrt() + eps) });
        g
    }
}
