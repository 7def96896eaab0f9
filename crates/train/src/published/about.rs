//! What a folder says of its model: `config.json`, and which of a tokenizer's tokens mean what.
use crate::{
    data::tokenizer::File,
    layer::{Approximate, Gelu, LayerConfig, LayerNorm, Relu, Silu},
};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The file of a tokenizer.
const TOKENIZER: &str = "tokenizer.json";

/// A `config.json`.
pub(super) struct About {
    path: PathBuf,
    pub(super) all: Value,
}

fn read(path: &Path) -> Result<Value, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

impl About {
    pub(super) fn read(path: &Path) -> Result<About, String> {
        Ok(About { path: path.to_owned(), all: read(path)? })
    }

    /// An error about a key.
    pub(super) fn wrong(&self, key: &str, what: &str) -> String {
        format!("{}: `{key}`: {what}", self.path.display())
    }

    /// The value of a key; none if it is absent or null.
    fn get(&self, key: &str) -> Option<&Value> {
        self.all.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn word(&self, key: &str) -> Result<&str, String> {
        self.get(key).and_then(Value::as_str).ok_or_else(|| self.wrong(key, "is missing, or no word"))
    }

    /// A number of at least 1.
    pub(super) fn count(&self, key: &str) -> Result<usize, String> {
        let count = self.get(key).and_then(Value::as_u64).filter(|count| (1..1 << 32).contains(count));
        count.map(|count| count as usize).ok_or_else(|| self.wrong(key, "is missing, or no number of at least 1"))
    }

    pub(super) fn count_or(&self, key: &str, default: usize) -> Result<usize, String> {
        if self.get(key).is_some() { self.count(key) } else { Ok(default) }
    }

    /// Refuses another value than the one that is built here; absent is that one.
    pub(super) fn only(&self, key: &str, wanted: impl Into<Value>) -> Result<(), String> {
        let wanted = wanted.into();
        match self.get(key) {
            Some(other) if *other != wanted => {
                Err(self.wrong(key, &format!("{other} is not built here, only {wanted}")))
            }
            _ => Ok(()),
        }
    }

    /// Refuses texts that are longer than the model's positions.
    pub(super) fn room(&self, key: &str, positions: usize, length: usize) -> Result<(), String> {
        match length > positions {
            true => Err(self.wrong(key, &format!("data.length = {length}, but the model has {positions} positions"))),
            false => Ok(()),
        }
    }

    pub(super) fn layer_norm(&self, key: &str, default: f64) -> Result<LayerConfig, String> {
        let eps = match self.get(key) {
            None => Some(default),
            Some(value) => value.as_f64().filter(|eps| eps.is_finite() && *eps > 0.0),
        };
        let eps = eps.ok_or_else(|| self.wrong(key, "is no number above 0"))? as f32;
        Ok(LayerConfig::LayerNorm(LayerNorm { eps }))
    }

    /// The perceptron's activation, by the names of the `transformers` library.
    pub(super) fn activation(&self, key: &str) -> Result<LayerConfig, String> {
        let gelu = |approximate| Ok(LayerConfig::Gelu(Gelu { approximate }));
        match self.word(key)? {
            "gelu" | "gelu_python" => gelu(Approximate::None),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" | "gelu_accurate" => gelu(Approximate::Tanh),
            "relu" => Ok(LayerConfig::Relu(Relu {})),
            "silu" | "swish" => Ok(LayerConfig::Silu(Silu {})),
            other => Err(self
                .wrong(key, &format!("`{other}` is not built here, only gelu, gelu_new, relu, silu and their like"))),
        }
    }

    /// A token's id: of those that stand there, the first.
    fn id(&self, key: &str) -> Option<u32> {
        let value = self.get(key)?;
        value.as_u64().or_else(|| value.get(0)?.as_u64()).and_then(|id| u32::try_from(id).ok())
    }

    /// The id that fills positions behind a text: without one of its own, as in GPT-2, the one that ends texts.
    pub(super) fn padding(&self) -> Option<u32> {
        self.id("pad_token_id").or_else(|| self.id("eos_token_id"))
    }

    /// The declaration of the tokenizer in `folder`, which the configuration calls `name`, with its marks if texts are to be written.
    pub(super) fn tokenizer(&self, folder: &Path, name: &Path, writes: bool) -> Result<File, String> {
        let path = folder.join(TOKENIZER);
        let all = read(&path)?;
        let spelling = |key: &str, id: Option<u32>| {
            let id = id.ok_or_else(|| self.wrong(key, "is missing"))?;
            spelled(&all, id)
                .ok_or_else(|| format!("{}: no token has id {id}, the `{key}` of config.json", path.display()))
        };
        let mark = |key: &str, id: Option<u32>| writes.then(|| spelling(key, id)).transpose();
        let end = self.id("eos_token_id");
        Ok(File {
            path: name.join(TOKENIZER),
            origin: Some(format!("published with the weights in {}", name.display())),
            padding: Some(spelling("pad_token_id", self.padding())?),
            start: mark("bos_token_id", self.id("bos_token_id").or(end))?,
            end: mark("eos_token_id", end)?,
        })
    }
}

/// How a `tokenizer.json` spells an id.
fn spelled(tokenizer: &Value, id: u32) -> Option<String> {
    let added = tokenizer["added_tokens"].as_array().into_iter().flatten();
    let added = added.filter(|token| token["id"] == id).find_map(|token| token["content"].as_str());
    let known = || tokenizer["model"]["vocab"].as_object()?.iter().find(|(_, number)| **number == id);
    added.map(str::to_owned).or_else(|| known().map(|(word, _)| word.clone()))
}
