//! Bulk noise: a pair of f32 normals from one word, 32 bits of it for the radius and 32 for the angle (Box & Muller 1958).
//!
//! Noise of a release is millions of numbers that are rounded to f32, and the cipher is most of what they cost; one scalar, or
//! whoever needs doubles, has [`super::normal`]. Only `+ - *`, the fused multiply-add, the square root and conversions are used,
//! in f32, which IEEE 754 rounds exactly: processors and GPUs make the same numbers, bit by bit (`engine/src/cuda/noise.cu`).
//!
//! A radius word stands for a cell of width `2^-32` of the uniform, and for its middle. Where that is too coarse, next to 0 (the
//! tail) and next to 1, [`rare`] says so, and 32 more bits divide the cell into `2^32`. They come from a block of the key stream
//! that is the pair's own, so that a stream stays a function of the index.
//!
//! # Why this is private
//!
//! Claim: independent uniform words become pairs of normals that are within `5e-7 max(r, 0.1)` of pairs of independent true
//! normals, `r` their radius, but for 3e-14 of the pairs, in the tail beyond 7.9, which ends at 9.49. (True pairs lie beyond
//! that with probability `2^-65 = 3e-20`, beyond the 8.57 of 53 bits with 1e-16.)
//!
//! Argument: a true pair is the transform of a real uniform `u` and a real turn; the middles of their cells give the pair made here.
//! - The turn is off by at most half of `2^-32`: the pair moves by `7.3e-10 r`.
//! - The uniform is off by half a cell, the radius by `2^-33 / (u r)`. Cells that stay whole have `u >= 2^-13`, which is
//!   `5.3e-8 r`, less than the `2^-24 r` of rounding to f32, and `1 - u >= 2^-16`, which is 2.1e-8. Cells that are divided have
//!   `2^-65` for `2^-33`: no more than `5.3e-8 r` down to `u = 2^-45` (3e-14), less than 1e-9 next to 1.
//! - Arithmetic: four roundings of `2^-24` and a polynomial's 4e-9 put the square of the radius off by 2.5e-7 of itself, so the
//!   radius by 1.9e-7; cosine and sine by 1.2e-7; the product rounds by `2^-24` once more. That is the larger part: 3.7e-7.
//!
//! What it is worth: all of it together is what one addition to a sum of size 8 rounds away (`2^-21`) where noise has size 1. As far
//! as it takes from the noise's deviation, that is less than 5e-7 of it, and the margin of 1e-5 on every vouched bound is twenty times
//! as much; on a grid of words the mean square is right to 1e-7.
//!
//! Not claimed: low bits. Of the pairs of floats of one size a pair made here is some and not others, where one made in doubles
//! and rounded would be nearly any. Whoever knows a sum but for one example can look for that, as for the gaps that f32 noise gets anyhow
//! when it is multiplied by its deviation: [`super`] claims nothing for either. And that a pair took more bits shows in time, a
//! microsecond in one of seven thousand pairs, to whoever can watch the machine and so see the key.
//!
//! Checked by: `tests::rare_radii_have_the_law_of_the_tail_and_of_the_centre`, `tests::divided_cells_lie_where_the_whole_ones_lie`,
//! `tests::the_tail_reaches_beyond_nine`, `tests::radius_and_circle_are_right_to_their_bounds`,
//! `tests::radius_and_angle_of_a_pair_are_independent`, `tests::an_even_grid_of_words_has_the_moments_of_normals`,
//! `tests::normals_pass_kolmogorov_and_smirnov`, `super::tests::bulk_noise_has_blocks_of_its_own`.

use multiversion::multiversion;

/// Radius words below this, of `2^32`, are divided further: the tail beyond 4.2.
const TAIL: u32 = 1 << 19;
/// And as many next to the end: radii below 0.0055.
const CENTRE: u32 = 1 << 16;
/// The uniforms' cells are `2^-WHOLE` wide, those of divided ones `2^-DIVIDED`.
const WHOLE: u32 = 32;
const DIVIDED: u32 = 64;

/// Pairs that are made side by side.
const LANES: usize = 16;
/// `(-2 ln(1 - x / 2) - x) / x^2` for `x` in `[0, 1]`, in powers of `x`: to 4e-9 of the logarithm.
const LOG: [f32; 9] = [
    0.003_405_158,
    -0.009_673_63,
    0.015_397_896,
    -0.009_254_197,
    0.010_627_131,
    0.010_992_159,
    0.031_483_58,
    0.083_315_81,
    0.250_000_45,
];
/// `(sin(x) / x - 1) / x^2`, in powers of `x^2`, for `x` up to an eighth of a turn: to 4e-9 of the sine.
const SIN: [f32; 3] = [-0.000_195_187_91, 0.008_332_192, -0.166_666_55];
/// `(cos(x) - 1) / x^2`, in powers of `x^2`, for the same: to 1e-10.
const COS: [f32; 4] = [2.443_067e-5, -0.001_388_730_1, 0.041_666_646, -0.5];

/// Each word as a pair of normals, as if none were [`rare`]. There are twice as many normals as words.
///
/// Vector instructions are chosen at run time; the numbers are the same with all of them.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) fn pairs(words: &[u64], out: &mut [f32]) {
    let ((some, few), (outs, end)) = (words.as_chunks(), out.as_chunks_mut());
    some.iter().zip(outs).for_each(|(words, out)| together(words, out));
    for (word, normals) in few.iter().zip(end.as_chunks_mut().0) {
        *normals = pair(square_of_whole(*word as u32), (word >> 32) as u32);
    }
}

/// Pairs that fill vectors of f32.
#[inline(always)]
fn together(words: &[u64; LANES], out: &mut [f32; 2 * LANES]) {
    let (radii, turns) = (words.map(|word| word as u32), words.map(|word| (word >> 32) as u32));
    let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
    for k in 0..LANES {
        [x[k], y[k]] = pair(square_of_whole(radii[k]), turns[k]);
    }
    for k in 0..LANES {
        [out[2 * k], out[2 * k + 1]] = [x[k], y[k]];
    }
}

/// Whether any of the words is [`rare`].
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn any_rare(words: &[u64]) -> bool {
    words.iter().fold(0, |any, word| any | u32::from(rare(*word))) != 0
}

/// `out += by x` for each normal `x`, the product rounded once. Both slices have one length.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn add(normals: &[f32], by: f64, out: &mut [f32]) {
    out.iter_mut().zip(normals).for_each(|(out, x)| *out += (f64::from(*x) * by) as f32);
}

/// Whether 32 bits are too few for the radius of this word's pair: once in 7282 words.
#[inline(always)]
pub(super) fn rare(word: u64) -> bool {
    (word as u32).wrapping_add(CENTRE) < TAIL + CENTRE
}

/// The pair of normals of a [`rare`] word and the 32 bits that divide its cell.
pub(super) fn rare_pair(word: u64, more: u32) -> [f32; 2] {
    let cell = word << 32 | u64::from(more);
    pair(square_of_radius(cell as i64 as f32 + 0.5, DIVIDED), (word >> 32) as u32)
}

/// `-2 ln u` for the middle `u` of the radius word's cell.
#[inline(always)]
fn square_of_whole(word: u32) -> f32 {
    square_of_radius(word as i32 as f32 + 0.5, WHOLE)
}

/// `-2 ln u` where `2^bits u` is `cells`, or, of the upper half, which counts as negative numbers, `2^bits` more.
#[inline(always)]
fn square_of_radius(cells: f32, bits: u32) -> f32 {
    // Of the upper half `1 - u` is known best. Else `u` is some halves times a number between a half and 1. Either way it is
    // `1 - x / 2` that is left.
    let near = cells < 0.0;
    let mantissa = f32::from_bits(cells.to_bits() & 0x007f_ffff | 0x3f80_0000);
    // The exponent, as a float by way of the last digits of 2^23.
    let exponent = f32::from_bits(cells.to_bits() >> 23 | 0x4b00_0000);
    let (width, least) = (f32::from_bits((128 - bits) << 23), 8_388_608.0 + (bits + 126) as f32);
    let (x, halves) = if near { (cells * -width, 0.0) } else { (2.0 - mantissa, least - exponent) };
    halves.mul_add(2.0 * std::f32::consts::LN_2, (x * x).mul_add(polynomial(&LOG, x), x))
}

/// A pair of normals from the square of their radius and a turn: a quarter, and the cell of it as a signed number.
#[inline(always)]
fn pair(square: f32, turn: u32) -> [f32; 2] {
    let radius = square.sqrt();
    // The middle of a cell is half a cell further.
    let x = ((turn << 2) as i32 as f32).mul_add(CELL, 2.0 * CELL);
    let z = x * x;
    let sin = (z * polynomial(&SIN, z)).mul_add(x, x);
    let cos = polynomial(&COS, z).mul_add(z, 1.0);
    let (c, s) = if turn & (1 << 30) != 0 { (-sin, cos) } else { (cos, sin) };
    let radius = f32::from_bits(radius.to_bits() ^ turn & (1 << 31));
    [radius * c, radius * s]
}

/// A quarter of a turn over `2^32`.
const CELL: f32 = std::f32::consts::FRAC_PI_2 / 4_294_967_296.0;

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial(coefficients: &[f32], x: f32) -> f32 {
    coefficients[1..].iter().fold(coefficients[0], |sum, c| sum.mul_add(x, *c))
}

#[cfg(test)]
#[path = "bulk_tests.rs"]
mod tests;
