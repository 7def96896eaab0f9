//! Per-example norms, sums and dots against the definition (rows), and what is promised of them.

mod common;
use common::{product_total, scatter_total, total};
use engine::op::per_example::*;
use engine::op::{conv2d, layer_norm, layer_norm_rows, max_pool2d};
use engine::{Tensor, Window};
use proptest::prelude::*;

/// Reproducible numbers in -1..1.
fn numbers(shape: impl Into<Vec<usize>>, seed: u64) -> Tensor {
    let shape = shape.into();
    let len = shape.iter().product::<usize>() as u64;
    let number = |i: u64| {
        let mut z = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z >> 40) as f32) / (1u64 << 23) as f32 - 1.0
    };
    Tensor::new(shape, (0..len).map(number).collect())
}

fn close(got: f64, want: f64, scale: f64) {
    assert!((got - want).abs() <= 1e-5 * scale, "{got} is not {want} (scale {scale})");
}

fn squared(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x).powi(2)).sum()
}

/// A square that is reported: not below `want`, and above it by no more than a share of `above`, for what rounding may add.
fn reported(got: f64, want: f64, above: f64) {
    assert!(got >= want * (1.0 - 1e-5) && got <= want * (1.0 + above), "{got} is not {want} or a little more");
}

fn rows_total(g: &Tensor, weights: &[f32]) -> Vec<f32> {
    total(g.row_len(), |out| rows_sum(g, weights, out))
}

/// Norms, sum and dots that were computed some short way, against rows.
fn agree(rows: &Tensor, norms: &[f64], sum: &[f32], dots: &[f64], weights: &[f32], v: &[f32]) {
    assert_eq!((norms.len(), dots.len(), sum.len()), (rows.rows(), rows.rows(), rows.row_len()));
    for i in 0..rows.rows() {
        let norm = squared(rows.row(i));
        assert!(norms[i] >= norm - 1e-5 * norm.max(1e-3), "{} is below {norm}", norms[i]);
        assert!(norms[i] <= norm + 1e-3 * norm.max(1e-3), "{} is far above {norm}", norms[i]);
        let dot: f64 = rows.row(i).iter().zip(v).map(|(&g, &v)| f64::from(g) * f64::from(v)).sum();
        close(dots[i], dot, (norm * squared(v)).sqrt().max(1e-2));
    }
    let column = |j: usize| (0..rows.rows()).map(move |i| f64::from(weights[i]) * f64::from(rows.row(i)[j]));
    for (j, &sum) in sum.iter().enumerate() {
        close(f64::from(sum), column(j).sum(), column(j).map(f64::abs).sum::<f64>().max(1.0));
    }
}

/// All short cuts of one product tap against its rows.
fn check_product(left: Left, b: &Tensor, seed: u64) {
    let rows = product_rows(left, b);
    let mut weights = numbers([rows.rows()], seed + 2).into_data();
    weights.iter_mut().step_by(3).for_each(|w| *w = 0.0);
    let v = numbers([rows.row_len()], seed + 3);
    let norms = product_norms(left, b);
    let dots = product_dot(left, b, v.data());
    agree(&rows, &norms, &product_total(left, b, &weights), &dots, &weights, v.data());
    let (norms, kept) = product_norms_kept(left, b);
    assert_eq!(kept.is_some(), materialises(left, b));
    if let Some(kept) = kept {
        let sum = total(rows.row_len(), |out| kept.sum(&weights, out));
        agree(&rows, &norms, &sum, &dots, &weights, v.data());
        let (again, norms, dots) = (kept.rows(), kept.squares().to_host(), kept.dot(v.data()));
        assert_eq!(again.shape(), rows.shape());
        again.data().iter().zip(rows.data()).for_each(|(a, b)| close(f64::from(*a), f64::from(*b), 1.0));
        agree(&rows, &norms, &sum, &dots, &weights, v.data());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn linear_taps(n in 0usize..40, t in 1usize..20, d in 1usize..24, p in 1usize..24, seed in 0u64..1000) {
        check_product(Left::Rows { a: &numbers([n, t, d], seed) }, &numbers([n, t, p], seed + 1), seed);
        check_product(Left::Rows { a: &numbers([n * t, d], seed) }, &numbers([n * t, p], seed + 1), seed);
    }

    #[test]
    fn convolution_taps(
        n in 0usize..9, c in 1usize..4, size in (3usize..10, 3usize..10), kernel in (1usize..4, 1usize..4),
        stride in (1usize..4, 1usize..4), padding in (0usize..3, 0usize..3), p in 1usize..9, seed in 0u64..1000,
    ) {
        let window = Window {
            kernel: [kernel.0, kernel.1], stride: [stride.0, stride.1], padding: [padding.0, padding.1],
        };
        let (oh, ow) = window.output(size.0, size.1).unwrap();
        let x = numbers([n, c, size.0, size.1], seed);
        check_product(Left::Patches { x: &x, window }, &numbers([n, p, oh, ow], seed + 1), seed);
    }

    #[test]
    fn scatter_taps(n in 0usize..9, t in 1usize..12, d in 1usize..9, v in 1usize..7, seed in 0u64..1000) {
        let b = numbers([n, t, d], seed);
        let ids: Vec<u32> = numbers([n, t], seed + 1).data().iter().map(|x| ((x + 1.0) * 0.49 * v as f32) as u32).collect();
        let rows = scatter_rows(&ids, &b, v);
        let mut weights = numbers([n], seed + 2).into_data();
        weights.iter_mut().step_by(3).for_each(|w| *w = 0.0);
        let direction = numbers([v * d], seed + 3);
        let sum = scatter_total(&ids, &b, &weights, v);
        let dots = scatter_dot(&ids, &b, direction.data());
        agree(&rows, &scatter_norms(&ids, &b), &sum, &dots, &weights, direction.data());
    }

    #[test]
    fn row_taps(n in 0usize..150, p in 1usize..2100, seed in 0u64..1000) {
        let rows = numbers([n, p], seed);
        let mut weights = numbers([n], seed + 2).into_data();
        weights.iter_mut().step_by(3).for_each(|w| *w = 0.0);
        let v = numbers([p], seed + 3);
        let sum = rows_total(&rows, &weights);
        agree(&rows, &rows_norms(&rows), &sum, &rows_dot(&rows, v.data()), &weights, v.data());
    }
}

#[test]
fn large_linear_taps_use_threads_inside() {
    check_product(Left::Rows { a: &numbers([5, 3, 700], 1) }, &numbers([5, 3, 600], 2), 3);
    check_product(Left::Rows { a: &numbers([700, 64], 1) }, &numbers([700, 30], 2), 3);
}

#[test]
fn published_vectors_linear() {
    let a = Tensor::new([1, 2, 3], vec![1.0, 0.0, 2.0, -1.0, 1.0, 0.5]);
    let b = Tensor::new([1, 2, 2], vec![0.5, -1.0, 2.0, 0.25]);
    assert_eq!(product_rows(Left::Rows { a: &a }, &b).data(), [-1.5, 2.0, 2.0, -1.25, 0.25, -1.875]);
    reported(product_norms(Left::Rows { a: &a }, &b)[0], 15.390625, 1e-5);
    assert_eq!(rows_norms(&engine::op::bias_rows_last(&b)), [6.8125]);
}

#[test]
fn published_vectors_embedding() {
    let b = Tensor::new([1, 3, 2], vec![1.0, 0.0, 0.5, -1.0, 0.25, 2.0]);
    reported(scatter_norms(&[3, 1, 3], &b)[0], 6.8125, 1e-5);
}

#[test]
fn published_vectors_convolution() {
    let x = Tensor::new([1, 1, 3, 3], (1..10).map(|i| i as f32).collect::<Vec<_>>());
    let b = Tensor::new([1, 2, 2, 2], vec![1.0, 0.0, 0.0, -1.0, 0.5, 0.5, 0.5, 0.5]);
    let left = Left::Patches { x: &x, window: Window { kernel: [2, 2], stride: [1, 1], padding: [0, 0] } };
    assert_eq!(product_rows(left, &b).data(), [-4.0, -4.0, -4.0, -4.0, 6.0, 8.0, 12.0, 14.0]);
    reported(product_norms(left, &b)[0], 504.0, 1e-5);
}

#[test]
fn published_vectors_layer_norm() {
    let x = Tensor::new([1, 2, 3], vec![1.0, 2.0, 4.0, 0.0, -1.0, 1.0]);
    let dy = Tensor::new([1, 2, 3], vec![0.1, -0.2, 0.3, 1.0, 0.0, -1.0]);
    let (_, kept) = layer_norm(&x, &Tensor::new([3], vec![1.0; 3]), &Tensor::zeros([3]), 1e-5);
    let (gamma, beta) = layer_norm_rows(&dy, &kept.xhat);
    let want = [-0.10690415, 0.05345208, -0.82384511, 1.1, -0.2, -0.7];
    gamma.data().iter().chain(beta.data()).zip(want).for_each(|(&g, w)| close(f64::from(g), w, 0.1));
}

/// Positions whose terms cancel almost entirely: Gram matrices in f32 would show noise.
#[test]
fn cancelling_terms_do_not_hide_a_norm() {
    let (n, t, d, p) = (1, 2, 64, 64);
    let (mut a, mut b) = (numbers([n, t, d], 1), numbers([n, t, p], 2));
    a.data_mut().copy_within(0..d, d);
    b.data_mut().copy_within(0..p, p);
    b.data_mut()[p..].iter_mut().for_each(|b| *b *= -0.999_99);
    let left = Left::Rows { a: &a };
    assert!(!materialises(left, &b));
    let norm = squared(product_rows(left, &b).data());
    reported(product_norms(left, &b)[0], norm, 0.3);
}

/// Convolutions whose gradients are too large to be kept: stride 1 by inner products of pixels, others by those of patches.
#[test]
fn large_convolutions_are_measured_without_their_gradients() {
    let cases = [
        ([64, 8, 8], [3, 3], [1, 1], [1, 1], 64),
        ([24, 12, 10], [5, 5], [1, 1], [0, 0], 64),
        ([128, 6, 5], [2, 3], [1, 1], [0, 2], 64),
        ([260, 3, 7], [1, 2], [1, 1], [1, 1], 70),
        ([64, 9, 9], [3, 3], [2, 2], [1, 1], 64),
        ([64, 8, 9], [3, 3], [2, 1], [1, 1], 64),
    ];
    for ([c, h, w], kernel, stride, padding, p) in cases {
        let (window, x) = (Window { kernel, stride, padding }, numbers([3, c, h, w], 1));
        let (oh, ow) = window.output(h, w).unwrap();
        let (left, b) = (Left::Patches { x: &x, window }, numbers([3, p, oh, ow], 2));
        assert!(!materialises(left, &b), "{window:?} on {x:?}");
        check_product(left, &b, 3);
    }
}

/// The same patch everywhere, and output gradients that cancel: so do the terms of the Gram matrices.
#[test]
fn cancelling_patches_do_not_hide_a_norm() {
    let window = Window { kernel: [3, 3], stride: [1, 1], padding: [0, 0] };
    let (mut x, mut b) = (numbers([1, 64, 10, 10], 1), numbers([1, 64, 8, 8], 2));
    x.data_mut().chunks_mut(100).for_each(|plane| plane.fill(plane[0]));
    b.data_mut().chunks_mut(2).for_each(|pair| pair[1] = -0.999_99 * pair[0]);
    let left = Left::Patches { x: &x, window };
    assert!(!materialises(left, &b));
    let norm = squared(product_rows(left, &b).data());
    // What is left is a millionth of the terms: nearly all that is reported is what rounding may leave of them.
    reported(product_norms(left, &b)[0], norm, 120.0);
}

const SMALL: Window = Window { kernel: [3, 2], stride: [2, 1], padding: [1, 0] };

/// Factors of 30 examples; those at multiples of 4 are NaN and have weight 0 and the others are as without them.
#[test]
fn an_example_of_weight_zero_contributes_nothing() {
    let poison = |mut x: Tensor| {
        let len = x.row_len();
        x.data_mut().chunks_mut(len).step_by(4).for_each(|row| row.fill(f32::NAN));
        x
    };
    let weights: Vec<f32> = (0..30).map(|i| if i % 4 == 0 { 0.0 } else { 0.1 * i as f32 }).collect();
    let clean_and_poisoned = |shape: &[usize], seed| (numbers(shape, seed), poison(numbers(shape, seed)));
    let same = |clean: Vec<f32>, poisoned: Vec<f32>| {
        assert!(clean.iter().all(|x| x.is_finite()) && clean == poisoned);
    };
    for (d, p) in [(6, 4), (4, 6), (600, 500)] {
        let ((a, bad_a), (b, bad_b)) = (clean_and_poisoned(&[30, 7, d], 1), clean_and_poisoned(&[30, 7, p], 2));
        let sum = |a: &Tensor, b: &Tensor| product_total(Left::Rows { a }, b, &weights);
        same(sum(&a, &b), sum(&bad_a, &bad_b));
    }
    let ((x, bad_x), (b, bad_b)) = (clean_and_poisoned(&[30, 2, 7, 6], 1), clean_and_poisoned(&[30, 3, 4, 5], 2));
    let sum = |x: &Tensor, b: &Tensor| product_total(Left::Patches { x, window: SMALL }, b, &weights);
    same(sum(&x, &b), sum(&bad_x, &bad_b));
    let (b, bad_b) = clean_and_poisoned(&[30, 4, 3], 3);
    let ids: Vec<u32> = (0..120).map(|i| i * 7 % 11).collect();
    same(scatter_total(&ids, &b, &weights, 11), scatter_total(&ids, &bad_b, &weights, 11));
    let (g, bad_g) = clean_and_poisoned(&[30, 9], 4);
    same(rows_total(&g, &weights), rows_total(&bad_g, &weights));
}

/// All of it once; used on pools of several sizes.
fn everything() -> Vec<Vec<f64>> {
    let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let mut out = Vec::new();
    let weights = numbers([90], 9).into_data();
    for (t, d, p) in [(1, 50, 40), (20, 30, 10), (3, 600, 500)] {
        let (a, b, v) = (numbers([90, t, d], 1), numbers([90, t, p], 2), numbers([p * d], 3));
        let left = Left::Rows { a: &a };
        out.push(product_norms(left, &b));
        out.push(product_dot(left, &b, v.data()));
        out.push(wide(&product_total(left, &b, &weights)));
        let w = numbers([p, d], 4);
        out.push(wide(engine::op::linear(&a, &w, None).data()));
    }
    let (x, w) = (numbers([90, 3, 9, 8], 5), numbers([4, 3, 3, 2], 6));
    let y = conv2d(&x, &w, None, SMALL);
    let left = Left::Patches { x: &x, window: SMALL };
    let (norms, kept) = product_norms_kept(left, &y);
    out.push(norms);
    let kept = kept.expect("so few outputs are formed");
    out.push(wide(&total(w.len(), |out| kept.sum(&weights, out))));
    out.push(wide(&product_total(left, &y, &weights)));
    out.push(wide(engine::op::conv2d_backward(&y, &w, x.shape(), SMALL).data()));
    out.push(wide(max_pool2d(&x, SMALL).0.data()));
    let (x, y) = (numbers([20, 64, 8, 8], 5), numbers([20, 64, 8, 8], 6));
    let window = Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    out.push(product_norms(Left::Patches { x: &x, window }, &y));
    let ids: Vec<u32> = (0..900).map(|i| i * 7 % 13).collect();
    out.push(wide(&scatter_total(&ids, &numbers([90, 10, 8], 7), &weights, 13)));
    out
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(everything);
    let one = on(1);
    assert!(one == on(2), "2 threads");
    assert!(one == on(5), "5 threads");
}

/// Example 3 alone gives what it gives within a batch.
#[test]
fn company_changes_nothing() {
    let row = |x: &Tensor, i: usize| Tensor::new([&[1], &x.shape()[1..]].concat(), x.row(i).to_vec());
    let (x, w, b) = (numbers([40, 3, 9, 8], 5), numbers([4, 3, 3, 2], 6), numbers([4], 7));
    let (y, alone) = (conv2d(&x, &w, Some(&b), SMALL), conv2d(&row(&x, 3), &w, Some(&b), SMALL));
    y.row(3).iter().zip(alone.data()).for_each(|(a, b)| assert!((a - b).abs() < 1e-6));
    let norms = product_norms(Left::Patches { x: &x, window: SMALL }, &y);
    let norm = product_norms(Left::Patches { x: &row(&x, 3), window: SMALL }, &row(&y, 3))[0];
    assert!((norms[3] - norm).abs() < 1e-6 * norm);
}
