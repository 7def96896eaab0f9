//! `secateur study`: a published experiment, run here.
use crate::Failure;
use std::path::PathBuf;
use train::study::{ALL, Ask, study};

/// Repeat a paper's experiments; write tables and figures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur study                                   lists the studies
  secateur study chen2020 --quick --data-dir data  within three minutes
  secateur study chen2020 --data-dir data --out studies/chen2020
  secateur study fashion2026 --data-dir data --device cuda     started twice, two processes share its runs")]
pub struct Args {
    /// chen2020, watson2023, bu2022 or fashion2026
    name: Option<String>,
    /// Less of everything: finishes within three minutes on two cores
    #[arg(long)]
    quick: bool,
    /// Folder for results.json, README.md and page.html [default: study-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where relative paths of data start [default: $SECATEUR_DATA, or else here]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Where the studies' configurations are
    #[arg(long, value_name = "DIR", default_value = "studies")]
    studies: PathBuf,
    /// Of a study that is made of many runs: those whose names hold one of these words
    #[arg(long, value_name = "WORD,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Of a study that is made of many runs: where they train, cpu, cuda or cuda:N [default: as its configuration says]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Some(name) = args.name else {
        ALL.iter().for_each(|entry| println!("{:<12} {}", entry.name, entry.summary));
        return Ok(());
    };
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    }
    let out = args.out.unwrap_or_else(|| format!("study-{name}").into());
    let data = crate::train::root(args.data_dir.as_deref(), None);
    let (quick, studies, only, device) = (args.quick, args.studies, args.only, args.device);
    let tell = |line: &str| eprintln!("{line}");
    let results = study(&name, &Ask { quick, data, studies, out: out.clone(), only, device, tell })?;
    print!("{}", results.markdown());
    println!("\npage: {}", out.join("page.html").display());
    Ok(())
}
