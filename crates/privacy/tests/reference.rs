//! Every list of the reference table that is about runs of one kind or another, through the public accountants.
//!
//! The table is not part of the repository; where it is absent these tests say so and pass. The lists about plans
//! are in `reference_plans.rs`, those about single formulas, groups, trees and trials in `reference_forms.rs`.

mod common;

use common::{
    Phase, Tally, add_remove, apart, converted, epsilon, gaussian, laplace, maybe, number, on_default_orders, phase,
    poisson, price, run, step, table, whole,
};
use privacy::{Event, Ledger, Neighbouring, Sampling};
use serde_json::Value;

const ADD_REMOVE: Neighbouring = Neighbouring::AddRemove;
const REPLACE_ONE: Neighbouring = Neighbouring::ReplaceOne;

fn within(value: f64, accept: &Value) -> bool {
    let bounds: Vec<f64> =
        accept.as_array().expect("two ends").iter().map(|end| end.as_f64().expect("an end")).collect();
    value >= bounds[0] && value <= bounds[1]
}

fn phases(case: &Value) -> Vec<Phase> {
    case["phases"].as_array().expect("phases").iter().map(phase).collect()
}

fn name(case: &Value) -> String {
    format!(
        "{} z {} q {} T {} delta {}",
        case["id"], case["noise_multiplier"], case["sample_rate"], case["steps"], case["delta"]
    )
}

/// Slack for a reference that is itself computed, to `abs_err`.
fn slack(case: &Value, key: &str) -> f64 {
    maybe(case, &format!("{key}.abs_err")).unwrap_or(0.0) + 1e-9
}

#[test]
fn dpsgd_pld() {
    let (mut accept, mut inside, mut width) = (Tally::default(), Tally::default(), Tally::default());
    for case in table("dpsgd") {
        let claim = price("pld", &run(ADD_REMOVE, &[phase(&case)]), number(&case, "delta"));
        let (upper, lower) = (claim.epsilon, claim.lower.expect("a proven lower bound"));
        accept.demand(within(upper, &case["accept"]["pld"]), 0.0, || {
            format!("{}: {upper} not in {}", name(&case), case["accept"]["pld"])
        });
        if let Some(exact) = maybe(&case, "exact.epsilon") {
            let slack = slack(&case, "exact");
            let met = lower <= exact + slack && exact <= upper + slack;
            inside.demand(met, (upper - exact) / exact.max(1e-2), || {
                format!("{}: {exact} not in {lower} .. {upper}", name(&case))
            });
        }
        if (0.01..=20.0).contains(&upper) {
            let share = (upper - lower) / upper;
            width.demand(share <= 0.005, share, || format!("{}: {lower} .. {upper}, {share:.1e} wide", name(&case)));
        }
    }
    inside.close("dpsgd, exact inside pld's interval");
    accept.close("dpsgd, pld in accept.pld");
    width.close("dpsgd, width of pld's interval");
}

#[test]
fn dpsgd_exact() {
    let (mut tally, mut declined) = (Tally::default(), Vec::new());
    for case in table("dpsgd") {
        let claim = price("exact", &run(ADD_REMOVE, &[phase(&case)]), number(&case, "delta"));
        if claim.lower.is_some() {
            declined.push(name(&case));
            continue; // pld's interval, which is tested above
        }
        let got = claim.epsilon;
        let (want, slack) = match maybe(&case, "exact.epsilon") {
            Some(want) => (want, slack(&case, "exact")),
            None => {
                let met = within(got, &case["accept"]["pld"]);
                tally.demand(met, 0.0, || format!("{}: {got} not in {}", name(&case), case["accept"]["pld"]));
                continue;
            }
        };
        let off = (got - want).abs();
        tally.demand(off <= slack + 1e-8 * want.max(1.0), off - slack, || {
            format!("{}: {got} against {want}", name(&case))
        });
    }
    eprintln!("dpsgd, exact gives pld's interval instead for {declined:?}");
    // Few rounds at tiny rates: their integrals do not end, and only aliasing once made it look so.
    assert!(declined.len() <= 6, "{declined:?}");
    tally.close("dpsgd, exact");
}

#[test]
fn dpsgd_prv() {
    let mut tally = Tally::default();
    for case in table("dpsgd") {
        let claim = price("prv", &run(ADD_REMOVE, &[phase(&case)]), number(&case, "delta"));
        let (lower, upper) = (claim.lower.unwrap_or(0.0), claim.epsilon);
        if let Some(exact) = maybe(&case, "exact.epsilon") {
            let met = lower <= exact + slack(&case, "exact") && exact <= upper + slack(&case, "exact");
            tally.demand(met, apart(upper, exact), || format!("{}: {exact} not in {lower} .. {upper}", name(&case)));
        }
    }
    tally.close("dpsgd, exact inside prv's interval");
}

#[test]
fn dpsgd_rdp() {
    let (mut tally, mut covered) = (Tally::default(), 0);
    for case in table("dpsgd") {
        let got = epsilon("rdp", &run(ADD_REMOVE, &[phase(&case)]), number(&case, "delta"));
        // Where delta alone covers all, zero is the truth, and the table's conversion did not look for it.
        if got == 0.0 && number(&case, "pld.epsilon_lower") == 0.0 {
            covered += 1;
            continue;
        }
        let best = number(&case, "rdp_true_best_order.epsilon");
        let above = maybe(&case, "exact.epsilon").is_none_or(|exact| got >= exact);
        tally.demand(above && within(got, &case["accept"]["rdp"]), apart(got, best), || {
            format!("{}: {got} not in {}", name(&case), case["accept"]["rdp"])
        });
    }
    eprintln!("{covered} cases cost nothing: delta alone covers them");
    tally.close("dpsgd, rdp in accept.rdp");
}

/// The moment accountants are bounds; the central limit theorem is not, and says so.
#[test]
fn dpsgd_gdp() {
    let (mut bound, mut estimate) = (Tally::default(), Tally::default());
    for case in table("dpsgd") {
        let ledger = run(ADD_REMOVE, &[phase(&case)]);
        let delta = number(&case, "delta");
        for name_ in ["gdp", "zcdp"] {
            let got = epsilon(name_, &ledger, delta);
            let met = maybe(&case, "exact.epsilon").is_none_or(|exact| got >= exact - slack(&case, "exact"));
            bound.demand(met, 0.0, || format!("{} {name_}: {got}", name(&case)));
        }
        let claim = price("gdp-clt", &ledger, delta);
        // Without sampling the table applies the limit theorem still; here nothing is left to estimate then.
        let key = if number(&case, "sample_rate") == 1.0 { "exact.epsilon" } else { "gdp_clt.epsilon" };
        if let Some(want) = maybe(&case, key).filter(|want| want.is_finite()) {
            let met = (claim.epsilon - want).abs() <= 1e-6 * want.max(1.0);
            estimate.demand(met, apart(claim.epsilon, want), || {
                format!("{}: {} against {want}", name(&case), claim.epsilon)
            });
        }
    }
    bound.close("dpsgd, gdp and zcdp are bounds");
    estimate.close("dpsgd, gdp-clt");
}

#[test]
fn heterogeneous() {
    let (mut pld, mut rdp) = (Tally::default(), Tally::default());
    for case in table("heterogeneous") {
        let (ledger, delta) = (run(ADD_REMOVE, &phases(&case)), number(&case, "delta"));
        let (exact, slack) = (number(&case, "exact.epsilon"), slack(&case, "exact"));
        for name in ["pld", "prv", "exact"] {
            let claim = price(name, &ledger, delta);
            let lower = claim.lower.unwrap_or(0.0);
            let met =
                lower <= exact + slack && exact <= claim.epsilon + slack + if name == "exact" { 1e-8 } else { 0.0 };
            let tight = name == "prv" || claim.epsilon <= exact * 1.005;
            let margin = if name == "prv" { 0.0 } else { apart(claim.epsilon, exact) };
            pld.demand(met && tight, margin, || {
                format!("{name} {}: {exact} not in {lower} .. {}", case["phases"], claim.epsilon)
            });
        }
        let (got, best) = (epsilon("rdp", &ledger, delta), number(&case, "rdp_true_best_order.epsilon"));
        rdp.demand(got >= exact && apart(got, best) < 1e-6, apart(got, best), || format!("{}: {got}", case["phases"]));
    }
    pld.close("heterogeneous, pld prv exact");
    rdp.close("heterogeneous, rdp");
}

/// Epsilon of fixed-size batches by joint convexity, at the best order of a fine grid: `1 - q + q e^(a (a-1)/(2 z^2))` a
/// step, written out here.
fn by_convexity(z: f64, rate: f64, steps: f64, delta: f64) -> f64 {
    let at = |order: f64| {
        let moment = (rate * (0.5 * order * (order - 1.0) / (z * z)).exp_m1()).ln_1p();
        converted(steps * moment / (order - 1.0), order, delta)
    };
    (0..40_000).map(|k| at(1.0 + 1e-3 * (5e-4 * f64::from(k)).exp())).fold(f64::INFINITY, f64::min)
}

#[test]
fn replace_one() {
    let (mut pld, mut rdp, mut won) = (Tally::default(), Tally::default(), 0);
    for case in table("replace_one") {
        let (delta, exact) = (number(&case, "delta"), number(&case, "exact_poisson.epsilon"));
        let claim = price("pld", &run(REPLACE_ONE, &[phase(&case)]), delta);
        let (upper, lower) = (claim.epsilon, claim.lower.unwrap_or(0.0));
        let slack = slack(&case, "exact_poisson");
        let met = upper >= exact - slack
            && lower <= exact + slack
            && upper <= number(&case, "pld_poisson.epsilon_upper") + 1e-3;
        pld.demand(met, apart(upper, exact), || format!("{}: {exact} not in {lower} .. {upper}", name(&case)));
        let Some(want) = maybe(&case, "rdp_without_replacement.epsilon") else { continue };
        let fixed = &case["rdp_without_replacement"];
        let sampling =
            Sampling::FixedSize { batch: whole(fixed, "batch_size"), examples: whole(fixed, "dataset_size") };
        let round = Event::Round { sampling, releases: vec![gaussian(number(&case, "noise_multiplier"))] };
        let got = epsilon("rdp", &Ledger::planned(REPLACE_ONE, vec![(round, whole(&case, "steps"))]), delta);
        // The table is Theorem 27 alone, at whole orders; joint convexity is another bound, which wins at large rates and is
        // all that is left when everybody takes part. The smaller one is the price, to the table's tolerance both ways.
        let rate = whole(fixed, "batch_size") as f64 / whole(fixed, "dataset_size") as f64;
        let convex = by_convexity(number(&case, "noise_multiplier"), rate, number(&case, "steps"), delta);
        let share = apart(got, want.min(convex));
        won += u32::from(convex < want);
        rdp.demand(share <= 1e-6, share, || format!("{}: fixed size {got} against {want} and {convex}", name(&case)));
    }
    eprintln!("joint convexity is the smaller bound in {won}");
    assert!(won <= 4, "the table's theorem is hardly asked");
    pld.close("replace_one, pld");
    rdp.close("replace_one, fixed size by rdp");
}

fn mechanisms(case: &Value, key: &str, event: fn(f64) -> Event) -> Vec<(Event, u64)> {
    let list = case[key].as_array().expect("a list of mechanisms");
    list.iter().map(|each| (event(number(each, "noise_multiplier")), whole(each, "count"))).collect()
}

#[test]
fn laplace_and_gaussian() {
    let (mut pld, mut rdp) = (Tally::default(), Tally::default());
    for case in table("laplace_gaussian") {
        let delta = number(&case, "delta");
        if case["kind"] == "poisson_sampled" {
            pld_of_sampled_laplace(&case, delta, &mut pld);
            continue;
        }
        let mut entries = mechanisms(&case, "laplace", laplace);
        entries.extend(mechanisms(&case, "gaussian", gaussian));
        let ledger = add_remove(entries);
        let (upper, want) = (epsilon("pld", &ledger, delta), number(&case, "pld_dp_accounting.epsilon_upper"));
        let floor = maybe(&case, "exact.epsilon").unwrap_or(0.0) - 1e-9;
        pld.demand(upper >= floor && upper <= want + 1e-3, apart(upper, want), || format!("{case}: pld {upper}"));
        // On the table's orders, both ways; all orders together may be better, and are no lower than the truth.
        let (got, want) = (epsilon("rdp", &ledger, delta), number(&case, "rdp_dp_accounting.epsilon"));
        let off = apart(on_default_orders(&ledger, delta), want);
        let met = off <= 1e-9 && got <= want * (1.0 + 1e-9) && got >= floor;
        rdp.demand(met, off, || format!("{case}: rdp {got}"));
    }
    pld.close("laplace_gaussian, pld");
    rdp.close("laplace_gaussian, rdp on the table's orders");
}

fn pld_of_sampled_laplace(case: &Value, delta: f64, tally: &mut Tally) {
    let (rate, steps) = (number(case, "sample_rate"), whole(case, "steps_each"));
    let noisy = poisson(rate, vec![laplace(number(case, "laplace_noise_multiplier"))]);
    let alone = epsilon("pld", &add_remove(vec![(noisy.clone(), steps)]), delta);
    let both = vec![(noisy, steps), (step(number(case, "gaussian_noise_multiplier"), rate), steps)];
    let both = epsilon("pld", &add_remove(both), delta);
    for (got, key) in [(alone, "pld_laplace_only"), (both, "pld_dp_accounting")] {
        let off = (got - number(case, &format!("{key}.epsilon_upper"))).abs();
        tally.demand(off <= 1e-3, off, || format!("{case}: {key} {got}"));
    }
}

#[test]
fn truncated_poisson() {
    let mut tally = Tally::default();
    for case in table("truncated_poisson") {
        let (z, rate, steps) = phase(&case);
        let (examples, cap) = (whole(&case, "dataset_size"), whole(&case, "truncated_batch_size"));
        for (relation, key) in [(ADD_REMOVE, "pld_add_remove"), (REPLACE_ONE, "pld_replace_one")] {
            let releases = vec![gaussian(z / relation.factor())];
            let round = Event::Round { sampling: Sampling::TruncatedPoisson { rate, examples, cap }, releases };
            let got = epsilon("pld", &Ledger::planned(relation, vec![(round, steps)]), number(&case, "delta"));
            let want = number(&case, &format!("{key}.epsilon_upper"));
            let met = (got - want).abs() <= 1e-3;
            tally.demand(met, (got - want).abs(), || format!("{} cap {cap} {key}: {got} against {want}", name(&case)));
        }
        // Cutting a draw never hides anything.
        let uncut = maybe(&case, "exact_without_truncation").unwrap_or(0.0);
        tally.demand(number(&case, "pld_add_remove.epsilon_upper") >= uncut, 0.0, || {
            format!("{}: {uncut}", name(&case))
        });
    }
    tally.close("truncated_poisson");
}
