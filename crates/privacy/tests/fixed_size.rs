//! Batches of a fixed size against an independent quadrature of their dominating pair, and against what is known of them besides.

mod common;

use common::{Tally, accountant, gaussian, step};
use privacy::{Event, Ledger, Neighbouring, Sampling};

struct Case {
    delta: f64,
    exact: f64,
    z: f64,
    batch: u64,
    examples: u64,
    rounds: u64,
    line: &'static str,
}

fn case(line: &'static str) -> Case {
    let words: Vec<&str> = line.split(' ').collect();
    let (real, whole) = (|k: usize| words[k].parse().unwrap(), |k: usize| words[k].parse().unwrap());
    let (delta, exact, z) = (real(0), real(1), real(2));
    Case { delta, exact, z, batch: whole(3), examples: whole(4), rounds: whole(5), line }
}

fn cases() -> impl Iterator<Item = Case> {
    include_str!("vectors/fixed_size.txt").lines().filter(|line| !line.starts_with('#')).map(case)
}

impl Case {
    fn ledger(&self) -> Ledger {
        let sampling = Sampling::FixedSize { batch: self.batch, examples: self.examples };
        let round = Event::Round { sampling, releases: vec![gaussian(self.z)] };
        Ledger::planned(Neighbouring::ReplaceOne, vec![(round, self.rounds)])
    }
}

#[test]
fn the_table_is_whole() {
    assert_eq!(cases().count(), 106);
    assert!(cases().filter(|case| case.rounds > 2).count() > 70);
}

/// Every bound is above the pair's epsilon, every lower bound below it, and pld's interval is narrow.
#[test]
fn no_bound_is_below_the_pair() {
    for name in ["pld", "prv", "exact", "rdp"] {
        let mut tally = Tally::default();
        for case in cases() {
            let price = accountant(name).report(&case.ledger(), case.delta).unwrap();
            let (line, exact, claim) = (case.line, case.exact, price.epsilon);
            let slack = if name == "exact" { 2e-8 * exact.max(1.0) } else { 1e-9 * exact.max(1.0) };
            // Rényi bounds are of the mechanism, and need not be above the pair's; that they are is found, not proved.
            tally.demand(claim >= exact - slack, claim / exact - 1.0, || format!("{line}: claims {claim}"));
            let lower = price.lower.unwrap_or(0.0);
            tally.demand(lower <= exact + slack, 0.0, || format!("{line}: claims at least {lower}"));
            if name == "pld" && (0.01..=20.0).contains(&exact) {
                tally.demand(claim - lower <= 0.005 * exact, 0.0, || format!("{line}: {lower} to {claim}"));
            }
            if name == "exact" && price.lower.is_none() {
                tally.demand((claim - exact).abs() <= slack, 0.0, || format!("{line}: {claim}"));
            }
        }
        tally.close(name);
    }
}

/// If all other examples pull one way, what is replaced is a sampled Gaussian: the truth is at least that, and one round of it.
#[test]
fn never_below_an_attack() {
    let pld = accountant("pld");
    for case in cases() {
        let claim = pld.report(&case.ledger(), case.delta).unwrap().epsilon;
        let rate = case.batch as f64 / case.examples as f64;
        let attack = Ledger::planned(Neighbouring::AddRemove, vec![(step(case.z, rate), case.rounds)]);
        let least = pld.report(&attack, case.delta).unwrap().lower.unwrap();
        assert!(claim >= least, "{}: {claim} under {least}", case.line);
        if case.rounds == 1 {
            assert!(claim <= least * (1.0 + 1e-6) + 1e-9, "{}: {claim} over {least}", case.line);
        }
    }
}

/// A batch of everybody is a plain Gaussian, of nobody free, and under add/remove there is no price.
#[test]
fn the_ends_are_known() {
    let round = |batch, examples| Event::Round {
        sampling: Sampling::FixedSize { batch, examples },
        releases: vec![gaussian(2.0), gaussian(2.0)],
    };
    let price = |relation, batch, examples| {
        accountant("pld").report(&Ledger::planned(relation, vec![(round(batch, examples), 10)]), 1e-6)
    };
    let epsilon = |batch, examples| price(Neighbouring::ReplaceOne, batch, examples).unwrap().epsilon;
    let whole = Ledger::planned(Neighbouring::ReplaceOne, vec![(gaussian(2.0), 20)]);
    assert_eq!(epsilon(70, 70), accountant("pld").spent(&whole, 1e-6).unwrap());
    assert!(epsilon(69, 70) < epsilon(70, 70) && epsilon(69, 70) > 0.9 * epsilon(70, 70));
    assert_eq!(epsilon(0, 70), 0.0);
    let refused = price(Neighbouring::AddRemove, 7, 70).unwrap_err().to_string();
    assert!(refused.contains("under replace-one alone"), "{refused}");
}
