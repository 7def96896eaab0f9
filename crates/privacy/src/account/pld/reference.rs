//! Reference values from outside: a small extract kept here, and the whole table where it is at hand.
//!
//! Computed by inversion of the moment generating function in multi-precision; nothing here came from this crate.

use super::*;
use crate::{Ledger, Sampling};
use serde_json::Value;

fn round(z: f64, rate: f64) -> Event {
    Event::Round { sampling: Sampling::Poisson { rate }, releases: vec![Event::Gaussian { noise_multiplier: z }] }
}

fn report(neighbouring: Neighbouring, phases: &[(f64, f64, u64)], delta: f64) -> Price {
    let entries = phases.iter().map(|(z, rate, steps)| (round(*z, *rate), *steps)).collect();
    Pld::default().report(&Ledger::planned(neighbouring, entries), delta).unwrap()
}

/// The whole table, or nothing and a word about it.
fn table(key: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/accounting.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no reference table at {path}");
        return Vec::new();
    };
    serde_json::from_str::<Value>(&text).unwrap()[key].as_array().unwrap().clone()
}

fn number(case: &Value, key: &str) -> f64 {
    match &case[key] {
        Value::String(_) => f64::INFINITY,
        value => value.as_f64().unwrap(),
    }
}

/// Noise multiplier, rate, steps, delta, and the exact epsilon.
const EXACT: &[(f64, f64, u64, f64, f64)] = &[
    (1.1, 0.004266666666666667, 14063, 1e-05, 2.381689726141649),
    (0.7, 0.004266666666666667, 10547, 1e-05, 5.639683326315836),
    (0.55, 0.004, 5000, 1e-05, 8.51458747842994),
    (0.6, 0.001, 50000, 1e-06, 5.123098788896725),
    (0.8, 0.0005, 20000, 1e-07, 0.7464207814135626),
    (0.5, 0.01, 1000, 1e-06, 15.48352661813906),
    (0.75, 0.0004096, 60000, 1e-08, 1.453329353759638),
    (1.0, 1.0, 1, 1e-05, 4.377178095681223),
    (5.0, 1.0, 10, 1e-05, 2.594383380527607),
    (20.0, 1.0, 100, 1e-06, 2.2540846502197422),
    (1.0, 1.0, 50, 1e-08, 63.94801286954458),
    (30.0, 1.0, 10000, 1e-09, 24.977724087800336),
];

fn brackets(price: &Price, exact: f64, what: &str) {
    let (lower, upper) = (price.lower.unwrap(), price.upper.unwrap());
    assert!(
        lower <= exact * (1.0 + 1e-9) && upper >= exact * (1.0 - 1e-9),
        "{what}: {exact} not in {lower} .. {upper}"
    );
    assert!(upper - lower <= 5e-3 * upper, "{what}: {lower} .. {upper}");
}

#[test]
fn exact_values_are_bracketed() {
    for &(z, q, steps, delta, exact) in EXACT {
        let price = report(Neighbouring::AddRemove, &[(z, q, steps)], delta);
        brackets(&price, exact, &format!("z {z} q {q} T {steps}"));
    }
}

#[test]
fn the_reference_accepts_every_bound() {
    for case in table("dpsgd") {
        let (z, q) = (number(&case, "noise_multiplier"), number(&case, "sample_rate"));
        let (steps, delta) = (case["steps"].as_u64().unwrap(), number(&case, "delta"));
        let price = report(Neighbouring::AddRemove, &[(z, q, steps)], delta);
        let (id, upper) = (case["id"].as_str().unwrap(), price.upper.unwrap());
        let range = case["accept"]["pld"].as_array().unwrap();
        assert!(range[0].as_f64().is_none_or(|low| upper >= low - 1e-12), "{id}: {upper} {range:?}");
        if let Some(exact) = case["exact"]["epsilon"].as_f64().filter(|exact| *exact > 0.01) {
            brackets(&price, exact, id);
        }
        assert!(range[1].as_f64().is_none_or(|high| upper <= high + 1e-12), "{id}: {upper} {range:?}");
    }
}

#[test]
fn phases_and_exchanges_are_bracketed() {
    for case in table("heterogeneous") {
        let phase = |c: &Value| (number(c, "noise_multiplier"), number(c, "sample_rate"), c["steps"].as_u64().unwrap());
        let phases: Vec<_> = case["phases"].as_array().unwrap().iter().map(phase).collect();
        if let Some(exact) = case["exact"]["epsilon"].as_f64() {
            brackets(&report(Neighbouring::AddRemove, &phases, number(&case, "delta")), exact, &format!("{phases:?}"));
        }
    }
    for case in table("replace_one") {
        let (z, q, steps) = (number(&case, "noise_multiplier"), number(&case, "sample_rate"), &case["steps"]);
        if let Some(exact) = case["exact_poisson"]["epsilon"].as_f64() {
            let phase = [(0.5 * z, q, steps.as_u64().unwrap())];
            brackets(&report(Neighbouring::ReplaceOne, &phase, number(&case, "delta")), exact, &format!("{phase:?}"));
        }
    }
}
