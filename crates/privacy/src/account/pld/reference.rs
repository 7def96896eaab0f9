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

#[test]
fn dpsgd() {
    let mut bad = 0;
    for case in table("dpsgd") {
        let (z, q) = (number(&case, "noise_multiplier"), number(&case, "sample_rate"));
        let (steps, delta) = (case["steps"].as_u64().unwrap(), number(&case, "delta"));
        let start = std::time::Instant::now();
        let got = report(Neighbouring::AddRemove, &[(z, q, steps)], delta);
        let time = start.elapsed().as_secs_f64() * 1e3;
        let (lower, upper) = (got.lower.unwrap(), got.upper.unwrap());
        let accept = (&case["accept"]["pld"][0], &case["accept"]["pld"][1]);
        let exact = case["exact"]["epsilon"].as_f64();
        let ok = accept.0.as_f64().is_none_or(|lo| upper >= lo - 1e-12)
            && accept.1.as_f64().is_none_or(|hi| upper <= hi + 1e-12)
            && exact.is_none_or(|e| lower <= e * (1.0 + 1e-10) && upper >= e * (1.0 - 1e-10));
        let wide = upper > 0.01 && upper < 20.0 && (upper - lower) / upper > 0.005;
        bad += u32::from(!ok || wide);
        if ok && !wide && time < 20.0 {
            continue;
        }
        println!(
            "{} {} {} z {z} q {q} T {steps} d {delta} [{lower:.8} {upper:.8}] w {:.2e} exact {exact:?} up {:.2e} accept {:?} {time:.2} ms {:?}",
            case["id"],
            if ok { "ok" } else { "BAD" },
            if wide { "WIDE" } else { "" },
            (upper - lower) / upper,
            exact.map_or(0.0, |e| upper / e - 1.0),
            accept,
            got.notes
        );
    }
    assert_eq!(bad, 0);
}
