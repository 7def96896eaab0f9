//! Transformer blocks, with the parameter names of PyTorch's `nn.TransformerEncoderLayer`: attention and a two-layer
//! perceptron, each added to its input (Vaswani et al. 2017, arXiv 1706.03762; pre-norm: Xiong et al. 2020, arXiv
//! 2002.04745). With `causal` they are a decoder without a second text to look at, as in GPT-2.
use super::{
    Build, Layer, LayerConfig, LayerNorm, Linear, RmsNorm, ShapeError, attention::Attention, dropout::Dropout,
    gelu::Gelu, residual::Sum, shape,
};
use crate::model::Sequential;
use serde::{Deserialize, Serialize};

/// Where a block normalises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Before attention and perceptron; the sum stays as it is, so end with a normalisation.
    #[default]
    Pre,
    /// After each sum.
    Post,
}

fn norm() -> Box<LayerConfig> {
    Box::new(LayerConfig::LayerNorm(LayerNorm { eps: super::layer_norm::default_eps() }))
}

fn activation() -> Box<LayerConfig> {
    Box::new(LayerConfig::Gelu(Gelu::default()))
}

/// `{ layer = "transformer", layers = 6, heads = 12, hidden = 1536 }`, on `[tokens, features]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    /// Blocks.
    pub layers: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Width inside the perceptron.
    pub hidden: usize,
    /// Whether a token looks at itself and earlier ones only.
    #[serde(default)]
    pub causal: bool,
    /// Whether normalisation comes before or after: `"pre"` or `"post"`.
    #[serde(default)]
    pub place: Place,
    /// The normalisation, such as `{ layer = "rms_norm" }`.
    #[serde(default = "norm")]
    pub norm: Box<LayerConfig>,
    /// The perceptron's activation.
    #[serde(default = "activation")]
    pub activation: Box<LayerConfig>,
    /// The share of numbers that is dropped of what attention and perceptron add.
    #[serde(default)]
    pub dropout: f64,
}

impl Build for Transformer {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let layers = shape::positive("transformer", "layers", self.layers)?;
        if !matches!(*self.norm, LayerConfig::LayerNorm(_) | LayerConfig::RmsNorm(RmsNorm { .. })) {
            return Err(ShapeError(format!(
                "transformer: norm = `{}` is neither `layer_norm` nor `rms_norm`",
                self.norm.name()
            )));
        }
        let blocks = (0..layers).map(|i| Ok((format!("layers.{i}"), Box::new(self.block(input)?) as Box<dyn Layer>)));
        Ok(Box::new(Sequential::named(input, blocks.collect::<Result<_, ShapeError>>()?)))
    }
}

impl Transformer {
    fn block(&self, input: &[usize]) -> Result<Sequential, ShapeError> {
        let features = shape::last("transformer", input)?;
        let attention = Attention { heads: self.heads, causal: self.causal }.build(input)?;
        let first = Linear { features: self.hidden, bias: true }.build(input)?;
        let inside = first.output().to_vec();
        let second = Linear { features, bias: true }.build(&inside)?;
        let activation = self.activation.get().build(&inside)?;
        let perceptron = [("linear1", first), ("", activation), ("linear2", second)];
        let mut parts = Vec::new();
        for (norm, layers) in [("norm1", vec![("self_attn", attention)]), ("norm2", perceptron.into())] {
            let norm = (norm, self.norm.get().build(input)?);
            match self.place {
                Place::Pre => parts.push(self.sum(input, [vec![norm], layers].into_iter().flatten())?),
                Place::Post => parts.extend([self.sum(input, layers)?, (norm.0.to_owned(), norm.1)]),
            }
        }
        Ok(Sequential::named(input, parts))
    }

    /// What `layers` and dropout make of the input, added to it.
    fn sum(
        &self,
        input: &[usize],
        layers: impl IntoIterator<Item = (&'static str, Box<dyn Layer>)>,
    ) -> Result<(String, Box<dyn Layer>), ShapeError> {
        let mut layers: Vec<_> = layers.into_iter().map(|(name, layer)| (name.to_owned(), layer)).collect();
        if self.dropout != 0.0 {
            layers.push((String::new(), Dropout { rate: self.dropout }.build(input)?));
        }
        let sum = Sum::new(Sequential::named(input, layers), Sequential::new(input, Vec::new()))?;
        Ok((String::new(), Box::new(sum)))
    }
}
