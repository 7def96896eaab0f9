//! `secateur audit`: attack a configuration, and see whether more shows than it claims.
use crate::{Failure, process, train::root};
use indicatif::{ProgressBar, ProgressStyle};
use std::{path::PathBuf, sync::atomic::Ordering};
use train::{
    audit::{AttackConfig, Audit, Audited, Finding, Proof},
    config::Config,
    world::Place,
};

/// The exit code of a claim that was refuted.
const BROKEN: u8 = 3;

/// Attack a configuration's privacy: train it with canaries, guess which were there, and say what that proves.
#[derive(clap::Args)]
#[command(after_help = "\
Exit codes: 0 the claim stands, 3 more was proven than is claimed (the implementation or the claim is broken), 1 an error, 130 interrupted.
This is a run on your data: it costs what training costs, and leaves a ledger that says so, and no weights.

Examples:
  # the Adult census
  secateur audit
  secateur audit my.toml --data-dir data --canaries 5000 --out audits/my
  # what a stranger could do who has the final model alone
  secateur audit my.toml --attack input
  # both, on a shorter run at the same epsilon
  secateur audit my.toml --attack gradient,input --steps 300
  # under another rule
  secateur audit my.toml --set clip.rule=auto-s")]
pub struct Args {
    /// A TOML file; without one, the Adult census
    config: Option<PathBuf>,
    /// Change one key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Made-up people of each attack, each of whom is there by a fair coin; they take the places of as many of your people
    #[arg(long, value_name = "M", default_value_t = 1000)]
    canaries: usize,
    /// Attacks, all on one run: gradient (sees every release), input (has the final model alone)
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "gradient")]
    attack: Vec<String>,
    /// Coins to guess, those that scores are clearest about [default: six times the root of --canaries]
    #[arg(long, value_name = "N")]
    guesses: Option<usize>,
    /// How often a true claim may be refuted by bad luck
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    significance: f64,
    /// Steps to train [default: as the configuration says]; noise is calibrated for so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
    /// Folder for the results
    #[arg(long, value_name = "DIR", default_value = "audit")]
    out: PathBuf,
    /// Replace an earlier audit in --out; its ledger is kept. A trained model there is not replaced
    #[arg(long)]
    force: bool,
    /// Where relative paths of data start [default: $SECATEUR_DATA, or else the configuration's folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Fixed seed: reproducible, and NOT private to anybody who knows it
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where to train: cpu, cuda (the first GPU), cuda:N, or several GPUs [default: as the configuration says]
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// No progress bar
    #[arg(long, short)]
    quiet: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    process::threads(args.threads)?;
    alone()?;
    let audit = args.audit()?;
    let root = root(args.data_dir.as_deref(), args.config.as_deref());
    let run =
        audit.prepare(Config::open(args.config.as_deref(), &args.changes())?, &root, Some(&args.out), args.force)?;
    announce(&run, &audit);
    let finding = watched(run, args.quiet)?;
    conclude(&finding, &args)
}

/// Refuses to be one of several processes: each would audit by itself, into one folder.
fn alone() -> Result<(), Failure> {
    let Some(place) = Place::from_env()? else { return Ok(()) };
    Err(format!(
        "SECATEUR_WORLD, torchrun or SLURM says that this is one of {} processes, and an audit is one process: start \
         it once, without these; it can use all GPUs of its host (--device cuda:all)",
        place.size
    )
    .into())
}

impl Args {
    fn audit(&self) -> Result<Audit, Failure> {
        let attacks = self
            .attack
            .iter()
            .map(|name| AttackConfig::named(name))
            .collect::<Result<_, _>>()
            .map_err(|e| format!("--attack: {e}"))?;
        let (canaries, guesses, significance) = (self.canaries, self.guesses, self.significance);
        Ok(Audit { canaries, guesses, attacks, significance })
    }

    fn changes(&self) -> Vec<String> {
        let mut set = self.set.clone();
        set.extend(self.steps.map(|steps| format!("train.steps={steps}")));
        set.extend(self.seed.map(|seed| format!("train.seed={seed}")));
        set.extend(self.device.iter().map(|device| format!("train.device={device}")));
        set
    }
}

fn announce(run: &Audited, audit: &Audit) {
    run.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    let plan = run.plan();
    eprintln!(
        "{} steps, sample rate {:.5}, noise multiplier {:.4}; {} canaries an attack, {} guesses",
        plan.steps,
        plan.sample_rate,
        plan.noise_multiplier,
        audit.canaries,
        audit.guesses()
    );
    eprintln!("this run is charged like any: epsilon {:.4} of your data's in the end", plan.epsilon);
}

/// Attacks with a progress bar; Ctrl-C ends training after the step it is in.
fn watched(run: Audited, quiet: bool) -> Result<Finding, Failure> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(run.plan().steps) };
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {elapsed} (left {eta})")?);
    let stop = process::interrupted()?;
    let finding = run.attack(|step, _| {
        bar.set_position(step);
        !stop.load(Ordering::SeqCst)
    });
    bar.finish_and_clear();
    Ok(finding?)
}

fn conclude(finding: &Finding, args: &Args) -> Result<(), Failure> {
    let confidence = 100.0 * (1.0 - finding.significance);
    let (claimed, delta) = (finding.epsilon, finding.delta);
    println!(
        "claimed: epsilon = {claimed:.4} at delta = {delta:e} ({}), {} steps",
        finding.accountant, finding.steps.0
    );
    finding.attacks.iter().for_each(|proof| println!("{}", line(proof, confidence)));
    println!("page: {}; no weights were left, they have canaries in them", args.out.join("audit.html").display());
    if finding.is_broken() {
        let message = format!(
            "BROKEN: epsilon is above {:.4} with {confidence} % confidence, and {claimed:.4} is claimed. The implementation or the claim is \
             wrong: publish nothing that was made so",
            finding.proven()
        );
        return Err(Failure { code: BROKEN, message });
    }
    println!(
        "not refuted: no attack of these proved more than {:.4}, and {claimed:.4} is claimed. Another might: that is no proof",
        finding.proven()
    );
    match finding.steps {
        (made, planned) if made < planned => {
            let message =
                format!("interrupted after {made} of {planned} steps: all of this is of those, and so is the ledger");
            Err(Failure { code: 130, message })
        }
        _ => Ok(()),
    }
}

fn line(proof: &Proof, confidence: f64) -> String {
    let counts = proof.counts;
    format!(
        "{}: epsilon > {:.4} with {confidence} % confidence: {} of {} guesses right, {} canaries (> {:.4} whatever the trade-off; > {:.4} if \
         canaries were independent, which is no proof)",
        proof.attack,
        proof.proven,
        counts.right,
        counts.guesses,
        counts.canaries,
        proof.proven_of_any,
        proof.if_independent
    )
}
