//! What a run says of itself to the world, what it keeps for whoever runs it, and what it refuses to claim.
mod common;
use common::{config, model, people};
use privacy::{Event, Key, KeyError, Ledger, Neighbouring, Purpose};
use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use train::{
    config::{Config, DEFAULT},
    grads::Grads,
    model::Weights,
    plan::Plan,
    report::Statement,
    run::{Progress, Run, Watch},
    state::State,
    update::{Now, Update},
};

/// A short run of the default configuration.
fn adult(set: &[&str]) -> Config {
    let short = ["train.steps=5", "train.evaluations=1"];
    let set: Vec<String> = short.iter().chain(set).map(|s| (*s).to_owned()).collect();
    Config::read("test", DEFAULT, &set).unwrap()
}

fn prepare(set: &[&str], folder: &Path, force: bool) -> Result<Run, String> {
    Run::prepare(adult(set), Path::new(""), Some(folder), force).map_err(|e| e.to_string())
}

fn statement(folder: &Path) -> Statement {
    serde_json::from_str(&fs::read_to_string(folder.join("privacy.json")).unwrap()).unwrap()
}

/// Under add/remove one bit about the number of rows tells neighbours apart: whoever runs it is told, nobody else.
#[test]
fn that_the_count_is_not_the_declared_one_is_not_published() {
    let top = TempDir::new().unwrap();
    let files = |examples: &str, name: &str| {
        let folder = top.path().join(name);
        let run = prepare(&[examples, "train.seed=1"], &folder, false).unwrap();
        let told = run.notes.len();
        run.train(&mut ()).unwrap();
        let page = fs::read_to_string(folder.join("report.html")).unwrap();
        (told, page.contains("hold exactly"))
    };
    assert_eq!(files("data.examples=32561", "exact"), (0, false));
    assert_eq!(files("data.examples=32562", "one fewer"), (1, false));
}

/// What the price takes for granted stands in the statement: which neighbours, and what the accountant says of its number.
#[test]
fn a_statement_says_what_its_price_takes_for_granted() {
    let top = TempDir::new().unwrap();
    let of = |sampling: &str| {
        let folder = top.path().join(sampling);
        let set = [&format!("train.sampling={sampling}")[..], "privacy.noise_multiplier=4.0", "train.steps=2"];
        prepare(&set, &folder, false).unwrap().train(&mut ()).unwrap();
        statement(&folder)
    };
    let (coins, places) = (of("poisson"), of("shuffled"));
    assert!(!coins.neighbouring_definition.contains("declared"), "{}", coins.neighbouring_definition);
    assert!(places.neighbouring_definition.contains("Neither holds more examples than are declared"));
    let page = fs::read_to_string(top.path().join("shuffled/report.html")).unwrap();
    for said in ["leaves its place", "Poisson accounting would claim far less"] {
        assert!(places.accountant_notes.iter().any(|note| note.contains(said)), "{:?}", places.accountant_notes);
        assert!(page.contains(said));
    }
    assert!(coins.assumptions.iter().any(|text| text.contains("keep to their declaration")));
}

/// Four full batches of multiplier 2 are one Gaussian release with `mu = 1`: a test with wrong alarms `a` finds at most
/// `Phi(Phi^-1(a) + 1)`, which Python's `statistics.NormalDist` computed; epsilon and delta alone allow several times as much.
#[test]
fn what_an_attacker_can_do_is_the_whole_curves() {
    let top = TempDir::new().unwrap();
    let folder = top.path().join("a");
    let set = ["privacy.noise_multiplier=2.0", "train.sample_rate=1.0", "train.steps=4"];
    prepare(&set, &folder, false).unwrap().train(&mut ()).unwrap();
    let Statement { epsilon, membership, .. } = statement(&folder);
    let membership = membership.unwrap();
    let exact = [(0.001, 0.018_298_468_406), (0.01, 0.092_362_248_074), (0.05, 0.259_511_022_841)];
    assert_eq!(membership.tests.len(), exact.len());
    for (test, (rate, found)) in membership.tests.iter().zip(exact) {
        assert_eq!(test.false_positive_rate, rate);
        assert!((found..1.005 * found).contains(&test.true_positive_rate), "{test:?} {found}");
        assert!((epsilon.exp() * rate + 1e-5).min(1.0) > 3.0 * test.true_positive_rate, "{epsilon} {test:?}");
    }
    assert!((0.382_924_922..0.3831).contains(&membership.advantage), "{membership:?}");
    // Who has seen the rows needs no test.
    prepare(&["privacy.noise_multiplier=0.0"], &top.path().join("b"), false).unwrap().train(&mut ()).unwrap();
    assert_eq!(statement(&top.path().join("b")).membership, None);
}

#[test]
fn an_estimate_is_no_price_of_a_run() {
    let top = TempDir::new().unwrap();
    let error = prepare(&["privacy.accountant=gdp-clt"], &top.path().join("a"), false).err().unwrap();
    assert!(error.contains("gdp-clt") && error.contains("estimate") && error.contains("privacy.accountant"), "{error}");
    assert!(!top.path().join("a").exists());
    // Without sampling it is exact.
    prepare(&["privacy.accountant=gdp-clt", "train.sample_rate=1.0"], &top.path().join("b"), false).unwrap();
}

/// What is remembered of others would tell whether somebody was drawn, were draws not independent (`clip/mod.rs` has the argument).
#[test]
fn memories_of_examples_want_independent_draws() {
    let plan = |sampling: &str| {
        let relation = "privacy.neighbouring=replace-one";
        let set = [relation, "privacy.accountant=rdp", "clip.rule=dice-sgd", sampling].map(str::to_owned);
        let config = Config::read("test", DEFAULT, &set).unwrap();
        let people = train::data::Targets::Classes { labels: vec![], names: ["a", "b"].map(str::to_owned).into() };
        let model = train::model::Model::build(&config.model, &[4], &people).unwrap();
        Plan::new(&config, &Arc::new(model), 32_561).map(|_| ()).map_err(|e| e.to_string())
    };
    plan("train.sampling=poisson").unwrap();
    for sampling in ["fixed-size", "balls-in-bins", "shuffled", "{sampling=\"truncated-poisson\", largest=4000}"] {
        let error = plan(&format!("train.sampling={sampling}")).unwrap_err();
        assert!(error.contains("dice-sgd") && error.contains("poisson"), "{sampling}: {error}");
    }
}

#[test]
fn a_folder_that_is_trained_in_cannot_be_forced() {
    let top = TempDir::new().unwrap();
    let folder = top.path().join("run");
    let first = prepare(&[], &folder, false).unwrap();
    let before = fs::read_to_string(folder.join("config.toml")).unwrap();
    let error = prepare(&["privacy.epsilon=8"], &folder, true).err().unwrap();
    assert!(error.contains("ledger.jsonl") && error.contains("another process"), "{error}");
    assert_eq!(fs::read_to_string(folder.join("config.toml")).unwrap(), before);
    let outcome = first.train(&mut ()).unwrap();
    let ledger = Ledger::read(folder.join("ledger.jsonl")).unwrap();
    assert_eq!(ledger.entries(), outcome.ledger.entries());
    drop(outcome);
    prepare(&["privacy.epsilon=8"], &folder, true).unwrap();
    assert!(folder.join("ledger.earlier-1.jsonl").exists());
}

struct Until(u64);

impl Watch for Until {
    fn step(&mut self, progress: &Progress) -> bool {
        progress.step < self.0
    }
}

/// A number of steps that depends on results is not one that was fixed beforehand.
#[test]
fn a_run_that_was_stopped_says_what_to_claim() {
    let top = TempDir::new().unwrap();
    let run = prepare(&[], top.path(), false).unwrap();
    let whole = run.plan.epsilon;
    run.train(&mut Until(2)).unwrap();
    let stopped = statement(top.path());
    let about = stopped.assumptions.iter().filter(|text| text.contains("stopped")).collect::<Vec<_>>();
    assert!(stopped.epsilon < whole && about.len() == 1, "{about:?}");
    assert!(about[0].contains("2 of 5") && about[0].contains(&format!("{whole:.4}")), "{about:?}");
    Run::resume(top.path(), None, None).unwrap().train(&mut ()).unwrap();
    assert!(statement(top.path()).assumptions.iter().all(|text| !text.contains("stopped")));
}

/// The noise that is stated is the gradient's own, not that of all releases together.
#[test]
fn the_noise_that_is_stated_is_the_noise_that_was_charged() {
    for set in [
        &["clip.rule=quantile", "clip.noise=30.0"][..],
        &["clip.rule=quantile", "clip.noise=30.0", "privacy.neighbouring=replace-one"],
        &["clip.rule=flat"],
    ] {
        let top = TempDir::new().unwrap();
        let outcome = prepare(set, top.path(), false).unwrap().train(&mut ()).unwrap();
        let Some((Event::Round { releases, .. }, _)) = outcome.ledger.entries().pop() else { panic!("{set:?}") };
        let Event::Gaussian { noise_multiplier } = releases[0] else { panic!("{set:?}") };
        let said = statement(top.path());
        let (noise, bound) = (said.mechanism.unwrap().noise_standard_deviation_on_sum, said.clip.unwrap().bound);
        let factor = if set.len() == 3 { Neighbouring::ReplaceOne.factor() } else { 1.0 };
        assert!((noise / (noise_multiplier * factor * bound) - 1.0).abs() < 2e-5, "{set:?}: {noise}");
    }
}

/// An update that tries to compute the noise of the release from the stream it was handed.
struct Spy(Arc<Mutex<Vec<(f64, f64)>>>);

impl State for Spy {}

impl Update for Spy {
    fn update(&mut self, g: Grads, now: &mut Now) -> Grads {
        let bytes = now.stream.lend(|key, _| *key);
        let key = Key::shared(|key: &mut [u8; 32]| -> Result<(), KeyError> {
            *key = bytes;
            Ok(())
        })
        .unwrap();
        let mut guess = [0.0];
        key.stream(Purpose::Noise, now.step, 0).fill_normal(0, &mut guess);
        self.0.lock().unwrap().push((f64::from(g.flat()[0]) / now.noise, f64::from(guess[0])));
        g
    }
}

#[test]
fn an_update_cannot_compute_the_noise() {
    let config = config(&[]);
    let (model, key, seen) = (model(&config), Arc::new(Key::from_seed(5)), Arc::default());
    let plan = Plan::new(&config, &model, 200).unwrap();
    let ledger = Ledger::new(Neighbouring::AddRemove);
    let weights = Weights::public(model.layout(), &key);
    let mut trainer = plan.trainer(&config, &model, weights, people(0), 0, key, ledger).unwrap();
    trainer.chain.insert(0, Box::new(Spy(Arc::clone(&seen))));
    (0..5).for_each(|_| trainer.step().unwrap());
    for (released, guess) in seen.lock().unwrap().iter() {
        // Nobody was there: what was released is noise alone.
        assert!((released - guess).abs() > 1e-4, "{released} {guess}");
    }
}
