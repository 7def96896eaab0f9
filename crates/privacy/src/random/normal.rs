//! From words to normals: Box & Muller (1958) in double precision, without a branch or a library call.
//!
//! Only `+ - * /` and the square root are used, which IEEE 754 rounds exactly, so that a stream holds the same normals on
//! every machine; and loops over them become vector code. The polynomials are those of Sun's fdlibm (`e_log.c`, `k_sin.c`,
//! `k_cos.c`), good to one unit in the last place.
//!
//! # Why this is private
//!
//! Claim: independent uniform words become independent standard normals, to double precision.
//!
//! Argument: Box & Muller 1958. With 53-bit uniforms the largest normal is `sqrt(-2 ln 2^-53) = 8.57`; what is cut off has
//! probability `1e-17`, which any useful delta dwarfs.
//!
//! Checked by: `tests::normals_pass_kolmogorov_and_smirnov`, `tests::the_first_four_moments_are_right`,
//! `tests::logarithm_and_circle_are_exact_to_rounding`, `tests::tails_reach_beyond_eight`.

#![allow(clippy::excessive_precision, reason = "the coefficients stand as they were published")]

use std::f64::consts::{FRAC_PI_2, SQRT_2};

use multiversion::multiversion;

/// 2^52: doubles from here to its double are integers, which sit in their low bits.
const INTEGERS: f64 = 4_503_599_627_370_496.0;
const LN_2_HIGH: f64 = 6.931_471_803_691_238_164_90e-1;
const LN_2_LOW: f64 = 1.908_214_929_270_587_700_02e-10;
const LOG: [f64; 7] = [
    1.479_819_860_511_658_591e-1,
    1.531_383_769_920_937_332e-1,
    1.818_357_216_161_805_012e-1,
    2.222_219_843_214_978_396e-1,
    2.857_142_874_366_239_149e-1,
    3.999_999_999_940_941_908e-1,
    6.666_666_666_666_735_130e-1,
];
const SIN: [f64; 6] = [
    1.589_690_995_211_550_102_21e-10,
    -2.505_076_025_340_686_341_95e-8,
    2.755_731_370_707_006_767_89e-6,
    -1.984_126_982_985_794_931_34e-4,
    8.333_333_333_322_489_461_24e-3,
    -1.666_666_666_666_663_243_48e-1,
];
const COS: [f64; 6] = [
    -1.135_964_755_778_819_482_65e-11,
    2.087_572_321_298_174_827_90e-9,
    -2.755_731_435_139_066_330_35e-7,
    2.480_158_728_947_672_941_78e-5,
    -1.388_888_888_887_410_957_49e-3,
    4.166_666_666_666_660_190_37e-2,
];

/// The top 53 bits of a word as a multiple of `2^-53` in `[0, 1)`.
#[inline(always)]
pub(super) fn uniform(word: u64) -> f64 {
    (word >> 11) as f64 * 2f64.powi(-53)
}

/// Each pair of words as a pair of independent standard normals. Both slices have one even length.
///
/// Vector instructions are chosen at run time; the numbers are the same with all of them.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn box_muller(words: &[u64], out: &mut [f64]) {
    for (pair, normals) in words.as_chunks().0.iter().zip(out.as_chunks_mut().0) {
        *normals = pair_of_normals(*pair);
    }
}

/// Each number rounded once. Both slices have one length.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn round(numbers: &[f64], out: &mut [f32]) {
    out.iter_mut().zip(numbers).for_each(|(out, x)| *out = *x as f32);
}

/// `out += by x` for each number `x` rounded once. Both slices have one length.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl", "x86_64+avx2"))]
pub(super) fn add_rounded(numbers: &[f64], by: f64, out: &mut [f32]) {
    out.iter_mut().zip(numbers).for_each(|(out, x)| *out += (f64::from(*x as f32) * by) as f32);
}

/// `sqrt(-2 ln u) (cos 2 pi v, sin 2 pi v)` with `u` in `(0, 1]`, so that the logarithm is finite.
#[inline(always)]
fn pair_of_normals([first, second]: [u64; 2]) -> [f64; 2] {
    let radius = (-2.0 * ln(uniform(first) + 2f64.powi(-53))).sqrt();
    let [cos, sin] = cos_sin_turns(uniform(second));
    [radius * cos, radius * sin]
}

/// The polynomial with these coefficients, highest power first.
#[inline(always)]
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, c| sum * x + c)
}

/// The natural logarithm of a normal positive number.
#[inline(always)]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mantissa = f64::from_bits(bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000);
    let large = mantissa > SQRT_2;
    let f = if large { mantissa * 0.5 } else { mantissa } - 1.0;
    let exponent =
        f64::from_bits(bits >> 52 | INTEGERS.to_bits()) - (INTEGERS + 1023.0) + if large { 1.0 } else { 0.0 };
    let s = f / (2.0 + f);
    let half_square = 0.5 * f * f;
    let rest = s * s * polynomial(&LOG, s * s);
    exponent * LN_2_HIGH - ((half_square - (s * (half_square + rest) + exponent * LN_2_LOW)) - f)
}

/// Cosine and sine of `turns` full turns, for `turns` in `[0, 1)`.
#[inline(always)]
fn cos_sin_turns(turns: f64) -> [f64; 2] {
    let shifted = 4.0 * turns + 0.5;
    let nearest = shifted + INTEGERS - INTEGERS;
    let whole = nearest - if nearest > shifted { 1.0 } else { 0.0 };
    let quarter = (whole + INTEGERS).to_bits();
    let x = (4.0 * turns - whole) * FRAC_PI_2;
    let z = x * x;
    let sin = x + x * z * polynomial(&SIN, z);
    let cos = 1.0 - (0.5 * z - z * z * polynomial(&COS, z));
    let (c, s) = if quarter & 1 == 0 { (cos, sin) } else { (-sin, cos) };
    if quarter & 2 == 0 { [c, s] } else { [-c, -s] }
}

#[cfg(test)]
#[path = "normal_tests.rs"]
mod tests;
