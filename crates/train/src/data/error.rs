//! What can be wrong with a data set or with its declaration.
//!
//! Messages name the file, the line, the column and the kind of problem, and say what to change. They never hold
//! the content of a cell, a header or a label: those are private, and error messages end up in logs. What the
//! configuration declares (columns, categories, ranges) is public and may be quoted.

use std::path::{Path, PathBuf};

/// Why a data set could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// There is no such file.
    #[error("{}: no such data file; correct the path, or name the folder that relative paths start from with `--data-dir`", .path.display())]
    Missing {
        /// The path as it was looked for.
        path: PathBuf,
    },
    /// The file is there and the system would not read it.
    #[error("{}: cannot be read ({kind}); check its permissions and that it is a file", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        kind: std::io::ErrorKind,
    },
    /// The declaration of the data contradicts itself.
    #[error("data.{field}: {problem}")]
    Config {
        /// The key below `[data]`.
        field: String,
        /// What is wrong and how to put it right.
        problem: String,
    },
    /// The file as a whole is not what was declared.
    #[error("{}: {problem}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and how to put it right.
        problem: String,
    },
    /// One row of a text file is not what was declared.
    #[error("{}, line {line}: {problem}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line on which the row begins, from 1.
        line: u64,
        /// What is wrong and how to put it right.
        problem: String,
    },
    /// One cell or label is not what was declared.
    #[error("{}, line {line}, column `{column}`: {problem}", .path.display())]
    Cell {
        /// The file.
        path: PathBuf,
        /// The line on which the row begins, from 1.
        line: u64,
        /// The column's declared name.
        column: String,
        /// The kind of problem (never the content) and how to put it right.
        problem: String,
    },
    /// One cell of a table without lines is not what was declared.
    #[error("{}, row {row}, column `{column}`: {problem}", .path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: u64,
        /// The column's declared name.
        column: String,
        /// The kind of problem (never the content) and how to put it right.
        problem: String,
    },
}

impl DataError {
    /// A contradiction in the configuration at `data.<field>`.
    pub(super) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { field: field.into(), problem: problem.into() }
    }

    /// A problem of a whole file.
    pub(super) fn file(path: &Path, problem: impl Into<String>) -> Self {
        Self::File { path: path.to_owned(), problem: problem.into() }
    }

    /// A problem of one row.
    pub(super) fn line(path: &Path, line: u64, problem: impl Into<String>) -> Self {
        Self::Line { path: path.to_owned(), line, problem: problem.into() }
    }
}
