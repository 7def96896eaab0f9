//! From words to normals: Box & Muller (1958) in double precision, without a branch or a library call.
//!
//! Only `+ - * /`, the fused multiply-add and the square root are used, which IEEE 754 rounds exactly, so that a stream holds
//! the same normals on every machine; and loops over them become vector code. (Where a processor has no fused multiply-add, as
//! x86 before 2013, it is a slow library call, with the same result.) The polynomials are those of Sun's fdlibm (`e_log.c`,
//! `k_sin.c`, `k_cos.c`). What they are asked at is cut out of a word's bits: a mantissa and an exponent, a quarter of the
//! circle and the signed rest.
//!
//! # Why this is private
//!
//! Claim: independent uniform words become independent standard normals, to double precision: the radius is right to 3e-16
//! of its size, and so are cosine and sine to 3e-16.
//!
//! Argument: Box & Muller 1958. With 53-bit uniforms the largest normal is `sqrt(-2 ln 2^-53) = 8.57`; what is cut off has
//! probability `1e-17`, which any useful delta dwarfs.
//!
//! Checked by: `tests::normals_pass_kolmogorov_and_smirnov`, `tests::the_first_four_moments_are_right`,
//! `tests::radius_and_circle_are_exact_to_rounding`, `tests::tails_reach_beyond_eight`.

#![allow(clippy::excessive_precision, reason = "the coefficients stand as they were published")]

use std::f64::consts::{FRAC_PI_2, LN_2};

use multiversion::multiversion;

/// The bits of the root of one half.
const ROOT_HALF: i64 = 0x3fe6_a09e_667f_3bcd;
/// The sign of a double, and of a word that is taken for a signed number.
const SIGN: u64 = 1 << 63;
/// `-2 ln(m)` over `s = (m - 1) / (m + 1)`, in powers of `s^2`.
const LOG: [f64; 8] = [
    -2.0 * 1.479_819_860_511_658_591e-1,
    -2.0 * 1.531_383_769_920_937_332e-1,
    -2.0 * 1.818_357_216_161_805_012e-1,
    -2.0 * 2.222_219_843_214_978_396e-1,
    -2.0 * 2.857_142_874_366_239_149e-1,
    -2.0 * 3.999_999_999_940_941_908e-1,
    -2.0 * 6.666_666_666_666_735_130e-1,
    -4.0,
];
/// The sine of `x` over `x`, in powers of `x^2`.
const SIN: [f64; 7] = [
    1.589_690_995_211_550_102_21e-10,
    -2.505_076_025_340_686_341_95e-8,
    2.755_731_370_707_006_767_89e-6,
    -1.984_126_982_985_794_931_34e-4,
    8.333_333_333_322_489_461_24e-3,
    -1.666_666_666_666_663_243_48e-1,
    1.0,
];
/// The cosine of `x`, in powers of `x^2`.
const COS: [f64; 8] = [
    -1.135_964_755_778_819_482_65e-11,
    2.087_572_321_298_174_827_90e-9,
    -2.755_731_435_139_066_330_35e-7,
    2.480_158_728_947_672_941_78e-5,
    -1.388_888_888_887_410_957_49e-3,
    4.166_666_666_666_660_190_37e-2,
    -0.5,
    1.0,
];

/// The top 53 bits of a word as a multiple of `2^-53` in `[0, 1)`.
#[inline(always)]
pub(super) fn uniform(word: u64) -> f64 {
    (word >> 11) as f64 * 2f64.powi(-53)
}

/// Each pair of words as a pair of independent standard normals. Both slices have one even length.
///
/// Vector instructions are chosen at run time; the numbers are the same with all of them.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+fma", "x86_64+avx2+fma"))]
pub(super) fn box_muller(words: &[u64], out: &mut [f64]) {
    for (pair, normals) in words.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        *normals = pair_of_normals(*pair);
    }
}

/// `sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v)`, where `u` in `(0, 1]` and `v` in `[0, 1)` are the words' top 53 bits (of `u` the
/// next larger multiple of `2^-53`, so that the logarithm is finite).
#[inline(always)]
fn pair_of_normals([first, second]: [u64; 2]) -> [f64; 2] {
    let radius = square_of_radius(first).sqrt();
    let [cos, sin] = circle(second);
    [radius * cos, radius * sin]
}

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum: f64, c| sum.mul_add(x, *c))
}

/// `-2 ln u` for `u` the word's top 53 bits and one as a multiple of `2^-53`.
#[inline(always)]
fn square_of_radius(word: u64) -> f64 {
    let whole = ((word >> 11) + 1) as i64 as f64;
    let bits = whole.to_bits() as i64;
    // A power of two, and a mantissa between the roots of one half and of two.
    let exponent = (bits - ROOT_HALF) >> 52;
    let rest = f64::from_bits((bits - (exponent << 52)) as u64) - 1.0;
    let s = rest / (2.0 + rest);
    ((exponent - 53) as f64).mul_add(-2.0 * LN_2, s * polynomial(&LOG, s * s))
}

/// Cosine and sine of as many full turns as the word's top 53 bits are a multiple of `2^-53`.
#[inline(always)]
fn circle(word: u64) -> [f64; 2] {
    // The nearest quarter is in the two high bits; what is left, as a signed number, is at most half a quarter.
    let quarter = word.wrapping_add(1 << 61);
    let left = ((word & !0x7ff) << 2) as i64;
    let x = left as f64 * (FRAC_PI_2 * 2f64.powi(-64));
    let (sin, cos) = (x * polynomial(&SIN, x * x), polynomial(&COS, x * x));
    let odd = quarter & (1 << 62) != 0;
    let (c, s) = if odd { (sin, cos) } else { (cos, sin) };
    let turn = |x: f64, sign: u64| f64::from_bits(x.to_bits() ^ (sign & SIGN));
    [turn(c, quarter ^ (quarter << 1)), turn(s, quarter)]
}

#[cfg(test)]
#[path = "normal_tests.rs"]
mod tests;
