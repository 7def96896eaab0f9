//! `secateur calibrate`: what is missing of a plan, from the rest of it and a budget.
use crate::{
    Failure, number,
    plan::{Phase, Setting},
    price::{self, Format},
};
use privacy::account;
use serde_json::json;

/// Give all but one of --epsilon, --noise-multiplier, --sample-rate and --steps; the missing one is found.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # the noise multiplier
  secateur calibrate --epsilon 1 --delta 1e-5 --sample-rate 0.01 --steps 1000
  # the number of steps
  secateur calibrate --epsilon 1 --delta 1e-5 --sample-rate 0.01 --noise-multiplier 2
  # the sample rate
  secateur calibrate --epsilon 1 --delta 1e-5 --noise-multiplier 2 --steps 1000
  # delta
  secateur calibrate --epsilon 1 --noise-multiplier 2 --sample-rate 0.01 --steps 1000")]
pub struct Args {
    /// The budget
    #[arg(long, value_name = "E", value_parser = number::epsilon, allow_negative_numbers = true)]
    epsilon: f64,
    /// The probability with which the loss may exceed epsilon
    #[arg(long, value_name = "D", value_parser = number::delta, allow_negative_numbers = true)]
    delta: Option<f64>,
    /// Standard deviation of the noise over the clip bound
    #[arg(long, value_name = "Z", value_parser = number::multiplier, allow_negative_numbers = true)]
    noise_multiplier: Option<f64>,
    /// Probability with which an example takes part in a step
    #[arg(long, value_name = "Q", value_parser = number::rate, allow_negative_numbers = true)]
    sample_rate: Option<f64>,
    /// Steps
    #[arg(long, value_name = "T", value_parser = number::steps, allow_negative_numbers = true)]
    steps: Option<u64>,
    #[command(flatten)]
    setting: Setting,
    /// Who prices it
    #[arg(long, value_name = "NAME", default_value = account::DEFAULT, value_parser = number::accountant)]
    accountant: String,
    /// How to print the answer
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// What was missing, and what it came to.
struct Answer {
    name: &'static str,
    value: f64,
    epsilon: f64,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let answer = solve(&args)?;
    match args.format {
        Format::Json => print_json(&args, &answer)?,
        Format::Text => {
            let delta = if answer.name == "delta" { answer.value } else { args.delta.unwrap_or_default() };
            let value = if answer.name == "delta" { format!("{:.6e}", answer.value) } else { answer.value.to_string() };
            println!("{} = {value}", answer.name.replace('_', " "));
            println!("  reaches epsilon = {:.6} at delta = {delta:e}, priced by {}", answer.epsilon, args.accountant);
        }
    }
    Ok(())
}

fn solve(args: &Args) -> Result<Answer, String> {
    let spent = |noise_multiplier: f64, sample_rate: f64, steps: u64, delta: f64| -> Result<f64, String> {
        let ledger = args.setting.ledger(&[Phase { noise_multiplier, sample_rate, steps }])?;
        Ok(price::price(&ledger, &args.accountant, delta)?.epsilon)
    };
    let words = |e: privacy::CalibrateError<String>| e.to_string();
    match (args.noise_multiplier, args.sample_rate, args.steps, args.delta) {
        (None, Some(q), Some(t), Some(d)) => {
            let found = privacy::noise_multiplier(args.epsilon, |z| spent(z, q, t, d)).map_err(words)?;
            Ok(Answer { name: "noise_multiplier", value: found.noise_multiplier, epsilon: found.epsilon })
        }
        (Some(z), None, Some(t), Some(d)) => {
            let found = privacy::sample_rate(args.epsilon, |q| spent(z, q, t, d)).map_err(words)?;
            Ok(Answer { name: "sample_rate", value: found.value, epsilon: found.epsilon })
        }
        (Some(z), Some(q), None, Some(d)) => {
            let found = privacy::steps(args.epsilon, |t| spent(z, q, t, d)).map_err(words)?;
            Ok(Answer { name: "steps", value: found.value as f64, epsilon: found.epsilon })
        }
        (Some(noise_multiplier), Some(sample_rate), Some(steps), None) => {
            let ledger = args.setting.ledger(&[Phase { noise_multiplier, sample_rate, steps }])?;
            let by = account::by_name(&args.accountant).ok_or("no such accountant")?;
            let deltas = by.deltas(&ledger, &[args.epsilon]).map_err(|e| e.to_string())?;
            let value = deltas.first().copied().unwrap_or(1.0);
            Ok(Answer { name: "delta", value, epsilon: args.epsilon })
        }
        _ => {
            Err("give all but one of --noise-multiplier, --sample-rate, --steps and --delta: the missing one is found"
                .into())
        }
    }
}

fn print_json(args: &Args, answer: &Answer) -> Result<(), String> {
    let neighbouring: privacy::Neighbouring = args.setting.neighbouring.into();
    let mut row = json!({
        "epsilon": answer.epsilon, "target_epsilon": args.epsilon, "accountant": args.accountant, "neighbouring": neighbouring,
        "noise_multiplier": args.noise_multiplier, "sample_rate": args.sample_rate, "steps": args.steps, "delta": args.delta,
    });
    row[answer.name] = if answer.name == "steps" { (answer.value as u64).into() } else { answer.value.into() };
    price::print_json(&row)
}
