//! Tables as Parquet files, with the same public schema as delimited text.
//!
//! The keys are those of [`Csv`], but for what describes text. A Parquet file is known by its first bytes wherever a table is read
//! (`table/parquet.rs`), so this word only says what the user means and refuses keys that would do nothing.

use super::{Csv, DataError, Examples, Loaded, Promise, Source};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A table, its layout left at the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parquet(pub Csv);

impl Source for Parquet {
    fn declared(&self) -> usize {
        self.0.declared()
    }

    fn private_files(&self) -> Vec<&Path> {
        self.0.private_files()
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.check()?;
        self.0.load(root)
    }

    fn ask(&self, root: &Path, path: &Path) -> Result<Examples, DataError> {
        self.check()?;
        self.0.ask(root, path)
    }

    fn answer(&self, output: f64) -> f64 {
        self.0.answer(output)
    }

    fn promise(&self) -> Promise {
        self.0.promise()
    }
}

impl Parquet {
    fn check(&self) -> Result<(), DataError> {
        let Csv { delimiter, quoting, header, columns, .. } = &self.0;
        let described = [
            ("delimiter", *delimiter != super::csv::comma()),
            ("quoting", !quoting),
            ("header", !header),
            ("columns", !columns.is_empty()),
        ];
        match described.iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(DataError::config(*key, "is for text: a Parquet file names its columns; remove it")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
