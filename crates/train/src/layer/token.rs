//! One token of a text for all of it: what classifiers on BERT (the first, `[CLS]`: Devlin et al. 2018, arXiv 1810.04805) and on GPT-2 (the
//! last) look at.
use super::{Build, Keep, Layer, ShapeError, View};
use crate::tap::Taps;
use engine::{
    Tensor,
    op::{self, Present},
};
use serde::{Deserialize, Serialize};

/// Which of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    /// The first.
    #[default]
    First,
    /// The last that is not padding; zeros for a text that has none.
    Last,
}

/// `{ layer = "token", which = "first" }`: `[tokens, features]` to `[features]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// `"first"` or `"last"`.
    #[serde(default)]
    pub which: Which,
}

struct Built {
    which: op::Which,
    count: usize,
    output: [usize; 1],
}

impl Build for Token {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let which = match self.which {
            Which::First => op::Which::First,
            Which::Last => op::Which::Last,
        };
        match *input {
            [count, features] if count > 0 && features > 0 => Ok(Box::new(Built { which, count, output: [features] })),
            _ => {
                Err(ShapeError(format!("token takes examples of shape [tokens, features], but its input is {input:?}")))
            }
        }
    }
}

impl Layer for Built {
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, _: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let one = op::one_position(x.device(), [x.rows(), self.count], self.which, keep.present().as_deref());
        let y = op::mean_positions(&x, Some(&one));
        keep.push(|| one);
        y
    }
    fn backward(&self, _: View, keep: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
        op::mean_positions_backward(&dy, self.count, Some(&keep.pop::<Present>()))
    }
}
