//! A small made-up problem that integration tests share.
#![allow(dead_code, reason = "each test file uses its part")]
pub mod place;

use privacy::{Key, Ledger, Purpose};
use std::sync::Arc;
use train::{
    config::Config,
    data::{Examples, Targets},
    model::{Model, Weights},
    plan::Plan,
    trainer::Trainer,
};

pub const WIDTH: usize = 6;

/// A private run on a made-up problem; `set` changes it.
pub fn config(set: &[&str]) -> Config {
    let text = r#"
        title = "made up"
        model = { layers = [{ layer = "linear", features = 5 }, { layer = "tanh" }, { layer = "linear", features = 3 }] }
        privacy = { epsilon = 2.0, delta = 1e-3 }
        train = { lot = 20, steps = 12, chunk = 7, seed = 4 }
        clip = { rule = "flat", bound = 0.5 }
        update = [{ update = "sgd", learning_rate = 0.3, momentum = 0.9 }]
    "#;
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    Config::read("test", text, &set).unwrap()
}

/// Rows of made-up people; the first `n` of an endless list.
pub fn rows(n: usize) -> (Vec<f32>, Vec<u32>) {
    let stream = Key::from_seed(99).stream(Purpose::Init, 0, 0);
    let inputs: Vec<f32> = (0..(n * WIDTH) as u64).map(|i| stream.normal(i) as f32).collect();
    let labels = inputs.chunks(WIDTH).map(|x| u32::from(x[0] > 0.0) + u32::from(x[1] > 0.5)).collect();
    (inputs, labels)
}

pub fn targets(labels: Vec<u32>) -> Targets {
    Targets::Classes { labels, names: ["a", "b", "c"].map(str::to_owned).into() }
}

pub fn examples(inputs: Vec<f32>, labels: Vec<u32>) -> Examples {
    Examples::from_floats(inputs, vec![WIDTH], targets(labels), vec![]).unwrap()
}

pub fn people(n: usize) -> Examples {
    let (inputs, labels) = rows(n);
    examples(inputs, labels)
}

pub fn model(config: &Config) -> Arc<Model> {
    Arc::new(Model::build(&config.model, &[WIDTH], &targets(vec![])).unwrap())
}

/// A trainer on `data`, of which the sampler knows `present` rows; 200 are declared.
pub fn trainer(config: &Config, data: Examples, present: usize) -> Trainer {
    let model = model(config);
    let plan = Plan::new(config, &model, 200).unwrap();
    let key = Arc::new(Key::from_seed(config.train.seed.unwrap()));
    let weights = Weights::public(model.layout(), &key);
    plan.trainer(config, &model, weights, data, present, key, Ledger::new(config.privacy.neighbouring)).unwrap()
}

pub fn train(config: &Config, data: Examples, present: usize) -> Trainer {
    let mut trainer = trainer(config, data, present);
    (0..config.train.steps.unwrap()).for_each(|_| trainer.step().unwrap());
    trainer
}

/// How far apart two trainers' weights are, relative to their size.
pub fn gap(a: &Trainer, b: &Trainer) -> f64 {
    let (a, mut d) = (a.weights.point(), b.weights.point());
    d.zip_with(&a, |x, y| *x -= y);
    d.norm() / a.norm()
}
