//! The lists of the reference table that plan a run: how much noise, how many rounds, and how noise is split between what one
//! draw releases.
//!
//! Where the table is absent these tests say so and pass.

mod common;

use common::{
    Tally, add_remove, apart, epsilon, gaussian, maybe, number, on_default_orders, poisson, run, table, whole,
};
use privacy::{Neighbouring, noise_multiplier};

const ADD_REMOVE: Neighbouring = Neighbouring::AddRemove;

#[test]
fn calibration_sigma() {
    let (mut pld, mut inverse, mut rdp) = (Tally::default(), Tally::default(), Tally::default());
    for case in table("calibration_sigma") {
        let (target, delta, steps) = (number(&case, "epsilon"), number(&case, "delta"), whole(&case, "steps"));
        let rate = number(&case, "sample_rate");
        let of = |z| run(ADD_REMOVE, &[(z, rate, steps)]);
        let found = |accountant: &str| {
            let price = |z| common::accountant(accountant).spent(&of(z), delta);
            noise_multiplier(target, price).expect("a multiplier")
        };
        // Where the table has no exact value, that of another library's bound, to its own precision.
        let exact =
            maybe(&case, "exact.sigma").unwrap_or_else(|| number(&case, "pld_dp_accounting.sigma") * (1.0 - 1e-4));
        let got = found("pld");
        let share = got.noise_multiplier / exact - 1.0;
        let met = got.epsilon <= target && (-1e-9..=2e-3).contains(&share);
        pld.demand(met, share, || format!("epsilon {target} q {rate} T {steps}: {got:?} against {exact}"));
        if let Some(exact) = maybe(&case, "exact.sigma") {
            let got = found("exact");
            let off = apart(got.noise_multiplier, exact);
            inverse.demand(off <= 1e-6, off, || format!("epsilon {target} q {rate} T {steps}: {got:?}, not {exact}"));
        }
        // On the table's grid of orders, both ways; the best of all orders needs less noise, never more, and never less
        // than the truth.
        let want = number(&case, "rdp_true_dp_accounting_orders.sigma");
        let on_grid = noise_multiplier(target, |z| Ok::<_, String>(on_default_orders(&of(z), delta)));
        let off = apart(on_grid.expect("a multiplier").noise_multiplier, want);
        let got = found("rdp");
        let met = got.epsilon <= target && (exact..=want * (1.0 + 5e-6)).contains(&got.noise_multiplier);
        rdp.demand(off <= 5e-4 && met, off, || format!("epsilon {target} q {rate}: {got:?} against {want}"));
    }
    pld.close("calibration_sigma, pld");
    inverse.close("calibration_sigma, exact");
    rdp.close("calibration_sigma, rdp on the table's orders");
}

#[test]
fn calibration_steps() {
    let mut tally = Tally::default();
    for case in table("calibration_steps") {
        let (target, delta, most) = (number(&case, "epsilon"), number(&case, "delta"), whole(&case["exact"], "steps"));
        let after = |steps| {
            epsilon(
                "pld",
                &run(ADD_REMOVE, &[(number(&case, "noise_multiplier"), number(&case, "sample_rate"), steps)]),
                delta,
            )
        };
        // One more step than the most is too much for any sound accountant; a thousandth fewer is allowed by a tight one.
        let fewer = (most as f64 * 0.999).floor() as u64;
        let met = after(most + 1) > target && after(fewer) <= target;
        tally.demand(met, 0.0, || format!("{most} steps to epsilon {target}: {} {}", after(fewer), after(most + 1)));
    }
    tally.close("calibration_steps");
}

#[test]
fn adaptive_clipping() {
    let (mut tally, mut refused) = (Tally::default(), 0);
    for case in table("adaptive_clipping") {
        let z = |key| number(&case, key);
        // A count moves by one half at most, so that noise of this deviation is twice that multiplier; what is left of
        // the target is the gradient's.
        let count = 2.0 * z("count_noise_std");
        let left = z("target_noise_multiplier").powi(-2) - count.powi(-2);
        if case["expected"].as_str().is_some_and(|what| what.starts_with("error")) {
            // No noise on the gradient meets the target: the count alone costs as much, or more.
            let alone = |z| epsilon("gdp", &add_remove(vec![(gaussian(z), 1)]), 1e-5);
            let met = left <= 0.0 && alone(count) >= alone(z("target_noise_multiplier"));
            tally.demand(met, 0.0, || format!("{case}: {left} is left"));
            refused += 1;
            continue;
        }
        let share =
            apart(left.powf(-0.5), z("gradient_noise_multiplier")).max(apart(count, z("count_noise_multiplier")));
        tally.demand(share < 1e-12, share, || format!("{case}: split {}", left.powf(-0.5)));
        let both = vec![gaussian(z("gradient_noise_multiplier")), gaussian(z("count_noise_multiplier"))];
        let ledger = add_remove(vec![(poisson(z("sample_rate"), both), whole(&case, "steps"))]);
        let plain = run(ADD_REMOVE, &[(z("target_noise_multiplier"), z("sample_rate"), whole(&case, "steps"))]);
        let rdp = epsilon("rdp", &ledger, z("delta"));
        let share = apart(rdp, epsilon("rdp", &plain, z("delta")));
        tally.demand(share < 1e-9, share, || format!("{case}: rdp {rdp}"));
        // The table's value is dp-accounting's, whose divergences at fractional orders are too high (see the table's README):
        // by up to 4e-5 of epsilon at the lowest orders that win here, so that its tolerance holds on one side alone.
        // That the divergences themselves are right to 1e-11 is asked of `rdp_values`.
        let want = z("rdp_dp_accounting_split.epsilon");
        let on_grid = on_default_orders(&ledger, z("delta"));
        let met = (-5e-5..=1e-6).contains(&(on_grid / want - 1.0)) && rdp <= on_grid * (1.0 + 1e-12);
        tally.demand(met, apart(on_grid, want), || format!("{case}: rdp {rdp}, on its grid {on_grid}"));
        if let Some(exact) = maybe(&case, "exact.epsilon") {
            let upper = epsilon("pld", &ledger, z("delta"));
            let met = upper >= exact - number(&case, "exact.abs_err") - 1e-9 && upper <= exact * 1.005;
            tally.demand(met, 0.0, || format!("{case}: pld {upper}"));
            let off = (epsilon("exact", &ledger, z("delta")) - exact).abs();
            tally.demand(off <= 1e-6, off, || format!("{case}: exact {off:e} away"));
        }
    }
    assert!(refused == 2 || table("adaptive_clipping").is_empty(), "{refused} splits are impossible");
    tally.close("adaptive_clipping");
}
