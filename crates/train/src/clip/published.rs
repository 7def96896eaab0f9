//! The specification's numbers of automatic and normalised clipping (`clipping-03`) and of the radial rule (`clipping-08`), to
//! the printed digits: in f64, from the weights themselves.
use super::trial::*;
use crate::{clip::ClipRule, each::Each};

const ROWS: [[f64; 3]; 4] = [[3.0, 4.0, 0.0], [0.3, -0.4, 0.0], [1.0, 2.0, 2.0], [-6.0, 2.0, 3.0]];

/// A rule's weights for norms.
fn weights(rule: &dyn ClipRule, norms: &[f64]) -> Vec<f64> {
    rule.weigh(Each::new(norms.to_vec(), 1)).into_rows(norms.len(), 1)
}

fn weight(text: &str, n: f64) -> f64 {
    weights(&*rule(text), &[n])[0]
}

/// `got` has the digits of `printed`.
fn digits(got: f64, printed: f64, decimals: i32, what: &str) {
    assert!((got - printed).abs() <= 0.501 * 10f64.powi(-decimals), "{what}: {got} is not {printed}");
}

/// The table of `clipping-00`, section 0.4, which `clipping-03` builds on, with the digits of `clipping-vectors.json`.
#[test]
fn weights_and_sums_on_t0() {
    #[rustfmt::skip]
    let cases = [
        ("rule = \"flat\"\nbound = 1.0", [0.2, 1.0, 0.3333333333333333, 0.14285714285714285], [0.3761904761904763, 1.3523809523809525, 1.0952380952380951]),
        ("rule = \"flat\"\nbound = 3.0", [0.6, 1.0, 1.0, 0.42857142857142855], [0.5285714285714285, 4.857142857142857, 3.2857142857142856]),
        ("rule = \"auto-v\"", [0.2, 2.0, 0.3333333333333333, 0.14285714285714285], [0.6761904761904763, 0.9523809523809523, 1.0952380952380951]),
        ("rule = \"auto-s\"", [0.1996007984031936, 1.9607843137254901, 0.33222591362126247, 0.14265335235378032], [0.6633434888258083, 0.9638480000726639, 1.092411884303866]),
        ("rule = \"nsgd\"\nr = 0.1", [0.19607843137254904, 1.6666666666666667, 0.3225806451612903, 0.14084507042253522], [0.5657455167437262, 1.0444984899911804, 1.0676965015901863]),
        ("rule = \"psac\"\nr = 0.1", [0.19921875, 1.5, 0.32978723404255317, 0.142570281124498], [0.5220217972955652, 1.1415900303341022, 1.0872853114586003]),
        ("rule = \"psac\"\nr = 0.01", [0.19992019154030327, 1.9245283018867922, 0.3329646017699115, 0.1428280358598207], [0.6531154517979347, 0.9814547206659605, 1.094413311119285]),
        ("rule = \"psasc\"\nr = 0.1\ns = 2.0", [0.09980430528375733, 0.8571428571428571, 0.1657754010695187, 0.07135678391959799], [0.29419047054605985, 0.5306244482561199, 0.5456211538978314]),
        ("rule = \"global\"\nthreshold = 4.0", [0.0, 0.25, 0.25, 0.0], [0.325, 0.4, 0.5]),
    ];
    for (text, each, sums) in cases {
        let got = weights(&*rule(text), &[5.0, 0.5, 3.0, 7.0]);
        got.iter().zip(each).for_each(|(got, want)| digits(*got, want, 14, text));
        for (j, want) in sums.into_iter().enumerate() {
            digits(ROWS.iter().zip(&got).map(|(row, w)| w * row[j]).sum(), want, 14, text);
        }
    }
}

/// `clipping-03`, section 1: blocks {0, 1} and {2} with `R / sqrt(2)` each.
#[test]
fn auto_s_by_block() {
    let rule = rule("rule = \"auto-s\"\nper = \"layer\"");
    let norms: Vec<f64> = ROWS.iter().flat_map(|g| [g[0].hypot(g[1]), g[2].abs()]).collect();
    let got = rule.weigh(Each::new(norms, 2)).into_rows(ROWS.len(), 2);
    for (j, want) in [0.484_420_841_0, 0.862_856_258_6, 1.408_346_426_2].into_iter().enumerate() {
        digits(ROWS.iter().zip(got.chunks(2)).map(|(g, w)| w[j / 2] * g[j]).sum(), want, 10, "auto-s by layer");
    }
}

/// `clipping-03`, section 4: PSAC's weight is largest at `sqrt(r) - r`, where it is `C / (2 sqrt(r) - r)`, and `C` at 0.
#[test]
fn the_shape_of_psac() {
    for (r, at, decimals, top, top_decimals) in
        [(0.1, 0.216_227_8, 7, 1.878_091, 6), (0.01, 0.09, 9, 5.263_158, 6), (0.001, 0.030_622_8, 7, 16.065_40, 5)]
    {
        let weight = |n: f64| weight(&format!("rule = \"psac\"\nr = {r}"), n);
        // The largest weight, by golden sections: nothing here knows the formula.
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..200 {
            let (a, b) = (high - 0.618 * (high - low), low + 0.618 * (high - low));
            if weight(a) < weight(b) { low = a } else { high = b }
        }
        // Flat at its top: the place is known to the root of the rounding of its height.
        assert!((low - at).abs() <= 0.5 * 10f64.powi(-decimals) + 2e-8, "r = {r}: the largest weight is at {low}");
        digits(weight(low), top, top_decimals, "the largest weight");
        digits(weight(0.0), 1.0, 12, "the weight of nothing");
        digits(1e6 * weight(1e6), 1.0, 6, "long gradients are normalised");
    }
    digits(weight("rule = \"auto-s\"", 0.0), 100.0, 9, "AUTO-S at 0 is C / gamma");
}

/// `clipping-03`, section 7: the decision table. `C = R = 2`, `s = 4`.
#[test]
fn the_decision_table() {
    // Name, weight at 0, whether weights fall all the way, the longest contribution.
    let rows = [
        ("flat", "", 1.0, true, 2.0),
        ("auto-v", "", f64::INFINITY, true, 2.0),
        ("auto-s", "gamma = 0.01", 200.0, true, 2.0),
        ("nsgd", "r = 0.1", 20.0, true, 2.0),
        ("psac", "r = 0.1", 2.0, false, 2.0),
        ("psasc", "r = 0.1\ns = 4.0", 2.0, false, 0.5),
    ];
    let norms: Vec<f64> = (-240..=240).map(|k| 10f64.powf(f64::from(k) / 20.0)).collect();
    for (name, more, at_zero, falls, longest) in rows {
        let rule = rule(&format!("rule = \"{name}\"\nbound = 2.0\n{more}"));
        let all = weights(&*rule, &norms);
        assert_eq!(all.windows(2).all(|w| w[1] <= w[0]), falls, "{name}: monotone");
        let near_zero = if at_zero.is_finite() { at_zero } else { 2e12 };
        assert!((all[0] / near_zero - 1.0).abs() < 1e-9, "{name}: {} at 0", all[0]);
        let lengths = norms.iter().zip(&all).map(|(n, w)| n * w);
        let top = lengths.fold(0.0, f64::max);
        assert!(top <= longest * (1.0 + 1e-12) && top > 0.999 * longest, "{name}: {top} is not {longest}");
        digits(rule.bounds(1)[0], longest, 12, "the bound that noise is scaled by");
    }
    // AUTO-V alone jumps at 0: nothing contributes nothing.
    assert_eq!(weight("rule = \"auto-v\"", 0.0), 0.0);
}
