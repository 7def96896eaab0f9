//! A Hugging Face `tokenizer.json`, by their `tokenizers` crate; in builds with the feature `tokenizers`.
use super::{Asked, DataError, Open, Tokenizer};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `{ tokenizer = "file", path = "tokenizer.json", origin = "GPT-2's, made from WebText" }`: a PUBLIC file, whose vocabulary
/// was not made from the training data; `origin` says where it comes from, and the statement prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The file.
    pub path: PathBuf,
    /// Where it comes from: a claim that it is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// The token that fills positions behind a text; by default the file's own, `<pad>` or `[PAD]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<String>,
    /// The token before a text that is to be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The token behind a text that is to be written; may be the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<String>,
}

impl Open for File {
    fn open(&self, root: &Path, asked: Asked) -> Result<Box<dyn Tokenizer>, DataError> {
        if self.origin.as_ref().is_none_or(|origin| origin.trim().is_empty()) {
            let problem = "must say where the file comes from, such as \"GPT-2's, made from WebText\": a vocabulary that was made \
                           from the private texts shows which words are in them";
            return Err(DataError::config("tokenizer.origin", problem));
        }
        self.read(root, asked)
    }

    fn claim(&self) -> Option<String> {
        let origin = self.origin.as_deref().unwrap_or("nobody said");
        let path = self.path.display();
        Some(format!(
            "The tokenizer {path} is public and was not made from the training data. Its origin, by the configuration: {origin}."
        ))
    }
}

#[cfg(not(feature = "tokenizers"))]
impl File {
    fn read(&self, _: &Path, _: Asked) -> Result<Box<dyn Tokenizer>, DataError> {
        let problem = "this build reads no tokenizer files: build it with `cargo build --release --features tokenizers`, or use \
                       `bytes` or `hashed-words`";
        Err(DataError::config("tokenizer", problem))
    }
}

#[cfg(feature = "tokenizers")]
mod reader;

#[cfg(test)]
mod tests;
