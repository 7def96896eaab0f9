//! Privacy loss random variables, rounded to a mesh: epsilon with an error that is chosen beforehand.
//!
//! # Why this is private
//!
//! Claim: the epsilon returned, which is [`Price::upper`], is at least the true epsilon of the ledger, and [`Price::lower`]
//! at most the epsilon of the dominating pairs.
//!
//! Argument. Every loss is rounded to the middle of its cell of a mesh of width `h`, and the mesh is shifted so that the mean
//! is kept: what rounding adds has mean zero and a range of `h`. By Hoeffding's inequality the sum over `T` losses is off by
//! more than `e = eps_error` with a chance of at most `exp(-2 e^2/(T h^2))` on either side, which is `delta_error/12` for
//! `h = e / sqrt((T/2) ln(12/delta_error))`. Hence `delta(x) <= rounded(x - e) + delta_error` and
//! `rounded(x + e) <= delta(x) + delta_error`, so that epsilon is between `rounded^-1(delta + delta_error) - e` and
//! `rounded^-1(delta - delta_error) + e`. Losses that are cut off count as infinite above and as nothing below, the mean
//! being that of the others. The rounded losses are composed by [`super::pld`]'s transform, whose window comes from moment
//! bounds and which puts wrapping and rounding on the safe side; being tilted, it keeps its digits at small deltas. Both
//! directions are composed apart; the larger counts; above the sum of its greatest losses nothing is left of one. Where the mesh would be
//! too large it is widened and `eps_error` grows
//! with it, which a note says; where no mesh will do, the bound by Rényi divergences is returned.
//!
//! Citation: Gopi, Lee & Wutschitz 2021, "Numerical composition of differential privacy", Theorems 4.1 and 5.5.
//!
//! Checked by: `tests` (published values, values in multi-precision, the tables' `prv` columns).

use super::pair::{Node, Pair};
use super::pld::parts::{Atoms, GREATEST_LOSS, Masses, NODES, PIECE, Sum, Term, Window, losses};
use super::pld::{Plan, PldCurve};
use super::{Accountant, Price, delta_between};
use crate::{Event, Neighbouring};

/// The accountant by rounded privacy loss random variables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prv {
    /// By how much epsilon may be off, in `(0, 1]`.
    pub eps_error: f64,
    /// Or by which share of itself, in `[0, 1/10]`, where that is more.
    pub eps_share: f64,
    /// By which share of itself delta may be off, in `(0, 1/2]`.
    pub delta_share: f64,
}

impl Default for Prv {
    fn default() -> Self {
        Prv { eps_error: 0.01, eps_share: 1e-3, delta_share: 1e-3 }
    }
}

/// Mass outside the mesh over `delta_error`.
const OUTSIDE: f64 = 1e-3;
/// Nodes of one loss for each standard deviation of the noise, where the window is planned.
const FINENESS: f64 = 4.0;
/// The most points of a window, and of one loss.
const MOST: f64 = 4_194_304.0;
/// The widest mesh.
const WIDEST: f64 = 0.5;
/// How far the mean of one rounded loss may be off by rounding of numbers, over one plus the largest loss.
const MEAN: f64 = 1e-14;
/// Roundings of one mass: the logarithm of its density is at most some hundred, and so are its nodes.
const DOUBT: f64 = 512.0;

impl Accountant for Prv {
    type Curve = PldCurve;

    fn name(&self) -> &'static str {
        "prv"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<PldCurve, &'static str> {
        PldCurve::of(event, neighbouring)
    }

    fn epsilon(&self, curve: &PldCurve, delta: f64) -> Price {
        if let Some(epsilon) = curve.extreme() {
            return curve.noted(Price::interval(epsilon, epsilon));
        }
        let (parts, delta_error) = (curve.pairs(), self.share() * delta);
        let query = Query::new(&parts, delta_error, |epsilon| self.error(epsilon));
        let price = query.and_then(|query| query.epsilon(delta));
        curve.noted(price.unwrap_or_else(|| coarse(&parts, delta)))
    }

    fn delta(&self, curve: &PldCurve, epsilon: f64) -> f64 {
        match curve.extreme() {
            Some(0.0) => return 0.0,
            Some(_) => return 1.0,
            None => {}
        }
        let (parts, share) = (curve.pairs(), self.share());
        let about = guess(&parts, epsilon);
        let query = Query::new(&parts, share * about, |epsilon| self.error(epsilon));
        match query.map_or(1.0, |query| query.delta(epsilon)) {
            delta if delta < 1.0 => delta,
            _ => delta_between((1e-3 * about, about), |delta| self.epsilon(curve, delta).epsilon <= epsilon),
        }
    }
}

impl Prv {
    /// By how much this epsilon may be off.
    fn error(&self, epsilon: f64) -> f64 {
        let least = if self.eps_error > 0.0 { self.eps_error.clamp(1e-6, 1.0) } else { Prv::default().eps_error };
        let share = if self.eps_share >= 0.0 { self.eps_share.min(0.1) } else { Prv::default().eps_share };
        least.max(share * epsilon)
    }

    fn share(&self) -> f64 {
        if self.delta_share > 0.0 { self.delta_share.clamp(1e-9, 0.5) } else { Prv::default().delta_share }
    }
}

/// What Rényi divergences say.
fn coarse(parts: &[(Pair, f64)], delta: f64) -> Price {
    let epsilon = super::rdp::of_pairs(parts, delta);
    Price::interval(0.0, epsilon).note("no mesh is fine and wide enough: the bound is by Rényi divergences")
}

/// The moment bound on delta at this epsilon: it only chooses a `delta_error`.
fn guess(parts: &[(Pair, f64)], epsilon: f64) -> f64 {
    let bound = |mirrored| {
        let plan = Plan::new(parts, mirrored, 1e-30, FINENESS);
        let tilt = plan.at_epsilon(epsilon).tilt;
        (plan.log_moment(tilt) - tilt * epsilon).exp()
    };
    let most = bound(false).max(bound(true));
    if most.is_nan() { 1e-12 } else { most.clamp(1e-250, 0.1) }
}

/// One question about some pairs.
struct Query<'a, E: Fn(f64) -> f64> {
    parts: &'a [(Pair, f64)],
    count: f64,
    delta_error: f64,
    /// By how much an epsilon may be off.
    eps_error: E,
    tail: f64,
    /// The largest loss, either way.
    largest: f64,
    /// The widest range of one loss.
    range: f64,
}

impl<'a, E: Fn(f64) -> f64> Query<'a, E> {
    /// `None` where losses are too large for any mesh.
    fn new(parts: &'a [(Pair, f64)], delta_error: f64, eps_error: E) -> Option<Self> {
        let count: f64 = parts.iter().map(|(_, count)| count).sum();
        let tail = (OUTSIDE * delta_error / count.max(1.0)).max(1e-290);
        let ends = || parts.iter().map(|(pair, _)| losses(*pair, tail));
        let known = ends().all(|(least, greatest)| least > -GREATEST_LOSS && greatest < GREATEST_LOSS);
        let largest = ends().fold(0.0, |most: f64, (least, greatest)| most.max(-least).max(greatest));
        let range = ends().fold(0.0, |most: f64, (least, greatest)| most.max(greatest - least));
        let fits = known && delta_error > 1e-280 && 2.0 * tail * count < delta_error;
        fits.then_some(Query { parts, count, delta_error, eps_error, tail, largest, range })
    }

    /// The directions' plans: one where both are alike.
    fn plans(&self) -> Vec<(bool, Plan)> {
        let alike = self.parts.iter().all(|(pair, _)| pair.symmetric());
        let plan = |mirrored| (mirrored, Plan::new(self.parts, mirrored, self.tail, FINENESS));
        if alike { vec![plan(false)] } else { vec![plan(false), plan(true)] }
    }

    /// The sums of all directions on one mesh, and the error of epsilon.
    fn sums(&self, windows: &[(bool, Window)], eps_error: f64) -> Option<(Vec<Sum>, f64)> {
        let widest = windows.iter().map(|(_, window)| window.upper - window.lower).fold(self.range, f64::max);
        let spread = (0.5 * self.count * (12.0 / self.delta_error).ln()).sqrt();
        let h = (eps_error / spread).max(widest / MOST);
        if !(h > 0.0 && h < WIDEST) {
            return None;
        }
        let sum = |(mirrored, window): &(bool, Window)| {
            let masses: Option<Vec<Masses>> =
                self.parts.iter().map(|(pair, _)| rounded(*pair, *mirrored, h, self.tail)).collect();
            let masses = masses?;
            let counts = self.parts.iter().map(|(_, count)| *count);
            let terms: Vec<Term> = masses.iter().zip(counts).map(|(masses, count)| Term { masses, count }).collect();
            Sum::new(&terms, *window)
        };
        let sums = windows.iter().map(sum).collect::<Option<_>>()?;
        Some((sums, h * spread + self.count * MEAN * (1.0 + self.largest)))
    }

    fn epsilon(&self, delta: f64) -> Option<Price> {
        let plans = self.plans();
        let saddles: Vec<_> = plans.iter().map(|(_, plan)| plan.at_delta(delta)).collect();
        let eps_error = (self.eps_error)(saddles.iter().fold(0.0, |most, saddle| saddle.epsilon.max(most)));
        let windows: Vec<_> =
            plans.iter().zip(&saddles).map(|((way, plan), saddle)| (*way, plan.window(*saddle))).collect();
        let (sums, error) = self.sums(&windows, eps_error)?;
        let room = delta - self.delta_error;
        let uppers: Option<Vec<f64>> =
            sums.iter().map(|sum| enough(sum, room, delta - 0.5 * self.delta_error)).collect();
        let upper = uppers?.into_iter().fold(f64::NEG_INFINITY, f64::max) + error;
        let lowers = sums.iter().map(|sum| sum.epsilon_below(delta + self.delta_error));
        let lower = (lowers.fold(f64::NEG_INFINITY, f64::max) - error).max(0.0);
        let upper = upper.max(0.0);
        let poor = error > 1.5 * eps_error || upper - lower > 4.0 * eps_error;
        let least = if poor { upper.min(super::rdp::of_pairs(self.parts, delta)) } else { upper };
        let note = format!("eps_error {error:.3e}, delta_error {:.1e}", self.delta_error);
        let price = Price::interval(lower.min(least), least).note(note);
        let capped = "the bound by Rényi divergences is better here, and is the one returned";
        Some(if least < upper { price.note(capped) } else { price })
    }

    fn delta(&self, epsilon: f64) -> f64 {
        // Nothing is left of a direction whose greatest losses add up to less.
        let open = |(mirrored, _): &(bool, Plan)| Atoms::new(self.parts, *mirrored).most() > epsilon;
        let plans = self.plans().into_iter().filter(open);
        let windows: Vec<_> = plans.map(|(way, plan)| (way, plan.window(plan.at_epsilon(epsilon)))).collect();
        let Some((sums, error)) = self.sums(&windows, (self.eps_error)(epsilon)) else { return 1.0 };
        let most = sums.iter().map(|sum| sum.above(epsilon - error)).fold(0.0, f64::max);
        (most + self.delta_error).min(1.0)
    }
}

/// The least epsilon at which the sum's divergence is at most `room`, if it is at most `limit` there when asked again: a window
/// may end too early, or rounding be all that is left.
fn enough(sum: &Sum, room: f64, limit: f64) -> Option<f64> {
    let epsilon = sum.epsilon_above(room);
    if epsilon == f64::NEG_INFINITY {
        // Room even below the window: zero will do, if it does when asked.
        return (sum.above(0.0) <= limit).then_some(0.0);
    }
    (epsilon.is_finite() && sum.above(epsilon) <= limit).then_some(epsilon)
}

/// The loss of one direction, every cell's mass in its middle, on a mesh shifted so that the mean is kept.
fn rounded(pair: Pair, mirrored: bool, h: f64, tail: f64) -> Option<Masses> {
    let (least, greatest) = losses(pair, tail);
    let (first, last) = ((least / h).round() as i64 - 1, (greatest / h).round() as i64 + 1);
    let mut mesh = Mesh { h, first, mirrored, cells: vec![Cell::default(); (last - first + 1) as usize] };
    for (weight, part) in pair.components().into_iter().filter(|(weight, _)| *weight > 0.0) {
        mesh.add(part, weight, tail);
    }
    if mirrored {
        mesh.cells.reverse();
        mesh.first = -last;
    }
    let (mass, gap) = mesh.cells.iter().fold((0.0, 0.0), |(mass, gap), cell| (mass + cell.mass, gap + cell.gap));
    let shift = gap / mass;
    // Whatever is wrong with a place or a density shows here.
    let sound = (mass - 1.0_f64).abs() < 1e-9 + 2.0 * tail && shift.abs() <= 0.5001 * h;
    let p = mesh.cells.iter().map(|cell| cell.mass).collect();
    let infinite = pair.outside(tail);
    sound.then_some(Masses { first: mesh.first, offset: shift, h, p, infinite, doubt: DOUBT })
}

/// Mass, and the integral over it of the loss less the cell's middle.
#[derive(Clone, Copy, Default)]
struct Cell {
    mass: f64,
    gap: f64,
}

/// Cells around the losses `(first + k) h` of `P` against `Q`, holding masses of `P`, or mirrored of `Q`.
struct Mesh {
    h: f64,
    first: i64,
    mirrored: bool,
    cells: Vec<Cell>,
}

impl Mesh {
    fn point(&self, k: usize) -> f64 {
        (self.first + k as i64) as f64 * self.h
    }

    /// Adds one component: its density cell by cell, and its atoms.
    fn add(&mut self, pair: Pair, weight: f64, tail: f64) {
        let (from, to) = pair.span(tail);
        let mut start = from;
        for k in 0..self.cells.len() {
            let end = pair.place(self.point(k) + 0.5 * self.h).clamp(from, to);
            self.integrate(pair, weight, k, (start, end));
            start = end;
        }
        for atom in pair.atoms() {
            let k = (atom.loss() / self.h).round() as i64 - self.first;
            self.put(k.clamp(0, self.cells.len() as i64 - 1) as usize, atom, weight);
        }
    }

    /// The density between two places, in pieces on which four nodes are enough.
    fn integrate(&mut self, pair: Pair, weight: f64, k: usize, (from, to): (f64, f64)) {
        if to <= from {
            return;
        }
        let slope = pair.slope(from.abs().max(to.abs()));
        let pieces = ((to - from) * slope / PIECE).ceil().max(1.0);
        let width = (to - from) / pieces;
        for piece in 0..pieces as u64 {
            let start = from + piece as f64 * width;
            for (node, share) in NODES {
                self.put(k, pair.at(start + node * width), weight * share * width);
            }
        }
    }

    fn put(&mut self, k: usize, node: Node, weight: f64) {
        let off = node.loss() - self.point(k);
        let (mass, off) = if self.mirrored { (node.q * weight, -off) } else { (node.p * weight, off) };
        if mass > 0.0 {
            self.cells[k].mass += mass;
            self.cells[k].gap += mass * off;
        }
    }
}

#[cfg(test)]
mod tests;
