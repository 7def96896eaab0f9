//! The lists of the reference table about single formulas: one Gaussian, zero-concentrated privacy, trees.
//!
//! Where the table is absent these tests say so and pass.

mod common;

use common::{
    Tally, accountant, add_remove, apart, default_orders, epsilon, gaussian, number, on_default_orders, phase, price,
    run, table, whole,
};
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
        let grid = apart(on_default_orders(&ledger, delta), number(&case, "rdp_dp_accounting.epsilon"));
        tally.demand(grid <= 1e-9, grid, || format!("{case}: {grid:e} away on the table's orders"));
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
        let (grid, delta) = (number(&case, "rdp_dp_accounting.epsilon"), number(&case, "delta"));
        let off = apart(on_default_orders(&ledger, delta), grid);
        let met = off <= 1e-9 && epsilon("rdp", &ledger, delta) <= grid * (1.0 + 1e-9);
        tally.demand(met, off, || format!("rdp {case}: {off:e} away on the table's orders"));
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

/// On the table's grid of orders, both ways. All orders together can only be better, by little (most, 1.2 %, for a mean of
/// one trial, where orders below the grid's 1.1 help); and never cheaper than a single run.
#[test]
fn tuning() {
    let (mut grid, mut best) = (Tally::default(), Tally::default());
    for case in table("tuning") {
        let (mean, delta) = (number(&case, "mean_repetitions"), number(&case, "delta"));
        let trials = match case["distribution"].as_str() {
            Some("poisson") => Trials::Poisson { mean },
            _ => Trials::NegativeBinomial { shape: number(&case, "shape"), mean },
        };
        let one = run(Neighbouring::AddRemove, &[phase(&case)]);
        let want = number(&case, "rdp_true_values.epsilon");
        let off = apart(trials.price_at(&one, &default_orders(), delta).expect("a price").epsilon, want);
        grid.demand(off <= 1e-7, off, || format!("{case}: {off:e} away"));
        let got = trials.price(&one, delta).expect("a price").epsilon;
        let met = got <= want * (1.0 + 1e-9) && got > 0.985 * want && got >= epsilon("rdp", &one, delta);
        best.demand(met, 1.0 - got / want, || format!("{case}: {got} against {want}"));
    }
    grid.close("tuning on the table's orders");
    best.close("tuning at all orders");
}

/// From the exact curve of one example, both ways; from a bound, never below what a group really costs.
#[test]
fn group_privacy() {
    let (mut tally, mut bound) = (Tally::default(), Tally::default());
    for case in table("group_privacy") {
        let one = run(Neighbouring::AddRemove, &[phase(&case)]);
        let of = |name| {
            let of_one = |delta| accountant(name).spent(&one, delta);
            group::generic(whole(&case, "group_size"), number(&case, "delta"), of_one).expect("a price")
        };
        let want = number(&case, "generic_conversion.epsilon");
        let off = apart(of("exact"), want);
        tally.demand(off <= 1e-6, off, || format!("{case}: exact is {off:e} away"));
        let got = of("pld");
        let met = got >= want * (1.0 - 1e-6) && got >= number(&case, "exact_mixture.epsilon");
        bound.demand(met, got / want - 1.0, || format!("{case}: {got} against {want}"));
    }
    tally.close("group_privacy, generic, from exact");
    bound.close("group_privacy, generic, from pld");
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
