//! Delta at an epsilon, by inversion: the other way to read the privacy curve.
//!
//! # Why this is private
//!
//! Claim: [`Question::delta`] is at least the divergence of both directions at this epsilon.
//!
//! Argument: every value was asked of [`super::smooth`] at this very epsilon; a direction is passed
//! over when its moment bound is at most the other's; total variation adds up under composition; a delta is enough for an epsilon
//! that is at least the price at that delta; a moment bounds delta, and counts where no line does better; and above the sum of the greatest
//! losses nothing is left. The least of several bounds is a bound. A whole curve ([`Trace`]) keeps the
//! lines of the last epsilon that had some made: a line bounds delta at every epsilon, and is asked again as long as its two bounds
//! are near each other.
//!
//! Checked by: `super::tests`, `tests/reference_forms.rs`.

use super::ask::Question;
use super::invert::Inverse;
use super::plan::Plan;
use super::smooth::Smooth;
use super::{Pld, PldCurve};
use crate::account::{Accountant as _, delta_between};

/// How far apart both ends may be, as a share of delta.
const WIDE: f64 = 2e-3;
/// A finer line that leaves this share of what was unknown is as good as none: what is unknown is rounding.
const SAME: f64 = 0.7;
/// The most attempts.
const TRIES: usize = 5;
/// How often delta is asked for again when it was far less than expected.
const AGAIN: usize = 3;
/// The most frequencies at the first attempt.
const FIRST: f64 = 8192.0;

/// What was made to find delta in either direction.
pub(super) type Lines = [Option<Smooth>; 2];

/// Delta at one epsilon after another, from the same lines as long as they are sharp.
pub(super) struct Trace<'a> {
    pld: Pld,
    curve: &'a PldCurve,
    symmetric: bool,
    kept: Option<(Question, Plan, Lines)>,
    /// Whether what was kept last was sharp where it was made.
    sharp: bool,
}

impl<'a> Trace<'a> {
    pub(super) fn new(pld: Pld, curve: &'a PldCurve) -> Self {
        let symmetric = curve.parts.iter().all(|(pair, _)| pair.symmetric());
        Trace { pld, curve, symmetric, kept: None, sharp: true }
    }

    /// The least delta that is vouched for at this epsilon.
    pub(super) fn delta(&mut self, epsilon: f64) -> f64 {
        self.known(epsilon).unwrap_or_else(|| self.afresh(epsilon))
    }

    /// What the kept lines say, if they are sharp here.
    fn known(&self, epsilon: f64) -> Option<f64> {
        let (question, plan, lines) = self.kept.as_ref()?;
        let ends = |mirrored: bool| match &lines[usize::from(mirrored)] {
            _ if question.most(mirrored) <= epsilon => Some((0.0, 0.0)),
            Some(line) => Some((line.below(epsilon).max(0.0), line.above(epsilon))),
            None => None,
        };
        let (mut least, mut most) = ends(false)?;
        if !self.symmetric {
            match ends(true) {
                Some(other) => (least, most) = (least.max(other.0), most.max(other.1)),
                None if question.less(true, plan, epsilon, most) => {}
                None => return None,
            }
        }
        (most - least <= WIDE * most).then(|| most.min(question.total_variation()))
    }

    /// With lines of its own, which are kept.
    fn afresh(&mut self, epsilon: f64) -> f64 {
        let mut about = self.pld.question(self.curve, 1e-12).delta_about(epsilon, self.symmetric);
        let mut question = self.pld.question(self.curve, about);
        let (mut best, mut lines) = question.delta(epsilon, self.symmetric);
        // What is cut off is in proportion to what delta was taken for.
        for _ in 0..AGAIN {
            if best == 0.0 || best > 0.1 * about {
                break;
            }
            about = best;
            question = self.pld.question(self.curve, about);
            let (again, other) = question.delta(epsilon, self.symmetric);
            (best, lines) = (best.min(again), other);
        }
        if best >= 1.0 {
            // Just below the greatest sum of one direction no line will do: what is enough is asked of epsilon.
            let other = question.delta_about(epsilon, true);
            let ends = (0.5 * other, (1e3 * other).min(0.9));
            best = delta_between(ends, |delta| self.pld.epsilon(self.curve, delta).epsilon <= epsilon);
        }
        let plan = question.plan(true);
        self.kept = Some((question, plan, lines));
        self.sharp = self.known(epsilon).is_some();
        best
    }

    /// The least deltas that are vouched for at these epsilons. From the greatest downwards: what was sharp far out is so nearer,
    /// too. Where nothing is, as below what roundings leave of delta, ever more are answered by the delta of the least of them,
    /// as long as that is not more than the delta before.
    pub(super) fn deltas(mut self, epsilons: &[f64]) -> Vec<f64> {
        let mut order: Vec<usize> = (0..epsilons.len()).collect();
        order.sort_by(|a, b| epsilons[*b].total_cmp(&epsilons[*a]));
        let mut deltas = vec![1.0; epsilons.len()];
        let (mut done, mut stride, mut before) = (0, 1, 0.0);
        while done < order.len() {
            let next = (done + stride).min(order.len());
            let delta = self.delta(epsilons[order[next - 1]]);
            if next - done > 1 && delta > before * (1.0 + WIDE) {
                stride = 1;
                continue;
            }
            order[done..next].iter().for_each(|k| deltas[*k] = delta);
            (done, before) = (next, delta);
            stride = if self.sharp { 1 } else { 2 * stride };
        }
        deltas
    }
}

impl Question {
    /// What delta is about, to plan with.
    pub(super) fn delta_about(&self, epsilon: f64, symmetric: bool) -> f64 {
        let one = |mirrored| {
            let plan = self.plan(mirrored);
            plan.delta_at(plan.at_epsilon(epsilon), epsilon)
        };
        let about = one(false).max(if symmetric { 0.0 } else { one(true) });
        if about > 0.0 { about.clamp(1e-250, 0.5) } else { 1e-250 }
    }

    /// The least delta that is vouched for at this epsilon, and the lines that say so.
    pub(super) fn delta(&self, epsilon: f64, symmetric: bool) -> (f64, Lines) {
        let (first, line) = self.delta_one_way(false, epsilon);
        let once = symmetric || self.less(true, &self.plan(true), epsilon, first);
        let (second, other) = if once { (0.0, None) } else { self.delta_one_way(true, epsilon) };
        (first.max(second).min(self.total_variation()), [line, other])
    }

    fn delta_one_way(&self, mirrored: bool, epsilon: f64) -> (f64, Option<Smooth>) {
        if self.most(mirrored) <= epsilon {
            return (0.0, None);
        }
        let plan = self.plan(mirrored);
        let saddle = plan.at_epsilon(epsilon);
        let counts: Vec<f64> = self.pairs.iter().map(|(_, count)| *count).collect();
        // Where epsilon is next to nothing, a line is planned for somewhat more.
        let place = epsilon.max(1e-3 * saddle.deviation()).max(1e-12);
        let mut about = plan.delta_at(saddle, epsilon).clamp(1e-250, 0.5);
        let (mut best, mut least, mut line) = (1.0_f64, 0.0_f64, None);
        let mut smoothing = self.first_smoothing(&plan, (place, about), saddle.tilt);
        for _ in 0..TRIES {
            let added = (smoothing - self.gaussian).max(0.0);
            let course = plan.course((place, about), saddle.tilt, (added, self.spare));
            let made = Inverse::new(&self.pairs, mirrored, self.tail, course, (added, self.gaussian), self.spare);
            if let Some(inverse) = made {
                let smooth = inverse.smooth(&counts, self.gaussian);
                let gap = best - least;
                // What is not a number is ignored by both.
                (best, least) = (best.min(smooth.above(epsilon)), least.max(smooth.below(epsilon)));
                line = Some(smooth);
                let same = best < 1.0 && best - least > SAME * gap;
                if best - least <= WIDE * best || added == 0.0 || same {
                    break;
                }
                about = best.clamp(1e-250, 0.5);
                smoothing *= 0.1;
            } else if best < 1.0 {
                break;
            } else {
                smoothing = 10.0 * smoothing.max(1e-12);
            }
        }
        if best - least > WIDE * best {
            // What roundings leave of a line may be far more than a moment says.
            best = best.min(self.moment(mirrored, &plan, epsilon).unwrap_or(1.0));
        }
        (best.max(0.0), line)
    }

    /// So little that delta grows by a part of what is allowed, or as much as keeps frequencies few.
    fn first_smoothing(&self, plan: &Plan, (epsilon, delta): (f64, f64), tilt: f64) -> f64 {
        let wanted = 0.5 * WIDE / (tilt * (tilt + 1.0));
        let course = plan.course((epsilon, delta), tilt, (wanted, self.spare));
        let periods = course.period / (2.0 * std::f64::consts::PI * FIRST);
        wanted.max(2.0 * (self.spare + course.depth) * periods * periods)
    }
}
