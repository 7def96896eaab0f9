//! The command `secateur`: what was asked. One verb a file; what is done about it is in the libraries.
#[macro_use]
mod say;

mod account;
mod audit;
mod bench;
mod besides;
mod calibrate;
mod compare;
mod completions;
mod curve;
mod diagnose;
mod generate;
mod number;
mod plan;
mod predict;
mod price;
mod process;
mod rules;
mod study;
mod train;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Train deep-learning models with differential privacy, and know what it cost.
#[derive(Parser)]
#[command(name = "secateur", version, about = ABOUT, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const ABOUT: &str = "Train deep-learning models with differential privacy, and know exactly what it cost";

const EXAMPLES: &str = "\
Examples:
  # a private classifier of the Adult census, in seconds
  secateur train
  # your configuration, with one change
  secateur train my.toml --set privacy.epsilon=3
  secateur predict --run runs/my-1 new.csv
  secateur account --run runs/adult-1
  secateur calibrate --epsilon 1 --delta 1e-5 --sample-rate 0.01 --steps 1000";

#[derive(Subcommand)]
enum Verb {
    /// Train a model; leave weights, ledger, privacy statement and report in a folder
    Train(train::Args),
    /// Answer for the rows of a file with the model that a run left
    Predict(predict::Args),
    /// Say what a run costs: one that was made (its ledger) or one that is planned
    Account(account::Args),
    /// Attack a configuration's privacy with canaries, and say what that proves
    Audit(audit::Args),
    /// Find what is missing of a plan (noise, steps, sample rate or delta) from a budget
    Calibrate(calibrate::Args),
    /// Train on public data with several clip rules at the same epsilon, and compare them
    Compare(compare::Args),
    /// List what a configuration can name: clip rules, updates, layers and so on; their settings
    #[command(visible_alias = "list")]
    Rules(rules::Args),
    /// Time training steps, private and ordinary, on fixed workloads
    Bench(bench::Args),
    /// See what clipping does to a model's gradients: norms, angles, bias, symmetry, curvature
    Diagnose(diagnose::Args),
    /// Write a text with the model of a run that learnt to write
    Generate(generate::Args),
    /// Repeat a paper's experiments on clipping; write tables and figures
    Study(study::Args),
    /// Write a completion script for a shell
    Completions(completions::Args),
}

/// Something went wrong (1), or the run was interrupted (130): what to print, if anything.
struct Failure {
    code: u8,
    message: String,
}

impl<E: std::fmt::Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure { code: 1, message: error.to_string() }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Train(args) => train::run(args),
        Verb::Predict(args) => predict::run(args),
        Verb::Account(args) => account::run(args),
        Verb::Audit(args) => audit::run(args),
        Verb::Calibrate(args) => calibrate::run(args),
        Verb::Compare(args) => compare::run(args),
        Verb::Rules(args) => rules::run(args),
        Verb::Bench(args) => bench::run(args),
        Verb::Diagnose(args) => diagnose::run(args),
        Verb::Generate(args) => generate::run(args),
        Verb::Study(args) => study::run(args),
        Verb::Completions(args) => completions::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}
