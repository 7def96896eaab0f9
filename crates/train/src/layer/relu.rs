//! Rectified linear unit, PyTorch's `nn.ReLU`.
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{
    Tensor,
    op::{self, Activation},
};
use serde::{Deserialize, Serialize};

/// `{ layer = "relu" }`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

struct Built {
    output: Vec<usize>,
}

impl Build for Relu {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        Ok(Box::new(Built { output: input.to_vec() }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn activation(&self) -> Option<Activation> {
        Some(Activation::Relu)
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = op::relu(x);
        keep.push(|| y.clone());
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        op::relu_backward(&keep.pop::<Tensor>(), dy)
    }
}
