//! What a sample of Gaussian noise costs, on one thread.
//!
//! `cargo bench -p secateur-privacy --bench noise`

use divan::Bencher;
use divan::counter::ItemsCount;
use privacy::{Key, Purpose};

/// Samples in a run.
const COUNT: usize = 1 << 16;

fn main() {
    divan::main();
}

#[divan::bench]
fn words(bencher: Bencher) {
    let stream = Key::from_seed(1).stream(Purpose::Noise, 0, 0);
    let mut out = vec![0; COUNT];
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| stream.fill_words(0, &mut out));
}

#[divan::bench]
fn normals(bencher: Bencher) {
    let stream = Key::from_seed(1).stream(Purpose::Noise, 0, 0);
    let mut out = vec![0.0; COUNT];
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| stream.fill_normal(0, &mut out));
}

#[divan::bench]
fn added_normals(bencher: Bencher) {
    let stream = Key::from_seed(1).stream(Purpose::Noise, 0, 0);
    let mut out = vec![0.0; COUNT];
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| stream.add_normal(0, 0.5, &mut out));
}

#[divan::bench]
fn normals_in_doubles(bencher: Bencher) {
    let stream = Key::from_seed(1).stream(Purpose::Noise, 0, 0);
    let mut out = vec![0.0; COUNT];
    bencher.counter(ItemsCount::new(COUNT)).bench_local(|| stream.fill_normal_f64(0, &mut out));
}
