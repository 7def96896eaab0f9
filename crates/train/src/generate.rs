//! Texts from a model that learnt to write: what its released weights know, to be read.
//!
//! # Why this is private
//! *Claim.* Writing texts costs no privacy beyond what training cost.
//! *Argument.* A text is a function of the run's released weights, its configuration, the prompt and fresh coins: post-processing.
//! The training data are not opened.
//! *Tests.* `crates/cli/tests/text.rs`: a run writes after its data are gone.
use crate::{
    config::Config,
    data::{Text, tokenizer::Tokenizer},
    model::{Model, Weights},
    run::{RunError, left},
};
use engine::Tensor;
use privacy::{Key, Purpose};
use std::path::Path;

/// How a text is to be written.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// At most so many tokens.
    pub tokens: usize,
    /// Logits are divided by this before one is drawn: 1 is the model's own, 0 always takes the likeliest.
    pub temperature: f64,
}

/// A model with its tokenizer, ready to write.
pub struct Writer {
    /// The configuration of its run.
    pub config: Config,
    text: Text,
    tokenizer: Box<dyn Tokenizer>,
    model: Model,
    weights: Weights,
}

impl Writer {
    /// The model of the run in `folder`; a tokenizer's file is looked for from `root`.
    ///
    /// # Errors
    /// If there is no such run, or its model does not write.
    pub fn open(folder: &Path, root: &Path) -> Result<Self, RunError> {
        let config = left::config(folder)?;
        let text = config.data.as_text().filter(|text| text.target.is_none()).cloned();
        let not = || RunError::Left(format!("{}: this run's model does not write texts", folder.display()));
        let text = text.ok_or_else(not)?;
        let tokenizer = text.tokenizer(root)?;
        let (targets, tokens) = text.kind(&*tokenizer);
        let model = Model::for_ids(&config.model, &[text.length], &targets, Some(tokens))?;
        let weights = left::weights(folder, &model)?;
        Ok(Writer { config, text, tokenizer, model, weights })
    }

    /// A text that follows `prompt`, by the coins of `key`; until the model ends it, or `how.tokens` are written.
    ///
    /// Where runs were trained with a column of prompts, the text follows the prompt; where they were not, it begins with it,
    /// and only what is new is returned. A text of blocks goes on beyond the model's length, which then sees the last of it.
    ///
    /// # Errors
    /// A temperature that is none, and a prompt that leaves no room.
    pub fn write(&self, prompt: &str, how: How, key: &Key) -> Result<String, RunError> {
        if !(how.temperature.is_finite() && how.temperature >= 0.0) {
            return Err(RunError::Left("the temperature must be a finite number of at least 0".into()));
        }
        let mut ids = self.opening(prompt)?;
        let (before, stream) = (ids.len(), key.stream(Purpose::Permute, 0, 0));
        let frame = self.text.frame(&*self.tokenizer);
        let end = self.tokenizer.marks().map(|marks| marks.end);
        while ids.len() - before < how.tokens {
            if frame.ends && ids.len() >= self.text.length {
                break;
            }
            let next = self.next(&ids, how.temperature, stream.uniform(ids.len() as u64));
            if Some(next) == end {
                break;
            }
            ids.push(next);
        }
        Ok(self.tokenizer.decode(&ids[before..]))
    }

    fn opening(&self, prompt: &str) -> Result<Vec<u32>, RunError> {
        let frame = self.text.frame(&*self.tokenizer);
        let ids: Vec<u32> = match self.text.prompt {
            Some(_) => frame.opening(prompt).map_err(RunError::Left)?,
            None => {
                let tokens = self.tokenizer.encode(prompt).map_err(RunError::Left)?;
                let start = frame.opening("").map_err(RunError::Left)?;
                start.into_iter().chain(tokens.iter().map(|token| token.id)).collect()
            }
        };
        if frame.ends && ids.len() >= self.text.length {
            let length = self.text.length;
            return Err(RunError::Left(format!(
                "the prompt has {} tokens with its mark, and the model {length} positions: shorten it",
                ids.len()
            )));
        }
        Ok(ids)
    }

    /// The token after `ids`, by a `coin` from 0 to 1.
    fn next(&self, ids: &[u32], temperature: f64, coin: f64) -> u32 {
        let length = self.text.length;
        let first = (ids.len() + 1).saturating_sub(length).max(1);
        let seen = [&ids[..1], &ids[first..]].concat();
        let padding = self.tokenizer.padding();
        let row = (0..length).map(|at| seen.get(at).copied().unwrap_or(padding) as f32).collect();
        let outputs = self.model.outputs(&self.weights, Tensor::new([1, length], row));
        let vocabulary = outputs.row_len() / length;
        let logits = &outputs.data()[(seen.len() - 1) * vocabulary..seen.len() * vocabulary];
        pick(logits, temperature, coin, |id| self.may_stand(id))
    }

    /// Whether a text may hold this id, or end with it.
    fn may_stand(&self, id: u32) -> bool {
        let Some(marks) = self.tokenizer.marks() else { return true };
        let ends = self.text.frame(&*self.tokenizer).ends;
        let silent = id == marks.start || id == self.tokenizer.padding();
        if id == marks.end { ends } else { !silent }
    }
}

/// One of the ids that may stand, with probability in proportion to `exp(logit / temperature)`.
fn pick(logits: &[f32], temperature: f64, coin: f64, may: impl Fn(u32) -> bool) -> u32 {
    let allowed: Vec<(u32, f64)> =
        (0..).zip(logits).filter(|(id, _)| may(*id)).map(|(id, logit)| (id, f64::from(*logit))).collect();
    let best = allowed.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, 0.0));
    if temperature == 0.0 {
        return best.0;
    }
    let weights: Vec<f64> = allowed.iter().map(|(_, logit)| ((logit - best.1) / temperature).exp()).collect();
    let mut left = coin * weights.iter().sum::<f64>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    chosen.map_or(best.0, |at| allowed[at].0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coins_land_in_proportion() {
        let logits = [0.0, 2f32.ln(), f32::NEG_INFINITY, 1f32.ln(), 9.0];
        let may = |id: u32| id != 4;
        let at = |coin: f64| pick(&logits, 1.0, coin, may);
        // Shares 1/4, 1/2, 0, 1/4.
        assert_eq!([0.0, 0.24, 0.26, 0.74, 0.76, 0.999].map(at), [0, 0, 1, 1, 3, 3]);
        assert_eq!(pick(&logits, 0.0, 0.9, may), 1);
        // Half the temperature squares the odds: 1/6, 4/6, 1/6.
        assert_eq!([0.16, 0.17, 0.83, 0.84].map(|coin| pick(&logits, 0.5, coin, may)), [0, 1, 1, 3]);
    }
}
