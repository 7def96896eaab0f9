//! Token embedding, PyTorch's `nn.Embedding`.
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Scatter, Taps};
use engine::{Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "embedding", vocabulary = 1000, features = 64 }`. Its input is `[tokens]`, each a whole number below
/// `vocabulary`; f32 holds them exactly up to 2^24. Anything else makes that example's loss not a number, and an example
/// without a finite gradient contributes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Rows of the table.
    pub vocabulary: usize,
    /// Columns of the table.
    pub features: usize,
}

struct Built {
    table: Embedding,
    output: [usize; 2],
}

impl Build for Embedding {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let &[tokens] = input else {
            return Err(ShapeError(format!("embedding takes examples of shape [tokens], but its input is {input:?}")));
        };
        shape::positive("embedding", "vocabulary", self.vocabulary)?;
        shape::positive("embedding", "features", self.features)?;
        if self.vocabulary > 1 << 24 {
            return Err(ShapeError("embedding: vocabulary is at most 2^24".into()));
        }
        Ok(Box::new(Built { table: *self, output: [tokens, self.features] }))
    }
}

/// The ids, and the positions that hold none.
fn ids(x: &Tensor, vocabulary: usize) -> (Vec<u32>, Vec<usize>) {
    let valid = |v: f32| v >= 0.0 && v < vocabulary as f32 && v.fract() == 0.0;
    let bad = x.data().iter().enumerate().filter(|(_, v)| !valid(**v)).map(|(i, _)| i).collect();
    (x.data().iter().map(|v| if valid(*v) { *v as u32 } else { 0 }).collect(), bad)
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("weight", [self.table.vocabulary, self.table.features], Init::Normal(1.0))]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (ids, bad) = ids(&x, self.table.vocabulary);
        let mut y = op::embedding(&ids, x.shape(), w.get(0));
        for i in bad {
            y.data_mut()[i * self.table.features..][..self.table.features].fill(f32::NAN);
        }
        keep.push(|| ids);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let n = dy.rows();
        taps.leave(w.id(0), Scatter::new(keep.pop(), dy, self.table.vocabulary));
        Tensor::zeros([n, 0])
    }
}
