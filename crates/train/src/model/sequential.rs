//! Layers one after the other, PyTorch's `nn.Sequential`: parameters are named by the layer's place, `0.weight`.
use crate::{
    layer::{Keep, Layer, Parameter, View},
    tap::Taps,
};
use engine::Tensor;
use std::ops::Range;

/// A chain of layers; itself a layer.
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
    parts: Vec<Range<usize>>,
    /// The first layer with parameters: before it nothing wants a gradient.
    first: usize,
    output: Vec<usize>,
}

impl Sequential {
    /// Layers in order; `input` is one example's shape, which is also the output's where there are no layers.
    pub fn new(input: &[usize], layers: Vec<Box<dyn Layer>>) -> Self {
        let counts = layers.iter().map(|layer| layer.parameters().len());
        let parts: Vec<Range<usize>> = counts
            .scan(0, |at, count| {
                *at += count;
                Some(*at - count..*at)
            })
            .collect();
        let first = parts.iter().position(|part| !part.is_empty()).unwrap_or(layers.len());
        let output = layers.last().map_or(input, |layer| layer.output()).to_vec();
        Sequential { layers, parts, first, output }
    }
}

impl Layer for Sequential {
    fn parameters(&self) -> Vec<Parameter> {
        let own = self.layers.iter().map(|layer| layer.parameters()).enumerate();
        let named = |i: usize, p: Parameter| Parameter { name: format!("{i}.{}", p.name), ..p };
        own.flat_map(|(i, inside)| inside.into_iter().map(move |p| named(i, p))).collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let parts = self.layers.iter().zip(&self.parts);
        parts.fold(x, |x, (layer, part)| layer.forward(w.part(part.clone()), x, keep))
    }
    fn backward(&self, w: View, keep: &mut Keep, mut dy: Tensor, taps: &mut Taps) -> Tensor {
        let wanted = taps.input_wanted;
        for (i, layer) in self.layers.iter().enumerate().rev() {
            taps.input_wanted = wanted || i > self.first;
            if taps.input_wanted || i == self.first {
                dy = layer.backward(w.part(self.parts[i].clone()), keep, dy, taps);
            }
        }
        taps.input_wanted = wanted;
        dy
    }
}
