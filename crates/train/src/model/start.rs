//! Where training starts: what a configuration claims of a file of weights, and how such weights are fitted to a model.
//!
//! # Why this is private
//! *Claim.* Weights that training starts from depend on the training data in no way that is not charged.
//! *Argument.* That cannot be seen from numbers, so a configuration has to say it in a word that stands in the report: `public` claims that
//! the file does not depend on these data; `run` names a run on the same data, whose ledger this run's goes on with (`run/start.rs`).
//! *Tests.* `tests/starting.rs`.
use super::{ModelConfig, Weights, pattern::Patterns};
use crate::grads::Layout;
use engine::Tensor;
use privacy::Key;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::{collections::HashMap, path::PathBuf, sync::Arc};

/// What a configuration says of the weights to start from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// A safetensors file of weights that are PUBLIC: they do not depend on the training data.
    Public(PathBuf),
    /// The folder of a Secateur run on the same data: what it spent, this run's ledger begins with.
    Run(PathBuf),
}

impl<'de> Deserialize<'de> for Start {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        enum Written {
            Public(PathBuf),
            Run(PathBuf),
        }
        let written = match toml::Value::deserialize(deserializer)? {
            toml::Value::String(file) => {
                return Err(D::Error::custom(format!(
                    "say what these weights have seen: {{ public = \"{file}\" }} claims that they do not depend on the training data; \
                     {{ run = \"FOLDER\" }} goes on from a run of Secateur on the same data, and with its ledger"
                )));
            }
            other => other.try_into().map_err(|e: toml::de::Error| D::Error::custom(e.message()))?,
        };
        Ok(match written {
            Written::Public(file) => Start::Public(file),
            Written::Run(folder) => Start::Run(folder),
        })
    }
}

/// Tensors of a file that do not fit a model: every one, and what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}", told(.0))]
pub struct StartError(pub(crate) Vec<String>);

/// At most so many are named.
const NAMED: usize = 8;

fn told(all: &[String]) -> String {
    let more = match all.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("\n  and {more} more"),
    };
    let lines: String = all.iter().take(NAMED).map(|line| format!("\n  {line}")).collect();
    format!(
        "does not fit the model:{lines}{more}\n  name in model.fresh what is to start fresh, or is of no use here, such as \
         model.fresh = [\"head.*\"]; or change model.layers"
    )
}

/// A tensor of a file: its shape, and its numbers, or the kind of number that nobody here reads.
pub type Stored = (Vec<usize>, Result<Tensor, String>);

impl Weights {
    /// Weights for a model from `stored` ones, by name. Parameters that match `fresh` start fresh, by `key`, and so do adapters that are not
    /// there; what is stored and matches `fresh` is passed over.
    ///
    /// # Errors
    /// Names every tensor that is missing, unknown, of another shape or of a kind that is not read.
    pub fn fitted(
        layout: &Arc<Layout>,
        key: &Key,
        mut stored: HashMap<String, Stored>,
        fresh: &Patterns,
    ) -> Result<Weights, StartError> {
        let (mut named, mut wrong) = (HashMap::new(), Vec::new());
        stored.retain(|name, _| !fresh.matches(name));
        let own = layout.places().len();
        for (k, place) in layout.all().enumerate() {
            let parameter = layout.at(place);
            let (name, shape) = (&parameter.name, &parameter.shape);
            match stored.remove(name) {
                Some((found, _)) if found != *shape => {
                    wrong.push(format!("`{name}` has shape {found:?} in the file, and {shape:?} in the model"));
                }
                Some((_, Err(kind))) => wrong.push(format!("`{name}` holds {kind}: F32, F16 and BF16 are read")),
                Some((_, Ok(tensor))) => drop(named.insert(name.clone(), tensor)),
                None if fresh.matches(name) || k >= own => {}
                None => wrong.push(format!("`{name}` {shape:?} is not in the file")),
            }
        }
        let mut left: Vec<_> =
            stored.into_iter().map(|(name, (shape, _))| format!("`{name}` {shape:?} is not in the model")).collect();
        left.sort();
        wrong.append(&mut left);
        if wrong.is_empty() { Ok(Weights::begin(layout, key, named)) } else { Err(StartError(wrong)) }
    }
}

impl ModelConfig {
    /// Refuses patterns of `fresh` that match nothing, in the model or of the names in a file.
    ///
    /// # Errors
    /// Names the pattern, and what is near.
    pub(crate) fn check_fresh(&self, layout: &Layout, stored: &[String]) -> Result<(), String> {
        let own = layout.all().map(|place| layout.at(place).name.as_str());
        let names: Vec<&str> = own.chain(stored.iter().map(String::as_str)).collect();
        self.fresh.check("model.fresh", "the names of the model and the file", &names)
    }
}
