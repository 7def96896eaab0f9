//! 2-D convolution whose weights are centred and scaled before they are used (Qiao et al. 2019, arXiv 1903.10520), in the
//! scaled form of Brock et al. 2021 (arXiv 2101.08692) that De et al. 2022 (arXiv 2204.13650) train privately.
use super::{Build, Conv2d, Init, Keep, Layer, Pair, Parameter, ShapeError, View, conv2d, shape};
use crate::tap::{Rows, Taps};
use engine::{
    Tensor, Window,
    op::{self, per_example::Left},
};
use serde::{Deserialize, Serialize};

/// Variances times fan-in are taken to be no smaller than this.
const EPS: f32 = 1e-4;

/// `{ layer = "ws_conv2d", channels = 16, kernel = 3, padding = 1 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WsConv2d {
    /// Output channels.
    pub channels: usize,
    /// Height and width of the kernel.
    pub kernel: Pair,
    /// Steps between windows.
    #[serde(default = "conv2d::one")]
    pub stride: Pair,
    /// Zeros around the image.
    #[serde(default = "conv2d::zero")]
    pub padding: Pair,
    /// Whether a bias is added.
    #[serde(default = "conv2d::yes")]
    pub bias: bool,
}

struct Built {
    /// The convolution without parameters of its own: shapes and the window.
    plain: Conv2d,
    inputs: usize,
    window: Window,
    output: [usize; 3],
}

impl Build for WsConv2d {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let WsConv2d { channels, kernel, stride, padding, bias } = *self;
        let plain = Conv2d { channels, kernel, stride, padding, bias };
        let window = plain.window();
        let input = shape::image("ws_conv2d", input)?;
        let channels = shape::positive("ws_conv2d", "channels", channels)?;
        let [h, w] = shape::slide("ws_conv2d", input, window)?;
        if input[0] * window.cells() < 2 {
            return Err(ShapeError("ws_conv2d: one weight an output has no variance".into()));
        }
        Ok(Box::new(Built { plain, inputs: input[0], window, output: [channels, h, w] }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        let [kh, kw] = self.window.kernel;
        let (channels, fan_in) = (self.output[0], self.inputs * kh * kw);
        let weight = Parameter::new("weight", [channels, self.inputs, kh, kw], Init::pytorch(fan_in));
        let gain = Parameter::new("gain", [channels], Init::Constant(1.0));
        let bias = self.plain.bias.then(|| Parameter::new("bias", [channels], Init::Constant(0.0)));
        [weight, gain].into_iter().chain(bias).collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (weight, kept) = op::standardise(w.get(0), w.get(1), EPS);
        let y = op::conv2d(&x, &weight, self.plain.bias.then(|| w.get(2)), self.window);
        keep.push(|| (x, weight, kept));
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (x, weight, kept): (Tensor, Tensor, op::Normalised) = keep.pop();
        let dx = match taps.input_wanted {
            true => op::conv2d_backward(&dy, &weight, x.shape(), self.window),
            false => Tensor::zeros([x.rows(), 0]),
        };
        let ([o, h, width], n) = (self.output, x.rows());
        let b = dy.reshape([n, o, h * width]);
        if self.plain.bias {
            taps.leave(w.id(2), || Rows::new(op::bias_rows_channels(&b)));
        }
        if w.id(0).is_none() && w.id(1).is_none() {
            return dx;
        }
        // By the chain rule: each example's gradient by the standardised weights, taken back through standardisation.
        let mut rows = op::per_example::product_rows(Left::Patches { x: &x, window: self.window }, &b);
        let gains = op::standardise_rows(&mut rows, w.get(1), &kept, EPS);
        taps.leave(w.id(0), || Rows::new(rows));
        taps.leave(w.id(1), || Rows::new(gains));
        dx
    }
}
