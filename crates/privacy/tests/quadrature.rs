//! Claims against the truth, for 240 random runs.
//!
//! `vectors/quadrature.txt` holds epsilons computed by `vectors/quadrature.py`: an inversion of the moment generating
//! function of the privacy loss that shares no code and no method with the discretised distributions here. Since delta
//! falls as epsilon grows, "the true delta at the claimed epsilon is at most the one asked for" and "the claimed epsilon
//! is at least the true one" are the same demand.

mod common;

use common::{Phase, Tally, accountant, price, run};
use privacy::{AccountError, Neighbouring, account};

struct Case {
    neighbouring: Neighbouring,
    delta: f64,
    exact: f64,
    phases: Vec<Phase>,
    line: &'static str,
}

fn phase(text: &str) -> Phase {
    let mut parts = text.split(',');
    let mut next = || parts.next().expect("three numbers");
    (next().parse().unwrap(), next().parse().unwrap(), next().parse().unwrap())
}

fn case(line: &'static str) -> Case {
    let words: Vec<&str> = line.split(' ').collect();
    let neighbouring = if words[0] == "replace-one" { Neighbouring::ReplaceOne } else { Neighbouring::AddRemove };
    let phases = words[3..].iter().map(|word| phase(word)).collect();
    Case { neighbouring, delta: words[1].parse().unwrap(), exact: words[2].parse().unwrap(), phases, line }
}

fn cases() -> Vec<Case> {
    include_str!("vectors/quadrature.txt").lines().filter(|line| !line.starts_with('#')).map(case).collect()
}

/// The truth is inside every proven interval and under every bound.
fn never_below_the_truth(name: &str) {
    let mut tally = Tally::default();
    for Case { neighbouring, delta, exact, phases, line } in cases() {
        let claim = match accountant(name).report(&run(neighbouring, &phases), delta) {
            // Not every accountant knows every relation; saying so is fine.
            Err(AccountError::Unpriced(_)) => continue,
            claim => claim.unwrap(),
        };
        if claim.estimate {
            continue;
        }
        let share = claim.epsilon / exact.max(1e-3) - 1.0;
        // The inversion is the value itself, to a stated error, and no bound.
        let slack = if name == "exact" { 2e-8 * exact.max(1.0) } else { 1e-9 };
        tally.demand(claim.epsilon >= exact - slack, share, || format!("{line}: claims {}", claim.epsilon));
        let lower = claim.lower.unwrap_or(0.0);
        tally.demand(lower <= exact + 1e-9, 0.0, || format!("{line}: claims at least {lower}"));
    }
    tally.close(name);
}

#[test]
fn the_table_is_whole() {
    assert_eq!(cases().len(), 240);
    assert!(cases().iter().filter(|case| case.neighbouring == Neighbouring::ReplaceOne).count() > 40);
    assert!(cases().iter().filter(|case| case.phases.len() > 1).count() > 30);
}

#[test]
fn no_bound_is_below_the_truth() {
    for name in account::names() {
        never_below_the_truth(name);
    }
}

/// Inside 0.01 .. 20 the proven interval is at most half a per cent wide.
#[test]
fn the_interval_is_narrow() {
    let mut tally = Tally::default();
    for Case { neighbouring, delta, exact, phases, line } in cases() {
        if !(0.01..=20.0).contains(&exact) {
            continue;
        }
        let claim = price("pld", &run(neighbouring, &phases), delta);
        let width = claim.epsilon - claim.lower.expect("a proven lower bound");
        tally.demand(width <= 0.005 * exact, width / exact, || format!("{line}: {:.3} % wide", 100.0 * width / exact));
    }
    tally.close("width of pld");
}

/// The oracle agrees with the quadrature.
#[test]
fn exact_is_exact() {
    let (mut tally, mut declined) = (Tally::default(), 0);
    for Case { neighbouring, delta, exact, phases, line } in cases() {
        let claim = price("exact", &run(neighbouring, &phases), delta);
        if claim.lower.is_some() {
            declined += 1;
            continue; // pld's interval, which is tested above
        }
        let got = claim.epsilon;
        let apart = (got - exact).abs();
        tally.demand(apart <= 2e-8 * exact.max(1.0), apart, || format!("{line}: {got}"));
    }
    assert!(declined == 0, "exact gives pld's interval instead for {declined} of 240");
    tally.close("exact against the quadrature");
}
