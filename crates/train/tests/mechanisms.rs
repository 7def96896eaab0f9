//! Mechanisms and samplings in the trainer: what is charged, what is added, what is refused.
mod common;
use common::{config, gap, model, people, train, trainer};
use privacy::{Event, Key, Ledger, LedgerError, Sampling};
use std::sync::Arc;
use train::{
    clip::ClipRule,
    config::Config,
    each::Each,
    model::Weights,
    plan::{Plan, spent},
    state::State,
    trainer::Method,
};

const BINS: &str = "train.sampling=balls-in-bins";

/// Mechanisms with the samplings that go with them.
fn pairs() -> Vec<Vec<&'static str>> {
    vec![
        vec![],
        vec!["train.sampling={sampling=\"truncated-poisson\", largest=30}"],
        vec!["train.sampling=fixed-size", "privacy.neighbouring=replace-one"],
        vec!["train.sampling=shuffled", "train.steps=23"],
        vec![BINS, "train.steps=23"],
        vec![BINS, "train.steps=23", "mechanism.mechanism=tree"],
        vec![BINS, "train.steps=23", "mechanism={mechanism=\"tree\", restart=\"never\", reduced=false}"],
        vec![BINS, "train.steps=23", "mechanism={mechanism=\"banded\", bands=4}"],
        vec![BINS, "train.steps=23", "mechanism={mechanism=\"banded\", bands=14}", "privacy.neighbouring=replace-one"],
    ]
}

#[test]
fn a_rehearsal_writes_the_runs_ledger() {
    for set in pairs() {
        let config = config(&set);
        let plan = Plan::new(&config, &model(&config), 200).unwrap();
        let run = train(&config, people(200), 200);
        assert_eq!(plan.rehearse(&config, &model(&config)).unwrap().entries(), run.ledger.entries(), "{set:?}");
        let epsilon = spent(&config, &run.ledger).unwrap();
        assert!(epsilon == plan.epsilon && epsilon <= 2.0 && epsilon > 1.9, "{set:?}: {epsilon}");
        assert_eq!(run.ledger.entries(), train(&config, people(0), 0).ledger.entries(), "{set:?}: nobody there");
    }
}

#[test]
fn chunks_and_threads_change_nothing() {
    for set in pairs() {
        let mut small = set.clone();
        small.push("train.chunk=3");
        let (straight, pieces) = (train(&config(&set), people(200), 200), train(&config(&small), people(200), 200));
        assert!(gap(&straight, &pieces) < 1e-6, "{set:?}: {}", gap(&straight, &pieces));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let threads = pool.install(|| train(&config(&set), people(200), 200).weights.point());
        assert_eq!(straight.weights.point().flat(), threads.flat(), "{set:?}");
    }
}

#[test]
fn a_configuration_reads_back_to_the_same() {
    for set in pairs() {
        let config = config(&set);
        assert_eq!(Config::read("again", &config.to_toml(), &[]).unwrap(), config, "{set:?}");
    }
}

#[test]
fn the_ledger_says_how_examples_were_drawn_and_what_for() {
    let entries = |set: &[&str]| train(&config(set), people(200), 200).ledger.entries();
    let bins = Sampling::BallsInBins { bins: 10 };
    match &entries(&pairs()[4])[..] {
        [(Event::Round { sampling, .. }, 23)] => assert_eq!(*sampling, bins),
        other => panic!("{other:?}"),
    }
    match &entries(&pairs()[7])[..] {
        [(Event::Season { strategy, noise_multiplier }, 1), (Event::Round { sampling, releases }, 23)] => {
            assert_eq!((strategy.rounds(), sampling), (23, &bins));
            assert_eq!(*releases, [Event::Prepaid { noise_multiplier: *noise_multiplier }]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn correlated_noise_and_fixed_sizes_refuse_what_they_cannot_price() {
    let error = |set: &[&str]| {
        let config = config(set);
        Plan::new(&config, &model(&config), 200).err().unwrap().to_string()
    };
    for sampling in ["poisson", "fixed-size", "shuffled"] {
        let said = error(&[&format!("train.sampling={sampling}"), "mechanism.mechanism=tree"]);
        assert!(said.contains("tree") && said.contains("balls-in-bins"), "{said}");
    }
    for accountant in ["privacy.accountant=pld", "privacy.accountant=rdp"] {
        let said = error(&["train.sampling=fixed-size", accountant]);
        assert!(said.contains("replace-one"), "{said}");
    }
    assert!(error(&["train.sampling={sampling=\"truncated-poisson\", largest=5}"]).contains("largest"));
    for mechanism in ["mechanism.mechanism=tree", "mechanism={mechanism=\"banded\", bands=4}"] {
        let said = error(&[BINS, mechanism, "clip={rule=\"dpdr\", bound=1.0}"]);
        assert!(
            said.contains("dpdr") && said.contains("more numbers in one step") && said.contains("gaussian"),
            "{said}"
        );
    }
}

/// A 201st row of 200 declared ones would come in where another left: that is an exchange, and not one example less.
#[test]
fn nobody_waits_for_a_place_in_a_lot() {
    for sampling in ["shuffled", "{sampling=\"truncated-poisson\", largest=30}"] {
        let config = config(&[&format!("train.sampling={sampling}")]);
        let (model, key) = (model(&config), Arc::new(Key::from_seed(1)));
        let plan = Plan::new(&config, &model, 200).unwrap();
        let make = |rows| {
            let (weights, ledger) = (Weights::public(model.layout(), &key), Ledger::new(config.privacy.neighbouring));
            let made = plan.trainer(&config, &model, weights, people(rows), rows, key.clone(), ledger);
            made.map(drop).map_err(|e| e.to_string())
        };
        assert_eq!(make(200), Ok(()), "{sampling}");
        let error = make(201).unwrap_err();
        assert!(error.contains("train.sampling") && error.contains("200 declared"), "{error}");
    }
}

/// A rule that keeps what it cut off examples.
struct Keeps;
impl State for Keeps {}
impl ClipRule for Keeps {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![1.0; groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        norms.recip_or_zero()
    }
    fn remembers(&self) -> bool {
        true
    }
}

/// The draw decides, and not the configuration: a rule that is put into a trainer after it was planned is held to it too.
#[test]
fn memories_want_coins_whoever_brings_them() {
    for (sampling, fine) in [("poisson", true), ("shuffled", false), ("balls-in-bins", false)] {
        let mut run = trainer(&config(&[&format!("train.sampling={sampling}")]), people(200), 200);
        if let Method::Private { rule, .. } = &mut run.method {
            *rule = Box::new(Keeps);
        }
        let before = run.ledger.rounds();
        match run.step() {
            Ok(()) => assert!(fine, "{sampling}"),
            Err(error) => assert!(!fine && matches!(error, LedgerError::Remembered { .. }), "{sampling}: {error}"),
        }
        assert_eq!(run.ledger.rounds() - before, u64::from(fine), "{sampling}");
    }
}

/// Batches of a fixed size are planned by their loss distribution, which asks for less noise than Renyi divergences do.
#[test]
fn fixed_sizes_are_planned_by_the_default_accountant() {
    let noise = |more: &[&str]| {
        let config = config(&[&["train.sampling=fixed-size", "privacy.neighbouring=replace-one"][..], more].concat());
        Plan::new(&config, &model(&config), 200).unwrap().noise_multiplier
    };
    let (default, rdp) = (noise(&[]), noise(&["privacy.accountant=rdp"]));
    assert_eq!(default, noise(&["privacy.accountant=pld"]));
    assert!(default < 0.97 * rdp, "{default} {rdp}");
}

/// The noise that each step adds to the weights of 40,003 numbers when nobody is there, in units of its deviation.
fn steps(set: &[&str], count: usize) -> Vec<Vec<f64>> {
    let mut all = vec![
        "update=[{update=\"sgd\", learning_rate=1.0}]",
        "privacy.noise_multiplier=3.0",
        "model={layers=[{layer=\"linear\", features=4000}, {layer=\"linear\", features=3}]}",
        BINS,
    ];
    all.extend(set);
    let mut run = trainer(&config(&all), people(0), 0);
    let mut before = run.weights.point();
    let mut noise = Vec::new();
    for _ in 0..count {
        run.step().unwrap();
        let now = run.weights.point();
        let moved = now.flat().iter().zip(before.flat()).map(|(a, b)| f64::from(a - b) * -20.0 / (3.0 * 0.5));
        noise.push(moved.collect());
        before = now;
    }
    noise
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>() / a.len() as f64
}

#[test]
fn the_noise_of_a_run_has_the_covariance_of_its_mechanism() {
    // Two bands, scaled to length one: c = (1, 1/2) / sqrt(5/4), so x_t = (z_t - c_1 x_{t-1}) / c_0 = 1.118 z_t - x_{t-1} / 2.
    let x = steps(&["mechanism={mechanism=\"banded\", bands=2}"], 6);
    let variance = |t: usize| 1.25 * (0..=t).map(|k| 0.25_f64.powi(k as i32)).sum::<f64>();
    for s in 0..6 {
        for t in s..6 {
            let want = variance(s) * (-0.5_f64).powi((t - s) as i32);
            // 40,003 products of normals: five standard errors are 0.05 of the two deviations. The key is fixed.
            assert!((product(&x[s], &x[t]) - want).abs() < 0.05 * (variance(s) * variance(t)).sqrt(), "{s} {t}");
        }
    }
    // A tree: the noise of a prefix of so many steps has one variance for each bit.
    let x = steps(&["mechanism={mechanism=\"tree\", restart=\"never\", reduced=false}"], 12);
    let mut prefix = vec![0.0; x[0].len()];
    for (t, step) in x.iter().enumerate() {
        prefix.iter_mut().zip(step).for_each(|(p, s)| *p += s);
        let want = f64::from((t as u32 + 1).count_ones());
        assert!((product(&prefix, &prefix) / want - 1.0).abs() < 0.05, "{t}");
    }
    // Restarted after ten steps, the eleventh is correlated with nothing.
    let x = steps(&["mechanism={mechanism=\"tree\", reduced=false}"], 11);
    assert!((0..10).all(|t| product(&x[t], &x[10]).abs() < 0.1));
}
