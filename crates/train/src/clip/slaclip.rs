//! SlaClip: what clipping leaves of the bound tells how to move it, at no extra cost.
//!
//! Source: "SlaClip: Gradient Norm Slacks can be Indicator for Adaptive Clipping in DP-SGD", ICML 2026. Beside each clipped
//! gradient stand `K` numbers that encode its slack `C - n`: with `lam = C / sqrt(K)` and `L = sqrt(K) max(C - n, 0)`, first as
//! many `lam` as fit into `L`, then the rest. Sensitivity `C` of the whole vector: its slack part is no longer than
//! `sqrt(lam L) = sqrt(C s)`, and `(C - s)^2 + C s <= C^2`; the house caps it at the room that is left in any case. One
//! release, multiplier `z`. With `h` the noisy sum over `lam m`: `u = h_K / (C + 1e-6)`,
//! `gamma = clamp(1 - beta (1 - u), 0, 1)`, `C <- C exp(rate (gamma - h_1))`. The noise on `h` is `z sqrt(K) / m`; the authors
//! lose at lots of 256 what they win at 2048. Cost class NORM.
use super::{
    Bound, ClipRule, News, Prepare, Price, Question, Setting, flat,
    threshold::{Threshold, check, highest, lowest, positive},
};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use serde::{Deserialize, Serialize};

pub(super) fn slots() -> usize {
    8
}
fn beta() -> f64 {
    0.5
}
pub(super) fn rate() -> f64 {
    0.2
}

/// `{ rule = "slaclip", bound = 0.1, slots = 8, beta = 0.5, rate = 0.2 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaClip {
    /// Where `C` starts.
    #[serde(default)]
    pub bound: Bound,
    /// `K`.
    #[serde(default = "slots")]
    pub slots: usize,
    /// How much the target falls with little slack.
    #[serde(default = "beta")]
    pub beta: f64,
    /// How fast `C` follows.
    #[serde(default = "rate")]
    pub rate: f64,
    /// The least that `C` may become.
    #[serde(default = "lowest")]
    pub lowest: f64,
    /// The most that `C` may become.
    #[serde(default = "highest")]
    pub highest: f64,
    /// Scale means as if `C` were always this, so that the learning rate's meaning does not change with `C`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<f64>,
}

impl Prepare for SlaClip {
    fn check(&self) -> Result<(), String> {
        check(self.lowest, self.highest, self.unit)?;
        positive("rate", self.rate)?;
        let fine = self.slots > 0 && (0.0..=1.0).contains(&self.beta);
        fine.then_some(()).ok_or_else(|| "slots is at least 1 and beta from 0 to 1".into())
    }
    fn prepare(&self, _: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let (beta, rate) = (self.beta, self.rate);
        let factor = move |h: &[f64], bound: f64| {
            let u = h[h.len() - 1] / (bound + 1e-6);
            (rate * ((1.0 - beta * (1.0 - u)).clamp(0.0, 1.0) - h[0])).exp()
        };
        let threshold = Threshold::new(self.bound.get(), self.lowest, self.highest, self.unit);
        Ok(Box::new(Slack { threshold, slots: self.slots, factor: Box::new(factor) }))
    }
}

/// What the bound is multiplied with, from the mean slack and the bound.
type Factor = Box<dyn Fn(&[f64], f64) -> f64 + Send + Sync>;

/// Both variants: what differs is how the bound follows.
pub(super) struct Slack {
    pub threshold: Threshold,
    pub slots: usize,
    pub factor: Factor,
}

impl State for Slack {
    fn state(&mut self, visit: &mut Visit) {
        self.threshold.state(visit);
    }
}

impl ClipRule for Slack {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.threshold.now; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.threshold.now])
    }
    fn ask(&self) -> Option<Question> {
        Some(Question { width: self.slots, price: Price::Room })
    }
    fn answer(&self, norms: Each) -> Each {
        let (bound, root) = (self.threshold.now, (self.slots as f64).sqrt());
        norms.map_rows(self.slots, move |norm, slack| {
            let (lam, mut left) = (bound / root, root * (bound - norm[0]).max(0.0));
            for slot in slack {
                *slot = left.min(lam);
                left -= *slot;
            }
        })
    }
    fn restore(&self, mean: Grads) -> Grads {
        self.threshold.rescale(mean)
    }
    fn learn(&mut self, news: &News) {
        let lam = self.threshold.now / (self.slots as f64).sqrt();
        if let Some(answer) = news.answer {
            let h: Vec<f64> = answer.iter().map(|x| x / (lam * news.lot)).collect();
            self.threshold.follow(self.threshold.now * (self.factor)(&h, self.threshold.now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::*;

    #[test]
    fn published_slacks() {
        let slaclip = rule("rule = \"slaclip\"\nbound = 4.0\nslots = 4");
        for (example, want) in T0.iter().zip([[0.0; 4], [2.0, 2.0, 2.0, 1.0], [2.0, 0.0, 0.0, 0.0], [0.0; 4]]) {
            close(&seen(&*slaclip, &[*example]).beside, &want, 1e-6);
        }
        close(
            &seen(&*slaclip, &T0).beside.iter().map(|x| x / 8.0).collect::<Vec<_>>(),
            &[0.5, 0.25, 0.25, 0.125],
            1e-6,
        );
    }

    #[test]
    fn published_bounds() {
        for (name, want) in [("slaclip", 4.0125195485), ("slaclip-q", 4.0)] {
            let mut rule = rule(&format!("rule = \"{name}\"\nbound = 4.0\nslots = 4"));
            let nothing = crate::grads::Grads::zeros(&layout());
            let answer: Vec<f64> = [0.5, 0.25, 0.25, 0.125].iter().map(|h| h * 8.0).collect();
            let news = super::News { step: 0, gradient: &nothing, answer: Some(&answer), lot: 4.0, deviation: 1.0 };
            rule.learn(&news);
            close(&rule.bounds(1), &[want], 1e-9);
        }
    }
}
