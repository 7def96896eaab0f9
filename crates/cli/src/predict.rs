//! `secateur predict`: a trained model's answers for the rows of a file.
use crate::Failure;
use std::path::PathBuf;
use train::{predict::predict, report::write_atomically, run::RunError};

/// Answer for rows that the model has not seen.
#[derive(clap::Args)]
#[command(after_help = "\
The file is laid out like the training file, with the same columns; that of the target may be left out of a table
with a header row. Answers come in the order of the rows, as CSV: the prediction, and the probability of each
class; for a folder of pictures, each with its name. They cost whoever was trained on nothing more; they are as private as the rows that are asked about.

Examples:
  secateur predict --run runs/my-1 new.csv
  secateur predict --run runs/my-1 new.csv --out predictions.csv")]
pub struct Args {
    /// The rows to answer for: a table or texts as in training (images: a folder of pictures, an IDX file, a
    /// CIFAR-10 batch; arrays: an .npy file)
    file: PathBuf,
    /// The folder of results of a run
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Write the answers to this file [default: print them]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the path of a tokenizer's file starts [default: $SECATEUR_DATA, or else here]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where to compute: cpu, cuda (the first GPU) or cuda:N
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let root = crate::train::root(args.data_dir.as_deref(), None);
    let answers = predict(&args.run, &root, &args.file, &args.device)?;
    crate::say::caution(&args.run, "may show in its answers what it was trained on");
    let table = answers.to_csv()?;
    let Some(out) = &args.out else {
        print!("{}", String::from_utf8_lossy(&table));
        return Ok(());
    };
    write_atomically(out, &table).map_err(|source| RunError::Write { path: out.clone(), source })?;
    println!("{} predictions in {}", answers.answers.len(), out.display());
    Ok(())
}
