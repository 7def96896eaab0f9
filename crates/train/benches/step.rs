//! What a private step costs over an ordinary one of the same engine, on the workloads.
//!
//! `cargo bench -p secateur-train --bench step`; `secateur bench` prints the same with memory, each row in its own process.
use divan::Bencher;
use train::{
    config::Mode,
    workload::{ALL, Workload},
};

fn bench(bencher: Bencher, workload: Workload, mode: Mode, set: &[&str]) {
    let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
    let config = workload.config(mode, &set).expect("the configuration is fine");
    let mut trainer = workload.trainer(&config, workload.batch).expect("the workload is fine");
    bencher.bench_local(|| trainer.step().expect("in memory nothing fails"));
}

#[divan::bench(args = [0, 1, 2, 3], sample_count = 20)]
fn ordinary(bencher: Bencher, workload: usize) {
    bench(bencher, ALL[workload], Mode::Ordinary, &[]);
}

#[divan::bench(args = [0, 1, 2, 3], sample_count = 20)]
fn private_flat(bencher: Bencher, workload: usize) {
    bench(bencher, ALL[workload], Mode::Private, &[]);
}

#[divan::bench(args = [0, 1, 2, 3], sample_count = 20)]
fn private_auto_s(bencher: Bencher, workload: usize) {
    bench(bencher, ALL[workload], Mode::Private, &["clip.rule=auto-s"]);
}

fn main() {
    divan::main();
}
