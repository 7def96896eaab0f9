//! The masses of one pair around the points of a grid of losses.
//!
//! # Why this is private
//!
//! Claim: [`Cells`] holds the masses of `P` on both sides of every grid point up to a place within the cell, and their
//! first moments `S = integral |1 - e^(point - loss)| dP`, with a relative error of about `1e-15` times the number of
//! points; what is outside the grid is in `outside`.
//!
//! Argument: half cells are integrated by Gauss-Legendre in pieces so short that four nodes leave `1e-15` (the integrand
//! is a density times a polynomial in exponentials whose logarithm changes by at most 0.2 over a piece). `S` is
//! integrated as it stands, from densities' differences, never as a difference of integrals.
//!
//! Citation: Doroshenko, Ghazi, Kamath, Kumar & Manurangsi 2022 (the moments that connecting the dots needs).
//!
//! Checked by: `super::tests::masses_are_those_of_the_pair`.

use crate::account::pair::{Node, Pair};

/// Half a cell: mass of `P`, and its moment about the grid point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Half {
    pub(super) mass: f64,
    pub(super) moment: f64,
}

impl Half {
    fn add(&mut self, other: Half, weight: f64) {
        self.mass += weight * other.mass;
        self.moment += weight * other.moment;
    }
}

/// The cells for the loss above, and those for the loss below: there all that is on the far side of the edge's cell is part
/// of it.
pub(super) struct Both {
    pub(super) above: Cells,
    pub(super) below: Cells,
}

impl Both {
    /// The cells of a pair on a grid of width `h`.
    pub(super) fn new(pair: Pair, h: f64, tail: f64) -> Self {
        let above = Cells::new(pair, h, tail);
        let mut below = above.clone();
        if bounded(pair) {
            let edge = ((-above.first).max(0) as usize).min(above.below.len() - 1);
            let (from, to) = pair.span(tail);
            (0..edge).for_each(|k| (below.below[k], below.above[k]) = Default::default());
            below.below[edge] = half(pair, above.offset, from, pair.place(above.offset).clamp(from, to));
        }
        Both { above, below }
    }

    /// The other direction.
    pub(super) fn mirrored(&self) -> Self {
        Both { above: self.above.mirrored(), below: self.below.mirrored() }
    }
}

/// Whether the loss has a lower bound which much mass is near.
fn bounded(pair: Pair) -> bool {
    matches!(pair, Pair::Normal { rate, .. } if rate < 1.0)
}

/// The halves below and above every grid point `offset + (first + k) h`.
#[derive(Clone, Debug)]
pub(super) struct Cells {
    pub(super) first: i64,
    pub(super) offset: f64,
    pub(super) h: f64,
    pub(super) below: Vec<Half>,
    pub(super) above: Vec<Half>,
    /// At most this much of `P`, and of `Q`, is in none of them.
    pub(super) outside: f64,
}

/// Nodes and weights of Gauss-Legendre with four points on (0, 1).
pub(in crate::account) const NODES: [(f64, f64); 4] = [
    (0.069_431_844_202_973_71, 0.173_927_422_568_726_93),
    (0.330_009_478_207_571_87, 0.326_072_577_431_273_07),
    (0.669_990_521_792_428_1, 0.326_072_577_431_273_07),
    (0.930_568_155_797_026_3, 0.173_927_422_568_726_93),
];
/// The logarithm of a density changes by at most this over a piece.
pub(in crate::account) const PIECE: f64 = 0.2;
/// Losses beyond this are not put on a grid: exponentials of them would overflow.
pub(in crate::account) const GREATEST_LOSS: f64 = 600.0;

/// The least and greatest loss of a pair within its span, atoms included.
pub(in crate::account) fn losses(pair: Pair, tail: f64) -> (f64, f64) {
    let mut ends = Vec::new();
    for (_, part) in pair.components().into_iter().filter(|(weight, _)| *weight > 0.0) {
        let (from, to) = part.span(tail);
        ends.extend(part.atoms().into_iter().map(Node::loss));
        if to > from {
            ends.extend([part.at(from).loss(), part.at(to).loss()]);
        }
    }
    let fold = |f: fn(f64, f64) -> f64, start| ends.iter().copied().fold(start, f);
    (fold(f64::min, f64::INFINITY), fold(f64::max, f64::NEG_INFINITY))
}

impl Cells {
    /// The cells of a pair on a grid of width `h`, one of whose points is the centre of mass of its own cell: where much
    /// mass is near one loss, that point is it.
    pub(super) fn new(pair: Pair, h: f64, tail: f64) -> Self {
        let (least, greatest) = losses(pair, tail);
        let offset = centre(pair, h, tail);
        let first = ((least - offset) / h - 0.25).floor() as i64;
        let last = ((greatest - offset) / h + 0.25).ceil() as i64;
        let n = (last - first + 1) as usize;
        let empty = vec![Half::default(); n];
        let mut cells = Cells { first, offset, h, below: empty.clone(), above: empty, outside: pair.outside(tail) };
        // Both orders are linear in the cells, so that those of a mixture are mixed, wherever each divides them.
        for (weight, part) in pair.components().into_iter().filter(|(weight, _)| *weight > 0.0) {
            cells.integrate(part, weight, tail);
            for Node { p, q, d } in part.atoms() {
                cells.atom(Node { p: weight * p, q: weight * q, d: weight * d });
            }
        }
        cells
    }

    /// From the peak outwards, each cell is divided where the moments on both sides of its point balance.
    fn integrate(&mut self, pair: Pair, weight: f64, tail: f64) {
        let (from, to) = pair.span(tail);
        let middle = ((-self.first).max(0) as usize).min(self.below.len() - 1);
        let piece = |point: f64, side: f64, reach: f64| {
            let (place, end) = (pair.place(point).clamp(from, to), pair.place(point + side * reach).clamp(from, to));
            half(pair, point, place.min(end), place.max(end))
        };
        for (side, points) in
            [(1.0, (middle..self.below.len()).collect()), (-1.0, (0..middle).rev().collect::<Vec<_>>())]
        {
            // How far before the point its cell begins.
            let mut before = 0.5 * self.h;
            for k in points {
                let point = self.point(k);
                let inner = piece(point, -side, before);
                let (reach, outer) = balance(inner.moment, before, self.h, |reach| piece(point, side, reach));
                let (low, high) = if side > 0.0 { (inner, outer) } else { (outer, inner) };
                self.below[k].add(low, weight);
                self.above[k].add(high, weight);
                before = self.h - reach;
            }
        }
    }

    fn point(&self, k: usize) -> f64 {
        self.offset + (self.first + k as i64) as f64 * self.h
    }

    /// Adds an atom to the half in which it lies.
    fn atom(&mut self, atom: Node) {
        let loss = atom.loss();
        let k = ((loss - self.offset) / self.h).round() as i64 - self.first;
        let k = k.clamp(0, self.below.len() as i64 - 1) as usize;
        let point = self.point(k);
        let half = if loss < point { &mut self.below[k] } else { &mut self.above[k] };
        half.mass += atom.p;
        half.moment += (atom.d - point.exp_m1() * atom.q).abs();
    }

    /// The other direction, `Q` against `P`: losses change sign, and masses of `Q` take the place of those of `P`.
    pub(super) fn mirrored(&self) -> Self {
        let n = self.below.len();
        let first = -(self.first + n as i64 - 1);
        let (mut below, mut above) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for k in (0..n).rev() {
            let scale = (-self.point(k)).exp();
            let (low, high) = (self.below[k], self.above[k]);
            below.push(Half { mass: scale * (high.mass - high.moment).max(0.0), moment: scale * high.moment });
            above.push(Half { mass: scale * (low.mass + low.moment), moment: scale * low.moment });
        }
        Cells { first, offset: -self.offset, h: self.h, below, above, outside: self.outside }
    }
}

/// In how many pieces the divergence of one release is integrated, at most.
pub(in crate::account) fn pieces(pair: Pair, tail: f64) -> f64 {
    let (from, to) = pair.span(tail.max(1e-290));
    pieces_between(pair, from, to)
}

fn pieces_between(pair: Pair, from: f64, to: f64) -> f64 {
    ((to - from) * pair.slope(from.abs().max(to.abs())) / PIECE).ceil().max(1.0)
}

/// The hockey-stick divergence of one release in one direction.
pub(in crate::account) fn divergence(pair: Pair, mirrored: bool, epsilon: f64, tail: f64) -> f64 {
    let one =
        |(weight, part): (f64, Pair)| if weight > 0.0 { weight * part_of(part, mirrored, epsilon, tail) } else { 0.0 };
    pair.components().into_iter().map(one).sum()
}

/// That of one component.
fn part_of(pair: Pair, mirrored: bool, epsilon: f64, tail: f64) -> f64 {
    let (from, to) = pair.span(tail.max(1e-290));
    let at = |epsilon: f64| pair.place(epsilon).clamp(from, to);
    let smooth = if mirrored {
        epsilon.exp() * half(pair, -epsilon, from, at(-epsilon)).moment
    } else {
        half(pair, epsilon, at(epsilon), to).moment
    };
    let excess = |atom: Node| if mirrored { atom.q - epsilon.exp() * atom.p } else { atom.p - epsilon.exp() * atom.q };
    smooth + pair.atoms().into_iter().map(|atom| excess(atom).max(0.0)).sum::<f64>()
}

/// How far a cell reaches so that the outer half has this moment, roughly, and that half. Any reach is sound.
fn balance(moment: f64, before: f64, h: f64, piece: impl Fn(f64) -> Half) -> (f64, Half) {
    let within = |reach: f64| if reach.is_nan() { 0.5 * h } else { reach.clamp(0.15 * h, 0.85 * h) };
    let mut reach = within(before);
    let mut outer = piece(reach);
    for _ in 0..4 {
        let ratio = moment / outer.moment;
        let better = within(reach * ratio.sqrt());
        if (ratio - 1.0).abs() < 0.02 || better == reach || !ratio.is_finite() {
            break;
        }
        (reach, outer) = (better, piece(better));
    }
    (reach, outer)
}

/// A loss near the pair's peak that is the centre of mass of the cell around it: its moments balance. Where losses are
/// bounded below, that cell is all that is below the peak.
fn centre(pair: Pair, h: f64, tail: f64) -> f64 {
    let (from, to) = pair.span(tail);
    let place = |epsilon: f64| pair.place(epsilon).clamp(from, to);
    let start = pair.peak();
    if !pair.atoms().is_empty() {
        return start;
    }
    let open = bounded(pair);
    (0..if open { 60 } else { 20 }).fold(start, |point, _| {
        let low = half(pair, point, if open { from } else { place(point - 0.5 * h) }, place(point));
        let high = half(pair, point, place(point), place(point + 0.5 * h));
        let step = (high.moment - low.moment) / (low.mass + high.mass);
        let limits = if open { (pair.at(from).loss(), start + h) } else { (start - h, start + h) };
        if step.is_finite() { (point + step).max(limits.0).min(limits.1) } else { point }
    })
}

/// The half cell between two places, about the point.
fn half(pair: Pair, point: f64, from: f64, to: f64) -> Half {
    let mut sum = Half::default();
    if to <= from {
        return sum;
    }
    let ratio = point.exp_m1();
    let pieces = pieces_between(pair, from, to);
    let width = (to - from) / pieces;
    for piece in 0..pieces as u64 {
        let start = from + piece as f64 * width;
        for (node, weight) in NODES {
            let Node { p, q, d } = pair.at(start + node * width);
            sum.mass += weight * p;
            sum.moment += weight * (d - ratio * q).abs();
        }
    }
    Half { mass: sum.mass * width, moment: sum.moment * width }
}
