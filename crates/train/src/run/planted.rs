//! A run some of whose people are made up: for audits. It leaves a ledger and no weights.
use super::{Ground, Run, RunError, Shelf, folder, left, resume};
use crate::{
    config::Config,
    data::{Batch, Examples},
    plan::Plan,
    trainer::Trainer,
};
use privacy::Ledger;
use std::{path::Path, sync::Arc};

/// What people are planted among.
pub(crate) struct Field {
    /// The people of the run.
    pub(crate) people: Arc<Examples>,
    /// Those that are declared public.
    pub(crate) public: Option<Arc<Examples>>,
    /// How many people are declared.
    pub(crate) declared: usize,
}

impl Run {
    /// As [`Run::prepare`], where the first `keep` people are followed by those that `plant` makes up: what it returns, in order.
    ///
    /// # Errors
    /// As [`Run::prepare`], a folder that holds a trained model, and what `plant` says.
    pub(crate) fn prepare_planted(
        config: Config,
        root: &Path,
        (folder, force): (Option<&Path>, bool),
        plant: impl FnOnce(&Field) -> Result<(usize, Vec<Batch>), String>,
    ) -> Result<Run, RunError> {
        folder.map_or(Ok(()), untrained)?;
        let mut ground = Ground::survey(config, root, &mut Shelf::default())?;
        let (train, public) = (ground.data.train.clone(), ground.data.evaluation.clone());
        let field = Field { people: train.clone(), public, declared: ground.data.declared };
        let (keep, made_up) = plant(&field).map_err(RunError::Look)?;
        let mut all = train.followed_by(keep, made_up)?;
        for device in ground.config.train.open_devices()? {
            engine::guard(|| all.reside(device))?;
        }
        ground.data.train = Arc::new(all);
        Run::begin(ground, folder, force)
    }

    /// The trainer, to change what it does.
    pub(crate) fn trainer(&mut self) -> &mut Trainer {
        &mut self.trainer
    }

    /// Takes all steps, or as many as `watch` lets it, and nothing else; then the ledger is closed.
    ///
    /// # Errors
    /// If the ledger cannot be written.
    pub(crate) fn steps_alone(&mut self, mut watch: impl FnMut(u64, u64) -> bool) -> Result<(), RunError> {
        while self.trainer.step < self.plan.steps {
            engine::guard(|| self.trainer.step())??;
            if !watch(self.trainer.step, self.plan.steps) {
                break;
            }
        }
        Ok(self.trainer.ledger.close()?)
    }

    /// What these steps of those planned would have spent by themselves with another noise: epsilon, and the ledger.
    pub(crate) fn imagine(&self, noise_multiplier: f64) -> Result<(f64, Ledger), RunError> {
        let plan = Plan { noise_multiplier, ..self.plan };
        let ledger = plan.rehearse_until(&self.config, &self.trainer.model, self.trainer.step)?;
        let epsilon = crate::plan::spent(&self.config, &ledger).map_err(RunError::Price)?;
        Ok((epsilon, ledger))
    }
}

/// Refuses a folder that holds what a run has trained: whoever replaces an earlier audit does not mean that.
fn untrained(results: &Path) -> Result<(), RunError> {
    let files = [left::WEIGHTS, folder::ADAPTERS, resume::CHECKPOINT].map(|name| results.join(name));
    match files.into_iter().find(|file| file.exists()) {
        Some(file) => Err(RunError::Left(format!(
            "{} is there: an audit leaves no model and replaces none; name another folder, or move the run in this one",
            file.display()
        ))),
        None => Ok(()),
    }
}
