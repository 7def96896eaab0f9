//! Texts: a column of a table, the lines of a file, or a long file cut into blocks; to classify, or to learn to write.
//!
//! ```toml
//! [data]
//! source = "text"
//! train = "reviews.tsv"           # private
//! test = "public.tsv"             # declared public
//! examples = 67349
//! delimiter = "\t"
//! quoting = false
//! text = "sentence"               # the column to read
//! target = { name = "label", classes = ["0", "1"] }
//! length = 64                     # positions an example: public, texts are cut and padded to it
//! tokenizer = "bytes"
//! ```
//!
//! Without `target` the model learns to write: at each position the next token is to be predicted, and an example's loss is
//! the mean over its own tokens. With `prompt`, a second column is read and not predicted.
//!
//! # Why this is private
//! *Claim.* One record becomes one example, which depends on that record and the declaration alone; nothing else that depends
//! on private texts (their number, lengths, how many were cut, which words they use) is kept or said.
//! *Argument.* `length`, the tokenizer and all its ids are declared, so no record moves another's shape or ids: each is
//! tokenized, cut and padded by itself. What is said of cut texts is counted over evaluation data, which are public. No
//! tokenizer is ever made here: a vocabulary learnt from private rows would show which words are in them. A file that holds
//! one is public by its user's word (`origin`), which the statement prints. Where a long file is cut into blocks, a record is a
//! block: the statement names that unit, and warns.
//! *Tests.* `tests::an_example_depends_on_its_own_record`, `tests::nothing_of_private_texts_is_said`, and in `tests/text.rs`
//! that neither padding nor a neighbour changes a loss or a norm.
mod frame;
mod records;
pub mod tokenizer;

use super::{DataError, Examples, Loaded, Promise, Source, file, held_out, people, schema::Target, targets::Targets};
use frame::{Frame, Kept};
use rayon::prelude::*;
use records::{Kind, Read};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tokenizer::{Asked, Tokenizer, TokenizerConfig};

/// Texts: where they are, how they become tokens, and what is asked of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The private file to train on.
    pub train: PathBuf,
    /// A file declared public, to evaluate on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The public number of training examples, or people: without those held out.
    pub examples: usize,
    /// So many of the last records of the training file, or with `person` all records of the people who come up last, are declared public, held out, and evaluated on in the place of `test`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_out: usize,
    /// What one record is: `"rows"` of a table, `"lines"` (blank ones are none), or `"blocks"` of a long text.
    #[serde(default)]
    pub records: Records,
    /// Characters of a block.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<usize>,
    /// Between fields: one ASCII character.
    #[serde(default = "super::csv::comma")]
    pub delimiter: String,
    /// Whether double quotes enclose fields.
    #[serde(default = "super::schema::yes")]
    pub quoting: bool,
    /// Whether the first row names the columns.
    #[serde(default = "super::schema::yes")]
    pub header: bool,
    /// The columns' names in order, for files without a header row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The column with the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A column that is read before the text and not predicted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The column that tells people apart, where one may have several rows: people are then what is drawn, clipped and protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// So many of a person's texts at most take part in a step; public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_person: Option<usize>,
    /// Positions of an example: public. Longer texts are cut, shorter ones padded.
    pub length: usize,
    /// How a text becomes tokens.
    pub tokenizer: TokenizerConfig,
    /// What to predict of a text; without it, each next token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
}

/// What one record is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Records {
    /// A row of a table.
    #[default]
    Rows,
    /// A line that is not blank.
    Lines,
    /// So many characters of a long text, in order.
    Blocks,
}

/// What the numbers of tokenized examples are; public.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Ids there are.
    pub vocabulary: u32,
    /// The id of positions that hold nothing; none where the tokenizer has no token for that alone.
    pub padding: Option<u32>,
    /// Whether each next token is to be predicted.
    pub next: bool,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Source for Text {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        vec![&self.train]
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.check()?;
        let tokenizer = self.tokenizer(root)?;
        let read = |name: &PathBuf, kind| {
            let path = file::find(root, name)?;
            self.read(&path, &file::read(&path)?, kind)
        };
        let mut train = read(&self.train, Kind::Private)?;
        let test = match &self.test {
            Some(test) => Some(read(test, Kind::Public)?),
            None if self.held_out > 0 => Some(train.hold_out(self.held_out)?),
            None => None,
        };
        let note = test.as_ref().and_then(|test| people::in_both(train.ids.as_ref()?, test.ids.as_ref()?));
        let (train, _) = self.examples(train, &*tokenizer)?;
        let test = test.map(|test| self.examples(test, &*tokenizer)).transpose()?;
        let remarks = test.as_ref().and_then(|(_, kept)| kept.remark(self.length)).into_iter().collect();
        let test =
            test.map(|(examples, kept)| if self.target.is_none() { examples.spelling(kept.bytes) } else { examples });
        let mut loaded = Loaded { remarks, ..Loaded::new(train, test, self.examples)? };
        loaded.notes.extend(note);
        Ok(loaded)
    }

    fn ask(&self, root: &Path, path: &Path) -> Result<Examples, DataError> {
        self.check()?;
        let writes = || DataError::config("target", "is missing: this model writes; ask it by `secateur generate`");
        let target = self.target.as_ref().ok_or_else(writes)?;
        let tokenizer = self.tokenizer(root)?;
        let asked = Text { target: None, ..self.clone() };
        let read = asked.read(path, &file::read(path)?, Kind::Questions)?;
        let targets = Some(target.made_up(read.records.len()));
        Ok(self.examples(Read { targets, ..read }, &*tokenizer)?.0)
    }

    fn answer(&self, output: f64) -> f64 {
        self.target.as_ref().map_or(output, |target| target.answer(output))
    }

    fn promise(&self) -> Promise {
        let mut promise = match (self.records, self.block) {
            (Records::Blocks, Some(block)) => blocks(block),
            _ => people::promise(self.person.as_deref().zip(self.per_person)).unwrap_or_default(),
        };
        promise.assumptions.extend(self.tokenizer.get().claim());
        promise.assumptions.extend(match &self.person {
            Some(column) => people::held_out(self.held_out, column, &self.train),
            None => held_out(self.held_out, "records", &self.train),
        });
        promise
    }

    fn as_text(&self) -> Option<&Text> {
        Some(self)
    }
}

/// What holds where the unit is a stretch of one long text.
fn blocks(block: usize) -> Promise {
    let unit = format!("one block of {block} characters of the training text: not a person, an author or a document");
    Promise {
        assumptions: vec![format!(
            "Nobody's secret is longer than one block of {block} characters: what fills k blocks is protected k times less (as \
             a group), and the blocks' places are fixed, so that a shorter passage may lie in two."
        )],
        warnings: vec![format!(
            "The unit of privacy is {unit}. The guarantee is about adding, removing or changing one such block, and says little \
             about whoever wrote more than that. Where people can be told apart, make a table with a row for each text and name the column \
             that says whose it is: `records = \"rows\"` with `person` protects each person with all texts."
        )],
        unit,
        person: None,
    }
}

impl Text {
    fn check(&self) -> Result<(), DataError> {
        let rows = self.records == Records::Rows;
        let problem = match self {
            _ if self.length == 0 => ("length", "must be at least 1: the public number of positions of an example"),
            Text { text: None, .. } if rows => {
                ("text", "must name the column to read, as `records` are rows of a table")
            }
            Text { text: Some(_), .. } if !rows => {
                ("text", "is for `records = \"rows\"`: lines and blocks have no columns")
            }
            Text { prompt: Some(_), .. } if !rows => {
                ("prompt", "is for `records = \"rows\"`: lines and blocks have no columns")
            }
            Text { person: Some(_), .. } if !rows => {
                ("person", "is for `records = \"rows\"`: lines and blocks have no columns that say whose they are")
            }
            Text { target: Some(_), .. } if !rows => {
                ("target", "is for `records = \"rows\"`: lines and blocks have no columns")
            }
            Text { prompt: Some(_), target: Some(_), .. } => {
                ("prompt", "is read before a text that is to be written; remove it, or `target`")
            }
            Text { block: None | Some(0), records: Records::Blocks, .. } => {
                ("block", "must be given for `records = \"blocks\"`: the public number of characters of a block")
            }
            Text { block: Some(_), .. } if self.records != Records::Blocks => {
                ("block", "is for `records = \"blocks\"`")
            }
            Text { test: Some(_), held_out: 1.., .. } => ("held_out", "excludes `test`: give one"),
            _ => return self.check_columns(),
        };
        Err(DataError::config(problem.0, problem.1))
    }

    fn person(&self) -> Result<Option<(&str, usize)>, DataError> {
        people::declared(self.person.as_deref(), self.per_person)
    }

    fn check_columns(&self) -> Result<(), DataError> {
        let twice = self.text.is_some() && self.text == self.prompt;
        self.person()?;
        let target = self.target.as_ref();
        match target {
            _ if twice => Err(DataError::config("prompt", "is the text's own column")),
            Some(target) if Some(&target.name) == self.text.as_ref() => {
                Err(DataError::config("target", "is the text's own column"))
            }
            Some(target) => super::schema::check_target(target).map_err(|problem| DataError::config("target", problem)),
            None => Ok(()),
        }
    }

    /// The tokenizer, if it can do what is asked. Relative paths start from `root`.
    ///
    /// # Errors
    /// A file that is absent, damaged or not declared public, and marks that it lacks.
    pub fn tokenizer(&self, root: &Path) -> Result<Box<dyn Tokenizer>, DataError> {
        let writes = self.target.is_none();
        let tokenizer = self.tokenizer.get().open(root, Asked { writes, length: self.length })?;
        if writes && tokenizer.marks().is_none() {
            let problem = format!(
                "`{}` cannot be turned back into a text, so that a model cannot learn to write with it: use `bytes` or a file, \
                 or give a `target` to classify",
                self.tokenizer.name()
            );
            return Err(DataError::config("tokenizer", problem));
        }
        Ok(tokenizer)
    }

    /// The kind of the declared target, without any text's; none where the model learns to write.
    pub(crate) fn targets(&self) -> Option<Targets> {
        self.target.as_ref().map(|target| target.made_up(0))
    }

    /// What examples are, before any is read: the shape of their targets, and their ids.
    pub fn kind(&self, tokenizer: &dyn Tokenizer) -> (Targets, Tokens) {
        let vocabulary = tokenizer.vocabulary();
        let nobody = Targets::Tokens { width: self.length, vocabulary, ids: Vec::new() };
        let (padding, next) = (tokenizer.padding(), self.target.is_none());
        let marks = tokenizer.marks().filter(|_| next);
        let own = marks.is_none_or(|marks| ![marks.start, marks.end].contains(&padding));
        (nobody, Tokens { vocabulary, padding: own.then_some(padding), next })
    }

    /// How many positions, and whether a text that ends says so.
    pub(crate) fn frame<'a>(&self, tokenizer: &'a dyn Tokenizer) -> Frame<'a> {
        Frame { tokenizer, length: self.length, next: self.target.is_none(), ends: self.records != Records::Blocks }
    }

    /// The tokenized records of one file, and what was kept of them all.
    fn examples(&self, read: Read, tokenizer: &dyn Tokenizer) -> Result<(Examples, Kept), DataError> {
        let frame = self.frame(tokenizer);
        let (path, column) = (&read.path, self.text.as_deref().unwrap_or("text"));
        let framed = read.records.par_iter().map(|record| {
            frame.example(&record.prompt, &record.text).map_err(|problem| DataError::Cell {
                path: path.clone(),
                line: record.line,
                column: column.to_owned(),
                problem,
            })
        });
        let framed: Vec<frame::Framed> = framed.collect::<Result<_, _>>()?;
        let kept = framed.iter().map(|one| one.kept).sum();
        let (kind, tokens) = self.kind(tokenizer);
        let next = || framed.iter().flat_map(|one| &one.targets).copied().collect();
        let targets = match (read.targets, kind) {
            (Some(targets), _) => targets,
            (None, Targets::Tokens { width, vocabulary, .. }) => Targets::Tokens { width, vocabulary, ids: next() },
            (None, other) => other,
        };
        let ids = framed.iter().flat_map(|one| &one.inputs).copied();
        let examples = Examples::from_tokens(ids, self.length, targets, tokens)?;
        Ok((people::grouped(examples, read.ids, self.per_person)?.0, kept))
    }
}

#[cfg(test)]
mod tests;
