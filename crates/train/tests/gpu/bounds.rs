//! What an example adds to a sum is never longer than its weight times its reported norm, at any precision.
use crate::{gpu, numbers};
use engine::{
    Device, Precision, Tensor, Window,
    op::per_example::{self as each, Left},
};
use std::sync::Arc;
use train::{
    clip,
    grads::{Grads, Layout},
    layer::{Init, Parameter},
    tap::{Factor, Product, Scaling, Taps},
};

/// The margin that clipping leaves for rounding (`train::clip::ROUNDING`).
const MARGIN: f64 = 1e-5;

/// Tries each example by itself: its weight is a bound over its norm, and the sum over it alone is measured.
pub(crate) fn try_all(what: &str, left: Left, b: &Tensor, size: usize, device: Device) {
    let (norms, kept) = each::product_norms_kept(left, b);
    let bound = 0.7312;
    for (i, norm) in norms.iter().map(|n| n.sqrt()).enumerate() {
        assert!(norm.is_finite(), "{what}, example {i}");
        let mut weights = vec![0.0; norms.len()];
        weights[i] = (bound / norm.max(1e-12)) as f32;
        let mut sum = Tensor::zeros_on(device, [size]);
        match &kept {
            Some(kept) => kept.sum(&weights, &mut sum),
            None => each::product_sum(left, b, &weights, &mut sum),
        }
        let length = crate::wide(&sum).iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(length <= bound * (1.0 + MARGIN), "{what}, example {i}: {length} of {bound}, norm {norm}");
    }
}

/// Positions in pairs that cancel but for a part of `rest`: what is left is of the size of what rounding loses.
fn cancelling(a: &mut Tensor, b: &mut Tensor, rest: f32) {
    let (t, n) = (a.shape()[1], a.rows());
    let (d, p) = (a.shape()[2], b.shape()[2]);
    for pair in 0..n * t / 2 {
        let (from, to) = (2 * pair * d, (2 * pair + 1) * d);
        a.data_mut().copy_within(from..from + d, to);
        for j in 0..p {
            let value = b.data()[2 * pair * p + j];
            b.data_mut()[(2 * pair + 1) * p + j] = -value * (1.0 + rest);
        }
    }
}

/// Positions, features before and behind.
const SIZES: [(usize, usize, usize); 12] = [
    (1, 37, 53),
    (2, 37, 53),
    (16, 128, 96),
    (64, 256, 256),
    (64, 24, 40),
    (512, 64, 32),
    (48, 37, 29),
    (96, 200, 150),
    (512, 256, 1040),
    (128, 384, 640),
    (200, 640, 512),
    (400, 1024, 768),
];

#[test]
fn sums_stay_within_reported_norms() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        turn.gpu.set_precision(precision);
        SIZES.into_iter().for_each(|size| rows(precision, device, size));
        cut_off(precision, device);
        tied(precision, device);
        patches(precision, device);
    }
}

/// Rows of all sizes, at random and cancelling.
fn rows(precision: Precision, device: Device, (t, d, p): (usize, usize, usize)) {
    for rest in [None, Some(0.0), Some(1e-6), Some(1e-4), Some(3e-3)] {
        let (mut a, mut b) = (numbers(&[8, t, d], 1), numbers(&[8, t, p], 2));
        if let Some(rest) = rest.filter(|_| t > 1) {
            cancelling(&mut a, &mut b, rest);
        }
        let (a, b) = (a.to(device), b.to(device));
        let what = format!("{precision:?}, t {t}, d {d}, p {p}, rest {rest:?}");
        try_all(&what, Left::Rows { a: &a }, &b, p * d, device);
    }
}

/// Where tensor cores, which cut off factors and sums, lose most.
fn cut_off(precision: Precision, device: Device) {
    let (mut a, mut b) = (numbers(&[4, 512, 768], 1), numbers(&[4, 512, 1000], 2));
    [&mut a, &mut b].into_iter().for_each(|x| x.data_mut().iter_mut().for_each(|x| *x = x.abs()));
    let (a, b) = (a.to(device), b.to(device));
    try_all(&format!("{precision:?}, all positive"), Left::Rows { a: &a }, &b, 768 * 1000, device);
    // Numbers that are cut off most, and in the sum, after they were weighed, perhaps not: of one sign and of both.
    let ones = |shape: &[usize], signs: u32, last: u32| {
        let mut x = numbers(shape, 1);
        let low = |x: &mut f32| *x = f32::from_bits((x.to_bits() & (signs | 0x00ff_e000)) | 0x3f00_0000 | last);
        x.data_mut().iter_mut().for_each(low);
        x.to(device)
    };
    for signs in [0, 1 << 31] {
        for (last, other) in [(0x1fff, 0x1fff), (0x0fff, 0x1fff), (0x1000, 0x1000), (0x1fff, 0)] {
            let (a, b) = (ones(&[3, 256, 1024], signs, last), ones(&[3, 256, 640], signs, other));
            let what = format!("{precision:?}, cut off at {last:x}, {other:x}, signs {signs:x}");
            try_all(&what, Left::Rows { a: &a }, &b, 1024 * 640, device);
        }
    }
}

/// Convolutions.
fn patches(precision: Precision, device: Device) {
    let window = Window { kernel: [3, 3], stride: [1, 1], padding: [1, 1] };
    for checkered in [false, true] {
        let (x, mut b) = (numbers(&[6, 16, 16, 16], 1), numbers(&[6, 24, 16, 16], 2));
        // Checkered gradients on a smooth image cancel.
        if checkered {
            let sign = |(k, b): (usize, &mut f32)| *b = if (k + k / 16) % 2 == 0 { 1.0 } else { -1.0 };
            b.data_mut().iter_mut().enumerate().for_each(sign);
        }
        let (x, b) = (x.to(device), b.to(device));
        try_all(&format!("{precision:?}, patches"), Left::Patches { x: &x, window }, &b, 16 * 9 * 24, device);
    }
}

/// The same of a table that is used twice.
fn tied(precision: Precision, device: Device) {
    let (n, t, d, v) = (3, 160, 256, 1028);
    let ids: Vec<u32> = (0..n * t).map(|i| (i * i % 97) as u32).collect();
    let [e, h] = [1, 2].map(|seed| numbers(&[n, t, d], seed).to(device));
    let r = numbers(&[n, t, v], 3).to(device);
    try_tied(&format!("{precision:?}, tied"), &ids, [&e, &h, &r], 0.93, device);
    let (ids, [e, h, r]) = nearly_nothing(device);
    try_tied(&format!("{precision:?}, tied, cancelling"), &ids, [&e, &h, &r], 0.0, device);
}

/// As [`try_all`], and that the norms are not above what is added by more than `least` allows.
fn try_tied(what: &str, ids: &[u32], [e, h, r]: [&Tensor; 3], least: f64, device: Device) {
    let (norms, size) = (each::tied_norms(ids, e, h, r), r.shape()[2] * e.shape()[2]);
    for (i, norm) in norms.iter().map(|n| n.sqrt()).enumerate() {
        let mut weights = vec![0.0; norms.len()];
        weights[i] = (0.7312 / norm.max(1e-12)) as f32;
        let mut sum = Tensor::zeros_on(device, [size]);
        each::product_sum(Left::Rows { a: h }, r, &weights, &mut sum);
        each::scatter_sum(ids, e, &weights, &mut sum);
        let length = crate::wide(&sum).iter().map(|x| x * x).sum::<f64>().sqrt();
        assert!(length <= 0.7312 * (1.0 + MARGIN), "{what}, example {i}: {length}, norm {norm}");
        assert!(length >= 0.7312 * least, "{what}, example {i}: {length}, norm {norm}");
    }
}

/// Ids, `e`, `h`, `r` of examples where a table's first use takes away what the second adds, but for a part at a right angle; what is left of `r`
/// beyond the bits of TF32 is of either size.
fn nearly_nothing(device: Device) -> (Vec<u32>, [Tensor; 3]) {
    let parts = [0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1];
    let (n, d, v) = (2 * parts.len(), 64, 8);
    let [mut e, mut h] = [Tensor::zeros([n, 2, d]), Tensor::zeros([n, 2, d])];
    let (mut r, random) = (Tensor::zeros([n, 2, v]), numbers(&[n, 2, d], 5));
    let cut = |x: f32| f32::from_bits(x.to_bits() & 0xffff_e000);
    for (i, part) in parts.into_iter().chain(parts).enumerate() {
        let (along, other) = random.row(i).split_at(d);
        let along: Vec<f32> = along.iter().map(|x| cut(*x)).collect();
        let inner = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
        let shared = inner(&along, other) / inner(&along, &along);
        let angle: Vec<f32> = other.iter().zip(&along).map(|(x, a)| x - shared as f32 * a).collect();
        let size = (inner(&along, &along) / inner(&angle, &angle)).sqrt() as f32 * part;
        let rho = f32::from_bits(1.37f32.to_bits() | if i < parts.len() { 0x1fff } else { 0x0a53 });
        r.data_mut()[i * 2 * v] = rho;
        h.data_mut()[i * 2 * d..][..d].copy_from_slice(&along);
        let gradient = along.iter().zip(&angle).map(|(a, x)| cut(-cut(rho) * a + size * x));
        e.data_mut()[i * 2 * d..][..d].iter_mut().zip(gradient).for_each(|(e, x)| *e = x);
    }
    let ids = (0..n).flat_map(|_| [0, 3]).collect();
    (ids, [e, h, r].map(|x| x.to(device)))
}

/// Sums of products of finite numbers that overflow, also to minus infinity, are no norm that a weight could be made of.
#[test]
fn sums_that_overflow_downwards_are_infinite() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        turn.gpu.set_precision(precision);
        let infinite = |what: &str, norms: Vec<f64>| {
            norms.iter().for_each(|norm| assert!(!norm.is_finite(), "{precision:?}, {what}: {norms:?}"));
        };
        // Shapes that are measured by Gram matrices, of a library or our own.
        for (t, d, p) in [(16, 128, 96), (12, 250, 203), (64, 256, 256), (400, 1024, 768)] {
            let mut a = Tensor::zeros([2, t, d]);
            for (s, row) in a.data_mut().chunks_mut(d).enumerate() {
                row.fill(if s % 2 == 0 { 3e19 } else { -3e19 });
            }
            let (a, ones) = (a.to(device), Tensor::new([2, t, p], vec![1.0; 2 * t * p]).to(device));
            let what = format!("{t} of {d} and {p}");
            infinite(&what, each::product_norms(Left::Rows { a: &a }, &ones));
            infinite(&what, each::product_norms(Left::Rows { a: &ones }, &a));
            let (ids, none): (Vec<u32>, _) = ((0..2 * t).map(|at| (at % t) as u32).collect(), Tensor::zeros([2, t, d]));
            let r = Tensor::new([2, t, 2000], vec![1.0; 2 * t * 2000]).to(device);
            infinite(&format!("{what}, tied"), each::tied_norms(&ids, &none.to(device), &a, &r));
        }
    }
}

/// Rows of a table that cancel where they meet at one id, but for a rest, until they are weighed.
#[test]
fn rows_at_one_id_stay_within_reported_norms() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        turn.gpu.set_precision(precision);
        for (t, every) in [(2, 1), (16, 1), (65, 3), (300, 7)] {
            let (n, d, bound) = (8, 130, 1e-3);
            let mut e = numbers(&[n, t, d], 1);
            for i in 0..n {
                let first: Vec<f32> = e.row(i)[..d].iter().map(|x| x * 10f32.powi(i as i32 - 3)).collect();
                for (s, row) in e.data_mut()[i * t * d..(i + 1) * t * d].chunks_mut(d).enumerate() {
                    row.iter_mut().zip(&first).for_each(|(x, y)| *x = if s % 2 == 0 { *y } else { -*y });
                    row[0] = if s == 0 { bound as f32 / 0.7 } else { 0.0 };
                }
            }
            let (e, ids): (_, Vec<u32>) = (e.to(device), (0..n * t).map(|at| (at % t / 2 % every) as u32).collect());
            for (i, norm) in each::scatter_norms(&ids, &e).iter().map(|n| n.sqrt()).enumerate() {
                let mut weights = vec![0.0; n];
                weights[i] = (bound / norm).min(1.0) as f32;
                let mut sum = Tensor::zeros_on(device, [every * d]);
                each::scatter_sum(&ids, &e, &weights, &mut sum);
                let length = crate::wide(&sum).iter().map(|x| x * x).sum::<f64>().sqrt();
                assert!(length <= bound * (1.0 + MARGIN), "{precision:?}, {t} rows, example {i}: {length}, {norm}");
            }
        }
    }
}

/// Linear maps in scaled coordinates, with masked ones among them: what is clipped by its norm there is as long there, though its factors are rounded.
#[test]
fn scaled_sums_stay_within_their_norms() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        turn.gpu.set_precision(precision);
        for (t, d, p) in [(1, 40, 30), (16, 128, 96), (64, 24, 40), (64, 256, 256)] {
            let layout = Layout::new(vec![Parameter::new("0.weight", [p, d], Init::Constant(0.0))]);
            let scale = (0..p * d).map(|j| if j % 7 == 3 { 0.0 } else { 0.5 + (j % 5) as f32 }).collect();
            let scaling = Arc::new(Scaling::new(Grads::new(&layout, scale), None));
            for rest in [None, Some(1e-6), Some(3e-3)] {
                let (n, bound) = (6, 0.7312);
                let (mut a, mut b) = (numbers(&[n, t, d], 1), numbers(&[n, t, p], 2));
                if let Some(rest) = rest.filter(|_| t > 1) {
                    cancelling(&mut a, &mut b, rest);
                }
                let mut taps = Taps::new(n, &layout.on(device));
                taps.leave(0, || Product::new(Factor::Rows(a.to(device)), b.to(device)));
                let mut taps = taps.scaled(&scaling);
                let norms: Vec<f64> = taps.norms(&[0], 1).into_iter().map(f64::sqrt).collect();
                let weights = clip::cap(&vec![1e300; n], &norms, &[bound]);
                for (i, weight) in weights.iter().enumerate() {
                    let mut alone = vec![0.0; n];
                    alone[i] = *weight;
                    let length = taps.sum(&alone, &[0], 1).norm();
                    let what = format!("{precision:?}, {t} of {d} and {p}, rest {rest:?}, example {i}");
                    assert!(length <= bound * (1.0 + MARGIN), "{what}: {length} of {bound}");
                }
            }
        }
    }
}
