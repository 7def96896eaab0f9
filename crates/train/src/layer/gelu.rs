//! Gaussian error linear unit, PyTorch's `nn.GELU` (Hendrycks & Gimpel 2016, arXiv 1606.08415).
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// Which of the two usual forms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approximate {
    /// `x Phi(x)` by the error function, PyTorch's default.
    #[default]
    None,
    /// The tanh form that GPT-2 uses.
    Tanh,
}

/// `{ layer = "gelu", approximate = "none" }`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gelu {
    /// `"none"` (exact) or `"tanh"`.
    #[serde(default)]
    pub approximate: Approximate,
}

struct Built {
    form: op::Approximation,
    output: Vec<usize>,
}

impl Build for Gelu {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let form = match self.approximate {
            Approximate::None => op::Approximation::Erf,
            Approximate::Tanh => op::Approximation::Tanh,
        };
        Ok(Box::new(Built { form, output: input.to_vec() }))
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = op::gelu(&x, self.form);
        keep.push(|| x);
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (dx, sums) = op::gelu_backward_sums(&keep.pop::<Tensor>(), dy, self.form);
        sums.into_iter().for_each(|sums| taps.know_sums(&dx, sums));
        dx
    }
}
