//! What a run left in its folder of results, read again: its configuration and its weights.
use super::RunError;
use crate::{
    checkpoint,
    config::Config,
    model::{Model, Weights},
};
use std::path::Path;

/// The file of weights: plain, with adapters added to their matrices.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The file of all settings.
pub(crate) const CONFIG: &str = "config.toml";

/// The configuration of the run in `folder`.
///
/// # Errors
/// If there is none.
pub(crate) fn config(folder: &Path) -> Result<Config, RunError> {
    let path = folder.join(CONFIG);
    let missing = |e| RunError::Left(format!("{}: {e}; name the folder of results of a run", path.display()));
    let text = std::fs::read_to_string(&path).map_err(missing)?;
    Ok(Config::read(&path.display().to_string(), &text, &[])?)
}

/// The weights of the run in `folder`, for its `model`.
///
/// # Errors
/// If there are none yet, or the file is damaged or of another model.
pub(crate) fn weights(folder: &Path, model: &Model) -> Result<Weights, RunError> {
    let path = folder.join(WEIGHTS);
    if !path.exists() {
        let what = "the run has not ended: weights are written when it does, or is stopped by Ctrl-C";
        return Err(RunError::Left(format!("{}: there is no such file: {what}", path.display())));
    }
    checkpoint::trained(&path, model.layout()).map_err(RunError::Left)
}
