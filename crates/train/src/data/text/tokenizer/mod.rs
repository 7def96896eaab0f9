//! Tokenizers: from a text to ids, by rules that are public. None is ever learnt from the texts.
//!
//! A new one is one file here, with a struct that implements [`Open`], and one word in the list below.
use super::DataError;
use crate::registry::registry;
use std::path::Path;
use toml::{Table, Value};

registry! {
    /// The key `data.tokenizer`: a word, or `{ tokenizer = "file", ... }` with the entry's own keys.
    TokenizerConfig by "tokenizer" as Open:
    bytes::Bytes = "bytes", "one token for each byte of UTF-8, 259 ids; built in";
    hashed_words::HashedWords = "hashed-words", "words and runs of words, hashed; built in, to classify";
    file::File = "file", "a Hugging Face tokenizer.json, declared public";
    published::Published = "published", "the tokenizer of model.published";
}

/// One token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// The byte of the text before which it ends.
    pub end: usize,
}

/// The ids around a text that is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marks {
    /// Stands before it, and behind a prompt.
    pub start: u32,
    /// Stands behind it.
    pub end: u32,
}

/// What makes ids of texts. A text's ids depend on that text and the declaration alone.
pub trait Tokenizer: Send + Sync {
    /// Ids there are: all are below this.
    fn vocabulary(&self) -> u32;
    /// The id that fills positions behind a text.
    fn padding(&self) -> u32;
    /// The ids around a text that is to be written; none where ids cannot be turned back into a text.
    fn marks(&self) -> Option<Marks>;
    /// The tokens of `text`.
    ///
    /// # Errors
    /// What is wrong with the text, in words that do not show it.
    fn encode(&self, text: &str) -> Result<Vec<Token>, String>;
    /// The `tokens` of `text`, of which there are more than `length`, as `length` tokens.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    fn shorten(&self, text: &str, mut tokens: Vec<Token>, length: usize) -> Result<Vec<Token>, String> {
        let _ = text;
        tokens.truncate(length);
        Ok(tokens)
    }
    /// The text of `ids`, as far as they have one: marks, padding and what is no id have none.
    fn decode(&self, ids: &[u32]) -> String;
}

/// What is asked of a tokenizer.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// Whether texts are to be written; if not, to be classified.
    pub writes: bool,
    /// Positions of an example.
    pub length: usize,
}

/// A tokenizer that was asked for.
pub trait Open: Send + Sync {
    /// Makes it ready for what is asked. Relative paths start from `root`.
    ///
    /// # Errors
    /// Files that are absent, damaged or not declared public; settings that make no sense.
    fn open(&self, root: &Path, asked: Asked) -> Result<Box<dyn Tokenizer>, DataError>;
    /// What the privacy statement has to assume of it.
    fn claim(&self) -> Option<String> {
        None
    }
}

const LEARNT: [&str; 9] =
    ["train", "learn", "learnt", "learned", "fit", "vocab_size", "vocabulary_size", "min_frequency", "min_count"];
const KINDS: [&str; 6] = ["train", "learnt", "learned", "bpe", "wordpiece", "unigram"];

/// Refuses to learn a vocabulary; `data` is the table `[data]`.
pub(in crate::data) fn refuse_learning(data: &Table) -> Result<(), String> {
    let asked = match data.get("tokenizer") {
        Some(Value::String(name)) => KINDS.contains(&name.as_str()).then_some(name.as_str()),
        Some(Value::Table(keys)) => {
            let kind = keys.get("tokenizer").and_then(Value::as_str).filter(|name| KINDS.contains(name));
            kind.or_else(|| LEARNT.into_iter().find(|key| keys.contains_key(*key)))
        }
        _ => None,
    };
    let refusal = |asked: &str| {
        format!(
            "tokenizer: `{asked}` is refused: a vocabulary learnt from private rows shows which words are in them. Use `bytes` or \
             `hashed-words`, or a tokenizer.json that was made from public texts: {{ tokenizer = \"file\", path = \"...\", \
             origin = \"where it comes from\" }}"
        )
    };
    asked.map_or(Ok(()), |asked| Err(refusal(asked)))
}
