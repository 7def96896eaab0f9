//! A trained model as a folder that the `transformers` library loads.
use super::{CONFIG, Published, WEIGHTS};
use crate::{checkpoint, model::Weights, report};
use serde_json::{Map, Value, json};
use std::{fs, path::Path};

/// The folder inside a run's.
pub(crate) const FOLDER: &str = "published";
/// What it holds: the last two if the folder that training started from has them.
pub(crate) const FILES: [&str; 4] = [WEIGHTS, CONFIG, "tokenizer.json", "tokenizer_config.json"];

impl Published {
    /// Writes the plain model, adapters added to their matrices, into `published` inside `run`, under the publisher's names; with its tokenizer,
    /// if the folder that it comes from has one. A model whose layers were changed, so that they are none of the publisher's, is not written.
    ///
    /// # Errors
    /// If a file cannot be written; names it.
    pub(crate) fn take_back(&self, run: &Path, weights: &Weights, about: &[(&str, String)]) -> Result<(), String> {
        let names = self.names();
        if weights.merged().any(|(parameter, _)| !names.has(&parameter.name)) {
            return Ok(());
        }
        let to = run.join(FOLDER);
        let write = |name: &str, bytes: &[u8]| {
            let path = to.join(name);
            report::write_atomically(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
        };
        fs::create_dir_all(&to).map_err(|e| format!("cannot write {}: {e}", to.display()))?;
        write(WEIGHTS, &checkpoint::of_tensors(names.give(weights.merged()), about)?)?;
        write(CONFIG, format!("{:#}\n", self.described()).as_bytes())?;
        for name in &FILES[2..] {
            if let Ok(bytes) = fs::read(self.folder.join(name)) {
                write(name, &bytes)?;
            }
        }
        Ok(())
    }

    /// The `config.json` that it came with, with the head that it has now.
    fn described(&self) -> Value {
        let mut all = self.about.all.clone();
        let class = self.kind.classes[usize::from(self.ask.outputs.is_some())];
        all["architectures"] = json!([class]);
        ["dtype", "torch_dtype"].iter().for_each(|key| {
            if all.get(*key).is_some() {
                all[*key] = "float32".into();
            }
        });
        let Some(outputs) = self.ask.outputs else { return all };
        let name = |k: usize| match self.classes.len() == outputs {
            true => self.classes[k].clone(),
            false => format!("LABEL_{k}"),
        };
        let labels: Map<String, Value> = (0..outputs).map(|k| (k.to_string(), name(k).into())).collect();
        let numbers: Map<String, Value> = (0..outputs).map(|k| (name(k), k.into())).collect();
        all["id2label"] = labels.into();
        all["label2id"] = numbers.into();
        all["pad_token_id"] = json!(self.about.padding());
        if self.classes.is_empty() {
            all["problem_type"] = "regression".into();
        }
        all
    }
}
