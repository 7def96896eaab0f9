//! Mean over the first axis of each example: pools the tokens of a text. Empty positions are not counted.
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "mean_over" }`: `[tokens, features]` to `[features]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanOver {}

struct Built {
    count: usize,
    output: [usize; 1],
}

impl Build for MeanOver {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        match *input {
            [count, features] if count > 0 && features > 0 => Ok(Box::new(Built { count, output: [features] })),
            _ => Err(ShapeError(format!(
                "mean_over takes examples of shape [tokens, features], but its input is {input:?}"
            ))),
        }
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        op::mean_positions(&x, keep.present().as_deref())
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        op::mean_positions_backward(&dy, self.count, keep.present().as_deref())
    }
}
