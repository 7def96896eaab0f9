//! What a model says of examples, and what it is worth on those that are declared public.
use super::{Model, Weights, inputs};
use crate::data::{Batch, Examples, Targets};
use engine::{Device, Tensor};

/// Examples scored at a time.
const MOST: usize = 256;
/// Outputs held at a time, unless one example has more (64 MiB).
const OUTPUTS: usize = 1 << 24;

/// What evaluation adds up over public examples.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Mean loss of an example.
    pub loss: f64,
    /// Share of examples whose most likely class is right; none for targets that are numbers.
    pub accuracy: Option<f64>,
    /// Mean loss of a token over the tokens of all examples, in nats; none where targets are no tokens.
    pub token_loss: Option<f64>,
    /// The tokens' loss in bits, by the bytes of text that they spell; none where that is not known.
    pub bits_per_byte: Option<f64>,
}

impl Score {
    /// How many tokens the model wavers between: `e` to the loss of a token.
    pub fn perplexity(&self) -> Option<f64> {
        self.token_loss.map(f64::exp)
    }
}

/// Sums over examples.
#[derive(Default)]
struct Sums {
    loss: f64,
    hits: Option<usize>,
    nats: f64,
    tokens: usize,
}

impl Model {
    /// Scores PUBLIC examples.
    pub fn score(&self, weights: &Weights, examples: &Examples) -> Score {
        let mut sums = Sums::default();
        let size = (OUTPUTS / examples.outputs().max(1)).clamp(1, MOST);
        examples.chunks(size).for_each(|batch| self.add(weights, batch, &mut sums));
        let n = examples.len().max(1) as f64;
        let nats = (sums.tokens > 0).then_some(sums.nats);
        let bytes = examples.spelled().filter(|bytes| *bytes > 0);
        Score {
            loss: sums.loss / n,
            accuracy: sums.hits.map(|hits| hits as f64 / n),
            token_loss: nats.map(|nats| nats / sums.tokens as f64),
            bits_per_byte: nats.zip(bytes).map(|(nats, bytes)| nats / std::f64::consts::LN_2 / bytes as f64),
        }
    }

    /// Outputs `[n, k]` for all examples in order, some at a time and on the host, each with its targets.
    pub fn answers<'a>(
        &'a self,
        weights: &'a Weights,
        examples: &'a Examples,
    ) -> impl Iterator<Item = (Tensor, Targets)> + 'a {
        examples.chunks(256).map(|batch| {
            let inputs = inputs(batch.inputs, batch.n, &batch.shape).to(weights.layout().device());
            (self.outputs(weights, inputs).to(Device::Cpu), batch.targets)
        })
    }

    fn add(&self, weights: &Weights, batch: Batch, sums: &mut Sums) {
        let inputs = inputs(batch.inputs, batch.n, &batch.shape).to(weights.layout().device());
        let mut outputs = self.outputs(weights, inputs);
        if matches!(batch.targets, Targets::Classes { .. }) {
            outputs = outputs.to(Device::Cpu);
            let hits = self.loss.hits(&outputs, &batch.targets).unwrap_or_default();
            *sums.hits.get_or_insert(0) += hits;
        }
        let losses = self.loss.apply(outputs, &batch.targets).0.to(Device::Cpu);
        sums.loss += losses.data().iter().map(|loss| f64::from(*loss)).sum::<f64>();
        let Targets::Tokens { width, ids, .. } = &batch.targets else { return };
        for (loss, ids) in losses.data().iter().zip(ids.chunks_exact(*width)) {
            let counted = ids.iter().filter(|id| **id != Targets::NO_TOKEN).count();
            sums.nats += f64::from(*loss) * counted as f64;
            sums.tokens += counted;
        }
    }
}
