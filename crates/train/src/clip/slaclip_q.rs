//! SlaClip-Q: the slack's first number stands for the share of unclipped examples, and the bound follows a quantile.
//!
//! Source: as SlaClip (ICML 2026). `C <- C exp(rate (target - h_1))`, where `h_1` estimates the unclipped share, a little below
//! it. Sensitivity `C` of gradient and slack together: no count is released apart, and nothing extra is paid, unlike the
//! quantile rule. Cost class NORM.
use super::{
    Bound, ClipRule, Prepare, Setting,
    quantile::half,
    slaclip::{Slack, rate, slots},
    threshold::{Threshold, check, highest, lowest, positive},
};
use serde::{Deserialize, Serialize};

/// `{ rule = "slaclip-q", bound = 0.1, slots = 8, target = 0.5, rate = 0.2 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlaClipQ {
    /// Where `C` starts.
    #[serde(default)]
    pub bound: Bound,
    /// `K`.
    #[serde(default = "slots")]
    pub slots: usize,
    /// The share of examples that should stay unclipped.
    #[serde(default = "half")]
    pub target: f64,
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

impl Prepare for SlaClipQ {
    fn check(&self) -> Result<(), String> {
        check(self.lowest, self.highest, self.unit)?;
        positive("rate", self.rate)?;
        let fine = self.slots > 0 && (0.0..=1.0).contains(&self.target);
        fine.then_some(()).ok_or_else(|| "slots is at least 1 and target from 0 to 1".into())
    }
    fn prepare(&self, _: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let (target, rate) = (self.target, self.rate);
        let threshold = Threshold::new(self.bound.get(), self.lowest, self.highest, self.unit);
        let factor = Box::new(move |h: &[f64], _: f64| (rate * (target - h[0])).exp());
        Ok(Box::new(Slack { threshold, slots: self.slots, factor }))
    }
}
