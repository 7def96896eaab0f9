//! 2-D convolution, PyTorch's `nn.Conv2d` (no groups, no dilation).
use super::{Build, Init, Keep, Layer, Pair, Parameter, ShapeError, View, shape};
use crate::tap::{Factor, Product, Rows, Taps};
use engine::{
    Tensor, Window,
    op::{self, Activation},
};
use serde::{Deserialize, Serialize};

pub(super) fn yes() -> bool {
    true
}
pub(super) fn one() -> Pair {
    Pair::Both(1)
}
pub(super) fn zero() -> Pair {
    Pair::Both(0)
}

/// `{ layer = "conv2d", channels = 16, kernel = 8, stride = 2, padding = 3 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: Pair,
    /// Steps between windows.
    #[serde(default = "one")]
    pub stride: Pair,
    /// Zeros around the image.
    #[serde(default = "zero")]
    pub padding: Pair,
    /// Whether a bias is added.
    #[serde(default = "yes")]
    pub bias: bool,
}

struct Built {
    input: [usize; 3],
    window: Window,
    bias: bool,
    output: [usize; 3],
    activation: Option<Activation>,
}

impl Conv2d {
    pub(super) fn window(&self) -> Window {
        Window { kernel: self.kernel.get(), stride: self.stride.get(), padding: self.padding.get() }
    }
}

impl Build for Conv2d {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let input = shape::image("conv2d", input)?;
        let window = self.window();
        let channels = shape::positive("conv2d", "channels", self.channels)?;
        let [h, w] = shape::slide("conv2d", input, window)?;
        Ok(Box::new(Built { input, window, bias: self.bias, output: [channels, h, w], activation: None }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        let [kh, kw] = self.window.kernel;
        let init = Init::pytorch(self.input[0] * kh * kw);
        let weight = Parameter::new("weight", [self.output[0], self.input[0], kh, kw], init);
        let bias = self.bias.then(|| Parameter::new("bias", [self.output[0]], init));
        std::iter::once(weight).chain(bias).collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn absorb(&mut self, activation: Activation) -> bool {
        let free = self.activation.is_none();
        self.activation = self.activation.or(Some(activation));
        free
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = op::conv2d_then(&x, w.get(0), self.bias.then(|| w.get(1)), self.window, self.activation);
        keep.push(|| x);
        if self.activation.is_some() {
            keep.push(|| y.clone());
        }
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (dy, sums) = match self.activation.map(|activation| (activation, keep.pop::<Tensor>())) {
            Some((activation, y)) if self.bias => activation.backward_channels(&y, dy),
            Some((activation, y)) => (activation.backward(&y, dy), Tensor::zeros([0])),
            None if self.bias => {
                let sums = op::bias_rows_channels(&dy);
                (dy, sums)
            }
            None => (dy, Tensor::zeros([0])),
        };
        let x: Tensor = keep.pop();
        let dx = match taps.input_wanted {
            true => op::conv2d_backward(&dy, w.get(0), x.shape(), self.window),
            false => Tensor::zeros([x.rows(), 0]),
        };
        let [o, h, width] = self.output;
        let b = dy.reshape([x.rows(), o, h * width]);
        if self.bias {
            taps.leave(w.id(1), Rows::new(sums));
        }
        taps.leave(w.id(0), Product::new(Factor::Patches { x, window: self.window }, b));
        dx
    }
}
