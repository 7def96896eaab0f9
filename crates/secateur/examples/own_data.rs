//! Data of your own, a small network, and a ledger on disk: is a point inside a circle?
//!
//! `cargo run --release -p secateur --example own_data`
use secateur::{
    privacy::{Key, Ledger},
    train::{
        config::Config,
        data::{Examples, Targets},
        model::{Model, Weights},
        plan::{self, Plan},
    },
};
use std::{error::Error, sync::Arc};

/// Everything here is public: it must not be read off the private rows.
const CONFIG: &str = r#"
    title = "Inside a circle?"
    [privacy]
    epsilon = 2.0
    [train]
    lot = 400
    steps = 300
    [model]
    layers = [{ layer = "linear", features = 32 }, { layer = "tanh" }, { layer = "linear", features = 2 }]
    [clip]
    rule = "auto-s"
    [[update]]
    update = "adam"
    learning_rate = 0.02
"#;

/// The public number of training examples, whatever the file turns out to hold.
const DECLARED: usize = 4000;

/// `n` points of a square, from `-1` to `1`: read yours from wherever they are, scaled by public constants.
fn points(n: usize, seed: u64) -> Result<Examples, Box<dyn Error>> {
    let mut state = seed;
    let mut coordinate = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let inputs: Vec<f32> = (0..2 * n).map(|_| coordinate()).collect();
    let inside = |p: &[f32]| p[0].hypot(p[1]) < 0.8;
    let labels = inputs.chunks(2).map(|p| u32::from(inside(p))).collect();
    let names = ["outside", "inside"].map(String::from).to_vec().into();
    Ok(Examples::from_floats(inputs, vec![2], Targets::Classes { labels, names }, vec![])?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let (train, public) = (points(DECLARED, 1)?, points(1000, 2)?);
    let config = Config::read("own_data", CONFIG, &[])?;
    let model = Arc::new(Model::build(&config.model, train.shape(), &train.gather(&[]).targets)?);
    let plan = Plan::new(&config, &model, DECLARED)?;

    // On disk before what it pays for can leave; `Ledger::new` keeps it in memory, for trying things out.
    let book = std::env::temp_dir().join(format!("own_data-{}.jsonl", std::process::id()));
    let ledger = Ledger::create(&book, config.privacy.neighbouring)?;
    let key = Arc::new(Key::from_os()?);
    let weights = Weights::public(model.layout(), &key);
    let rows = train.len();
    let mut trainer = plan.trainer(&config, &model, weights, train, rows, key, ledger)?;
    for _ in 0..plan.steps {
        trainer.step()?;
    }
    trainer.ledger.close()?;
    let (score, epsilon) = (model.score(&trainer.weights, &public), plan::spent(&config, &trainer.ledger)?);
    let alone = 100.0 * public.commonest().unwrap_or_default();
    println!(
        "accuracy {:.2} % (the commonest class alone: {alone:.2} %) at epsilon {epsilon:.3}",
        100.0 * score.accuracy.unwrap_or_default()
    );
    println!("the ledger is {}", book.display());
    Ok(())
}
