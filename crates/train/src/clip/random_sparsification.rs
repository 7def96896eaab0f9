//! Random sparsification: a random set of coordinates sits out for an epoch.
//!
//! Source: Zhu & Blaschko 2023 (TMLR), arXiv 2112.00845. At each refresh (every epoch) a random set of `floor(r d)` coordinates is
//! masked, before norms are taken; noise reaches the others alone, and masked ones get no gradient. `r` climbs from 0 to
//! `rate` over the run. Sensitivity `C`: the mask is public coins. The reference loader shuffles while its accountant assumes
//! Poisson lots; here both are Poisson. Cost class GRAD, by the closed form where a layer has one position.
use super::{Bound, ClipRule, Prepare, Setting, mask};
use privacy::Purpose;
use serde::{Deserialize, Serialize};

fn rate() -> f64 {
    0.9
}
fn epochs() -> f64 {
    1.0
}

/// `{ rule = "random-sparsification", bound = 1.0, rate = 0.9, epochs = 1.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RandomSparsification {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// The share of coordinates that is masked in the end, from 0 to below 1.
    #[serde(default = "rate")]
    pub rate: f64,
    /// Epochs between refreshes.
    #[serde(default = "epochs")]
    pub epochs: f64,
}

impl Prepare for RandomSparsification {
    fn check(&self) -> Result<(), String> {
        let fine = (0.0..1.0).contains(&self.rate) && self.epochs.is_finite() && self.epochs > 0.0;
        fine.then_some(()).ok_or_else(|| "rate is from 0 to below 1, epochs above 0".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let (layout, key, rate) = (setting.layout.clone(), setting.key.clone(), self.rate);
        let every = (self.epochs * setting.steps_per_epoch()).round().max(1.0) as u64;
        let refreshes = setting.steps.div_ceil(every).max(1);
        let make = move |refresh: u64| {
            let rate = rate * refresh as f64 / (refreshes - 1).max(1) as f64;
            let (d, stream) = (layout.len(), key.stream(Purpose::Permute, refresh, 1));
            let keep = d - (rate.min(1.0) * d as f64).floor() as usize;
            mask::frame(&layout, mask::largest(&mask::random(&stream, d), keep))
        };
        let frame = make(0);
        // The mask of a step is a function of the step, so that nothing needs to be remembered.
        let mut drawn = 0;
        let draw = move |step: u64| {
            let stale = std::mem::replace(&mut drawn, step / every) != step / every;
            stale.then(|| make(step / every))
        };
        Ok(Box::new(mask::Masked { bound: self.bound.get(), frame, draw }))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Frame, trial::*},
        *,
    };

    fn masked(rule: &mut dyn ClipRule, step: u64) -> usize {
        rule.begin(step);
        let Some(Frame::Scale(scaling)) = rule.frame() else { panic!("a mask") };
        scaling.scale().flat().iter().filter(|x| **x == 0.0).count()
    }

    /// F1's gradients with the second coordinate masked: norms 3, 1 and 0.2236, sum (1.7, 0, -0.6).
    #[test]
    fn published_release() {
        let rows = [[3.0, 4.0, 0.0], [0.6, 0.0, -0.8], [0.1, -0.2, 0.2]];
        let layout = layout();
        let made = move |_: u64| Some(mask::frame(&layout, vec![1.0, 0.0, 1.0]));
        let mut rule = mask::Masked { bound: 1.0, frame: made(0).unwrap(), draw: made };
        close(&step(&mut rule, 0, &rows, &[0.4, -0.8, 0.2], 4.0), &[0.525, 0.0, -0.1], 1e-5);
    }

    #[test]
    fn the_rate_climbs_and_masks_change_between_epochs_alone() {
        let mut rule = rule("rule = \"random-sparsification\"\nrate = 0.7");
        assert_eq!([0, 9, 55, 99].map(|step| masked(&mut *rule, step)), [0, 0, 1, 2]);
        let mask = |step: u64, rule: &mut dyn ClipRule| {
            rule.begin(step);
            let Some(Frame::Scale(scaling)) = rule.frame() else { panic!("a mask") };
            scaling.scale().flat().to_vec()
        };
        let (first, again) = (mask(60, &mut *rule), mask(69, &mut *rule));
        assert_eq!(first, again);
        assert!((60..100).step_by(10).any(|step| mask(step, &mut *rule) != first));
    }
}
