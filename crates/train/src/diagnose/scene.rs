//! What is looked at: a model at one point of its training, some examples, and the public numbers of a step.
use crate::{
    clip::ClipRule,
    data::{Batch, Examples},
    grads::{Grads, Layout},
    model::{Model, Weights},
};
use engine::Tensor;
use privacy::{Key, Sum};
use std::{collections::HashMap, sync::Arc};

/// The public numbers of the step that is imagined.
pub struct Setting {
    /// The rule that is looked at, as it starts out, and its name; after it, others at the same bound.
    pub rules: Vec<(String, Box<dyn ClipRule>)>,
    /// Those of them that learn, and are shown as they start out.
    pub learning: Vec<String>,
    /// What must be known about the rules that are shown, and those that are not.
    pub notes: Vec<String>,
    /// How far one example may move the sum under it, `C`.
    pub bound: f64,
    /// Standard deviation of the noise over the bound, `z`; 0 where the configuration is not private.
    pub noise_multiplier: f64,
    /// Examples in a step on average, `m`.
    pub lot: f64,
    /// The probability with which an example takes part in a step, `q`.
    pub sample_rate: f64,
    /// Where random directions and permutations come from; public.
    pub key: Key,
    /// Examples held in memory at once.
    pub chunk: usize,
    /// Eigenvalues of the Hessian to look for.
    pub eigenvalues: usize,
}

/// A model at one point, and the examples it is looked at on.
pub struct Scene<'a> {
    /// The model.
    pub model: &'a Model,
    /// The point.
    pub weights: &'a Weights,
    /// Another point to compare with, if any, and what it is called.
    pub other: Option<(&'a Weights, String)>,
    /// Examples whose gradients may be looked at.
    pub examples: &'a Examples,
    /// Which of them.
    pub who: Vec<usize>,
    /// The public numbers.
    pub setting: &'a Setting,
}

impl Scene<'_> {
    /// The examples of `who`, a chunk at a time, with their places in `who`.
    pub fn chunks<'b>(&'b self, who: &'b [usize]) -> impl Iterator<Item = (std::ops::Range<usize>, Batch)> + 'b {
        let size = self.setting.chunk.max(1);
        who.chunks(size).enumerate().map(move |(k, part)| {
            let from = k * size;
            (from..from + part.len(), self.examples.gather(part))
        })
    }

    /// The mean gradient of the loss over the examples, at another point.
    pub fn gradient_at(&self, point: &Grads) -> Grads {
        let weights = self.weights.at(point);
        let mut sum = Grads::zeros(self.model.layout());
        for (_, batch) in self.chunks(&self.who) {
            let taps = self.model.taps(&weights, batch);
            let ones = taps.finite().into_data();
            sum = sum.add(taps.sum(&ones, &vec![0; taps.parameters()], 1));
        }
        sum.scale(1.0 / self.who.len().max(1) as f64)
    }

    /// The mean loss over the examples, and the share of right answers where there are classes, at another point.
    pub fn loss_at(&self, point: &Grads) -> (f64, Option<f64>) {
        let weights = self.weights.at(point);
        let (mut loss, mut hits, mut classes) = (0.0, 0, false);
        for (_, batch) in self.chunks(&self.who) {
            let inputs = Tensor::new([&[batch.n], batch.shape.as_slice()].concat(), batch.inputs);
            let outputs = self.model.outputs(&weights, inputs);
            let (losses, _) = self.model.loss().apply(outputs.clone(), &batch.targets);
            loss += losses.data().iter().map(|l| f64::from(*l)).sum::<f64>();
            if let Some(right) = self.model.loss().hits(&outputs, &batch.targets) {
                hits += right;
                classes = true;
            }
        }
        let n = self.who.len().max(1) as f64;
        (loss / n, classes.then(|| hits as f64 / n))
    }
}

/// Weights of a model that is trained whole, at a point of parameter space, to be looked at and thrown away.
pub(crate) fn at(layout: &Arc<Layout>, point: &Grads) -> Weights {
    // In recycled storage, since many points may be looked at.
    let tensor = |p: usize| {
        let mut tensor = Tensor::zeros(layout.parameters()[p].shape.clone());
        tensor.data_mut().copy_from_slice(point.parameter(p));
        tensor
    };
    let named: HashMap<String, Tensor> =
        layout.parameters().iter().enumerate().map(|(p, parameter)| (parameter.name.clone(), tensor(p))).collect();
    Weights::from_public(layout, named).unwrap_or_else(|e| unreachable!("weights in their own layout: {e}"))
}

/// The inner product, in f64.
pub(super) fn inner(a: &Grads, b: &Grads) -> f64 {
    let blocks = a.flat().chunks(1 << 14).zip(b.flat().chunks(1 << 14));
    blocks.map(|(a, b)| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()).sum()
}
