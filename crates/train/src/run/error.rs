//! Why a run cannot start or go on.
use super::FolderError;
use crate::{config::ConfigError, data::DataError, model::ModelError, plan::PlanError, report};
use privacy::{KeyError, LedgerError};
use std::{io, path::PathBuf};

/// A run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The folder of results.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Starting weights that do not fit, or weights that cannot be stored.
    #[error("{0}")]
    Weights(String),
    /// A file of results.
    #[error(transparent)]
    File(#[from] report::FileError),
    /// A result that cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device.
    #[error(transparent)]
    Device(#[from] engine::DeviceError),
    /// What a run has left and cannot be read, or cannot do what is asked of it.
    #[error("{0}")]
    Left(String),
    /// A run that cannot be continued.
    #[error("{0}")]
    Resume(String),
    /// Somebody who watches gave up.
    #[error("{0}")]
    Look(String),
    /// A ledger that cannot be priced.
    #[error("the ledger cannot be priced: {0}")]
    Price(String),
}
