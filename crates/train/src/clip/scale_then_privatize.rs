//! Scale-then-privatize: gradients preconditioned by the optimizer's own second moments before they are clipped.
//!
//! Source: Ganesh, McMahan & Thakurta 2025, arXiv 2507.01129, Algorithm 8. `s = 1 / (sqrt(nu^) + eps_s)` from the second moments of
//! the *earlier* released gradients (one step behind, bias-corrected; in the first step all scales are equal);
//! `U = sum clip_C(s g) + noise`; the mean is divided by `s` again and goes to the updates (Adam with the same `beta2`).
//! Sensitivity `C` in the scaled space: `s` is known before the draw. `eps_s` must be tuned: large is plain clipping, tiny
//! puts large noise where gradients are small. `C` lives in the scaled space and must be retuned too. Cost class GRAD, by
//! the closed form where a layer has one position.
use super::{Bound, ClipRule, Frame, News, Prepare, Setting, flat, threshold::positive};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn eps() -> f64 {
    0.01
}
fn beta2() -> f64 {
    0.999
}

/// `{ rule = "scale-then-privatize", bound = 1.0, eps = 0.01, beta2 = 0.999 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScaleThenPrivatize {
    /// `C` in the scaled space, where norms are of the order of the root of the number of parameters.
    #[serde(default)]
    pub bound: Bound,
    /// `eps_s`.
    #[serde(default = "eps")]
    pub eps: f64,
    /// Share of the second moments that is kept; the optimizer's own.
    #[serde(default = "beta2")]
    pub beta2: f64,
}

impl Prepare for ScaleThenPrivatize {
    fn check(&self) -> Result<(), String> {
        positive("eps", self.eps)?;
        (0.0..1.0).contains(&self.beta2).then_some(()).ok_or_else(|| "beta2 is from 0 to below 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let square = Some(Grads::zeros(&setting.layout));
        let mut rule = Rule { settings: self.clone(), square, count: 0, frame: None };
        rule.begin(0);
        Ok(Box::new(rule))
    }
}

struct Rule {
    settings: ScaleThenPrivatize,
    square: Option<Grads>,
    count: u64,
    frame: Option<Frame>,
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("square", &mut self.square);
        visit.count("count", &mut self.count);
    }
}

impl ClipRule for Rule {
    fn begin(&mut self, _: u64) {
        let ScaleThenPrivatize { eps, beta2, .. } = self.settings;
        let whole = 1.0 - beta2.powf(self.count as f64);
        let correction = if whole > 0.0 { whole.recip() } else { 1.0 };
        self.frame = self.square.clone().map(|mut scale| {
            scale.for_each(|v| *v = ((f64::from(*v) * correction).sqrt() + eps).recip() as f32);
            Frame::scale(scale, None)
        });
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
    fn learn(&mut self, news: &News) {
        let beta2 = self.settings.beta2;
        self.count += 1;
        if let Some(square) = &mut self.square {
            square.zip_with(news.gradient, |v, g| {
                *v = (beta2 * f64::from(*v) + (1.0 - beta2) * f64::from(g).powi(2)) as f32;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    const ROWS: [[f32; 3]; 3] = [[3.0, 4.0, 0.0], [0.6, 0.0, -0.8], [0.1, -0.2, 0.2]];

    #[test]
    fn published_release() {
        struct Start;
        impl State for Start {
            fn state(&mut self, visit: &mut Visit) {
                visit.grads("square", &mut Some(Grads::new(&layout(), vec![0.04, 0.0001, 0.01])));
                visit.count("count", &mut 100_000_000);
            }
        }
        let mut rule = rule("rule = \"scale-then-privatize\"\nbound = 5.0\neps = 0.001");
        load(&mut *rule, &mut Start);
        let mean = step(&mut *rule, 0, &ROWS, &[0.4, -0.8, 0.2], 4.0);
        close(&mean, &[0.20624009, -0.01092568, -0.07922482], 2e-5);
    }

    /// Two steps: the second step's gradients are the first's, reversed and halved, and its noise is negated.
    #[test]
    fn published_two_steps() {
        let mut rule = rule("rule = \"scale-then-privatize\"\nbound = 1.0\neps = 0.01");
        let first = step(&mut *rule, 0, &ROWS, &[0.4, -0.8, 0.2], 4.0);
        close(&first, &[0.00483333, -0.00166667, 0.00016667], 1e-6);
        rule.begin(1);
        let Some(Frame::Scale(scaling)) = rule.frame() else { panic!("a scale") };
        let scale: Vec<f64> = scaling.scale().flat().iter().map(|x| f64::from(*x)).collect();
        close(&scale, &[67.41573034, 85.71428571, 98.36065574], 1e-4);
        let rows = [ROWS[2], ROWS[1], ROWS[0]].map(|g| g.map(|x| 0.5 * x));
        let second = step(&mut *rule, 1, &rows, &[-0.4, 0.8, -0.2], 4.0);
        close(&second, &[0.00302379, 0.00299023, -0.00091356], 2e-6);
    }
}
