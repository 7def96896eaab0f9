//! Layers one after the other, PyTorch's `nn.Sequential`: parameters are named by the layer's place, `0.weight`.
use crate::{
    layer::{Keep, Layer, LayerConfig, Parameter, ShapeError, View},
    tap::Taps,
};
use engine::Tensor;
use std::ops::Range;

/// A chain of layers; itself a layer.
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer>)>,
    parts: Vec<Range<usize>>,
    /// The first layer with parameters: before it nothing wants a gradient.
    first: usize,
    output: Vec<usize>,
}

impl Sequential {
    /// Layers in order, named by their places; `input` is one example's shape, which is also the output's where there
    /// are no layers.
    pub fn new(input: &[usize], layers: Vec<Box<dyn Layer>>) -> Self {
        Self::named(input, layers.into_iter().enumerate().map(|(i, layer)| (i.to_string(), layer)).collect())
    }

    /// Layers in order with their names; parameters of a layer without a name keep their own.
    pub fn named(input: &[usize], layers: Vec<(String, Box<dyn Layer>)>) -> Self {
        let counts = layers.iter().map(|(_, layer)| layer.parameters().len());
        let parts: Vec<Range<usize>> = counts
            .scan(0, |at, count| {
                *at += count;
                Some(*at - count..*at)
            })
            .collect();
        let first = parts.iter().position(|part| !part.is_empty()).unwrap_or(layers.len());
        let output = layers.last().map_or(input, |(_, layer)| layer.output()).to_vec();
        Sequential { layers, parts, first, output }
    }

    /// Numbers that the layers put out for one example, altogether.
    pub(crate) fn numbers(&self) -> usize {
        self.layers.iter().map(|(_, layer)| layer.output().iter().product::<usize>()).sum()
    }

    /// Builds the layers of a configuration one after the other; `what` is what errors call the list.
    ///
    /// # Errors
    /// If a layer does not fit its input: says which.
    pub fn build(what: &str, input: &[usize], configs: &[LayerConfig]) -> Result<Self, ShapeError> {
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        for (place, config) in configs.iter().enumerate() {
            let built = config.get().build(layers.last().map_or(input, |l| l.output()));
            layers.push(built.map_err(|e| ShapeError(format!("{what}[{place}] ({}): {e}", config.name())))?);
        }
        Ok(Self::new(input, layers))
    }
}

impl Layer for Sequential {
    fn parameters(&self) -> Vec<Parameter> {
        let named = |name: &str, p: Parameter| match name {
            "" => p,
            _ => Parameter { name: format!("{name}.{}", p.name), ..p },
        };
        self.layers.iter().flat_map(|(name, l)| l.parameters().into_iter().map(move |p| named(name, p))).collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let parts = self.layers.iter().zip(&self.parts);
        parts.fold(x, |x, ((_, layer), part)| layer.forward(w.part(part.clone()), x, keep))
    }
    fn backward(&self, w: View, keep: &mut Keep, mut dy: Tensor, taps: &mut Taps) -> Tensor {
        let wanted = taps.input_wanted;
        for (i, (_, layer)) in self.layers.iter().enumerate().rev() {
            taps.input_wanted = wanted || i > self.first;
            if taps.input_wanted || i == self.first {
                dy = layer.backward(w.part(self.parts[i].clone()), keep, dy, taps);
            }
        }
        taps.input_wanted = wanted;
        dy
    }
}
