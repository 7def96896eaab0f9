//! What a private step costs over an ordinary one of the same engine: the tanh CNN on made-up images, batch 512.
//!
//! `cargo bench -p secateur-train`. Sample rate 1, so that every step has the whole batch.
use divan::Bencher;
use privacy::{Key, Ledger, Purpose};
use std::sync::Arc;
use train::{
    config::Config,
    data::{Examples, Targets},
    model::{Model, Weights},
    plan::Plan,
    trainer::Trainer,
};

const BATCH: usize = 512;

const CNN: &str = include_str!("../../../configs/mnist.toml");

fn trainer(set: &[&str]) -> Trainer {
    let mut all = vec!["train.sample_rate=1.0", "train.steps=1", "privacy.noise_multiplier=1.0"];
    all.extend(set);
    let set: Vec<String> = all.into_iter().map(str::to_owned).collect();
    let config = Config::read("bench", CNN, &set).expect("the configuration is fine");
    let stream = Key::from_seed(0).stream(Purpose::Init, 0, 0);
    let inputs = (0..(BATCH * 28 * 28) as u64).map(|i| stream.uniform(i) as f32).collect();
    let names: Vec<String> = (0..10).map(|c| c.to_string()).collect();
    let targets = Targets::Classes { labels: (0..BATCH as u32).map(|i| i % 10).collect(), names: names.into() };
    let data = Examples::from_floats(inputs, vec![1, 28, 28], targets, vec![]).expect("made-up data are fine");
    let model =
        Arc::new(Model::build(&config.model, &[1, 28, 28], &data.gather(&[]).targets).expect("the model is fine"));
    let plan = Plan::new(&config, &model, BATCH).expect("the plan is fine");
    let key = Arc::new(Key::from_seed(1));
    let weights = Weights::public(model.layout(), &key);
    let ledger = Ledger::new(config.privacy.neighbouring);
    plan.trainer(&config, &model, weights, data, BATCH, key, ledger).expect("the trainer is fine")
}

fn bench(bencher: Bencher, set: &[&str]) {
    let mut trainer = trainer(set);
    bencher.bench_local(|| trainer.step().expect("in memory nothing fails"));
}

#[divan::bench(sample_count = 60)]
fn ordinary(bencher: Bencher) {
    bench(bencher, &["privacy.mode=ordinary"]);
}

#[divan::bench(sample_count = 60)]
fn private_flat(bencher: Bencher) {
    bench(bencher, &[]);
}

#[divan::bench(sample_count = 60)]
fn private_auto_s(bencher: Bencher) {
    bench(bencher, &["clip.rule=auto-s"]);
}

fn main() {
    divan::main();
}
