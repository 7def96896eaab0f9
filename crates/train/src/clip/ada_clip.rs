//! AdaCliP: gradients centred and scaled coordinate by coordinate before they are clipped.
//!
//! Source: Pichapati et al. 2019, arXiv 1908.07643. `omega = (g - a) / b`, clipped at `C`, released, and `g~ = b U / m + a`. With
//! `s` the standard deviation of each coordinate, `b_j = sqrt(s_j sum_k s_k)` adds least noise under `E ||omega||^2 <= 1`. Mean
//! and variance follow the released gradient: `v <- beta2 v + (1 - beta2) clamp((g~ - a)^2 - b^2 z^2 / m^2, floor, cap)`,
//! `a <- beta1 a + (1 - beta1) g~`; the noise's own variance is subtracted, and `v` is the variance of the *batch mean*.
//! Sensitivity `C` in the scaled space, whatever `a` and `b` are: they come from earlier releases. Where noise dominates `v` it
//! sits at its limits. Cost class GRAD, by the closed form where a layer has one position: on a processor an upper bound of the norm, 0.3 %
//! above it on average (`engine::op::per_example::product_measured`), so that a gradient may be clipped that much shorter.
use super::{Bound, ClipRule, Frame, News, Prepare, Setting, flat, threshold::positive};
use crate::{
    each::Each,
    grads::{BLOCK, Grads},
    state::{State, Visit},
};
use engine::op::in_vectors;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

fn beta1() -> f64 {
    0.99
}
fn beta2() -> f64 {
    0.9
}
fn variance() -> f64 {
    1.0
}
fn floor() -> f64 {
    1e-12
}
fn cap() -> f64 {
    10.0
}

/// `{ rule = "adaclip", bound = 1.0, beta1 = 0.99, beta2 = 0.9, variance = 1.0, floor = 1e-12, cap = 10.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdaClip {
    /// `C` in the scaled space, where norms are about 1.
    #[serde(default)]
    pub bound: Bound,
    /// Share of the last mean that is kept.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Share of the last variance that is kept.
    #[serde(default = "beta2")]
    pub beta2: f64,
    /// Where variances start.
    #[serde(default = "variance")]
    pub variance: f64,
    /// The least variance of a coordinate.
    #[serde(default = "floor")]
    pub floor: f64,
    /// The most.
    #[serde(default = "cap")]
    pub cap: f64,
}

impl Prepare for AdaClip {
    fn check(&self) -> Result<(), String> {
        [("variance", self.variance), ("floor", self.floor), ("cap", self.cap)]
            .into_iter()
            .try_for_each(|(name, value)| positive(name, value))?;
        let fine = [self.beta1, self.beta2].iter().all(|b| (0.0..1.0).contains(b)) && self.floor <= self.cap;
        fine.then_some(()).ok_or_else(|| "beta1 and beta2 are from 0 to below 1, and floor is at most cap".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let mut variance = Grads::zeros(&setting.layout);
        variance.for_each(|v| *v = self.variance as f32);
        let mut rule = Rule { settings: self.clone(), mean: None, variance: Some(variance), frame: None };
        rule.begin(0);
        Ok(Box::new(rule))
    }
}

struct Rule {
    settings: AdaClip,
    mean: Option<Grads>,
    variance: Option<Grads>,
    frame: Option<Frame>,
}

/// Lanes that deviations are added up in.
const LANES: usize = 16;

/// `1 / b`, for `b_j = sqrt(s_j sum s)` and `s = sqrt(v)`.
fn scale(variance: &Grads) -> Grads {
    let of = |block: &[f32]| {
        let (chunks, rest) = block.as_chunks::<LANES>();
        let mut sums = [0.0f64; LANES];
        chunks.iter().for_each(|v| (0..LANES).for_each(|j| sums[j] += f64::from(v[j].sqrt())));
        sums.iter().sum::<f64>() + rest.iter().map(|v| f64::from(v.sqrt())).sum::<f64>()
    };
    let of = |block: &[f32]| {
        let mut sum = 0.0;
        in_vectors(|| sum = of(block));
        sum
    };
    // Added up in order, so that the sum does not depend on threads.
    let totals: Vec<f64> = variance.flat().par_chunks(BLOCK).map(of).collect();
    let total = totals.into_iter().sum::<f64>() as f32;
    let mut scale = variance.clone();
    scale.for_each(|v| *v = (v.sqrt() * total).sqrt().recip());
    scale
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("mean", &mut self.mean);
        visit.grads("variance", &mut self.variance);
    }
}

impl ClipRule for Rule {
    fn begin(&mut self, _: u64) {
        self.frame = self.variance.as_ref().map(|variance| Frame::scale(scale(variance), self.mean.clone()));
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
        let (Some(Frame::Scale(scaling)), Some(variance)) = (&self.frame, &mut self.variance) else { return };
        let AdaClip { beta1, beta2, floor, cap, .. } = self.settings;
        // In f32, which works on many numbers at once: these are released values, and a frame may be made of any.
        let (noise, floor, cap) = ((news.deviation / news.lot) as f32, floor as f32, cap as f32);
        let [keep, by, keep_mean, by_mean] = [beta2, 1.0 - beta2, beta1, 1.0 - beta1].map(|x| x as f32);
        let mean = self.mean.get_or_insert_with(|| Grads::zeros(news.gradient.layout()));
        let moments = variance.flat_mut().par_chunks_mut(BLOCK).zip(mean.flat_mut().par_chunks_mut(BLOCK));
        let seen = news.gradient.flat().par_chunks(BLOCK).zip(scaling.scale().flat().par_chunks(BLOCK));
        let one = |(v, a): (&mut f32, &mut f32), (g, s): (&f32, &f32)| {
            let (gap, own) = (g - *a, noise / s);
            *v = keep * *v + by * (gap * gap - own * own).max(floor).min(cap);
            *a = keep_mean * *a + by_mean * g;
        };
        moments.zip(seen).for_each(|((variance, mean), (gradient, scale))| {
            let all = variance.iter_mut().zip(mean).zip(gradient.iter().zip(scale));
            in_vectors(|| all.for_each(|(moments, seen)| one(moments, seen)));
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;
    use crate::{
        clip::ClipRule,
        grads::Grads,
        state::{State, Visit},
    };

    /// Starts from variances (4, 1, 1) instead of equal ones.
    struct Start;
    impl State for Start {
        fn state(&mut self, visit: &mut Visit) {
            visit.grads("mean", &mut None);
            visit.grads("variance", &mut Some(Grads::new(&layout(), vec![4.0, 1.0, 1.0])));
        }
    }

    fn made() -> Box<dyn ClipRule> {
        let mut rule = rule("rule = \"adaclip\"");
        load(&mut *rule, &mut Start);
        rule
    }

    /// The specification's two steps: noise (0, 0, 0), then (0.5, -0.25, 0.1).
    #[test]
    fn published_steps() {
        let mut rule = made();
        let first = step(&mut *rule, 0, &T0, &[0.0; 3], 4.0);
        close(&first, &[0.0389772573, 0.8643285766, 0.6124051233], 1e-6);
        close(&remembered(&mut *rule)["variance"], &[3.6, 0.9497063888, 0.9125040035], 2e-5);
        close(&remembered(&mut *rule)["mean"], &[0.0003897726, 0.0086432858, 0.0061240512], 1e-6);
        let second = step(&mut *rule, 1, &T0, &[0.5, -0.25, 0.1], 4.0);
        close(&second, &[0.3814488672, 0.7109862642, 0.6383907825], 2e-5);
        close(&remembered(&mut *rule)["variance"], &[3.24, 0.8807539149, 0.8383804485], 2e-5);
        close(&remembered(&mut *rule)["mean"], &[0.0042003635, 0.0156667156, 0.0124467185], 2e-6);
    }
}
