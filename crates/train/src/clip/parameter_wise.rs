//! Parameter-wise clipping: each parameter's gradient clipped by itself.
//!
//! Source: Bu et al. 2023, arXiv 2310.19215. As per-layer clipping, with weight and bias of a layer apart: the finest blocks
//! whose norms a layer knows alone. Sensitivity `sqrt(sum C_b^2) = C`. Cost class LAYER-NORM.
use super::{
    Bound, ClipRule, Grouping, Prepare, Setting,
    per_layer::{Blocks, Spread, check},
};
use serde::{Deserialize, Serialize};

/// `{ rule = "parameter-wise", bound = 1.0, noise = "even" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParameterWise {
    /// `C`, of all parameters together.
    #[serde(default)]
    pub bound: Bound,
    /// What share of `C` each parameter gets, in order; even shares by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
    /// How noise is spread over parameters.
    #[serde(default)]
    pub noise: Spread,
}

impl Prepare for ParameterWise {
    fn check(&self) -> Result<(), String> {
        check(&self.shares)
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        Blocks::prepare(setting, Grouping::Parameter, self.bound, &self.shares, self.noise)
    }
}
