//! Sensitivities of correlated noise, and tickets.

use super::*;
use crate::account;
use crate::reference::{number, relative, table};
use crate::{Accountant, Ledger, Neighbouring};

fn gdp(entries: Vec<(Event, u64)>, delta: f64) -> Result<f64, crate::AccountError> {
    account::Gdp.spent(&Ledger::planned(Neighbouring::AddRemove, entries), delta)
}

fn season(strategy: Strategy, noise_multiplier: f64) -> (Event, u64) {
    (Event::Season { strategy, noise_multiplier }, 1)
}

fn prepaid(noise_multiplier: f64, count: u64) -> (Event, u64) {
    let releases = vec![Event::Prepaid { noise_multiplier }];
    (Event::Round { sampling: Sampling::Poisson { rate: 0.1 }, releases }, count)
}

#[test]
fn depths_of_trees() {
    assert_eq!([0, 1, 2, 3, 4, 511, 512, 1000].map(tree_depth), [0, 1, 2, 2, 3, 9, 10, 10]);
}

#[test]
fn reference_trees() {
    let mut worst = 0.0_f64;
    for case in table("tree_aggregation") {
        let rounds = case["step_counts"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()).collect();
        let strategy = Strategy::Tree { rounds, epochs: case["epochs"].as_u64().unwrap() };
        let (z, delta) = (number(&case, "noise_multiplier"), number(&case, "delta"));
        let sigma = z / strategy.square().unwrap().sqrt();
        assert!(relative(sigma, number(&case, "equivalent_gaussian_sigma")) < 1e-12);
        let got = gdp(vec![season(strategy, z)], delta).unwrap();
        worst = worst.max(relative(got, number(&case["exact"], "epsilon")));
    }
    eprintln!("worst relative error of trees {worst:e}");
    assert!(worst < 1e-9);
}

/// The same by writing out every node.
fn by_hand(batches: u64, epochs: u64, completed: bool) -> f64 {
    let real = batches * epochs;
    let leaves = if completed { real.next_power_of_two() } else { real };
    let mut most = 0.0_f64;
    for batch in 0..batches {
        let mut sum = 0.0;
        let mut size = 1;
        while size <= leaves {
            for node in 0..leaves / size {
                let inside = node * size..((node + 1) * size).min(real);
                let count = inside.filter(|leaf| leaf % batches == batch).count() as f64;
                sum += count * count;
            }
            size *= 2;
        }
        most = most.max(sum);
    }
    most
}

#[test]
fn one_tree_of_many_epochs() {
    let square = |batches, epochs, completed| Strategy::TreeOfEpochs { batches, epochs, completed }.square().unwrap();
    assert_eq!(square(3, 2, true), 12.0);
    assert_eq!(square(8, 1, false), 4.0);
    assert_eq!(square(100, 20, true), 926.0);
    // Five restarts, the last one without completion (Kairouz et al. 2021): 4129 in all.
    assert_eq!(4.0 * square(100, 20, true) + square(100, 20, false), 4129.0);
    for (batches, epochs) in [(1, 1), (1, 9), (5, 3), (7, 7), (16, 4), (33, 2)] {
        for completed in [false, true] {
            assert_eq!(square(batches, epochs, completed), by_hand(batches, epochs, completed), "{batches} {epochs}");
        }
    }
    assert!(Strategy::TreeOfEpochs { batches: 1 << 30, epochs: 2, completed: true }.square().is_err());
}

#[test]
fn bands_that_do_not_overlap_are_orthogonal() {
    let banded = Strategy::banded(3, 6, 2, 3);
    let Strategy::Toeplitz { coefficients, .. } = &banded else { unreachable!() };
    for (got, want) in coefficients.iter().zip([0.847_998_3, 0.423_999_15, 0.317_999_36]) {
        assert!((got - want).abs() < 1e-7);
    }
    assert!((banded.square().unwrap() - 2.0).abs() < 1e-12);
}

#[test]
fn columns_that_overlap_are_summed() {
    let full: Vec<f64> = vec![1.0, 0.5, 0.375, 0.3125, 0.273_437_5, 0.246_093_75];
    let square = |participations, separation| {
        Strategy::Toeplitz { coefficients: full.clone(), rounds: 6, participations, separation }.square().unwrap()
    };
    assert!((square(3, 2) - 7.638_748_17).abs() < 1e-8);
    assert!((square(1, 1) - 1.623_611_45).abs() < 1e-8);
    assert_eq!(square(0, 2), 0.0);
    // More participations than fit are those that fit.
    assert_eq!(square(99, 2), square(3, 2));
}

#[test]
fn earliest_and_closest_is_the_worst() {
    let coefficients = vec![1.0, 0.7, 0.7, 0.2, 0.1];
    let worst = Strategy::Toeplitz { coefficients: coefficients.clone(), rounds: 9, participations: 3, separation: 2 };
    let column = |at: usize| {
        let c = &coefficients;
        (0..9).map(move |t: usize| if t >= at && t - at < 5 { c[t - at] } else { 0.0 })
    };
    for (a, b, c) in [(0, 2, 4), (0, 3, 6), (1, 3, 5), (2, 5, 8), (0, 4, 8), (4, 6, 8)] {
        let square: f64 = column(a).zip(column(b)).zip(column(c)).map(|((x, y), z)| (x + y + z).powi(2)).sum();
        assert!(square <= worst.square().unwrap() + 1e-12, "{a} {b} {c}");
    }
}

#[test]
fn nonsense_is_refused() {
    let refused = |coefficients: Vec<f64>, separation| {
        Strategy::Toeplitz { coefficients, rounds: 5, participations: 2, separation }.square().is_err()
    };
    assert!(
        refused(vec![1.0, 2.0], 1) && refused(vec![-1.0], 1) && refused(vec![f64::NAN], 1) && refused(vec![1.0], 0)
    );
    assert!(gdp(vec![season(Strategy::banded(2, 4, 1, 2), f64::NAN)], 1e-5).is_err());
}

#[test]
fn a_ticket_needs_its_season() {
    let tree = || Strategy::Tree { rounds: vec![100], epochs: 1 };
    let alone = gdp(vec![season(tree(), 5.0)], 1e-5).unwrap();
    assert!((alone - 2.123_424_377_693_853).abs() < 1e-9);
    assert_eq!(gdp(vec![season(tree(), 5.0), prepaid(5.0, 100)], 1e-5), Ok(alone));
    assert_eq!(gdp(vec![prepaid(5.0, 60), season(tree(), 5.0), prepaid(5.0, 40)], 1e-5), Ok(alone));
    for entries in [
        vec![prepaid(5.0, 1)],
        vec![season(tree(), 5.0), prepaid(5.0, 101)],
        vec![season(tree(), 5.0), prepaid(4.0, 1)],
        vec![(Event::Prepaid { noise_multiplier: 1.0 }, 1)],
    ] {
        let error = gdp(entries, 1e-5).unwrap_err().to_string();
        assert!(error.contains("more rounds are prepaid"), "{error}");
    }
}

#[test]
fn what_else_a_prepaid_round_releases_is_not_hidden() {
    let releases = vec![Event::Prepaid { noise_multiplier: 5.0 }, Event::Gaussian { noise_multiplier: 20.0 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 0.01 }, releases };
    let tree = season(Strategy::Tree { rounds: vec![100], epochs: 1 }, 5.0);
    let entries = vec![tree, (round, 100)];
    let got = gdp(entries.clone(), 1e-5).unwrap();
    let want = crate::gaussian::epsilon((7.0 / 25.0 + 100.0 / 400.0_f64).sqrt(), 1e-5);
    assert!(relative(got, want) < 1e-12);
    // Nor from those accountants that know what sampling hides.
    for name in ["pld", "rdp"] {
        let ledger = Ledger::planned(Neighbouring::AddRemove, entries.clone());
        let got = account::by_name(name).unwrap().spent(&ledger, 1e-5).unwrap();
        assert!(got > want * (1.0 - 1e-9) && got < want * 1.2, "{name}: {got}, {want}");
    }
}

#[test]
fn seasons_survive_the_disk() {
    for event in [
        season(Strategy::banded(4, 100, 5, 20), 2.5).0,
        season(Strategy::TreeOfEpochs { batches: 3, epochs: 2, completed: true }, 1.0).0,
        prepaid(1.5, 1).0,
    ] {
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event, "{text}");
        assert!(!event.to_string().is_empty());
    }
}
