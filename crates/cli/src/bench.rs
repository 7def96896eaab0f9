//! `secateur bench`: what one step of training costs, private and ordinary, on fixed workloads.
use crate::{
    Failure,
    price::{self, Format},
};
use serde::{Deserialize, Serialize};
use std::{
    io::Write as _,
    process::Command,
    time::{Duration, Instant},
};
use train::{
    config::Mode,
    workload::{self, Workload},
};

/// Time whole training steps of the engine, on made-up data, in a process of its own for each row.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  secateur bench                                        all workloads, private and ordinary
  secateur bench --workload W2,W3 --private             two of them, private only
  secateur bench --workload W4 --batch 16 --threads 1
  secateur bench --workload W1 --private --set clip.rule=auto-s")]
pub struct Args {
    /// W1 to W6, or all
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "all", value_parser = named)]
    workload: Vec<String>,
    /// Where to run
    #[arg(long, value_parser = ["cpu"], default_value = "cpu")]
    device: String,
    /// Threads; by default as many as there are processors
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Private steps only: clipped and noised
    #[arg(long, conflicts_with_all = ["ordinary", "both"])]
    private: bool,
    /// Ordinary steps only: neither clipped nor noised
    #[arg(long, conflicts_with = "both")]
    ordinary: bool,
    /// Private and ordinary steps (the default)
    #[arg(long)]
    both: bool,
    /// Examples in a step; each workload has its own default
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    batch: Option<u32>,
    /// Steps to time, after a warm-up; by default as many as fit in three seconds, from 10 to 300
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Change a setting, such as clip.rule=auto-s or train.chunk=64
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How to print the rows
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

fn named(text: &str) -> Result<String, String> {
    if text == "all" || Workload::by_name(text).is_some() {
        return Ok(text.to_uppercase());
    }
    let names: Vec<&str> = workload::ALL.iter().map(|w| w.name).collect();
    Err(format!("expected one of {}, all", names.join(", ")))
}

/// One workload in one mode.
#[derive(Serialize, Deserialize)]
struct Row {
    workload: String,
    mode: String,
    batch: usize,
    threads: usize,
    steps: usize,
    ms_median: f64,
    ms_p10: f64,
    ms_p90: f64,
    examples_per_s: f64,
    /// The process's largest resident set; not known on every system.
    peak_rss_mb: Option<f64>,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let all = args.workload.iter().any(|name| name == "ALL");
    let asked = |w: &Workload| all || args.workload.iter().any(|name| name == w.name);
    let modes: &[Mode] = match (args.private, args.ordinary) {
        (true, _) => &[Mode::Private],
        (_, true) => &[Mode::Ordinary],
        _ => &[Mode::Ordinary, Mode::Private],
    };
    let jobs: Vec<(Workload, Mode)> =
        workload::ALL.into_iter().filter(asked).flat_map(|w| modes.iter().map(move |mode| (w, *mode))).collect();
    let mut rows = Vec::new();
    if args.format == Format::Text {
        println!("{}", head());
    }
    for (workload, mode) in &jobs {
        let row = if jobs.len() == 1 { time(&args, *workload, *mode)? } else { elsewhere(&args, *workload, *mode)? };
        if args.format == Format::Text {
            println!("{}", line(&row));
            std::io::stdout().flush()?;
        }
        rows.push(row);
    }
    if args.format == Format::Json {
        price::print_json(&rows)?;
    }
    Ok(())
}

fn mode_name(mode: Mode) -> &'static str {
    if mode == Mode::Private { "private" } else { "ordinary" }
}

fn head() -> String {
    format!(
        "{:<9}{:<10}{:>6}{:>12}{:>10}{:>10}{:>14}{:>12}",
        "workload", "mode", "batch", "ms median", "p10", "p90", "examples/s", "peak MB"
    )
}

fn line(r: &Row) -> String {
    let peak = r.peak_rss_mb.map_or("-".into(), |mb| format!("{mb:.0}"));
    format!(
        "{:<9}{:<10}{:>6}{:>12.3}{:>10.3}{:>10.3}{:>14.1}{peak:>12}",
        r.workload, r.mode, r.batch, r.ms_median, r.ms_p10, r.ms_p90, r.examples_per_s
    )
}

/// One row in a process of its own, so that its peak memory is its own.
fn elsewhere(args: &Args, workload: Workload, mode: Mode) -> Result<Row, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--workload", workload.name, "--format", "json"]);
    command.arg(format!("--{}", mode_name(mode)));
    let numbers = [("--threads", args.threads.map(u32::from)), ("--batch", args.batch), ("--steps", args.steps)];
    for (flag, value) in numbers {
        command.args(value.into_iter().flat_map(|v| [flag.to_owned(), v.to_string()]));
    }
    command.args(args.set.iter().flat_map(|set| ["--set", set]));
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(
            format!("{}, {}: {}", workload.name, mode_name(mode), said.trim().trim_start_matches("error: ")).into()
        );
    }
    let rows: Vec<Row> = serde_json::from_slice(&done.stdout)?;
    rows.into_iter().next().ok_or_else(|| "the process for one row printed none".into())
}

/// Times the steps here.
fn time(args: &Args, workload: Workload, mode: Mode) -> Result<Row, Failure> {
    if let Some(threads) = args.threads {
        rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global()?;
    }
    let batch = args.batch.map_or(workload.batch, |b| b as usize);
    let config = workload.config(mode, &args.set)?;
    let mut trainer = workload.trainer(&config, batch)?;
    let mut step = || -> Result<Duration, Failure> {
        let start = Instant::now();
        trainer.step()?;
        Ok(start.elapsed())
    };
    let warm_up = (0..3).map(|_| step()).collect::<Result<Vec<_>, _>>()?;
    let one = warm_up.last().map_or(1e-3, Duration::as_secs_f64).max(1e-6);
    let steps = args.steps.map_or((3.0 / one).clamp(10.0, 300.0) as usize, |s| s as usize);
    let mut ms = (0..steps).map(|_| Ok(step()?.as_secs_f64() * 1e3)).collect::<Result<Vec<f64>, Failure>>()?;
    ms.sort_by(f64::total_cmp);
    let at = |share: f64| ms[((ms.len() - 1) as f64 * share).round() as usize];
    Ok(Row {
        workload: workload.name.into(),
        mode: mode_name(mode).into(),
        batch,
        threads: rayon::current_num_threads(),
        steps,
        ms_median: at(0.5),
        ms_p10: at(0.1),
        ms_p90: at(0.9),
        examples_per_s: batch as f64 / at(0.5) * 1e3,
        peak_rss_mb: peak_rss_mb(),
    })
}

/// What Linux says was this process's largest resident set, in MB of 2^20 bytes.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kb| kb / 1024.0)
}
