//! The operations of a small transformer: examples of 128 positions, 12 heads of 32; attention for 1 and for 8 examples,
//! the others for 8.
//!
//! The products are `2 * 2 n heads t^2 width` operations forward, 5 / 2 of that backward. Run with
//! `RAYON_NUM_THREADS=1 cargo bench -p secateur-engine --bench attention`.

use divan::{Bencher, black_box};
use engine::Tensor;
use engine::op::*;

const N: usize = 8;
const T: usize = 128;
const D: usize = 384;

fn main() {
    divan::main();
}

/// Reproducible numbers in -1..1.
fn numbers<const K: usize>(shape: [usize; K]) -> Tensor {
    let number = |i: usize| ((i * 7919 + 13) % 10_007) as f32 / 5_003.5 - 1.0;
    Tensor::new(shape, (0..shape.iter().product()).map(number).collect())
}

fn heads(causal: bool) -> Attention {
    Attention { heads: 12, causal }
}

#[divan::bench(args = [(1, false), (1, true), (8, false), (8, true)])]
fn forward(bencher: Bencher, (n, causal): (usize, bool)) {
    let qkv = numbers([n, T, 3 * D]);
    bencher.bench_local(|| attention(black_box(&qkv), heads(causal), None));
}

#[divan::bench(args = [(1, false), (1, true), (8, false), (8, true)])]
fn backward(bencher: Bencher, (n, causal): (usize, bool)) {
    let qkv = numbers([n, T, 3 * D]);
    let (y, kept) = attention(&qkv, heads(causal), None);
    bencher.bench_local(|| attention_backward(black_box(&y), &qkv, &kept, heads(causal), None));
}

#[divan::bench]
fn layer_norm_forward(bencher: Bencher) {
    let (x, g) = (numbers([N, T, D]), numbers([D]));
    bencher.bench_local(|| layer_norm(black_box(&x), &g, &g, 1e-5));
}

#[divan::bench]
fn layer_norm_back(bencher: Bencher) {
    let (x, g) = (numbers([N, T, D]), numbers([D]));
    let (y, kept) = layer_norm(black_box(&x), &g, &g, 1e-5);
    bencher.bench_local(|| layer_norm_backward(black_box(&y), &g, &kept));
}

#[divan::bench]
fn layer_norm_by_example(bencher: Bencher) {
    let (x, g) = (numbers([N, T, D]), numbers([D]));
    let (y, kept) = layer_norm(black_box(&x), &g, &g, 1e-5);
    bencher.bench_local(|| layer_norm_rows(black_box(&y), &kept.xhat));
}

#[divan::bench(args = [false, true])]
fn gelu_forward(bencher: Bencher, tanh: bool) {
    let x = numbers([N, T, 4 * D]);
    let kind = if tanh { Approximation::Tanh } else { Approximation::Erf };
    bencher.bench_local(|| gelu(black_box(&x), kind));
}

#[divan::bench(args = [false, true])]
fn gelu_back(bencher: Bencher, tanh: bool) {
    let x = numbers([N, T, 4 * D]);
    let kind = if tanh { Approximation::Tanh } else { Approximation::Erf };
    bencher.with_inputs(|| x.clone()).bench_local_values(|dy| gelu_backward(black_box(&x), dy, kind));
}

#[divan::bench(args = [false, true])]
fn linear_bias(bencher: Bencher, bias: bool) {
    let (x, w, b) = (numbers([N, T, D]), numbers([4 * D, D]), numbers([4 * D]));
    bencher.bench_local(|| linear(black_box(&x), &w, bias.then_some(&b)));
}

#[divan::bench]
fn tokens(bencher: Bencher) {
    let x = numbers([N, T, 4000]);
    let labels = [7; N * T];
    bencher.bench_local(|| token_cross_entropy(black_box(x.clone()), &labels));
}

#[divan::bench]
fn rms_norm_forward(bencher: Bencher) {
    let (x, g) = (numbers([N, T, D]), numbers([D]));
    bencher.bench_local(|| rms_norm(black_box(&x), &g, 1e-5));
}

#[divan::bench]
fn bias_by_example(bencher: Bencher) {
    let dy = numbers([N, T, 4 * D]);
    bencher.bench_local(|| bias_rows_last(black_box(&dy)));
}
