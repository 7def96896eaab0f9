//! Two discrete privacy losses on a grid: one above the true one, one below.
//!
//! # Why this is private
//!
//! Claim: the hockey-stick divergence of [`above`], its infinity mass included, is at least the pair's at every epsilon;
//! that of [`below`] is at most it. Both orders survive composition.
//!
//! Argument. With `x = e^epsilon`, `delta(x)` is convex, with second derivative the distribution of `dP/dQ` under `Q`.
//! *Above*: connecting the dots `(x_i, delta(x_i))` lies above a convex function (Doroshenko et al. 2022, Theorem 2): each
//! cell's mass goes to its two ends so that the masses of `P` and of `Q` are both kept. What is outside the grid becomes
//! infinite. *Below*: let `t_i` be the tangent at the middle of cell `i`. The values
//! `w_i = min(t_(i-1)(x_i), t_i(x_i))` connected lie, on every cell, below its tangent, hence below `delta`; the greatest
//! convex function through or below them is still below, and has kinks on the grid alone. `delta(x_i) - t(x_i)` is the
//! moment of a half cell. What is outside is dropped. Where neighbouring moments balance, `below` is simply the merging
//! of each cell around a point, which is post-processing. *Composition*: if `delta_1 <= delta_2` everywhere, then
//! `E_(l ~ P) delta_1(epsilon - l) <= E_(l ~ P) delta_2(epsilon - l)` for every measure `P >= 0`; exchange one factor
//! at a time.
//!
//! Checked by: `super::tests::the_discrete_losses_bracket_the_pair`.

use super::cells::{Cells, Half};

/// Masses of `P` at the grid points `offset + (first + k) h`.
#[derive(Clone, Debug)]
pub(in crate::account) struct Masses {
    pub(in crate::account) first: i64,
    pub(in crate::account) offset: f64,
    pub(in crate::account) h: f64,
    pub(in crate::account) p: Vec<f64>,
    pub(in crate::account) infinite: f64,
    /// The relative error of a mass, in roundings.
    pub(in crate::account) doubt: f64,
}

impl Masses {
    /// The greatest finite loss.
    pub(super) fn greatest(&self) -> f64 {
        self.offset + (self.first + self.p.len() as i64) as f64 * self.h
    }
}

/// The pessimistic loss.
pub(super) fn above(cells: &Cells) -> Masses {
    let p = (0..cells.below.len()).map(|k| chord(cells, k).max(0.0)).collect();
    Masses { first: cells.first, offset: cells.offset, h: cells.h, p, infinite: cells.outside, doubt: doubt(cells) }
}

/// The masses' relative error: see [`super::cells`].
fn doubt(cells: &Cells) -> f64 {
    128.0 + cells.below.len() as f64
}

/// What the two cells at a point send to it.
fn chord(cells: &Cells, k: usize) -> f64 {
    let (below, above) = (cells.below[k], cells.above[k]);
    let next = cells.below.get(k + 1).map_or(0.0, |half| half.moment);
    let before = if k == 0 { 0.0 } else { cells.above[k - 1].moment };
    let own = (above.mass - above.moment) + (below.mass + below.moment);
    own + (next - above.moment) / cells.h.exp_m1() - (before - below.moment) / (-cells.h).exp_m1()
}

/// The optimistic loss.
pub(super) fn below(cells: &Cells) -> Masses {
    let n = cells.below.len();
    let deep: Vec<f64> = (0..n).map(|k| cells.below[k].moment.max(cells.above[k].moment)).collect();
    let mut kinks: Vec<f64> = (0..n).map(|k| lowered(cells, &deep, k)).collect();
    end(cells, &deep, &mut kinks);
    Masses {
        first: cells.first,
        offset: cells.offset,
        h: cells.h,
        p: convex(&kinks, cells.h),
        infinite: 0.0,
        doubt: doubt(cells),
    }
}

/// The kink at a point after every value was lowered to the lesser of its two tangents.
fn lowered(cells: &Cells, deep: &[f64], k: usize) -> f64 {
    let Half { mass, moment } = cells.above[k];
    let first = if k == 0 { (deep[0] - cells.below[0].moment) / cells.h.exp_m1() } else { 0.0 };
    let own = (mass - moment) + (cells.below[k].mass + cells.below[k].moment) - first;
    let next = cells.below.get(k + 1).map_or(0.0, |half| deep[k + 1] - half.moment);
    let before = if k == 0 { 0.0 } else { deep[k - 1] - cells.above[k - 1].moment };
    own - (next - (deep[k] - moment)) / cells.h.exp_m1()
        - ((deep[k] - cells.below[k].moment) - before) / (-cells.h).exp_m1()
}

/// Lets the function end at zero: from the end of its first positive run on, it is lowered to zero.
fn end(cells: &Cells, deep: &[f64], kinks: &mut [f64]) {
    let (h, n) = (cells.h, kinks.len());
    let (down, mut value, mut tail) = (-(-h).exp_m1(), 0.0, 0.0);
    let mut values = vec![0.0; n];
    for k in (0..n).rev() {
        values[k] = value - deep[k];
        // The sum over points from here on of p e^(here - point), and the connected dots' value at the point before.
        tail = chord(cells, k).max(0.0) + tail * (-h).exp();
        value += down * tail;
    }
    let j = values.iter().position(|value| *value <= 0.0).unwrap_or(n);
    // Zero itself, up to rounding, need not be lowered.
    let zero = j < n && values[j] >= -1e-10 * deep[j];
    let j = if zero { j } else { j.saturating_sub(1) };
    if j < 1 {
        return kinks.fill(0.0);
    }
    kinks[j..].fill(0.0);
    kinks[j] = values[j - 1] / down;
    kinks[j - 1] -= values[j].max(0.0) / h.exp_m1();
}

/// The masses of the greatest convex function below the one with these kinks: negative ones are shared out to both
/// neighbours, so that the function is lowered at that point alone.
fn convex(kinks: &[f64], h: f64) -> Vec<f64> {
    let mut p = kinks.to_vec();
    let mut kept: Vec<usize> = Vec::with_capacity(p.len());
    for c in 0..p.len() {
        while let Some(&b) = kept.last().filter(|b| p[**b] < 0.0) {
            kept.pop();
            share(&mut p, kept.last().copied(), b, c, h);
        }
        kept.push(c);
    }
    p.iter_mut().for_each(|mass| *mass = mass.max(0.0));
    p
}

/// Moves a negative mass at `b` to `a` and `c`, keeping the masses of `P` and of `Q`. Without `a` it goes to `x = 0`.
fn share(p: &mut [f64], a: Option<usize>, b: usize, c: usize, h: f64) {
    let (mass, up) = (p[b], (c - b) as f64 * h);
    p[b] = 0.0;
    let Some(a) = a else {
        p[c] += mass;
        return;
    };
    let down = (b - a) as f64 * h;
    // Shares of Q, in units of the mass at b: to a, e^up - 1; to c, 1 - e^-down; over e^up - e^-down.
    let whole = up.exp_m1() - (-down).exp_m1();
    p[a] += mass * (-down).exp() * up.exp_m1() / whole;
    p[c] += mass * up.exp() * -(-down).exp_m1() / whole;
}
