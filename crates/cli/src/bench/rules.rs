//! `secateur bench --rule`: what a clip rule's step costs over flat clipping's.
//!
//! Steps of both take turns, and who goes first does too, so that what the machine does besides falls on both. The ratio is
//! the median of the pairs' ratios.
use super::{Args, Job, wait};
use crate::{
    Failure,
    price::{self, Format},
};
use serde::Serialize;
use std::{io::Write as _, time::Instant};
use train::{clip::ClipConfig, config::Mode, registry::Entry, trainer::Trainer, workload::WorkloadError};

/// One rule on one workload.
#[derive(Serialize)]
struct Row {
    workload: &'static str,
    rule: &'static str,
    class: &'static str,
    batch: usize,
    threads: usize,
    pairs: usize,
    flat_ms: f64,
    rule_ms: f64,
    /// Of the pairs: the median, and a tenth of them below and above.
    ratio: f64,
    ratio_p10: f64,
    ratio_p90: f64,
}

/// The rules of these names, in the list's order.
pub(super) fn named(names: &[String]) -> Result<Vec<&'static Entry>, String> {
    let known = |name: &str| name == "all" || ClipConfig::ENTRIES.iter().any(|entry| entry.name == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        return Err(format!("--rule {unknown}: there is no such clip rule; `secateur rules` lists them"));
    }
    let wanted = |entry: &&Entry| names.iter().any(|name| name == "all" || name == entry.name);
    Ok(ClipConfig::ENTRIES.iter().filter(wanted).collect())
}

/// Each rule beside flat clipping on each of `jobs`.
pub(super) fn run(args: &Args, jobs: &[Job]) -> Result<(), Failure> {
    crate::process::threads(args.threads.map(usize::from))?;
    let (rules, mut rows) = (named(&args.rule)?, Vec::new());
    if args.format == Format::Text {
        println!("{}", head());
    }
    for (job, rule) in jobs.iter().flat_map(|job| rules.iter().map(move |rule| (job, rule))) {
        let row = match time(args, *job, rule) {
            Err(why) if rules.len() > 1 => {
                eprintln!("{}, {}: left out: {}", job.workload.name, rule.name, why.message);
                continue;
            }
            row => row?,
        };
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

fn trainer(args: &Args, job: Job, rule: &str) -> Result<Trainer, WorkloadError> {
    let mut set = vec![format!("clip={{ rule = \"{rule}\", bound = 1.0 }}")];
    set.extend(args.settings(job.batch));
    let config = job.workload.config(Mode::Private, &set)?;
    job.workload.trainer_of(&config, job.batch, job.length)
}

/// Milliseconds of one step.
fn step(trainer: &mut Trainer) -> Result<f64, Failure> {
    let start = Instant::now();
    train::guard(|| trainer.step())??;
    wait(trainer);
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn time(args: &Args, job: Job, rule: &'static Entry) -> Result<Row, Failure> {
    let (mut flat, mut other) = (trainer(args, job, "flat")?, trainer(args, job, rule.name)?);
    let mut one = 0.0;
    for _ in 0..3 {
        one = step(&mut flat)? + step(&mut other)?;
    }
    let pairs = args.steps.map_or((3e3 / one).clamp(10.0, 300.0) as usize, |steps| steps as usize);
    let mut taken: Vec<[f64; 2]> = Vec::new();
    for k in 0..pairs {
        taken.push(match k % 2 {
            0 => [step(&mut flat)?, step(&mut other)?],
            _ => {
                let second = step(&mut other)?;
                [step(&mut flat)?, second]
            }
        });
    }
    let ratio = |share| at(taken.iter().map(|[flat, other]| other / flat), share);
    Ok(Row {
        workload: job.workload.name,
        rule: rule.name,
        class: rule.class,
        batch: job.batch,
        threads: rayon::current_num_threads(),
        pairs,
        flat_ms: at(taken.iter().map(|pair| pair[0]), 0.5),
        rule_ms: at(taken.iter().map(|pair| pair[1]), 0.5),
        ratio: ratio(0.5),
        ratio_p10: ratio(0.1),
        ratio_p90: ratio(0.9),
    })
}

/// The number below which this share of them lies.
fn at(of: impl Iterator<Item = f64>, share: f64) -> f64 {
    let mut of: Vec<f64> = of.collect();
    of.sort_by(f64::total_cmp);
    of[((of.len() - 1) as f64 * share).round() as usize]
}

fn head() -> String {
    format!(
        "{:<9}{:<23}{:<12}{:>6}{:>10}{:>10}{:>8}{:>8}{:>8}{:>7}",
        "workload", "rule", "class", "batch", "flat ms", "rule ms", "ratio", "p10", "p90", "pairs"
    )
}

fn line(r: &Row) -> String {
    format!(
        "{:<9}{:<23}{:<12}{:>6}{:>10.3}{:>10.3}{:>8.3}{:>8.3}{:>8.3}{:>7}",
        r.workload, r.rule, r.class, r.batch, r.flat_ms, r.rule_ms, r.ratio, r.ratio_p10, r.ratio_p90, r.pairs
    )
}
