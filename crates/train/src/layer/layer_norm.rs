//! Layer normalisation over the last axis, PyTorch's `nn.LayerNorm` (Ba, Kiros & Hinton 2016, arXiv 1607.06450).
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Rows, Taps};
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

pub(super) fn default_eps() -> f32 {
    1e-5
}

/// `{ layer = "layer_norm", eps = 1e-5 }`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Added to the variance.
    #[serde(default = "default_eps")]
    pub eps: f32,
}

struct Built {
    width: usize,
    eps: f32,
    output: Vec<usize>,
}

impl Build for LayerNorm {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let width = shape::last("layer_norm", input)?;
        Ok(Box::new(Built { width, eps: self.eps, output: input.to_vec() }))
    }
}

/// Leaves the taps of scale and shift; returns what forward kept.
fn leave(w: View, keep: &mut Keep, dy: &Tensor, taps: &mut Taps) -> op::Normalised {
    let normalised: op::Normalised = keep.pop();
    match w.id(0) {
        None => taps.leave(w.id(1), || Rows::new(op::bias_rows_last(dy))),
        scale => {
            let (of_scale, of_shift) = op::layer_norm_rows(dy, &normalised.xhat);
            taps.leave(scale, || Rows::new(of_scale));
            taps.leave(w.id(1), || Rows::new(of_shift));
        }
    }
    normalised
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        vec![
            Parameter::new("weight", [self.width], Init::Constant(1.0)),
            Parameter::new("bias", [self.width], Init::Constant(0.0)),
        ]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (y, normalised) = op::layer_norm(&x, w.get(0), w.get(1), self.eps);
        keep.push(|| normalised);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let normalised = leave(w, keep, &dy, taps);
        op::layer_norm_backward(&dy, w.get(0), &normalised)
    }
    fn backward_onto(&self, w: View, keep: &mut Keep, dy: Tensor, sum: &Tensor, taps: &mut Taps) -> Tensor {
        let normalised = leave(w, keep, &dy, taps);
        op::layer_norm_backward_onto(&dy, w.get(0), &normalised, sum)
    }
}
