//! The lists of the reference table about single formulas: one Gaussian, zero-concentrated privacy, trees.
//!
//! Where the table is absent these tests say so and pass.

mod common;

use common::{Tally, accountant, add_remove, apart, epsilon, gaussian, number, phase, price, run, table, whole};
use privacy::account::{self, group};
use privacy::{Event, Ledger, Neighbouring, Strategy, Trials, tree_depth};

#[test]
fn gaussian_analytic() {
    let mut tally = Tally::default();
    for case in table("gaussian_analytic") {
        let ask = case["ask"].as_str().expect("a question");
        let value = |key| number(&case, key);
        let got = match ask {
            "epsilon" => privacy::gaussian::epsilon(1.0 / value("sigma"), value("delta")),
            "delta" => privacy::gaussian::delta(1.0 / value("sigma"), value("epsilon")),
            _ => privacy::gaussian::noise_multiplier(value("epsilon"), value("delta")).expect("a multiplier"),
        };
        let off = apart(got, value(ask));
        tally.demand(off < 1e-9 || (got - value(ask)).abs() < 1e-12, off, || format!("{case}: {got}"));
    }
    tally.close("gaussian_analytic");
}

/// The same questions through the accountants that know the Gaussian exactly.
#[test]
fn gaussian_by_accountants() {
    let mut tally = Tally::default();
    for case in table("gaussian_analytic").iter().filter(|case| case["ask"] == "epsilon") {
        let ledger = add_remove(vec![(gaussian(number(case, "sigma")), 1)]);
        for (name, share) in [("gdp", 1e-9), ("pld", 5e-3)] {
            let claim = price(name, &ledger, number(case, "delta"));
            let exact = number(case, "epsilon");
            let met = claim.epsilon >= exact * (1.0 - 1e-12) && claim.epsilon <= exact * (1.0 + share);
            let below = claim.lower.is_none_or(|lower| lower <= exact * (1.0 + 1e-12));
            tally.demand(met && below, apart(claim.epsilon, exact), || format!("{name} {case}: {claim:?}"));
        }
    }
    tally.close("gaussian_analytic by gdp and pld");
}

#[test]
fn zcdp() {
    let mut tally = Tally::default();
    for case in table("zcdp") {
        let (rho, delta) = (number(&case, "rho"), number(&case, "delta"));
        let ledger = add_remove(vec![(gaussian((0.5 / rho).sqrt()), 1)]);
        for (name, key, share) in
            [("zcdp", "epsilon_tight", 1e-8), ("rdp", "epsilon_tight", 1e-8), ("gdp", "epsilon_if_gaussian", 1e-9)]
        {
            let (got, want) = (epsilon(name, &ledger, delta), number(&case, key));
            let met = apart(got, want) < share && got <= number(&case, "epsilon_bun_steinke");
            tally.demand(met, apart(got, want), || format!("{name} {case}: {got}"));
        }
    }
    tally.close("zcdp");
}

/// The table's adjacency is zero-out: one bound, as under add/remove.
#[test]
fn tree_aggregation() {
    let mut tally = Tally::default();
    for case in table("tree_aggregation") {
        let rounds: Vec<u64> = case["step_counts"]
            .as_array()
            .expect("counts")
            .iter()
            .map(|count| count.as_u64().expect("a count"))
            .collect();
        let depth = rounds.iter().map(|count| u64::from(tree_depth(*count))).max();
        assert_eq!(depth, Some(whole(&case, "depth")));
        let strategy = Strategy::Tree { rounds, epochs: whole(&case, "epochs") };
        let season = Event::Season { strategy, noise_multiplier: number(&case, "noise_multiplier") };
        let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(season, 1)]);
        let exact = number(&case, "exact.epsilon");
        for (name, share) in [("gdp", 1e-9), ("pld", 5e-3), ("rdp", 0.2)] {
            let got = epsilon(name, &ledger, number(&case, "delta"));
            let met = got >= exact * (1.0 - 1e-12) && got <= exact * (1.0 + share);
            tally.demand(met, if name == "rdp" { 0.0 } else { apart(got, exact) }, || format!("{name} {case}: {got}"));
        }
        let grid = number(&case, "rdp_dp_accounting.epsilon");
        let got = epsilon("rdp", &ledger, number(&case, "delta"));
        tally.demand(got <= grid * (1.0 + 1e-9), 0.0, || format!("rdp {case}: {got}"));
    }
    tally.close("tree_aggregation");
}

/// Every accountant of the list takes part in these tests, by name.
#[test]
fn the_accountants_are_those_tested() {
    for name in account::names() {
        assert!(
            ["pld", "exact", "prv", "rdp", "gdp", "gdp-clt", "zcdp"].contains(&name),
            "{name} has no reference test"
        );
    }
}

/// The table's grid of orders is its own; more orders can only be better, and a single run only cheaper.
#[test]
fn tuning() {
    let mut tally = Tally::default();
    for case in table("tuning") {
        let (mean, delta) = (number(&case, "mean_repetitions"), number(&case, "delta"));
        let trials = match case["distribution"].as_str() {
            Some("poisson") => Trials::Poisson { mean },
            _ => Trials::NegativeBinomial { shape: number(&case, "shape"), mean },
        };
        let one = run(Neighbouring::AddRemove, &[phase(&case)]);
        let got = trials.price(&one, delta).expect("a price").epsilon;
        let want = number(&case, "rdp_true_values.epsilon");
        let met = got <= want * (1.0 + 1e-7) && got > 0.95 * want && got >= epsilon("rdp", &one, delta);
        tally.demand(met, 1.0 - got / want, || format!("{case}: {got} against {want}"));
    }
    tally.close("tuning");
}

/// From the curve of one example; never below what a group really costs.
#[test]
fn group_privacy() {
    let mut tally = Tally::default();
    for case in table("group_privacy") {
        let one = run(Neighbouring::AddRemove, &[phase(&case)]);
        let of_one = |delta| accountant("pld").spent(&one, delta);
        let got = group::generic(whole(&case, "group_size"), number(&case, "delta"), of_one).expect("a price");
        let want = number(&case, "generic_conversion.epsilon");
        // Where one example is asked for at a delta of 1e-12 and less, rounding alone may cost more.
        let fine = number(&case, "generic_conversion.one_record_delta") > 1e-12;
        let met = got >= want * (1.0 - 1e-6) && (got <= want * 1.01 || !fine);
        tally.demand(
            met && got >= number(&case, "exact_mixture.epsilon"),
            if fine { got / want - 1.0 } else { 0.0 },
            || format!("{case}: {got} against {want}"),
        );
    }
    tally.close("group_privacy, generic");
}

/// The mixture of all shares that a group may have in a draw.
#[test]
fn group_privacy_of_poisson_samples() {
    let mut tally = Tally::default();
    for case in table("group_privacy") {
        let one = run(Neighbouring::AddRemove, &[phase(&case)]);
        let size = u32::try_from(whole(&case, "group_size")).expect("a small group");
        let claim = group::price(&one, size, number(&case, "delta")).expect("a price");
        let exact = number(&case, "exact_mixture.epsilon");
        let slack = number(&case, "exact_mixture.abs_err") + 1e-9;
        let met = claim.lower.is_some_and(|lower| lower <= exact + slack)
            && claim.epsilon >= exact - slack
            && claim.epsilon <= number(&case, "pld_mixture_of_gaussians.epsilon_upper") + 1e-3;
        tally.demand(met, apart(claim.epsilon, exact), || format!("{case}: {claim:?}"));
    }
    tally.close("group_privacy, exact mixture");
}
