//! A data set some of whose examples give place to made-up ones: for audits.
use super::{Batch, Examples, Rows};
use crate::data::error::DataError;
use rayon::prelude::*;

impl Examples {
    /// The first `keep` examples, and after them made-up ones of the same shape and kind of target.
    ///
    /// # Errors
    /// If the made-up ones are of another kind.
    pub(crate) fn followed_by(&self, keep: usize, made_up: Vec<Batch>) -> Result<Examples, DataError> {
        if made_up.iter().any(|batch| batch.shape != self.shape) {
            return Err(DataError::config("shape", "made-up examples are of another shape"));
        }
        let keep = keep.min(self.len());
        let mut targets = self.targets.gather(&(0..keep).collect::<Vec<_>>());
        // A data set is large: there is one copy, of its full size from the start.
        let rows = keep + made_up.iter().map(|batch| batch.n).sum::<usize>();
        let mut inputs = vec![0.0; rows * self.width];
        let (kept, mut rest) = inputs.split_at_mut(keep * self.width);
        kept.par_chunks_exact_mut(self.width).enumerate().for_each(|(i, row)| self.copy(i, row));
        for batch in made_up {
            let (own, others) = rest.split_at_mut(batch.inputs.len());
            own.copy_from_slice(&batch.inputs);
            targets.append(batch.targets)?;
            rest = others;
        }
        let features = self.features.clone();
        let all = Examples::of(Rows::Floats(inputs), self.shape.clone(), self.width, targets);
        Ok(Examples { features, tokens: self.tokens, ..all })
    }

    /// `n` examples like these, made up without looking at any: zeros.
    pub(crate) fn blank(&self, n: usize) -> Batch {
        let targets = self.targets.made_up(n);
        Batch { inputs: vec![0.0; n * self.width], n, shape: self.shape.clone(), targets }
    }

    /// The inputs of some examples with the targets of others, of as many.
    pub(crate) fn crossed(&self, inputs: &[usize], targets: &[usize]) -> Batch {
        Batch { targets: self.targets.gather(targets), ..self.gather(inputs) }
    }

    /// Whether two examples have the same target.
    pub(crate) fn agree(&self, a: usize, b: usize) -> bool {
        self.targets.gather(&[a]).same(&self.targets.gather(&[b]))
    }
}
