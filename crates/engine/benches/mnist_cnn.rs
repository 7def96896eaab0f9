//! The kernels of the small convolutional network on 28 x 28 images (batch 512), one by one and as whole steps.
//!
//! Run with `RAYON_NUM_THREADS=2 cargo bench -p secateur-engine`.

use divan::{Bencher, black_box};
use engine::op::per_example::{Left, product_norms, product_norms_kept, product_rows, product_sum};
use engine::op::*;
use engine::{Tensor, Window};

const N: usize = 512;
const CONV1: Window = Window { kernel: [8, 8], stride: [2, 2], padding: [3, 3] };
const CONV2: Window = Window { kernel: [4, 4], stride: [2, 2], padding: [0, 0] };
const POOL: Window = Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0] };

fn main() {
    divan::main();
}

/// Reproducible numbers in -scale..scale.
fn numbers<const D: usize>(shape: [usize; D], scale: f32) -> Tensor {
    let number = |i: usize| ((i * 7919 + 13) % 10_007) as f32 / 5_003.5 - 1.0;
    Tensor::new(shape, (0..shape.iter().product()).map(|i| number(i) * scale).collect())
}

/// Weights and one batch.
struct Network {
    x: Tensor,
    labels: Vec<u32>,
    conv1: [Tensor; 2],
    conv2: [Tensor; 2],
    fc1: [Tensor; 2],
    fc2: [Tensor; 2],
}

impl Network {
    fn new() -> Self {
        Self {
            x: numbers([N, 1, 28, 28], 1.0),
            labels: (0..N as u32).map(|i| i % 10).collect(),
            conv1: [numbers([16, 1, 8, 8], 0.12), numbers([16], 0.1)],
            conv2: [numbers([32, 16, 4, 4], 0.06), numbers([32], 0.1)],
            fc1: [numbers([32, 512], 0.04), numbers([32], 0.1)],
            fc2: [numbers([10, 32], 0.17), numbers([10], 0.1)],
        }
    }

    /// Forward and backward; the factors of every parameter's gradients.
    fn factors(&self) -> Factors {
        let [[w1, b1], [w2, b2], [w3, b3], [w4, b4]] = [&self.conv1, &self.conv2, &self.fc1, &self.fc2];
        let t1 = tanh(conv2d(&self.x, w1, Some(b1), CONV1));
        let (p1, at1) = max_pool2d(&t1, POOL);
        let t2 = tanh(conv2d(&p1, w2, Some(b2), CONV2));
        let (p2, at2) = max_pool2d(&t2, POOL);
        let flat = p2.reshape([N, 512]);
        let t3 = tanh(linear(&flat, w3, Some(b3)));
        let (_, d4) = cross_entropy(linear(&t3, w4, Some(b4)), &self.labels);
        let d3 = tanh_backward(&t3, linear_backward(&d4, w4));
        let d2 = max_pool2d_backward(&linear_backward(&d3, w3).reshape([N, 32, 4, 4]), &at2, t2.shape(), POOL);
        let d2 = tanh_backward(&t2, d2);
        let d1 = max_pool2d_backward(&conv2d_backward(&d2, w2, p1.shape(), CONV2), &at1, t1.shape(), POOL);
        let d1 = tanh_backward(&t1, d1);
        Factors { p1, flat, t3, d1, d2, d3, d4 }
    }
}

/// Inputs and output gradients of the layers.
struct Factors {
    p1: Tensor,
    flat: Tensor,
    t3: Tensor,
    d1: Tensor,
    d2: Tensor,
    d3: Tensor,
    d4: Tensor,
}

impl Factors {
    fn products<'a>(&'a self, x: &'a Tensor) -> [(Left<'a>, &'a Tensor); 4] {
        [
            (Left::Patches { x, window: CONV1 }, &self.d1),
            (Left::Patches { x: &self.p1, window: CONV2 }, &self.d2),
            (Left::Rows { a: &self.flat }, &self.d3),
            (Left::Rows { a: &self.t3 }, &self.d4),
        ]
    }
}

#[divan::bench]
fn step_forward_backward(bencher: Bencher) {
    let net = Network::new();
    bencher.bench_local(|| net.factors());
}

#[divan::bench(args = [1, 2])]
fn conv_forward(bencher: Bencher, layer: usize) {
    let (net, factors) = fixture();
    let (x, [w, b], window) = if layer == 1 { (&net.x, &net.conv1, CONV1) } else { (&factors.p1, &net.conv2, CONV2) };
    bencher.bench_local(|| conv2d(black_box(x), w, Some(b), window));
}

#[divan::bench(args = [1, 2])]
fn conv_backward(bencher: Bencher, layer: usize) {
    let (net, factors) = fixture();
    let (x, dy, w, window) = if layer == 1 {
        (&net.x, &factors.d1, &net.conv1[0], CONV1)
    } else {
        (&factors.p1, &factors.d2, &net.conv2[0], CONV2)
    };
    bencher.bench_local(|| conv2d_backward(black_box(dy), w, x.shape(), window));
}

#[divan::bench(args = [1, 2, 3, 4])]
fn norms(bencher: Bencher, layer: usize) {
    let (net, factors) = fixture();
    let (left, b) = factors.products(&net.x)[layer - 1];
    bencher.bench_local(|| product_norms(black_box(left), b));
}

#[divan::bench(args = [1, 2])]
fn norms_kept(bencher: Bencher, layer: usize) {
    let (net, factors) = fixture();
    let (left, b) = factors.products(&net.x)[layer - 1];
    bencher.bench_local(|| product_norms_kept(black_box(left), b));
}

#[divan::bench(args = [1, 2, 3, 4])]
fn sum(bencher: Bencher, layer: usize) {
    let (net, factors) = fixture();
    let (left, b) = factors.products(&net.x)[layer - 1];
    let mut out = vec![0.0; product_rows(left, b).row_len()];
    bencher.bench_local(|| product_sum(black_box(left), b, &[0.5; N], &mut out));
}

#[divan::bench(args = [1, 2])]
fn pool(bencher: Bencher, layer: usize) {
    let x = planes(layer);
    bencher.bench_local(|| max_pool2d(black_box(&x), POOL));
}

#[divan::bench(args = [1, 2])]
fn pool_backward(bencher: Bencher, layer: usize) {
    let x = planes(layer);
    let (y, at) = max_pool2d(&x, POOL);
    bencher.bench_local(|| max_pool2d_backward(black_box(&y), &at, x.shape(), POOL));
}

#[divan::bench]
fn tanh_layer1(bencher: Bencher) {
    bencher.with_inputs(|| planes(1)).bench_local_values(tanh);
}

#[divan::bench]
fn tanh_backward_layer1(bencher: Bencher) {
    let y = planes(1);
    bencher.with_inputs(|| planes(1)).bench_local_values(|dy| tanh_backward(&y, dy));
}

#[divan::bench]
fn linear1(bencher: Bencher) {
    let (net, factors) = fixture();
    bencher.bench_local(|| linear(black_box(&factors.flat), &net.fc1[0], Some(&net.fc1[1])));
}

#[divan::bench]
fn linear1_backward(bencher: Bencher) {
    let (net, factors) = fixture();
    bencher.bench_local(|| linear_backward(black_box(&factors.d3), &net.fc1[0]));
}

/// A 3 x 3 convolution with 32 channels on 128 images of 32 x 32.
fn wide_convolution() -> (Tensor, Tensor, Tensor, Window) {
    let window = Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    let image = || numbers([128, 32, 32, 32], 1.0);
    (image(), numbers([32, 32, 3, 3], 0.1), image(), window)
}

#[divan::bench]
fn wide_conv_forward(bencher: Bencher) {
    let (x, w, _, window) = wide_convolution();
    bencher.bench_local(|| conv2d(black_box(&x), &w, None, window));
}

#[divan::bench]
fn wide_conv_backward(bencher: Bencher) {
    let (x, w, dy, window) = wide_convolution();
    bencher.bench_local(|| conv2d_backward(black_box(&dy), &w, x.shape(), window));
}

#[divan::bench]
fn wide_conv_norms(bencher: Bencher) {
    let (x, _, dy, window) = wide_convolution();
    bencher.bench_local(|| product_norms(Left::Patches { x: black_box(&x), window }, &dy));
}

fn fixture() -> (Network, Factors) {
    let net = Network::new();
    let factors = net.factors();
    (net, factors)
}

/// Activations after the first or second convolution.
fn planes(layer: usize) -> Tensor {
    if layer == 1 { numbers([N, 16, 14, 14], 2.0) } else { numbers([N, 32, 5, 5], 2.0) }
}
