//! Wide residual networks (Zagoruyko & Komodakis 2016, arXiv 1605.07146) with group normalisation instead of batch
//! normalisation, as De et al. 2022 (arXiv 2204.13650) train them privately: a stem, three groups of pre-activation blocks
//! of 16, 32 and 64 times `width` channels, and a mean over the image.
use super::{
    Build, Conv2d, GroupNorm, Layer, LayerConfig, Pair, ShapeError, WsConv2d, relu::Relu, residual::Sum, shape,
};
use crate::model::Sequential;
use serde::{Deserialize, Serialize};

/// `{ layer = "wide_resnet", depth = 16, width = 4, groups = 16 }`, on images; puts out one number a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WideResNet {
    /// Convolutions in a row: 6 a block more than 4.
    pub depth: usize,
    /// How many times wider than a plain residual network.
    pub width: usize,
    /// Groups of channels that are normalised together.
    #[serde(default = "sixteen")]
    pub groups: usize,
    /// Whether convolutions standardise their weights.
    #[serde(default)]
    pub standardise: bool,
}

fn sixteen() -> usize {
    16
}

/// Layers one after the other, with the names of their parameters.
struct Chain {
    input: Vec<usize>,
    layers: Vec<(String, Box<dyn Layer>)>,
}

impl Chain {
    fn on(input: &[usize]) -> Self {
        Chain { input: input.to_vec(), layers: Vec::new() }
    }
    fn shape(&self) -> &[usize] {
        self.layers.last().map_or(&self.input, |(_, layer)| layer.output())
    }
    fn then(mut self, name: &str, config: &dyn Build) -> Result<Self, ShapeError> {
        let layer = config.build(self.shape())?;
        self.layers.push((name.to_owned(), layer));
        Ok(self)
    }
    fn done(self) -> Sequential {
        Sequential::named(&self.input, self.layers)
    }
}

impl Build for WideResNet {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        shape::image("wide_resnet", input)?;
        let width = shape::positive("wide_resnet", "width", self.width)?;
        if self.depth < 10 || !(self.depth - 4).is_multiple_of(6) {
            let depth = self.depth;
            return Err(ShapeError(format!(
                "wide_resnet: depth = {depth} is not 6 k + 4 with k at least 1: 10, 16, 22, 28"
            )));
        }
        let mut net = Chain::on(input).then("stem", self.convolution(16, 3, 1).get())?;
        let mut number = 0;
        for (group, channels) in [16, 32, 64].into_iter().enumerate() {
            for place in 0..(self.depth - 4) / 6 {
                let stride = if group > 0 && place == 0 { 2 } else { 1 };
                let block = self.block(net.shape(), channels * width, stride)?;
                net.layers.push((format!("blocks.{number}"), Box::new(block)));
                number += 1;
            }
        }
        let net = net.then("norm", &self.norm())?.then("", &Relu {})?;
        Ok(Box::new(net.then("", &super::mean_image::MeanImage {})?.done()))
    }
}

impl WideResNet {
    fn norm(&self) -> GroupNorm {
        GroupNorm { groups: self.groups, eps: super::layer_norm::default_eps() }
    }

    fn convolution(&self, channels: usize, kernel: usize, stride: usize) -> LayerConfig {
        let [kernel, stride, padding] = [kernel, stride, kernel / 2].map(Pair::Both);
        match self.standardise {
            false => LayerConfig::Conv2d(Conv2d { channels, kernel, stride, padding, bias: false }),
            true => LayerConfig::WsConv2d(WsConv2d { channels, kernel, stride, padding, bias: false }),
        }
    }

    /// Pre-activation: normalise, rectify, convolve, twice. Where the shape changes, the shortcut is a 1 x 1 convolution of
    /// the first activation.
    fn block(&self, input: &[usize], channels: usize, stride: usize) -> Result<Sequential, ShapeError> {
        let first = Chain::on(input).then("norm1", &self.norm())?.then("", &Relu {})?;
        let rest = |chain: Chain| {
            let chain = chain.then("conv1", self.convolution(channels, 3, stride).get())?;
            let chain = chain.then("norm2", &self.norm())?.then("", &Relu {})?;
            chain.then("conv2", self.convolution(channels, 3, 1).get())
        };
        if input[0] == channels && stride == 1 {
            let sum = Sum::new(rest(first)?.done(), Chain::on(input).done())?;
            return Ok(Sequential::named(input, vec![(String::new(), Box::new(sum))]));
        }
        let inside = rest(Chain::on(first.shape()))?.done();
        let shortcut = Chain::on(first.shape()).then("", self.convolution(channels, 1, stride).get())?.done();
        let mut block = first;
        block.layers.push((String::new(), Box::new(Sum::new(inside, shortcut)?)));
        Ok(block.done())
    }
}
