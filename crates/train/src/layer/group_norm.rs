//! Group normalisation, PyTorch's `nn.GroupNorm` (Wu & He 2018, arXiv 1803.08494): the private replacement for batch
//! normalisation, which mixes examples and is not offered.
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Rows, Taps};
use engine::{
    Tensor,
    op::{self, Activation},
};
use serde::{Deserialize, Serialize};

/// `{ layer = "group_norm", groups = 16, eps = 1e-5 }`
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupNorm {
    /// How many groups the channels are split into.
    pub groups: usize,
    /// Added to the variance.
    #[serde(default = "super::layer_norm::default_eps")]
    pub eps: f32,
}

struct Built {
    groups: usize,
    eps: f32,
    output: [usize; 3],
    rectified: bool,
}

impl Build for GroupNorm {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let output = shape::image("group_norm", input)?;
        let groups = shape::positive("group_norm", "groups", self.groups)?;
        if output[0] % groups != 0 {
            return Err(ShapeError(format!("group_norm: {} channels do not split into {groups} groups", output[0])));
        }
        Ok(Box::new(Built { groups, eps: self.eps, output, rectified: false }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        vec![
            Parameter::new("weight", [self.output[0]], Init::Constant(1.0)),
            Parameter::new("bias", [self.output[0]], Init::Constant(0.0)),
        ]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn absorb(&mut self, activation: Activation) -> bool {
        let free = !self.rectified && activation == Activation::Relu;
        self.rectified |= free;
        free
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (y, normalised) = op::group_norm(&x, self.groups, w.get(0), w.get(1), self.eps, self.rectified);
        keep.push(|| normalised);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        self.back(w, keep, dy, None, taps)
    }
    fn backward_onto(&self, w: View, keep: &mut Keep, dy: Tensor, sum: &Tensor, taps: &mut Taps) -> Tensor {
        self.back(w, keep, dy, Some(sum), taps)
    }
}

impl Built {
    fn back(&self, w: View, keep: &mut Keep, dy: Tensor, sum: Option<&Tensor>, taps: &mut Taps) -> Tensor {
        let (normalised, affine): (op::Normalised, _) = (keep.pop(), [w.get(0), w.get(1)]);
        let (dx, scale, shift) = op::group_norm_backward_onto(dy, affine, &normalised, self.rectified, sum);
        taps.leave(w.id(0), || Rows::new(scale));
        taps.leave(w.id(1), || Rows::new(shift));
        dx
    }
}
