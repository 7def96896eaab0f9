//! Published values, values in multi-precision, and the reference's columns where it is at hand.

use super::*;
use crate::{Ledger, Sampling};
use serde_json::Value;

fn round(z: f64, rate: f64) -> Event {
    Event::Round { sampling: Sampling::Poisson { rate }, releases: vec![Event::Gaussian { noise_multiplier: z }] }
}

fn report(neighbouring: Neighbouring, phases: &[(f64, f64, u64)], delta: f64) -> Price {
    let entries = phases.iter().map(|(z, rate, steps)| (round(*z, *rate), *steps)).collect();
    Prv::default().report(&Ledger::planned(neighbouring, entries), delta).unwrap()
}

fn ends(price: &Price) -> (f64, f64) {
    assert!(!price.estimate && price.upper == Some(price.epsilon));
    (price.lower.unwrap(), price.upper.unwrap())
}

/// Noise multiplier, rate, steps, delta, and the exact epsilon, in multi-precision.
const EXACT: &[(f64, f64, u64, f64, f64)] = &[
    (1.1, 0.004266666666666667, 14063, 1e-05, 2.381689726141649),
    (0.7, 0.004266666666666667, 10547, 1e-05, 5.639683326315836),
    (0.6, 0.001, 50000, 1e-06, 5.123098788896725),
    (0.8, 0.0005, 20000, 1e-07, 0.7464207814135626),
    (0.5, 0.01, 1000, 1e-06, 15.48352661813906),
    (0.75, 0.0004096, 60000, 1e-08, 1.453329353759638),
    (1.0, 1.0, 1, 1e-05, 4.377178095681223),
    (30.0, 1.0, 10000, 1e-09, 24.977724087800336),
];

#[test]
fn exact_values_are_bracketed_and_the_note_states_the_errors() {
    for &(z, q, steps, delta, exact) in EXACT {
        let price = report(Neighbouring::AddRemove, &[(z, q, steps)], delta);
        let (lower, upper) = ends(&price);
        assert!(lower <= exact && exact <= upper, "z {z} q {q}: {exact} not in {lower} .. {upper}");
        assert!(upper - lower < 0.022_f64.max(0.0021 * exact), "z {z} q {q}: {lower} .. {upper}");
        assert!(price.notes.iter().any(|note| note.contains("eps_error") && note.contains("delta_error")));
    }
}

/// Rate, noise multiplier, steps at a delta of 1e-5, and the lower end, the estimate and the upper end of the authors' program.
const PUBLISHED: &[(f64, f64, u64, [f64; 3])] = &[
    (0.01, 1.0, 1000, [1.81811, 1.82824, 1.83837]),
    (256.0 / 60000.0, 1.1, 14062, [2.37146, 2.38160, 2.39174]),
    (4096.0 / 50000.0, 3.0, 2500, [6.56856, 6.57890, 6.58923]),
];

fn agrees(price: &Price, [low, estimate, high]: [f64; 3], within: f64, what: &str) {
    let (lower, upper) = ends(price);
    for (mine, theirs) in [(lower, low), (0.5 * (lower + upper), estimate), (upper, high)] {
        assert!((mine - theirs).abs() < within, "{what}: {mine} against {theirs}");
    }
}

#[test]
fn published_values_are_met() {
    for &(q, z, steps, want) in PUBLISHED {
        agrees(&report(Neighbouring::AddRemove, &[(z, q, steps)], 1e-5), want, 2e-3, &format!("z {z} q {q}"));
    }
}

/// The whole table, or nothing and a word about it.
fn table(key: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/accounting.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no reference table");
        return Vec::new();
    };
    serde_json::from_str::<Value>(&text).unwrap()[key].as_array().unwrap().clone()
}

fn phase(case: &Value) -> Option<(f64, f64, u64)> {
    Some((case["noise_multiplier"].as_f64()?, case["sample_rate"].as_f64()?, case["steps"].as_u64()?))
}

/// Against the exact value, and against the authors' program where that itself is right.
fn check(case: &Value, phases: &[(f64, f64, u64)]) {
    let price = report(Neighbouring::AddRemove, phases, case["delta"].as_f64().unwrap());
    let (lower, upper) = ends(&price);
    let Some(exact) = case["exact"]["epsilon"].as_f64() else { return };
    let what = format!("{phases:?}, exactly {exact}, {:?}", price.notes);
    assert!(lower <= exact * (1.0 + 1e-9) && exact * (1.0 - 1e-9) <= upper, "{what}: {lower} .. {upper}");
    let theirs = ["epsilon_lower", "epsilon_estimate", "epsilon_upper"].map(|key| case["prv_accountant"][key].as_f64());
    if let ([Some(low), Some(estimate), Some(high)], true) = (theirs, upper - lower < 0.03 && lower > 0.0)
        && (estimate - exact).abs() < 1e-3
        && (high - low - 0.02).abs() < 2e-3
    {
        agrees(&price, [low, estimate, high], 2e-3, &what);
    }
}

#[test]
fn the_reference_agrees() {
    for case in table("dpsgd") {
        if let Some(phase) = phase(&case) {
            check(&case, &[phase]);
        }
    }
    for case in table("heterogeneous") {
        let phases: Vec<_> = case["phases"].as_array().unwrap().iter().filter_map(phase).collect();
        check(&case, &phases);
    }
}

#[test]
fn exchanges_are_bracketed_and_other_noise_is_as_exact_says() {
    let laplace = |rate| Event::Round {
        sampling: Sampling::Poisson { rate },
        releases: vec![Event::Laplace { noise_multiplier: 2.0 }],
    };
    let coin = Event::RandomisedResponse { epsilon: 0.1 };
    let truncated = Event::Round {
        sampling: Sampling::TruncatedPoisson { rate: 0.01, examples: 10_000, cap: 120 },
        releases: vec![Event::Gaussian { noise_multiplier: 1.0 }],
    };
    let cases = [
        (Neighbouring::ReplaceOne, vec![(round(0.5, 0.01), 1000)]),
        (Neighbouring::AddRemove, vec![(laplace(0.1), 300), (coin, 10), (round(1.0, 0.01), 500)]),
        (Neighbouring::AddRemove, vec![(truncated, 300)]),
    ];
    for (neighbouring, entries) in cases {
        let ledger = Ledger::planned(neighbouring, entries);
        let (lower, upper) = ends(&Prv::default().report(&ledger, 1e-6).unwrap());
        let within = super::super::Pld::default().report(&ledger, 1e-6).unwrap();
        let (low, high) = (within.lower.unwrap(), within.upper.unwrap());
        assert!(lower <= high && low <= upper && upper - lower < 0.03, "{lower} .. {upper} against {low} .. {high}");
    }
}

#[test]
fn tiny_deltas_and_tiny_noise_are_never_below_the_truth() {
    for delta in [1e-9, 1e-15, 1e-30, 1e-100, 1e-250, 1e-300] {
        let upper = report(Neighbouring::AddRemove, &[(20.0, 1.0, 100)], delta).epsilon;
        assert!(upper >= crate::gaussian::epsilon(0.5, delta), "{delta}: {upper}");
        let rdp =
            super::super::Rdp.report(&Ledger::planned(Neighbouring::AddRemove, vec![(round(1.0, 0.01), 1000)]), delta);
        let (lower, upper) = ends(&report(Neighbouring::AddRemove, &[(1.0, 0.01, 1000)], delta));
        assert!(lower <= rdp.unwrap().epsilon && upper > 1.8, "{delta}: {lower} .. {upper}");
    }
    let price = report(Neighbouring::AddRemove, &[(0.01, 1.0, 1)], 1e-5);
    assert!(price.epsilon >= crate::gaussian::epsilon(100.0, 1e-5) && price.notes.len() == 1, "{price:?}");
}

#[test]
fn the_curve_is_above_the_truth_and_not_far() {
    let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round(1.1, 0.004266666666666667), 14063)]);
    let delta = Prv::default().deltas(&ledger, &[2.381689726141649]).unwrap()[0];
    assert!((1e-5..1.2e-5).contains(&delta), "{delta}");
}
