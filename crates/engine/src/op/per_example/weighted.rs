//! Norms and sums of per-example gradients in coordinates that are shifted and scaled, `scale * (g - shift)`, without forming
//! the gradients of linear maps of one position.

use multiversion::multiversion;
use rayon::prelude::*;

use super::factors::{Factors, Left};
use super::inner;
use crate::memory::Scratch;
use crate::{Mat, Tensor, Threads, product};
use shifted::Shifted;

mod shifted;

/// Examples that are multiplied together.
const ROWS: usize = 512;
/// Scales that a thread works through at a time.
const BLOCK: usize = 1 << 14;
/// A sum of normalised squares below this may have lost terms to underflow in f32: it is taken again in f64.
const FAINT: f64 = 1e-25;

/// What is made of a parameter's scales and shifts once, for all who are measured by them.
pub struct Diagonal(Kind);

enum Kind {
    /// `(scale / most)^2`.
    Plain { squares: Tensor, most: f32 },
    /// With a shift.
    Shifted(Shifted),
}

impl Diagonal {
    /// Of `scale` and `shift`, which are of one length, for a parameter whose last axes are of `d` elements: `[p, d]`, `[p]` (one).
    ///
    /// # Panics
    /// If they are not, or that is no multiple of `d`.
    #[must_use]
    pub fn new(scale: &[f32], shift: Option<&[f32]>, d: usize) -> Self {
        if let Some(shift) = shift {
            return Diagonal(Kind::Shifted(Shifted::new(scale, shift, d)));
        }
        let most = largest_of(scale);
        let mut squares = Tensor::unfilled([scale.len()]);
        let blocks = squares.data_mut().par_chunks_mut(BLOCK).zip(scale.par_chunks(BLOCK));
        blocks.for_each(|(to, from)| fill_squares(to, from, most));
        Diagonal(Kind::Plain { squares, most })
    }

    /// `||scale * shift||^2`.
    fn constant(&self) -> f64 {
        match &self.0 {
            Kind::Plain { .. } => 0.0,
            Kind::Shifted(shifted) => shifted.constant(),
        }
    }
}

fn largest_of(x: &[f32]) -> f32 {
    x.par_chunks(BLOCK).map(largest).reduce(|| 0.0, f32::max)
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

/// The squared norm of a shifted and scaled gradient, or a bound of it, and the sum of the sizes of the terms that it was added up from: where it
/// is far below that, f32 may have lost it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// `||scale * (g - shift)||^2`, or a little more.
    pub square: f64,
    /// At least `||scale * g||^2 + 2 |<scale^2 * shift, g>| + ||scale * shift||^2`.
    pub size: f64,
}

impl Measured {
    /// A square that was taken in f64. A gradient is at most as long as the way to the shift and that to the gradient from there, and no
    /// inner product is larger than the product of its sides.
    fn of(square: f64, constant: f64) -> Self {
        Measured { square, size: (square.sqrt() + 2.0 * constant.sqrt()).powi(2) }
    }
}

/// The rows of `g` `[n, p]`, measured one number after the other in f64.
///
/// # Panics
/// If there are not `p` scales.
#[must_use]
pub fn rows_measured(g: &Tensor, scales: Scales) -> Vec<Measured> {
    let Scales { scale, shift, diagonal } = scales;
    assert!(scale.len() == g.row_len(), "gradients {g:?} by {} scales", scale.len());
    let constant = diagonal.constant();
    let one = |i: usize| match shift {
        None => Measured::of(square_by(g.row(i), scale), 0.0),
        Some(shift) => Measured::of(square_from(g.row(i), scale, shift), constant),
    };
    (0..g.rows()).into_par_iter().map(one).collect()
}

/// The gradients `G_i = b_i a_i^T` of one outer product each, by the closed form: `(b^2)^T scale^2 (a^2)`; with a shift an upper
/// bound of the square, by products of rounded factors. None if the factors have several positions.
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
    let a = Mat::new(factors.a.data(), factors.n, factors.d);
    let b = Mat::new(factors.b.data(), factors.n, factors.p);
    Some(match &scales.diagonal.0 {
        Kind::Shifted(shifted) => shifted.measured(a, b, scales),
        Kind::Plain { squares, most } => plain(a, b, squares, (scales.scale, *most)),
    })
}

/// `||scale * G_i||^2`.
fn plain(a: Mat, b: Mat, squares: &Tensor, scale: (&[f32], f32)) -> Vec<Measured> {
    let mut all = vec![Measured::default(); a.rows];
    let scratch = || [const { Scratch::new() }; 3];
    all.par_chunks_mut(ROWS).enumerate().for_each_init(scratch, |scratch, (block, all)| {
        let (from, rows) = (block * ROWS, all.len());
        let a = Mat::new(&a.data[from * a.cols..][..rows * a.cols], rows, a.cols);
        let b = Mat::new(&b.data[from * b.cols..][..rows * b.cols], rows, b.cols);
        plain_block(all, a, b, squares, scale, scratch);
    });
    all
}

fn plain_block(
    all: &mut [Measured],
    a: Mat,
    b: Mat,
    squares: &Tensor,
    (scale, scale_most): (&[f32], f32),
    scratch: &mut [Scratch; 3],
) {
    let [image, left, right] = scratch;
    let (d, p) = (a.cols, b.cols);
    let (left, right, image) = (left.of(a.rows * d), right.of(b.rows * p), image.of(b.rows * p));
    let (a_most, b_most) = (normalised(left, a.data, d), normalised(right, b.data, p));
    let squares = Mat::new(squares.data(), p, d);
    product(image, Mat::new(left, a.rows, d), squares.t(), false, Threads::One);
    for (i, measured) in all.iter_mut().enumerate() {
        let sum = inner(&image[i * p..][..p], &right[i * p..][..p]);
        let most = (f64::from(a_most[i]) * f64::from(b_most[i]) * f64::from(scale_most)).powi(2);
        let square = match sum < FAINT {
            true if most == 0.0 => 0.0,
            true => slow(&a.data[i * d..][..d], &b.data[i * p..][..p], scale),
            false => sum * most,
        };
        *measured = Measured { square, size: square };
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

/// The sum of `(scale (x - shift))^2`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn square_from(x: &[f32], scale: &[f32], shift: &[f32]) -> f64 {
    let of = |x: f32, s: f32, a: f32| ((f64::from(x) - f64::from(a)) * f64::from(s)).powi(2);
    let mut sums = [0.0f64; LANES];
    let ((xs, x_rest), (ss, s_rest), (shifts, a_rest)) =
        (x.as_chunks::<LANES>(), scale.as_chunks::<LANES>(), shift.as_chunks::<LANES>());
    for ((x, s), a) in xs.iter().zip(ss).zip(shifts) {
        (0..LANES).for_each(|j| sums[j] += of(x[j], s[j], a[j]));
    }
    let rest = x_rest.iter().zip(s_rest).zip(a_rest).map(|((x, s), a)| of(*x, *s, *a));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
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
