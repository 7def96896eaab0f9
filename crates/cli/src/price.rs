//! What `account` and `calibrate` share: accountants by name, and answers as text or JSON.
use clap::ValueEnum;
use privacy::{Accountant, Ledger, Price, account};
use serde::Serialize;

/// How to print an answer.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    // No help of their own, which would make all flags take three lines: for people, for programs.
    Text,
    Json,
}

/// What `ledger` costs by the accountant of this name.
pub fn price(ledger: &Ledger, accountant: &str, delta: f64) -> Result<Price, String> {
    let by = account::by_name(accountant).ok_or_else(|| format!("no accountant is called {accountant}"))?;
    by.report(ledger, delta).map_err(|e| e.to_string())
}

/// The same, with `pld`'s interval at most about this share of epsilon wide, if one was named; other accountants have no such
/// number.
pub fn sharper(ledger: &Ledger, accountant: &str, delta: f64, precision: Option<f64>) -> Result<Price, String> {
    match precision {
        Some(precision) if accountant == "pld" => {
            account::Pld { precision }.report(ledger, delta).map_err(|e| e.to_string())
        }
        _ => price(ledger, accountant, delta),
    }
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
