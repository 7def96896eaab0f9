//! Delayed preconditioners (DP^2): plain steps that learn a preconditioner, and steps that clip what it has scaled.
//!
//! Source: Li et al. 2023, arXiv 2212.00309. In turns: `plain` steps of flat clipping at `C`, whose released gradients are
//! added up; then `v = b v + (1 - b) (sum / plain)^2`, averaging the noise away before it is squared; then `scaled` steps in
//! which each gradient is multiplied by `1 / (sqrt(v) + eps)` before it is clipped at `C_2` and noised, and the updates get
//! the scaled mean as it is. Sensitivity `C` or `C_2`, by the step: `v` is a function of earlier releases. Unlike
//! `scale-then-privatize`, the scale is old and less noisy, and the mean is not scaled back. Cost class NORM and GRAD in turn.
use super::{Bound, ClipRule, Frame, News, Prepare, Setting, flat, threshold::positive};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn turn() -> u64 {
    20
}
fn keep() -> f64 {
    0.9
}
fn eps() -> f64 {
    1e-3
}

/// `{ rule = "dp2", bound = 1.0, scaled_bound = 1.0, plain = 20, scaled = 20 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delayed {
    /// `C`, in plain steps.
    #[serde(default)]
    pub bound: Bound,
    /// `C_2`, in scaled steps, where norms are of the order of the root of the number of parameters.
    #[serde(default)]
    pub scaled_bound: Bound,
    /// Plain steps in a turn.
    #[serde(default = "turn")]
    pub plain: u64,
    /// Scaled steps in a turn.
    #[serde(default = "turn")]
    pub scaled: u64,
    /// `b`: share of the second moments that is kept from turn to turn.
    #[serde(default = "keep")]
    pub keep: f64,
    /// Added to the root of the second moments.
    #[serde(default = "eps")]
    pub eps: f64,
}

impl Prepare for Delayed {
    fn check(&self) -> Result<(), String> {
        positive("eps", self.eps)?;
        (self.plain > 0).then_some(()).ok_or("plain is at least 1")?;
        (0.0..1.0).contains(&self.keep).then_some(()).ok_or_else(|| "keep is from 0 to below 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let zeros = || Some(Grads::zeros(&setting.layout));
        Ok(Box::new(Rule { settings: self.clone(), sum: zeros(), square: zeros(), frame: None }))
    }
}

struct Rule {
    settings: Delayed,
    sum: Option<Grads>,
    square: Option<Grads>,
    frame: Option<Frame>,
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("sum", &mut self.sum);
        visit.grads("square", &mut self.square);
    }
}

impl Rule {
    /// The place of a step in its turn.
    fn place(&self, step: u64) -> u64 {
        step % self.settings.plain.saturating_add(self.settings.scaled)
    }
}

impl ClipRule for Rule {
    fn begin(&mut self, step: u64) {
        let (scaling, eps) = (self.place(step) >= self.settings.plain, self.settings.eps);
        self.frame = self.square.clone().filter(|_| scaling).map(|mut scale| {
            scale.for_each(|v| *v = (f64::from(*v).sqrt() + eps).recip() as f32);
            Frame::scale(scale, None)
        });
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        let bound = if self.frame.is_some() { self.settings.scaled_bound } else { self.settings.bound };
        vec![bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        flat::weights(norms, &bounds)
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }
    fn restore(&self, mut mean: Grads) -> Grads {
        if let Some(Frame::Scale(scaling)) = &self.frame {
            mean.zip_with(scaling.scale(), |g, s| *g *= s);
        }
        mean
    }
    fn learn(&mut self, news: &News) {
        let (place, Delayed { plain, keep, .. }) = (self.place(news.step), self.settings.clone());
        let (Some(sum), Some(square)) = (&mut self.sum, &mut self.square) else { return };
        if place >= plain {
            return;
        }
        sum.zip_with(news.gradient, |sum, g| *sum += g);
        if place + 1 == plain {
            let mean = |sum: f32| f64::from(sum) / plain as f64;
            square.zip_with(sum, |v, sum| *v = (keep * f64::from(*v) + (1.0 - keep) * mean(sum).powi(2)) as f32);
            sum.for_each(|sum| *sum = 0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    /// By hand: two plain steps on one gradient, a scaled step, and the next turn's plain step.
    #[test]
    fn a_turn_by_hand() {
        let mut rule =
            rule("rule = \"dp2\"\nbound = 10.0\nscaled_bound = 1.0\nplain = 2\nscaled = 1\nkeep = 0.75\neps = 0.5");
        let rows = [[0.0, 3.0, 4.0_f32]];
        close(&step(&mut *rule, 0, &rows, &[], 1.0), &[0.0, 3.0, 4.0], 1e-6);
        // Noise of (0, -2, 0.4) times the bound: the mean of the two released is (0, -7, 6).
        close(&step(&mut *rule, 1, &rows, &[0.0, -2.0, 0.4], 1.0), &[0.0, -17.0, 8.0], 1e-3);
        // v = (0, 49, 36) / 4, scales 1 / (0.5, 4, 3.5): (0, 0.75, 8/7), of length 1.367007..., clipped to one.
        let length = (0.75_f64.powi(2) + (8.0 / 7.0_f64).powi(2)).sqrt();
        close(&step(&mut *rule, 2, &rows, &[], 1.0), &[0.0, 0.75 / length, 8.0 / 7.0 / length], 1e-4);
        close(&step(&mut *rule, 3, &rows, &[], 1.0), &[0.0, 3.0, 4.0], 1e-6);
    }
}
