//! Norms and sums of per-example gradients in coordinates that are shifted and scaled, `scale * (g - shift)`, without forming
//! the gradients of linear maps of one position.

use multiversion::multiversion;
use rayon::prelude::*;

use super::factors::{Factors, Left};
use super::inner;
use crate::memory::Scratch;
use crate::{Mat, Tensor, Threads, product};

/// Examples that are multiplied together.
const ROWS: usize = 512;
/// Scales that a thread works through at a time.
const BLOCK: usize = 1 << 14;
/// A sum of normalised squares below this may have lost terms to underflow in f32: it is taken again in f64.
const FAINT: f64 = 1e-25;

/// What is made of a parameter's scales and shifts once, for all who are measured by them.
pub struct Diagonal {
    /// `(scale / most)^2`.
    squares: Tensor,
    most: f32,
    /// `scale^2 * shift`, and `||scale * shift||^2`.
    shifted: Option<(Tensor, f64)>,
}

impl Diagonal {
    /// Of `scale` and `shift`, which are of one length.
    ///
    /// # Panics
    /// If they are not.
    #[must_use]
    pub fn new(scale: &[f32], shift: Option<&[f32]>) -> Self {
        let most = scale.par_chunks(BLOCK).map(largest).reduce(|| 0.0, f32::max);
        let mut squares = Tensor::unfilled([scale.len()]);
        let blocks = squares.data_mut().par_chunks_mut(BLOCK).zip(scale.par_chunks(BLOCK));
        blocks.for_each(|(to, from)| fill_squares(to, from, most));
        let shifted = shift.map(|shift| {
            assert!(scale.len() == shift.len(), "{} scales and {} shifts", scale.len(), shift.len());
            let mut direction = Tensor::unfilled([scale.len()]);
            let blocks = direction.data_mut().par_chunks_mut(BLOCK).zip(scale.par_chunks(BLOCK));
            let blocks = blocks.zip(shift.par_chunks(BLOCK)).map(|((to, s), a)| fill_direction(to, s, a));
            // Added up in order, so that the sum does not depend on threads.
            let sums: Vec<f64> = blocks.collect();
            (direction, sums.into_iter().sum())
        });
        Diagonal { squares, most, shifted }
    }
}

/// A parameter's scales and shifts, and what was made of them.
#[derive(Clone, Copy)]
pub struct Scales<'a> {
    /// What each coordinate is multiplied with.
    pub scale: &'a [f32],
    /// What is subtracted before.
    pub shift: Option<&'a [f32]>,
    /// [`Diagonal::new`]'s of both.
    pub diagonal: &'a Diagonal,
}

/// The squared norm of a shifted and scaled gradient, and the sum of the sizes of the terms that it was added up from: where it
/// is far below that, f32 may have lost it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// `||scale * (g - shift)||^2`.
    pub square: f64,
    /// At least `||scale * g||^2 + 2 |<scale^2 * shift, g>| + ||scale * shift||^2`.
    pub size: f64,
}

/// The rows of `g` `[n, p]`, measured one number after the other in f64.
///
/// # Panics
/// If there are not `p` scales.
#[must_use]
pub fn rows_measured(g: &Tensor, scales: Scales) -> Vec<Measured> {
    let Scales { scale, shift, diagonal } = scales;
    assert!(scale.len() == g.row_len(), "gradients {g:?} by {} scales", scale.len());
    let constant = diagonal.shifted.as_ref().map_or(0.0, |(_, square)| *square);
    let one = |i: usize| {
        let [square, plain] = match shift {
            None => [square_by(g.row(i), scale); 2],
            Some(shift) => squares_by(g.row(i), scale, shift),
        };
        // No inner product is larger than the product of its sides.
        let size = if shift.is_some() { (plain.sqrt() + constant.sqrt()).powi(2) } else { plain };
        Measured { square, size }
    };
    (0..g.rows()).into_par_iter().map(one).collect()
}

/// The gradients `G_i = b_i a_i^T` of one outer product each, by the closed form: `(b^2)^T scale^2 (a^2)`, and with a shift
/// `- 2 b^T (scale^2 * shift) a + ||scale * shift||^2` besides. None if the factors have several positions.
///
/// Factors are divided by their largest entries before they are squared, so that nothing overflows; where terms may have
/// underflowed the sum is taken again in f64.
///
/// # Panics
/// If the factors do not fit each other or the scales.
#[must_use]
pub fn product_measured(left: Left, b: &Tensor, scales: Scales) -> Option<Vec<Measured>> {
    let factors = Factors::new(left, b);
    assert!(scales.scale.len() == factors.size(), "{} scales for {} elements", scales.scale.len(), factors.size());
    if factors.t != 1 || factors.unfolding.is_some() {
        return None;
    }
    let mut all = vec![Measured::default(); factors.n];
    let scratch = || [const { Scratch::new() }; 3];
    all.par_chunks_mut(ROWS).enumerate().for_each_init(scratch, |scratch, (block, all)| {
        let (d, p, from) = (factors.d, factors.p, block * ROWS);
        let rows = from..from + all.len();
        let a = Mat::new(&factors.a.data()[rows.start * d..rows.end * d], all.len(), d);
        let b = Mat::new(&factors.b.data()[rows.start * p..rows.end * p], all.len(), p);
        plain(all, a, b, scales, scratch);
        if let Some((direction, square)) = &scales.diagonal.shifted {
            shifted(all, a, b, direction.data(), *square, &mut scratch[0]);
        }
    });
    Some(all)
}

/// `||scale * G_i||^2`.
fn plain(all: &mut [Measured], a: Mat, b: Mat, Scales { scale, diagonal, .. }: Scales, scratch: &mut [Scratch; 3]) {
    let [image, left, right] = scratch;
    let (d, p) = (a.cols, b.cols);
    let (left, right, image) = (left.of(a.rows * d), right.of(b.rows * p), image.of(b.rows * p));
    let (a_most, b_most) = (normalised(left, a.data, d), normalised(right, b.data, p));
    let squares = Mat::new(diagonal.squares.data(), p, d);
    product(image, Mat::new(left, a.rows, d), squares.t(), false, Threads::One);
    for (i, measured) in all.iter_mut().enumerate() {
        let sum = inner(&image[i * p..][..p], &right[i * p..][..p]);
        let most = (f64::from(a_most[i]) * f64::from(b_most[i]) * f64::from(diagonal.most)).powi(2);
        let square = match sum < FAINT {
            true if most == 0.0 => 0.0,
            true => slow(&a.data[i * d..][..d], &b.data[i * p..][..p], scale),
            false => sum * most,
        };
        *measured = Measured { square, size: square };
    }
}

/// What a shift adds.
fn shifted(all: &mut [Measured], a: Mat, b: Mat, direction: &[f32], square: f64, image: &mut Scratch) {
    let p = b.cols;
    let image = image.of(b.rows * p);
    product(image, a, Mat::new(direction, p, a.cols).t(), false, Threads::One);
    for (i, measured) in all.iter_mut().enumerate() {
        let dot = inner(&image[i * p..][..p], &b.data[i * p..][..p]);
        measured.square += square - 2.0 * dot;
        measured.size += square + 2.0 * dot.abs();
    }
}

/// `out += scale * (sum - total shift)`: a weighted sum of gradients, of weights that add up to `total`, in the new coordinates.
///
/// # Panics
/// If lengths differ.
pub fn add_scaled_sum(out: &mut [f32], sum: &[f32], scales: Scales, total: f64) {
    let Scales { scale, shift, .. } = scales;
    assert!(out.len() == sum.len() && out.len() == scale.len(), "a sum of {} into {}", sum.len(), out.len());
    let blocks = out.par_chunks_mut(BLOCK).zip(sum.par_chunks(BLOCK)).zip(scale.par_chunks(BLOCK)).enumerate();
    blocks.for_each(|(k, ((out, sum), scale))| match shift {
        None => add_by(out, sum, scale),
        Some(shift) => add_shifted_by(out, sum, scale, &shift[k * BLOCK..][..out.len()], total),
    });
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add_by(out: &mut [f32], sum: &[f32], scale: &[f32]) {
    out.iter_mut().zip(sum.iter().zip(scale)).for_each(|(out, (x, s))| *out += x * s);
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add_shifted_by(out: &mut [f32], sum: &[f32], scale: &[f32], shift: &[f32], total: f64) {
    for ((out, x), (s, a)) in out.iter_mut().zip(sum).zip(scale.iter().zip(shift)) {
        *out += (f64::from(*x) - total * f64::from(*a)) as f32 * s;
    }
}

/// `to = scale^2 shift`, and the sum of `(scale shift)^2`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn fill_direction(to: &mut [f32], scale: &[f32], shift: &[f32]) -> f64 {
    let of = |s: f32, a: f32| (s * s * a, (f64::from(s) * f64::from(a)).powi(2));
    let mut sums = [0.0f64; LANES];
    let ((to, to_rest), (s, s_rest), (a, a_rest)) =
        (to.as_chunks_mut::<LANES>(), scale.as_chunks::<LANES>(), shift.as_chunks::<LANES>());
    for ((to, s), a) in to.iter_mut().zip(s).zip(a) {
        for j in 0..LANES {
            let (direction, square) = of(s[j], a[j]);
            to[j] = direction;
            sums[j] += square;
        }
    }
    for ((to, s), a) in to_rest.iter_mut().zip(s_rest).zip(a_rest) {
        let (direction, square) = of(*s, *a);
        *to = direction;
        sums[0] += square;
    }
    sums.iter().sum()
}

/// Lanes that sums are taken in.
const LANES: usize = 16;

/// The sum of `(scale x)^2`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn square_by(x: &[f32], scale: &[f32]) -> f64 {
    let ((x, x_rest), (s, s_rest)) = (x.as_chunks::<LANES>(), scale.as_chunks::<LANES>());
    let mut sums = [0.0f64; LANES];
    for (x, s) in x.iter().zip(s) {
        (0..LANES).for_each(|j| sums[j] += (f64::from(x[j]) * f64::from(s[j])).powi(2));
    }
    let rest = x_rest.iter().zip(s_rest).map(|(x, s)| (f64::from(*x) * f64::from(*s)).powi(2));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

/// The sums of `(scale (x - shift))^2` and of `(scale x)^2`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn squares_by(x: &[f32], scale: &[f32], shift: &[f32]) -> [f64; 2] {
    let of = |x: f32, s: f32, a: f32| {
        let (x, s) = (f64::from(x), f64::from(s));
        [((x - f64::from(a)) * s).powi(2), (x * s).powi(2)]
    };
    let mut sums = [[0.0f64; LANES]; 2];
    let ((xs, x_rest), (ss, s_rest), (shifts, a_rest)) =
        (x.as_chunks::<LANES>(), scale.as_chunks::<LANES>(), shift.as_chunks::<LANES>());
    for ((x, s), a) in xs.iter().zip(ss).zip(shifts) {
        for j in 0..LANES {
            let [square, plain] = of(x[j], s[j], a[j]);
            sums[0][j] += square;
            sums[1][j] += plain;
        }
    }
    for ((x, s), a) in x_rest.iter().zip(s_rest).zip(a_rest) {
        let [square, plain] = of(*x, *s, *a);
        sums[0][0] += square;
        sums[1][0] += plain;
    }
    sums.map(|sums| sums.iter().sum())
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
mod tests;
