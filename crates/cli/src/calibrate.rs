//! `secateur calibrate`: the noise that a budget needs.
use crate::{
    Failure, number,
    price::{self, Format, How, Relation},
};
use privacy::Neighbouring;
use serde_json::json;

/// A budget and a plan.
#[derive(clap::Args)]
pub struct Args {
    /// The budget
    #[arg(long, value_name = "E", value_parser = number::epsilon, allow_negative_numbers = true)]
    epsilon: f64,
    /// The probability with which the loss may exceed epsilon
    #[arg(long, value_name = "D", value_parser = number::delta, allow_negative_numbers = true)]
    delta: f64,
    /// Probability with which an example takes part in a step
    #[arg(long, value_name = "Q", value_parser = number::rate, allow_negative_numbers = true)]
    sample_rate: f64,
    /// Steps
    #[arg(long, value_name = "T")]
    steps: u64,
    /// Which data sets are neighbours
    #[arg(long, value_enum, default_value_t = Relation::AddRemove)]
    neighbouring: Relation,
    #[command(flatten)]
    how: How,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let neighbouring: Neighbouring = args.neighbouring.into();
    let found = privacy::noise_multiplier(args.epsilon, |z| {
        price::epsilon(&price::planned(z, args.sample_rate, args.steps, neighbouring), &args.how, args.delta)
    })?;
    match args.how.format {
        Format::Json => price::print_json(&json!({
            "noise_multiplier": found.noise_multiplier, "epsilon": found.epsilon, "target_epsilon": args.epsilon,
            "delta": args.delta, "sample_rate": args.sample_rate, "steps": args.steps,
            "accountant": args.how.accountant, "neighbouring": neighbouring,
        }))?,
        Format::Text => {
            println!("noise multiplier = {:.6}", found.noise_multiplier);
            println!(
                "  reaches epsilon = {:.6} at delta = {:e}, priced by {}",
                found.epsilon, args.delta, args.how.accountant
            );
        }
    }
    Ok(())
}
