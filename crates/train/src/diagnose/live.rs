//! Looking while a run goes on: the cheap diagnostics every so many steps, on the public evaluation data.
use super::{DiagnoseError, Diagnosis, Origin, source::Standing, visit};
use crate::{report::followed, run::Seen};
use std::path::{Path, PathBuf};

/// What was seen of a run so far. After each look `diagnose.html`, `diagnose.json` and `followed.jsonl`, from which the report
/// draws its curves, are brought up to date in the run's folder.
pub struct Live {
    every: u64,
    folder: PathBuf,
    so_far: Option<Diagnosis>,
}

impl Live {
    /// Looks every `every` steps (at least 1).
    pub fn new(every: u64, folder: &Path) -> Self {
        Live { every: every.max(1), folder: folder.to_owned(), so_far: None }
    }

    /// Looks, if it is time.
    ///
    /// # Errors
    /// If there are no evaluation data, or the results cannot be written.
    pub fn look(&mut self, seen: &Seen) -> Result<(), DiagnoseError> {
        if !seen.step.is_multiple_of(self.every) {
            return Ok(());
        }
        let none =
            || DiagnoseError::Ask("--diagnose-every looks at evaluation data, and the configuration names none".into());
        let public = seen.evaluation.ok_or_else(none)?;
        let (setting, visit) = visit::cheap(seen.config, seen.model, seen.plan, seen.weights, public, seen.step)?;
        followed::follow(&self.folder, visit.followed())?;
        // What it will have cost in the end: before that it is less.
        let origin = Origin::of(seen.config, seen.plan.epsilon);
        let blank = || Diagnosis {
            examples: visit::CHEAPLY.min(public.len()),
            ..Diagnosis::about(seen.config, seen.model, &setting, (Standing::Evaluation, origin.clone()))
        };
        let diagnosis = self.so_far.get_or_insert_with(blank);
        diagnosis.visits.push(visit);
        diagnosis.write(&self.folder)
    }
}
