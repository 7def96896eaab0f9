//! Training with the parts of a private step switched on and off one by one (`clipping-02`, section 2).
//!
//! NOT PRIVATE but for the arm with both: every other arm shows sums of its (public) examples, and says so in its own ledger.
//! The arms of one seed share starting weights, draws and noise, so that what differs is the arm.
use super::StudyError;
use crate::{
    data::Examples,
    grads::Grads,
    model::{Model, Weights},
    tap::{Scaling, Taps},
};
use privacy::{Key, Ledger, Neighbouring, Poisson, Purpose, Sampler, Secret, Sum};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What of a private step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arm {
    /// Neither clipping nor noise.
    Sgd,
    /// Clipping alone.
    Clip,
    /// Clipping, then rescaled to the length that the mean had before.
    Renorm,
    /// Noise alone, as much as in the private arm.
    Noise,
    /// Both: private.
    Dp,
}

impl Arm {
    /// All of them.
    pub const ALL: [Arm; 5] = [Arm::Sgd, Arm::Clip, Arm::Renorm, Arm::Noise, Arm::Dp];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        ["SGD", "clip only", "clip, rescaled", "noise only", "DP"][self as usize]
    }

    fn clips(self) -> bool {
        matches!(self, Arm::Clip | Arm::Renorm | Arm::Dp)
    }

    fn noises(self) -> bool {
        matches!(self, Arm::Noise | Arm::Dp)
    }
}

/// The public numbers of a run.
#[derive(Debug, Clone, Copy)]
pub struct Numbers {
    /// Expected lot.
    pub lot: f64,
    /// Steps.
    pub steps: u64,
    /// Step size.
    pub rate: f64,
    /// Threshold.
    pub c: f64,
    /// Noise multiplier.
    pub z: f64,
    /// Seed of everything.
    pub seed: u64,
}

/// A run: a model, its data, its numbers.
pub struct Subject<'a> {
    /// The model.
    pub model: &'a Model,
    /// What is trained on.
    pub data: &'a Examples,
    /// What accuracy is measured on.
    pub test: &'a Examples,
    /// The numbers.
    pub numbers: Numbers,
    /// Where it starts; fresh weights from the seed where none.
    pub start: Option<Grads>,
    /// The coordinates that move, as ones among zeros; all where none.
    pub mask: Option<Grads>,
}

/// What a run left.
pub struct Trained {
    /// The weights.
    pub weights: Weights,
    /// Test accuracy at even distances, the end included: (step, share).
    pub curve: Vec<(u64, f64)>,
}

impl Trained {
    /// The last test accuracy, in percent.
    pub fn accuracy(&self) -> f64 {
        100.0 * self.curve.last().map_or(0.0, |c| c.1)
    }
}

impl Subject<'_> {
    /// Fresh weights of this seed.
    pub fn fresh(&self) -> Weights {
        Weights::public(self.model.layout(), &Key::from_seed(self.numbers.seed))
    }

    /// Trains, with the arm that `arm` says at each step.
    pub fn train(&self, arm: impl Fn(u64) -> Arm) -> Result<Trained, StudyError> {
        let n = self.numbers;
        let layout = self.model.layout();
        let key = Arc::new(Key::from_seed(n.seed));
        let mut weights = self.start.as_ref().map_or_else(|| self.fresh(), |p| crate::diagnose::at(layout, p));
        let sampler = Poisson::new(self.data.len(), n.lot / self.data.len() as f64, key.clone())
            .map_err(|e| StudyError::Other(e.to_string()))?;
        let mut ledger = Ledger::new(Neighbouring::AddRemove);
        let mut curve = Vec::new();
        for step in 0..n.steps {
            let draw = sampler.draw(step);
            let now = arm(step);
            let sums = draw.chunks(256).map(|who| who.map(|who| self.sums(&weights, &who, now)));
            let sum = sums.reduce(Secret::merge).unwrap_or_else(|| Secret::new(Sums::zeros(layout)));
            let seen = sum.reveal(&mut ledger, "sums of public examples, for a study");
            let seen = seen.map_err(|e| StudyError::Other(e.to_string()))?;
            weights.walk(&seen.map(|sums| self.step(sums, now, &key, step)));
            if (step + 1) % (n.steps / 10).max(1) == 0 || step + 1 == n.steps {
                let score = self.model.score(&weights, self.test);
                curve.push((step + 1, score.accuracy.unwrap_or(0.0)));
            }
        }
        Ok(Trained { weights, curve })
    }

    fn sums(&self, weights: &Weights, who: &[usize], arm: Arm) -> Sums {
        let taps = self.model.taps(weights, self.data.gather(who));
        let mut taps: Taps = match &self.mask {
            Some(mask) => taps.scaled(&Arc::new(Scaling::new(mask.clone(), None))),
            None => taps,
        };
        let group = vec![0; taps.parameters()];
        let ones: Vec<f32> = vec![1.0; who.len()];
        let norms = taps.norms(&group, 1);
        let clip = |n: &f64| super::toy::flat(self.numbers.c)(n.sqrt()) as f32;
        let clipped: Vec<f32> = norms.iter().map(clip).collect();
        let plain = || taps.sum(&ones, &group, 1);
        match arm {
            Arm::Renorm => Sums { used: taps.sum(&clipped, &group, 1), plain: Some(plain()) },
            _ if arm.clips() => Sums { used: taps.sum(&clipped, &group, 1), plain: None },
            _ => Sums { used: plain(), plain: None },
        }
    }

    fn step(&self, sums: Sums, arm: Arm, key: &Key, step: u64) -> Grads {
        let n = self.numbers;
        let mut g = sums.used;
        if let (Arm::Renorm, Some(plain)) = (arm, &sums.plain) {
            let by = plain.norm() / g.norm().max(1e-30);
            g = g.scale(by);
        }
        if arm.noises() {
            let mut noise = vec![0.0f32; g.flat().len()];
            key.stream(Purpose::Noise, step, 0).fill_normal(0, &mut noise);
            let deviation = (n.z * n.c) as f32;
            let mask = self.mask.as_ref().map(Grads::flat);
            for (j, (x, z)) in g.flat_mut().iter_mut().zip(noise).enumerate() {
                *x += deviation * z * mask.map_or(1.0, |m| m[j]);
            }
        }
        g.scale(-n.rate / n.lot)
    }
}

/// The sum that a step is made of, and the plain one where its length is wanted.
struct Sums {
    used: Grads,
    plain: Option<Grads>,
}

impl Sums {
    fn zeros(layout: &Arc<crate::grads::Layout>) -> Self {
        Sums { used: Grads::zeros(layout), plain: None }
    }
}

impl Sum for Sums {
    fn add(self, other: Self) -> Self {
        let plain = match (self.plain, other.plain) {
            (Some(a), Some(b)) => Some(a.add(b)),
            (a, b) => a.or(b),
        };
        Sums { used: self.used.add(other.used), plain }
    }
    fn scale(self, by: f64) -> Self {
        Sums { used: self.used.scale(by), plain: self.plain.map(|p| p.scale(by)) }
    }
    fn blank(&self) -> Self {
        Sums { used: self.used.blank(), plain: None }
    }
}

/// Mean and standard deviation (with `n - 1`), as printed.
pub fn spread(x: &[f64]) -> String {
    let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
    let square: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
    match x.len() {
        0 | 1 => format!("{mean:.2}"),
        n => format!("{mean:.2} ± {:.2}", (square / (n - 1) as f64).sqrt()),
    }
}

/// The mean and the half-width of its 95 % interval by Student's law, as printed; of one number there is none.
pub fn interval(x: &[f64]) -> String {
    let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
    half_width(x).map_or_else(|| format!("{mean:.2}"), |half| format!("{mean:.2} ± {half:.2}"))
}

/// Half the width of the 95 % interval of the mean of independent normal numbers, by Student's law.
pub fn half_width(x: &[f64]) -> Option<f64> {
    /// 97.5 % quantiles for 1, 2, ... degrees of freedom (Abramowitz & Stegun 1964, table 26.10).
    const STUDENT: [f64; 10] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228];
    let quantile = STUDENT.get(x.len().checked_sub(2)?).copied().unwrap_or(2.228);
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (x.len() - 1) as f64;
    Some(quantile * (variance / x.len() as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::half_width;

    #[test]
    fn intervals_of_means_by_hand() {
        // Deviation 1, n = 3: 4.303 / sqrt(3).
        assert!((half_width(&[1.0, 2.0, 3.0]).unwrap() - 2.4843).abs() < 1e-3);
        assert_eq!((half_width(&[1.0]), half_width(&[])), (None, None));
    }
}
