//! Operations, one a file: a forward and a backward as free functions on tensors.
//!
//! A backward takes the gradient of the loss by the output (`dy`) and returns the gradient by the input. Gradients by
//! parameters are not taken here: their factors go to [`per_example`], which knows norms, weighted sums and products
//! with a direction for three kinds of factors. Every operation accepts an empty batch.

mod activation;
mod attention;
mod avg_pool2d;
mod bias_rows;
mod border;
mod conv2d;
mod cross_entropy;
mod curve;
mod direct;
mod each;
mod embedding;
mod flat;
mod gather;
mod gelu;
mod group_norm;
mod keystream;
pub(crate) mod lanes;
mod layer_norm;
#[cfg(test)]
mod levels;
mod linear;
mod max_pool2d;
mod mean_squared_error;
mod means;
mod moved;
mod noised_walk;
mod one_position;
mod pairwise;
pub mod per_example;
mod positions;
mod relu;
mod rms_norm;
mod sigmoid_cross_entropy;
mod silu;
mod stacked;
mod standardise;
mod tanh;
mod unfold;
mod weigh_rows;

pub use activation::Activation;
pub use attention::{Attended, Attention, attention, attention_backward};
pub use avg_pool2d::{avg_pool2d, avg_pool2d_backward};
pub use bias_rows::{bias_rows_channels, bias_rows_last};
pub use conv2d::{conv2d, conv2d_backward, conv2d_then};
pub use cross_entropy::{argmax_rows, cross_entropy, token_cross_entropy};
pub use curve::{Curve, Weighing};
pub use each::in_vectors;
pub(crate) use each::rows_at_least;
pub use embedding::{LookedUp, Present, embedding, look_up, silence};
pub use flat::{adam_step, add_scaled, blend, blend_square, copy, finite, scale, square, walk, walk_all, walk_made};
pub use gather::{Table, add_to_each, pad_rows};
pub use gelu::{Approximation, gelu, gelu_backward, gelu_backward_sums};
pub use group_norm::{group_norm, group_norm_backward, group_norm_backward_onto};
pub use keystream::{Cipher, add_normals, coins, normals, words};
pub use layer_norm::{Normalised, layer_norm, layer_norm_backward, layer_norm_backward_onto, layer_norm_rows};
pub use linear::{linear, linear_backward, linear_onto, linear_then};
pub use max_pool2d::{max_pool2d, max_pool2d_backward, max_pool2d_only};
pub use mean_squared_error::mean_squared_error;
pub use means::{mean_pixels, mean_pixels_backward, mean_positions, mean_positions_backward};
pub use moved::{Beyond, Move, moved};
pub use noised_walk::{Noise, noised_walk};
pub use one_position::{Which, one_position};
pub use pairwise::{add, multiply};
pub use positions::sinusoidal;
pub use relu::{relu, relu_backward};
pub use rms_norm::{rms_norm, rms_norm_backward, rms_norm_backward_onto, rms_norm_rows};
pub use sigmoid_cross_entropy::sigmoid_cross_entropy;
pub use silu::{silu, silu_backward};
pub use stacked::stacked;
pub use standardise::{standardise, standardise_gradient, standardise_rows};
pub use tanh::{tanh, tanh_backward};
pub use unfold::{fold, unfold};
pub use weigh_rows::weigh_rows;
