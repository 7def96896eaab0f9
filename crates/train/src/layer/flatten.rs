//! All axes of an example into one, PyTorch's `nn.Flatten`.
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::Tensor;
use serde::{Deserialize, Serialize};

/// `{ layer = "flatten" }`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

struct Built {
    output: [usize; 1],
}

impl Build for Flatten {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        Ok(Box::new(Built { output: [input.iter().product()] }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        keep.push(|| x.shape().to_vec());
        let n = x.rows();
        x.reshape([n, self.output[0]])
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        dy.reshape(keep.pop::<Vec<usize>>())
    }
}
