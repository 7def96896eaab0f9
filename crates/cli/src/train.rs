//! `secateur train`: from a configuration to a folder of results.
use crate::{Failure, process};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use train::{
    config::{Config, Mode},
    diagnose::Live,
    report::{Neighbouring, Record, Unit, Verdict},
    run::{Progress, Run, Seen, Watch},
    world::Place,
};

/// Train a model.
#[derive(Clone, clap::Args)]
#[command(after_help = "\
Examples:
  secateur train
  secateur train configs/fashion-mnist.toml --data-dir data --out runs/fashion
  secateur train --set privacy.epsilon=0.5 --set clip.rule=auto-s
  # a baseline: NOT private
  secateur train --set privacy.mode=ordinary
  # go on after Ctrl-C, or from the last checkpoint
  secateur train --resume runs/fashion-1
  # share each step out among all GPUs of this machine
  secateur train --device cuda:all
  # the second of two hosts; the first, at that address, is rank 0
  SECATEUR_RANK=1 SECATEUR_WORLD=2 SECATEUR_MASTER=10.0.0.1:29417 secateur train")]
pub struct Args {
    /// A TOML file; without one, the Adult census (see --print-config)
    config: Option<PathBuf>,
    /// Change one key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Go on with the run in this folder, which was stopped; its configuration cannot change
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "force", "print_config"])]
    resume: Option<PathBuf>,
    /// Folder for the results [default: the first free runs/NAME-1, runs/NAME-2, ...]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where relative paths of data start [default: $SECATEUR_DATA, or else the configuration's folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Fixed seed: reproducible, and NOT private to anybody who knows it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Replace earlier results in --out; their ledger is kept
    #[arg(long)]
    force: bool,
    /// Where to train: cpu, cuda (the first GPU), cuda:N, or several GPUs at each step: cuda:0,1 or cuda:all
    /// [default: as the configuration says]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
    /// Look at gradients of the evaluation data every N steps: diagnose.html in --out, and curves in the report
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    diagnose_every: Option<u64>,
    /// Print the resolved configuration and stop
    #[arg(long)]
    print_config: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::threads(args.threads)?;
    if args.print_config {
        print!("{}", args.read()?.settled(&args.root())?.to_toml());
        return Ok(());
    }
    let (run, out) = prepare(&args)?;
    if run.rank() > 0 {
        return follow(run);
    }
    if args.diagnose_every.is_some() && run.promise().person.is_some() {
        let why = "single records are looked at, and data.person has people's means of several clipped: leave one of the two out";
        return Err(format!("--diagnose-every: {why}").into());
    }
    announce(&run);
    let mut bar = Bar::new(&run, args.quiet)?;
    bar.live = args.diagnose_every.map(|every| Live::new(every, &out));
    let continues = run.continues();
    let outcome = run.train(&mut bar);
    bar.bar.finish_and_clear();
    let record = outcome?.record;
    conclude(&record, &out, continues)
}

/// Trains with rank 0, which says what is to be said, keeps the ledger and writes the results.
fn follow(run: Run) -> Result<(), Failure> {
    // Ctrl-C reaches every process of a terminal: rank 0 ends the run in order, and the others with it.
    ctrlc::set_handler(|| ())?;
    run.train(&mut ())?;
    Ok(())
}

/// A new run or one to go on with, and its folder.
fn prepare(args: &Args) -> Result<(Run, PathBuf), Failure> {
    let place = Place::from_env()?;
    let Some(folder) = &args.resume else {
        let out = args.out.clone().unwrap_or_else(|| free(args.config.as_deref()));
        return Ok((Run::prepare_at(args.read()?, &args.root(), Some(&out), args.force, place)?, out));
    };
    if place.is_some() {
        return Err("--resume: several processes cannot go on with a run; one can, with all GPUs of its host".into());
    }
    let asked = match args.config.is_some() {
        true => Some(args.read()?),
        false => changed(args, folder)?,
    };
    let moved = args.config.is_some() || args.data_dir.is_some() || std::env::var_os("SECATEUR_DATA").is_some();
    let run = Run::resume(folder, asked.as_ref(), moved.then(|| args.root()).as_deref())?;
    Ok((run, folder.clone()))
}

/// What a continued run would be with --set and --seed, which may only repeat what it has.
fn changed(args: &Args, folder: &Path) -> Result<Option<Config>, Failure> {
    if args.set.is_empty() && args.seed.is_none() {
        return Ok(None);
    }
    let path = folder.join("config.toml");
    Ok(Some(Args { config: Some(path), ..args.clone() }.read()?))
}

impl Args {
    /// The configuration that is asked for, with all changes.
    fn read(&self) -> Result<Config, Failure> {
        let mut set = self.set.clone();
        set.extend(self.seed.map(|seed| format!("train.seed={seed}")));
        set.extend(self.device.iter().map(|device| format!("train.device={device}")));
        Ok(Config::open(self.config.as_deref(), &set)?)
    }

    /// Where relative paths of data start.
    fn root(&self) -> PathBuf {
        root(self.data_dir.as_deref(), self.config.as_deref())
    }
}

/// Where relative paths of data start.
pub(crate) fn root(data_dir: Option<&Path>, config: Option<&Path>) -> PathBuf {
    let from_file = || config.and_then(Path::parent).map(Path::to_owned).unwrap_or_default();
    data_dir
        .map(Path::to_owned)
        .or_else(|| std::env::var_os("SECATEUR_DATA").map(PathBuf::from))
        .unwrap_or_else(from_file)
}

fn free(config: Option<&Path>) -> PathBuf {
    let name = config.and_then(Path::file_stem).map_or("adult".into(), |stem| stem.to_string_lossy().into_owned());
    let folders = (1u32..).map(|k| Path::new("runs").join(format!("{name}-{k}")));
    folders.into_iter().find(|folder| !folder.exists()).unwrap_or_else(|| Path::new("runs").join(name))
}

fn announce(run: &Run) {
    run.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    run.notes.iter().for_each(|note| eprintln!("note, for you alone and in no result: {note}"));
    eprintln!("{}", told(run.config()));
    let plan = &run.plan;
    let cost = match run.is_private() {
        true => format!("noise multiplier {:.4}, epsilon {:.4} in the end", plan.noise_multiplier, plan.epsilon),
        false => "NOT PRIVATE".into(),
    };
    if run.step() > 0 {
        eprintln!("going on after step {}", run.step());
    }
    let (trained, all) = run.numbers();
    if trained < all {
        eprintln!("{trained} of {all} numbers are trained");
    }
    if let Some(before) = run.epsilon_before() {
        eprintln!("the weights come from a run on the same data, which spent epsilon {before:.4}: carried on");
    }
    eprintln!("{} steps, sample rate {:.5}, {cost}", plan.steps, plan.sample_rate);
}

/// What is trained on, and by what: a section that a file does not have is the default's.
fn told(config: &Config) -> String {
    let (source, rule) = (config.data.0.name(), config.clip.name());
    let model: Vec<&str> = config.model.layers.iter().map(|layer| layer.name()).collect();
    let update: Vec<&str> = config.update.iter().map(|link| link.name()).collect();
    let clipped = if config.privacy.mode == Mode::Private { format!("clip rule {rule}; ") } else { String::new() };
    format!("data {source}; model {}; {clipped}update {}", model.join(" - "), update.join(" - "))
}

/// The progress bar; Ctrl-C ends the run after the step it is in.
struct Bar {
    bar: ProgressBar,
    stop: Arc<AtomicBool>,
    live: Option<Live>,
}

impl Bar {
    fn new(run: &Run, quiet: bool) -> Result<Self, Failure> {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(run.plan.steps) };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {elapsed} (left {eta})")?;
        bar.set_style(style);
        Ok(Bar { bar, stop: process::interrupted()?, live: None })
    }
}

impl Watch for Bar {
    fn step(&mut self, progress: &Progress) -> bool {
        let loss = progress.score.map_or(String::new(), |s| format!("loss {:.4}  ", s.loss));
        let accuracy =
            progress.score.and_then(|s| s.accuracy).map_or(String::new(), |a| format!("accuracy {:.2} %  ", 100.0 * a));
        let bits =
            progress.score.and_then(|s| s.bits_per_byte).map_or(String::new(), |b| format!("{b:.3} bits a byte  "));
        self.bar.set_message(format!("{loss}{accuracy}{bits}epsilon {:.3}", progress.epsilon));
        self.bar.set_position(progress.step);
        !self.stop.load(Ordering::SeqCst)
    }

    fn look(&mut self, seen: &Seen) -> Result<(), String> {
        self.live.as_mut().map_or(Ok(()), |live| live.look(seen)).map_err(|e| e.to_string())
    }
}

fn conclude(record: &Record, out: &Path, continues: bool) -> Result<(), Failure> {
    let s = &record.summary;
    println!("{}", verdict(record));
    if s.clipped_and_noised && record.statement.unit() != Unit::Row {
        println!("unit of privacy: {}", record.statement.unit_of_privacy);
    }
    if let Some(accuracy) = s.test_accuracy {
        let alone = s.commonest_class.map(|share| format!(" (the commonest class alone: {:.2} %)", 100.0 * share));
        println!("test accuracy {:.2} %{}", 100.0 * accuracy, alone.unwrap_or_default());
    }
    if let (Some(loss), Some(perplexity)) = (s.evaluation_token_loss, s.evaluation_perplexity) {
        let bits = s.evaluation_bits_per_byte.map_or(String::new(), |bits| format!(", {bits:.4} bits a byte"));
        println!("evaluation loss {loss:.4} a token, perplexity {perplexity:.3}{bits}");
    }
    println!("{} steps in {:.1} s; results in {}", s.steps, s.train_seconds, out.display());
    println!("report: {}", out.join("report.html").display());
    let on = match continues {
        true => format!("go on with --resume {}", out.display()),
        false => {
            "it cannot be gone on with, since what its clip rule remembers of examples is secret, and on no disk".into()
        }
    };
    let message =
        format!("interrupted after {} steps: what was spent until then is above and in the ledger; {on}", s.steps);
    if s.interrupted { Err(Failure { code: 130, message }) } else { Ok(()) }
}

/// Whether the run is private, in one line that agrees with the report's headline.
fn verdict(record: &Record) -> String {
    let s = &record.summary;
    let price = format!("epsilon = {:.4} at delta = {:e} ({}, {})", s.epsilon, s.delta, s.accountant, relation(record));
    let verdict = record.verdict();
    match verdict {
        Verdict::Ordinary => verdict.words().into(),
        Verdict::Seeded => format!("{}; with fresh randomness {price}", verdict.words()),
        Verdict::Unbounded => format!("NOT PRIVATE: {price}"),
        Verdict::Private | Verdict::Weak => format!("{}: {price}", verdict.words()),
    }
}

fn relation(record: &Record) -> String {
    let one = record.statement.unit().one();
    match record.statement.neighbouring {
        Neighbouring::AddRemove => format!("add/remove one {one}"),
        Neighbouring::ReplaceOne => format!("replace one {one}"),
    }
}
