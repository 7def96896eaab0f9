//! `secateur generate`: a text by the model of a run, to see what it learnt.
use crate::Failure;
use privacy::Key;
use std::path::PathBuf;
use train::generate::{How, Writer};

/// Write a text with the model of a run.
#[derive(clap::Args)]
#[command(after_help = "\
Writing costs no privacy beyond what training cost: the training data are not opened.

Examples:
  secateur generate --run runs/e2e-1 --prompt 'name[The Eagle], food[French], area[riverside]'
  secateur generate --run runs/shakespeare-1 --prompt 'ROMEO:' --tokens 400 --temperature 0.8")]
pub struct Args {
    /// The folder of a run whose model learnt to write (data.source = "text" without a target)
    #[arg(long, value_name = "DIR")]
    run: Option<PathBuf>,
    /// The same, without --run
    #[arg(value_name = "DIR", conflicts_with = "run", required_unless_present = "run")]
    folder: Option<PathBuf>,
    /// What the text follows: the prompt's column where training had one, otherwise the text's own beginning
    #[arg(long, default_value = "", hide_default_value = true)]
    prompt: String,
    /// At most so many tokens
    #[arg(long, value_name = "N", default_value_t = 200)]
    tokens: usize,
    /// 1 draws from the model's own distribution, less keeps to what is likely, 0 takes the likeliest token each time
    #[arg(long, value_name = "X", default_value_t = 1.0, allow_negative_numbers = true)]
    temperature: f64,
    /// The same text each time
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where the path of a tokenizer's file starts [default: $SECATEUR_DATA, or else here]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let root = crate::train::root(args.data_dir.as_deref(), None);
    let folder = args.run.or(args.folder).unwrap_or_default();
    let writer = Writer::open(&folder, &root)?;
    crate::say::caution(&folder, "may write out what it was trained on");
    let key = args.seed.map_or_else(Key::from_os, |seed| Ok(Key::from_seed(seed)))?;
    println!("{}", writer.write(&args.prompt, How { tokens: args.tokens, temperature: args.temperature }, &key)?);
    Ok(())
}
