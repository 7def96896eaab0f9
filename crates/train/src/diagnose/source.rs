//! Whose gradients may be looked at.
//!
//! # Why this is private
//! *Claim.* Gradients of private examples are looked at only after a ledger says so, at infinite cost.
//! *Argument.* Evaluation data are public by the configuration, and other data only by the user's explicit word, which every
//! page repeats. Private examples come out of [`Secret::reveal`] and nowhere else: it posts the event before it returns, in
//! the ledger of the run that is looked at, or in one beside the results. The run's statement and report are rewritten before that.
//! *Tests.* `private_data_are_revealed_or_not_shown`, `a_statement_is_annulled_before_data_are_shown`, and `tests/diagnose.rs` of the command.
use super::{Ask, DiagnoseError};
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

/// The examples that were asked for, and how they stand. Revealing writes to the ledger that was asked for, which is continued if
/// it is there and begun if not, and to the statement of the run that is looked at, before anything is shown.
///
/// # Errors
/// If there are no evaluation data, or ledger or statement cannot be written: then nothing is looked at.
pub fn examples(loaded: Loaded, ask: &Ask, neighbouring: Neighbouring) -> Result<(Examples, Standing), DiagnoseError> {
    match &ask.on {
        On::Evaluation => {
            let none = || {
                DiagnoseError::Ask("the configuration names no evaluation data, which would be public: say --training to look at private \
                                    data (this is charged, without limit), or --declare-public REASON".into())
            };
            Ok((loaded.evaluation.ok_or_else(none)?, Standing::Evaluation))
        }
        On::Declared(reason) => Ok((loaded.train, Standing::Declared(reason.clone()))),
        On::Training => {
            let mut book = book(&ask.ledger, neighbouring)?;
            // The statement first: should this end here, it says too much, and not too little.
            ask.run.as_deref().map_or(Ok(()), annul)?;
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
fn annul(folder: &Path) -> Result<(), DiagnoseError> {
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
