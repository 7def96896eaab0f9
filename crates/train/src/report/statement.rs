//! `privacy.json`: the machine-readable privacy statement.
//!
//! It says what was promised, to whom, under which assumptions, and how the number was computed, so that another
//! program can check the claim against the ledger without reading the report.

use super::{Membership, Person, Unit};
use serde::{Deserialize, Serialize};

/// The privacy statement of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    /// Version of Secateur that made the run.
    pub secateur_version: String,
    /// Whether the run was trained with clipping and noise at all. Epsilon may still be infinite, or the seed known: what that amounts to
    /// is the file's `verdict` ([`Statement::verdict`]).
    #[serde(alias = "private")]
    pub clipped_and_noised: bool,
    /// The noise that was added; none in ordinary training.
    pub mechanism: Option<Noise>,
    /// How the examples of a step were drawn.
    pub sampling: Sampling,
    /// How many steps were planned and made. The loss covers those that were made.
    pub steps: Steps,
    /// Which two data sets the guarantee compares.
    pub neighbouring: Neighbouring,
    /// The same in plain language; see [`Unit::neighbours`](super::Unit::neighbours).
    pub neighbouring_definition: String,
    /// What is protected as a whole; see [`UNIT`](super::UNIT).
    pub unit_of_privacy: String,
    /// How people with several records are told apart, where such are the unit.
    #[serde(default)]
    pub person: Option<Person>,
    /// How one example's share was bounded; none in ordinary training.
    pub clip: Option<Clip>,
    /// The accountant that priced the ledger.
    pub accountant: String,
    /// What the accountant says of its price: what it counted and what not.
    #[serde(default)]
    pub accountant_notes: Vec<String>,
    /// The privacy loss; `"inf"` when there is no guarantee.
    #[serde(with = "super::number")]
    pub epsilon: f64,
    /// The probability with which the loss may exceed epsilon.
    #[serde(with = "super::number")]
    pub delta: f64,
    /// What an attacker can do at most, by all (epsilon, delta) pairs that the accountant proves; none where there is no bound.
    #[serde(default)]
    pub membership: Option<Membership>,
    /// What the configuration claims of the weights that training started from.
    #[serde(default)]
    pub starting_weights: Starting,
    /// Where the draws and the noise came from.
    pub randomness: Randomness,
    /// What must be true for the guarantee to mean what it says.
    pub assumptions: Vec<String>,
    /// What a reader should know before trusting the numbers.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether the run ended before its last planned step.
    pub interrupted: bool,
}

impl Statement {
    /// What is protected as a whole.
    pub fn unit(&self) -> Unit {
        Unit::of(self.person.as_ref(), &self.unit_of_privacy)
    }
}

/// The noise mechanism.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Its registered name, for example `gaussian`.
    pub name: String,
    /// Standard deviation of the noise over the clip bound.
    #[serde(with = "super::number")]
    pub noise_multiplier: f64,
    /// Standard deviation of the noise on the sum of the clipped gradients, before any division.
    #[serde(with = "super::number")]
    pub noise_standard_deviation_on_sum: f64,
}

/// How the examples of a step are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// For example `poisson`.
    pub kind: String,
    /// Probability with which one example takes part in one step.
    #[serde(with = "super::number")]
    pub sample_rate: f64,
}

/// Steps planned and made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steps {
    /// Steps that the configuration asked for.
    pub planned: u64,
    /// Steps in the ledger.
    pub made: u64,
}

/// The clip rule and the bound that it was held to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Clip {
    /// The rule's registered name, for example `flat`.
    pub rule: String,
    /// The most (L2) that one example can move the sum.
    #[serde(with = "super::number")]
    pub bound: f64,
}

/// Which two data sets are neighbours, by the unit of privacy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neighbouring {
    /// One unit more or less.
    AddRemove,
    /// One unit exchanged for another.
    ReplaceOne,
}

/// What was claimed of the weights that training started from. A claim: nothing here can check it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Starting {
    /// Where they came from.
    pub claim: Claim,
    /// The file, or the folder of the run.
    pub from: Option<String>,
    /// Patterns over names of the parameters that started fresh all the same.
    pub fresh: Vec<String>,
    /// How many numbers stayed as they started.
    pub frozen: u64,
    /// What the run that they come from had spent on the same data, at this run's delta; part of this run's epsilon.
    #[serde(with = "super::number::optional", default)]
    pub epsilon_before: Option<f64>,
}

/// Where starting weights came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Claim {
    /// Drawn at random.
    #[default]
    Fresh,
    /// A file of weights that do not depend on the training data, says whoever named it.
    Public,
    /// A run on the same data, the ledger of which was carried on.
    Run,
}

impl Starting {
    /// What must be true of them, in a sentence.
    pub fn assumption(&self) -> String {
        let (from, before) = (self.from.as_deref().unwrap_or_default(), self.epsilon_before.unwrap_or_default());
        let start = match self.claim {
            Claim::Fresh => "Training starts from random weights, which do not depend on the training data.".to_owned(),
            Claim::Public => format!(
                "The weights in {from}, which training starts from, are public: they do not depend on the training data."
            ),
            Claim::Run => format!(
                "Training starts from the weights of the run in {from}, on the same data. What it spent (epsilon {before:.4} by itself) is in \
                 this run's ledger and epsilon; other runs that start from it are not."
            ),
        };
        match self.frozen {
            0 => start,
            n => format!("{start} {n} of the model's numbers stay as they start."),
        }
    }
}

/// Where the randomness of a run came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Randomness {
    /// A fresh key from the operating system that nobody kept.
    #[serde(rename = "operating system")]
    OperatingSystem,
    /// A seed in the configuration: whoever knows it can subtract the noise.
    #[serde(rename = "fixed seed: NOT private, for reproduction only")]
    FixedSeed,
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use serde_json::{Value, json};

    fn value(statement: &Statement) -> Value {
        serde_json::to_value(statement).unwrap()
    }

    #[test]
    fn keys_are_the_documented_ones() {
        let value = value(&example::private().statement);
        let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let expected = [
            "accountant",
            "accountant_notes",
            "assumptions",
            "clip",
            "clipped_and_noised",
            "delta",
            "epsilon",
            "interrupted",
            "mechanism",
            "membership",
            "neighbouring",
            "neighbouring_definition",
            "person",
            "randomness",
            "sampling",
            "secateur_version",
            "starting_weights",
            "steps",
            "unit_of_privacy",
            "warnings",
        ];
        assert_eq!(keys, expected);
    }

    #[test]
    fn parts_have_their_own_keys() {
        let value = value(&example::private().statement);
        assert_eq!(value["sampling"], json!({"kind": "poisson", "sample_rate": 0.0171}));
        assert_eq!(value["steps"], json!({"planned": 2000, "made": 2000}));
        assert_eq!(value["clip"], json!({"rule": "flat", "bound": 0.5}));
        assert_eq!(value["mechanism"]["noise_standard_deviation_on_sum"], json!(1.5));
        assert_eq!(value["neighbouring"], "add-remove");
        assert_eq!(value["randomness"], "operating system");
    }

    #[test]
    fn ordinary_training_has_no_mechanism_and_infinite_epsilon() {
        let statement = example::ordinary().statement;
        let value = value(&statement);
        assert_eq!((&value["mechanism"], &value["clip"]), (&Value::Null, &Value::Null));
        assert_eq!(value["epsilon"], "inf");
        assert_eq!(serde_json::from_value::<Statement>(value).unwrap(), statement);
    }

    #[test]
    fn names_are_stable() {
        assert_eq!(serde_json::to_value(Neighbouring::ReplaceOne).unwrap(), "replace-one");
        let fixed = serde_json::to_value(Randomness::FixedSeed).unwrap();
        assert_eq!(fixed, "fixed seed: NOT private, for reproduction only");
    }
}
