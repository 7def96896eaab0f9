//! Token embedding, PyTorch's `nn.Embedding`.
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, Table, View, shape};
use crate::tap::{Scatter, Taps};
use engine::{Indices, Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "embedding", vocabulary = 1000, features = 64 }`. Its input is `[tokens]`, each a whole number below
/// `vocabulary`; f32 holds them exactly up to 2^24. Anything else makes that example's loss not a number, and an example
/// without a finite gradient contributes nothing. Positions that hold `padding` are empty: their row is zero and is not
/// trained, attention does not look there and means do not count them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// Rows of the table.
    pub vocabulary: usize,
    /// Columns of the table.
    pub features: usize,
    /// The id of positions that hold nothing; by default there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<u32>,
    /// Standard deviation of the table's start; PyTorch's by default. A small one keeps rows that few
    /// texts train from speaking loudly.
    #[serde(default = "pytorch", skip_serializing_if = "is_pytorch")]
    pub deviation: f32,
}

fn pytorch() -> f32 {
    1.0
}

fn is_pytorch(deviation: &f32) -> bool {
    *deviation == pytorch()
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
        check("embedding", self.vocabulary, self.features, self.padding)?;
        if !(self.deviation.is_finite() && self.deviation >= 0.0) {
            return Err(ShapeError("embedding: deviation is a finite number of at least 0".into()));
        }
        Ok(Box::new(Built { table: *self, output: [tokens, self.features] }))
    }

    fn table(&self) -> Option<Table> {
        Some(Table { vocabulary: self.vocabulary, padding: self.padding, tied: false })
    }
}

/// Whether such a table makes sense.
pub(super) fn check(layer: &str, vocabulary: usize, features: usize, padding: Option<u32>) -> Result<(), ShapeError> {
    shape::positive(layer, "vocabulary", vocabulary)?;
    shape::positive(layer, "features", features)?;
    if vocabulary > 1 << 24 {
        return Err(ShapeError(format!("{layer}: vocabulary is at most 2^24")));
    }
    match padding {
        Some(id) if id as usize >= vocabulary => {
            Err(ShapeError(format!("{layer}: padding = {id} is not below vocabulary = {vocabulary}")))
        }
        _ => Ok(()),
    }
}

/// Looks tokens up; says which positions are empty. Returns the rows and the ids.
pub(super) fn look_up(x: &Tensor, table: &Tensor, padding: Option<u32>, keep: &mut Keep) -> (Tensor, Indices) {
    let op::LookedUp { rows, ids, present } = op::look_up(x, table, padding);
    present.into_iter().for_each(|present| keep.set_present(present));
    (rows, ids)
}

/// Empty positions have no gradient.
pub(super) fn silence(dy: Tensor, ids: &Indices, padding: Option<u32>) -> Tensor {
    match padding {
        Some(padding) => op::silence(dy, ids, padding),
        None => dy,
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("weight", [self.table.vocabulary, self.table.features], Init::Normal(self.table.deviation))]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (y, ids) = look_up(&x, w.get(0), self.table.padding, keep);
        keep.push(|| ids);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let (n, ids) = (dy.rows(), keep.pop::<Indices>());
        let dy = silence(dy, &ids, self.table.padding);
        taps.leave(w.id(0), Scatter::new(ids, dy, self.table.vocabulary));
        Tensor::zeros([n, 0])
    }
}
