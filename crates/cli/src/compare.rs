//! `secateur compare`: several clip rules on one problem at the same epsilon.
use crate::{
    Failure,
    price::{self, Format},
    process,
    train::root,
};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use train::{
    compare::{Audience, Contest, html, text},
    config::Config,
    report::write_atomically,
};

/// Train on public data with several clip rules, each calibrated to the same epsilon, and compare them.
#[derive(clap::Args)]
#[command(after_help = "\
For PUBLIC data: runs have fixed seeds and keep no ledger, so that none of them is private.

Examples:
  secateur compare --rules flat,auto-s,psac --declare-public 'the Adult census is published'
  secateur compare configs/mnist.toml --data-dir data --declare-public 'MNIST' --rules flat,quantile:unit=0.1 --out runs/rules
  secateur compare --declare-public 'published' --rules flat,auto-s --tune lr=0.01,0.02,0.05")]
pub struct Args {
    /// A TOML file; without one, the Adult census
    config: Option<PathBuf>,
    /// Rules to compare, each with settings of its own if need be: name or name:key=value
    #[arg(long, value_name = "RULE,..", value_delimiter = ',', required = true)]
    rules: Vec<String>,
    /// Runs of each rule, with seeds 1, 2, ...
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Try these values of a key (lr is the learning rate) in each arm and keep the best; may be repeated, for all combinations
    #[arg(long, value_name = "KEY=V1,V2")]
    tune: Vec<String>,
    /// The training data are public, for this reason; table and page repeat it
    #[arg(long, value_name = "REASON")]
    declare_public: Option<String>,
    /// Change one key of the configuration for all arms; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for table.txt, compare.json and compare.html [default: none are written]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where relative paths of data start [default: $SECATEUR_DATA, or else the configuration's folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// No progress bars
    #[arg(long, short)]
    quiet: bool,
    /// How to print the table
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let contest = contest(&args)?;
    let mut bars = Bars::new(&contest, args.quiet)?;
    let rows = contest.run(&root(args.data_dir.as_deref(), args.config.as_deref()), &mut bars)?;
    bars.all.clear()?;
    let rows = rows.ok_or_else(|| Failure { code: 130, message: "interrupted: nothing was compared".into() })?;
    if let Some(out) = &args.out {
        let title = Config::open(args.config.as_deref(), &args.set)?.title;
        fs::create_dir_all(out).map_err(|e| format!("--out {}: {e}", out.display()))?;
        let files = [
            ("table.txt", text(&rows)),
            ("compare.json", serde_json::to_string_pretty(&rows)?),
            ("compare.html", html(&title, &rows)),
        ];
        for (name, content) in files {
            let path = out.join(name);
            write_atomically(&path, content.as_bytes()).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    match args.format {
        Format::Text => print!("{}", text(&rows)),
        Format::Json => price::print_json(&rows)?,
    }
    Ok(())
}

fn contest(args: &Args) -> Result<Contest, Failure> {
    let file = args.config.clone();
    let tune = args.tune.iter().map(|text| {
        let (key, values) = text.split_once('=').ok_or_else(|| format!("--tune {text}: expected KEY=V1,V2"))?;
        Ok((key.to_owned(), values.split(',').map(str::to_owned).collect()))
    });
    let tune = tune.collect::<Result<_, String>>()?;
    Ok(Contest {
        file,
        set: args.set.clone(),
        rules: args.rules.clone(),
        seeds: args.seeds,
        tune,
        public: args.declare_public.clone(),
    })
}

/// Thousandths of an arm.
const WHOLE: u64 = 1000;

/// One progress bar an arm; Ctrl-C ends all after the step at work.
struct Bars {
    all: MultiProgress,
    arms: Vec<ProgressBar>,
    stop: Arc<AtomicBool>,
}

impl Bars {
    fn new(contest: &Contest, quiet: bool) -> Result<Self, Failure> {
        let all = MultiProgress::new();
        let wide = contest.rules.iter().map(|rule| rule.chars().count()).max().unwrap_or(0);
        let style = ProgressStyle::with_template(&format!(
            "{{prefix:{wide}}} {{bar:30}} {{percent:>3}} %  {{msg}}  {{elapsed}}"
        ))?;
        let bar = |rule: &String| {
            let bar = if quiet { ProgressBar::hidden() } else { all.add(ProgressBar::new(WHOLE)) };
            bar.set_style(style.clone());
            bar.set_prefix(rule.clone());
            bar
        };
        let arms = contest.rules.iter().map(bar).collect();
        Ok(Bars { all, arms, stop: process::interrupted()? })
    }
}

impl Audience for Bars {
    fn step(&mut self, arm: usize, done: f64, accuracy: Option<f64>) -> bool {
        if let Some(bar) = self.arms.get(arm) {
            bar.set_position((done * WHOLE as f64) as u64);
            bar.set_message(accuracy.map_or(String::new(), |a| format!("accuracy {:.2} %", 100.0 * a)));
        }
        !self.stop.load(Ordering::SeqCst)
    }
}
