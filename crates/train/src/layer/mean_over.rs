//! Mean over the first axis of each example: pools the tokens of a text.
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::Tensor;
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
            [count, features] if count > 0 => Ok(Box::new(Built { count, output: [features] })),
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
    fn forward(&self, _: View, x: Tensor, _: &mut Keep) -> Tensor {
        let (n, d, share) = (x.rows(), self.output[0], 1.0 / self.count as f32);
        let mut y = Tensor::zeros([n, d]);
        for (y, x) in y.data_mut().chunks_mut(d).zip(x.data().chunks(d * self.count)) {
            for token in x.chunks(d) {
                y.iter_mut().zip(token).for_each(|(y, x)| *y += x * share);
            }
        }
        y
    }
    fn backward(&self, _: View, _: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        let (n, d, share) = (dy.rows(), self.output[0], 1.0 / self.count as f32);
        let mut dx = Tensor::zeros([n, self.count, d]);
        for (dx, dy) in dx.data_mut().chunks_mut(d * self.count).zip(dy.data().chunks(d)) {
            for token in dx.chunks_mut(d) {
                token.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * share);
            }
        }
        dx
    }
}
