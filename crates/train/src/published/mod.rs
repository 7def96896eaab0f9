//! Published language models: a folder as model hubs hand it out (`config.json`, `model.safetensors`, `tokenizer.json`) becomes layers,
//! starting weights and a tokenizer, and what was trained goes back into such a folder.
//!
//! `model.published = "folder"` is short for keys that a user could have written: [`Config::settled`] writes them out (`model.layers`,
//! `model.weights`, `data.tokenizer`), and from there on a run is like any other. What is left is names: the file of weights has the
//! publisher's, and its matrices may lie turned or in parts (`names.rs`).
//!
//! A kind of model is one file here with a [`Kind`], and one word in the list below.
//!
//! # Why this is private
//! *Claim.* Nothing here depends on private rows.
//! *Argument.* Layers and names follow from the folder, which is claimed to be public (as `model.weights = { public = .. }` is), and from the
//! public declaration of the data. What is written at the end are released weights.
//! *Tests.* `tests::*`, against the `transformers` library.
mod about;
mod names;
mod take_back;

use crate::{
    config::{Config, ConfigError},
    data::{Kind as DataKind, Targets, Text, tokenizer::TokenizerConfig},
    layer::{self, LayerConfig},
    model::{Loss, Start},
};
use about::About;
use names::Line;
pub(crate) use names::{Names, Taken};
use std::path::{Path, PathBuf};
pub(crate) use take_back::{FILES, FOLDER};

macro_rules! kinds {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*
        /// All that are read.
        const KINDS: &[Kind] = &[$($module::KIND),*];
    };
}

kinds![gpt2, bert, roberta, distilbert];

/// The file of weights.
const WEIGHTS: &str = "model.safetensors";
/// The file that says what model they are of.
const CONFIG: &str = "config.json";

/// A kind of published model.
struct Kind {
    /// What `config.json` calls it: its `model_type`.
    name: &'static str,
    /// Its classes in the `transformers` library: to write, if it can, and to classify.
    classes: [Option<&'static str>; 2],
    /// The model by its `config.json`.
    parts: fn(&About, &Ask) -> Result<Parts, String>,
}

/// What is asked of a model.
#[derive(Clone, Copy)]
struct Ask {
    /// Positions of an example.
    length: usize,
    /// Numbers to put out for a text; none where the model is to write.
    outputs: Option<usize>,
}

/// A layer, and what the publisher calls its parameters.
struct Part(LayerConfig, Vec<Line>);

/// A whole model: a table of tokens, a body, and a head if it does not write.
struct Parts {
    /// What stands before the names of table and body in the `transformers` library's own files; files without it are read too.
    prefix: &'static str,
    /// The table of tokens: its name, rows, columns.
    table: (&'static str, usize, usize),
    /// From `[tokens, columns]` to the same.
    body: Vec<Part>,
    /// From there to what is asked; what of it is not in the file starts fresh.
    head: Vec<Part>,
    /// What a file may have besides, and is not read: buffers, and heads for other questions.
    unused: &'static [&'static str],
    /// The name of a copy of the table that a file may have: the head of a model that writes.
    copy: Option<&'static str>,
}

/// A published model, as a configuration asks for it.
pub(crate) struct Published {
    folder: PathBuf,
    about: About,
    kind: &'static Kind,
    parts: Parts,
    ask: Ask,
    classes: Vec<String>,
}

impl Config {
    /// The configuration with what `model.published` is short for written out; a second time changes nothing. Relative paths start from `root`.
    ///
    /// # Errors
    /// If the folder or one of its files is absent, damaged, or of a model that is not known or cannot do what is asked.
    pub fn settled(mut self, root: &Path) -> Result<Config, ConfigError> {
        root.clone_into(&mut self.root);
        let Some(name) = self.model.published.clone() else { return Ok(self) };
        let wrong = |e: String| ConfigError::new(&format!("model.published = \"{}\"", name.display()), e);
        let published = Published::open(&self, root, &name).map_err(wrong)?;
        if self.model.weights.is_none() {
            published.has_weights().map_err(wrong)?;
            self.model.weights = Some(Start::Public(name.join(WEIGHTS)));
        }
        if self.model.layers.is_empty() {
            self.model.layers = published.layers();
        }
        if let DataKind::Text(Text { tokenizer: tokenizer @ TokenizerConfig::Published(_), .. }) = &mut self.data.0 {
            let file = published.about.tokenizer(&published.folder, &name, published.ask.outputs.is_none());
            *tokenizer = TokenizerConfig::File(file.map_err(wrong)?);
        }
        Ok(self)
    }
}

impl Published {
    /// The published model that `config` asks for, if it does.
    ///
    /// # Errors
    /// As [`Config::settled`].
    pub(crate) fn of(config: &Config, root: &Path) -> Result<Option<Published>, String> {
        let open = |name: &PathBuf| Published::open(config, root, name);
        config.model.published.as_ref().map(open).transpose().map_err(|e| format!("model.published: {e}"))
    }

    fn open(config: &Config, root: &Path, name: &Path) -> Result<Published, String> {
        let folder = root.join(name);
        if !folder.is_dir() {
            return Err(format!("{}: there is no such folder", folder.display()));
        }
        let about = About::read(&folder.join(CONFIG))?;
        let word = about.word("model_type")?;
        let kind = KINDS.iter().find(|kind| kind.name == word).ok_or_else(|| {
            let known: Vec<&str> = KINDS.iter().map(|kind| kind.name).collect();
            about.wrong("model_type", &format!("`{word}` is not read; known are {}", known.join(", ")))
        })?;
        let text = config.data.as_text().ok_or("reads texts: set data.source = \"text\"")?;
        let targets = text.targets();
        let outputs = targets.as_ref().map(|targets| {
            let loss = config.model.loss.unwrap_or(Loss::usual(targets));
            loss.outputs(targets).first().copied().unwrap_or(1)
        });
        if outputs.is_none() && kind.classes[0].is_none() {
            return Err(format!("a {word} model does not write: give data.target, what is to be predicted of a text"));
        }
        let classes = match targets {
            Some(Targets::Classes { names, .. }) => names.to_vec(),
            _ => Vec::new(),
        };
        let ask = Ask { length: text.length, outputs };
        Ok(Published { parts: (kind.parts)(&about, &ask)?, folder, about, kind, ask, classes })
    }

    fn has_weights(&self) -> Result<(), String> {
        let there = |name: &str| self.folder.join(name).is_file();
        let missing = |why: &str| Err(format!("{}: there is no such file: {why}", self.folder.join(WEIGHTS).display()));
        match there(WEIGHTS) {
            true => Ok(()),
            false if there("model.safetensors.index.json") => missing(
                "the weights lie in several files, which are not read: save the model with a larger `max_shard_size`",
            ),
            false if there("pytorch_model.bin") => missing(
                "pickled weights are not read: load the model with the `transformers` library and save it with `save_pretrained`",
            ),
            false => missing("it holds the weights"),
        }
    }

    fn layers(&self) -> Vec<LayerConfig> {
        let (_, vocabulary, features) = self.parts.table;
        let body = || self.parts.body.iter().map(|part| part.0.clone());
        match self.ask.outputs {
            None => {
                let tied = layer::TiedEmbedding { vocabulary, features, padding: None, layers: body().collect() };
                vec![LayerConfig::TiedEmbedding(tied)]
            }
            Some(_) => {
                let padding = self.about.padding();
                let table = layer::Embedding { vocabulary, features, padding, deviation: 0.02 };
                let head = self.parts.head.iter().map(|part| part.0.clone());
                std::iter::once(LayerConfig::Embedding(table)).chain(body()).chain(head).collect()
            }
        }
    }

    /// What the publisher calls the model's parameters.
    pub(crate) fn names(&self) -> Names {
        Names::new(&self.parts, self.ask.outputs.is_none())
    }
}

#[cfg(test)]
mod tests;
