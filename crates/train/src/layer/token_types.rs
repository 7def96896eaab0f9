//! What BERT adds to each token for the sentence that it is of (Devlin et al. 2018, arXiv 1810.04805, section 3): for texts of one
//! sentence, the first row of a table.
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Rows, Taps};
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "token_types", types = 2 }`, on `[tokens, features]`. The other rows have no gradient, and are kept for whoever takes the
/// weights further.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTypes {
    /// Rows of the table.
    pub types: usize,
}

struct Built {
    types: usize,
    output: [usize; 2],
}

impl Build for TokenTypes {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let &[tokens, features] = input else {
            return Err(ShapeError(format!(
                "token_types takes examples of shape [tokens, features], but its input is {input:?}"
            )));
        };
        let types = shape::positive("token_types", "types", self.types)?;
        Ok(Box::new(Built { types, output: [tokens, features] }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("weight", [self.types, self.output[1]], Init::Normal(0.02))]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, _: &mut Keep) -> Tensor {
        let ([tokens, features], n) = (self.output, x.rows());
        op::add_to_each(x.reshape([n * tokens, features]), w.get(0)).reshape([n, tokens, features])
    }
    fn backward(&self, w: View, _: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let rest = (self.types - 1) * self.output[1];
        taps.leave(w.id(0), || Rows::padded(op::bias_rows_last(&dy), rest));
        dy
    }
}
