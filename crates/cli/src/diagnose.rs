//! `secateur diagnose`: what clipping does to a model's gradients, on one page.
use crate::{Failure, process, train::root};
use std::path::PathBuf;
use train::{
    config::Config,
    diagnose::{Ask, Diagnosis, diagnose, source::On},
};

/// Look at the gradients of a model: on public data, or on private data at infinite cost.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # fresh weights, evaluation data
  secateur diagnose configs/mnist.toml --data-dir data
  # trains that far and looks three times
  secateur diagnose configs/mnist.toml --data-dir data --steps 0,100,1000
  # the weights of a run
  secateur diagnose --run runs/mnist-1 --data-dir data --hessian 10
  secateur diagnose configs/mnist.toml --checkpoint a.safetensors --checkpoint b.safetensors")]
pub struct Args {
    /// A TOML file; without one, the run's own, or else the Adult census
    config: Option<PathBuf>,
    /// Change one key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Look at the weights that a run left
    #[arg(long, value_name = "DIR", conflicts_with_all = ["checkpoint", "steps"])]
    run: Option<PathBuf>,
    /// Look at weights in a file; may be repeated, and the loss between the first and each later one is drawn
    #[arg(long, value_name = "FILE", conflicts_with = "steps")]
    checkpoint: Vec<PathBuf>,
    /// Train the configuration up to the last of these steps and look at each (0: before the first)
    #[arg(long, value_name = "N,..", value_delimiter = ',')]
    steps: Vec<u64>,
    /// Examples to look at, at most
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(2..))]
    examples: u32,
    /// Only these diagnostics
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Look for this many eigenvalues of the Hessian too (many passes over the examples)
    #[arg(long, value_name = "K", default_value_t = 0)]
    hessian: u32,
    /// Look at the PRIVATE training data: posted to the ledger as revealed, and every page says so
    #[arg(long, conflicts_with = "declare_public")]
    training: bool,
    /// Look at the training data, which are public for this reason; every page repeats it
    #[arg(long, value_name = "REASON")]
    declare_public: Option<String>,
    /// Folder for the results [default: the run's folder, or else diagnose/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where relative paths of data start [default: $SECATEUR_DATA, or else the configuration's folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::threads(args.threads)?;
    let file = args.config.clone().or_else(|| args.run.as_ref().map(|run| run.join("config.toml")));
    let config = Config::open(file.as_deref(), &args.set)?;
    let out = args.out.clone().or(args.run.clone()).unwrap_or_else(|| "diagnose".into());
    std::fs::create_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    let ask = ask(&args, &out);
    let diagnosis = diagnose(&config, &root(args.data_dir.as_deref(), args.config.as_deref()), &ask)?;
    diagnosis.write(&out)?;
    tell(&diagnosis);
    println!("\npage: {}", out.join("diagnose.html").display());
    Ok(())
}

fn ask(args: &Args, out: &std::path::Path) -> Ask {
    let left = args.run.iter().map(|run| run.join("model.safetensors"));
    let on = match (&args.declare_public, args.training) {
        (Some(reason), _) => On::Declared(reason.clone()),
        (None, true) => On::Training,
        (None, false) => On::Evaluation,
    };
    Ask {
        checkpoints: left.chain(args.checkpoint.iter().cloned()).collect(),
        steps: args.steps.clone(),
        examples: args.examples as usize,
        on,
        only: args.only.clone(),
        eigenvalues: args.hessian as usize,
        run: args.run.clone(),
        ledger: args.run.as_deref().unwrap_or(out).join("ledger.jsonl"),
    }
}

/// The plain-language summary.
fn tell(diagnosis: &Diagnosis) {
    println!("{}", diagnosis.origin.sentence());
    diagnosis.notes.iter().for_each(|note| println!("{note}"));
    for visit in &diagnosis.visits {
        println!("{} ({} examples, {:.1} s)", visit.label, diagnosis.examples, visit.seconds);
        for sentence in visit.findings.iter().flat_map(|finding| &finding.words) {
            println!("  {sentence}");
        }
    }
}
