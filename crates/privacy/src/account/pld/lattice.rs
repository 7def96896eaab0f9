//! Many coins of one kind: their losses lie on one lattice, and so does the sum.
//!
//! # Why this is private
//!
//! Claim: [`Query::lattice`] is the sum of the losses of coins of one kind, without any rounding to a grid.
//!
//! Argument: the loss of one is `-epsilon` or `epsilon`, which are two neighbours on a lattice of that width. What is left of
//! errors is [`super::compose`]'s, and the rounding of the losses themselves, which is in proportion to them.
//!
//! Checked by: `super::tests::coins_are_binomial`.

use super::compose::{Sum, Term};
use super::dots::Masses;
use super::grid::{NODES, Query};
use super::plan::{Plan, Saddle};
use crate::account::Price;
use crate::account::pair::Pair;

/// The largest loss times the tilt: with more, all but the greatest sums drown in roundings.
const STEEP: f64 = 8.0;
/// The largest loss for which exponentials of the lattice's width do not overflow.
const LARGE: f64 = 150.0;
/// How much more is in the window, over one loss.
const ROOM: f64 = 8.0;
/// The most roundings in a mass.
const DOUBT: f64 = 16.0;
/// By which share a sum of losses may be off by rounding.
const ROUNDING: f64 = 1e-12;

impl Query {
    /// The sum, if all is coins of one kind and not too many.
    fn lattice(&self, saddle: impl Fn(&Plan) -> Saddle) -> Option<Sum> {
        let [(pair @ Pair::Coin { epsilon }, count)] = self.parts[..] else { return None };
        let plan = Plan::new(&self.parts, false, self.tail, NODES);
        let mut window = plan.window(plan.no_steeper(saddle(&plan), STEEP / epsilon));
        // Where the sum is next to its greatest, its deviation says nothing of where the next place is.
        window.upper += ROOM * epsilon;
        window.lower -= ROOM * epsilon;
        let points = (window.upper - window.lower) / (2.0 * epsilon);
        if !(points < super::plan::MOST && epsilon < LARGE) {
            return None;
        }
        let p = pair.atoms().into_iter().map(|atom| atom.p).collect();
        let masses = Masses { first: 0, offset: -epsilon, h: 2.0 * epsilon, p, infinite: 0.0, doubt: DOUBT };
        Sum::new(&[Term { masses: &masses, count }], window)
    }

    /// Epsilon at this delta.
    pub(super) fn coins(&self, delta: f64) -> Option<Price> {
        let sum = self.lattice(|plan| plan.at_delta(delta))?;
        let (lower, upper) = (sum.epsilon_below(delta).max(0.0), sum.enough(delta));
        let price = Price::interval((lower * (1.0 - ROUNDING)).min(upper), upper * (1.0 + ROUNDING));
        (upper <= lower * (1.0 + super::NARROW)).then_some(price)
    }

    /// Delta at this epsilon.
    pub(super) fn delta_of_coins(&self, epsilon: f64) -> Option<f64> {
        let sum = self.lattice(|plan| plan.at_epsilon(epsilon))?;
        Some(sum.above(epsilon * (1.0 - ROUNDING)))
    }
}
