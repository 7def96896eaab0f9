//! Norms of per-example gradients whose coordinates are scaled, without forming the gradients of linear maps of one position.

use multiversion::multiversion;
use rayon::prelude::*;

use super::factors::{Factors, Left};
use super::inner;
use crate::memory::Scratch;
use crate::{Mat, Tensor, Threads, product};

/// Examples that are multiplied together.
const ROWS: usize = 256;
/// Scales that a thread squares at a time.
const BLOCK: usize = 1 << 14;
/// A sum of normalised squares below this may have lost terms to underflow in f32: it is taken again in f64.
const FAINT: f64 = 1e-25;

/// Squared norms of `scale * (g_i - shift)`, coordinate by coordinate, for the rows of `g` `[n, p]`; without a shift, it is 0.
///
/// # Panics
/// If `scale` or `shift` is not `[p]`.
#[must_use]
pub fn rows_weighted_norms(g: &Tensor, scale: &[f32], shift: Option<&[f32]>) -> Vec<f64> {
    let p = g.row_len();
    assert!(scale.len() == p && shift.is_none_or(|s| s.len() == p), "gradients {g:?} by {} scales", scale.len());
    let square = |x: f32, s: f32, a: f32| ((f64::from(x) - f64::from(a)) * f64::from(s)).powi(2);
    let norm = |i: usize| {
        let pairs = g.row(i).iter().zip(scale);
        match shift {
            None => pairs.map(|(x, s)| square(*x, *s, 0.0)).sum::<f64>(),
            Some(shift) => pairs.zip(shift).map(|((x, s), a)| square(*x, *s, *a)).sum(),
        }
    };
    (0..g.rows()).into_par_iter().map(norm).collect()
}

/// Squared norms of `scale * G_i`, coordinate by coordinate, where `G_i = b_i a_i^T` is one outer product:
/// `(b^2)^T scale^2 (a^2)`. None if the factors have several positions.
///
/// Factors are divided by their largest entries before they are squared, so that nothing overflows; where terms may have
/// underflowed the sum is taken again in f64.
///
/// # Panics
/// If the factors do not fit each other or `scale` is not `[p d]`.
#[must_use]
pub fn product_weighted_norms(left: Left, b: &Tensor, scale: &[f32]) -> Option<Vec<f64>> {
    let factors = Factors::new(left, b);
    assert!(scale.len() == factors.size(), "{} scales for {} elements", scale.len(), factors.size());
    if factors.t != 1 || factors.unfolding.is_some() {
        return None;
    }
    let (n, d, p) = (factors.n, factors.d, factors.p);
    let blocks = scale.par_chunks(BLOCK);
    let most = blocks.clone().map(largest).reduce(|| 0.0, f32::max);
    let mut squares = vec![0.0; scale.len()];
    squares.par_chunks_mut(BLOCK).zip(blocks).for_each(|(to, from)| fill_squares(to, from, most));
    let mut norms = vec![0.0; n];
    let scratch = || [const { Scratch::new() }; 3];
    norms.par_chunks_mut(ROWS).enumerate().for_each_init(scratch, |[image, left, right], (block, norms)| {
        let rows = block * ROWS..block * ROWS + norms.len();
        let (a, b) = (&factors.a.data()[rows.start * d..rows.end * d], &factors.b.data()[rows.start * p..rows.end * p]);
        let (left, right, image) = (left.of(a.len()), right.of(b.len()), image.of(norms.len() * p));
        let (a_most, b_most) = (normalised(left, a, d), normalised(right, b, p));
        let lot = Mat::new(left, norms.len(), d);
        product(image, lot, Mat::new(&squares, p, d).t(), false, Threads::One);
        for (i, norm) in norms.iter_mut().enumerate() {
            let sum = inner(&image[i * p..][..p], &right[i * p..][..p]);
            *norm = match sum < FAINT {
                true => slow(&a[i * d..][..d], &b[i * p..][..p], scale),
                false => sum * (f64::from(a_most[i]) * f64::from(b_most[i]) * f64::from(most)).powi(2),
            };
        }
    });
    Some(norms)
}

/// The largest size of an element; not a number if any is none.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn largest(x: &[f32]) -> f32 {
    // Sizes compare as their bits do, and what is no number lies above all.
    f32::from_bits(x.iter().fold(0, |most, x| most.max(x.to_bits() & !(1 << 31))))
}

/// The squares of elements over `most`; if that is 0, zeros.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn fill_squares(to: &mut [f32], from: &[f32], most: f32) {
    let by = if most > 0.0 { f64::from(most).recip() } else { 1.0 };
    to.iter_mut().zip(from).for_each(|(to, x)| *to = (f64::from(*x) * by).powi(2) as f32);
}

/// The same for each row of `len` elements; their largest sizes.
fn normalised(to: &mut [f32], x: &[f32], len: usize) -> Vec<f32> {
    let most: Vec<f32> = x.chunks(len.max(1)).map(largest).collect();
    let rows = to.chunks_mut(len.max(1)).zip(x.chunks(len.max(1)));
    rows.zip(&most).for_each(|((to, x), most)| fill_squares(to, x, *most));
    most
}

/// The sum of squares of `scale b a^T`, in f64.
fn slow(a: &[f32], b: &[f32], scale: &[f32]) -> f64 {
    let row = |(b, scale): (&f32, &[f32])| {
        let inner: f64 = a.iter().zip(scale).map(|(a, s)| (f64::from(*a) * f64::from(*s)).powi(2)).sum();
        inner * f64::from(*b).powi(2)
    };
    b.iter().zip(scale.chunks(a.len().max(1))).map(row).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::per_example::{product_rows, rows_norms};

    /// Numbers of all sizes, in (-1, 1) times a power of ten.
    fn numbers(n: usize, seed: u32, spread: i32) -> Vec<f32> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f64::from(state >> 8) / f64::from(1 << 24)
        };
        (0..n).map(|_| ((2.0 * next() - 1.0) * 10f64.powf(f64::from(spread) * (2.0 * next() - 1.0))) as f32).collect()
    }

    #[test]
    fn the_closed_form_is_the_definition() {
        for (n, d, p, spread) in [(1, 1, 1, 0), (70, 5, 3, 1), (3, 40, 9, 6), (130, 7, 2, 10), (0, 4, 2, 0)] {
            let a = Tensor::new([n, 1, d], numbers(n * d, 1, spread));
            let b = Tensor::new([n, 1, p], numbers(n * p, 2, spread));
            let mut scale = numbers(p * d, 3, spread / 2);
            if d > 1 {
                scale[0] = 0.0;
            }
            let rows = product_rows(Left::Rows { a: &a }, &b);
            let want = rows_weighted_norms(&rows, &scale, None);
            let got = product_weighted_norms(Left::Rows { a: &a }, &b, &scale).unwrap();
            for (got, want) in got.iter().zip(&want) {
                assert!((got - want).abs() <= 4e-6 * want, "{got} instead of {want}");
            }
        }
    }

    /// The largest entries are masked away; what is left is far below what f32 squares can hold.
    #[test]
    fn faint_terms_behind_a_mask_are_not_lost() {
        let a = Tensor::new([1, 1, 2], vec![1e19, 1e-12]);
        let b = Tensor::new([1, 1, 1], vec![1.0]);
        let got = product_weighted_norms(Left::Rows { a: &a }, &b, &[0.0, 1.0]).unwrap()[0];
        assert!((got / 1e-24 - 1.0).abs() < 1e-5, "{got}");
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for bad in [f32::NAN, f32::INFINITY] {
            let a = Tensor::new([2, 1, 2], vec![1.0, bad, 1.0, 1.0]);
            let b = Tensor::new([2, 1, 1], vec![1.0, 2.0]);
            let got = product_weighted_norms(Left::Rows { a: &a }, &b, &[1.0, 1.0]).unwrap();
            assert!(!got[0].is_finite() && (got[1] - 8.0).abs() < 1e-5, "{got:?}");
        }
    }

    #[test]
    fn a_shift_is_subtracted_first() {
        let g = Tensor::new([2, 2], vec![3.0, 4.0, 1.0, 1.0]);
        assert_eq!(rows_weighted_norms(&g, &[2.0, 0.5], Some(&[1.0, 1.0])), [16.0 + 2.25, 0.0]);
        assert_eq!(rows_weighted_norms(&g, &[1.0, 1.0], None), rows_norms(&g));
    }

    #[test]
    fn several_positions_have_no_closed_form() {
        let a = Tensor::zeros([1, 2, 2]);
        assert_eq!(product_weighted_norms(Left::Rows { a: &a }, &Tensor::zeros([1, 2, 3]), &[1.0; 6]), None);
    }
}
