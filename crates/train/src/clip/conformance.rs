//! Every rule of the list, through the same questions.
//!
//! Rules are asked when they are new and when they have learnt from a few noisy steps on other people.
use super::{trial::*, *};
use crate::state::State;
use privacy::{Key, Purpose, Stream};
use rayon::prelude::*;

/// How each entry of the list is tried.
pub fn tried(name: &str) -> Vec<String> {
    let with = |fields: &str| format!("rule = \"{name}\"\n{fields}");
    match name {
        "flat" | "auto-s" | "auto-v" | "nsgd" | "norm-fed-avg" | "psac" | "psasc" => {
            vec![with("bound = 1.0"), with("bound = 0.25\nper = \"layer\""), with("bound = 30.0\nper = \"parameter\"")]
        }
        "per-layer" | "parameter-wise" | "block-wise" => {
            vec![with("bound = 1.0"), with("noise = \"proportional\"\nshares = [1.0, 4.0]"), with("noise = \"least\"")]
        }
        "global" | "v2-s" | "v2-t" => vec![with("bound = 1.0\nthreshold = 3.0")],
        "quantile" => vec![with("bound = 1.0"), with("bound = 0.2\nfollow = \"linear\"\nunit = 1.0")],
        "dc-sgd-p" | "dc-sgd-e" | "slaclip" | "slaclip-q" => vec![with("bound = 1.0"), with("bound = 7.0\nunit = 1.0")],
        "global-adapt" => vec![with("bound = 0.5\nthreshold = 3.0")],
        "adaptive-per-layer" => {
            vec![with("bound = 1.0"), with("keep_total = true\nnoise = \"even\"\nper = \"parameter\"")]
        }
        "adaclip" => vec![with("bound = 1.0"), with("bound = 0.5\nvariance = 0.01\ncap = 100.0")],
        "geoclip" => vec![with("bound = 1.0"), with("subtract_noise = false\nbeta2 = 0.5")],
        "geoclip-k" => vec![with("rank = 2"), with("bound = 0.5\nrank = 9")],
        "scale-then-privatize" => vec![with("bound = 1.0"), with("bound = 5.0\neps = 1e-4\nbeta2 = 0.9")],
        "dp2" => vec![
            with("plain = 2\nscaled = 2"),
            with("bound = 0.5\nscaled_bound = 3.0\nplain = 1\nscaled = 1\neps = 1e-4"),
        ],
        "dpdr" => vec![with("bound = 1.0"), with("bound = 0.3\ncommon_bound = 2.0\ncommon_noise = 2.0")],
        "random-sparsification" => vec![with("bound = 1.0\nepochs = 0.2"), with("bound = 0.3")],
        "pruned" => vec![with("bound = 1.0\nkeep = 0.67"), with("keep = 0.5\nscore = \"random\"\nrest = \"freeze\"")],
        "projected" => vec![with("bound = 1.0\nrank = 2"), with("bound = 0.5\nrank = 1\nwhen = \"after\"")],
        "perturbed" => vec![with("bound = 1.0"), with("bound = 0.1\nreach = 30.0")],
        "body-tail" => vec![with("bound = 1.0\ndirections = 1"), with("bound = 2.0\nby = \"norm\"")],
        "dice-sgd" | "inner-outer" => vec![with("bound = 1.0"), with("bound = 0.1")],
        "radial" => vec![with("bound = 1.0"), with("bound = 0.1\nreach = 30.0"), with("reach = 0.0")],
        "micro-batch" => vec![with("bound = 1.0"), with("bound = 0.5\nsize = 4.0")],
        other => panic!("say in clip/conformance.rs how `{other}` is tried"),
    }
}

/// The same as new and after some steps.
pub fn every() -> Vec<(String, Box<dyn ClipRule>)> {
    let texts = ClipConfig::ENTRIES.iter().flat_map(|entry| tried(entry.name));
    texts.flat_map(|text| [0, 4].map(|age| (format!("{text}\nafter {age} steps"), aged(&text, age)))).collect()
}

fn aged(text: &str, steps: u64) -> Box<dyn ClipRule> {
    let mut rule = rule(text);
    let mut coins = Coins::new(77);
    for t in 0..steps {
        let rows: Vec<[f32; 3]> = (0..4).map(|_| [(); 3].map(|()| 2.0 * coins.normal())).collect();
        let noise: Vec<f32> = (0..64).map(|_| coins.normal()).collect();
        step(&mut *rule, t, &rows, &noise, 4.0);
    }
    rule.begin(steps);
    rule
}

/// Random numbers one after the other.
pub struct Coins(Stream, u64);

impl Coins {
    pub fn new(seed: u64) -> Coins {
        Coins(Key::from_seed(seed).stream(Purpose::Audit, 0, 0), 0)
    }
    fn normal(&mut self) -> f32 {
        self.1 += 1;
        self.0.normal(self.1) as f32
    }
    fn uniform(&mut self) -> f64 {
        self.1 += 1;
        self.0.uniform(self.1)
    }
    /// A gradient of any length from 0 to 1e30, or not finite.
    fn gradient(&mut self) -> [f32; 3] {
        let size = match (self.uniform() * 12.0) as u32 {
            0 => 0.0,
            1 => 1e-30,
            2 => 1e30,
            3 => f64::NAN,
            4..8 => 10f64.powf(4.0 * self.uniform() - 2.0),
            _ => 10f64.powf(40.0 * self.uniform() - 20.0),
        };
        let lone = self.uniform() < 0.3;
        let direction = [(); 3].map(|()| self.normal());
        let direction = if lone { [direction[0], 0.0, 0.0] } else { direction };
        direction.map(|x| (f64::from(x) * size) as f32)
    }
    /// A few gradients: duplicates, aligned and opposed ones among them.
    pub fn lot(&mut self) -> Vec<[f32; 3]> {
        let n = 1 + (self.uniform() * 5.0) as usize;
        let mut rows: Vec<[f32; 3]> = (0..n).map(|_| self.gradient()).collect();
        match (self.uniform() * 6.0) as u32 {
            0 => rows.push(rows[0]),
            1 => rows.push(rows[0].map(|x| -x)),
            2 => rows.push(rows[0].map(|x| 1000.0 * x)),
            _ => {}
        }
        rows
    }
}

fn length(x: impl Iterator<Item = f64>) -> f64 {
    x.map(|x| x * x).sum::<f64>().sqrt()
}

/// How far two lots' releases are apart, over what was promised: the gradient with what is beside it, and the answer.
pub fn apart(rule: &dyn ClipRule, a: &Seen, b: &Seen) -> f64 {
    let differences = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x - y).collect::<Vec<f64>>();
    let joint = differences(&a.sum, &b.sum).into_iter().chain(differences(&a.beside, &b.beside));
    let gradient = length(joint) / (sensitivity(rule, &layout()) * (1.0 + ROUNDING));
    let answer = match rule.ask() {
        Some(Question { price: Price::Apart { bound, .. }, .. }) => {
            length(differences(&a.answer, &b.answer).into_iter()) / (bound * (1.0 + 1e-12))
        }
        _ => 0.0,
    };
    gradient.max(answer)
}

fn lot(rule: &dyn ClipRule, rows: &[[f32; 3]], who: impl Iterator<Item = usize>) -> Seen {
    open(contribute(rule, &layout(), taps_of(rows, who.collect()), None), rule)
}

/// Removing one example moves the noiseless release by at most the declared bound, whoever else is there.
#[test]
fn leave_one_out() {
    // Each rule is tried at least twice, new and aged: 10,000 cases or more.
    every().par_iter().for_each(|(text, rule)| {
        let mut coins = Coins::new(3);
        for case in 0..5_000 {
            let rows = coins.lot();
            let with = lot(&**rule, &rows, 0..rows.len());
            let without = lot(&**rule, &rows[1..], 1..rows.len());
            let moved = apart(&**rule, &with, &without);
            // Sums of several f32 vectors are rounded once more than each of them.
            assert!(moved <= 1.0 + 2e-6, "{text}\ncase {case}: {rows:?} moves by {moved} of what is allowed");
        }
    });
}

/// What leaves is vouched for by the very bounds that are tried above: noise is scaled by these.
#[test]
fn what_is_vouched_for_is_what_was_tried() {
    for (text, rule) in every() {
        let closed = Lot::empty(&*rule, &layout()).close(&*rule, &layout());
        assert_eq!(closed.sum.bound(), sensitivity(&*rule, &layout()) * (1.0 + ROUNDING), "{text}");
        let asked = match rule.ask() {
            Some(Question { price: Price::Apart { bound, .. }, .. }) => Some(bound),
            _ => None,
        };
        assert_eq!(closed.answer.map(|answer| answer.bound()), asked, "{text}");
    }
}

/// A lot is the sum of its examples taken one at a time: no rule looks across.
#[test]
fn one_row_at_a_time() {
    every().par_iter().filter(|(_, rule)| rule.crowds().is_none()).for_each(|(text, rule)| {
        let mut coins = Coins::new(4);
        for _ in 0..300 {
            let rows = coins.lot();
            let whole = lot(&**rule, &rows, 0..rows.len());
            let parts: Vec<Seen> = (0..rows.len()).map(|i| lot(&**rule, &rows[i..=i], i..=i)).collect();
            let total = |of: &dyn Fn(&Seen) -> &Vec<f64>| -> Vec<f64> {
                (0..of(&whole).len()).map(|j| parts.iter().map(|p| of(p)[j]).sum()).collect()
            };
            let parts = Seen { sum: total(&|s| &s.sum), beside: total(&|s| &s.beside), answer: total(&|s| &s.answer) };
            let moved = apart(&**rule, &whole, &parts);
            assert!(moved <= 1e-5 * rows.len() as f64, "{text}\n{rows:?}: {moved}");
        }
    });
}

/// Noise that is correlated over steps needs sums of one size: a rule says if its own are not.
#[test]
fn a_frame_keeps_its_size_or_says_so() {
    for text in ClipConfig::ENTRIES.iter().flat_map(|entry| tried(entry.name)) {
        let sizes = [0, 1, 2, 4].map(|age| Groups::new(&*aged(&text, age), &layout()).layout.len());
        let changes = sizes.iter().any(|size| *size != sizes[0]);
        assert_eq!(rule(&text).reshapes(), changes, "{text}: {sizes:?}");
    }
}

/// A rule that wants too much for everybody.
struct Greedy(f64);
impl State for Greedy {}
impl ClipRule for Greedy {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![1.0; groups]
    }
    fn weigh(&self, norms: crate::each::Each) -> crate::each::Each {
        let wanted = self.0;
        norms.map(move |_| wanted)
    }
}

#[test]
fn every_rule_is_capped() {
    let greedy = [1e6, f64::INFINITY, f64::NAN, -5.0, 1e300].map(|w| (format!("{w}"), Box::new(Greedy(w)) as Box<_>));
    let sizes = [0.0f32, 1e-30, 1e-20, 1e-12, 1e-6, 1.0, 1e3, 1e15, 1e18, 1e19, 1e30, f32::MAX];
    for (text, rule) in every().into_iter().chain(greedy) {
        let nobody = lot(&*rule, &[], 0..0);
        for size in sizes {
            for direction in [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.6, 0.0, 0.8], [-0.5, 0.5, 0.5]] {
                let one = lot(&*rule, &[direction.map(|x: f32| x * size)], 0..1);
                let moved = apart(&*rule, &one, &nobody);
                assert!(moved <= 1.0, "{text}\nan example of size {size:e} moves the sum by {moved}");
            }
        }
    }
}

#[test]
fn a_gradient_that_is_not_finite_counts_as_zero() {
    for (text, rule) in every() {
        let alone = lot(&*rule, &T0[..2], 0..2);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let with = lot(&*rule, &[T0[0], T0[1], [1.0, bad, 0.0]], 0..3);
            assert_eq!(apart(&*rule, &with, &alone), 0.0, "{text}");
        }
    }
}

/// A rule that is given another's memory goes on as that one does.
#[test]
fn a_memory_is_all_that_matters() {
    for text in ClipConfig::ENTRIES.iter().flat_map(|entry| tried(entry.name)) {
        let mut straight = aged(&text, 4);
        let mut resumed = rule(&text);
        carry(&mut *straight, &mut *resumed);
        let mut coins = Coins::new(78);
        for t in 4..7 {
            let rows: Vec<[f32; 3]> = (0..4).map(|_| [(); 3].map(|()| 2.0 * coins.normal())).collect();
            let noise: Vec<f32> = (0..64).map(|_| coins.normal()).collect();
            let [a, b] = [&mut straight, &mut resumed].map(|rule| step(&mut **rule, t, &rows, &noise, 4.0));
            assert_eq!(a, b, "{text}");
        }
    }
}

/// What is written is read back, and nothing else is accepted.
#[test]
fn settings_are_written_and_read() {
    for text in ClipConfig::ENTRIES.iter().flat_map(|entry| tried(entry.name)) {
        let read: ClipConfig = toml::from_str(&text).unwrap();
        assert_eq!(toml::from_str::<ClipConfig>(&toml::to_string(&read).unwrap()).unwrap(), read);
        assert!(
            toml::from_str::<ClipConfig>(&format!("{text}\nbuond = 1.0")).unwrap_err().to_string().contains("buond")
        );
    }
    for entry in ClipConfig::ENTRIES {
        assert!(!entry.source.is_empty() && !entry.class.is_empty(), "{entry:?}");
    }
}

/// A rule's closed form is the rule: what a GPU makes of norms is what `weigh` says.
#[test]
fn closed_forms_are_the_rules() {
    let mut closed = Vec::new();
    for (text, rule) in every() {
        let groups = Groups::new(&*rule, &layout());
        let Some(curves) = rule.curves(groups.count) else { continue };
        assert_eq!(curves.len(), groups.count, "{text}");
        let mut coins = Coins::new(3);
        let special = [0.0, 1e-300, 1e-13, 1.0, 3.0, 1e30].into_iter();
        let norms: Vec<f64> = special.chain((0..500).map(|_| 10f64.powf(24.0 * coins.uniform() - 12.0))).collect();
        let rows = norms.iter().flat_map(|n| vec![*n; groups.count]).collect();
        let weights = rule.weigh(crate::each::Each::new(rows, groups.count)).into_rows(norms.len(), groups.count);
        for (weights, norm) in weights.chunks(groups.count).zip(&norms) {
            for (weight, curve) in weights.iter().zip(&curves) {
                let there = curve.at(*norm);
                // Beyond what an f32 holds both are capped.
                let near = (weight - there).abs() <= 1e-12 * weight.abs() || (*weight > 1e38 && there > 1e38);
                assert!(near, "{text}: norm {norm:e}: {weight:e}, the closed form {there:e}");
            }
        }
        closed.push(text.split('"').nth(1).unwrap_or_default().to_owned());
    }
    closed.dedup();
    let all = ["flat", "auto-s", "auto-v", "nsgd", "norm-fed-avg", "psac", "psasc", "global", "v2-s", "v2-t"];
    assert_eq!(closed, [&all[..], &["per-layer", "parameter-wise", "block-wise"]].concat());
}
