//! Pruned training: only some coordinates are trained, chosen by public starting weights or by coins.
//!
//! Source: the masks of Watson et al. 2023, arXiv 2311.06839, and of Adamczewski & Park 2023, arXiv 2303.04612, who find that random
//! masks do as well: always compare with one. A coordinate is kept for a large starting weight (`"magnitude"`) or at random,
//! ranked over the whole model or within each parameter (biases and scales, which have one dimension, are kept then);
//! the others are set to zero (`"prune"`) or stay as they are (`"freeze"`). Gradients are masked before norms are taken, and
//! noise reaches kept coordinates alone. Sensitivity `C`: the mask comes from public weights or public coins, never from
//! data. Noise energy falls by the share that is kept. Cost class GRAD, by the closed form where a layer has one position.
use super::{Bound, ClipRule, Frame, Prepare, Setting, flat, mask};
use crate::{
    each::Each,
    grads::{Grads, Layout},
    state::{State, Visit},
};
use privacy::{Key, Purpose};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// By what coordinates are ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Score {
    /// The size of the starting weight.
    #[default]
    Magnitude,
    /// A coin.
    Random,
}

/// Among what coordinates are ranked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Among {
    /// All of the model's.
    #[default]
    Model,
    /// Those of each parameter; parameters of one dimension are kept.
    Parameter,
}

/// What becomes of the coordinates that are not trained.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rest {
    /// They are zero.
    #[default]
    Prune,
    /// They stay as they started.
    Freeze,
}

fn keep() -> f64 {
    0.1
}

/// `{ rule = "pruned", bound = 1.0, keep = 0.1, score = "magnitude", among = "model", rest = "prune" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pruned {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// The share of coordinates that is trained, above 0 and at most 1.
    #[serde(default = "keep")]
    pub keep: f64,
    /// By what they are chosen.
    #[serde(default)]
    pub score: Score,
    /// Among what they are chosen.
    #[serde(default)]
    pub among: Among,
    /// What becomes of the others.
    #[serde(default)]
    pub rest: Rest,
}

impl Prepare for Pruned {
    fn check(&self) -> Result<(), String> {
        let fine = self.keep > 0.0 && self.keep <= 1.0;
        fine.then_some(()).ok_or_else(|| "keep is a share above 0 and at most 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let mut mask = Grads::zeros(&setting.layout);
        mask.for_each(|x| *x = 1.0);
        Ok(Box::new(Rule { settings: self.clone(), key: setting.key.clone(), mask: Some(mask), frame: None }))
    }
}

struct Rule {
    settings: Pruned,
    key: Arc<Key>,
    mask: Option<Grads>,
    frame: Option<Frame>,
}

impl Rule {
    fn choose(&self, layout: &Layout, scores: &[f64]) -> Vec<f32> {
        let kept = |n: usize| (self.settings.keep * n as f64).floor() as usize;
        match self.settings.among {
            Among::Model => mask::largest(scores, kept(scores.len())),
            Among::Parameter => {
                let parameters = layout.parameters().iter().enumerate();
                let one = |(p, parameter): (usize, &crate::layer::Parameter)| {
                    let scores = &scores[layout.range(p)];
                    let whole = parameter.shape.len() < 2;
                    mask::largest(scores, if whole { scores.len() } else { kept(scores.len()) })
                };
                parameters.flat_map(one).collect()
            }
        }
    }
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("mask", &mut self.mask);
    }
}

impl ClipRule for Rule {
    fn start(&mut self, weights: &mut Grads) {
        let layout = weights.layout().clone();
        let scores = match self.settings.score {
            Score::Magnitude => weights.flat().iter().map(|w| f64::from(w.abs())).collect(),
            Score::Random => mask::random(&self.key.stream(Purpose::Permute, 0, 1), layout.len()),
        };
        let mask = Grads::new(&layout, self.choose(&layout, &scores));
        if self.settings.rest == Rest::Prune {
            weights.zip_with(&mask, |w, keep| *w *= keep);
        }
        self.mask = Some(mask);
        self.frame = None;
    }
    fn begin(&mut self, _: u64) {
        if self.frame.is_none() {
            self.frame = self.mask.clone().map(|scale| Frame::scale(scale, None));
        }
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.settings.bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.settings.bound.get()])
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }
    fn confine(&self, mut step: Grads) -> Grads {
        if let Some(mask) = &self.mask {
            step.zip_with(mask, |x, keep| *x = if keep == 0.0 { 0.0 } else { *x });
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    /// The made-up weights are (0.5, -2, 1): two thirds by magnitude are the last two.
    fn made(rest: &str, weights: &mut Grads) -> Box<dyn ClipRule> {
        let text = format!("rule = \"pruned\"\nkeep = 0.67\nrest = \"{rest}\"");
        let mut rule = rule(&text);
        rule.start(weights);
        rule.begin(0);
        rule
    }

    #[test]
    fn published_sum() {
        let mut weights = Grads::new(&layout(), vec![-2.0, 0.5, 1.0]);
        let rule = made("prune", &mut weights);
        assert_eq!(weights.flat(), [-2.0, 0.0, 1.0]);
        close(&sum(&*rule, &T0), &[0.8527864045, 0.0, 1.3416407865], 1e-6);
    }

    #[test]
    fn what_is_not_trained_stays() {
        let mut weights = Grads::new(&layout(), vec![-2.0, 0.5, 1.0]);
        let mut rule = made("freeze", &mut weights);
        assert_eq!(weights.flat(), [-2.0, 0.5, 1.0]);
        let mean = step(&mut *rule, 0, &T0, &[1.0; 3], 1.0);
        assert_eq!(mean[1], 0.0, "neither gradient nor noise");
        let moved = rule.confine(Grads::new(&layout(), vec![1.0, f32::MIN_POSITIVE, 1.0]));
        assert_eq!(moved.flat(), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn everything_kept_is_flat_clipping() {
        let (mut all, flat) = (rule("rule = \"pruned\"\nkeep = 1.0"), rule("rule = \"flat\"\nbound = 1.0"));
        all.begin(0);
        close(&sum(&*all, &T0), &sum(&*flat, &T0), 1e-7);
    }

    #[test]
    fn random_masks_have_the_share_that_is_asked() {
        let mut rule = rule("rule = \"pruned\"\nkeep = 0.34\nscore = \"random\"");
        rule.begin(0);
        let Some(Frame::Scale(scaling)) = rule.frame() else { panic!("a mask") };
        assert_eq!(scaling.scale().flat().iter().sum::<f32>(), 1.0);
    }
}
