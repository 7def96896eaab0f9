//! Block-wise clipping: a few runs of parameters, each clipped by itself.
//!
//! Source: Bu et al. 2023, arXiv 2310.19215. As per-layer clipping, with parameters in `blocks` runs as even in number as can
//! be: 1 is flat clipping, as many as there are parameters is parameter-wise. Sensitivity `sqrt(sum C_b^2) = C`. Cost class
//! LAYER-NORM.
use super::{
    Bound, ClipRule, Grouping, Prepare, Setting,
    per_layer::{Blocks, Spread, check},
};
use serde::{Deserialize, Serialize};

fn blocks() -> usize {
    2
}

/// `{ rule = "block-wise", bound = 1.0, blocks = 2, noise = "even" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockWise {
    /// `C`, of all blocks together.
    #[serde(default)]
    pub bound: Bound,
    /// How many blocks, at least 1.
    #[serde(default = "blocks")]
    pub blocks: usize,
    /// What share of `C` each block gets, in order; even shares by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
    /// How noise is spread over blocks.
    #[serde(default)]
    pub noise: Spread,
}

impl Prepare for BlockWise {
    fn check(&self) -> Result<(), String> {
        check(&self.shares)?;
        (self.blocks > 0).then_some(()).ok_or_else(|| "blocks is at least 1".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        Blocks::prepare(setting, Grouping::Blocks(self.blocks), self.bound, &self.shares, self.noise)
    }
}

#[cfg(test)]
mod tests {
    use super::super::trial::{T0, close, rule, sum};

    /// One block is flat clipping, two blocks of the made-up layout are its layers.
    #[test]
    fn blocks_lie_between_flat_and_per_layer() {
        let of = |text: &str| sum(&*rule(text), &T0);
        close(&of("rule = \"block-wise\"\nblocks = 1"), &of("rule = \"flat\"\nbound = 1.0"), 1e-6);
        close(&of("rule = \"block-wise\"\nblocks = 2"), &of("rule = \"per-layer\""), 1e-6);
        close(&of("rule = \"parameter-wise\""), &of("rule = \"per-layer\""), 1e-6);
    }
}
