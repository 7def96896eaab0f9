//! A clip rule of your own: propose weights, one example at a time; the house caps them, calibrates the noise to the budget
//! and writes the statement.
//!
//! `cargo run --release -p secateur --example own_clip_rule`
use secateur::train::{
    clip::{ClipConfig, ClipRule},
    config::Config,
    each::Each,
    run::Run,
    state::State,
};
use std::{error::Error, path::Path};

/// Half-way between clipping and normalising: `w = C / sqrt(n^2 + C^2)`.
#[derive(Clone)]
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
    let mut config = Config::read("own_clip_rule", "", &[])?; // the default: the Adult census at epsilon 1
    config.clip = ClipConfig::own("smooth", Smooth { bound: 1.0 });
    let outcome = Run::prepare(config, Path::new("."), None, false)?.train(&mut ())?;
    let (statement, summary) = (outcome.record.statement, outcome.record.summary);
    let rule = statement.clip.map(|clip| clip.rule).unwrap_or_default();
    let accuracy = 100.0 * summary.test_accuracy.unwrap_or_default();
    println!("{rule}: accuracy {accuracy:.2} % at epsilon {:.3}", statement.epsilon);
    Ok(())
}
