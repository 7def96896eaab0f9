//! Every finding on four gradients, against numbers from elsewhere: pair sums over different examples (U-statistics) in the place
//! of corrected moments, and the definitions written out for each example, by a program in another language.
use super::{
    ALL, Finding, Scan, Scene,
    hessian::{Top, symmetric},
    scene, step, symmetry,
    tests::{examples, model, near, normals, setting},
};
use crate::{
    grads::{Grads, Layout},
    layer::{Init, Parameter},
    model::Loss,
};
use privacy::Key;
use serde_json::Value;

const ROWS: [[f64; 3]; 4] = [[7.0, 4.0, 0.0], [4.3, -0.4, 0.0], [5.0, 2.0, 2.0], [-2.0, 2.0, 3.0]];

/// Bound 5, multiplier 1.1, lots of 10, a tenth of the data.
fn found(rows: &[Vec<f64>], bound: f64) -> (Scan, Vec<Finding>) {
    let (data, setting) = (examples(rows), setting(bound, 256));
    let model = model(data.shape()[0], Loss::MeanSquaredError, &data.gather(&[]).targets);
    let weights = scene::at(model.layout(), &Grads::zeros(model.layout()));
    let who = (0..data.len()).collect();
    let scene = Scene { model: &model, weights: &weights, other: None, examples: &data, who, setting: &setting };
    let scan = Scan::new(&scene);
    let findings = ALL.iter().filter(|e| !e.diagnostic.dear()).filter_map(|e| e.diagnostic.find(&scene, &scan));
    let findings = findings.collect();
    (scan, findings)
}

fn numbers<'a>(findings: &'a [Finding], name: &str) -> &'a Value {
    &findings.iter().find(|f| f.name == name).unwrap_or_else(|| panic!("no finding called {name}")).numbers
}

fn check(findings: &[Finding], name: &str, wanted: &[(&str, f64)]) {
    for (path, wanted) in wanted {
        let got = numbers(findings, name).pointer(path).and_then(Value::as_f64);
        near(got.unwrap_or_else(|| panic!("{name}{path}")), *wanted, &format!("{name}{path}"));
    }
}

/// What is wanted of each finding: its name, and numbers by their places.
type Wanted = (&'static str, &'static [(&'static str, f64)]);

/// At bound 5.
const WANTED: [Wanted; 5] = [
    (
        "norms",
        &[
            ("/share_clipped", 0.5),
            ("/whole/largest", 8.062_257_748_3),
            ("/rules/0/cosine_with_mean", 0.997_910_069_3),
            ("/rules/1/cosine_with_mean", 0.995_190_628_1),
        ],
    ),
    (
        "angle",
        &[
            ("/mean_cosine", 0.692_430_362_3),
            ("/share_positive", 1.0),
            ("/share_positive_leaving_itself_out", 0.75),
            ("/cosine_of_clipped_mean_with_mean", 0.997_910_069_3),
        ],
    ),
    (
        "bias",
        &[("/at_bound/clipped", 14.071_825_685_9), ("/at_bound/b", 0.430_892_289_1), ("/relative", 0.031_588_182_2)],
    ),
    (
        "step",
        &[
            ("/parts/signal", 12.8),
            ("/parts/bias", 0.352_814_596_0),
            ("/parts/sampling", 1.927_125),
            ("/parts/noise", 0.907_5),
            ("/parts/error", 3.187_439_596_0),
            ("/parts/misdirection", 0.247_662_665_2),
        ],
    ),
    (
        "batch",
        &[
            ("/covariance_trace", 20.612_5),
            ("/noise_scale", 1.610_351_562_5),
            ("/at_lot/poisson", 3.007_125),
            ("/at_lot/without_replacement", 1.873_863_636_4),
            ("/at_lot/noise", 0.907_5),
            ("/at_lot/signal", 12.8),
        ],
    ),
];

#[test]
fn findings_of_four_gradients() {
    let (_, all) = found(&ROWS.map(|row| row.to_vec()), 5.0);
    WANTED.iter().for_each(|(name, wanted)| check(&all, name, wanted));
    // Near 0 degrees an angle has half the digits of its cosine.
    assert!((numbers(&all, "angle")["degrees"].as_f64().unwrap() - 3.704_923).abs() < 2e-3);
}

/// The curve at the configured bound is the configured rule, which is flat clipping: two ways to the same numbers.
#[test]
fn the_curve_at_the_bound_is_the_rule() {
    let (scan, _) = found(&ROWS.map(|row| row.to_vec()), 5.0);
    let setting = setting(5.0, 256);
    let curve = step::curve(&setting, &scan);
    let (at, rule) = (curve.iter().find(|p| p.c == 5.0).unwrap(), step::configured(&setting, &scan).unwrap());
    for (a, b) in [
        (at.bias, rule.bias),
        (at.sampling, rule.sampling),
        (at.misdirection, rule.misdirection),
        (at.error, rule.error),
    ] {
        near(a, b, "the curve at the bound");
    }
}

/// One gradient of four against the mean, and a bound that clips a quarter: what is counted is counted the right way round.
#[test]
fn shares_are_of_the_right_ones() {
    let rows = [[4.0, 0.0], [2.0, 0.0], [1.0, 0.0], [-1.0, 0.0]].map(|row| row.to_vec());
    let (_, all) = found(&rows, 3.0);
    check(&all, "norms", &[("/share_clipped", 0.25)]);
    check(&all, "angle", &[("/share_positive", 0.75), ("/mean_cosine", 0.5)]);
}

/// AUTO-S has weights of its own: moments of the configured rule are not those of the curve. Numbers for `auto-s` at bound 5.
#[test]
fn parts_of_another_rule() {
    let (scan, _) = found(&ROWS.map(|row| row.to_vec()), 5.0);
    let auto = &scan.rules[1];
    assert_eq!(auto.name, "auto-s");
    near(auto.square, 12.060_633_686_4, "|m|^2");
    near(auto.second, 24.903_769_845_6, "the mean squared contribution");
    let (setting, sizes) = (setting(5.0, 256), ((17.953_125, 33.412_5), (4, 3)));
    let moments =
        step::Moments { square: auto.square, dot: auto.dot, second: auto.second, change: auto.change, own: auto.own };
    let parts = step::Parts::new(&setting, 5.0, moments, sizes.0, sizes.1);
    near(parts.bias, 0.035_913_148_8, "bias");
    near(parts.sampling, 2.241_339_286_1, "sampling");
    near(parts.misdirection, 0.245_726_867_3, "misdirection");
}

/// Everything within a tenth of `v = (4, 0)`, clipped at 4: close to the mean are all, and `|v| min(|v|, 3)` is promised.
#[test]
fn the_theorems_promise() {
    let rows = [[4.1, 0.0], [3.9, 0.0], [4.0, 0.1], [4.0, -0.1]].map(|row| row.to_vec());
    let (_, all) = found(&rows, 4.0);
    check(&all, "bias", &[("/at_bound/close", 1.0), ("/at_bound/guaranteed", 12.0)]);
    // Two of four within c/4 = 1, the others within c/2.
    let rows = [[4.9, 0.0], [3.1, 0.0], [4.0, 1.5], [4.0, -1.5]].map(|row| row.to_vec());
    let (_, all) = found(&rows, 4.0);
    check(&all, "bias", &[("/at_bound/close", 0.5), ("/at_bound/guaranteed", 6.0)]);
}

/// p-values of symmetric clouds are even between 0 and 1, and none is ever 0: the cloud itself is one of the turnings.
#[test]
fn p_values_are_even_and_never_zero() {
    let key = Key::from_seed(9);
    let tested = |seed: u64| {
        let cloud = normals(120, 2, seed);
        let row = |j: usize| {
            let centre = cloud.iter().map(|r| r[j]).sum::<f64>() / 120.0;
            cloud.iter().map(|r| r[j] - centre).collect::<Vec<f64>>()
        };
        symmetry::test(&[&row(0), &row(1)], &key, symmetry::sliced)
    };
    let all: Vec<symmetry::Tested> = (0..100).map(|seed| tested(3000 + seed)).collect();
    let mean = |f: fn(&symmetry::Tested) -> f64| all.iter().map(f).sum::<f64>() / 100.0;
    // The standard error of the mean of 100 even p-values is 0.029.
    assert!((mean(|t| t.p) - 0.5).abs() < 0.12, "mean p {}", mean(|t| t.p));
    let ratio = mean(|t| t.value) / mean(|t| t.under_symmetry);
    assert!((ratio - 1.0).abs() < 0.08, "what symmetric clouds have, over what turnings say they have: {ratio}");
    let skewed: Vec<f64> = (0..120).map(|i| if i % 10 == 0 { 9.0 } else { -1.0 }).collect();
    assert_eq!(symmetry::test(&[&skewed], &key, symmetry::sliced).p, 1.0 / 200.0);
}

/// Cauchy entries have index 1, and so have their means over batches; clipped they are bounded and their means Gaussian.
#[test]
fn clipping_takes_the_tail_away() {
    let (above, below) = (normals(2000, 200, 5), normals(2000, 200, 6));
    let ratio = |(a, b): (&f64, &f64)| a / b.abs().max(1e-7);
    let rows: Vec<Vec<f64>> = above.iter().zip(&below).map(|(a, b)| a.iter().zip(b).map(ratio).collect()).collect();
    let (_, all) = found(&rows, 1.0);
    let number = |path: &str| numbers(&all, "tail")[path].as_f64().unwrap();
    let (raw, clipped, control) = (number("alpha"), number("alpha_clipped"), number("alpha_gaussian_control"));
    // Of 4000 entries in blocks of 63: the specification's million give 1.007.
    assert!(raw < 1.4, "{raw}");
    assert!(clipped > raw + 0.4 && (clipped - 2.0).abs() < 0.4, "{clipped} against {raw}");
    // The control has each coordinate's own variance: where those are as unequal as Cauchy means, that alone lowers the index.
    assert!((control - raw).abs() < 0.2, "{control} and {raw}");
    let (_, all) = found(&normals(2000, 200, 7), 1.0);
    let control = numbers(&all, "tail")["alpha_gaussian_control"].as_f64().unwrap();
    assert!((control - 2.0).abs() < 0.4, "equal variances: {control}");
}

/// `diagnostics.md`, H6: the share of (1, 1, 1) along the sharpest direction of H2's matrix; all of it along all.
#[test]
fn shares_along_sharp_directions() {
    let (values, vectors) = symmetric(vec![vec![4.0, 1.0, 0.0], vec![1.0, 3.0, 1.0], vec![0.0, 1.0, 2.0]]);
    let layout = Layout::new(vec![Parameter::new("w", [3], Init::Constant(0.0))]);
    let top = Top { least: values[2], values, vectors };
    let shares = top.shares(&Grads::new(&layout, vec![1.0; 3]));
    near(shares[0], 0.829_344_62, "along the first");
    near(shares[2], 1.0, "along all");
    assert_eq!(top.above_a_hundredth(), 3);
    near(top.stable_rank(), 9.0 / 4.732_050_81, "the trace over the largest");
}

#[test]
fn outputs_become_probabilities() {
    let logits = [0.7f32.ln() + 3.0, 0.2f32.ln() + 3.0, 0.1f32.ln() + 3.0];
    let p = Loss::CrossEntropy.probabilities(&logits).unwrap();
    p.iter().zip([0.7, 0.2, 0.1]).for_each(|(p, wanted)| near(*p, wanted, "softmax"));
    near(Loss::SigmoidCrossEntropy.probabilities(&[3f32.ln()]).unwrap()[1], 0.75, "logistic");
    assert!(Loss::MeanSquaredError.probabilities(&logits).is_none());
}
