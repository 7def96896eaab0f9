//! Data sets: from a public declaration and private files to [`Examples`].
//!
//! A declaration ([`DataConfig`], the table `[data]` of a configuration) is public: columns, categories, ranges,
//! bucket edges, scale constants and the number of examples. The files' content is private. Nothing here computes a
//! statistic over rows: each row is scaled, clamped and encoded by declared constants alone, so one person's data
//! touches one row and no other. That is why a numeric column needs a `range`, a categorical one its `categories`, and
//! the count of examples is declared.
//!
//! The evaluation set is another matter: naming one declares it public, because accuracies on it are printed.
//!
//! A new source is one file here, with a struct that implements [`Source`], and one word in the list below.

mod date;
mod encode;
mod error;
mod examples;
mod file;
mod people;
pub mod schema;
mod table;
mod targets;

pub use error::DataError;
pub use examples::{Batch, Examples};
pub(crate) use file::find;
pub(crate) use people::TakingPart;
pub use targets::Targets;
pub use text::{Tokens, tokenizer};

use crate::{
    registry::registry,
    report::{Person, UNIT, Unit},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::path::Path;
use toml::{Table, Value};

/// A kind of data set: its fields are its keys below `[data]`.
pub trait Source: Send + Sync {
    /// The declared number of training examples; public.
    fn declared(&self) -> usize;

    /// The files that hold private rows, as they are declared; rows that are built in go by the source's name. By these names weights say what
    /// they were trained on.
    fn private_files(&self) -> Vec<&Path>;

    /// Reads the data. Relative paths start from `root`.
    ///
    /// # Errors
    /// A declaration that contradicts itself, absent or damaged files, rows that break the declaration.
    fn load(&self, root: &Path) -> Result<Loaded, DataError>;

    /// The inputs in one more file, which is laid out like the training file and need not say what is to be predicted: the
    /// examples' targets are made up.
    ///
    /// # Errors
    /// As [`Source::load`].
    fn ask(&self, root: &Path, path: &Path) -> Result<Examples, DataError>;

    /// What the rows in that file are called, in order, if they have names of their own: as private as they are.
    ///
    /// # Errors
    /// As [`Source::ask`].
    fn names(&self, _path: &Path) -> Result<Vec<String>, DataError> {
        Ok(Vec::new())
    }

    /// A number that a model puts out, in the unit of the file's own.
    fn answer(&self, output: f64) -> f64 {
        output
    }

    /// What the declaration means for the privacy statement; public.
    fn promise(&self) -> Promise {
        Promise::default()
    }

    /// The source as one of texts, if it is one.
    fn as_text(&self) -> Option<&Text> {
        None
    }
}

/// What a declaration means for the privacy statement: known before any row is read, and so public.
#[derive(Debug, Clone, PartialEq)]
pub struct Promise {
    /// What is protected as a whole.
    pub unit: String,
    /// How people with several records are told apart, if they are what is protected.
    pub person: Option<Person>,
    /// What must be true of the data for the guarantee to mean what it says.
    pub assumptions: Vec<String>,
    /// What everybody should know.
    pub warnings: Vec<String>,
}

impl Default for Promise {
    fn default() -> Self {
        let person =
            "Each row of the training data is one person; somebody with k rows is protected k times less (as a group).";
        Self { unit: UNIT.into(), person: None, assumptions: vec![person.into()], warnings: Vec::new() }
    }
}

impl Promise {
    /// The kind of unit.
    pub(crate) fn kind(&self) -> Unit {
        Unit::of(self.person.as_ref(), &self.unit)
    }
}

/// What holding out the last `count` records of a file of private ones claims, if any are.
fn held_out(count: usize, records: &str, file: &Path) -> Option<String> {
    let file = file.display();
    (count > 0).then(|| format!("The last {count} {records} of {file}, which are held out to evaluate on, are public, though those before them are not."))
}

/// A data set that has been read.
#[derive(Debug)]
pub struct Loaded {
    /// The private examples to train on.
    pub train: Examples,
    /// Examples declared public by whoever named them; accuracies on them may be printed.
    pub evaluation: Option<Examples>,
    /// The declared, public number of training examples: for the sample rate, the normaliser and the steps.
    pub declared: usize,
    /// What the reader noticed and the user should know. Each note depends on the private rows, be it by a single bit: none
    /// may be published.
    pub notes: Vec<String>,
    /// What a reader of scores should know of the evaluation data, which are public; published with the results.
    pub remarks: Vec<String>,
}

impl Loaded {
    /// Puts a loaded set together; notes when the files' count is not the declared one (and never what it is).
    fn new(train: Examples, evaluation: Option<Examples>, declared: usize) -> Result<Self, DataError> {
        if declared == 0 {
            return Err(DataError::config("examples", "must be at least 1: the public number of training examples"));
        }
        if evaluation.as_ref().is_some_and(|public| public.is(&train)) {
            let problem = "the evaluation data are the training data, which are private: scores on them would be printed and not \
                           charged; name other rows, or none";
            return Err(DataError::config("test", problem));
        }
        let note = || {
            format!(
                "the training data does not hold exactly the declared `examples = {declared}`; the declared number is \
                 used for the sample rate, the normaliser and the steps"
            )
        };
        let notes = (train.units() != declared).then(note).into_iter().collect();
        Ok(Self { train, evaluation, declared, notes, remarks: Vec::new() })
    }
}

registry! {
    /// The table `[data]`: the key `source` chooses the kind, the other keys are that kind's fields.
    Kind by "source" as Source:
    adult::Adult = "adult", "the Adult census data, built into the program";
    csv::Csv = "csv", "tables in text files, with a public schema";
    idx::Idx = "idx", "images in IDX files: MNIST, Fashion-MNIST and their like";
    cifar10::Cifar10 = "cifar10", "CIFAR-10 in its official binary layout";
    images::Images = "images", "PNG and JPEG pictures in folders, by class or by a table";
    npy::Npy = "npy", "arrays of NumPy: features that another program made";
    parquet::Parquet = "parquet", "tables in Parquet files, with the public schema of csv";
    text::Text = "text", "texts to classify or to learn to write: rows, lines or blocks of a file";
}

/// A declared data set. Requests to scale by statistics of the private rows are refused with an explanation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct DataConfig(pub Kind);

impl DataConfig {
    /// The declared number of training examples; public, known without reading the data.
    pub fn declared(&self) -> usize {
        self.0.get().declared()
    }

    /// The files that hold private rows, as they are declared.
    pub fn private_files(&self) -> Vec<&Path> {
        self.0.get().private_files()
    }

    /// Reads the data. Relative paths start from `root`.
    ///
    /// # Errors
    /// See [`Source::load`].
    pub fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.0.get().load(root)
    }

    /// The inputs in one more file, without targets; as in training, `.gz` and `.xz` are tried after the bare name.
    ///
    /// # Errors
    /// See [`Source::ask`].
    pub fn ask(&self, root: &Path, path: &Path) -> Result<Examples, DataError> {
        let found = match path.is_dir() {
            true => path.to_owned(),
            false => file::find(Path::new(""), path).map_err(|_| DataError::file(path, "there is no such file"))?,
        };
        self.0.get().ask(root, &found)
    }

    /// What the rows in one more file are called, in order; empty where they have no names of their own.
    ///
    /// # Errors
    /// See [`Source::ask`].
    pub fn names(&self, path: &Path) -> Result<Vec<String>, DataError> {
        self.0.get().names(path)
    }

    /// A number that a model puts out, in the unit of the file's own.
    pub fn answer(&self, output: f64) -> f64 {
        self.0.get().answer(output)
    }

    /// What the declaration means for the privacy statement.
    pub fn promise(&self) -> Promise {
        self.0.get().promise()
    }

    /// The texts that are declared, if they are texts.
    pub fn as_text(&self) -> Option<&Text> {
        self.0.get().as_text()
    }
}

impl Default for DataConfig {
    fn default() -> Self {
        Self(Kind::Adult(Adult::default()))
    }
}

impl<'de> Deserialize<'de> for DataConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let keys = Table::deserialize(from)?;
        schema::refuse_statistics(&keys).map_err(D::Error::custom)?;
        text::tokenizer::refuse_learning(&keys).map_err(D::Error::custom)?;
        Kind::deserialize(Value::Table(keys)).map(Self).map_err(|e| D::Error::custom(e.message()))
    }
}

#[cfg(test)]
mod tests;
