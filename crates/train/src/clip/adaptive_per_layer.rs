//! Adaptive per-layer clipping: each layer's bound follows a quantile of that layer's norms.
//!
//! Source: He et al. 2023 (ICLR), arXiv 2212.01539. For each block a centred noisy count of the examples within `C_b`:
//! `C_b <- C_b exp(-rate (count / m + 1/2 - target))`. Sensitivity: gradient `sqrt(sum C_b^2)`, `M` counts of 1/2 each, so
//! `sqrt(M) / 2` together; one draw, priced jointly. The counts get a share `r` of the budget: deviations `(z / 2)
//! sqrt(M / r)`, and the gradient the multiplier `z / sqrt(1 - r)`. With hundreds of blocks and small lots the counts are
//! mostly noise. A dead layer would pull its bound to nothing: `lowest` stops it. Noise in proportion to the bounds, the
//! authors' choice, is the default. Cost class LAYER-NORM.
use super::{
    Bound, ClipRule, Grouping, News, Prepare, Price, Question, Setting, SideNoise, flat,
    per_layer::{Spread, sizes, unstretch},
    quantile::half,
    threshold::{check, highest, lowest, positive},
};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn rate() -> f64 {
    0.3
}
fn share() -> f64 {
    0.01
}
fn layer() -> Grouping {
    Grouping::Layer
}
fn proportional() -> Spread {
    Spread::Proportional
}

/// `{ rule = "adaptive-per-layer", bound = 1.0, target = 0.5, rate = 0.3, share = 0.01, noise = "proportional" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaptivePerLayer {
    /// `C`, of all blocks together, at the start.
    #[serde(default)]
    pub bound: Bound,
    /// The share of examples that should stay unclipped in each block; 0.5 to 0.7 in the paper.
    #[serde(default = "half")]
    pub target: f64,
    /// How fast bounds follow.
    #[serde(default = "rate")]
    pub rate: f64,
    /// The part of the budget that counts take, above 0 and below 1.
    #[serde(default = "share")]
    pub share: f64,
    /// Scale all bounds after each step so that together they are the starting bound again.
    #[serde(default)]
    pub keep_total: bool,
    /// How noise is spread over blocks.
    #[serde(default = "proportional")]
    pub noise: Spread,
    /// What a block is.
    #[serde(default = "layer")]
    pub per: Grouping,
    /// The least that a bound may become.
    #[serde(default = "lowest")]
    pub lowest: f64,
}

impl Prepare for AdaptivePerLayer {
    fn check(&self) -> Result<(), String> {
        positive("rate", self.rate)?;
        check(self.lowest, highest(), None).map_err(|_| "lowest is a number from 1e-30 to 1e6")?;
        let fine = (0.0..=1.0).contains(&self.target) && self.share > 0.0 && self.share < 1.0;
        fine.then_some(()).ok_or_else(|| "target is from 0 to 1, share above 0 and below 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let (of, groups) = self.per.of(&setting.layout);
        let bounds = super::split(self.bound, groups);
        let sizes = sizes(&setting.layout, &of, groups);
        Ok(Box::new(Rule { settings: self.clone(), of, sizes, bounds }))
    }
}

struct Rule {
    settings: AdaptivePerLayer,
    of: Vec<usize>,
    sizes: Vec<usize>,
    bounds: Vec<f64>,
}

impl Rule {
    fn stretch(&self) -> Vec<f64> {
        self.settings.noise.stretch(&self.bounds, &self.sizes)
    }
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.numbers("bounds", &mut self.bounds);
    }
}

impl ClipRule for Rule {
    fn grouping(&self) -> Grouping {
        self.settings.per
    }
    fn bounds(&self, _: usize) -> Vec<f64> {
        self.bounds.iter().zip(self.stretch()).map(|(c, s)| c * s).collect()
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &self.bounds).times_row(&self.stretch())
    }
    fn ask(&self) -> Option<Question> {
        let bound = 0.5 * (self.bounds.len() as f64).sqrt();
        let noise = SideNoise::Share(self.settings.share);
        Some(Question { width: self.bounds.len(), price: Price::Apart { bound, noise } })
    }
    fn answer(&self, norms: Each) -> Each {
        norms.within_row(&self.bounds) - 0.5
    }
    fn restore(&self, mean: Grads) -> Grads {
        unstretch(mean, &self.of, &self.stretch())
    }
    fn learn(&mut self, news: &News) {
        let AdaptivePerLayer { rate, target, lowest, .. } = self.settings;
        for (bound, count) in self.bounds.iter_mut().zip(news.answer.unwrap_or_default()) {
            let below = (count / news.lot + 0.5).clamp(0.0, 1.0);
            *bound = (*bound * (-rate * (below - target)).exp()).clamp(lowest, highest());
        }
        if self.settings.keep_total {
            let total = self.bounds.iter().map(|c| c * c).sum::<f64>().sqrt();
            let by = self.settings.bound.get() / total;
            self.bounds.iter_mut().for_each(|c| *c = (*c * by).max(lowest));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    /// Norms of the first layer are 5, 0.5, sqrt 5 and sqrt 40, of the second 0, 0, 2 and 3; both bounds are 1.
    #[test]
    fn each_layer_follows_its_own_count() {
        let text = "rule = \"adaptive-per-layer\"\nbound = 1.4142135623730951";
        let mut rule = rule(text);
        close(&seen(&*rule, &T0).answer, &[-1.0, 0.0], 1e-12);
        let mean = step(&mut *rule, 0, &T0, &[0.0; 3], 1.0);
        close(
            &mean,
            &[
                0.2 * 3.0 + 0.3 + 5f64.sqrt().recip() - 6.0 / 40f64.sqrt(),
                0.8 - 0.4 + 2.0 / 5f64.sqrt() + 2.0 / 40f64.sqrt(),
                2.0,
            ],
            1e-6,
        );
        close(&remembered(&mut *rule)["bounds"], &[0.15f64.exp(), 1.0], 1e-9);
    }
}
