//! What a run has cost after each round, from one plan: the transforms of its rounds are made once and raised to every power.
//!
//! # Why this is private
//!
//! Claim: [`Running::epsilon`] returns what [`super::Pld`] could: an interval that holds the epsilon of the pairs it is asked
//! about.
//!
//! Argument: every answer is asked of [`super::smooth`] for the very counts in question, with all bounds for those counts. A
//! line planned for fewer or more rounds is merely less sharp; where it is too wide another is planned.

use super::ask::{Ends, Question, ends, pace};
use super::invert::Inverse;
use super::{Pld, PldCurve};
use crate::account::pair::Pair;
use crate::account::{Accountant, Price};

/// The accountant with what it keeps between questions about one growing run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    running: Running,
}

impl Tally {
    /// As [`super::Pld`]'s epsilon, sooner when asked about hardly other numbers of the same events.
    pub(crate) fn epsilon(&mut self, curve: &PldCurve, delta: f64) -> Price {
        let pld = Pld::default();
        let count: f64 = curve.parts.iter().map(|(_, count)| count).sum();
        if !curve.smooth() || count < 2.0 || curve.extreme().is_some() {
            return pld.epsilon(curve, delta);
        }
        let question = pld.question(curve, delta);
        if question.covered(delta) {
            return curve.noted(Price::interval(0.0, 0.0));
        }
        let symmetric = curve.parts.iter().all(|(pair, _)| pair.symmetric());
        match self.running.epsilon(&question, symmetric, delta) {
            Some(ends) if curve.sharp(ends) => curve.noted(ends.price()),
            _ => pld.epsilon(curve, delta),
        }
    }
}

/// How much wider than a fresh answer a kept one may be.
const STALE: f64 = 3.0;
/// Plans are made for so many times more rounds.
const AHEAD: f64 = 1.3;

/// Transforms that are kept, one direction each.
#[derive(Clone, Debug, Default)]
pub(super) struct Running {
    pairs: Vec<Pair>,
    tail: f64,
    lines: [Option<Kept>; 2],
}

#[derive(Clone, Debug)]
struct Kept {
    inverse: Inverse,
    slope: f64,
    /// Where epsilon was last.
    epsilon: f64,
}

impl Running {
    /// Epsilon of both directions together, as [`Question::epsilon`].
    pub(super) fn epsilon(&mut self, asked: &Question, symmetric: bool, delta: f64) -> Option<Ends> {
        let pairs: Vec<Pair> = asked.pairs.iter().map(|(pair, _)| *pair).collect();
        if pairs != self.pairs || !(asked.tail > 0.1 * self.tail && asked.tail < 10.0 * self.tail) {
            *self = Running { pairs, tail: asked.tail, lines: [None, None] };
        }
        let first = self.direction(asked, false, delta, 0.0)?;
        if symmetric || asked.most(true) <= first.upper {
            return Some(first);
        }
        let second = self.direction(asked, true, delta, first.upper)?;
        Some(first.or(second))
    }

    /// Epsilon of one direction; or, where that surely is at most `known`, that it is.
    fn direction(&mut self, asked: &Question, mirrored: bool, delta: f64, known: f64) -> Option<Ends> {
        let counts: Vec<f64> = asked.pairs.iter().map(|(_, count)| *count).collect();
        let kept = &mut self.lines[usize::from(mirrored)];
        if let Some(kept) = kept {
            let smooth = kept.inverse.smooth(&counts, asked.gaussian);
            if known > 0.0 && smooth.above(known) <= delta {
                return Some(Ends { lower: 0.0, upper: known });
            }
            let found = ends(&smooth, delta, kept.epsilon, pace(&kept.inverse, kept.slope));
            let room = asked.room(found.upper) * (1.0 + 0.25 * kept.inverse.course.depth);
            if found.upper - found.lower <= STALE * room {
                kept.epsilon = found.upper;
                return Some(found);
            }
        }
        let ahead = Question {
            pairs: asked.pairs.iter().map(|(pair, count)| (*pair, AHEAD * count)).collect(),
            ..asked.clone()
        };
        let mut best: Option<(Ends, Option<Inverse>, f64)> = None;
        for question in [&ahead, asked] {
            let plan = question.plan(mirrored);
            let slope = plan.at_delta(delta).tilt;
            let Some((fresh, Some(inverse))) = question.direction(mirrored, &plan, delta) else { continue };
            let found = ends(&inverse.smooth(&counts, asked.gaussian), delta, fresh.upper, pace(&inverse, slope));
            let room = asked.room(found.upper) * (1.0 + 0.25 * inverse.course.depth);
            let sharp = found.upper - found.lower <= STALE * room;
            if best.as_ref().is_none_or(|best| found.upper < best.0.upper) {
                best = Some((found, Some(inverse), slope));
            }
            if sharp {
                break;
            }
        }
        let (found, inverse, slope) = best?;
        *kept = inverse.map(|inverse| Kept { inverse, slope, epsilon: found.upper });
        found.upper.is_finite().then_some(found)
    }
}
