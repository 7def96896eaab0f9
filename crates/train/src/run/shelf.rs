//! Data that one run after another trains on, read once.
use super::RunError;
use crate::{
    config::Config,
    data::{DataConfig, Examples, Loaded},
};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

/// A data set that was read, with its inputs on the devices. Copies share it.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) train: Arc<Examples>,
    pub(super) evaluation: Option<Arc<Examples>>,
    pub(super) declared: usize,
    pub(super) notes: Vec<String>,
    pub(super) remarks: Vec<String>,
}

/// Holds the data set that was asked for last, for runs that want the same.
#[derive(Default)]
pub struct Shelf {
    last: Option<(DataConfig, PathBuf, String, Held)>,
}

impl Shelf {
    /// The data of `config`, whose relative paths start from `root`, on its devices.
    pub(super) fn get(&mut self, config: &Config, root: &Path) -> Result<Held, RunError> {
        let devices = config.train.open_devices()?;
        let name = &config.train.device;
        let same = |(data, from, on, _): &&(DataConfig, PathBuf, String, Held)| {
            *data == config.data && from == root && on == name
        };
        if let Some((.., held)) = self.last.as_ref().filter(same) {
            return Ok(held.clone());
        }
        // What is not wanted any more makes room first.
        self.last = None;
        let Loaded { mut train, evaluation, declared, notes, remarks } = config.data.load(root)?;
        engine::guard(|| devices.iter().for_each(|device| train.reside(*device)))?;
        let held = Held { train: Arc::new(train), evaluation: evaluation.map(Arc::new), declared, notes, remarks };
        self.last = Some((config.data.clone(), root.to_owned(), name.clone(), held.clone()));
        Ok(held)
    }
}
