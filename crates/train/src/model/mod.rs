//! What layers are put together into: a model with named parameters, a loss, and a gradient for every example.
mod check;
mod ids;
mod loss;
mod pattern;
mod score;
mod sequential;
mod start;
mod tuning;
mod weights;

use crate::{
    data::{Batch, Examples, Targets, Tokens},
    grads::{How, Layout},
    layer::{Coins, Keep, Layer, LayerConfig, ShapeError},
    tap::Taps,
};
use engine::{Device, Tensor};
pub use loss::Loss;
pub use pattern::Patterns;
pub use score::Score;
pub use sequential::Sequential;
use serde::{Deserialize, Serialize};
pub use start::{Start, StartError, Stored};
use std::{path::PathBuf, sync::Arc};
pub use tuning::Lora;
pub use weights::Weights;

/// What a user writes of a model: its layers in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The loss; by default the usual one for the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<Loss>,
    /// The folder of a published language model, which is PUBLIC: what its files say takes the place of `layers`, `weights` and the tokenizer
    /// where these are not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<PathBuf>,
    /// Weights to start from, and what they may have seen: `{ public = "file.safetensors" }`, or `{ run = "folder" }`, a Secateur run on the
    /// same data, whose cost is carried on. By default fresh ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<Start>,
    /// The parameters that start fresh, whatever `weights` holds: `["head.*"]`.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub fresh: Patterns,
    /// The parameters that are trained; by default all: `["*.bias", "head.*"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainable: Option<Patterns>,
    /// The parameters that stay as they start: neither measured nor noised nor moved.
    #[serde(default, skip_serializing_if = "Patterns::is_empty")]
    pub frozen: Patterns,
    /// What is trained beside frozen matrices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<Lora>,
    /// The layers.
    #[serde(default)]
    pub layers: Vec<LayerConfig>,
}

/// A model that cannot be built or must not be trained.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// A layer does not fit its input.
    #[error(transparent)]
    Layer(#[from] ShapeError),
    /// The model's output is not what the targets need.
    #[error(
        "the model puts out {got:?} for each example, but the targets need {wanted:?}: end with {{ layer = \"linear\", features = {} }}",
        wanted.last().unwrap_or(&1)
    )]
    Output {
        /// The model's output shape.
        got: Vec<usize>,
        /// What the targets need.
        wanted: Vec<usize>,
    },
    /// The model does not fit the token ids of the data.
    #[error("{0}")]
    Tokens(String),
    /// The loss cannot learn the targets.
    #[error("model.loss: {0}")]
    Loss(String),
    /// What is to be trained makes no sense.
    #[error("{0}")]
    Tuning(String),
    /// There is nothing to train.
    #[error("the model has no parameters to train")]
    NoParameters,
    /// A parameter whose gradient nobody reports would be trained without a bound.
    #[error("no gradient is reported for {0:?}: every trainable parameter must be tapped")]
    Untapped(Vec<String>),
    /// A layer mixes examples, so no clipping of single examples can bound what one of them does.
    #[error(
        "example {0} changes when another example of its batch does: a layer mixes examples, which private training cannot allow"
    )]
    Mixes(usize),
}

/// Activations that stay in a thread's second cache, with the gradients that become of them (1 MiB).
const CACHED: usize = 1 << 18;

/// A network and its loss.
pub struct Model {
    network: Arc<Sequential>,
    loss: Loss,
    input: Vec<usize>,
    layout: Arc<Layout>,
}

impl Model {
    /// Builds the configured layers for `examples`, and checks the result as [`Model::new`] does; where they are texts, that
    /// the model knows their ids, and does not look at tokens that it is to predict.
    ///
    /// # Errors
    /// As [`Model::new`], and what does not fit the ids.
    pub fn of_data(config: &ModelConfig, examples: &Examples) -> Result<Self, ModelError> {
        Model::for_ids(config, examples.shape(), &examples.gather(&[]).targets, examples.tokens())
    }

    /// As [`Model::of_data`], without any examples.
    ///
    /// # Errors
    /// As [`Model::of_data`].
    pub fn for_ids(
        config: &ModelConfig,
        input: &[usize],
        targets: &Targets,
        tokens: Option<Tokens>,
    ) -> Result<Self, ModelError> {
        tokens.map_or(Ok(()), |tokens| ids::fit(config, tokens)).map_err(ModelError::Tokens)?;
        let model = Model::build(config, input, targets)?;
        tokens.map_or(Ok(()), |tokens| ids::not_ahead(&model, tokens)).map_err(ModelError::Tokens)?;
        Ok(model)
    }

    /// Builds the configured layers for examples like `like`, and checks the result as [`Model::new`] does.
    pub fn build(config: &ModelConfig, input: &[usize], targets: &Targets) -> Result<Self, ModelError> {
        let network = Arc::new(Sequential::build("model.layers", input, &config.layers)?);
        let how = tuning::resolve(config, &network.parameters()).map_err(ModelError::Tuning)?;
        Model::of(network, &how, input, config.loss.unwrap_or(Loss::usual(targets)), targets)
    }

    /// Puts layers together, for examples of shape `input` and targets like `targets`.
    ///
    /// # Errors
    /// If the output does not fit the targets, if there is nothing to train, if a parameter is never tapped, or if a
    /// layer mixes examples (tried out on made-up inputs).
    pub fn new(
        input: &[usize],
        layers: Vec<Box<dyn Layer>>,
        loss: Loss,
        targets: &Targets,
    ) -> Result<Self, ModelError> {
        let network = Arc::new(Sequential::new(input, layers));
        let how = vec![How::Train; network.parameters().len()];
        Model::of(network, &how, input, loss, targets)
    }

    fn of(
        network: Arc<Sequential>,
        how: &[How],
        input: &[usize],
        loss: Loss,
        targets: &Targets,
    ) -> Result<Self, ModelError> {
        let layout = Layout::split(network.parameters(), how);
        let model = Model { network, loss, input: input.to_vec(), layout };
        model.fits(targets)?;
        check::every_parameter_is_tapped(&model, targets)?;
        check::examples_stay_apart(&model, targets)?;
        Ok(model)
    }

    fn fits(&self, targets: &Targets) -> Result<(), ModelError> {
        self.loss.check(targets).map_err(ModelError::Loss)?;
        if self.layout.is_empty() {
            return Err(ModelError::NoParameters);
        }
        let (got, wanted) = (self.network.output(), self.loss.outputs(targets));
        if got == wanted { Ok(()) } else { Err(ModelError::Output { got: got.to_vec(), wanted }) }
    }

    /// The same network with another choice of what is trained.
    #[cfg(test)]
    pub(crate) fn with(&self, how: &[How]) -> Result<Self, ModelError> {
        let targets = Targets::Classes { labels: vec![], names: ["a", "b", "c"].map(str::to_owned).into() };
        Model::of(self.network.clone(), how, &self.input, self.loss, &targets)
    }

    /// The parameters.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The loss.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// The shape of one example.
    pub fn input(&self) -> &[usize] {
        &self.input
    }

    /// Outputs `[n, k]` for inputs `[n, ...]`.
    pub fn outputs(&self, weights: &Weights, inputs: Tensor) -> Tensor {
        self.run(weights, inputs, &mut Keep::evaluation())
    }

    /// How many examples of a chunk a thread looks at by itself: about as many as keep their activations in its cache, but
    /// not so few that packing the weights and adding up gradients, once a piece, counts; the whole chunk of a model for
    /// which that is too many for the cache.
    pub(crate) fn piece(&self, chunk: usize, device: Device) -> usize {
        let least = 4 * self.layout.total();
        let fit = CACHED.max(least).div_ceil(self.network.numbers().max(1));
        let count = 1 << (chunk / fit.max(1)).max(1).ilog2();
        let heavy = least > 2 * CACHED;
        if device != Device::Cpu || heavy { chunk.max(1) } else { chunk.div_ceil(count).max(1) }
    }

    fn run(&self, weights: &Weights, inputs: Tensor, keep: &mut Keep) -> Tensor {
        self.network.forward(weights.view(), inputs, keep)
    }

    /// Every example's gradient of its own loss: one forward, one backward of activations, nothing multiplied out.
    /// Nothing is dropped out.
    pub fn taps(&self, weights: &Weights, batch: Batch) -> Taps {
        let inputs = inputs(batch.inputs, batch.n, &batch.shape).to(weights.layout().device());
        let taps = Taps::new(batch.n, weights.layout()).beside(weights.adapted());
        self.look(weights, inputs, &batch.targets, Keep::training(), taps)
    }

    /// As [`Model::taps`], with the coins of dropout, for inputs `[n, ..]` on the weights' device: of each record, or where `shares` say how
    /// many records are one person's and what each counts, of each person; `measured` where their norms will be asked for.
    pub fn taps_with(
        &self,
        weights: &Weights,
        (x, targets): (Tensor, &Targets),
        coins: Coins,
        shares: Option<(usize, Vec<f32>)>,
        measured: bool,
    ) -> Taps {
        let n = x.rows() / shares.as_ref().map_or(1, |(each, _)| *each);
        let taps = Taps::new(n, weights.layout()).beside(weights.adapted());
        let taps = match shares {
            Some((each, shares)) => taps.of_people(each, shares),
            None => taps,
        };
        let taps = if measured { taps.measured() } else { taps };
        self.look(weights, x, targets, Keep::with_coins(coins), taps)
    }

    pub(crate) fn look(
        &self,
        weights: &Weights,
        inputs: Tensor,
        targets: &Targets,
        mut keep: Keep,
        mut taps: Taps,
    ) -> Taps {
        keep.input_wanted = false;
        let outputs = self.run(weights, inputs, &mut keep);
        let (losses, dy) = self.loss.apply(outputs, targets);
        let (losses, dy) = taps.shared(losses, dy);
        taps.losses = Some(losses);
        taps.input_wanted = false;
        self.network.backward(weights.view(), &mut keep, dy, &mut taps);
        taps
    }

    /// Every example's loss, with nothing dropped out.
    pub fn losses(&self, weights: &Weights, batch: Batch) -> Vec<f32> {
        let inputs = inputs(batch.inputs, batch.n, &batch.shape).to(weights.layout().device());
        self.loss.apply(self.outputs(weights, inputs), &batch.targets).0.into_data()
    }
}

fn inputs(rows: Vec<f32>, n: usize, shape: &[usize]) -> Tensor {
    Tensor::new([&[n], shape].concat(), rows)
}
