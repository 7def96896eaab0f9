//! A token embedding whose table is the output head as well (Press & Wolf 2017, arXiv 1608.05859): `[tokens]` in, for
//! each position one number a token of the vocabulary out.
//!
//! # Why this is private
//! *Claim.* The norm that clipping sees is that of the sum of both uses' gradients.
//! *Argument.* One tap holds the factors of both uses and its norm has the cross term (Ding et al. 2024, arXiv 2405.18194,
//! phantom clipping); libraries that keep one number a parameter lose the first use when the second comes.
//! *Tests.* `tap::tests::tied_tables_are_measured_whole`, and the list of `layer/tests.rs`.
use super::{Build, Init, Keep, Layer, LayerConfig, Parameter, ShapeError, Table, View, embedding};
use crate::{
    model::Sequential,
    tap::{Taps, Tied},
};
use engine::{Indices, Tensor, op};
use serde::{Deserialize, Serialize};

/// `{ layer = "tied_embedding", vocabulary = 1000, features = 64, layers = [...] }`; `layers` go from `[tokens, features]`
/// to the same shape.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TiedEmbedding {
    /// Rows of the table.
    pub vocabulary: usize,
    /// Columns of the table.
    pub features: usize,
    /// The id of positions that hold nothing; by default there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<u32>,
    /// What happens between embedding and head.
    pub layers: Vec<LayerConfig>,
}

struct Built {
    table: TiedEmbedding,
    inside: Sequential,
    output: [usize; 2],
}

impl Build for TiedEmbedding {
    fn build(&self, input: &[usize]) -> Result<Box<dyn Layer>, ShapeError> {
        let &[tokens] = input else {
            return Err(ShapeError(format!(
                "tied_embedding takes examples of shape [tokens], but its input is {input:?}"
            )));
        };
        embedding::check("tied_embedding", self.vocabulary, self.features, self.padding)?;
        let within = [tokens, self.features];
        let inside = Sequential::build("tied_embedding.layers", &within, &self.layers)?;
        if inside.output() != within {
            let got = inside.output();
            return Err(ShapeError(format!(
                "tied_embedding: its layers put out {got:?}, but the head takes {within:?}"
            )));
        }
        Ok(Box::new(Built { table: self.clone(), inside, output: [tokens, self.vocabulary] }))
    }

    fn table(&self) -> Option<Table> {
        Some(Table { vocabulary: self.vocabulary, padding: self.padding, tied: true })
    }
}

impl Layer for Built {
    fn parameters(&self) -> Vec<Parameter> {
        let table = Parameter::new("weight", [self.table.vocabulary, self.table.features], Init::Normal(0.02));
        std::iter::once(table).chain(self.inside.parameters()).collect()
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let (e, ids) = embedding::look_up(&x, w.get(0), self.table.padding, keep);
        keep.push(|| ids);
        let h = self.inside.forward(w.part(1..w.len()), e, keep);
        let y = op::linear(&h, w.get(0), None);
        keep.push(|| h);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        let h: Tensor = keep.pop();
        let dh = op::linear_backward(&dy, w.get(0));
        let wanted = std::mem::replace(&mut taps.input_wanted, true);
        let e = self.inside.backward(w.part(1..w.len()), keep, dh, taps);
        taps.input_wanted = wanted;
        let ids: Indices = keep.pop();
        let e = embedding::silence(e, &ids, self.table.padding);
        let n = e.rows();
        taps.leave(w.id(0), Tied::new(ids, e, h, dy));
        Tensor::zeros([n, 0])
    }
}
