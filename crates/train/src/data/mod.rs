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

mod encode;
mod error;
mod examples;
mod file;
pub mod schema;
mod table;

pub use error::DataError;
pub use examples::{Batch, Examples, Targets};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned, de::Error as _, ser::Error as _};
use std::path::Path;
use toml::{Table, Value};

/// A kind of data set: its fields are its keys below `[data]`.
pub trait Source: Serialize + DeserializeOwned {
    /// One line for the help text.
    const HELP: &'static str;

    /// The declared number of training examples; public.
    fn declared(&self) -> usize;

    /// Reads the data. Relative paths start from `root`.
    ///
    /// # Errors
    /// A declaration that contradicts itself, absent or damaged files, rows that break the declaration.
    fn load(&self, root: &Path) -> Result<Loaded, DataError>;
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
    /// What the reader noticed and the user should know; holds nothing private but what each note says.
    pub notes: Vec<String>,
}

impl Loaded {
    /// Puts a loaded set together; notes when the files' count is not the declared one (and never what it is).
    fn new(train: Examples, evaluation: Option<Examples>, declared: usize) -> Result<Self, DataError> {
        if declared == 0 {
            return Err(DataError::config("examples", "must be at least 1: the public number of training examples"));
        }
        let note = || {
            format!(
                "the training data does not hold exactly the declared `examples = {declared}`; the declared number is \
                 used for the sample rate, the normaliser and the steps"
            )
        };
        let notes = (train.len() != declared).then(note).into_iter().collect();
        Ok(Self { train, evaluation, declared, notes })
    }
}

/// The list of sources. From one entry come the module, the value of `source`, the variant and the help text.
macro_rules! sources {
    ($($module:ident::$Source:ident),+ $(,)?) => {
        $(pub mod $module;)+

        /// The table `[data]`: the key `source` chooses the kind, the other keys are that kind's fields.
        #[derive(Debug, Clone, PartialEq)]
        pub enum DataConfig {
            $(#[doc = concat!("`source = \"", stringify!($module), "\"`")] $Source($module::$Source),)+
        }

        /// Every source: its name in configurations and one line of help.
        pub const SOURCES: &[(&str, &str)] = &[$((stringify!($module), <$module::$Source as Source>::HELP)),+];

        impl DataConfig {
            /// The value of `source`.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$Source(_) => stringify!($module),)+ }
            }

            /// The declared number of training examples; public, known without reading the data.
            pub fn declared(&self) -> usize {
                match self { $(Self::$Source(source) => source.declared(),)+ }
            }

            /// Reads the data. Relative paths start from `root`.
            ///
            /// # Errors
            /// See [`Source::load`].
            pub fn load(&self, root: &Path) -> Result<Loaded, DataError> {
                match self { $(Self::$Source(source) => source.load(root),)+ }
            }

            fn choose(name: &str, keys: Table) -> Result<Self, String> {
                match name {
                    $(stringify!($module) => decode(keys).map(Self::$Source),)+
                    _ => Err(format!("unknown source `{name}`, expected one of {}", names())),
                }
            }

            fn keys(&self) -> Result<Table, toml::ser::Error> {
                match self { $(Self::$Source(source) => Table::try_from(source),)+ }
            }
        }
    };
}

sources! { adult::Adult, csv::Csv, idx::Idx, cifar10::Cifar10 }

impl Default for DataConfig {
    fn default() -> Self {
        Self::Adult(adult::Adult::default())
    }
}

impl<'de> Deserialize<'de> for DataConfig {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut keys = Table::deserialize(from)?;
        schema::refuse_statistics(&keys).map_err(D::Error::custom)?;
        match keys.remove("source") {
            Some(Value::String(name)) => Self::choose(&name, keys).map_err(D::Error::custom),
            Some(_) => Err(D::Error::custom(format!("`source` must be one of {}", names()))),
            None => Err(D::Error::custom(format!("missing field `source`, one of {}", names()))),
        }
    }
}

impl Serialize for DataConfig {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let keys = self.keys().map_err(S::Error::custom)?;
        let source = ("source".to_owned(), Value::String(self.name().to_owned()));
        to.collect_map(std::iter::once(source).chain(keys))
    }
}

/// The sources' names, quoted, for messages.
fn names() -> String {
    SOURCES.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// A table as a declared struct, with serde's own words and the key when it does not fit.
fn decode<T: DeserializeOwned>(keys: Table) -> Result<T, String> {
    keys.try_into().map_err(|e| e.to_string().trim_end().replace("\nin `", ", in `"))
}

#[cfg(test)]
mod tests;
