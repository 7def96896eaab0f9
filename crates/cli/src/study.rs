//! `secateur study`: a published experiment, run here.
use crate::{Failure, process};
use std::path::PathBuf;
use train::study::{ALL, Ask, Book, study};

/// Repeat a paper's experiments; write tables and figures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # lists the studies
  secateur study
  # within three minutes
  secateur study chen2020 --quick --data-dir data
  secateur study chen2020 --data-dir data --out studies/chen2020
  # started twice, two processes share the work
  secateur study bu2022 --data-dir data --device cuda
  # makes those parts alone
  secateur study bu2022 --data-dir data --only CIFAR-10

What is made is kept line by line in runs.jsonl in the folder of results: the same command goes on with what is missing.")]
pub struct Args {
    /// chen2020, watson2023, bu2022 or fashion2026
    name: Option<String>,
    /// Less of everything: finishes within three minutes on two cores
    #[arg(long)]
    quick: bool,
    /// Folder for runs.jsonl, results.json, README.md and page.html [default: study-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where relative paths of data start [default: $SECATEUR_DATA, or else here]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the studies' configurations are
    #[arg(long, value_name = "DIR", default_value = "studies")]
    studies: PathBuf,
    /// Where networks are trained: cpu, cuda (the first GPU) or cuda:N [default: as configurations say]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Make only parts whose names hold one of these words, and show what there is
    #[arg(long, value_name = "WORD,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Some(name) = args.name else {
        ALL.iter().for_each(|entry| println!("{:<12} {}", entry.name, entry.summary));
        return Ok(());
    };
    process::threads(args.threads)?;
    let out = args.out.unwrap_or_else(|| format!("study-{name}").into());
    let data = crate::train::root(args.data_dir.as_deref(), None);
    let (quick, studies, device) = (args.quick, args.studies, args.device);
    let book = Book::new(out.clone(), args.only, |line: &str| eprintln!("{line}"));
    let results = study(&name, &Ask { quick, data, studies, device, book })?;
    print!("{}", results.markdown());
    println!("\npage: {}", out.join("page.html").display());
    Ok(())
}
