//! Whose gradients may be looked at.
//!
//! # Why this is private
//! *Claim.* Gradients of private examples are looked at only after a ledger says so, at infinite cost.
//! *Argument.* Evaluation data are public by the configuration, and other data only by the user's explicit word, which every
//! page repeats. Private examples come out of [`Secret::reveal`] and nowhere else: it posts the event before it returns, in
//! the ledger of the run that is looked at, or in one beside the results. The run's statement and report are rewritten too.
//! *Tests.* `private_data_are_revealed_or_not_shown`, and `tests/diagnose.rs` of the command.
use super::DiagnoseError;
use crate::{
    data::{Examples, Loaded},
    report,
};
use privacy::{Ledger, Neighbouring, Secret};
use std::path::Path;

/// Which examples were asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum On {
    /// The evaluation data, public because the configuration names them as such.
    Evaluation,
    /// The training data, declared public for a reason.
    Declared(String),
    /// The training data, private: looking costs everything.
    Training,
}

/// What a reader must know about the examples.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case", tag = "data", content = "reason")]
pub enum Standing {
    /// Public evaluation data.
    Evaluation,
    /// Training data that somebody declared public.
    Declared(String),
    /// Private data, revealed.
    Revealed,
}

/// The examples that were asked for, and how they stand. Revealing writes to the ledger at `ledger`, which is continued if
/// it is there and begun if not.
///
/// # Errors
/// If there are no evaluation data, or the ledger cannot be written: then nothing is looked at.
pub fn examples(
    loaded: Loaded,
    on: &On,
    ledger: &Path,
    neighbouring: Neighbouring,
) -> Result<(Examples, Standing), DiagnoseError> {
    match on {
        On::Evaluation => {
            let none = || {
                DiagnoseError::Ask("the configuration names no evaluation data, which would be public: say --training to look at private data (this is charged, without limit), or --declare-public REASON".into())
            };
            Ok((loaded.evaluation.ok_or_else(none)?, Standing::Evaluation))
        }
        On::Declared(reason) => Ok((loaded.train, Standing::Declared(reason.clone()))),
        On::Training => {
            let mut book = book(ledger, neighbouring)?;
            let shown =
                Secret::new(loaded.train).reveal(&mut book, "gradients of training examples, for diagnostics")?;
            book.close()?;
            Ok((shown.into_inner(), Standing::Revealed))
        }
    }
}

/// Makes the results of a run in `folder` say what its ledger says by now: private data were looked at, so there is no bound.
///
/// # Errors
/// If the results cannot be read or written.
pub(super) fn annul(folder: &Path) -> Result<(), DiagnoseError> {
    let mut record = report::read(folder)?;
    (record.statement.epsilon, record.summary.epsilon) = (f64::INFINITY, f64::INFINITY);
    record.statement.membership = None;
    let looked =
        "Private training data were looked at after this run (secateur diagnose --training), and the ledger says so.";
    // Once, however often they are.
    if !record.statement.warnings.iter().any(|warning| warning == looked) {
        record.statement.warnings.push(looked.into());
    }
    Ok(report::write(folder, &record)?)
}

/// The ledger at `path`, continued if it is there and begun if not.
pub(super) fn book(path: &Path, neighbouring: Neighbouring) -> Result<Ledger, DiagnoseError> {
    Ok(if path.exists() { Ledger::resume(path)? } else { Ledger::create(path, neighbouring)? })
}
