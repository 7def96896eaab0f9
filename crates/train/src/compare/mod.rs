//! Several clip rules on one problem at the same epsilon: runs, and what came of them.
//!
//! An arm is the base configuration with another rule (and its bound kept), so that each arm's noise is calibrated through its
//! own rehearsal to the same budget. With settings to tune, every combination is run with every seed, and the best mean
//! accuracy counts. What that choice costs is said beside it: the epsilon of publishing the best of a *random* number of runs
//! whose mean is the number of combinations (Papernot & Steinke 2022); a fixed number of tries has no such price.
//!
//! # Why this is private
//! *Claim.* It is not, and is done on data alone that somebody declares public.
//! *Argument.* Seeds are 1, 2, ..., so that arms can be compared and repeated: everybody can subtract the noise. No ledger is kept. Without a
//! reason why the data are public nothing is trained; with one, it stands at the head of the table and the page, and in each row.
//! *Test.* `private_data_are_not_compared_on` of the command.
mod page;
mod table;

use crate::{
    clip::ClipConfig,
    config::Config,
    run::{Outcome, Progress, Run, Shelf, Watch},
};
pub use page::html;
use privacy::Trials;
use serde::Serialize;
use std::path::{Path, PathBuf};
pub use table::text;

/// What is compared.
pub struct Contest {
    /// The base configuration; the default one where none is named.
    pub file: Option<PathBuf>,
    /// Changes to the base that every arm has.
    pub set: Vec<String>,
    /// One arm each: a rule's name, or `name:key=value:key=value`.
    pub rules: Vec<String>,
    /// Runs of each arm, with seeds 1, 2, ...
    pub seeds: u64,
    /// Keys and their values; each arm tries all combinations.
    pub tune: Vec<(String, Vec<String>)>,
    /// Why the data are public, in the words of whoever says so.
    pub public: Option<String>,
}

const PRIVATE: &str = "a comparison is NOT PRIVATE: its runs have fixed seeds, by which anybody can subtract their noise, and keep no ledger. If the \
                       training data are public, say why with --declare-public REASON. If they are private, train with each rule by `secateur \
                       train`: what the comparison costs is all of these runs together";

/// What came of one arm.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The arm, as it was named.
    pub arm: String,
    /// Why the data are public, which is what makes this harmless.
    pub declared_public: String,
    /// The settings that won, of those that were tuned.
    pub settings: Vec<String>,
    /// Accuracy on the public evaluation data, in percent: its mean over seeds.
    pub accuracy: f64,
    /// Its standard deviation over seeds; none for one seed.
    pub deviation: Option<f64>,
    /// Each seed's.
    pub accuracies: Vec<f64>,
    /// What one run costs.
    pub epsilon: f64,
    /// At this delta.
    pub delta: f64,
    /// The calibrated noise multiplier.
    pub noise_multiplier: f64,
    /// Training time of a step, without evaluations.
    pub ms_per_step: f64,
    /// The largest resident memory while the arm ran, in MB; not known on every system.
    pub peak_mb: Option<f64>,
    /// Combinations tried.
    pub combinations: usize,
    /// What choosing among them costs, if their number were random with this mean.
    pub epsilon_with_tuning: f64,
    /// Accuracy in percent against steps: the mean over seeds of the settings that won.
    pub curve: Vec<(f64, f64)>,
}

/// Somebody who watches a comparison and may end it.
pub trait Audience {
    /// Told after each step of arm `arm` how much of it is done, from 0 to 1, and the latest accuracy; `false` ends all.
    fn step(&mut self, arm: usize, done: f64, accuracy: Option<f64>) -> bool;
}

impl Contest {
    /// The configurations of one arm: for each combination of settings, without a seed.
    ///
    /// # Errors
    /// If the rule is unknown or a setting makes no sense.
    pub fn arm(&self, arm: &str) -> Result<Vec<(Vec<String>, Config)>, String> {
        let base = Config::open(self.file.as_deref(), &self.set).map_err(|e| e.to_string())?;
        let clip = clip(arm, &base.clip)?;
        let combinations = self.tune.iter().fold(vec![Vec::new()], |so_far: Vec<Vec<String>>, (key, values)| {
            let with = |settings: &Vec<String>, value: &String| [&settings[..], &[format!("{key}={value}")]].concat();
            so_far.iter().flat_map(|settings| values.iter().map(|value| with(settings, value))).collect()
        });
        let read = |settings: Vec<String>| {
            let set = [&self.set[..], std::slice::from_ref(&clip), &settings].concat();
            let config = Config::open(self.file.as_deref(), &set).map_err(|e| format!("{arm}: {e}"))?;
            Ok((settings, config))
        };
        combinations.into_iter().map(read).collect()
    }

    /// Runs all arms in turn.
    ///
    /// # Errors
    /// If the data are not declared public, or an arm cannot be prepared or run. Nothing if the audience ended it.
    pub fn run(&self, root: &Path, audience: &mut dyn Audience) -> Result<Option<Vec<Row>>, String> {
        let arms = self.rules.iter().map(|arm| self.arm(arm)).collect::<Result<Vec<_>, _>>()?;
        let public = self.public.as_ref().ok_or(PRIVATE)?;
        let (mut rows, mut shelf) = (Vec::new(), Shelf::default());
        for (k, (name, configs)) in self.rules.iter().zip(arms).enumerate() {
            let mut arm = Arm { audience, number: k, runs: configs.len() as u64 * self.seeds, made: 0, over: false };
            forget_peak();
            let mut best: Option<Row> = None;
            let combinations = configs.len();
            for (settings, config) in configs {
                let Some(outcomes) = arm.settle(name, &config, self.seeds, (root, &mut shelf))? else {
                    return Ok(None);
                };
                let row = row((name, public), settings, &outcomes, combinations)?;
                if best.as_ref().is_none_or(|best| row.accuracy > best.accuracy) {
                    best = Some(row);
                }
            }
            rows.extend(best.map(|row| Row { peak_mb: peak_mb(), ..row }));
        }
        Ok(Some(rows))
    }
}

/// What stands at the head of a comparison.
fn standing(rows: &[Row]) -> String {
    let reason = rows.first().map_or("", |row| &row.declared_public);
    format!(
        "NOT PRIVATE: runs with fixed seeds and without a ledger, on training data that were declared public. The reason that was given: {reason}. \
         Epsilon is what each would cost with fresh randomness."
    )
}

/// The `--set` that makes an arm of the base: the rule, the base's bound, and the arm's own settings.
fn clip(arm: &str, base: &ClipConfig) -> Result<String, String> {
    let mut parts = arm.split(':');
    let name = parts.next().unwrap_or_default();
    if !ClipConfig::ENTRIES.iter().any(|entry| entry.name == name) {
        return Err(format!("there is no clip rule `{name}`; `secateur rules` lists them"));
    }
    let written = toml::Table::try_from(base).map_err(|e| e.to_string())?;
    let mut table = if base.name() == name { written.clone() } else { toml::Table::new() };
    table.insert("rule".into(), name.into());
    table.extend(written.get("bound").map(|bound| ("bound".to_owned(), bound.clone())));
    for part in parts {
        let own: toml::Table = part.parse().map_err(|_| format!("{arm}: `{part}` is not key=value"))?;
        table.extend(own);
    }
    let fields: Vec<String> = table.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    Ok(format!("clip={{ {} }}", fields.join(", ")))
}

/// One arm at work.
struct Arm<'a> {
    audience: &'a mut dyn Audience,
    number: usize,
    runs: u64,
    made: u64,
    over: bool,
}

impl Watch for Arm<'_> {
    fn step(&mut self, progress: &Progress) -> bool {
        let done = (self.made as f64 + progress.step as f64 / progress.steps.max(1) as f64) / self.runs as f64;
        let accuracy = progress.score.and_then(|score| score.accuracy);
        self.over |= !self.audience.step(self.number, done, accuracy);
        !self.over
    }
}

impl Arm<'_> {
    /// All seeds of one combination; nothing if the audience ended it.
    fn settle(
        &mut self,
        name: &str,
        config: &Config,
        seeds: u64,
        (root, shelf): (&Path, &mut Shelf),
    ) -> Result<Option<Vec<Outcome>>, String> {
        let mut outcomes = Vec::new();
        for seed in 1..=seeds {
            let mut config = config.clone();
            config.train.seed = Some(seed);
            let run = Run::prepare_from(shelf, config, root, None, false).map_err(|e| format!("{name}: {e}"))?;
            outcomes.push(run.train(self).map_err(|e| format!("{name}: {e}"))?);
            self.made += 1;
            if self.over {
                return Ok(None);
            }
        }
        Ok(Some(outcomes))
    }
}

/// What the seeds of one combination say together.
fn row(
    (name, public): (&str, &str),
    settings: Vec<String>,
    outcomes: &[Outcome],
    combinations: usize,
) -> Result<Row, String> {
    let accuracy = |outcome: &Outcome| outcome.record.summary.test_accuracy.map(|share| 100.0 * share);
    let accuracies: Option<Vec<f64>> = outcomes.iter().map(accuracy).collect();
    let accuracies = accuracies.ok_or("a comparison needs evaluation data and classes to be right about")?;
    let Some(first) = outcomes.first() else { return Err("a comparison needs at least one seed".into()) };
    let mean = |of: &dyn Fn(&Outcome) -> f64| outcomes.iter().map(of).sum::<f64>() / outcomes.len() as f64;
    let summary = &first.record.summary;
    let ms =
        |outcome: &Outcome| 1e3 * outcome.record.summary.train_seconds / outcome.record.summary.steps.max(1) as f64;
    let at = |k: usize| {
        let accuracy = |o: &Outcome| o.record.points.get(k).and_then(|p| p.evaluation_accuracy).unwrap_or(f64::NAN);
        (first.record.points[k].step as f64, 100.0 * mean(&accuracy))
    };
    let middle = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
    let squares: f64 = accuracies.iter().map(|a| (a - middle).powi(2)).sum();
    let deviation = (accuracies.len() > 1).then(|| (squares / (accuracies.len() - 1) as f64).sqrt());
    Ok(Row {
        arm: name.into(),
        declared_public: public.into(),
        settings,
        accuracy: middle,
        deviation,
        accuracies,
        epsilon: summary.epsilon,
        delta: summary.delta,
        noise_multiplier: summary.noise_multiplier,
        ms_per_step: mean(&ms),
        peak_mb: None,
        combinations,
        epsilon_with_tuning: tuned(first, combinations)?,
        curve: (0..first.record.points.len()).map(at).collect(),
    })
}

/// What publishing the best of a random number of such runs costs, `combinations` of them on average.
fn tuned(outcome: &Outcome, combinations: usize) -> Result<f64, String> {
    let summary = &outcome.record.summary;
    if combinations < 2 {
        return Ok(summary.epsilon);
    }
    let trials = Trials::NegativeBinomial { shape: 1.0, mean: combinations as f64 };
    trials.price(&outcome.ledger, summary.delta).map(|price| price.epsilon).map_err(|e| e.to_string())
}

/// Makes Linux measure the peak of resident memory anew, where it lets a process do so.
fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// What Linux says was this process's largest resident set, in MB of 2^20 bytes.
pub fn peak_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<f64>().ok().map(|kb| kb / 1024.0)
}
