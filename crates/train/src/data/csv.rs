//! Tables as delimited text: comma, tab or otherwise separated, plain, gzip or xz.
//!
//! The [schema] says how columns become inputs. A row that breaks the declaration stops the reading:
//! which rows to drop or mend is a decision about people's data, to be taken where the file is made.

use super::{
    DataError, Examples, Loaded, Promise, Source, encode, file,
    people::{self, Ids},
    schema,
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
    /// The public number of training examples, or people.
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
    /// The column that tells people apart, where one may have several rows: people are then what is drawn, clipped and protected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// So many of a person's rows at most take part in a step; public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_person: Option<usize>,
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
        self.person()?;
        let read = |name: &PathBuf, kind| {
            let path = file::find(root, name)?;
            self.rows(&path, &file::read(&path)?, kind)
        };
        let (train, ids) = read(&self.train, Kind::Private)?;
        let test = self.test.as_ref().map(|test| read(test, Kind::Public)).transpose()?;
        let note = test.as_ref().and_then(|(_, others)| people::in_both(ids.as_ref()?, others.as_ref()?));
        let mut loaded = Loaded::new(train, test.map(|(test, _)| test), self.examples)?;
        loaded.notes.extend(note);
        Ok(loaded)
    }

    fn ask(&self, _: &Path, path: &Path) -> Result<Examples, DataError> {
        self.questions(path, &file::read(path)?)
    }

    fn answer(&self, output: f64) -> f64 {
        self.target.answer(output)
    }

    fn promise(&self) -> Promise {
        people::promise(self.person.as_deref().zip(self.per_person)).unwrap_or_default()
    }
}

/// What a file's rows are for.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// To train on: each is somebody's.
    Private,
    /// To measure on.
    Public,
    /// To be answered: the target's column is not looked for, nor whose they are.
    Questions,
}

impl Csv {
    /// The examples in the unpacked content of one file; `path` is for messages.
    pub(super) fn parse(&self, path: &Path, bytes: &[u8]) -> Result<Examples, DataError> {
        Ok(self.rows(path, bytes, Kind::Private)?.0)
    }

    /// The same without targets: the target's column is not looked for.
    pub(super) fn questions(&self, path: &Path, bytes: &[u8]) -> Result<Examples, DataError> {
        Ok(self.rows(path, bytes, Kind::Questions)?.0)
    }

    fn person(&self) -> Result<Option<(&str, usize)>, DataError> {
        people::declared(self.person.as_deref(), self.per_person)
    }

    fn rows(&self, path: &Path, bytes: &[u8], kind: Kind) -> Result<(Examples, Option<Ids<'_>>), DataError> {
        schema::check(&self.features, &self.target)?;
        let mut table = Table::open(path, bytes, &self.layout()?)?;
        let mut encoder = encode::Encoder::new(&self.features, self.missing.as_deref(), &table)?;
        let mut answers = (kind != Kind::Questions).then(|| encode::Answers::new(&self.target, &table)).transpose()?;
        let mut ids = self.ids(&table, kind)?;
        let (mut row, mut inputs) = (ByteRecord::new(), Vec::new());
        while let Some(line) = table.next(&mut row)? {
            let encoded = encoder.row(&row, &mut inputs);
            let encoded = encoded.and_then(|()| answers.as_mut().map_or(Ok(()), |answers| answers.row(&row)));
            let encoded = encoded.and_then(|()| ids.as_mut().map_or(Ok(()), |ids| ids.row(&row)));
            encoded.map_err(|p| table.bad(line, p.column, p.text))?;
        }
        if inputs.is_empty() {
            return Err(DataError::file(path, "holds no rows of data"));
        }
        let width = encoder.names().len();
        let targets = answers.map_or_else(|| self.target.made_up(inputs.len() / width), encode::Answers::finish);
        let examples = Examples::from_floats(inputs, vec![width], targets, encoder.names().to_vec())?;
        people::grouped(examples, ids, self.per_person)
    }

    /// Whose rows are: a public file need not say.
    fn ids(&self, table: &Table, kind: Kind) -> Result<Option<Ids<'_>>, DataError> {
        let Some((column, _)) = self.person()?.filter(|_| kind != Kind::Questions) else { return Ok(None) };
        match Ids::new(column, self.missing.as_deref(), table) {
            Err(_) if kind == Kind::Public => Ok(None),
            ids => ids.map(Some),
        }
    }

    fn layout(&self) -> Result<Layout<'_>, DataError> {
        Layout::declared(&self.delimiter, self.quoting, self.header, &self.columns)
    }
}

#[cfg(test)]
mod tests;
