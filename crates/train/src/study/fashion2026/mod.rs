//! Every clip rule of this house on Fashion-MNIST at the same epsilon, three seeds each; thresholds that start wrong; and how
//! far the house gets with recipes of its own.
//!
//! What is run is here; what is made of it is in `told.rs`. AUTO-S and flat clipping have a comparison of their own, in
//! `chosen.rs`.
mod chosen;
mod told;

use super::{
    Ask, Results, StudyError,
    runs::{Job, make},
};
use crate::clip::ClipConfig;
use told::Told;

const NAME: &str = "fashion2026";
/// The configuration that all rules share.
const SHARED: &str = "tanh.toml";
/// The bound there, which all rules' bounds are, and learning rate times bound.
const BOUND: f64 = 0.1;
const PACE: f64 = 0.4;
/// The grid that flat clipping is tuned on: thresholds, and learning rates times them.
const GRID: ([f64; 4], [f64; 3]) = ([0.1, 0.3, 1.0, 3.0], [0.2, 0.4, 0.8]);
/// Rules whose threshold moves, started too large and too small; flat clipping, whose threshold stays, beside them.
const MOVING: [&str; 7] = ["flat", "quantile", "dc-sgd-p", "dc-sgd-e", "slaclip", "slaclip-q", "global-adapt"];
/// By how much a start is wrong.
const WRONG: [f64; 2] = [10.0, 0.1];
/// The same 1172 steps, of twice as many examples, with as much more noise as that costs.
const LARGER: [&str; 2] = ["train.lot=4096", "train.epochs=80"];
/// The house's own recipes: names, configurations, and what they change there.
const RECIPES: [(&str, &str, &[&str]); 5] = [
    ("tanh CNN, lot 4096, rate 8, averaged weights", SHARED, &[LARGER[0], LARGER[1], AVERAGED]),
    ("group norm, rate 2", "group-norm.toml", &[]),
    ("group norm, rate 4", "group-norm.toml", &["update.0.learning_rate=4.0"]),
    ("group norm, rate 4, lot 4096", "group-norm.toml", &["update.0.learning_rate=4.0", LARGER[0], LARGER[1]]),
    ("standardised weights, rate 4", "standardised.toml", &[]),
];
const AVERAGED: &str =
    "update=[{ update = \"sgd\", learning_rate = 8.0, momentum = 0.9 }, { update = \"ema\", decay = 0.99 }]";

pub(super) fn run(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let arms = arms(ask.quick);
    let first = arms.iter().flat_map(|arm| arm.jobs(ask.quick));
    let mut jobs: Vec<Job> = first.chain(chosen::choices(ask.quick)).collect();
    let mut made = make(ask, NAME, &jobs)?;
    let fresh = chosen::fresh(&made, ask.quick);
    if !fresh.is_empty() {
        jobs.extend(fresh);
        made = make(ask, NAME, &jobs)?;
    }
    Told { made: &made, quick: ask.quick }.all(results);
    Ok(())
}

/// What a quick run changes.
const SHORT: [&str; 2] = ["train.steps=20", "train.evaluations=2"];

/// Runs that differ in their seeds alone.
struct Arm {
    name: String,
    file: &'static str,
    set: Vec<String>,
}

impl Arm {
    fn jobs(&self, quick: bool) -> Vec<Job> {
        let (seeds, short): (&[u64], &[&str]) = match quick {
            true => (&[1], &SHORT),
            false => (&[1, 2, 3], &[]),
        };
        let job = |seed: &u64| Job {
            name: format!("{}: seed {seed}", self.name),
            file: self.file,
            set: self.set.iter().cloned().chain([format!("train.seed={seed}")]).chain(owned(short)).collect(),
        };
        seeds.iter().map(job).collect()
    }
}

fn owned<'a>(texts: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    texts.iter().map(|text| (*text).to_owned())
}

/// All of them, those that most depends on first.
fn arms(quick: bool) -> Vec<Arm> {
    let arm = |name: String, file, set: Vec<String>| Arm { name, file, set };
    let cells = cells(quick).into_iter().map(|(c, pace)| {
        let update = format!("update=[{{ update = \"sgd\", learning_rate = {:?}, momentum = 0.9 }}]", pace / c);
        arm(cell(c, pace), SHARED, vec![clip("flat", c), update])
    });
    let others = rules(quick).into_iter().filter(|name| *name != "flat");
    let others = others.map(|name| arm(rule(name), SHARED, vec![clip(name, BOUND)]));
    let starts = moving(quick).iter().flat_map(|name| WRONG.map(|by| (*name, by)));
    let starts = starts.map(|(name, by)| arm(start(name, by), SHARED, vec![clip(name, by * BOUND)]));
    let recipes = recipes(quick).iter().map(|(name, file, set)| arm(recipe(name), file, owned(set).collect()));
    cells.chain(others).chain(starts).chain(recipes).collect()
}

/// The rules; some of each class in a quick run.
fn rules(quick: bool) -> Vec<&'static str> {
    let some = ["flat", "auto-s", "quantile", "per-layer", "geoclip"];
    let names = ClipConfig::ENTRIES.iter().map(|entry| entry.name);
    names.filter(|name| !quick || some.contains(name)).collect()
}

fn moving(quick: bool) -> &'static [&'static str] {
    &MOVING[..if quick { 2 } else { MOVING.len() }]
}

fn recipes(quick: bool) -> &'static [(&'static str, &'static str, &'static [&'static str])] {
    &RECIPES[..if quick { 1 } else { RECIPES.len() }]
}

/// Thresholds, and learning rates times them.
fn cells(quick: bool) -> Vec<(f64, f64)> {
    match quick {
        true => vec![(BOUND, PACE)],
        false => GRID.0.iter().flat_map(|c| GRID.1.iter().map(|pace| (*c, *pace))).collect(),
    }
}

fn recipe(name: &str) -> String {
    format!("recipe {name}")
}
/// Flat clipping of the table is a cell of its grid.
fn rule(name: &str) -> String {
    if name == "flat" { cell(BOUND, PACE) } else { format!("rule {name}") }
}
fn start(name: &str, by: f64) -> String {
    format!("start {name} at {by} times")
}
fn cell(c: f64, pace: f64) -> String {
    format!("grid C = {c}, rate {pace} / C")
}

/// The clip rule `name` at this bound, with the settings that it does not share with flat clipping.
fn clip(name: &str, bound: f64) -> String {
    let own = own(name, bound);
    let comma = if own.is_empty() { "" } else { ", " };
    format!("clip={{ rule = \"{name}\", bound = {:?}{comma}{own} }}", held(name, bound))
}

/// The bound that makes the rule's threshold start at `bound`: where another setting does that, it stays; and in coordinates
/// that are scaled by a hundred at first, it is as many times larger.
fn held(name: &str, bound: f64) -> f64 {
    match name {
        "global-adapt" => BOUND,
        "scale-then-privatize" => 100.0 * bound,
        _ => bound,
    }
}

/// What a rule has besides a bound.
fn own(name: &str, bound: f64) -> String {
    match name {
        "quantile" | "slaclip-q" => format!("target = {SHARE}, unit = {BOUND:?}"),
        "dc-sgd-p" => format!("percentile = {SHARE}, unit = {BOUND:?}"),
        "dc-sgd-e" | "slaclip" => format!("unit = {BOUND:?}"),
        "global-adapt" => format!("threshold = {bound:?}"),
        "global" | "v2-t" => "threshold = 30.0".into(),
        "v2-s" => "threshold = 30.0, epochs = 10".into(),
        "adaclip" => "variance = 4e-5".into(),
        "dp2" => "scaled_bound = 0.1".into(),
        "dpdr" => "common_bound = 0.1".into(),
        "body-tail" => "body = 0.5".into(),
        "pruned" => "keep = 0.5".into(),
        "projected" => "rank = 64".into(),
        _ => String::new(),
    }
}

/// The share of gradients that rules with a target leave unclipped.
const SHARE: f64 = 0.7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Every rule of the list is in the table, every run has a name of its own, and every configuration reads.
    #[test]
    fn all_rules_are_run_and_all_configurations_read() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../studies").join(NAME);
        let jobs: Vec<Job> = arms(false).iter().flat_map(|arm| arm.jobs(false)).collect();
        for entry in ClipConfig::ENTRIES {
            let with = format!("clip={{ rule = \"{}\"", entry.name);
            let runs = jobs.iter().filter(|job| job.file == SHARED && job.set.iter().any(|set| set.starts_with(&with)));
            assert!(runs.count() >= 3, "{}", entry.name);
        }
        let names: std::collections::BTreeSet<_> = jobs.iter().map(|job| &job.name).collect();
        assert_eq!(names.len(), jobs.len());
        for job in &jobs {
            let text = std::fs::read_to_string(folder.join(job.file)).unwrap();
            let config = Config::read(job.file, &text, &job.set).unwrap_or_else(|e| panic!("{}: {e}", job.name));
            assert_eq!((config.privacy.epsilon, config.privacy.delta), (Some(3.0), 1e-5), "{}", job.name);
        }
    }
}
