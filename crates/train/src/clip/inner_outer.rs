//! Inner momentum: each example's gradients at the last few iterates, averaged before they are clipped.
//!
//! Source: Xiao, Xiang, Wang & Devadas 2023 (IEEE S&P). `v_i = sum_j b_j grad f_i(x_{t-j})`, `b_j` in proportion to `beta^j`, over the
//! last `k` iterates; then flat clipping. The claim: clipping's bias grows with the sampling noise of a gradient, which
//! averaging lessens, by up to `(1 + b)(1 - b^k) / ((1 - b)(1 + b^k))` if it were independent from iterate to iterate, which
//! for one and the same example it is not. Sensitivity `C`: a function of the example's data and released iterates. The outer
//! momentum is an update (`momentum` of `sgd`); as published it is not normalised and gathers noise at small epsilon: an
//! independent evaluation finds 11.55 % where DP-SGD has 35.74 % (CIFAR-10, epsilon 1). Cost class K-PASS: `k` passes a step.
use super::{Bound, ClipRule, Prepare, Setting, flat};
use crate::{
    each::Each,
    grads::Grads,
    look::Look,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn looks() -> usize {
    2
}
fn beta() -> f64 {
    0.5
}

/// `{ rule = "inner-outer", bound = 1.0, looks = 2, beta = 0.5 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InnerOuter {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// `k`: iterates that gradients are taken at; 1 is flat clipping.
    #[serde(default = "looks")]
    pub looks: usize,
    /// How much each older iterate counts, from 0 to 1.
    #[serde(default = "beta")]
    pub beta: f64,
}

impl Prepare for InnerOuter {
    fn check(&self) -> Result<(), String> {
        let fine = self.looks > 0 && (0.0..=1.0).contains(&self.beta);
        fine.then_some(()).ok_or_else(|| "looks is at least 1, beta from 0 to 1".into())
    }
    fn prepare(&self, _: &Setting) -> Result<Box<dyn ClipRule>, String> {
        Ok(Box::new(Rule { settings: self.clone(), past: vec![None; self.looks - 1] }))
    }
}

struct Rule {
    settings: InnerOuter,
    /// The last steps, newest first; none before the run began.
    past: Vec<Option<Grads>>,
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        self.past.iter_mut().enumerate().for_each(|(j, step)| visit.grads(&format!("past.{j}"), step));
    }
}

impl ClipRule for Rule {
    fn looks(&self) -> Vec<Look> {
        let mut looks = Look::here();
        let mut offset: Option<Grads> = None;
        for step in self.past.iter().map_while(Option::as_ref) {
            let mut further = offset.unwrap_or_else(|| Grads::zeros(step.layout()));
            further.zip_with(step, |o, s| *o -= s);
            looks.push(Look { weight: self.settings.beta.powf(looks.len() as f64), offset: Some(further.clone()) });
            offset = Some(further);
        }
        let whole: f64 = looks.iter().map(|look| look.weight).sum();
        looks.iter_mut().for_each(|look| look.weight /= whole);
        looks
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.settings.bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.settings.bound.get()])
    }
    fn moved(&mut self, step: &Grads) {
        if !self.past.is_empty() {
            self.past.rotate_right(1);
            self.past[0] = Some(step.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    #[test]
    fn published_weights_and_places() {
        let mut rule = rule("rule = \"inner-outer\"\nlooks = 3\nbeta = 0.5");
        assert_eq!(rule.looks().len(), 1, "there is no past at first");
        for by in [1.0, 2.0, 4.0] {
            let step = crate::grads::Grads::new(&layout(), vec![by, 0.0, -by]);
            rule.moved(&step);
        }
        let looks = rule.looks();
        let weights: Vec<f64> = looks.iter().map(|look| look.weight).collect();
        close(&weights, &[0.5714285714, 0.2857142857, 0.1428571429], 1e-9);
        let variance: f64 = weights.iter().map(|w| w * w).sum();
        close(&[variance.recip()], &[2.3333333333], 1e-9);
        assert!(looks[0].offset.is_none());
        assert_eq!(looks[1].offset.as_ref().unwrap().flat(), [-4.0, 0.0, 4.0]);
        assert_eq!(looks[2].offset.as_ref().unwrap().flat(), [-6.0, 0.0, 6.0]);
    }
}
