//! Epsilon by inversion: both directions, which line to take, and when to take another.
//!
//! # Why this is private
//!
//! Claim: [`Question::epsilon`] returns an interval around the greater epsilon of both directions.
//!
//! Argument: each end was asked of [`super::smooth`] at the very epsilon that is returned ([`super::seek`]), or follows
//! without: total variation adds up under composition, and no sum exceeds the sum of the greatest losses. A direction is
//! passed over when its moment bound at the other's upper end is at most delta. Everything else here is a plan: a bad one
//! makes the interval wide, not wrong.
//!
//! Checked by: `super::reference`, `tests/quadrature.rs`.

use super::atoms::Atoms;
use super::invert::Inverse;
use super::nodes::Nodes;
use super::plan::Plan;
use super::seek::{Pace, lower, upper};
use super::smooth::Smooth;
use crate::account::Price;
use crate::account::pair::Pair;
use std::f64::consts::PI;

/// Nodes of one loss for each standard deviation of the noise, where only a plan is made.
const NODES: f64 = 8.0;
/// How wide the interval may be, however large epsilon is, unless it is beyond all use.
pub(super) const WIDEST: f64 = 1e-3;
/// As a share of epsilon, where it is.
pub(super) const PART: f64 = 1e-6;
/// So many turns over one over the precision are dear: an interval of 0.3 % will do then.
const DEAR: f64 = 1.5e4;
/// The most frequencies at the first attempt.
const FIRST: f64 = 4096.0;
/// The most attempts.
const TRIES: usize = 4;
/// The greatest moment of one loss that is asked for, as the power of e.
const LARGEST: f64 = 600.0;

/// What is asked: pairs with how often each was, and unsampled Gaussians merged.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) pairs: Vec<(Pair, f64)>,
    /// The sum of `1/z^2`.
    pub(super) gaussian: f64,
    /// Mass cut off at either end of one loss.
    pub(super) tail: f64,
    pub(super) precision: f64,
    /// What may be left out at the end of a line, repeated, or cut off, over delta, as the power of 1/e.
    pub(super) spare: f64,
}

/// What is known of epsilon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) lower: f64,
    pub(super) upper: f64,
}

impl Ends {
    /// Whether the interval is at most this share of epsilon wide.
    pub(super) fn narrow(self, share: f64) -> bool {
        self.upper.is_finite() && self.upper - self.lower <= share * self.upper
    }

    /// Of the greater of two.
    pub(super) fn or(self, other: Ends) -> Ends {
        Ends { lower: self.lower.max(other.lower), upper: self.upper.max(other.upper) }
    }

    /// Of the same epsilon, known in two ways.
    pub(super) fn both(self, other: Ends) -> Ends {
        Ends { lower: self.lower.max(other.lower), upper: self.upper.min(other.upper) }
    }

    pub(super) fn price(self) -> Price {
        Price::interval(self.lower.min(self.upper), self.upper)
    }

    /// What is known by another way besides.
    pub(super) fn and(self, other: Price) -> Price {
        let lower = self.lower.max(other.lower.unwrap_or(0.0));
        if self.upper <= other.epsilon { Ends { lower, ..self }.price() } else { Price { lower: Some(lower), ..other } }
    }
}

impl Question {
    /// What is known before any line is chosen.
    pub(super) fn plan(&self, mirrored: bool) -> Plan {
        Plan::new(&self.pairs, mirrored, self.tail, NODES).and(self.gaussian)
    }

    /// How many rounds there are, at least one.
    pub(super) fn count(&self) -> f64 {
        self.pairs.iter().map(|(_, count)| count).sum::<f64>().max(1.0)
    }

    /// Total variation adds up.
    pub(super) fn total_variation(&self) -> f64 {
        let one = |(pair, count): &(Pair, f64)| count * pair.total_variation();
        let whole = self.pairs.iter().map(one).sum::<f64>() * (1.0 + 1e-9);
        if self.gaussian > 0.0 { 1.0 } else { whole.min(1.0) }
    }

    /// Whether delta alone covers everything.
    pub(super) fn covered(&self, delta: f64) -> bool {
        self.total_variation() <= delta
    }

    /// Epsilon of both directions together.
    pub(super) fn epsilon(&self, symmetric: bool, delta: f64) -> Option<Ends> {
        if self.covered(delta) {
            return Some(Ends { lower: 0.0, upper: 0.0 });
        }
        let plans = [self.plan(false), self.plan(true)];
        if symmetric {
            return Some(self.direction(false, &plans[0], delta)?.0);
        }
        let worse = plans[1].at_delta(delta).epsilon > plans[0].at_delta(delta).epsilon;
        let [first, second] = if worse { [true, false] } else { [false, true] };
        let ends = self.direction(first, &plans[usize::from(first)], delta)?.0;
        if self.less(second, &plans[usize::from(second)], ends.upper, delta) {
            return Some(ends);
        }
        let other = self.direction(second, &plans[usize::from(second)], delta)?.0;
        Some(ends.or(other))
    }

    /// Whether a direction surely costs no more than epsilon: by its greatest loss, or a moment bound.
    pub(super) fn less(&self, mirrored: bool, plan: &Plan, epsilon: f64, delta: f64) -> bool {
        self.most(mirrored) <= epsilon || self.moment(mirrored, plan, epsilon).is_some_and(|most| most <= delta)
    }

    /// A bound on delta of one direction by a moment, and what cutting off losses may have hidden.
    pub(super) fn moment(&self, mirrored: bool, plan: &Plan, epsilon: f64) -> Option<f64> {
        // Beyond all that a cut loss has no tilt is too large, and moments leave the range of doubles.
        let least = self.pairs.iter().map(|(_, count)| *count).fold(f64::INFINITY, f64::min);
        let tilt = plan.best_tilt(epsilon, LARGEST * least);
        let moment = |(pair, count): &(Pair, f64)| {
            let nodes = Nodes::new(*pair, mirrored, self.tail, (tilt, 0.0), (tilt, 1e-12))?;
            Some((count * (nodes.log_moment(tilt) + 1e-12), count * pair.outside(self.tail)))
        };
        let parts = self.pairs.iter().map(moment).collect::<Option<Vec<_>>>()?;
        let (log, infinite) = parts.iter().fold((0.0, 0.0), |(log, infinite), part| (log + part.0, infinite + part.1));
        let normal = 0.5 * self.gaussian * tilt * (tilt + 1.0);
        Some((log + normal - tilt * epsilon + 1e-9).exp() + infinite)
    }

    /// The greatest loss of all in one direction.
    pub(super) fn most(&self, mirrored: bool) -> f64 {
        self.atoms(mirrored, 0.5).upper
    }

    /// What the greatest losses say of epsilon in one direction.
    fn atoms(&self, mirrored: bool, delta: f64) -> Ends {
        if self.gaussian > 0.0 {
            return Ends { lower: 0.0, upper: f64::INFINITY };
        }
        Atoms::new(&self.pairs, mirrored).ends(delta)
    }

    /// What the greatest losses say of epsilon.
    pub(super) fn sure(&self, delta: f64) -> Ends {
        self.atoms(false, delta).or(self.atoms(true, delta))
    }

    /// Epsilon of one direction.
    pub(super) fn direction(&self, mirrored: bool, plan: &Plan, delta: f64) -> Option<(Ends, Option<Inverse>)> {
        let counts: Vec<f64> = self.pairs.iter().map(|(_, count)| *count).collect();
        let mut line = None;
        let saddle = plan.at_delta(delta);
        let mut best = Ends { lower: 0.0, upper: self.most(mirrored) };
        let mut epsilon = saddle.epsilon.min(best.upper).max(1e-3 * saddle.deviation()).max(1e-12);
        let wanted = self.room(epsilon) / (saddle.tilt + 1.0);
        let course = plan.course((epsilon, delta), saddle.tilt, (wanted, self.spare));
        // At first no more frequencies than some, wherever epsilon is.
        let floor = 2.0 * (self.spare + course.depth) * (course.period / (2.0 * PI * FIRST)).powi(2);
        let mut smoothing = wanted.max(floor);
        for _ in 0..TRIES {
            let added = (smoothing - self.gaussian).max(0.0);
            let course = plan.course((epsilon, delta), saddle.tilt, (added, self.spare));
            let made = Inverse::new(&self.pairs, mirrored, self.tail, course, (added, self.gaussian), self.spare);
            let Some(inverse) = made else { break };
            let smooth = inverse.smooth(&counts, self.gaussian);
            let Ends { lower, upper } = ends(&smooth, delta, epsilon, pace(&inverse, saddle.tilt));
            best = Ends { lower: best.lower.max(lower), upper: best.upper.min(upper) };
            let cost = inverse.cost();
            line = Some(inverse);
            let width = best.upper - best.lower;
            // Far in the tail precision is dear.
            let room = self.room(best.upper);
            let next = (cost * self.precision / DEAR * width / room).min(1.0);
            let room = room * (1.0 + 0.25 * course.depth * next);
            if width <= 2.0 * room {
                break;
            }
            // What smoothing accounts for: what else is wide, a better line will narrow.
            let step = 1e-4 * best.upper.max(1e-12);
            let slope = (smooth.above(best.upper - step) / smooth.above(best.upper + step)).ln() / (2.0 * step);
            let blur = 1.5 * added * (slope.max(0.0) + 1.0);
            let width = if blur > room { width.min(blur) } else { room };
            let before = epsilon;
            epsilon = if upper.is_finite() { best.upper.max(1e-12) } else { 2.0 * epsilon };
            let dear = (cost * self.precision / DEAR).min(0.003 * best.upper / width);
            let share = (0.7 * room / width).max(dear).clamp(0.01, 1.0);
            if (epsilon - before).abs() < 0.02 * epsilon && (share > 0.99 || added == 0.0) {
                break;
            }
            smoothing = if added > 0.0 { added * share } else { smoothing };
        }
        best.upper.is_finite().then_some((best, line))
    }

    pub(super) fn room(&self, epsilon: f64) -> f64 {
        let part = if epsilon.is_finite() { PART * epsilon } else { 0.0 };
        (self.precision * epsilon).min(part.max(WIDEST))
    }
}

/// How to search along a line: beyond a period everything repeats.
pub(super) fn pace(line: &Inverse, slope: f64) -> Pace {
    Pace { slope: slope.max(line.course.tilt), most: 0.1 * line.course.period }
}

/// Both ends along one line.
pub(super) fn ends(smooth: &Smooth, delta: f64, start: f64, pace: Pace) -> Ends {
    let upper = upper(smooth, delta, start, pace);
    Ends { lower: lower(smooth, delta, if upper.is_finite() { upper } else { start }, pace), upper }
}
