//! The transforms of all pairs in one direction along one line, for any numbers of them.
//!
//! # Why this is private
//!
//! Claim: [`Inverse::smooth`] is the sum of so many of each pair, with bounds that hold for those numbers.
//!
//! Argument: [`super::smooth`]. The bounds beyond a period are moments at other tilts, each times how often its pair was.
//!
//! Checked by: `super::reference`.

use super::nodes::Nodes;
use super::plan::Course;
use super::smooth::{Line, Smooth};
use super::transform::{self, Transform};
use crate::account::pair::Pair;
use std::f64::consts::PI;

/// The most frequencies.
const MOST: f64 = 262_144.0;

/// One pair: its transform, and what bounds need of it.
#[derive(Clone, Debug)]
struct Part {
    transform: Transform,
    log_up: f64,
    log_down: f64,
    outside: f64,
    wrong: f64,
    nodes: usize,
}

/// The transforms of all pairs in one direction.
#[derive(Clone, Debug)]
pub(super) struct Inverse {
    parts: Vec<Part>,
    pub(super) course: Course,
    step: f64,
    count: usize,
    pub(super) smoothing: f64,
}

impl Inverse {
    /// For these pairs, about so often, with unsampled Gaussians of this sum of `1/z^2` besides. `None` where it would need too
    /// many nodes.
    pub(super) fn new(
        pairs: &[(Pair, f64)],
        mirrored: bool,
        tail: f64,
        course: Course,
        (smoothing, gaussian): (f64, f64),
        spare: f64,
    ) -> Option<Self> {
        let Course { tilt, period, up, down, depth } = course;
        let step = 2.0 * PI / period;
        let highest = (2.0 * (spare + depth) / (gaussian + smoothing)).sqrt();
        let count = (highest / step).ceil() + 1.0;
        if count.is_nan() || count > MOST {
            return None;
        }
        let count = (count as usize).max(8);
        let whole: f64 = pairs.iter().map(|(_, times)| times).sum();
        let leave = ((-spare - 4.0 - depth).exp() / whole.max(1.0)).min(1e-9);
        let part = |(pair, _): &(Pair, f64)| {
            let range = down.max(tilt + up);
            let nodes = Nodes::new(*pair, mirrored, tail, (tilt, step * count as f64), (range, leave))?;
            let log = |s: f64| nodes.log_moment(s) + 1e-12;
            Some(Part {
                transform: Transform::new(&nodes, step, count),
                log_up: log(tilt + up),
                log_down: log(-down),
                outside: pair.outside(tail),
                wrong: nodes.wrong,
                nodes: nodes.losses.len(),
            })
        };
        let parts = pairs.iter().map(part).collect::<Option<_>>()?;
        Some(Inverse { parts, course, step, count, smoothing })
    }

    /// The sum of so many of each pair, and these unsampled Gaussians.
    pub(super) fn smooth(&self, counts: &[f64], gaussian: f64) -> Smooth {
        let Course { tilt, up, down, .. } = self.course;
        let sum =
            |of: fn(&Part) -> f64| self.parts.iter().zip(counts).map(|(part, times)| times * of(part)).sum::<f64>();
        let normal = |s: f64| 0.5 * (gaussian + self.smoothing) * s * (s + 1.0);
        let padded = |log: f64| log + 1e-12 * log.abs() + 1e-9;
        let line = Line {
            tilt,
            step: self.step,
            count: self.count,
            smoothing: self.smoothing,
            gaussian,
            up,
            log_up: padded(sum(|part| part.log_up) + normal(tilt + up)),
            down,
            log_down: padded(sum(|part| part.log_down) + normal(-down)),
            infinite: sum(|part| part.outside),
            wrong: sum(|part| part.wrong),
        };
        let parts: Vec<_> = self.parts.iter().zip(counts).map(|(part, times)| (&part.transform, *times)).collect();
        Smooth::new(&parts, line)
    }

    /// The same with so many times the smoothing, at least once.
    pub(super) fn smoother(&self, times: f64) -> Self {
        Inverse { smoothing: times * self.smoothing, ..self.clone() }
    }

    /// What it took, in rotations of one place by one frequency: to make the transforms, and to search along the line.
    pub(super) fn cost(&self) -> f64 {
        self.parts.iter().map(|part| transform::cost(part.nodes, self.count)).sum::<f64>() + 100.0 * self.count as f64
    }
}
