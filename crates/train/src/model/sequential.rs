//! Layers one after the other, PyTorch's `nn.Sequential`: parameters are named by the layer's place, `0.weight`.
use crate::{
    layer::{Keep, Layer, LayerConfig, Parameter, ShapeError, View},
    tap::Taps,
};
use engine::{Tensor, op};
use std::ops::Range;

/// A chain of layers; itself a layer.
pub struct Sequential {
    layers: Vec<(String, Box<dyn Layer>)>,
    parts: Vec<Range<usize>>,
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
        let layers = fused(layers);
        let counts = layers.iter().map(|(_, layer)| layer.parameters().len());
        let parts: Vec<Range<usize>> = counts
            .scan(0, |at, count| {
                *at += count;
                Some(*at - count..*at)
            })
            .collect();
        let output = layers.last().map_or(input, |(_, layer)| layer.output()).to_vec();
        Sequential { layers, parts, output }
    }

    /// Whether there are no layers.
    pub(crate) fn is_empty(&self) -> bool {
        self.layers.is_empty()
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

impl Sequential {
    fn forward_of(&self, layers: Range<usize>, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (wanted, first) = (keep.input_wanted, self.first(w));
        let x = layers.fold(x, |x, i| {
            let (layer, part) = (&self.layers[i].1, w.part(self.parts[i].clone()));
            keep.input_wanted = wanted || i > first;
            keep.muted(!wanted && i < first, |keep| layer.forward(part, x, keep))
        });
        keep.input_wanted = wanted;
        x
    }

    /// The first layer with something to train: before it nothing wants a gradient.
    fn first(&self, w: View) -> usize {
        let trained = |part: &Range<usize>| w.part(part.clone()).is_trained();
        self.parts.iter().position(trained).unwrap_or(self.layers.len())
    }
}

/// The layers without the activations that the layers before them take over.
fn fused(layers: Vec<(String, Box<dyn Layer>)>) -> Vec<(String, Box<dyn Layer>)> {
    let mut kept: Vec<(String, Box<dyn Layer>)> = Vec::new();
    for (name, layer) in layers {
        let before = kept.last_mut().map(|(_, before)| before);
        if !layer.activation().zip(before).is_some_and(|(activation, before)| before.absorb(activation)) {
            kept.push((name, layer));
        }
    }
    kept
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
        self.forward_of(0..self.layers.len(), w, x, keep)
    }
    fn backward(&self, w: View, keep: &mut Keep, mut dy: Tensor, taps: &mut Taps) -> Tensor {
        let (wanted, first) = (taps.input_wanted, self.first(w));
        for (i, (_, layer)) in self.layers.iter().enumerate().rev() {
            taps.input_wanted = wanted || i > first;
            if taps.input_wanted || i == first {
                dy = layer.backward(w.part(self.parts[i].clone()), keep, dy, taps);
            }
        }
        taps.input_wanted = wanted;
        dy
    }
    fn forward_onto(&self, w: View, x: Tensor, sum: &Tensor, keep: &mut Keep) -> Tensor {
        let Some((last, (_, layer))) = self.layers.iter().enumerate().next_back() else { return op::add(x, sum) };
        let x = self.forward_of(0..last, w, x, keep);
        let (wanted, first) = (keep.input_wanted, self.first(w));
        keep.input_wanted = wanted || last > first;
        let part = w.part(self.parts[last].clone());
        let y = keep.muted(!wanted && last < first, |keep| layer.forward_onto(part, x, sum, keep));
        keep.input_wanted = wanted;
        y
    }
    fn backward_onto(&self, w: View, keep: &mut Keep, dy: Tensor, sum: &Tensor, taps: &mut Taps) -> Tensor {
        let Some((_, first)) = self.layers.first() else { return op::add(dy, sum) };
        let parts = self.layers.iter().zip(&self.parts).skip(1).rev();
        let dy = parts.fold(dy, |dy, ((_, layer), part)| layer.backward(w.part(part.clone()), keep, dy, taps));
        first.backward_onto(w.part(self.parts[0].clone()), keep, dy, sum, taps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::Config,
        data::{Batch, Targets},
        model::{Loss, Model, Weights},
    };
    use privacy::Key;

    /// A layer that neither takes over an activation nor is one.
    struct Alone(Box<dyn Layer>);

    impl Layer for Alone {
        fn parameters(&self) -> Vec<Parameter> {
            self.0.parameters()
        }
        fn output(&self) -> &[usize] {
            self.0.output()
        }
        fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
            self.0.forward(w, x, keep)
        }
        fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
            self.0.backward(w, keep, dy, taps)
        }
    }

    #[test]
    fn activations_taken_over_change_nothing() {
        let text = "[model]\nlayers = [{ layer = \"relu\" }, { layer = \"conv2d\", channels = 4, kernel = 3 }, { layer = \
                    \"tanh\" }, { layer = \"relu\" }, { layer = \"conv2d\", channels = 6, kernel = 2, bias = false }, { layer \
                    = \"group_norm\", groups = 3 }, { layer = \"relu\" }, { layer = \"group_norm\", groups = 2 }, { layer = \
                    \"tanh\" }, { layer = \"flatten\" }, { layer = \"linear\", features = 5 }, { layer = \"relu\" }, { layer \
                    = \"linear\", features = 3, bias = false }, { layer = \"tanh\" }]";
        let configs = Config::read("test", text, &[]).unwrap().model.layers;
        let input = [2, 6, 5];
        let targets = || Targets::Classes { labels: vec![2, 0], names: ["a", "b", "c"].map(str::to_owned).into() };
        let build = |alone: bool| {
            let mut layers: Vec<Box<dyn Layer>> = Vec::new();
            for config in &configs {
                let layer = config.get().build(layers.last().map_or(&input[..], |l| l.output())).unwrap();
                layers.push(if alone { Box::new(Alone(layer)) } else { layer });
            }
            Model::new(&input, layers, Loss::usual(&targets()), &targets()).unwrap()
        };
        let (fused, plain) = (build(false), build(true));
        assert_eq!(fused.layout(), plain.layout());
        assert_eq!((fused.network.layers.len(), plain.network.layers.len()), (10, 14));
        let seen = |model: &Model| {
            let weights = Weights::public(model.layout(), &Key::from_seed(3));
            let inputs = (0..120).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
            let batch = Batch { inputs, n: 2, shape: input.to_vec(), targets: targets() };
            model.taps(&weights, batch).rows().into_iter().flat_map(Tensor::into_data).collect::<Vec<f32>>()
        };
        assert_eq!(seen(&fused), seen(&plain));
    }

    /// Passes everything on, and counts: what a forward might keep, and gradients that come by.
    struct Counts([usize; 1], std::sync::Arc<[std::sync::atomic::AtomicUsize; 2]>);

    impl Layer for Counts {
        fn output(&self) -> &[usize] {
            &self.0
        }
        fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
            self.1[0].fetch_add(usize::from(keep.is_training()), std::sync::atomic::Ordering::Relaxed);
            x
        }
        fn backward(&self, _: View, _: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
            self.1[1].fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            dy
        }
    }

    /// Of five places between four linear layers, those above the lowest trained layer keep and are gone back through; nothing below is.
    #[test]
    fn nothing_below_the_lowest_trained_parameter_is_kept_or_gone_back_through() {
        use crate::{grads::How, layer::LayerConfig};
        let targets = || Targets::Classes { labels: vec![2, 0], names: ["a", "b", "c"].map(str::to_owned).into() };
        let linear: LayerConfig = toml::from_str("layer = \"linear\"\nfeatures = 3").unwrap();
        for lowest in 0..4 {
            let counts: Vec<std::sync::Arc<[std::sync::atomic::AtomicUsize; 2]>> =
                (0..5).map(|_| Default::default()).collect();
            let layers = (0..9).map(|i| -> Box<dyn Layer> {
                match i % 2 {
                    0 => Box::new(Counts([3], counts[i / 2].clone())),
                    _ => linear.get().build(&[3]).unwrap(),
                }
            });
            let model = Model::new(&[3], layers.collect(), Loss::CrossEntropy, &targets()).unwrap();
            let how: Vec<How> = (0..8).map(|p| if p / 2 == lowest { How::Train } else { How::Freeze }).collect();
            let model = model.with(&how).unwrap();
            let read = |k: usize| {
                counts.iter().map(move |c| c[k].load(std::sync::atomic::Ordering::Relaxed)).collect::<Vec<_>>()
            };
            let before = [read(0), read(1)];
            let batch = Batch { inputs: vec![0.5; 6], n: 2, shape: vec![3], targets: targets() };
            let weights = Weights::public(model.layout(), &Key::from_seed(3));
            drop(model.taps(&weights, batch));
            for k in [0, 1] {
                let news: Vec<usize> = read(k).iter().zip(&before[k]).map(|(a, b)| a - b).collect();
                let wanted: Vec<usize> = (0..5).map(|place| usize::from(place > lowest)).collect();
                assert_eq!(news, wanted, "lowest {lowest}, {k}");
            }
        }
    }
}
