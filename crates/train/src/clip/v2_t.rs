//! Global-Adapt V2-T: threshold and noise that fall with the epochs.
//!
//! Source: Chilukoti et al. 2023, arXiv 2312.02400 (formulas second-hand). In epoch `e` the threshold and the *variance* of the
//! noise are `1 / (1 + decay e)` of what they were (`"time"`), or `decay^e` (`"power"`). Weights, sensitivity, the accounting
//! of each step by its own noise, and what is wrong with the published epsilons: as in V2-S. Cost class NORM.
use super::{
    Bound, ClipRule, Prepare, Setting,
    v2_s::{Scheduled, a, check, threshold},
};
use serde::{Deserialize, Serialize};

/// How threshold and variance fall.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Course {
    /// `1 / (1 + decay e)`.
    #[default]
    Time,
    /// `decay^e`.
    Power,
}

fn decay() -> f64 {
    0.05
}

/// `{ rule = "v2-t", bound = 1.0, threshold = 50.0, decay = 0.05, course = "time", a = 0.1 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct V2T {
    /// `c0`.
    #[serde(default)]
    pub bound: Bound,
    /// `z` at the start, in the gradients' own scale.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// How fast they fall, above 0; at most 1 for `"power"`.
    #[serde(default = "decay")]
    pub decay: f64,
    /// How they fall.
    #[serde(default)]
    pub course: Course,
    /// Of the tail beyond the threshold, as in PSAC.
    #[serde(default = "a")]
    pub a: f64,
}

impl Prepare for V2T {
    fn check(&self) -> Result<(), String> {
        check(self.threshold, self.a)?;
        let fine = self.decay.is_finite() && self.decay > 0.0 && (self.course == Course::Time || self.decay <= 1.0);
        fine.then_some(()).ok_or_else(|| "decay is above 0, and at most 1 for course = \"power\"".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let V2T { bound, threshold, decay, course, a } = self.clone();
        let factor = move |epoch: f64| match course {
            Course::Time => (1.0 + decay * epoch).recip(),
            Course::Power => decay.powf(epoch),
        };
        Ok(Box::new(Scheduled::new(setting, [bound.get(), threshold, a], Box::new(factor))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{prepared, setting};

    #[test]
    fn both_courses_fall_as_they_say() {
        for (text, want) in [("decay = 0.5", 1.0 / 2.0), ("decay = 0.5\ncourse = \"power\"", 0.25)] {
            let mut rule = prepared(&format!("rule = \"v2-t\"\n{text}"), &setting(1.0, 4.0));
            rule.begin(29);
            assert!((rule.loudness().powi(2) - want).abs() < 1e-12);
        }
    }
}
