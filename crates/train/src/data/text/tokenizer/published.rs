//! The tokenizer of a published model: what `model.published` makes of this word is a `file`.
use super::{Asked, DataError, Open, Tokenizer};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `tokenizer = "published"`: the `tokenizer.json` beside the weights that `model.published` names, with the tokens for padding, start
/// and end that the `config.json` there names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {}

impl Open for Published {
    fn open(&self, _: &Path, _: Asked) -> Result<Box<dyn Tokenizer>, DataError> {
        let problem =
            "`published` is the tokenizer beside a published model: name its folder, model.published = \"...\"";
        Err(DataError::config("tokenizer", problem))
    }
}
