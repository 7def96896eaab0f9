//! What rounding may take from a norm is in the norm: factors made to lose as much as they can, where numbers are cut off, where they lie
//! between two of bf16, and at the ends of the range.
use crate::{gpu, numbers, wide};
use engine::{
    Device, Precision, Tensor,
    op::per_example::{self as each, Left},
};

/// The margin that clipping leaves for rounding (`train::clip::ROUNDING`), and the smallest norm that is divided by (`train::clip::TINY`).
const MARGIN: f64 = 1e-5;
const TINY: f64 = 1e-12;

/// To bf16, to nearest, ties to even.
pub(crate) fn rounded(mut x: Tensor) -> Tensor {
    let round = |x: &mut f32| {
        let bits = x.to_bits();
        *x = f32::from_bits(bits.wrapping_add(0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
    };
    x.data_mut().iter_mut().for_each(round);
    x
}

/// Rows `[n, t, width]` from what each number is by its position, its place, and the number that stands there otherwise.
fn rows([n, t, width]: [usize; 3], number: impl Fn(usize, usize, f32) -> f32) -> Tensor {
    let mut x = numbers(&[n, t, width], (t + width) as u64);
    x.data_mut().iter_mut().enumerate().for_each(|(k, x)| *x = number(k / width % t, k % width, *x));
    x
}

/// How long what each example adds is, over its weight times its norm: at weight `weight`, and at the largest that a bound of 1
/// allows. An example whose norm is not finite has weight 0.
fn shares(a: &Tensor, b: &Tensor, weight: f64) -> Vec<f64> {
    let left = Left::Rows { a };
    let (norms, kept) = each::product_norms_kept(left, b);
    let mut all = Vec::new();
    for (i, norm) in norms.iter().map(|square| square.sqrt()).enumerate() {
        for weight in [weight, 1.0 / norm.max(TINY)] {
            let weight = if norm.is_finite() { weight as f32 } else { 0.0 };
            let mut weights = vec![0.0; norms.len()];
            weights[i] = if f64::from(weight) * norm <= 1e30 { weight } else { 0.0 };
            let mut sum = Tensor::zeros_on(a.device(), [a.shape()[2] * b.shape()[2]]);
            match &kept {
                Some(kept) => kept.sum(&weights, &mut sum),
                None => each::product_sum(left, b, &weights, &mut sum),
            }
            let length = wide(&sum).iter().map(|x| x * x).sum::<f64>().sqrt();
            let most = if weights[i] == 0.0 { 0.0 } else { f64::from(weights[i]) * norm.max(TINY) };
            all.push(if length == 0.0 { 0.0 } else { length / most });
        }
    }
    all
}

/// The largest of those shares, which is not above 1.
fn largest(what: &str, [a, b]: [Tensor; 2], weight: f64, device: Device) -> f64 {
    let shares = shares(&a.to(device), &b.to(device), weight);
    let most = shares.iter().copied().fold(0.0, f64::max);
    assert!(shares.iter().all(|share| *share <= 1.0 + MARGIN), "{what}: {shares:?}");
    most
}

/// Every way to a norm: `[t, d, p]` of one position, of Gram matrices (ours, and a library's since rows are odd), of gradients that are kept
/// and that are made twice (in rows of multiples of 16 bytes, and odd).
const WAYS: [[usize; 3]; 8] =
    [[1, 40, 72], [2, 32, 40], [2, 37, 41], [16, 256, 1040], [160, 96, 64], [160, 45, 77], [48, 40, 24], [48, 37, 29]];

/// Gradients that are nothing but what tensor cores cut off: `a = (H, +-x, .., +-x)` and `b = (+-K, y, .., y)`, with products of `x` just
/// too small beside that of `H`, in each part of a row that is added up by itself.
fn cut_off(precision: Precision) {
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(precision);
    let device = Device::Cuda(turn.gpu);
    let mut failures = Vec::new();
    for [t, d, p] in
        [[2, 64, 64], [4, 256, 256], [64, 768, 256], [200, 768, 3072], [8, 4096, 4096], [2, 8192, 512], [2, 45, 77]]
    {
        // 2^-12, 2^-12.5 and 2^-13 times a little less than 1.
        for small in [2.432_346e-4, 1.726_15e-4, 1.216_173e-4] {
            for both in [false, true] {
                let sign = |position: usize| if position.is_multiple_of(2) { 1.0f32 } else { -1.0 };
                let a = rows([1, t, d], |s, j, _| if j.is_multiple_of(4096) { 1.0 } else { sign(s) * small });
                let b = rows([1, t, p], |s, j, _| match (both, j % 4096) {
                    (true, 1..) => small,
                    (false, 1..) => 0.0,
                    _ => sign(s),
                });
                let what = format!("{precision:?}, t {t}, d {d}, p {p}, {small:e}, both {both}");
                let (a, b) = (rounded(a).to(device), rounded(b).to(device));
                let most = shares(&a, &b, 1.0).into_iter().fold(0.0, f64::max);
                println!("{what}: {most:.4}");
                failures.extend((most > 1.0 + MARGIN).then(|| format!("{what}: {most}")));
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn what_bf16_products_cut_off_is_in_the_norm() {
    cut_off(Precision::Bf16);
}

#[test]
fn what_tf32_products_cut_off_is_in_the_norm() {
    cut_off(Precision::Tf32);
}

#[test]
fn what_f32_products_round_off_is_in_the_norm() {
    cut_off(Precision::F32);
}

/// Weighed factors that lie between two numbers of bf16: all are rounded up, and terms that cancel are rounded apart.
#[test]
fn weighed_factors_between_two_numbers() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    // 129 / 128 times this is rounded up by nearly 2^-8 of itself, and 1 times this down.
    let weight = 1.0 + 2f64.powi(-8);
    for precision in [Precision::F32, Precision::Tf32, Precision::Bf16] {
        turn.gpu.set_precision(precision);
        for [t, d, p] in WAYS {
            let (up, mut most) = (129.0 / 128.0, 0f64);
            for (kind, number) in [
                ("up", &(|_: usize| up) as &dyn Fn(usize) -> f32),
                ("apart", &|s| if s.is_multiple_of(2) { up } else { -1.0 }),
                ("apart, few", &|s| if s.is_multiple_of(8) { 1.0 } else { -up / 8.0 }),
            ] {
                // Whichever is weighed.
                let plain = |width| rows([2, t, width], |_, _, x| x.signum());
                let odd = |width| rows([2, t, width], |s, _, x| x.signum() * number(s));
                let same = |width| rows([2, t, width], |_, _, _| 1.0);
                let lean = |width| rows([2, t, width], |s, _, _| number(s));
                // All are rounded to one side, and rows are at right angles: what is left of their sum is what rounding adds.
                let walsh = |width| {
                    rows(
                        [2, t, width],
                        |s, j, _| if (s & (j % 15 + 1)).count_ones().is_multiple_of(2) { up } else { -1.0 },
                    )
                };
                let pairs = [
                    [odd(d), plain(p)],
                    [plain(d), odd(p)],
                    [lean(d), same(p)],
                    [same(d), lean(p)],
                    [walsh(d), same(p)],
                    [same(d), walsh(p)],
                ];
                for (which, pair) in pairs.into_iter().enumerate() {
                    let what = format!("{precision:?}, t {t}, d {d}, p {p}, {kind}, {which}");
                    most = most.max(largest(&what, pair, weight, device));
                }
            }
            println!("{precision:?}, t {t}, d {d}, p {p}: at most {most} of the weight times the norm");
            // They would show if less were allowed for.
            assert!(most > 0.9, "{precision:?}, t {t}, d {d}, p {p}: {most}");
        }
    }
}

/// Numbers at both ends of the range, and of very different sizes: norms stay above what is added, or are not finite.
#[test]
fn ends_of_the_range() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for (precision, [t, d, p]) in [Precision::F32, Precision::Tf32, Precision::Bf16]
        .into_iter()
        .flat_map(|precision| WAYS.map(|way| (precision, way)))
    {
        turn.gpu.set_precision(precision);
        for [low, high] in [
            [-133, 0],
            [-133, 60],
            [-128, 40],
            [-90, 90],
            [-75, 58],
            [-75, -75],
            [-64, 64],
            [-60, 60],
            [-40, 80],
            [0, 62],
            [100, -20],
        ] {
            let at = |power: i32| move |_: usize, _: usize, x: f32| (f64::from(x) * 2f64.powi(power)) as f32;
            for turned in [false, true] {
                let (of_a, of_b) = if turned { (high, low) } else { (low, high) };
                let what = format!("{precision:?}, t {t}, d {d}, p {p}, 2^{of_a} and 2^{of_b}");
                largest(&what, [rows([2, t, d], at(of_a)), rows([2, t, p], at(of_b))], 1.5, device);
                // Of one sign, and rows of other sizes.
                let mixed = |power: i32| {
                    move |s: usize, j: usize, x: f32| {
                        x.abs() * 2f32.powi(power / 2) * 2f32.powi(power / 2 - (7 * s + 3 * j) as i32 % 24)
                    }
                };
                largest(
                    &format!("{what}, mixed"),
                    [rows([2, t, d], mixed(of_a)), rows([2, t, p], mixed(of_b))],
                    0.75,
                    device,
                );
            }
        }
    }
}
