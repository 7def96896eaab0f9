//! Sigmoid linear unit, `x sigmoid(x)`, PyTorch's `nn.SiLU` (Elfwing, Uchibe & Doya 2018, arXiv 1702.03118).
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "silu" }`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silu {}

struct Built {
    output: Vec<usize>,
}

impl Build for Silu {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        Ok(Box::new(Built { output: input.to_vec() }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = op::silu(&x);
        keep.push(|| x);
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        op::silu_backward(&keep.pop(), dy)
    }
}
