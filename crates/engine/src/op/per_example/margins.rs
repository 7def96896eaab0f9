//! What stands between the norm by Gram matrices and the norm that is reported.
//!
//! # Why this is private
//! *Claim.* With the weight `w`, what an example adds to a sum is no longer than `w` times the norm that `gram_norm` of `gram_norm.cuh` makes of
//! its Gram matrices as they were made, `A` of rows `a_t` and `B` of rows `b_t`.
//! *Argument.* `n^2` is the sum of the products of their elements. What is lost is bounded twice: term by term, by
//! `s = sum_t |a_t| |b_t|`, the roots of the products of the diagonals; and by norms of matrices (`|M|` is the root of the sum of squares, `tr` the
//! trace). The smaller one counts.
//! * *The sum is made of other numbers than the matrices.* Each number of one factor, that which meets the weight (`weighs_left`), is within
//!   a share `x` of `w` times itself, each number of the other within a share `y` of itself ([`Shares`]). So term `t` is within `x + y`
//!   (and `x y`) of `w |a_t| |b_t|`, and all of them
//!   together are within that of `w s`: terms may cancel, and these errors do not. Or: the errors of `b` are a matrix no longer than
//!   `x sqrt(tr B)`, and multiplied with rows `a_t` it becomes longer by no more than their largest singular value, whose square is
//!   at most `|A|`; likewise those of `a`. Terms at right angles have `s = sqrt(t) n`, and this is about `t^(1/4) n`.
//! * *Sums of products are rounded* ([`lost`]): each element of a matrix is within a share of `|a_t| |a_s|` (`off_a`) or
//!   `|b_t| |b_s|` (`off_b`). So `n^2` is within their sum of `s^2` (`slack`); or within `off_a tr A |B| + off_b tr B |A| + off_a off_b tr A tr B`. These
//!   errors need not have the signs of what they are taken from: with `a_t = (H, x, .., x)`, `b_t = b` for half of the terms and `(H, -x, .., -x)`, `-b`
//!   for the other, `x^2` too small beside `H^2`, all that is left of the gradient is what was cut off: `n^2` is 0, and the gradient `sqrt(2^-25 d) s` long
//!   where tensor cores cut off at `2^-25`, which for `d = 768` is 4.8e-3. Products of elements of both matrices are added in f32, sixteen at a
//!   time: `2^-20` of their sizes, and `2^-24` for each part of a row that was put aside (`sums`). In the weighted sum `t` products are added up: that share of `s`
//!   (`unit`).
//! * *Below `2^-126` f32 cannot tell lengths apart.* Elements of diagonals count as `2^-90` at least (`FLOOR`), so that what is lost there, `2^-126` a product, is
//!   below `2^-36` of them: a part of [`lost`]. Squares of elements that vanish are below `2^-120`: `least`. What is weighed may then move by `2^-134`, a
//!   term by `2^-134 sqrt(p) |a_t|`; but a row of `|a_t| >= 2^64` overflows its matrix, which makes the norm infinite and the
//!   weight 0, so all such errors together are below `2^-70 t sqrt(p)`: nothing beside the margin of any bound.
//! * *A table that is used twice* has three terms, of which the one across may take away nearly all of the others: `n^2` is the square of a
//!   vector only if all three are of the same numbers. So f32 factors are multiplied exactly (`Made::Exactly`), whatever the precision, and
//!   all that the sum rounds is in the shares; bf16 factors are exact anyway. With matrices of cut factors beside f32 numbers, what an
//!   example added was up to 7.7 times what its norm allowed (worked out on a model of TF32, one term, nearly all of it taken away).
//! * Sums of products of finite elements may overflow to minus infinity: such a norm is infinite, too, and the weight 0.
//! * Diagonals, and so `s` and traces, were made of rounded sums as well: all shares are larger by four times the slack.
//!
//! *Tests.* `tests/gpu/margins.rs`, `tests/gpu/bounds.rs`.

use super::gpu::weighs_left;
use crate::{Dtype, Gpu, Precision};

/// Rounding to f32.
const EPSILON: f64 = 1.0 / (1 << 24) as f64;

/// See the head of this file, and `gram_norm.cuh`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    middle: f64,
    share_a: f64,
    share_b: f64,
    unit: f64,
    slack: f64,
    off_a: f64,
    off_b: f64,
    sums: f64,
    least: f64,
}

impl Margins {
    /// Of matrices `made` so, for factors that lie in memory as `dtype`; products of `long` numbers of a row are added up at a time.
    pub(super) fn of(gpu: &Gpu, (dtype, made): (Dtype, Made), long: usize, [t, d, p]: [usize; 3]) -> Self {
        let there = lost(gpu, if made == Made::Exactly { Precision::F32 } else { gpu.precision() });
        // The last step of a row may be of few products, and loses what a whole one does.
        let off =
            |width: usize| width.min(long).next_multiple_of(16) as f64 * there + width.div_ceil(long) as f64 * EPSILON;
        let ([off_a, off_b], sums) = ([d, p].map(off), 18.0 * EPSILON);
        let slack = off_a + off_b + off_a * off_b + sums;
        let more = 1.0 + 4.0 * slack;
        let Shares { middle, weighed, other } = Shares::of(gpu.precision(), dtype, made);
        let both = middle * (weighed * other + t as f64 * lost(gpu, gpu.precision()));
        let [weighed, other] = [weighed, other].map(|share| middle * share * more);
        let (share_a, share_b) = if weighs_left(d, p) { (weighed, other) } else { (other, weighed) };
        let [unit, slack, off_a, off_b, sums] = [both, slack, off_a, off_b, sums].map(|share| share * more);
        Self { middle, share_a, share_b, unit, slack, off_a, off_b, sums, least: t as f64 * 2f64.powi(-60) }
    }

    /// As the kernels read them.
    pub(super) fn words(self) -> [u64; 9] {
        let Self { middle, share_a, share_b, unit, slack, off_a, off_b, sums, least } = self;
        [middle, share_a, share_b, unit, slack, off_a, off_b, sums, least].map(f64::to_bits)
    }
}

/// How Gram matrices were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// By us (`grams.rs`).
    Here,
    /// By a library, in the GPU's precision.
    There,
    /// By a library, of the f32 numbers themselves, whatever the precision of other products.
    Exactly,
}

/// How far factors of the sum are from `middle` times those of the matrices, together, and from the weight.
struct Shares {
    middle: f64,
    weighed: f64,
    other: f64,
}

impl Shares {
    fn of(precision: Precision, dtype: Dtype, made: Made) -> Self {
        let weight = 2.0 * EPSILON;
        match (dtype, precision) {
            // The factors are the numbers that lie in memory, whose products are exact in f32. What is weighed is rounded to f32 and then,
            // to nearest, to bf16: where `s` is twice the norm, that is 0.8 % of it; where 512 terms are at right angles, 2 %. As a
            // sum of two bf16 numbers it would be a part in 250 of that, for a second product.
            (Dtype::Bf16, _) => Self { middle: 1.0, weighed: 2f64.powi(-8) + weight, other: 0.0 },
            (Dtype::F32, Precision::F32) => Self { middle: 1.0, weighed: weight, other: 0.0 },
            // Our own matrices cut factors off, to `a'`, `b'`. In the sum one factor is rounded to nearest, by us, after it was weighed: it is within
            // `2^-10` of `m b'`, `m = 1 + 2^-11`, relative. The other is read by the library, which takes it as it is, or the number of TF32
            // below or above: within `2^-11` of `m a'`.
            (Dtype::F32, Precision::Tf32) if made == Made::Here => {
                let middle = (1.0 + 2f64.powi(-11)).powi(2);
                Self { middle, weighed: 2f64.powi(-10) + weight, other: 2f64.powi(-11) }
            }
            // The sum's products may round either factor, to either side, the one that is weighed after that.
            (Dtype::F32, _) if made == Made::Exactly => {
                Self { middle: 1.0, weighed: precision.unit() + weight, other: precision.unit() }
            }
            // A library may round each number to either side, in the matrices and in the sum. That it rounds the factor that is not weighed
            // alike in both is taken for granted.
            (Dtype::F32, _) => {
                Self { middle: 1.0, weighed: 2.0 * precision.unit() * (1.0 + 2f64.powi(-6)) + weight, other: 0.0 }
            }
        }
    }
}

/// What a sum of products may lose for each of them, of the sum of their sizes, and below f32's range.
///
/// In f32 sums are rounded to nearest: `2^-24` for each addition. Tensor cores align what they add in one step (8 products of TF32 or 16 of bf16,
/// and the sum so far) to the largest, cut each off there, towards 0, and then the sum at its 24 bits (Fasi et al. 2021, PeerJ Computer
/// Science 7:e330): Hopper at `2^-25` of the largest, and those before up to two bits above, in steps of four.
fn lost(gpu: &Gpu, precision: Precision) -> f64 {
    let aligned = match precision {
        Precision::F32 => EPSILON,
        _ if gpu.has_warpgroups() => 1.5 * 2f64.powi(-25),
        _ => 1.5 * 2f64.powi(-23),
    };
    aligned + 2f64.powi(-36)
}
