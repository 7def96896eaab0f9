//! Every rule of the list, through the same questions, and the specifications' own numbers.
use super::*;
use crate::{
    layer::{Init, Parameter},
    tap::Rows,
};
use engine::Tensor;
use privacy::{Event, Key, Ledger, Mechanism, Neighbouring, Poisson, Stream};
use proptest::prelude::*;
use std::sync::Arc;

/// Reads a bounded sum the only way there is: by releasing it, here with a noise multiplier of zero.
struct Silent;
impl Mechanism<Grads> for Silent {
    fn event(&self, _: u64) -> Event {
        Event::Gaussian { noise_multiplier: 0.0 }
    }
    fn unit(&mut self, _: &Stream, blank: Grads) -> Grads {
        blank
    }
}

fn open(lot: Lot) -> Vec<f64> {
    let draw = Poisson::new(0, 0.5, Key::from_seed(0)).unwrap().draw(0);
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let released = ledger.open(&draw).release(lot.sum, &mut Silent).unwrap();
    released.get().flat().iter().map(|x| f64::from(*x)).collect()
}

fn layout() -> Arc<Layout> {
    Layout::new(vec![
        Parameter::new("0.weight", [2], Init::Constant(0.0)),
        Parameter::new("1.weight", [1], Init::Constant(0.0)),
    ])
}

/// Examples of three numbers: two of one layer, one of another.
fn taps(rows: &[[f32; 3]]) -> Secret<Taps> {
    let n = rows.len();
    let mut taps = Taps::new(n, &layout());
    taps.leave(0, Rows::new(Tensor::new([n, 2], rows.iter().flat_map(|r| [r[0], r[1]]).collect())));
    taps.leave(1, Rows::new(Tensor::new([n, 1], rows.iter().map(|r| r[2]).collect())));
    Secret::new(taps)
}

/// The shared batch T0 of the specifications.
const T0: [[f32; 3]; 4] = [[3.0, 4.0, 0.0], [0.3, -0.4, 0.0], [1.0, 2.0, 2.0], [-6.0, 2.0, 3.0]];

fn sum(rule: &dyn ClipRule, rows: &[[f32; 3]]) -> Vec<f64> {
    open(contribute(rule, &layout(), taps(rows)))
}

fn rule(text: &str) -> Box<dyn ClipRule> {
    toml::from_str::<ClipConfig>(text).unwrap().into_box()
}

/// How each entry of the list is tried.
fn tried(name: &str) -> Vec<Box<dyn ClipRule>> {
    let with = |fields: &str| rule(&format!("rule = \"{name}\"\n{fields}"));
    match name {
        "flat" | "auto-s" | "auto-v" => {
            vec![with("bound = 1.0"), with("bound = 0.25\nper = \"layer\""), with("bound = 30.0\nper = \"parameter\"")]
        }
        other => panic!("say in clip/tests.rs how `{other}` is tried"),
    }
}

fn every() -> Vec<Box<dyn ClipRule>> {
    ClipConfig::ENTRIES.iter().flat_map(|entry| tried(entry.name)).collect()
}

/// A rule that wants too much for everybody.
struct Greedy(f64);
impl ClipRule for Greedy {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![1.0; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.map(|_| self.0)
    }
}

#[test]
fn published_sums_on_t0() {
    let cases = [
        ("rule = \"flat\"\nbound = 1.0", [0.3761904762, 1.3523809524, 1.0952380952]),
        ("rule = \"flat\"\nbound = 3.0", [0.5285714286, 4.8571428571, 3.2857142857]),
        ("rule = \"auto-v\"", [0.6761904762, 0.9523809524, 1.0952380952]),
        ("rule = \"auto-s\"", [0.6633434888, 0.9638480001, 1.0924118843]),
        ("rule = \"auto-s\"\nper = \"layer\"", [0.4844208410, 0.8628562586, 1.4083464262]),
    ];
    for (text, expected) in cases {
        for (got, want) in sum(&*rule(text), &T0).into_iter().zip(expected) {
            assert!((got - want).abs() < 2e-6, "{text}: {got} instead of {want}");
        }
    }
}

#[test]
fn every_rule_is_capped() {
    let greedy: Vec<Box<dyn ClipRule>> =
        [1e6, f64::INFINITY, f64::NAN, -5.0, 1e300].map(|w| Box::new(Greedy(w)) as _).into();
    let sizes = [0.0f32, 1e-30, 1e-20, 1e-12, 1e-6, 1.0, 1e3, 1e15, 1e18, 1e19, 1e30, f32::MAX];
    for rule in every().iter().chain(&greedy) {
        let allowed = sensitivity(&**rule, &layout()) * (1.0 + ROUNDING);
        for size in sizes {
            for direction in [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [-0.5, 0.5, 0.5]] {
                let moved = sum(&**rule, &[direction.map(|x: f32| x * size)]);
                let norm = moved.iter().map(|x| x * x).sum::<f64>().sqrt();
                assert!(norm <= allowed, "an example of size {size:e} moves the sum by {norm}");
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_counts_as_zero() {
    for rule in every() {
        let alone = sum(&*rule, &T0[..2]);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(sum(&*rule, &[T0[0], [1.0, bad, 0.0], T0[1]]), alone);
        }
    }
}

#[test]
fn bounds_must_be_positive_numbers() {
    for bad in ["0.0", "-1.0", "nan", "inf"] {
        let error = toml::from_str::<ClipConfig>(&format!("rule = \"flat\"\nbound = {bad}")).unwrap_err().to_string();
        assert!(error.contains("above 0"), "{error}");
    }
    assert!(rule("rule = \"auto-s\"\ngamma = -1.0").check().unwrap_err().contains("gamma"));
}

#[test]
fn merging_lots_is_adding_them() {
    let rule = rule("rule = \"flat\"\nbound = 1.0");
    let zero = Grads::zeros(&layout());
    let halves = [&T0[..1], &T0[1..]].map(|rows| contribute(&*rule, &layout(), taps(rows)));
    let merged = open(halves.into_iter().fold(Lot::empty(&*rule, zero.layout()), Lot::merge));
    for (a, b) in merged.into_iter().zip(sum(&*rule, &T0)) {
        assert!((a - b).abs() < 1e-6);
    }
}

fn size() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0f32), Just(1e-30), Just(1e30), Just(f32::NAN), (-20.0f32..20.0).prop_map(|e| 10f32.powf(e))]
}

fn example() -> impl Strategy<Value = [f32; 3]> {
    (size(), -1.0f32..1.0, -1.0f32..1.0, -1.0f32..1.0).prop_map(|(s, a, b, c)| [a * s, b * s, c * s])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    /// Removing one example moves the noiseless sum by at most the declared bound, whoever else is there.
    #[test]
    fn leave_one_out(mut rows in prop::collection::vec(example(), 1..6), twin in any::<bool>()) {
        if twin {
            rows.push(rows[0]);
        }
        for rule in every() {
            let (with, without) = (sum(&*rule, &rows), sum(&*rule, &rows[1..]));
            let moved = with.iter().zip(&without).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
            prop_assert!(moved <= sensitivity(&*rule, &layout()) * (1.0 + ROUNDING), "moved by {moved}");
        }
    }

    /// A lot is the sum of its examples taken one at a time: no rule looks across.
    #[test]
    fn one_row_at_a_time(rows in prop::collection::vec(example(), 1..6)) {
        for rule in every() {
            let whole = sum(&*rule, &rows);
            let mut parts = vec![0.0; 3];
            for row in &rows {
                parts.iter_mut().zip(sum(&*rule, &[*row])).for_each(|(p, x)| *p += x);
            }
            for (a, b) in whole.iter().zip(&parts) {
                prop_assert!((a - b).abs() <= 1e-4 * sensitivity(&*rule, &layout()) * rows.len() as f64);
            }
        }
    }
}
