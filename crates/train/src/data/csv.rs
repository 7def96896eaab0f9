//! Tables as delimited text: comma, tab or otherwise separated, plain, gzip or xz.
//!
//! The [schema] says how columns become inputs. A row that breaks the declaration stops the reading:
//! which rows to drop or mend is a decision about people's data, to be taken where the file is made.

use super::{
    DataError, Examples, Loaded, Source, encode, file, schema,
    schema::{Feature, Target},
    table::{Layout, Table},
};
use ::csv::ByteRecord;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// A table: where it is, how it is laid out and what its columns mean.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csv {
    /// The private file to train on.
    pub train: PathBuf,
    /// A file declared public, to measure accuracy on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The public number of training examples.
    pub examples: usize,
    /// Between fields: one ASCII character.
    #[serde(default = "comma")]
    pub delimiter: String,
    /// Whether double quotes enclose fields.
    #[serde(default = "schema::yes")]
    pub quoting: bool,
    /// Whether the first row names the columns.
    #[serde(default = "schema::yes")]
    pub header: bool,
    /// The columns' names in order, for files without a header row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// The mark of a missing cell, besides the empty cell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// The inputs, in order.
    #[serde(deserialize_with = "schema::features")]
    pub features: Vec<Feature>,
    /// What to predict.
    pub target: Target,
}

pub(super) fn comma() -> String {
    ",".to_owned()
}

impl Source for Csv {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        vec![&self.train]
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.layout()?;
        schema::check(&self.features, &self.target)?;
        let read = |name: &PathBuf| {
            let path = file::find(root, name)?;
            self.parse(&path, &file::read(&path)?)
        };
        let train = read(&self.train)?;
        Loaded::new(train, self.test.as_ref().map(read).transpose()?, self.examples)
    }

    fn ask(&self, _: &Path, path: &Path) -> Result<Examples, DataError> {
        self.questions(path, &file::read(path)?)
    }

    fn answer(&self, output: f64) -> f64 {
        self.target.answer(output)
    }
}

impl Csv {
    /// The examples in the unpacked content of one file; `path` is for messages.
    pub(super) fn parse(&self, path: &Path, bytes: &[u8]) -> Result<Examples, DataError> {
        self.rows(path, bytes, true)
    }

    /// The same without targets: the target's column is not looked for.
    pub(super) fn questions(&self, path: &Path, bytes: &[u8]) -> Result<Examples, DataError> {
        self.rows(path, bytes, false)
    }

    fn rows(&self, path: &Path, bytes: &[u8], answered: bool) -> Result<Examples, DataError> {
        schema::check(&self.features, &self.target)?;
        let mut table = Table::open(path, bytes, &self.layout()?)?;
        let mut encoder = encode::Encoder::new(&self.features, self.missing.as_deref(), &table)?;
        let mut answers = answered.then(|| encode::Answers::new(&self.target, &table)).transpose()?;
        let (mut row, mut inputs) = (ByteRecord::new(), Vec::new());
        while let Some(line) = table.next(&mut row)? {
            let encoded = encoder.row(&row, &mut inputs);
            encoded
                .and_then(|()| answers.as_mut().map_or(Ok(()), |answers| answers.row(&row)))
                .map_err(|p| table.bad(line, p.column, p.text))?;
        }
        if inputs.is_empty() {
            return Err(DataError::file(path, "holds no rows of data"));
        }
        let width = encoder.names().len();
        let targets = answers.map_or_else(|| self.target.made_up(inputs.len() / width), encode::Answers::finish);
        Examples::from_floats(inputs, vec![width], targets, encoder.names().to_vec())
    }

    fn layout(&self) -> Result<Layout<'_>, DataError> {
        Layout::declared(&self.delimiter, self.quoting, self.header, &self.columns)
    }
}

#[cfg(test)]
mod tests;
