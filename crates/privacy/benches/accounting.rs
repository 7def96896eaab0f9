//! The questions that `peers.py` puts to other accountants: what a run costs, what noise it needs, what it has cost after
//! each step.
//!
//! `cargo bench -p secateur-privacy`; one thread.

use divan::{Bencher, black_box};
use privacy::{Event, Ledger, Neighbouring, Odometer, Sampling, account, noise_multiplier};

const RATE: f64 = 0.01;
const STEPS: u64 = 10_000;
const DELTA: f64 = 1e-5;

fn main() {
    show_intervals();
    divan::main();
}

fn run(noise_multiplier: f64, steps: u64) -> Ledger {
    let releases = vec![Event::Gaussian { noise_multiplier }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: RATE }, releases };
    Ledger::planned(Neighbouring::AddRemove, vec![(round, steps)])
}

fn spent(accountant: &str, noise_multiplier: f64, steps: u64) -> f64 {
    let accountant = account::by_name(accountant).expect("an accountant");
    accountant.spent(&run(noise_multiplier, steps), DELTA).expect("an epsilon")
}

/// What is answered, beside how fast.
fn show_intervals() {
    for name in account::names() {
        let accountant = account::by_name(name).expect("an accountant");
        let price = accountant.report(&run(1.0, STEPS), DELTA).expect("a price");
        let lower = price.lower.map_or(String::from("-"), |lower| format!("{lower:.6}"));
        println!("{name}: {lower} .. {:.6}{}", price.epsilon, if price.estimate { " (estimate)" } else { "" });
    }
}

/// Epsilon of 10000 steps.
#[divan::bench(args = account::names())]
fn epsilon(bencher: Bencher, accountant: &str) {
    bencher.bench_local(|| spent(accountant, black_box(1.0), STEPS));
}

/// The noise multiplier for epsilon 1.
#[divan::bench(args = ["pld", "rdp"])]
fn calibration(bencher: Bencher, accountant: &str) {
    let price = |z| Ok::<f64, String>(spent(accountant, z, STEPS));
    bencher.bench_local(|| noise_multiplier(black_box(1.0), price).expect("a multiplier"));
}

/// Epsilon after each of 1000 steps: divide by 1000 for one.
#[divan::bench(args = ["pld", "rdp"], sample_count = 3)]
fn each_of_1000_steps(bencher: Bencher, accountant: &str) {
    bencher.bench_local(|| (1..=1000).map(|steps| spent(accountant, 1.0, steps)).sum::<f64>());
}

/// As [`each_of_1000_steps`], by an odometer, which keeps the transforms of a round.
#[divan::bench(sample_count = 10)]
fn odometer_of_1000_steps(bencher: Bencher) {
    bencher.bench_local(|| {
        let mut odometer = Odometer::new(black_box(DELTA));
        (1..=1000).map(|steps| odometer.read(&run(1.0, steps)).expect("an epsilon").epsilon).sum::<f64>()
    });
}
