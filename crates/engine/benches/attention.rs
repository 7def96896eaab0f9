//! Self-attention at the size of a small transformer: 8 examples of 128 positions, 12 heads of 32.
//!
//! The products are `2 * 2 n heads t^2 width` operations forward, 5 of the 2 again backward. Run with
//! `RAYON_NUM_THREADS=1 cargo bench -p secateur-engine --bench attention`.

use divan::{Bencher, black_box};
use engine::Tensor;
use engine::op::{Attention, attention, attention_backward};

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

#[divan::bench(args = [false, true])]
fn forward(bencher: Bencher, causal: bool) {
    let qkv = numbers([N, T, 3 * D]);
    bencher.bench_local(|| attention(black_box(&qkv), heads(causal), None));
}

#[divan::bench(args = [false, true])]
fn backward(bencher: Bencher, causal: bool) {
    let qkv = numbers([N, T, 3 * D]);
    let (y, kept) = attention(&qkv, heads(causal), None);
    bencher.bench_local(|| attention_backward(black_box(&y), &qkv, &kept, heads(causal), None));
}
