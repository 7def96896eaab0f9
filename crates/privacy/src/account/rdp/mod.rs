//! The Rényi accountant, at every real order.
//!
//! # Why this is private
//!
//! Claim: the epsilon returned is an upper bound on the true one.
//!
//! Argument: (1) The divergence of order `a` of one round is computed exactly, to about `1e-12`: see [`divergence`].
//! (2) Divergences of one order add under adaptive composition (Mironov 2017, Proposition 1). (3) Every order `a > 1`
//! gives a valid epsilon by `epsilon = r + ln((a - 1)/a) - (ln delta + ln a)/(a - 1)` (Canonne, Kamath & Steinke 2020,
//! Proposition 12), and the delta that solves it, so that the search for the best order can only be loose, never wrong. (4) If
//! `delta^2 > 1 - e^-r` for the divergence of any order, which is at least the Kullback-Leibler divergence, then
//! the total variation distance is below delta (Bretagnolle & Huber 1979) and epsilon is 0.
//!
//! Checked by: `tests::reference_epsilons` and the other reference tests, `tests::more_costs_more` (monotone in steps,
//! rate, noise and delta), `divergence::tests`.

mod divergence;
mod fixed;
mod piece;
mod price;
mod pure;
mod search;

use super::fixed_size::Subset;
use super::plain::Passes;
use super::{Accountant, Curve, Price};
use crate::{Event, Neighbouring};
use divergence::Pair;
use fixed::Fixed;
use piece::Piece;
use search::{LEAST_ORDER, best_order};
use std::sync::Arc;

/// The Rényi accountant (Mironov, Talwar & Zhang 2019 for add/remove).
#[derive(Clone, Copy, Debug, Default)]
pub struct Rdp;

/// So many events of one kind.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    piece: Piece,
    count: f64,
}

/// The Rényi divergences of some events, at every order: a list of what they are, evaluated when asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RdpCurve {
    parts: Vec<Part>,
    /// Sum over releases that no sampling hides of `1/(2 z^2)`: the divergence over the order.
    rho: f64,
    /// Rounds of which each example is in one an epoch.
    passes: Passes,
    notes: Vec<&'static str>,
}

impl Curve for RdpCurve {
    fn plus(mut self, other: Self) -> Self {
        self.rho += other.rho;
        self.passes.plus(other.passes);
        let new: Vec<_> = other.notes.into_iter().filter(|note| !self.notes.contains(note)).collect();
        self.notes.extend(new);
        for part in other.parts {
            match self.parts.iter_mut().find(|mine| mine.piece == part.piece) {
                Some(mine) => mine.count += part.count,
                None => self.parts.push(part),
            }
        }
        self
    }
    fn times(mut self, n: u64) -> Self {
        if n == 0 {
            return RdpCurve::default();
        }
        self.passes.times(n);
        self.rho *= n as f64;
        self.parts.iter_mut().for_each(|part| part.count *= n as f64);
        self
    }
}

impl RdpCurve {
    fn piece(piece: Piece) -> Self {
        RdpCurve { parts: vec![Part { piece, count: 1.0 }], ..RdpCurve::default() }
    }

    /// The divergence over the order of all that no sampling hides.
    fn unhidden(&self) -> f64 {
        self.rho + 0.5 * self.passes.squares()
    }

    /// The Rényi divergence of this order, `> 1`.
    pub fn divergence(&self, order: f64) -> f64 {
        let sampled: f64 = self.parts.iter().map(|part| part.count * part.piece.divergence(order)).sum();
        self.unhidden() * order + sampled
    }

    /// A number that the divergence of this order is at least, found without integrating.
    fn at_least(&self, order: f64) -> f64 {
        let sampled: f64 = self.parts.iter().map(|part| part.count * part.piece.at_least(order)).sum();
        self.unhidden() * order + sampled
    }

    /// Whether the divergence may have kinks at integer orders.
    fn kinked(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.piece, Piece::Fixed(_) | Piece::Mixed(..)))
    }

    /// The orders at which the chords of its moments end.
    fn ends(&self) -> impl Iterator<Item = f64> {
        self.parts.iter().filter_map(|part| match &part.piece {
            Piece::Fixed(fixed) => Some(fixed.last() as f64),
            Piece::Mixed(_) => Some(piece::MOST),
            _ => None,
        })
    }

    /// Whether nothing is in it.
    pub fn is_free(&self) -> bool {
        self.rho == 0.0 && self.parts.is_empty() && self.passes.is_empty()
    }
}

impl Accountant for Rdp {
    type Curve = RdpCurve;

    fn name(&self) -> &'static str {
        "rdp"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<RdpCurve, &'static str> {
        price::price(event, neighbouring)
    }

    fn epsilon(&self, curve: &RdpCurve, delta: f64) -> Price {
        let price = if curve.is_free() || hidden(curve, delta) {
            Price::bound(0.0)
        } else if curve.unhidden().is_infinite() {
            Price::bound(f64::INFINITY)
        } else {
            let (order, epsilon) = best_order(curve, |divergence, order| convert(divergence, order, delta));
            Price::bound(epsilon.max(0.0)).note(format!("at the order {order:.4}"))
        };
        curve.notes.iter().fold(price, |price, note| price.note(*note))
    }

    fn delta(&self, curve: &RdpCurve, epsilon: f64) -> f64 {
        if curve.is_free() {
            return 0.0;
        }
        if curve.unhidden().is_infinite() {
            return 1.0;
        }
        let (_, log) = best_order(curve, |divergence, order| log_delta(divergence, order, epsilon));
        // Argument (4), with the margin of `hidden`; no delta is so small that it is none, or smaller for a rounding.
        let total_variation = (-(-curve.divergence(LEAST_ORDER)).exp_m1()).sqrt() * (1.0 + 1e-6);
        (log.max(-700.0).exp() * (1.0 + 1e-9)).min(total_variation).min(1.0)
    }
}

/// Epsilon of a divergence of `rho` times the order, at the best order.
pub(super) fn of_rho(rho: f64, delta: f64) -> f64 {
    Rdp.epsilon(&RdpCurve { rho, ..RdpCurve::default() }, delta).epsilon
}

/// Epsilon of these pairs by Rényi divergences, for the accountant by losses where it has no grid: infinite when one of
/// them has no such divergence here.
pub(super) fn of_pairs(pairs: &[(super::pair::Pair, f64)], delta: f64) -> f64 {
    use super::pair::Pair as Loss;
    // What is pure adds its epsilon.
    let (mut curve, mut rest) = (RdpCurve::default(), 0.0);
    for (pair, count) in pairs {
        match *pair {
            Loss::Normal { rate: 1.0, z } => curve.rho += count * 0.5 / (z * z),
            Loss::Normal { rate, z } => curve.parts.push(part(rate, z, Neighbouring::AddRemove, *count)),
            Loss::Opposite { rate, z } => curve.parts.push(part(rate, z, Neighbouring::ReplaceOne, *count)),
            Loss::Laplace { rate: 1.0, z } => curve.parts.push(Part { piece: Piece::Laplace(1.0 / z), count: *count }),
            Loss::Laplace { z, .. } => rest += count / z,
            Loss::Coin { epsilon } => rest += count * epsilon,
            Loss::Subset(Subset { rate, z, .. }) => {
                curve.parts.push(Part { piece: Piece::Fixed(Arc::new(Fixed::new(rate, z))), count: *count });
            }
            // Without a divergence of its own here: as if everyone took part.
            Loss::Crowd(crowd) => curve.rho += count * 0.5 * crowd.width().powi(2),
            Loss::Cut { chance, .. } => {
                let [(_, plain), (_, full)] = pair.components().map(|(weight, part)| (weight, sampled(part)));
                curve.parts.push(Part { piece: Piece::Truncated(chance, plain, full), count: *count });
            }
        }
    }
    Rdp.epsilon(&curve, delta).epsilon + rest
}

/// The Gaussian on a Poisson sample that a component of a mixture is.
fn sampled(pair: super::pair::Pair) -> Pair {
    use super::pair::Pair as Loss;
    match pair {
        Loss::Normal { rate, z } => Pair { rate, noise_multiplier: z, neighbouring: Neighbouring::AddRemove },
        Loss::Opposite { rate, z } => Pair { rate, noise_multiplier: z, neighbouring: Neighbouring::ReplaceOne },
        // No other is a component; without noise it would be infinite.
        _ => Pair { rate: 1.0, noise_multiplier: 0.0, neighbouring: Neighbouring::AddRemove },
    }
}

fn part(rate: f64, noise_multiplier: f64, neighbouring: Neighbouring, count: f64) -> Part {
    Part { piece: Piece::Sampled(Pair { rate, noise_multiplier, neighbouring }), count }
}

/// Whether delta alone covers the total variation distance, with a margin for rounding so close to order 1.
fn hidden(curve: &RdpCurve, delta: f64) -> bool {
    delta * delta * (1.0 - 1e-6) + (-curve.divergence(LEAST_ORDER)).exp_m1() > 0.0
}

/// What the divergence of this order says epsilon is (Canonne, Kamath & Steinke 2020, Proposition 12).
pub(crate) fn convert(divergence: f64, order: f64, delta: f64) -> f64 {
    divergence + (-1.0 / order).ln_1p() - (delta.ln() + order.ln()) / (order - 1.0)
}

/// What the divergence of this order says the logarithm of delta is: the same solved for delta.
fn log_delta(divergence: f64, order: f64, epsilon: f64) -> f64 {
    (order - 1.0) * (divergence - epsilon + (-1.0 / order).ln_1p()) - order.ln()
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
