//! What stands between the norm by Gram matrices and the norm that is reported.
//!
//! # Why this is private
//! *Claim.* With the weight `w`, what an example adds to a sum is no longer than `w` times the norm that `gram_norm` of `gram_norm.cuh` makes of
//! its Gram matrices as they were made, `A` of rows `a_t` and `B` of rows `b_t`.
//! *Argument, for factors that are bf16 in memory.* They are the factors: both matrices, and the sum, are made of these very numbers, whose
//! products are exact in f32. What is lost is bounded twice, term by term, by `s = sum_t |a_t| |b_t|`, the roots of the products of the diagonals, and by norms of
//! matrices; the smaller one counts. (`|M|` is the root of the sum of squares, `tr` the trace.)
//! * *The sum is made of `round(w b)`* (or of `round(w a)`: `weighs_left`), and of the other factor as it is. `w b` is rounded to f32 and then to
//!   bf16, to nearest: an element moves by at most `2^-8 + 2^-23` of itself (`share`), a row by that much of its length, term `t` by that much of
//!   `w |a_t| |b_t|`, and all of them by that much of `w s`, since terms may cancel and these errors do not. Or: the errors are a matrix no longer than `share
//!   w sqrt(tr B)`, and multiplied with rows `a_t` it becomes longer by no more than their largest singular value, whose square is below `|A|`. Terms at
//!   right angles have `s = sqrt(t) n`, and this is about `t^(1/4) n`. Tensor cores cut off in the sum itself: [`cut`] for each of `t` products, of `s`.
//!   Below `2^-126` rounding is no longer relative: an element moves by at most
//!   `2^-134`, a term by `2^-134 sqrt(p) |a_t|`. A row of `|a_t| >= 2^64` overflows its matrix, which makes the norm
//!   infinite and the weight 0, so all such errors together are below `2^-70 t sqrt(p)`: nothing beside the margin of any bound.
//! * *`n^2` is a sum of elements of `A` times those of `B`, as they were made.* Each is within `left` (or `right`), [`cut`] times its products, of its exact value, relative to
//!   `|a_t| |a_s|`. So `n^2` is within `(left + right) s^2`; or within `left tr A |B| + right tr B |A| + left right tr A tr B`. Tensor cores align what they add in one step (16 products and the sum so far) to the
//!   largest, cut each off below `2^-25` of that, towards 0, and then the sum at its 24 bits (Fasi et al. 2021, PeerJ Computer Science 7:e330; Hopper keeps two bits more than f32). These errors need not
//!   have the signs of what they are taken from: with `a_t = (H, x, .., x)`, `b_t = b` for half of the terms and `(H, -x, .., -x)`, `-b` for
//!   the other, where `x^2 < 2^-25 H^2`, all that is left of the gradient is what was cut off. `n^2` is then 0, the gradient
//!   `sqrt(2^-25 d) s` long: 4.8e-3 for `d = 768`, more than `share`. Products of elements of both matrices are then added in f32, sixteen at
//!   a time: `2^-20` of their sizes, and `2^-24` for each part of a row that was put aside (`sums`).
//! * *Below `2^-126` a matrix cannot tell lengths apart.* Elements of its diagonal count as [`FLOOR`] at least, so that what is lost there, `2^-126` a product, is below
//!   `2^-36` of them: a part of [`cut`]. Squares of elements that vanish are below `2^-120`: `least`.
//! * Diagonals, and so `s` and traces, were cut off as well: all shares are larger by four times the slack.
//!
//! The reported norm is above the true one by 0.8 % where `s` is twice the norm, as in a layer whose positions agree; where 512 terms are at right angles by about 2 %, and not
//! by the 9 % of `s`. With `w b` as a sum of two bf16 numbers it would be a part in 500 of that, for a second product.
//!
//! *Factors that are f32 in memory:* see `gpu.rs`.
//!
//! *Tests.* `tests/gpu/bounds.rs`.

use super::gpu::weighs_left;
use super::grams::LONG;
use crate::{Dtype, Gpu, Precision};

/// Rounding to f32.
const EPSILON: f64 = 1.0 / (1 << 24) as f64;

/// What an element of a matrix's diagonal counts as at least in `s`, for factors that are bf16 in memory (`FLOOR` of `grams.cu`).
pub(super) const FLOOR: f64 = 1.0 / (1u128 << 90) as f64;

/// See the head of this file, and `gram_norm.cuh`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Margins {
    pub(super) slack: f64,
    unit: f64,
    middle: f64,
    share: f64,
    left: f64,
    right: f64,
    sums: f64,
    least: f64,
    weighs_left: bool,
}

impl Margins {
    /// Of our own matrices (`grams.rs`) or of a library's, for factors that lie in memory as `dtype`.
    pub(super) fn of(gpu: &Gpu, dtype: Dtype, own: bool, [t, d, p]: [usize; 3]) -> Self {
        let long = if own { LONG } else { usize::MAX };
        if dtype == Dtype::F32 {
            return Self::of_rounded(gpu, own, d.min(long) + p.min(long));
        }
        let [left, right] =
            [d, p].map(|width| width.min(long) as f64 * cut(gpu) + width.div_ceil(long) as f64 * EPSILON);
        let sums = 18.0 * EPSILON;
        let more = 1.0 + 4.0 * (left + right + sums);
        Self {
            slack: (left + right + left * right + sums) * more,
            unit: t as f64 * cut(gpu) * more,
            middle: 1.0,
            share: (2f64.powi(-8) + 2f64.powi(-23)) * more,
            left: left * more,
            right: right * more,
            sums: sums * more,
            least: t as f64 * 2f64.powi(-60),
            weighs_left: weighs_left(d, p),
        }
    }

    /// As the kernels read them.
    pub(super) fn words(self) -> [u64; 9] {
        let Self { slack, unit, middle, share, left, right, sums, least, weighs_left } = self;
        [slack, unit, middle, share, left, right, sums, least, f64::from(u8::from(weighs_left))].map(f64::to_bits)
    }

    /// Where factors are f32 in memory, and perhaps rounded on their way into a product.
    fn of_rounded(gpu: &Gpu, own: bool, numbers: usize) -> Self {
        let slack = match gpu.precision() {
            Precision::F32 => 2f64.powi(-21),
            _ => 2f64.powi(-17) + numbers as f64 * 2f64.powi(-27),
        };
        let (middle, share) = if own {
            let middle = (1.0 + 2f64.powi(-11)).powi(2);
            (middle, middle * (1.5 * 2f64.powi(-10) + 2f64.powi(-19)))
        } else {
            (1.0, 2.0 * gpu.precision().unit())
        };
        Self { slack, unit: share + 2.0 * EPSILON, middle, ..Self::default() }
    }
}

/// What tensor cores may take from a sum for each product in it, of the sum of the products' sizes: cut off where they are
/// aligned, and a share of what is cut off the result of each step (of eight products or more); and what is lost below the range.
fn cut(gpu: &Gpu) -> f64 {
    let hopper = 1.5 * 2f64.powi(-25);
    // Up to two bits less before, and steps of four.
    let aligned = if gpu.has_warpgroups() { hopper } else { 4.0 * hopper };
    aligned + 2f64.powi(-36)
}
