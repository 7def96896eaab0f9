//! Largest of each window, PyTorch's `nn.MaxPool2d`.
use super::{Build, Keep, Layer, Pair, ShapeError, View, shape};
use crate::tap::Taps;
use engine::{Indices, Tensor, Window, op};
use serde::{Deserialize, Serialize};

fn zero() -> Pair {
    Pair::Both(0)
}

/// `{ layer = "max_pool2d", kernel = 2, stride = 2, padding = 0 }`; the stride defaults to the kernel, as in PyTorch.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// Height and width of the window.
    pub kernel: Pair,
    /// Steps between windows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stride: Option<Pair>,
    /// Minus infinity around the image; at most half the kernel.
    #[serde(default = "zero")]
    pub padding: Pair,
}

struct Built {
    window: Window,
    output: [usize; 3],
}

impl Build for MaxPool2d {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let input = shape::image("max_pool2d", input)?;
        let [kernel, padding] = [self.kernel.get(), self.padding.get()];
        if padding[0] * 2 > kernel[0] || padding[1] * 2 > kernel[1] {
            return Err(ShapeError("max_pool2d: padding is at most half the kernel".into()));
        }
        let window = Window { kernel, stride: self.stride.unwrap_or(self.kernel).get(), padding };
        let [h, w] = shape::slide("max_pool2d", input, window)?;
        Ok(Box::new(Built { window, output: [input[0], h, w] }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (y, argmax) = op::max_pool2d(&x, self.window);
        keep.push(|| (x.shape().to_vec(), argmax));
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        let (shape, argmax): (Vec<usize>, Indices) = keep.pop();
        op::max_pool2d_backward(&dy, &argmax, &shape, self.window)
    }
}
