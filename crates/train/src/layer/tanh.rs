//! Hyperbolic tangent, PyTorch's `nn.Tanh`. Bounded activations suit DP-SGD (Papernot et al. 2021, arXiv 2007.14191).
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{
    Tensor,
    op::{self, Activation},
};
use serde::{Deserialize, Serialize};

/// `{ layer = "tanh" }`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tanh {}

struct Built {
    output: Vec<usize>,
}

impl Build for Tanh {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        Ok(Box::new(Built { output: input.to_vec() }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn activation(&self) -> Option<Activation> {
        Some(Activation::Tanh)
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = op::tanh(x);
        keep.push(|| y.clone());
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        op::tanh_backward(&keep.pop::<Tensor>(), dy)
    }
}
