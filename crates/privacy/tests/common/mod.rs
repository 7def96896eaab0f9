//! What the tests of prices share: events by their numbers, and the table of reference values.

#![allow(dead_code)] // Each test binary uses some of it.

pub mod dice;

use privacy::account::Rdp;
use privacy::{Account, Accountant, Event, Ledger, Neighbouring, Price, Sampling, account};
use serde_json::Value;

/// Noise multiplier, rate, steps.
pub type Phase = (f64, f64, u64);

pub fn gaussian(noise_multiplier: f64) -> Event {
    Event::Gaussian { noise_multiplier }
}

pub fn laplace(noise_multiplier: f64) -> Event {
    Event::Laplace { noise_multiplier }
}

pub fn poisson(rate: f64, releases: Vec<Event>) -> Event {
    Event::Round { sampling: Sampling::Poisson { rate }, releases }
}

/// One sampled Gaussian.
pub fn step(z: f64, rate: f64) -> Event {
    poisson(rate, vec![gaussian(z)])
}

/// A run of phases. Their noise is over the bound of one example's share, as in the tables; events want it over the
/// sensitivity under the relation.
pub fn run(neighbouring: Neighbouring, phases: &[Phase]) -> Ledger {
    let entry = |(z, rate, steps): &Phase| (step(z / neighbouring.factor(), *rate), *steps);
    Ledger::planned(neighbouring, phases.iter().map(entry).collect())
}

pub fn add_remove(entries: Vec<(Event, u64)>) -> Ledger {
    Ledger::planned(Neighbouring::AddRemove, entries)
}

/// The accountant of this name.
pub fn accountant(name: &str) -> Box<dyn Account> {
    account::by_name(name).unwrap_or_else(|| panic!("no accountant {name}"))
}

pub fn price(name: &str, ledger: &Ledger, delta: f64) -> Price {
    accountant(name).report(ledger, delta).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn epsilon(name: &str, ledger: &Ledger, delta: f64) -> f64 {
    price(name, ledger, delta).epsilon
}

/// The orders that dp-accounting asks by default.
pub fn default_orders() -> Vec<f64> {
    let tenths = (11..110).map(|tenth| f64::from(tenth) / 10.0);
    tenths.chain((11..64).map(f64::from)).chain([128.0, 256.0, 512.0, 1024.0]).collect()
}

/// What a Rényi divergence says epsilon is, in the tests' own words (Canonne, Kamath & Steinke 2020, Proposition 12).
pub fn converted(divergence: f64, order: f64, delta: f64) -> f64 {
    divergence + ((order - 1.0) / order).ln() - (delta.ln() + order.ln()) / (order - 1.0)
}

/// Epsilon by the Rényi divergences of [`default_orders`] alone, which is what most values of the table are.
pub fn on_default_orders(ledger: &Ledger, delta: f64) -> f64 {
    let curve = Rdp.curve(ledger).unwrap_or_else(|error| panic!("rdp: {error}"));
    let at = |order: f64| converted(curve.divergence(order), order, delta);
    default_orders().into_iter().map(at).fold(f64::INFINITY, f64::min).max(0.0)
}

/// The cases under this key, or nothing and a word about it.
pub fn table(key: &str) -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/accounting.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no reference table at {path}");
        return Vec::new();
    };
    let mut lists: Value = serde_json::from_str(&text).expect("the reference table is JSON");
    match lists[key].take() {
        Value::Array(cases) => cases,
        _ => panic!("the reference table has no list {key}"),
    }
}

/// A number of a case, by a path of keys with dots; `inf` in words is one.
pub fn number(case: &Value, path: &str) -> f64 {
    maybe(case, path).unwrap_or_else(|| panic!("no number {path} in {case}"))
}

/// A number of a case, where it has one.
pub fn maybe(case: &Value, path: &str) -> Option<f64> {
    let found = path.split('.').fold(case, |at, key| &at[key]);
    if found == "inf" { Some(f64::INFINITY) } else { found.as_f64() }
}

pub fn phase(case: &Value) -> Phase {
    (number(case, "noise_multiplier"), number(case, "sample_rate"), whole(case, "steps"))
}

pub fn whole(case: &Value, key: &str) -> u64 {
    case[key].as_u64().unwrap_or_else(|| panic!("no whole number {key} in {case}"))
}

/// How far `got` is from `want`, as a share.
pub fn apart(got: f64, want: f64) -> f64 {
    if got == want { 0.0 } else { (got / want - 1.0).abs() }
}

/// Failures gathered over a list, so that one run shows all of them.
#[derive(Default)]
pub struct Tally {
    cases: usize,
    failures: Vec<String>,
    worst: f64,
}

impl Tally {
    /// Notes one demand. `margin` is what the worst of is reported.
    pub fn demand(&mut self, met: bool, margin: f64, what: impl FnOnce() -> String) {
        self.cases += 1;
        self.worst = self.worst.max(margin);
        if !met {
            self.failures.push(what());
        }
    }

    /// Prints the tally, and fails with all failures.
    pub fn close(self, name: &str) {
        eprintln!("{name}: {} demands, {} failed, worst margin {:.2e}", self.cases, self.failures.len(), self.worst);
        assert!(self.failures.is_empty(), "{name}:\n{}", self.failures.join("\n"));
    }
}
