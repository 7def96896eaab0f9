//! Privacy loss distributions: epsilon as a proven interval.
//!
//! # Why this is private
//!
//! Claim: [`Price::upper`], which is the epsilon claimed, is at least the true epsilon of the ledger, and [`Price::lower`] at
//! most the epsilon of the dominating pairs.
//!
//! Argument: every event has a dominating pair ([`super::pair`]). The characteristic function of its privacy loss is integrated
//! with an error that is proved ([`nodes`], [`transform`], [`spread`]) and raised to the number of rounds. A little Gaussian loss added
//! makes its inversion finite, dearer than the truth by an amount that is bounded, so that there is a bound on either side
//! ([`smooth`], [`ask`]). Losses that lie on a lattice are put on a grid twice instead, once above and once below them
//! ([`dots`]), and composed in the frequency domain with every error on the safe side ([`compose`], [`grid`]). The pairs have
//! two directions, which are composed apart and never mixed; the claim is the larger. Unsampled Gaussians are merged
//! exactly: their losses are normal, and `1/z^2` adds. Where a loss is too large for either (noise multipliers under about
//! 0.03) the bound by Rényi divergences is returned instead, and a note says so.
//!
//! Citation: Sommer, Meiser & Mohammadi 2019; Koskela, Jälkö & Honkela 2020; Doroshenko et al. 2022; Zhu, Dong & Wang 2022
//! (characteristic functions).
//!
//! Checked by: `tests`, `invert_tests`, `reference` (exact values lie in the interval), `tests/quadrature.rs`.

mod apart;
mod ask;
mod atoms;
mod cells;
mod compose;
mod curve;
mod dots;
mod grid;
mod invert;
mod lattice;
mod limit;
mod nodes;
mod plan;
mod running;
mod seek;
mod sketch;
mod smooth;
mod spread;
mod transform;

use super::crowd::Crowd;
use super::pair::{Cost, Pair, pair};
use super::plain::{Passes, passing};
use super::{Accountant, Curve, Price};
use crate::{Event, Neighbouring, gaussian};
use ask::Ends;
pub(super) use cells::{divergence, pieces};
use curve::Trace;
use grid::Query;
pub(super) use plan::Plan;
pub(crate) use running::Tally;

/// What the accountant by rounded losses makes use of.
pub(super) mod parts {
    pub(in crate::account) use super::atoms::Atoms;
    pub(in crate::account) use super::cells::{GREATEST_LOSS, NODES, PIECE, losses};
    pub(in crate::account) use super::compose::{Sum, Term, Window};
    pub(in crate::account) use super::dots::Masses;
}

/// How wide, as a share of epsilon, an interval may be without a grid being tried where losses have atoms.
const NARROW: f64 = 2e-3;

/// The accountant by privacy loss distributions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pld {
    /// How wide the interval may be, as a share of epsilon: about, and more where that would take too long. Smaller is slower, as
    /// one over it.
    pub precision: f64,
}

impl Default for Pld {
    fn default() -> Self {
        Pld { precision: 2e-4 }
    }
}

/// The privacy losses of some events: a list of pairs, composed when asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PldCurve {
    /// Pairs with how often each was.
    parts: Vec<(Pair, f64)>,
    /// Sum of `1/z^2` over Gaussians that no sampling hides.
    gaussian: f64,
    infinite: bool,
    /// Rounds of which each example is in one an epoch.
    passes: Passes,
    notes: Vec<&'static str>,
}

impl Curve for PldCurve {
    fn plus(mut self, other: Self) -> Self {
        for (pair, count) in other.parts {
            match self.parts.iter_mut().find(|(mine, _)| *mine == pair) {
                Some((_, mine)) => *mine += count,
                None => self.parts.push((pair, count)),
            }
        }
        self.passes.plus(other.passes);
        let new: Vec<_> = other.notes.into_iter().filter(|note| !self.notes.contains(note)).collect();
        self.notes.extend(new);
        let (gaussian, infinite) = (self.gaussian + other.gaussian, self.infinite || other.infinite);
        PldCurve { gaussian, infinite, ..self }
    }
    fn times(mut self, n: u64) -> Self {
        if n == 0 {
            return PldCurve::default();
        }
        self.gaussian *= n as f64;
        self.passes.times(n);
        self.parts.iter_mut().for_each(|(_, count)| *count *= n as f64);
        self
    }
}

impl PldCurve {
    /// The curve of one event, or why it has none.
    pub(super) fn of(event: &Event, neighbouring: Neighbouring) -> Result<Self, &'static str> {
        let free = PldCurve::default();
        if let Some(passing) = passing(event, neighbouring)? {
            return Ok(PldCurve { passes: passing.passes, notes: passing.notes, ..free });
        }
        Ok(match pair(event, neighbouring)? {
            Cost::Free => free,
            Cost::Infinite => PldCurve { infinite: true, ..free },
            Cost::Pair(Pair::Normal { rate: 1.0, z }) => PldCurve { gaussian: 1.0 / (z * z), ..free },
            Cost::Pair(pair) => PldCurve { parts: vec![(pair, 1.0)], ..free },
        })
    }

    /// All pairs, the merged Gaussian among them.
    pub(super) fn pairs(&self) -> Vec<(Pair, f64)> {
        let gaussian = self.unhidden();
        let merged = Pair::Normal { rate: 1.0, z: 1.0 / gaussian.sqrt() };
        self.parts.iter().copied().chain((gaussian > 0.0).then_some((merged, 1.0))).collect()
    }

    /// The pairs that are no plain Gaussians, and the sum of `1/z^2` of those.
    pub(super) fn apart(&self) -> (&[(Pair, f64)], f64) {
        (&self.parts, self.unhidden())
    }

    /// The sum of `1/z^2` over all Gaussians that no sampling hides.
    fn unhidden(&self) -> f64 {
        self.gaussian + self.passes.squares()
    }

    /// A price with this curve's remarks.
    pub(super) fn noted(&self, price: Price) -> Price {
        self.notes.iter().fold(price, |price, note| price.note(*note))
    }

    /// The curve of groups of so many examples, `> 0`, or why there is none: see [`super::group`].
    pub(super) fn group(&self, size: u32) -> Result<Self, &'static str> {
        let k = f64::from(size);
        let grown = |(pair, count): &(Pair, f64)| match *pair {
            pair if size == 1 => Ok((pair, *count)),
            Pair::Normal { rate, z } => Ok((Pair::Crowd(Crowd { rate, z, size }), *count)),
            Pair::Laplace { rate: 1.0, z } => Ok((Pair::Laplace { rate: 1.0, z: z / k }, *count)),
            Pair::Coin { epsilon } => Ok((Pair::Coin { epsilon: k * epsilon }, *count)),
            _ => Err("groups are priced exactly for Gaussian noise on Poisson samples under add/remove alone"),
        };
        if size > 1 && !self.passes.is_empty() {
            return Err("the examples of a group may be in different batches of an epoch");
        }
        let parts = self.parts.iter().map(grown).collect::<Result<_, _>>()?;
        Ok(PldCurve { parts, gaussian: k * k * self.gaussian, ..self.clone() })
    }

    /// Whether losses are smooth, in the main.
    fn smooth(&self) -> bool {
        atoms::smooth(&self.parts, self.unhidden())
    }

    /// Whether a grid is not worth while after these were found by inversion.
    fn sharp(&self, ends: Ends) -> bool {
        ends.narrow(NARROW) || self.parts.iter().all(|(pair, _)| !pair.lumpy())
    }

    /// Whether it costs nothing, or everything.
    pub(super) fn extreme(&self) -> Option<f64> {
        if self.infinite || self.unhidden().is_infinite() {
            return Some(f64::INFINITY);
        }
        (self.parts.is_empty() && self.unhidden() == 0.0).then_some(0.0)
    }
}

impl Accountant for Pld {
    type Curve = PldCurve;

    fn name(&self) -> &'static str {
        "pld"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<PldCurve, &'static str> {
        PldCurve::of(event, neighbouring)
    }

    fn epsilon(&self, curve: &PldCurve, delta: f64) -> Price {
        if let Some(epsilon) = curve.extreme() {
            return curve.noted(Price::interval(epsilon, epsilon));
        }
        if curve.parts.is_empty() {
            // Gaussians alone are known exactly.
            let epsilon = gaussian::epsilon(curve.unhidden().sqrt(), delta);
            return curve.noted(Price::interval(epsilon * (1.0 - 1e-11), epsilon));
        }
        let query = Query::new(curve, delta, self.precision);
        if let Some(price) = query.single(delta) {
            return curve.noted(price);
        }
        let question = self.question(curve, delta);
        let sure = question.sure(delta);
        if sure.narrow(self.precision) {
            return curve.noted(sure.price());
        }
        // Losses in atoms are sharp on a grid; others are smooth.
        let inverted = if curve.smooth() { question.epsilon(query.symmetric(), delta) } else { None };
        if let Some(ends) = inverted.filter(|ends| curve.sharp(*ends)) {
            return curve.noted(ends.price());
        }
        let known = sure.both(self.apart(curve, delta)).both(inverted.unwrap_or(sure));
        if known.narrow(self.precision.max(NARROW)) {
            return curve.noted(known.price());
        }
        curve.noted(known.and(query.epsilon(delta)))
    }

    fn delta(&self, curve: &PldCurve, epsilon: f64) -> f64 {
        match curve.extreme() {
            Some(0.0) => return 0.0,
            Some(_) => return 1.0,
            None => {}
        }
        if curve.parts.is_empty() {
            return gaussian::delta(curve.unhidden().sqrt(), epsilon);
        }
        if curve.smooth() {
            return Trace::new(*self, curve).delta(epsilon);
        }
        let symmetric = curve.parts.iter().all(|(pair, _)| pair.symmetric());
        let about = self.question(curve, 1e-12).delta_about(epsilon, symmetric);
        let question = self.question(curve, about);
        let grid = Query::new(curve, about, self.precision).delta(epsilon);
        if epsilon >= question.sure(0.5).upper { 0.0 } else { grid.min(question.total_variation()) }
    }

    fn deltas_of(&self, curve: &PldCurve, epsilons: &[f64]) -> Vec<f64> {
        if curve.extreme().is_some() || curve.parts.is_empty() || !curve.smooth() {
            return epsilons.iter().map(|epsilon| self.delta(curve, *epsilon)).collect();
        }
        Trace::new(*self, curve).deltas(epsilons)
    }
}

impl Pld {
    fn question(&self, curve: &PldCurve, delta: f64) -> ask::Question {
        let count: f64 = curve.parts.iter().map(|(_, count)| count).sum();
        let precision = self.precision.clamp(1e-8, 0.1);
        let tail = (0.05 * precision * delta / count.max(1.0)).max(1e-290);
        let (pairs, gaussian, spare) = (curve.parts.clone(), curve.unhidden(), 1.5 - precision.ln());
        ask::Question { pairs, gaussian, tail, precision, spare }
    }
}

#[cfg(test)]
mod invert_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
