//! What is protected as a whole: the unit of privacy, in words.

use super::Neighbouring;
use serde::{Deserialize, Serialize};

/// The unit of privacy of every run whose data are rows.
pub const UNIT: &str = "one example (row) of the training data";

/// How the records of one person are told apart from others'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// The column with one value for each person.
    pub column: String,
    /// Records of a person that at most take part in a step.
    pub records: u64,
}

/// Kinds of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A row, whoever it is about.
    Row,
    /// A person with all records.
    Person,
    /// A part of a text.
    Part,
}

impl Unit {
    /// Of what a guarantee is about.
    pub fn of(person: Option<&Person>, unit: &str) -> Unit {
        match person {
            Some(_) => Unit::Person,
            None if unit == UNIT => Unit::Row,
            None => Unit::Part,
        }
    }

    /// One of them, where data are counted.
    pub fn one(self) -> &'static str {
        if self == Unit::Person { "person" } else { "example" }
    }

    /// Several of them, where data are counted.
    pub fn several(self) -> &'static str {
        if self == Unit::Person { "people" } else { "examples" }
    }

    /// What a relation between data sets means for such units, for readers without a background in differential privacy.
    pub fn neighbours(self, relation: Neighbouring) -> &'static str {
        match (relation, self) {
            (Neighbouring::AddRemove, Unit::Person) => {
                "Two data sets are neighbours when one is the other with exactly one person, with all of the person's records, added or removed."
            }
            (Neighbouring::ReplaceOne, Unit::Person) => {
                "Two data sets are neighbours when they are of the same number of people and differ in the records, be it all of them, of \
                 exactly one person."
            }
            (Neighbouring::AddRemove, _) => {
                "Two data sets are neighbours when one is the other with exactly one example added or removed."
            }
            (Neighbouring::ReplaceOne, _) => {
                "Two data sets are neighbours when they have the same size and differ in the content of exactly one example."
            }
        }
    }
}
