//! Layers: forward, and a backward that leaves taps instead of computing parameter gradients.
//!
//! A layer file holds its configuration (what a user writes), its parameters under PyTorch's names and layouts, its
//! forward and its backward. A new layer is one file and one word in the list below.
//!
//! # Why this is private
//! *Claim.* For every example, the taps that `backward` leaves are that example's own gradient, whole.
//! *Argument.* Layer files are trusted: a tap that under-counts breaks the clip bound and nothing downstream notices.
//! So they are few, each works row by row, and each goes through the list of `layer/tests.rs`: against one example at
//! a time, against finite differences, and against a disturbed neighbour in the same batch.
//! *Tests.* `layer::tests::*`, and at every start of a run `model::check`.
mod keep;
mod shape;
#[cfg(test)]
mod tests;

use crate::{grads::Place, model::Weights, registry::registry, tap::Taps};
use engine::{
    Tensor,
    op::{self, Activation},
};
pub use gelu::Approximate;
pub use keep::{Coins, Keep};
pub use shape::{Pair, ShapeError};
pub use token::Which;
pub use transformer::Place as NormPlace;

registry! {
    /// A layer as a configuration names it: `{ layer = "conv2d", channels = 16, kernel = 8 }`.
    LayerConfig by "layer" as Build:
    linear::Linear = "linear", "fully connected: y = x W^T + b on the last axis";
    conv2d::Conv2d = "conv2d", "2-D convolution over [channels, height, width]";
    relu::Relu = "relu", "max(x, 0)";
    tanh::Tanh = "tanh", "hyperbolic tangent, the usual choice under DP (bounded activations)";
    gelu::Gelu = "gelu", "Gaussian error linear unit, exact or tanh form";
    silu::Silu = "silu", "x sigmoid(x), also called swish";
    dropout::Dropout = "dropout", "zeroes a share of the numbers in training";
    max_pool2d::MaxPool2d = "max_pool2d", "largest of each window";
    avg_pool2d::AvgPool2d = "avg_pool2d", "mean of each window";
    layer_norm::LayerNorm = "layer_norm", "normalises the last axis of each example";
    group_norm::GroupNorm = "group_norm", "normalises groups of channels of each example";
    rms_norm::RmsNorm = "rms_norm", "scales the last axis of each example by its root mean square";
    embedding::Embedding = "embedding", "token ids to rows of a table";
    tied_embedding::TiedEmbedding = "tied_embedding", "token embedding whose table is the output head too";
    positions::Positions = "positions", "adds learned or sinusoidal positions to tokens";
    token_types::TokenTypes = "token_types", "adds the first row of a table of token types (BERT)";
    attention::Attention = "attention", "multi-head self-attention, causal or not";
    transformer::Transformer = "transformer", "encoder or decoder blocks, pre- or post-norm";
    residual::Residual = "residual", "adds its input to what its layers make of it";
    ws_conv2d::WsConv2d = "ws_conv2d", "2-D convolution with standardised weights";
    wide_resnet::WideResNet = "wide_resnet", "wide residual network with group normalisation";
    mean_image::MeanImage = "mean_image", "mean over each channel's image";
    flatten::Flatten = "flatten", "[..] to one axis";
    token::Token = "token", "the first or last token of each text";
    mean_over::MeanOver = "mean_over", "mean over the first axis of each example (tokens)";
}

/// How a parameter starts. None of these looks at data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Uniform on `[-bound, bound]`.
    Uniform(f32),
    /// Normal with this standard deviation.
    Normal(f32),
    /// The same number everywhere.
    Constant(f32),
}

impl Init {
    /// PyTorch's default for linear and convolution layers: `kaiming_uniform(a = sqrt 5)`, that is
    /// `U(-1/sqrt(fan_in), 1/sqrt(fan_in))`, for weights and biases alike.
    pub fn pytorch(fan_in: usize) -> Self {
        Init::Uniform((1.0 / (fan_in.max(1) as f64).sqrt()) as f32)
    }
}

/// One trainable tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// PyTorch's name inside its module, such as `weight`; in a model, with the module's path in front.
    pub name: String,
    /// PyTorch's layout.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
}

impl Parameter {
    /// A parameter.
    pub fn new(name: &str, shape: impl Into<Vec<usize>>, init: Init) -> Self {
        Parameter { name: name.into(), shape: shape.into(), init }
    }
    /// How many numbers it has.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }
    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The parameters of one layer, as it may see them: by its own numbering.
#[derive(Clone, Copy)]
pub struct View<'a> {
    weights: &'a Weights,
    places: &'a [Place],
}

impl<'a> View<'a> {
    /// Of `weights`, those at `places`.
    pub(crate) fn new(weights: &'a Weights, places: &'a [Place]) -> Self {
        View { weights, places }
    }
    /// This layer's `k`-th parameter.
    pub fn get(&self, k: usize) -> &'a Tensor {
        self.weights.tensor(self.places[k])
    }
    /// How many parameters the layer has.
    pub fn len(&self) -> usize {
        self.places.len()
    }
    /// Whether the layer has none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
    /// The model-wide number of this layer's `k`-th parameter, under which its tap is left; none where nobody wants one, since the
    /// parameter is frozen.
    pub fn id(&self, k: usize) -> Option<usize> {
        match self.places[k] {
            Place::Trained(p) => Some(p),
            Place::Adapted(a) => Some(self.weights.layout().parameters().len() + a),
            Place::Frozen(_) => None,
        }
    }
    /// Whether any of the layer's parameters has a gradient that is wanted.
    pub fn is_trained(&self) -> bool {
        (0..self.len()).any(|k| self.id(k).is_some())
    }
    /// The part that belongs to a layer inside this one.
    pub fn part(&self, range: std::ops::Range<usize>) -> View<'a> {
        View { weights: self.weights, places: &self.places[range] }
    }
}

/// One layer. Works row by row: what it computes for an example depends on that example and the weights alone.
pub trait Layer: Send + Sync {
    /// The parameters, in the layer's own order.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }
    /// The shape of one example's output.
    fn output(&self) -> &[usize];
    /// The activation that this layer is, if it is nothing else.
    fn activation(&self) -> Option<Activation> {
        None
    }
    /// Takes over the activation right after this layer, if it can: its output, and the gradient that `backward` is handed, are
    /// the activation's from then on.
    fn absorb(&mut self, activation: Activation) -> bool {
        let _ = activation;
        false
    }
    /// `x` is `[n, ...]`; returns `[n, output...]`.
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor;
    /// `dy` is the gradient of each example's OWN loss with respect to this layer's output. Leaves a tap for every
    /// parameter (of a frozen one it is not taken) and returns the gradient with respect to the input, or anything where `taps.input_wanted` is false.
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor;
    /// As `forward`, added to `sum`, of the output's shape: for layers that can do both in one pass.
    fn forward_onto(&self, w: View, x: Tensor, sum: &Tensor, keep: &mut Keep) -> Tensor {
        op::add(self.forward(w, x, keep), sum)
    }
    /// As `backward` where the gradient with respect to the input is wanted, added to `sum`, of the input's shape.
    fn backward_onto(&self, w: View, keep: &mut Keep, dy: Tensor, sum: &Tensor, taps: &mut Taps) -> Tensor {
        op::add(self.backward(w, keep, dy, taps), sum)
    }
}

/// A table that token ids are looked up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Ids it knows: those below.
    pub vocabulary: usize,
    /// The id of positions that hold nothing.
    pub padding: Option<u32>,
    /// Whether it is the output head as well.
    pub tied: bool,
}

/// What a layer's configuration can do: make the layer for a given shape of one example's input.
pub trait Build: Send + Sync {
    /// The layer, or why these fields and this input do not go together.
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError>;
    /// What its table knows, for layers that take token ids.
    fn table(&self) -> Option<Table> {
        None
    }
}
