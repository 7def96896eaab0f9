//! Gradient decomposition (DPDR): what gradients have in common with the last one is measured by one number.
//!
//! Source: Liu et al. 2024, arXiv 2406.02744 (abstract; thresholds and split as in the specification). With `v` the direction
//! of the gradient released last, `p_i = <g_i, v>` is cut at `C_p` and `w_i = g_i - p_i v` at `C_w`; the sums get noise of
//! `s_p C_p` and `s_w C_w`, most of it spared for `w` (`s_p = 8 s_w`), and the mean is put together again, what noise put
//! along `v` into the second sum being dropped. Meant for early steps, in which gradients point one way: after `steps` it is
//! flat clipping at `C_w`, as it is where there is no last gradient.
//!
//! Sensitivity: two releases of one draw, `(s_p^-2 + s_w^-2)^(-1/2)` together; here as ONE release in coordinates
//! `(w, alpha p)` with `alpha = s_w C_w / (s_p C_p)`, in which all noise is alike: groups are cut at `C_w` and `alpha C_p`, the
//! bound is the root of their squares, and its noise multiplier is that same number. `v` is public. Cost class GRAD.
use super::{Bound, ClipRule, Frame, Grouping, News, Prepare, Setting, flat, threshold::positive};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn spared() -> f64 {
    8.0
}

/// `{ rule = "dpdr", bound = 1.0, common_bound = 1.0, common_noise = 8.0, steps = 100 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpdr {
    /// `C_w`: what is new in a gradient is cut at this.
    #[serde(default)]
    pub bound: Bound,
    /// `C_p`: what is common is cut at this.
    #[serde(default)]
    pub common_bound: Bound,
    /// `s_p / s_w`: noise on what is common, over its bound, in units of that on what is new.
    #[serde(default = "spared")]
    pub common_noise: f64,
    /// Steps after which clipping is flat; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steps: Option<u64>,
}

impl Prepare for Dpdr {
    fn check(&self) -> Result<(), String> {
        positive("common_noise", self.common_noise)
    }
    fn prepare(&self, _: &Setting) -> Result<Box<dyn ClipRule>, String> {
        Ok(Box::new(Rule { settings: self.clone(), last: None, frame: None }))
    }
}

struct Rule {
    settings: Dpdr,
    /// The mean released last.
    last: Option<Grads>,
    frame: Option<Frame>,
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("last", &mut self.last);
    }
}

impl ClipRule for Rule {
    fn begin(&mut self, step: u64) {
        let Dpdr { bound, common_bound, common_noise, steps } = self.settings.clone();
        let early = steps.is_none_or(|steps| step < steps);
        let scale = bound.get() / (common_noise * common_bound.get());
        self.frame = self.last.clone().filter(|_| early).and_then(|mut direction| {
            let length = direction.norm();
            direction.for_each(|x| *x = (f64::from(*x) / length) as f32);
            (length > 0.0 && length.is_finite()).then_some(Frame::Apart { direction, scale })
        });
    }
    fn grouping(&self) -> Grouping {
        if self.frame.is_some() { Grouping::Layer } else { Grouping::Model }
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        let new = self.settings.bound.get();
        if groups == 2 { vec![new, new / self.settings.common_noise] } else { vec![new; groups] }
    }
    fn weigh(&self, norms: Each) -> Each {
        let bounds = self.bounds(norms.columns());
        flat::weights(norms, &bounds)
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref()
    }
    fn reshapes(&self) -> bool {
        true
    }
    fn learn(&mut self, news: &News) {
        self.last = Some(news.gradient.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    #[test]
    fn published_release() {
        struct Start;
        impl State for Start {
            fn state(&mut self, visit: &mut Visit) {
                visit.grads("last", &mut Some(Grads::new(&layout(), vec![3.0, 4.0, 0.0])));
            }
        }
        let mut rule = rule("rule = \"dpdr\"");
        load(&mut *rule, &mut Start);
        let rows = [[3.0, 4.0, 0.0], [0.6, 0.0, -0.8], [0.1, -0.2, 0.2]];
        // s_w = 1, s_p = 8: noise (0.5, -1, 0.25) and 0.5 in units of their own, of which the house makes units of the bound.
        let whole = (1.0 + 8.0_f64.powi(-2)).sqrt();
        assert!((whole.recip() - 0.99227788).abs() < 1e-8);
        let noise = [0.5, -1.0, 0.25, 0.5].map(|z| (z / whole) as f32);
        close(&step(&mut *rule, 0, &rows, &noise, 4.0), &[1.125, 0.8, -0.0875], 2e-5);
    }

    #[test]
    fn late_steps_are_flat() {
        let mut rule = rule("rule = \"dpdr\"\nsteps = 2");
        let rows = [[3.0, 4.0, 0.0]];
        for t in 0..4 {
            rule.begin(t);
            assert_eq!(rule.frame().is_some(), t == 1, "step {t}: no last gradient at first, and none wanted later");
            let mean = step(&mut *rule, t, &rows, &[], 1.0);
            assert!(t == 1 || (mean[0] - 0.6).abs() < 1e-6);
        }
    }
}
