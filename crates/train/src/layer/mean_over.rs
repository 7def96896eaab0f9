//! Mean over the first axis of each example: pools the tokens of a text. Empty positions are not counted.
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
            [count, features] if count > 0 && features > 0 => Ok(Box::new(Built { count, output: [features] })),
            _ => Err(ShapeError(format!(
                "mean_over takes examples of shape [tokens, features], but its input is {input:?}"
            ))),
        }
    }
}

impl Built {
    /// What each token of `row` counts for; an example without tokens has a mean of zero.
    fn shares(&self, keep: &Keep, row: usize) -> Vec<f32> {
        let Some(present) = keep.present() else { return vec![1.0 / self.count as f32; self.count] };
        let present = &present[row * self.count..][..self.count];
        let share = 1.0 / present.iter().filter(|p| **p).count().max(1) as f32;
        present.iter().map(|p| if *p { share } else { 0.0 }).collect()
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (n, d) = (x.rows(), self.output[0]);
        let mut y = Tensor::zeros([n, d]);
        for (row, y) in y.data_mut().chunks_mut(d).enumerate() {
            for (token, share) in x.row(row).chunks(d).zip(self.shares(keep, row)).filter(|(_, s)| *s > 0.0) {
                y.iter_mut().zip(token).for_each(|(y, x)| *y += x * share);
            }
        }
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        let (n, d) = (dy.rows(), self.output[0]);
        let mut dx = Tensor::zeros([n, self.count, d]);
        for (row, dx) in dx.data_mut().chunks_mut(d * self.count).enumerate() {
            for (token, share) in dx.chunks_mut(d).zip(self.shares(keep, row)).filter(|(_, s)| *s > 0.0) {
                token.iter_mut().zip(dy.row(row)).for_each(|(dx, dy)| *dx = dy * share);
            }
        }
        dx
    }
}
