//! What rounding may add to a weighed sum, and lose of a norm, against examples that were made for it: sums stay within what reported norms allow.

mod common;
use common::{product_total, scatter_total, total};
use engine::op::per_example::*;
use engine::{Tensor, Window};

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

fn squared(x: &[f32]) -> f64 {
    x.iter().map(|&x| f64::from(x).powi(2)).sum()
}

/// The length of what each example adds to a sum by itself, with a weight that its reported norm allows, over the bound: at worst.
fn most_added(norms: Vec<f64>, bound: f64, sum: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
    let one = |(i, square): (usize, &f64)| {
        let mut weights = vec![0.0; norms.len()];
        // Bits that make products inexact, as any other weight has them, and not above what is allowed.
        weights[i] = (bound / square.sqrt().max(1e-12)).min(1.0) as f32;
        let long = squared(&sum(&weights)).sqrt();
        assert!(long.is_finite(), "an example of norm {square} made a sum {long}");
        long / bound
    };
    norms.iter().enumerate().map(one).fold(0.0, f64::max)
}

/// Rows `[n, t, d]` that are the first of their example or its opposite, ten times as large from example to example, but for a first number, which
/// is `rest` in the first row and 0 in the others.
fn opposite(n: usize, t: usize, d: usize, rest: f32) -> Tensor {
    let mut a = numbers([n, t, d], 1);
    for i in 0..n {
        let size = 10f32.powi(i as i32 - 3);
        let first: Vec<f32> = a.row(i)[..d].iter().map(|x| x * size).collect();
        for (s, row) in a.data_mut()[i * t * d..(i + 1) * t * d].chunks_mut(d).enumerate() {
            row.iter_mut().zip(&first).for_each(|(x, y)| *x = if s % 2 == 0 { *y } else { -*y });
            row[0] = if s == 0 { rest } else { 0.0 };
        }
    }
    a
}

/// Bounds for gradients of which the rest is a little longer.
fn bounds_and_rests(p: usize) -> impl Iterator<Item = (f64, f32)> {
    [1e-6, 1e-3, 0.777].into_iter().map(move |bound| (bound, (bound / 0.7 / (p as f64).sqrt()) as f32))
}

/// Terms that cancel, but for a small rest, until a weight is multiplied in: what rounding then leaves of them is in the reported norm. Without
/// that, sums were up to 3e9 times what was allowed.
#[test]
fn what_is_added_is_within_the_reported_norm() {
    for (n, t, d, p) in [(14, 2, 16, 16), (14, 8, 64, 64), (14, 32, 128, 256), (14, 65, 200, 300), (8, 256, 64, 200)] {
        for (bound, rest) in bounds_and_rests(p) {
            let (a, b) = (opposite(n, t, d, rest), Tensor::new([n, t, p], vec![1.0; n * t * p]));
            let (left, room) = (Left::Rows { a: &a }, 1.0 + 1e-5);
            let (norms, kept) = product_norms_kept(left, &b);
            let sum = |weights: &[f32]| match &kept {
                Some(kept) => total(p * d, |out| kept.sum(weights, out)),
                None => product_total(left, &b, weights),
            };
            assert!(most_added(norms, bound, sum) <= room, "{t} positions of {d} and {p}");
            // The same as rows of an embedding, at one id and at several.
            for every in [1, 3] {
                let ids: Vec<u32> = (0..n * t).map(|at| (at % t / 2 % every) as u32).collect();
                let added =
                    most_added(scatter_norms(&ids, &a), bound, |weights| scatter_total(&ids, &a, weights, every));
                assert!(added <= room, "{t} rows of {d}: {added}");
                let (h, r) = (&a, Tensor::new([n, t, every + 40], vec![1.0; n * t * (every + 40)]));
                let both = |weights: &[f32]| {
                    total((every + 40) * d, |out| {
                        product_sum(Left::Rows { a: h }, &r, weights, &mut *out);
                        scatter_sum(&ids, &a, weights, out);
                    })
                };
                let added = most_added(tied_norms(&ids, &a, h, &r), bound, both);
                assert!(added <= room, "a table used twice, {t} rows of {d}: {added}");
            }
        }
    }
    for (c, size, stride) in [(64, 8, 1), (64, 9, 2), (8, 6, 1)] {
        let window = Window { kernel: [3, 3], stride: [stride; 2], padding: [0, 0] };
        let (oh, ow) = window.output(size, size).unwrap();
        for (bound, rest) in bounds_and_rests(1) {
            // One plane everywhere, and gradients of which an even number cancels; the first pixel is a little more.
            let (mut x, mut b) = (numbers([14, c, size, size], 1), Tensor::zeros([14, 64, oh, ow]));
            for (at, plane) in x.data_mut().chunks_mut(size * size).enumerate() {
                plane.fill(plane[0] * 10f32.powi((at / c) as i32 - 3));
                plane[0] += rest;
            }
            let pairs = b.data_mut().chunks_mut(oh * ow).flat_map(|plane| plane.as_chunks_mut::<2>().0);
            pairs.for_each(|pair| *pair = [1.0, -1.0]);
            let left = Left::Patches { x: &x, window };
            let (norms, kept) = product_norms_kept(left, &b);
            let sum = |weights: &[f32]| match &kept {
                Some(kept) => total(64 * 9 * c, |out| kept.sum(weights, out)),
                None => product_total(left, &b, weights),
            };
            let added = most_added(norms, bound, sum);
            assert!(added <= 1.0 + 1e-5, "{c} planes of {size}, stride {stride}: {added}");
        }
    }
}

/// Inner products that lose what is added last: a large number first, and many whose squares are too small beside its, in terms that cancel as far
/// as they may before gradients are formed.
#[test]
fn what_gram_matrices_lose_is_in_the_reported_norm() {
    for (t, d, p) in [(4, 4000, 64), (64, 2000, 300)] {
        let (mut a, mut b) = (Tensor::zeros([8, t, d]), numbers([8, t, p], 2));
        for i in 0..8 {
            let first = b.row(i)[..p].to_vec();
            for s in 0..t {
                let (sign, small) = (if s % 2 == 0 { 1.0 } else { i as f32 * 0.03 - 1.0 }, 2f32.powi(-13) * 1.4);
                let row = &mut a.data_mut()[(i * t + s) * d..][..d];
                row.fill(if s % 2 == 0 { small } else { -small });
                row[0] = 1.0;
                b.data_mut()[(i * t + s) * p..][..p].iter_mut().zip(&first).for_each(|(x, y)| *x = y * sign);
            }
        }
        let left = Left::Rows { a: &a };
        assert!(!materialises(left, &b));
        for (i, norm) in product_norms(left, &b).into_iter().enumerate() {
            let of = |x: &Tensor, s: usize| x.row(i).chunks(x.row_len() / t).nth(s).unwrap().to_vec();
            // In f64: all rows of `b` point one way.
            let along = |s: usize| f64::from(of(&b, s)[0]) / f64::from(of(&b, 0)[0]);
            let column = |j: usize| (0..t).map(|s| along(s) * f64::from(of(&a, s)[j])).sum::<f64>();
            let want = squared(&of(&b, 0)) * (column(0).powi(2) + (d - 1) as f64 * column(1).powi(2));
            assert!(norm >= want * (1.0 - 1e-6), "{t} positions of {d}, example {i}: {norm} below {want}");
        }
    }
}

/// Squares that vanish in f32 beside factors that are large: their gradient is not short.
#[test]
fn nothing_vanishes_beside_something_large() {
    for (small, large) in [(1e-23f32, 1e10f32), (1e-30, 1e15), (3e-39, 1e18), (1e-22, 1e-1), (1e-20, 1.0)] {
        let ((mut a, mut b), t) = ((numbers([2, 8, 64], 1), numbers([2, 8, 64], 2)), 8);
        a.data_mut().iter_mut().for_each(|x| *x *= small);
        b.data_mut().iter_mut().for_each(|x| *x *= large);
        for (a, b) in [(&a, &b), (&b, &a)] {
            let product = product_norms(Left::Rows { a }, b);
            let ids: Vec<u32> = (0..2 * t).map(|at| at % 5).collect();
            let none = Tensor::zeros([2, t as usize, 64]);
            let tied = tied_norms(&ids, &none, a, b);
            for i in 0..2 {
                let mut want = vec![0.0f64; 64 * 64];
                for (a, b) in a.row(i).chunks(64).zip(b.row(i).chunks(64)) {
                    let terms = b.iter().flat_map(|b| a.iter().map(|a| f64::from(*a) * f64::from(*b)));
                    want.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
                }
                let want = want.iter().map(|x| x * x).sum::<f64>().sqrt();
                let enough = |square: f64| square.sqrt() + 1e-12 >= want;
                assert!(
                    enough(product[i]) && enough(tied[i]),
                    "{small:e} and {large:e}: {:?}, {want:e}",
                    product[i].sqrt()
                );
            }
        }
    }
}

/// Sums that overflow, also to minus infinity, where the sizes of sums and factors are finite: no norm is taken of them that a weight could be made of.
#[test]
fn sums_that_overflow_downwards_are_no_norm() {
    let infinite = |norms: Vec<f64>| norms.iter().for_each(|norm| assert!(!norm.is_finite(), "{norms:?}"));
    for (t, d, p) in [(2, 16, 16), (2, 64, 64), (8, 64, 64), (64, 300, 300)] {
        // Every inner product of two different rows of `a` is minus infinity, and of two rows of `b` a finite number above 0.
        let (mut a, b) = (Tensor::zeros([1, t, d]), Tensor::new([1, t, p], vec![1.0; t * p]));
        for (s, row) in a.data_mut().chunks_mut(d).enumerate() {
            row.fill(if s % 2 == 0 { 3e19 } else { -3e19 });
        }
        infinite(product_norms(Left::Rows { a: &a }, &b));
        infinite(product_norms(Left::Rows { a: &b }, &a));
        let ids: Vec<u32> = (0..t as u32).collect();
        infinite(tied_norms(&ids, &Tensor::zeros([1, t, d]), &a, &Tensor::new([1, t, 2000], vec![1.0; t * 2000])));
        infinite(tied_norms(&ids, &a, &a, &Tensor::new([1, t, 2000], vec![-1.0; t * 2000])));
    }
    // One position: the square of a norm is finite in f64, and the product with a weight need not be in f32.
    let (none, large) = (Tensor::zeros([1, 1, 8]), Tensor::new([1, 1, 8], vec![3e38; 8]));
    infinite(product_norms(Left::Rows { a: &none }, &large));
    infinite(product_norms(Left::Rows { a: &large }, &none));
}
