//! Mean over each channel's image, PyTorch's `nn.AdaptiveAvgPool2d(1)` flattened.
use super::{Build, Keep, Layer, ShapeError, View, shape};
use crate::tap::Taps;
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "mean_image" }`: `[channels, height, width]` to `[channels]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeanImage {}

struct Built {
    output: [usize; 1],
    input: [usize; 3],
}

impl Build for MeanImage {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let input = shape::image("mean_image", input)?;
        shape::positive("mean_image", "height times width", input[1] * input[2])?;
        Ok(Box::new(Built { output: [input[0]], input }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, _: &mut Keep) -> Tensor {
        op::mean_pixels(&x)
    }
    fn backward(&self, _: View, _: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        let [c, h, w] = self.input;
        op::mean_pixels_backward(&dy, &[dy.rows(), c, h, w])
    }
}
