//! A moving average of the weights, which is what is evaluated and saved.
//!
//! Source: Polyak averaging as in De et al. 2022, arXiv 2204.13650. `average = decay average + (1 - decay) weights` after
//! every step, from the starting weights on; with `warm_up`, `min(decay, (1 + t) / (10 + t))` is kept after `t` steps, so
//! that the start is forgotten soon. Gradients pass through unchanged: it may stand anywhere in the chain.
//! Post-processing of released weights: costs no privacy.
use super::{Now, Prepare, Update, within};
use crate::{
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn warm_up() -> bool {
    true
}

/// `{ update = "ema", decay = 0.999 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ema {
    /// Share of the average that is kept in a step.
    pub decay: f64,
    /// Keep less in the first steps.
    #[serde(default = "warm_up")]
    pub warm_up: bool,
}

impl Prepare for Ema {
    fn prepare(&self) -> Result<Box<dyn Update>, String> {
        within("decay", self.decay, 0.0..1.0)?;
        Ok(Box::new(Link { settings: self.clone(), seen: 0, average: None }))
    }
}

struct Link {
    settings: Ema,
    seen: u64,
    average: Option<Grads>,
}

impl State for Link {
    fn state(&mut self, visit: &mut Visit) {
        visit.count("seen", &mut self.seen);
        visit.grads("average", &mut self.average);
    }
}

impl Update for Link {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        self.average.get_or_insert_with(|| (now.weights)());
        g
    }

    fn moved(&mut self, _: &Grads, weights: &dyn Fn() -> Grads) {
        let Ema { decay, warm_up } = self.settings;
        self.seen += 1;
        let early = (1 + self.seen) as f64 / (10 + self.seen) as f64;
        let keep = if warm_up { decay.min(early) } else { decay } as f32;
        if let Some(average) = &mut self.average {
            average.zip_with(&weights(), |a, w| *a = keep * *a + (1.0 - keep) * w);
        }
    }

    fn average(&self) -> Option<&Grads> {
        self.average.as_ref()
    }
}
