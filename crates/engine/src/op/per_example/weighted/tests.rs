//! Closed forms against the definition in f64, and what f32 could lose.

use super::*;
use crate::kernel::Level;
use crate::op::per_example::product_rows;

/// Numbers of all sizes, in (-1, 1) times a power of ten.
fn numbers(n: usize, seed: u32, spread: i32) -> Vec<f32> {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state >> 8) / f64::from(1 << 24)
    };
    (0..n).map(|_| ((2.0 * next() - 1.0) * 10f64.powf(f64::from(spread) * (2.0 * next() - 1.0))) as f32).collect()
}

/// The definition: the square, the plain square, and the inner product with the shift.
fn naive(g: &[f32], scale: &[f32], shift: Option<&[f32]>) -> [f64; 4] {
    let mut sums = [0.0; 4];
    for (j, (x, s)) in g.iter().zip(scale).enumerate() {
        let (x, s, a) = (f64::from(*x), f64::from(*s), shift.map_or(0.0, |shift| f64::from(shift[j])));
        let terms = [(s * (x - a)).powi(2), (s * x).powi(2), s * s * x * a, (s * a).powi(2)];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
    }
    sums
}

fn measured(a: &Tensor, b: &Tensor, scale: &[f32], shift: Option<&[f32]>) -> Vec<Measured> {
    let diagonal = Diagonal::new(scale, shift, a.last());
    product_measured(Left::Rows { a }, b, Scales { scale, shift, diagonal: &diagonal }).unwrap()
}

#[test]
fn the_closed_form_is_the_definition() {
    for (n, d, p, spread) in
        [(1, 1, 1, 0), (70, 5, 3, 1), (3, 40, 9, 6), (530, 7, 2, 10), (130, 37, 20, 0), (0, 4, 2, 0)]
    {
        let a = Tensor::new([n, 1, d], numbers(n * d, 1, spread));
        let b = Tensor::new([n, 1, p], numbers(n * p, 2, spread));
        let mut scale = numbers(p * d, 3, spread / 2);
        if d > 1 {
            scale[0] = 0.0;
        }
        let shift = numbers(p * d, 4, spread / 2);
        let rows = product_rows(Left::Rows { a: &a }, &b);
        for shift in [None, Some(&shift[..])] {
            let diagonal = Diagonal::new(&scale, shift, d);
            let by_rows = rows_measured(&rows, Scales { scale: &scale, shift, diagonal: &diagonal });
            let closed = measured(&a, &b, &scale, shift);
            assert_eq!((closed.len(), by_rows.len()), (n, n));
            for (i, (got, row)) in closed.iter().zip(by_rows).enumerate() {
                let [square, plain, dot, constant] = naive(rows.row(i), &scale, shift);
                let size = plain + 2.0 * dot.abs() + constant;
                let above = if shift.is_some() { 0.032 } else { 4e-6 };
                let fits = |got: f64, want: f64| got >= want - 4e-6 * size && got <= want + above * size;
                assert!(fits(got.square, square), "{got:?} instead of {square}");
                assert!(got.size >= size * (1.0 - 4e-6) && got.size <= 5.0 * size, "{got:?} instead of {size}");
                assert!((row.square - square).abs() <= 1e-12 * size && row.size >= size * (1.0 - 1e-12), "{row:?}");
            }
        }
    }
}

/// The largest entries are masked away; what is left is far below what f32 squares can hold.
#[test]
fn faint_terms_behind_a_mask_are_not_lost() {
    let a = Tensor::new([1, 1, 2], vec![1e19, 1e-12]);
    let b = Tensor::new([1, 1, 1], vec![1.0]);
    let got = measured(&a, &b, &[0.0, 1.0], None)[0].square;
    assert!((got / 1e-24 - 1.0).abs() < 1e-5, "{got}");
}

/// Somebody without a gradient is as far from the origin as the shift is.
#[test]
fn no_gradient_is_measured_by_the_shift() {
    let a = Tensor::new([2, 1, 2], vec![0.0, 0.0, 1.0, 2.0]);
    let b = Tensor::new([2, 1, 1], vec![3.0, 0.0]);
    let (scale, shift) = ([2.0, 0.5], [1.0, -2.0]);
    assert_eq!(measured(&a, &b, &scale, None), [Measured::default(); 2]);
    assert_eq!(measured(&a, &b, &scale, Some(&shift)), [Measured { square: 5.0, size: 5.0 }; 2]);
}

#[test]
fn what_is_not_finite_stays_so() {
    for bad in [f32::NAN, f32::INFINITY] {
        let a = Tensor::new([2, 1, 2], vec![1.0, bad, 1.0, 1.0]);
        let b = Tensor::new([2, 1, 2], vec![1.0, 2.0, 1.0, 2.0]);
        let got = measured(&a, &b, &[1.0; 4], Some(&[0.0; 4]));
        assert!(!got[0].square.is_finite() && (got[1].square - 10.0).abs() < 1e-4, "{got:?}");
        // Nor is a bad number in a coordinate that nothing is made of, nor in the other side.
        let got = measured(&b, &a, &[0.0, 0.0, 1.0, 1.0], Some(&[0.5; 4]));
        assert!(!got[0].square.is_finite() && got[1].square.is_finite(), "{got:?}");
        // Nor does a side of zeros hide the other.
        let got = measured(&a, &Tensor::zeros([2, 1, 2]), &[1.0; 4], None);
        assert!(got[0].square.is_nan() && got[1].square == 0.0, "{got:?}");
    }
}

#[test]
fn sums_are_shifted_and_scaled() {
    let (scale, shift) = ([2.0, 0.5, 0.0], [1.0, -1.0, 4.0]);
    let diagonal = Diagonal::new(&scale, Some(&shift), 1);
    let mut out = [1.0; 3];
    add_scaled_sum(&mut out, &[3.0, 4.0, 5.0], Scales { scale: &scale, shift: Some(&shift), diagonal: &diagonal }, 2.0);
    assert_eq!(out, [3.0, 4.0, 1.0]);
    add_scaled_sum(&mut out, &[3.0, 4.0, 5.0], Scales { scale: &scale, shift: None, diagonal: &diagonal }, 2.0);
    assert_eq!(out, [9.0, 6.0, 1.0]);
}

#[test]
fn several_positions_have_no_closed_form() {
    let (a, diagonal) = (Tensor::zeros([1, 2, 2]), Diagonal::new(&[1.0; 6], None, 2));
    let scales = Scales { scale: &[1.0; 6], shift: None, diagonal: &diagonal };
    assert_eq!(product_measured(Left::Rows { a: &a }, &Tensor::zeros([1, 2, 3]), scales), None);
}

/// Factors that make the closed form lose most: signs that agree with the shift's or oppose it, coordinates without a scale, numbers just
/// above one of eight bits (which are rounded down most) or just below, of all sizes, and gradients near the shift.
fn adversarial(kind: u32, n: usize, d: usize, p: usize) -> [Vec<f32>; 4] {
    let (spread, seed) = ([0, 2, 8, 15][kind as usize % 4], kind + 1);
    let [mut a, mut b] = [numbers(n * d, seed, spread), numbers(n * p, seed + 7, spread.min(8))];
    let (mut scale, mut shift) = (numbers(p * d, seed + 8, spread / 3), numbers(p * d, seed + 9, spread / 2));
    let eight = |x: &mut f32, more: u32| *x = f32::from_bits((x.to_bits() & 0xffff_0000) + more);
    match kind / 4 % 4 {
        0 => {}
        1 => [&mut a, &mut b].into_iter().for_each(|x| x.iter_mut().for_each(|x| eight(x, 0x7fff))),
        2 => [&mut a, &mut shift].into_iter().for_each(|x| x.iter_mut().for_each(|x| eight(x, 0x8001))),
        _ => [&mut a, &mut shift].into_iter().for_each(|x| x.iter_mut().for_each(|x| eight(x, 0x7ffe))),
    }
    match kind / 16 {
        0 => {}
        1 => scale.iter_mut().step_by(3).for_each(|s| *s = 0.0),
        // The first example's gradient, more or less, and against it.
        by => {
            let sign = if by % 2 == 0 { 1.0 } else { -1.0 };
            let product = |(k, m): (usize, &mut f32)| *m = sign * (1.0 + *m * 1e-3) * b[k / d] * a[k % d];
            shift.iter_mut().enumerate().for_each(product);
        }
    }
    [a, b, scale, shift]
}

#[test]
fn a_shifted_norm_is_never_below_the_true_one() {
    let (mut worst, mut tried) = (0.0f64, 0);
    for level in [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16] {
        level.limit();
        for (kind, (n, d, p)) in
            (0..64).flat_map(|kind| [(13, 33, 40), (5, 1, 3), (50, 256, 64)].map(|size| (kind, size)))
        {
            let [a, b, scale, shift] = adversarial(kind, n, d, p);
            let (a, b) = (Tensor::new([n, 1, d], a), Tensor::new([n, 1, p], b));
            let rows = product_rows(Left::Rows { a: &a }, &b);
            for (i, got) in measured(&a, &b, &scale, Some(&shift)).into_iter().enumerate() {
                let [square, plain, _, constant] = naive(rows.row(i), &scale, Some(&shift));
                let most = (plain.sqrt() + constant.sqrt()).powi(2);
                // What f32 gradients are rounded by is no fault of their norms.
                assert!(got.square >= square - 1e-6 * most, "{level:?}, {kind}: {got:?} for {square} of {most}");
                worst = worst.max((got.square - square) / square.max(1e-5 * most));
                tried += 1;
            }
        }
    }
    Level::best().limit();
    assert!(tried > 10_000 && worst < 0.15, "{worst} above in {tried}");
}

/// What is not adversarial is a third of a percent above, and the same on every machine.
#[test]
fn bounds_are_close() {
    let (n, d, p) = (200, 256, 96);
    let [a, b, scale, shift] =
        [(n * d, 0), (n * p, 1), (p * d, 0), (p * d, 1)].map(|(len, spread)| numbers(len, 3, spread));
    let (a, b) = (Tensor::new([n, 1, d], a), Tensor::new([n, 1, p], b));
    let rows = product_rows(Left::Rows { a: &a }, &b);
    let all = [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16].map(|level| {
        level.limit();
        measured(&a, &b, &scale, Some(&shift))
    });
    Level::best().limit();
    let above = |i: usize| (all[0][i].square / naive(rows.row(i), &scale, Some(&shift))[0]).sqrt() - 1.0;
    let (mean, most) = ((0..n).map(above).sum::<f64>() / n as f64, (0..n).map(above).fold(0.0, f64::max));
    assert!(mean > 0.0 && mean < 0.005 && most < 0.01, "{mean} on average, {most} at most");
    for level in &all[1..] {
        let same = |(x, y): (&Measured, &Measured)| (x.square / y.square - 1.0).abs() < 1e-6;
        assert!(all[0].iter().zip(level).all(same), "levels differ by more than sums in f32 do");
    }
}

/// As many scales as the gradient has elements, but of a parameter of other sides.
#[test]
#[should_panic(expected = "for sides [2, 3]")]
fn scales_of_other_sides_are_refused() {
    let (scale, shift) = ([1.0; 6], [0.5; 6]);
    let diagonal = Diagonal::new(&scale, Some(&shift), 3);
    let scales = Scales { scale: &scale, shift: Some(&shift), diagonal: &diagonal };
    let _ = product_measured(Left::Rows { a: &Tensor::zeros([1, 1, 2]) }, &Tensor::zeros([1, 1, 3]), scales);
}
