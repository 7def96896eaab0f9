//! Root-mean-square normalisation over the last axis, PyTorch's `nn.RMSNorm` (Zhang & Sennrich 2019, arXiv 1910.07467).
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Rows, Taps};
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "rms_norm", eps = 1e-5 }`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RmsNorm {
    /// Added to the mean square.
    #[serde(default = "super::layer_norm::default_eps")]
    pub eps: f32,
}

struct Built {
    width: usize,
    eps: f32,
    output: Vec<usize>,
}

impl Build for RmsNorm {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let width = shape::last("rms_norm", input)?;
        Ok(Box::new(Built { width, eps: self.eps, output: input.to_vec() }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("weight", [self.width], Init::Constant(1.0))]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (y, normalised) = op::rms_norm(&x, w.get(0), self.eps);
        keep.push(|| normalised);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let normalised: op::Normalised = keep.pop();
        taps.leave(w.id(0), || Rows::new(op::rms_norm_rows(&dy, &normalised.xhat)));
        op::rms_norm_backward(&dy, w.get(0), &normalised)
    }
    fn backward_onto(&self, w: View, keep: &mut Keep, dy: Tensor, sum: &Tensor, taps: &mut Taps) -> Tensor {
        let normalised: op::Normalised = keep.pop();
        taps.leave(w.id(0), || Rows::new(op::rms_norm_rows(&dy, &normalised.xhat)));
        op::rms_norm_backward_onto(&dy, w.get(0), &normalised, sum)
    }
}
