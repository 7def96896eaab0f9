//! Upper bounds of `||s o (b a^T - m)||^2`, for public scales `s` and shifts `m`, by two products of rounded factors.
//!
//! The square is `T - 2 D + K^2`, with `T = (b^2)^T s^2 (a^2)`, `D = b^T (s^2 m) a` and `K = ||s o m||`: two products of a layer's size
//! for each example, beside the three that all of a training step is made of. Factors of bf16 make them at twice the rate.
//!
//! # Why this is private
//! *Claim.* `square` is never below the true one, up to the margin that every norm in f32 has, and depends on its own example alone.
//! *Argument.* `s^2` and `a^2` are rounded up, and have no negative numbers, so that `T` is over-estimated, by at most `(1 + 2^-7)^2`. `a` and
//! `s^2 m` are rounded to the nearest, each to within 2^-8 of itself, so the error of `D` is at most
//! `(2^-7 + 2^-16) sum |b_i| s_ij |a_j| s_ij |m_ij|`, and by Cauchy and Schwarz that sum is at most `sqrt(T) K`: twice that is added. Sums
//! are made in f32, in fixed orders; whatever the order, a sum of `k` terms is off by at most `k 2^-24` of the sum of their sizes, which
//! are bounded likewise: [`Shifted::slack`]. What the pairs' instruction takes for 0 is below 2^-126 of factors that have largest entries
//! from 1 to 2; where that could matter beside these margins (`T` below [`FAINT`] of its largest possible), and where the terms cancel so
//! far that the bound would be loose, the gradient itself is measured in f64.
//! *Tests.* `a_shifted_norm_is_never_below_the_true_one` (every level, adversarial factors); in `train`, on sums of what was clipped by these
//! norms, `no_shift_or_scale_hides_an_examples_length`, `who_cancels_changes_nobody_elses_norm`, and
//! `one_person_more_moves_a_step_by_no_more_than_was_promised`.
//!
//! How far above: by at most 1.6 % where the gradient is orthogonal to the shift, and 7 % where it lies along it; on gradients as they come
//! about 0.3 % (`bounds_are_close`).

use multiversion::multiversion;
use rayon::prelude::*;

use super::{BLOCK, FAINT, LANES, Measured, Scales, largest, largest_of, square_from};
use crate::Mat;
use crate::kernel::{Level, MOST, Panels, Rounding};
use crate::memory::Scratch;

/// Rows that are multiplied by a panel at once.
const TILE: usize = 12;
/// Rows that a thread is given.
const ROWS: usize = 4 * TILE;
/// Words of panels that are gone through together: they stay in the second cache.
const GROUP: usize = 1 << 16;
/// A square below this part of the sum of its terms' sizes is taken again from the gradient itself.
const LOOSE: f64 = 1.0 / 8.0;

/// What is made of a matrix of scales and one of shifts.
pub(super) struct Shifted {
    squares: Panels,
    direction: Panels,
    /// What `s^2` and `s^2 m` were multiplied with.
    by: [f64; 2],
    constant: f64,
    slack: f64,
    /// The parameter's sides, `[p, d]`.
    sides: [usize; 2],
}

/// The sum of the terms of `T` and of `D` for one row, by lanes.
type Sums = [[f32; MOST]; 2];

impl Shifted {
    pub(super) fn new(scale: &[f32], shift: &[f32], d: usize) -> Self {
        assert!(scale.len() == shift.len(), "{} scales and {} shifts", scale.len(), shift.len());
        let d = d.max(1);
        assert!(scale.len().is_multiple_of(d), "{} scales in rows of {d}", scale.len());
        let p = scale.len() / d;
        let blocks = scale.par_chunks(BLOCK).zip(shift.par_chunks(BLOCK)).map(|(s, m)| constants(s, m));
        // Added up in order, so that the sum does not depend on threads.
        let blocks: Vec<[f64; 2]> = blocks.collect();
        let constant = blocks.iter().map(|[square, _]| square).sum();
        let by_scale = unit(largest_of(scale));
        let by_direction = unit_of(blocks.iter().fold(0.0, |most, [_, direction]| direction.max(most)));
        let squares = |i: usize, to: &mut [f32]| fill_scales(to, &scale[i * d..][..d], f64::from(by_scale));
        let direction =
            |i: usize, to: &mut [f32]| fill_direction(to, &scale[i * d..][..d], &shift[i * d..][..d], by_direction);
        // One for both, whose rows go side by side.
        let level = Level::current();
        Shifted {
            squares: Panels::new(level, [d, p], Rounding::Up, squares),
            direction: Panels::new(level, [d, p], Rounding::Nearest, direction),
            by: [f64::from(by_scale).powi(2), by_direction],
            constant,
            slack: Self::slack(p, d),
            sides: [p, d],
        }
    }

    /// `K^2`.
    pub(super) fn constant(&self) -> f64 {
        self.constant
    }

    /// What f32 may lose of a sum of `p d` terms: `d` (twice, without fused additions) in the product, a lane's share of `p` and a few
    /// roundings of each term outside it.
    fn slack(p: usize, d: usize) -> f64 {
        (2 * d + p / 8 + 32) as f64 / f64::from(1 << 24)
    }

    /// The rows of `a` and `b`, an example each.
    ///
    /// # Panics
    /// If their sides are not the parameter's: of as many elements in all, they would be multiplied with others' scales.
    pub(super) fn measured(&self, a: Mat, b: Mat, scales: Scales) -> Vec<Measured> {
        assert!([b.cols, a.cols] == self.sides, "factors of {} and {} for sides {:?}", b.cols, a.cols, self.sides);
        let mut all = vec![Measured::default(); a.rows];
        let work = all.par_chunks_mut(ROWS).enumerate();
        work.for_each_init(Room::new, |room, (block, all)| {
            let [a, b] =
                [a, b].map(|m| Mat::new(&m.data[block * ROWS * m.cols..][..all.len() * m.cols], all.len(), m.cols));
            self.block(all, a, b, scales, room);
        });
        all
    }

    fn block(&self, all: &mut [Measured], a: Mat, b: Mat, scales: Scales, room: &mut Room) {
        let width = self.squares.width() * self.squares.count();
        let steps = self.squares.steps();
        let mut sums = [[[0.0; MOST]; 2]; ROWS];
        let (words, right) = (room.words.of(2 * all.len() * steps), room.right.of(all.len() * width));
        let (squares, values) = words.split_at_mut(all.len() * steps);
        let mut sides = [Side::default(); ROWS];
        for (i, side) in sides[..all.len()].iter_mut().enumerate() {
            let a = &a.data[i * a.cols..][..a.cols];
            let right = &mut right[i * width..][..width];
            *side = Side { a: largest(a), b: largest(&b.data[i * b.cols..][..b.cols]) };
            let row = room.row.of(2 * a.len());
            let (value, square) = row.split_at_mut(a.len());
            fill_row(value, square, a, unit(side.a));
            self.squares.round(square, Rounding::Up, &mut squares[i * steps..][..steps]);
            self.direction.round(value, Rounding::Nearest, &mut values[i * steps..][..steps]);
            right[b.cols..].fill(0.0);
            multiplied(right, &b.data[i * b.cols..][..b.cols], unit(side.b));
        }
        self.add_up(&mut sums[..all.len()], squares, values, right);
        for (i, measured) in all.iter_mut().enumerate() {
            let (a, b) = (&a.data[i * a.cols..][..a.cols], &b.data[i * b.cols..][..b.cols]);
            *measured = self.close(&sums[i], sides[i]).unwrap_or_else(|| exact(a, b, scales, self.constant));
        }
    }

    /// Every row's products with every panel, contracted with its other side.
    fn add_up(&self, sums: &mut [Sums], squares: &[f32], values: &[f32], right: &[f32]) {
        let (panels, width, steps) = (self.squares.count(), self.squares.width(), self.squares.steps().max(1));
        let group = (GROUP / (steps * width)).max(1);
        let mut images = [[[0.0; MOST]; TILE]; 2];
        for first in (0..panels).step_by(group) {
            let tiles = sums.chunks_mut(TILE).zip(right.chunks(TILE * panels * width));
            let rows = squares.chunks(TILE * steps).zip(values.chunks(TILE * steps));
            for ((sums, right), (squares, values)) in tiles.zip(rows) {
                for panel in first..(first + group).min(panels) {
                    self.squares.multiply(squares, panel, &mut images[0]);
                    self.direction.multiply(values, panel, &mut images[1]);
                    for (i, sums) in sums.iter_mut().enumerate() {
                        let right = &right[(i * panels + panel) * width..][..width];
                        contract(sums, &images[0][i], &images[1][i], right);
                    }
                }
            }
        }
    }

    /// The bound, or nothing where it would not be one or be loose.
    fn close(&self, sums: &Sums, side: Side) -> Option<Measured> {
        // What is no number stays so, even beside a side of zeros.
        if f64::from(side.a) * f64::from(side.b) == 0.0 {
            return Some(Measured { square: self.constant, size: self.constant });
        }
        let [sum, dot] = sums.map(|lanes| lanes.iter().map(|x| f64::from(*x)).sum::<f64>());
        if sum < FAINT {
            return None;
        }
        let side = (f64::from(unit(side.a)) * f64::from(unit(side.b))).recip();
        let plain = sum * side * side / self.by[0] * (1.0 + 2.0 * self.slack);
        let dot = dot * side / self.by[1];
        let rounded = 1.0 / 128.0 + 1.0 / 65_536.0;
        let gap = 2.0 * (rounded + self.slack) * plain.sqrt() * self.constant.sqrt();
        let (square, size) = (plain - 2.0 * dot + self.constant + gap, plain + 2.0 * dot.abs() + self.constant + gap);
        (square >= LOOSE * size || size.is_nan()).then_some(Measured { square, size })
    }
}

/// Buffers of a thread.
struct Room {
    words: Scratch,
    right: Scratch,
    row: Scratch,
}

impl Room {
    fn new() -> Room {
        Room { words: Scratch::new(), right: Scratch::new(), row: Scratch::new() }
    }
}

/// The largest entries of a row's two sides.
#[derive(Clone, Copy, Default)]
struct Side {
    a: f32,
    b: f32,
}

/// The power of two that brings a largest entry to at least 1 and below 2, as far as there is one: multiplying by it rounds nothing.
fn unit(most: f32) -> f32 {
    let exponent = most.to_bits() >> 23;
    f32::from_bits(254u32.saturating_sub(exponent).clamp(1, 253) << 23)
}

/// The same for what f64 made of three f32.
fn unit_of(most: f64) -> f64 {
    let exponent = most.to_bits() >> 52;
    f64::from_bits(2046u64.saturating_sub(exponent).clamp(1, 2045) << 52)
}

/// The gradient itself, row by row of the parameter, in f64.
fn exact(a: &[f32], b: &[f32], Scales { scale, shift, .. }: Scales, constant: f64) -> Measured {
    let shift = shift.unwrap_or_default();
    let mut row = vec![0.0; a.len()];
    let mut square = 0.0;
    for (b, (scale, shift)) in b.iter().zip(scale.chunks(a.len()).zip(shift.chunks(a.len()))) {
        row.iter_mut().zip(a).for_each(|(g, a)| *g = a * b);
        square += square_from(&row, scale, shift);
    }
    Measured::of(square, constant)
}

/// The sum of `(s m)^2`, and the largest `s^2 |m|`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn constants(scale: &[f32], shift: &[f32]) -> [f64; 2] {
    let of = |s: f32, m: f32| {
        let (s, m) = (f64::from(s), f64::from(m).abs());
        [(s * m) * (s * m), s * s * m]
    };
    let mut lanes = [[0.0f64; LANES]; 2];
    let ((scales, scale_rest), (shifts, shift_rest)) = (scale.as_chunks::<LANES>(), shift.as_chunks::<LANES>());
    for (s, m) in scales.iter().zip(shifts) {
        for j in 0..LANES {
            let [square, direction] = of(s[j], m[j]);
            lanes[0][j] += square;
            lanes[1][j] = if direction > lanes[1][j] { direction } else { lanes[1][j] };
        }
    }
    let rest = scale_rest.iter().zip(shift_rest).map(|(s, m)| of(*s, *m));
    let all = [lanes[0].iter().sum(), lanes[1].iter().fold(0.0, |most, x| x.max(most))];
    rest.fold(all, |[sum, most], [square, direction]| [sum + square, most.max(direction)])
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn fill_scales(to: &mut [f32], scale: &[f32], by: f64) {
    to.iter_mut().zip(scale).for_each(|(to, s)| *to = ((f64::from(*s) * by) * (f64::from(*s) * by)) as f32);
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn fill_direction(to: &mut [f32], scale: &[f32], shift: &[f32], by: f64) {
    for (to, (s, m)) in to.iter_mut().zip(scale.iter().zip(shift)) {
        let s = f64::from(*s);
        *to = (s * s * f64::from(*m) * by) as f32;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn fill_row(value: &mut [f32], square: &mut [f32], x: &[f32], by: f32) {
    for ((value, square), x) in value.iter_mut().zip(square).zip(x) {
        *value = x * by;
        *square = *value * *value;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn multiplied(to: &mut [f32], x: &[f32], by: f32) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to = x * by);
}

/// One row's images under both matrices with its other side: the terms of `T` and `D`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn contract(sums: &mut Sums, squares: &[f32; MOST], direction: &[f32; MOST], right: &[f32]) {
    let [plain, dot] = sums;
    for (k, right) in right.as_chunks::<8>().0.iter().enumerate().take(MOST / 8) {
        for (j, b) in (8 * k..8 * k + 8).zip(right) {
            plain[j] += squares[j] * (b * b);
            dot[j] += direction[j] * b;
        }
    }
}
