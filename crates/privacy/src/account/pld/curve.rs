//! Delta at an epsilon, by inversion: the other way to read the privacy curve.
//!
//! # Why this is private
//!
//! Claim: [`Question::delta`] is at least the divergence of both directions at this epsilon.
//!
//! Argument: every value was asked of [`super::smooth`] at this very epsilon; a direction is passed
//! over when its moment bound is at most the other's; total variation adds up under composition; and above
//! the sum of the greatest losses nothing is left. The least of several bounds is a bound.
//!
//! Checked by: `super::tests`, `tests/reference_forms.rs`.

use super::ask::Question;
use super::invert::Inverse;
use super::plan::Plan;

/// How far apart both ends may be, as a share of delta.
const WIDE: f64 = 2e-3;
/// The most attempts.
const TRIES: usize = 5;
/// The most frequencies at the first attempt.
const FIRST: f64 = 8192.0;

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

    /// The least delta that is vouched for at this epsilon.
    pub(super) fn delta(&self, epsilon: f64, symmetric: bool) -> f64 {
        let first = self.delta_one_way(false, epsilon);
        let once = symmetric || self.less(true, &self.plan(true), epsilon, first);
        let worst = if once { first } else { first.max(self.delta_one_way(true, epsilon)) };
        worst.min(self.total_variation())
    }

    fn delta_one_way(&self, mirrored: bool, epsilon: f64) -> f64 {
        if self.most(mirrored) <= epsilon {
            return 0.0;
        }
        let plan = self.plan(mirrored);
        let saddle = plan.at_epsilon(epsilon);
        let counts: Vec<f64> = self.pairs.iter().map(|(_, count)| *count).collect();
        // Where epsilon is next to nothing, a line is planned for somewhat more.
        let place = epsilon.max(1e-3 * saddle.deviation()).max(1e-12);
        let mut about = plan.delta_at(saddle, epsilon).clamp(1e-250, 0.5);
        let (mut best, mut least) = (1.0_f64, 0.0_f64);
        let mut smoothing = self.first_smoothing(&plan, (place, about), saddle.tilt);
        for _ in 0..TRIES {
            let added = (smoothing - self.gaussian).max(0.0);
            let course = plan.course((place, about), saddle.tilt, (added, self.spare));
            let made = Inverse::new(&self.pairs, mirrored, self.tail, course, (added, self.gaussian), self.spare);
            if let Some(inverse) = made {
                let smooth = inverse.smooth(&counts, self.gaussian);
                // What is not a number is ignored by both.
                (best, least) = (best.min(smooth.above(epsilon)), least.max(smooth.below(epsilon)));
                if best - least <= WIDE * best || added == 0.0 {
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
        best.max(0.0)
    }

    /// So little that delta grows by a part of what is allowed, or as much as keeps frequencies few.
    fn first_smoothing(&self, plan: &Plan, (epsilon, delta): (f64, f64), tilt: f64) -> f64 {
        let wanted = 0.5 * WIDE / (tilt * (tilt + 1.0));
        let course = plan.course((epsilon, delta), tilt, (wanted, self.spare));
        let periods = course.period / (2.0 * std::f64::consts::PI * FIRST);
        wanted.max(2.0 * (self.spare + course.depth) * periods * periods)
    }
}
