//! `secateur bench`: what one step of training costs, private and ordinary, on fixed workloads.
mod rules;

use crate::{
    Failure,
    price::{self, Format},
};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use train::{
    compare::peak_mb,
    config::Mode,
    report::{
        plot::{Axis, Chart, Series, sheet},
        write_atomically,
    },
    trainer::Trainer,
    workload::{self, Workload},
};

/// Time whole training steps of the engine, on made-up data, in a process of its own for each row.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  # all workloads, private and ordinary
  secateur bench
  # two of them, private only
  secateur bench --workload W2,W3 --private
  # how cost grows, with a picture
  secateur bench --workload W4 --batch 2,4,8 --plot batch.svg
  secateur bench --workload W4 --length 64,128,256 --threads 1
  secateur bench --workload W1 --private --set clip.rule=auto-s
  # every clip rule beside flat clipping, in turns
  secateur bench --workload W2 --rule all
  # all workloads on the first GPU
  secateur bench --device cuda --precision tf32
  # 32 examples in a step, on two GPUs
  secateur bench --device cuda:0,1 --workload W5 --batch 32")]
pub struct Args {
    /// W1 to W6, or all
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "all", value_parser = named)]
    workload: Vec<String>,
    /// Where to run: cpu, cuda (the first GPU), cuda:N, or several GPUs at each step: cuda:0,1 or cuda:all
    #[arg(long, default_value = "cpu")]
    device: String,
    /// How a GPU makes products: f32, tf32 or bf16
    #[arg(long, value_parser = ["f32", "tf32", "bf16"], default_value = "f32")]
    precision: String,
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
    /// Clip rules, or all: their private steps beside flat clipping's, in turns
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', conflicts_with_all = ["ordinary", "both", "plot"])]
    rule: Vec<String>,
    /// Examples in a step, one row for each; every workload has its own default
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    batch: Vec<u32>,
    /// Tokens of an example (W4, W5), one row for each
    #[arg(long, value_name = "N,..", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..))]
    length: Vec<u32>,
    /// Draw the medians against batch or length, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Steps to time, after a warm-up; by default as many as fit in three seconds, from 10 to 300
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Change a setting, such as clip.rule=auto-s or train.chunk=64
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// On a GPU: say how long each kernel and library call took, in steps after those that are timed
    #[arg(long)]
    kernels: bool,
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
    /// Tokens of an example, where examples are texts.
    #[serde(skip_serializing_if = "Option::is_none")]
    length: Option<usize>,
    threads: usize,
    steps: usize,
    ms_median: f64,
    ms_p10: f64,
    ms_p90: f64,
    /// Until the host had asked a GPU for the whole step; the rest is waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms_asked: Option<f64>,
    examples_per_s: f64,
    /// The process's largest resident set; not known on every system.
    peak_rss_mb: Option<f64>,
    /// The most memory in use on a GPU at one time.
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_device_mb: Option<f64>,
    /// Where, by the device's own name.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// How many devices share a step out.
    devices: usize,
    /// What a step is made of, longest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kernels: Vec<Kernel>,
}

/// Kernels or library calls of one name, in one step.
#[derive(Serialize, Deserialize)]
struct Kernel {
    name: String,
    calls: f64,
    ms: f64,
    /// Of the host's time.
    host_ms: f64,
}

/// What one row is about.
#[derive(Clone, Copy)]
struct Job {
    workload: Workload,
    mode: Mode,
    batch: usize,
    length: Option<usize>,
}

impl Args {
    /// The changes to a workload's configuration. On a GPU the whole batch is looked at together, unless told otherwise.
    fn settings(&self, batch: usize) -> Vec<String> {
        let mut set = vec![format!("train.device={}", self.device), format!("train.precision={}", self.precision)];
        if self.device != "cpu" {
            set.push(format!("train.chunk={batch}"));
        }
        set.extend(self.set.iter().cloned());
        set
    }

    /// One job for each workload, size and mode that was asked for.
    fn jobs(&self) -> Vec<Job> {
        let all = self.workload.iter().any(|name| name == "ALL");
        let modes: &[Mode] = match (self.private || !self.rule.is_empty(), self.ordinary) {
            (true, _) => &[Mode::Private],
            (_, true) => &[Mode::Ordinary],
            _ => &[Mode::Ordinary, Mode::Private],
        };
        let mut jobs = Vec::new();
        for workload in workload::ALL.into_iter().filter(|w| all || self.workload.iter().any(|name| name == w.name)) {
            let usual = if self.device == "cpu" { workload.batch } else { workload.gpu_batch };
            let batches = if self.batch.is_empty() { vec![usual as u32] } else { self.batch.clone() };
            let lengths: Vec<_> = self.length.iter().map(|l| Some(*l as usize)).collect();
            let lengths = if lengths.is_empty() { vec![None] } else { lengths };
            for (mode, batch) in modes.iter().flat_map(|mode| batches.iter().map(move |batch| (*mode, *batch as usize)))
            {
                jobs.extend(lengths.iter().map(|&length| Job { workload, mode, batch, length }));
            }
        }
        jobs
    }
}

pub fn run(args: Args) -> Result<(), Failure> {
    let jobs = args.jobs();
    if !args.rule.is_empty() {
        return rules::run(&args, &jobs);
    }
    let mut rows = Vec::new();
    if args.format == Format::Text {
        println!("{}", head());
    }
    for job in &jobs {
        let row = if jobs.len() == 1 { time(&args, *job)? } else { elsewhere(&args, *job)? };
        if args.format == Format::Text {
            println!("{}", line(&row));
            row.ms_asked.filter(|_| args.kernels).into_iter().for_each(|ms| println!("  {ms:>9.4} ms until asked for"));
            row.kernels
                .iter()
                .for_each(|k| println!("  {:>9.4} ms, host {:>8.4}, {:>7.1} of {}", k.ms, k.host_ms, k.calls, k.name));
        }
        rows.push(row);
    }
    if args.format == Format::Json {
        price::print_json(&rows)?;
    }
    if let Some(file) = &args.plot {
        let text = picture(&rows, args.length.len() > 1);
        write_atomically(file, text.as_bytes()).map_err(|e| format!("--plot {}: {e}", file.display()))?;
    }
    Ok(())
}

/// A chart for each workload: milliseconds against batch or length, a line for each mode.
fn picture(rows: &[Row], by_length: bool) -> String {
    let chart = |name: &str| {
        let series = ["ordinary", "private"].into_iter().zip([3, 1]).filter_map(|(mode, tone)| {
            let x = |r: &Row| if by_length { r.length.unwrap_or_default() } else { r.batch } as f64;
            let mine = rows.iter().filter(|r| r.workload == name && r.mode == mode);
            let points: Vec<(f64, f64)> = mine.map(|r| (x(r), r.ms_median)).collect();
            (!points.is_empty()).then(|| Series { name: mode.into(), points, tone })
        });
        let series: Vec<Series> = series.collect();
        let (x, most) = if by_length { ("tokens of an example", "length") } else { ("examples in a step", "batch") };
        let top = |f: fn(&(f64, f64)) -> f64| series.iter().flat_map(|s| &s.points).map(f).fold(0.0, f64::max);
        Chart {
            title: format!("{name}: milliseconds a step against {most}"),
            x: Axis::new(x).within(0.0, top(|p| p.0)),
            y: Axis::new("ms, median").within(0.0, top(|p| p.1)),
            series,
        }
    };
    let names = workload::ALL.iter().map(|w| w.name).filter(|name| rows.iter().any(|r| r.workload == *name));
    sheet(&names.map(chart).collect::<Vec<_>>())
}

fn mode_name(mode: Mode) -> &'static str {
    if mode == Mode::Private { "private" } else { "ordinary" }
}

fn head() -> String {
    format!(
        "{:<9}{:<10}{:>6}{:>8}{:>12}{:>10}{:>10}{:>14}{:>12}",
        "workload", "mode", "batch", "length", "ms median", "p10", "p90", "examples/s", "peak MB"
    )
}

fn line(r: &Row) -> String {
    let length = r.length.map_or("-".into(), |l| l.to_string());
    let peak = r.peak_device_mb.or(r.peak_rss_mb).map_or("-".into(), |mb| format!("{mb:.0}"));
    format!(
        "{:<9}{:<10}{:>6}{length:>8}{:>12.3}{:>10.3}{:>10.3}{:>14.1}{peak:>12}",
        r.workload, r.mode, r.batch, r.ms_median, r.ms_p10, r.ms_p90, r.examples_per_s
    )
}

/// One row in a process of its own, so that its peak memory is its own.
fn elsewhere(args: &Args, job: Job) -> Result<Row, Failure> {
    let (name, mode) = (job.workload.name, mode_name(job.mode));
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bench", "--workload", name, "--format", "json", "--batch", &job.batch.to_string()]);
    command.arg(format!("--{mode}"));
    command.args(["--device", &args.device, "--precision", &args.precision]);
    let numbers = [
        ("--threads", args.threads.map(u64::from)),
        ("--steps", args.steps.map(u64::from)),
        ("--length", job.length.map(|l| l as u64)),
    ];
    for (flag, value) in numbers {
        command.args(value.into_iter().flat_map(|v| [flag.to_owned(), v.to_string()]));
    }
    command.args(args.kernels.then_some("--kernels"));
    command.args(args.set.iter().flat_map(|set| ["--set", set]));
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{name}, {mode}: {}", said.trim().trim_start_matches("error: ")).into());
    }
    let rows: Vec<Row> = serde_json::from_slice(&done.stdout)?;
    rows.into_iter().next().ok_or_else(|| "the process for one row printed none".into())
}

/// Until the GPU has done what it was told, if it is one.
fn wait(trainer: &Trainer) {
    trainer.weights.layout().device().gpu().into_iter().for_each(train::Gpu::wait);
}

/// Times the steps here.
fn time(args: &Args, job: Job) -> Result<Row, Failure> {
    crate::process::threads(args.threads.map(usize::from))?;
    let Job { workload, mode, batch, length } = job;
    let config = workload.config(mode, &args.settings(batch))?;
    let devices = config.train.open_devices()?;
    let gpus: Vec<_> = devices.iter().filter_map(|device| device.gpu()).collect();
    let mut trainer = workload.trainer_of(&config, batch, length)?;
    let mut asked = Vec::new();
    let mut step = || -> Result<Duration, Failure> {
        let start = Instant::now();
        train::guard(|| trainer.step())??;
        asked.push(start.elapsed().as_secs_f64() * 1e3);
        gpus.iter().for_each(|gpu| gpu.wait());
        Ok(start.elapsed())
    };
    let warm_up = (0..3).map(|_| step()).collect::<Result<Vec<_>, _>>()?;
    gpus.iter().for_each(|gpu| gpu.forget_peak());
    let one = warm_up.last().map_or(1e-3, Duration::as_secs_f64).max(1e-6);
    let steps = args.steps.map_or((3.0 / one).clamp(10.0, 300.0) as usize, |s| s as usize);
    let mut ms = (0..steps).map(|_| Ok(step()?.as_secs_f64() * 1e3)).collect::<Result<Vec<f64>, Failure>>()?;
    ms.sort_by(f64::total_cmp);
    let peak = gpus.iter().map(|gpu| gpu.usage().peak as f64 / f64::from(1 << 20)).reduce(f64::max);
    let kernels = match gpus.first().filter(|_| args.kernels) {
        Some(gpu) => kernels(gpu, step)?,
        None => Vec::new(),
    };
    asked.sort_by(f64::total_cmp);
    let at = |share: f64| ms[((ms.len() - 1) as f64 * share).round() as usize];
    Ok(Row {
        workload: workload.name.into(),
        mode: mode_name(mode).into(),
        batch,
        length: length.or(workload.length()),
        threads: rayon::current_num_threads(),
        steps,
        ms_median: at(0.5),
        ms_p10: at(0.1),
        ms_p90: at(0.9),
        ms_asked: (!gpus.is_empty()).then(|| asked[asked.len() / 2]),
        examples_per_s: batch as f64 / at(0.5) * 1e3,
        peak_rss_mb: peak_mb(),
        peak_device_mb: peak,
        device: gpus.first().map(|gpu| gpu.name().to_owned()),
        devices: devices.len(),
        kernels,
    })
}

/// Steps that are taken apart.
const PROFILED: usize = 4;

/// What a step is made of.
fn kernels(gpu: &train::Gpu, mut step: impl FnMut() -> Result<Duration, Failure>) -> Result<Vec<Kernel>, Failure> {
    gpu.start_profile();
    (0..PROFILED).try_for_each(|_| step().map(drop))?;
    let share = |x: f64| x / PROFILED as f64;
    let taken = gpu.end_profile().into_iter();
    Ok(taken
        .map(|t| Kernel { name: t.name, calls: share(t.calls as f64), ms: share(t.ms), host_ms: share(t.host_ms) })
        .collect())
}
