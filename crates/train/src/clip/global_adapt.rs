//! Global-Adapt: flat clipping in disguise, with a threshold that grows while examples lie above it.
//!
//! Source: Esipova, Ghomi, Luo & Cresswell 2023 (ICLR), arXiv 2206.07737. `w = C / Z` if `n <= Z`, else `C / n`: that is
//! `(C / Z) min(1, Z / n)`, flat clipping at `Z` scaled by the public `C / Z`. After each step `Z <- Z exp(f - rate)`, where
//! `f` is the noisy number of examples with `n > tau Z` over the expected lot: the quantile rule with target `1 - rate`.
//! Sensitivity: gradient `C`, count 1; one draw, priced jointly. The official code prices them as two independent sampled
//! steps (s_b = 2, z = 0.8: 5.790 where the cost is 6.878) and divides by the realised lot. While more than `rate` lie
//! above, `Z` grows exponentially: `highest` stops it. Cost class NORM.
use super::{
    Bound, ClipRule, News, Prepare, Price, Question, Setting, SideNoise,
    threshold::{Threshold, check, highest, lowest, positive, side_noise},
};
use crate::{
    each::Each,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

fn threshold() -> f64 {
    50.0
}
fn tau() -> f64 {
    0.7
}
fn rate() -> f64 {
    0.1
}

/// `{ rule = "global-adapt", bound = 1.0, threshold = 50.0, tau = 0.7, rate = 0.1, noise = 10.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlobalAdapt {
    /// `C`.
    #[serde(default)]
    pub bound: Bound,
    /// Where `Z` starts.
    #[serde(default = "threshold")]
    pub threshold: f64,
    /// Examples count as above where their norm is more than `tau Z`.
    #[serde(default = "tau")]
    pub tau: f64,
    /// The share that may lie above.
    #[serde(default = "rate")]
    pub rate: f64,
    /// Standard deviation of the count's noise; 10 by default, or more where that would take more than a tenth of the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// The least that `Z` may become.
    #[serde(default = "lowest")]
    pub lowest: f64,
    /// The most that `Z` may become.
    #[serde(default = "highest")]
    pub highest: f64,
}

impl Prepare for GlobalAdapt {
    fn check(&self) -> Result<(), String> {
        check(self.lowest, self.highest, None)?;
        self.noise.map_or(Ok(()), |noise| positive("noise", noise))?;
        [("threshold", self.threshold), ("tau", self.tau), ("rate", self.rate)]
            .into_iter()
            .try_for_each(|(name, value)| positive(name, value))
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let noise = side_noise(self.noise, 10.0, 1.0, setting);
        let threshold = Threshold::new(self.threshold, self.lowest, self.highest, None);
        Ok(Box::new(Rule { settings: self.clone(), threshold, noise }))
    }
}

struct Rule {
    settings: GlobalAdapt,
    threshold: Threshold,
    noise: SideNoise,
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        self.threshold.state(visit);
    }
}

impl ClipRule for Rule {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.settings.bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.at_least(self.threshold.now).map(f64::recip) * self.settings.bound.get()
    }
    fn ask(&self) -> Option<Question> {
        Some(Question { width: 1, price: Price::Apart { bound: 1.0, noise: self.noise } })
    }
    fn answer(&self, norms: Each) -> Each {
        -norms.within(self.settings.tau * self.threshold.now) + 1.0
    }
    fn learn(&mut self, news: &News) {
        let above = news.answer.map_or(0.0, |count| count[0]) / news.lot;
        self.threshold.follow(self.threshold.now * (above - self.settings.rate).exp());
    }
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    fn made(tau: f64) -> Box<dyn ClipRule> {
        rule(&format!("rule = \"global-adapt\"\nthreshold = 4.0\ntau = {tau}"))
    }

    /// The key identity: flat clipping at Z, times C / Z.
    #[test]
    fn published_sum_and_identity() {
        let (got, flat) = (sum(&*made(1.0), &T0), sum(&*rule("rule = \"flat\"\nbound = 4.0"), &T0));
        close(&got, &[0.0678571429, 1.4857142857, 0.9285714286], 1e-6);
        close(&got, &flat.iter().map(|x| x / 4.0).collect::<Vec<_>>(), 1e-7);
    }

    #[test]
    fn published_thresholds() {
        for (tau, noise, want) in [(1.0, 0.0, 5.9672987906), (0.7, 0.5, 8.6823685088)] {
            let mut rule = made(tau);
            let count = seen(&*rule, &T0).answer[0];
            let nothing = crate::grads::Grads::zeros(&layout());
            rule.learn(&News { step: 0, gradient: &nothing, answer: Some(&[count + noise]), lot: 4.0, deviation: 1.0 });
            close(&remembered(&mut *rule)["bound"], &[want], 1e-9);
        }
    }
}
