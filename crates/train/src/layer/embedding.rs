//! Token embedding, PyTorch's `nn.Embedding`.
use super::{Build, Init, Keep, Layer, Parameter, ShapeError, View, shape};
use crate::tap::{Scatter, Taps};
use engine::{Tensor, op};
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
        Ok(Box::new(Built { table: *self, output: [tokens, self.features] }))
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
pub(super) fn look_up(x: &Tensor, table: &Tensor, padding: Option<u32>, keep: &mut Keep) -> (Tensor, Vec<u32>) {
    let (vocabulary, features) = (table.rows(), table.row_len());
    let (ids, bad) = ids(x, vocabulary);
    let mut y = op::embedding(&ids, x.shape(), table);
    let mut fill = |i: usize, with: f32| y.data_mut()[i * features..][..features].fill(with);
    bad.into_iter().for_each(|i| fill(i, f32::NAN));
    if let Some(padding) = padding {
        let present: Vec<bool> = ids.iter().map(|id| *id != padding).collect();
        (0..ids.len()).filter(|i| !present[*i]).for_each(|i| fill(i, 0.0));
        keep.set_present(present);
    }
    (y, ids)
}

/// Empty positions have no gradient.
pub(super) fn silence(dy: &mut Tensor, ids: &[u32], padding: Option<u32>) {
    let features = dy.shape().last().copied().unwrap_or(1);
    let rows = dy.data_mut().chunks_mut(features.max(1)).zip(ids);
    rows.filter(|(_, id)| Some(**id) == padding).for_each(|(row, _)| row.fill(0.0));
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
        let (y, ids) = look_up(&x, w.get(0), self.table.padding, keep);
        keep.push(|| ids);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, mut dy: Tensor, taps: &mut Taps) -> Tensor {
        let (n, ids) = (dy.rows(), keep.pop::<Vec<u32>>());
        silence(&mut dy, &ids, self.table.padding);
        taps.leave(w.id(0), Scatter::new(ids, dy, self.table.vocabulary));
        Tensor::zeros([n, 0])
    }
}
