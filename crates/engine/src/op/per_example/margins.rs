//! What stands between the norm by Gram matrices and the norm that is reported.
//!
//! # Why this is private
//! *Claim.* With the weight `w`, what an example adds to a sum is no longer than `w` times
//! `middle sqrt(n^2 + slack s^2) + unit s`, where `n^2` is the sum of the products of its Gram matrices as they were made, and `s` that of
//! the roots of their diagonals' products: `sum_t |a_t| |b_t|`.
//! *Argument, for factors that are bf16 in memory.* They are the factors: both matrices, and the sum, are made of these very numbers, whose
//! products are exact in f32.
//! * `unit`: the sum is made of `round(w b)` (or of `round(w a)`; the other factor as it is). `w b` is rounded to f32 and then to
//!   bf16, to nearest: an element moves by at most `2^-8 + 2^-23` of itself, a row by that much of its length, term `t` by that much of
//!   `w |a_t| |b_t|`. Terms may cancel and these errors do not: all of them together are that share of `w s`. In the sum itself the tensor
//!   cores cut off: `t` products, each of which [`cut`] may be lost of. Below `2^-126` rounding is no longer relative: an element moves by at most
//!   `2^-134`, a term by `2^-134 sqrt(p) |a_t|`. A row of `|a_t| >= 2^64` overflows its matrix, which makes the norm
//!   infinite and the weight 0, so all such errors together are below `2^-70 t sqrt(p)`: nothing beside the margin of any bound.
//! * `slack`: each element of a matrix is within [`cut`] times its products of their exact sum, relative to `|a_t| |a_s|`. So `n^2` is
//!   within the two shares' sum of `s^2`. Tensor cores align what they add in one step (16 products and the sum so far) to the largest, cut each off below 2^-25 of
//!   that, towards 0, and then the sum at its 24 bits (Fasi et al. 2021, PeerJ Computer Science 7:e330; Hopper keeps two bits more than f32). These errors need not
//!   have the signs of what they are taken from: with `a_t = (H, x, .., x)`, `b_t = b` for half of the terms and `(H, -x, .., -x)`, `-b` for
//!   the other, where `x^2 < 2^-25 H^2`, all that is left of the gradient is what was cut off. `n^2` is then 0, the gradient
//!   `sqrt(2^-25 d) s` long: 4.8e-3 for `d = 768`, which `unit s` alone would not cover. Products of elements of both matrices are then added in f32, sixteen at
//!   a time: `2^-20`, and `2^-24` for each part of a row that was put aside.
//! * Below `2^-126` a matrix cannot tell lengths apart. Elements of its diagonal count as [`FLOOR`] at least: that makes `unit s` larger
//!   than what is lost so, `sqrt(2^-126 d)` of the other factor's rows, as long as `d` is below `2^18`.
//! * `s` is made of diagonals that were cut off as well: both shares are larger by twice the slack.
//!
//! The reported norm is above the true one by `2^-8 s` or a little more: by 4.4 % where `t = 128` terms are at right angles, by 0.8 % where
//! `s` is twice the norm, as in a layer whose positions agree. With `w b` as a sum of two bf16 numbers it would be `2^-17 s`, for a second product.
//!
//! *Factors that are f32 in memory:* see `gpu.rs`.
//!
//! *Tests.* `tests/gpu/bounds.rs`.

use super::grams::LONG;
use crate::{Dtype, Gpu, Precision};

/// Rounding to f32.
const EPSILON: f64 = 1.0 / (1 << 24) as f64;

/// What an element of a matrix's diagonal counts as at least in `s`, for factors that are bf16 in memory (`FLOOR` of `grams.cu`).
pub(super) const FLOOR: f64 = 1.0 / (1u128 << 90) as f64;

/// See the head of this file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Margins {
    pub(super) slack: f64,
    pub(super) unit: f64,
    pub(super) middle: f64,
}

impl Margins {
    /// Of our own matrices (`grams.rs`) or of a library's, for factors that lie in memory as `dtype`.
    pub(super) fn of(gpu: &Gpu, dtype: Dtype, own: bool, [t, d, p]: [usize; 3]) -> Self {
        let long = if own { LONG } else { usize::MAX };
        let numbers = d.min(long) + p.min(long);
        match dtype {
            Dtype::F32 => Self::of_rounded(gpu, own, numbers),
            Dtype::Bf16 => {
                let parts = d.div_ceil(long) + p.div_ceil(long) + 2;
                let slack = numbers as f64 * cut(gpu) + 16.0 * EPSILON + parts as f64 * EPSILON;
                let unit = 2f64.powi(-8) + 2f64.powi(-23) + t as f64 * cut(gpu);
                let more = 1.0 + 2.0 * slack;
                Self { slack: slack * more * more, unit: unit * more, middle: 1.0 }
            }
        }
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
        Self { slack, unit: share + 2.0 * EPSILON, middle }
    }
}

/// What tensor cores may take from a sum for each product in it, of the sum of the products' sizes: cut off where they are
/// aligned, and a share of what is cut off the result of each step.
fn cut(gpu: &Gpu) -> f64 {
    let hopper = 1.5 * 2f64.powi(-25);
    // Up to two bits less before.
    if gpu.has_warpgroups() { hopper } else { 4.0 * hopper }
}
