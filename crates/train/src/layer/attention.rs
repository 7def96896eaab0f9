//! Multi-head self-attention, PyTorch's `nn.MultiheadAttention` with one input (Vaswani et al. 2017, arXiv 1706.03762).
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, linear, shape};
use crate::tap::Taps;
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "attention", heads = 12, causal = false }`, on `[tokens, features]`. Where an embedding named a `padding`,
/// nobody looks at empty positions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attention {
    /// Heads; they share the features evenly.
    pub heads: usize,
    /// Whether a token looks at itself and earlier ones only.
    #[serde(default)]
    pub causal: bool,
}

struct Built {
    how: op::Attention,
    output: [usize; 2],
}

impl Build for Attention {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let &[tokens, features] = input else {
            return Err(ShapeError(format!(
                "attention takes examples of shape [tokens, features], but its input is {input:?}"
            )));
        };
        let heads = shape::positive("attention", "heads", self.heads)?;
        if features % heads != 0 || features == 0 {
            return Err(ShapeError(format!("attention: {features} features do not split into {heads} heads")));
        }
        Ok(Box::new(Built { how: op::Attention { heads, causal: self.causal }, output: [tokens, features] }))
    }
}

impl Built {
    /// What the heads see, before the last projection.
    fn attend(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let qkv = op::linear(&x, w.get(0), Some(w.get(1)));
        let (a, attended) = op::attention(&qkv, self.how, keep.present().as_deref());
        keep.push(|| (linear::input(w, 0, x), qkv, linear::input(w, 2, a.clone()), attended));
        a
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        let d = self.output[1];
        // Xavier's uniform for the three projections together, and PyTorch's default for the last.
        let bound = (6.0 / (4 * d) as f64).sqrt() as f32;
        vec![
            Parameter::new("in_proj_weight", [3 * d, d], Init::Uniform(bound)),
            Parameter::new("in_proj_bias", [3 * d], Init::Constant(0.0)),
            Parameter::new("out_proj.weight", [d, d], Init::pytorch(d)),
            Parameter::new("out_proj.bias", [d], Init::Constant(0.0)),
        ]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let a = self.attend(w, x, keep);
        op::linear(&a, w.get(2), Some(w.get(3)))
    }
    fn forward_onto(&self, w: View, x: Tensor, sum: &Tensor, keep: &mut Keep) -> Tensor {
        let a = self.attend(w, x, keep);
        op::linear_onto(&a, w.get(2), Some(w.get(3)), sum)
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (x, qkv, a, attended): (Option<Tensor>, Tensor, Option<Tensor>, op::Attended) = keep.pop();
        let da = op::linear_backward(&dy, w.get(2));
        let n = dy.rows();
        linear::leave(taps, w.id(2), w.id(3), a, dy);
        if !(taps.input_wanted || w.part(0..2).is_trained()) {
            return Tensor::zeros([n, 0]);
        }
        let dqkv = op::attention_backward(&da, &qkv, &attended, self.how, keep.present().as_deref());
        let dx = match taps.input_wanted {
            true => op::linear_backward(&dqkv, w.get(0)),
            false => Tensor::zeros([n, 0]),
        };
        linear::leave(taps, w.id(0), w.id(1), x, dqkv);
        dx
    }
}
