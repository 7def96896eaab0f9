//! Positions added to tokens: learned (as in GPT-2), or sines and cosines (Vaswani et al. 2017, arXiv 1706.03762).
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View};
use crate::tap::{Rows, Taps};
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// What is added to a token because of its place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A row of a table that is trained.
    #[default]
    Learned,
    /// Sines and cosines of the place; nothing to train.
    Sinusoidal,
}

/// `{ layer = "positions", kind = "learned" }`, on `[tokens, features]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    /// Learned or sinusoidal.
    #[serde(default)]
    pub kind: Kind,
    /// Rows of the learned table; by default as many as the input has tokens. More make room for longer texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<usize>,
}

struct Built {
    /// The sines and cosines; none where positions are learned.
    fixed: Option<Tensor>,
    length: usize,
    output: [usize; 2],
}

impl Build for Positions {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let &[tokens, features] = input else {
            return Err(ShapeError(format!(
                "positions takes examples of shape [tokens, features], but its input is {input:?}"
            )));
        };
        let length = self.length.unwrap_or(tokens);
        if length < tokens {
            return Err(ShapeError(format!("positions: length = {length} is less than the {tokens} tokens")));
        }
        let fixed = (self.kind == Kind::Sinusoidal).then(|| op::sinusoidal(tokens, features));
        Ok(Box::new(Built { fixed, length, output: [tokens, features] }))
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        let table = || Parameter::new("weight", [self.length, self.output[1]], Init::Normal(0.02));
        self.fixed.is_none().then(table).into_iter().collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, _: &mut Keep) -> Tensor {
        let device = x.device();
        match &self.fixed {
            Some(fixed) => op::add_to_each(x, &fixed.clone().to(device)),
            None => op::add_to_each(x, w.get(0)),
        }
    }
    fn backward(&self, w: View, _: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        if self.fixed.is_none() {
            let [tokens, features] = self.output;
            let rest = (self.length - tokens) * features;
            let rows = || dy.clone().reshape([dy.rows(), tokens * features]);
            taps.leave(w.id(0), || Rows::padded(rows(), rest));
        }
        dy
    }
}
