//! What stands, on a processor, between the norm of a sum of outer products and the norm that is reported.
//!
//! # Why this is private
//! *Claim.* With the weight `w`, what an example adds to a sum is no longer than `w` times the norm that is reported for it, up to the rounding of a
//! gradient whose terms do not cancel, which clipping's margin covers; and of one that is formed and kept, whatever its terms do.
//! *Argument.* A sum multiplies `w b_t` and not `b_t` with `a_t`. Each product is rounded twice then, and each of the `t` additions that its term
//! goes through once more, by at most `2^-24` of sizes that are together at most `w s`, `s = sum_t |a_t| |b_t|`: what is added is within
//! `(t + 3) 2^-24 w s` of `w` times the true gradient ([`Allowance::rounded`]). Terms may cancel, and these errors do not: with `b_t = 1`, `a_t = (x, y)` for one
//! and `(x', -y)` for another, every product is exact until a weight with more digits comes in, and what is left of `y` may be any
//! number of times `w n`. So that much is added to the norm `n`. (Additions after an example's last term round what it adds as a whole.)
//! * *A gradient that was formed to be measured* was rounded likewise, once: twice as much is added to its norm.
//! * *Gram matrices* `A` of rows `a_t` and `B` of rows `b_t` (`n^2` is the sum of the products of their elements) are sums of `d` and of `p` products: an element
//!   of `A` is within `(d + 2) 2^-24 |a_t| |a_s|`, and `2^-149` for each product that may have vanished. So the matrix of these errors is
//!   no longer (the root of the sum of squares)
//!   than `e_A = (d + 2) 2^-24 tr A + 2^-149 d t`, and by Cauchy and Schwarz `n^2` is within `e_A |B| + e_B |A| + e_A e_B`, which is added. Factors of 1e-23 beside others of 1e10
//!   are counted by that. Traces and diagonals are sums of such elements themselves: they are taken larger by four times as much.
//! * *Rows that are added at one id* are a sum of such terms in each column ([`of_rows`]), also on a GPU.
//! * Where that is much beside `n^2`, or the terms cancel, the gradient itself is formed.
//! * *Factors longer than [`LONGEST`]* count as infinite, and their example as nobody: for several positions, since squares overflow in their matrix; for
//!   one by [`outer`]. So a weight that is not larger than `1e19` never makes one of them infinite.
//!
//! *Tests.* `tests/allowance.rs`: `what_is_added_is_within_the_reported_norm`, `nothing_vanishes_beside_something_large`, `sums_that_overflow_downwards_are_no_norm`;
//! in `train`, `terms_that_cancel_are_clipped_as_they_are_summed`.

/// Rounding to f32.
const UNIT: f64 = 1.0 / (1 << 24) as f64;
/// What a product may lose to the least f32.
const VANISHED: f64 = 1.0 / ((1u128 << 100) as f64 * (1u64 << 49) as f64);
/// A Gram sum below this part of the sum of its terms' sizes has lost too many digits to cancellation, and so has one that lost this part of it.
pub(super) const CANCELLED: f64 = 1.0 / 64.0;
/// A square that matters to nobody: a norm of 1e-13.
const NOTHING: f64 = 1e-26;
/// The square of the length above which a factor counts as infinite.
const LONGEST: f64 = (1u128 << 126) as f64;

/// The squared norm of one outer product, from those of its sides.
pub fn outer(a: f64, b: f64) -> f64 {
    if a.max(b) > LONGEST { f64::INFINITY } else { a * b }
}

/// How far rows at one id, up to `t` of them, may be from their sum when they are measured and when they are summed, together, in each column: of the sum of
/// their sizes there. A single row is rounded as it is weighed, and no further.
pub(super) fn of_rows(t: usize) -> f64 {
    2.0 * (t as f64 + 3.0) * UNIT
}

/// What an example's Gram matrices tell, of `t` positions, `d` and `p` wide.
pub(super) struct Allowance {
    t: f64,
    widths: [f64; 2],
    /// Sums of squares of elements, at least.
    pub(super) squares: [f64; 2],
    traces: [f64; 2],
    /// `s`.
    lengths: f64,
}

impl Allowance {
    pub(super) fn new(t: usize, widths: [usize; 2]) -> Self {
        Self {
            t: t as f64,
            widths: widths.map(|width| width as f64),
            squares: [0.0; 2],
            traces: [0.0; 2],
            lengths: 0.0,
        }
    }

    /// Takes in an element of each matrix's diagonal.
    pub(super) fn diagonal(&mut self, elements: [f32; 2]) {
        let floors = self.widths.map(|width| width * VANISHED);
        let [a, b] = [0, 1].map(|k| f64::from(elements[k]) + floors[k]);
        self.traces = [self.traces[0] + a, self.traces[1] + b];
        self.lengths += (a * b).sqrt();
    }

    /// Takes in a term that is in no matrix: a row of this length, added as it is.
    pub(super) fn row(&mut self, length: f64) {
        self.lengths += length;
    }

    /// What a table that is used twice may lose besides, of whose rows of the other use the lengths add up to `other`: `<h_t, e_s>` is off like an element of the
    /// first matrix, and is multiplied by elements of rows that the second is of; rows at one id are added up in f32.
    pub(super) fn lost_across(&self, other: f64) -> f64 {
        let [width, _] = self.widths;
        let (share, floor) = ((width + 2.0) * UNIT, self.t * width * VANISHED * (self.t * self.traces[1]).sqrt());
        (2.0 * (share * self.lengths * other + floor) + 3.0 * self.t * UNIT * other * other) * self.more()
    }

    /// How much larger than they are diagonals count.
    fn more(&self) -> f64 {
        1.0 + 4.0 * UNIT * (self.widths[0] + self.widths[1] + 4.0)
    }

    /// How far what is added may be from the gradient, over the weight.
    fn rounded(&self) -> f64 {
        (self.t + 3.0) * UNIT * self.more() * self.lengths
    }

    /// What the Gram sum may have lost.
    pub(super) fn lost(&self) -> f64 {
        let error = |k: usize| {
            ((self.widths[k] + 2.0) * UNIT * self.traces[k] + self.t * self.widths[k] * VANISHED) * self.more()
        };
        let ([a, b], [left, right]) = ([error(0), error(1)], self.squares.map(f64::sqrt));
        a * right + b * left + a * b
    }

    /// The square that is reported for a Gram sum of terms of this `size` together, which lost at most so much; none where that is not near enough.
    pub(super) fn of_grams(&self, square: f64, size: f64, lost: f64) -> Option<f64> {
        let near = square >= CANCELLED * size && lost <= (CANCELLED * square).max(NOTHING);
        near.then(|| ((square + lost).sqrt() + self.rounded()).powi(2))
    }

    /// The square that is reported for a gradient that was formed to be measured.
    pub(super) fn of_formed(&self, square: f64) -> f64 {
        (square.sqrt() + 2.0 * self.rounded()).powi(2)
    }
}
