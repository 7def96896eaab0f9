//! `secateur account`: what a run costs.
use crate::{
    Failure, number,
    price::{self, Format, How, Relation},
};
use privacy::{Ledger, Neighbouring};
use serde_json::json;
use std::path::PathBuf;

/// Either --ledger, or --noise-multiplier, --sample-rate and --steps.
#[derive(clap::Args)]
pub struct Args {
    /// A ledger that a run left
    #[arg(long, value_name = "FILE", conflicts_with_all = ["noise_multiplier", "sample_rate", "steps", "neighbouring"])]
    ledger: Option<PathBuf>,
    /// Standard deviation of the noise over the clip bound
    #[arg(long, value_name = "Z", value_parser = number::multiplier, allow_negative_numbers = true, required_unless_present = "ledger")]
    noise_multiplier: Option<f64>,
    /// Probability with which an example takes part in a step
    #[arg(long, value_name = "Q", value_parser = number::rate, allow_negative_numbers = true, required_unless_present = "ledger")]
    sample_rate: Option<f64>,
    /// Steps
    #[arg(long, value_name = "T", required_unless_present = "ledger")]
    steps: Option<u64>,
    /// Which data sets are neighbours
    #[arg(long, value_enum, default_value_t = Relation::AddRemove)]
    neighbouring: Relation,
    /// The probability with which the loss may exceed epsilon
    #[arg(long, value_name = "D", value_parser = number::delta, allow_negative_numbers = true)]
    delta: f64,
    #[command(flatten)]
    how: How,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let (ledger, mut notes) = match &args.ledger {
        Some(file) => read(file)?,
        None => (plan(&args), Vec::new()),
    };
    let epsilon = price::epsilon(&ledger, &args.how, args.delta)?;
    if epsilon.is_infinite() {
        notes.push("no privacy: something was released without noise".to_owned());
    }
    print(&args, &ledger, epsilon, &notes)
}

fn plan(args: &Args) -> Ledger {
    let [z, q] = [args.noise_multiplier, args.sample_rate].map(Option::unwrap_or_default);
    price::planned(z, q, args.steps.unwrap_or_default(), args.neighbouring.into())
}

fn read(file: &PathBuf) -> Result<(Ledger, Vec<String>), Failure> {
    let ledger = Ledger::read(file)?;
    let torn = "the last line was torn by a crash and left out: what it would have paid for was never released";
    let notes = if ledger.torn() { vec![torn.to_owned()] } else { Vec::new() };
    Ok((ledger, notes))
}

fn print(args: &Args, ledger: &Ledger, epsilon: f64, notes: &[String]) -> Result<(), Failure> {
    let (delta, accountant, rounds) = (args.delta, &args.how.accountant, ledger.rounds());
    match args.how.format {
        Format::Json => price::print_json(&json!({
            "accountant": accountant, "epsilon": price::number(epsilon), "delta": delta,
            "neighbouring": ledger.neighbouring(), "sampling": "poisson", "rounds": rounds, "notes": notes,
        }))?,
        Format::Text => {
            let relation = match ledger.neighbouring() {
                Neighbouring::AddRemove => "adding or removing one example",
                Neighbouring::ReplaceOne => "replacing one example",
            };
            println!("epsilon = {epsilon:.6} at delta = {delta:e}");
            println!("  {rounds} rounds, priced by {accountant}, for {relation}");
            notes.iter().for_each(|note| println!("  note: {note}"));
        }
    }
    Ok(())
}
