//! A clip rule of your own: propose weights, one example at a time; the house caps them.
//!
//! `cargo run --release -p secateur --example own_clip_rule`
use secateur::{
    privacy::{Key, Ledger},
    train::{
        clip::ClipRule,
        config::Config,
        each::Each,
        model::{Model, Weights},
        plan::{self, Plan},
        state::State,
        trainer::Method,
    },
};
use std::{error::Error, path::Path, sync::Arc};

/// Half-way between clipping and normalising: `w = C / sqrt(n^2 + C^2)`.
struct Smooth {
    bound: f64,
}

impl State for Smooth {}

impl ClipRule for Smooth {
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.bound / (groups as f64).sqrt(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        let c = self.bound;
        norms.map(move |n| c / (n * n + c * c).sqrt())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::read("own_clip_rule", "", &[])?;
    let data = config.data.load(Path::new("."))?;
    let model = Arc::new(Model::of_data(&config.model, &data.train)?);
    let plan = Plan::new(&config, &model, data.declared)?;

    let key = Arc::new(Key::from_os()?);
    let weights = Weights::public(model.layout(), &key);
    let (rows, ledger) = (data.train.len(), Ledger::new(config.privacy.neighbouring));
    let mut trainer = plan.trainer(&config, &model, weights, data.train, rows, key, ledger)?;
    if let Method::Private { rule, .. } = &mut trainer.method {
        *rule = Box::new(Smooth { bound: 1.0 });
    }
    for _ in 0..plan.steps {
        trainer.step()?;
    }
    let public = data.evaluation.ok_or("the Adult data come with a test set")?;
    let score = model.score(&trainer.weights, &public);
    let epsilon = plan::spent(&config, &trainer.ledger)?;
    println!("accuracy {:.2} % at epsilon {epsilon:.3}", 100.0 * score.accuracy.unwrap_or_default());
    Ok(())
}
