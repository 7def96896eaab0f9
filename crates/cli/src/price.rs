//! What `account` and `calibrate` share: a plan as flags, and answers as text or JSON.
use crate::number;
use clap::ValueEnum;
use privacy::{Event, Ledger, Neighbouring, Sampling, account};
use serde::Serialize;

/// How to print an answer.
#[derive(Clone, Copy, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Which data sets are neighbours.
#[derive(Clone, Copy, ValueEnum)]
pub enum Relation {
    /// One example more or less.
    AddRemove,
    /// One example exchanged for another.
    ReplaceOne,
}

impl From<Relation> for Neighbouring {
    fn from(relation: Relation) -> Self {
        match relation {
            Relation::AddRemove => Neighbouring::AddRemove,
            Relation::ReplaceOne => Neighbouring::ReplaceOne,
        }
    }
}

/// How an answer is found and printed.
#[derive(clap::Args)]
pub struct How {
    /// Who prices it
    #[arg(long, value_name = "NAME", default_value = "rdp", value_parser = number::accountant)]
    pub accountant: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// The ledger of `steps` steps of DP-SGD. `noise_multiplier` is the noise's standard deviation over the clip bound.
pub fn planned(noise_multiplier: f64, rate: f64, steps: u64, neighbouring: Neighbouring) -> Ledger {
    let release = Event::Gaussian { noise_multiplier: noise_multiplier / neighbouring.factor() };
    let round = Event::Round { sampling: Sampling::Poisson { rate }, releases: vec![release] };
    Ledger::planned(neighbouring, vec![(round, steps)])
}

/// What `ledger` costs.
pub fn epsilon(ledger: &Ledger, how: &How, delta: f64) -> Result<f64, String> {
    let accountant =
        account::by_name(&how.accountant).ok_or_else(|| format!("no accountant is called {}", how.accountant))?;
    accountant.spent(ledger, delta).map_err(|e| e.to_string())
}

/// A number as JSON holds it: infinity is the string "inf".
pub fn number(value: f64) -> serde_json::Value {
    if value.is_finite() { value.into() } else { "inf".into() }
}

/// One line of JSON.
pub fn print_json(answer: &impl Serialize) -> Result<(), String> {
    println!("{}", serde_json::to_string(answer).map_err(|e| e.to_string())?);
    Ok(())
}
