//! Epsilon by inversion of the moment generating function of the privacy loss: the oracle.
//!
//! # Why this is private
//!
//! Claim: the epsilon returned is the true one of the dominating pairs, up to the error that the notes state. That error is
//! an estimate and not a bound; where a proven bound is wanted, use `pld`.
//!
//! Argument. With `M_j(s) = E_(o ~ P) (P/Q)^s` and `K(s) = sum_j T_j ln M_j(s)`,
//! `delta(epsilon) = 1/(2 pi i) integral over Re s = c > 0 of exp(K(s) - s epsilon) / (s (s+1)) ds`. The trapezoid rule
//! along the line repeats the distribution of the loss at a distance `2 pi / step`: the step is chosen so that the moment
//! bounds put all but `e^-40` of the tilted mass within it, and `e^(c epsilon)` falls by as much towards the pole at 0. Within `M_j` it converges geometrically too (Trefethen &
//! Weideman 2014). Counts are whole numbers, so that every branch of `ln M` gives the same power. A single release is
//! integrated directly: `delta = integral (p - e^epsilon q)_+`. The error stated is rounding, the largest term left out, and
//! the moment bound on what the step repeats, over the slope of `ln delta`. Away from the saddle point rounding drowns the
//! integral, so that epsilon is sought near it alone. What too few nodes do to high frequencies shows in other lines on more nodes. Where
//! the estimate exceeds `1e-8`, as for a few rounds at tiny rates, whose
//! integrals fall slowly, the limit of `pld`'s smoothed inversion is taken; where that is no better, or the value lies outside
//! the proven interval of `pld`, that interval is the answer (losses on a lattice).
//!
//! Citation: Zhu, Dong & Wang 2022 (characteristic functions of the loss); the formula as in the reference's read-me.
//!
//! Checked by: `tests` (multi-precision values), and `pld::reference` (it lies in the proven interval).

use super::pair::Pair;
use super::pld::parts::{GREATEST_LOSS, losses};
use super::pld::{Plan, Pld, PldCurve, pieces};
use super::{Accountant, Price};
use crate::{Event, Neighbouring, gaussian};
use realfft::num_complex::Complex64;
use std::f64::consts::PI;

/// The accountant by inversion of the moment generating function.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exact;

/// What is claimed of an epsilon, absolute or relative: with a larger estimated error there is no claim.
const CLAIM: f64 = 1e-8;
/// Mass left out at either end of a loss.
const TAIL: f64 = 1e-30;
/// Nodes of one loss for each standard deviation of the noise.
const FINENESS: f64 = 16.0;
/// So many times as many on other lines, each next to the one before.
const FINER: [f64; 3] = [1.37, 2.1, 3.3];
/// How far a turn may go from one node to the next for the midpoint rule to be sharp: less than half a turn.
const TURN: f64 = 3.0;
/// The most places along the line of integration, and those tried first.
const MOST: usize = 65_536;
const FIRST: usize = 256;
/// The most pieces that a single release is integrated in: more are wanted by noise next to nothing at rates next to nothing.
const MOST_PIECES: f64 = 65_536.0;
/// Places turned in a row.
const BLOCK: usize = 64;
/// What is left out is as good as nothing when it is a smaller share than the first, and hopeless when a larger one than the second.
const NOTHING: f64 = 1e-14;
const HOPELESS: f64 = 1e-6;
/// A line that falls by less than so many powers of 1/e does not end.
const LITTLE: f64 = 12.0;

/// Epsilon, and by how much it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) epsilon: f64,
    pub(super) error: f64,
}

/// Said where there is no value.
const UNSHARP: &str = "the inversion does not reach its precision here: this is pld's proven interval instead";
/// Nothing found.
const UNKNOWN: Found = Found { epsilon: 0.0, error: f64::INFINITY };

impl Accountant for Exact {
    type Curve = PldCurve;

    fn name(&self) -> &'static str {
        "exact"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<PldCurve, &'static str> {
        PldCurve::of(event, neighbouring)
    }

    fn epsilon(&self, curve: &PldCurve, delta: f64) -> Price {
        if let Some(epsilon) = curve.extreme() {
            return Price::bound(epsilon);
        }
        let proven = Pld::default().epsilon(curve, delta);
        if !narrow(&proven) {
            return proven.note(UNSHARP);
        }
        let mut found = worst(curve, delta);
        let sound = |found: &Found| found.error <= CLAIM * found.epsilon.max(1.0) && holds(&proven, found.epsilon);
        if !sound(&found) {
            found = curve.value(delta, 0.3 * CLAIM).map_or(found, |(epsilon, error)| Found { epsilon, error });
        }
        let Found { epsilon, error } = found;
        if sound(&found) {
            let price = curve.noted(Price::bound(epsilon));
            return price.note(format!("an oracle, no proven bound: its estimated error is {error:.1e}"));
        }
        proven.note(UNSHARP)
    }

    /// The bound of `pld`: hardly more than the value.
    fn delta(&self, curve: &PldCurve, epsilon: f64) -> f64 {
        Pld::default().delta(curve, epsilon)
    }

    fn deltas_of(&self, curve: &PldCurve, epsilons: &[f64]) -> Vec<f64> {
        Pld::default().deltas_of(curve, epsilons)
    }
}

/// Whether a proven interval says so much that a value in it may be vouched for.
fn narrow(proven: &Price) -> bool {
    proven.epsilon - proven.lower.unwrap_or(0.0) <= 0.1 * proven.epsilon + 1e-6
}

/// Whether a proven interval holds this value.
fn holds(proven: &Price, epsilon: f64) -> bool {
    let (lower, slack) = (proven.lower.unwrap_or(0.0), CLAIM * epsilon.max(1.0));
    epsilon <= proven.epsilon + slack && epsilon >= lower - slack
}

/// Epsilon of the worse direction.
fn worst(curve: &PldCurve, delta: f64) -> Found {
    let (pairs, gaussian) = curve.apart();
    let symmetric = pairs.iter().all(|(pair, _)| pair.symmetric());
    let one = |mirrored| match pairs {
        [] => normal(gaussian, delta),
        [(pair, count)] if *count == 1.0 && gaussian == 0.0 => single(*pair, mirrored, delta),
        // The midpoint rule is sharp for densities without a kink alone.
        _ if pairs.iter().any(|(pair, _)| matches!(pair, Pair::Subset(_))) => UNKNOWN,
        _ => direction((pairs, gaussian), mirrored, delta),
    };
    let (first, second) = (one(false), if symmetric { None } else { Some(one(true)) });
    let error = first.error.max(second.map_or(0.0, |found| found.error));
    Found { epsilon: first.epsilon.max(second.map_or(0.0, |found| found.epsilon)), error }
}

/// Epsilon of one direction. Where nodes are too far apart for the highest frequency, or losses have atoms and their densities
/// ends, the midpoint rule need not be sharp, and nothing in the line itself tells: other lines on more nodes do.
fn direction(events: (&[(Pair, f64)], f64), mirrored: bool, delta: f64) -> Found {
    let line = Line::new(events, mirrored, delta, FINENESS);
    let mut found = line.solve(delta);
    let claimed = |found: Found| found.error <= CLAIM * found.epsilon.max(1.0);
    let ends = events.0.iter().any(|(pair, _)| pair.lumpy());
    if !claimed(found) || (line.resolved && !ends) {
        return found;
    }
    for finer in FINER {
        let Found { epsilon, error } = Line::new(events, mirrored, delta, finer * FINENESS).solve(delta);
        let apart = (epsilon - found.epsilon).abs();
        found = Found { epsilon, error: error + 2.0 * apart };
        if claimed(found) {
            break;
        }
    }
    found
}

/// Epsilon of unsampled Gaussians.
fn normal(gaussian: f64, delta: f64) -> Found {
    let epsilon = gaussian::epsilon(gaussian.sqrt(), delta);
    Found { epsilon, error: 1e-11 * epsilon.max(1.0) }
}

/// Epsilon of a single release, by integrating its divergence.
fn single(pair: Pair, mirrored: bool, delta: f64) -> Found {
    let (low, high) = losses(pair, TAIL * delta);
    if !(low > -GREATEST_LOSS && high < GREATEST_LOSS) || pieces(pair, TAIL * delta) > MOST_PIECES {
        return UNKNOWN;
    }
    let least = |epsilon: f64| super::pld::divergence(pair, mirrored, epsilon, TAIL * delta);
    if least(0.0) <= delta {
        return Found { epsilon: 0.0, error: 1e-12 };
    }
    let (mut low, mut high) = (0.0, 1.0);
    while least(high) > delta && high < 1e6 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if least(middle) > delta { low = middle } else { high = middle }
    }
    Found { epsilon: high, error: 1e-11 * high.max(1.0) }
}

/// One direction: `exp(K(s))/(s (s+1))` at places `s = c + i k step`.
struct Line {
    c: f64,
    /// Where epsilon is expected.
    start: f64,
    step: f64,
    /// `ln` of the scale that the values are over.
    scale: f64,
    values: Vec<Complex64>,
    /// The share of the scale that may be wrong.
    error: f64,
    /// Whether nodes are close enough for all that is integrated.
    resolved: bool,
}

impl Line {
    fn new((pairs, gaussian): (&[(Pair, f64)], f64), mirrored: bool, delta: f64, fineness: f64) -> Self {
        let plan = Plan::new(pairs, mirrored, (TAIL * delta).max(1e-290), fineness).and(gaussian);
        let saddle = plan.at_delta(delta);
        let (low, high) = plan.reach(saddle, 40.0);
        let (c, width) = (saddle.tilt, (high - low) * 1.05 + 40.0 / saddle.tilt);
        let step = 2.0 * PI / width;
        if endless(&plan, c, step) {
            let (values, error) = (Vec::new(), f64::INFINITY);
            return Line { c, start: saddle.epsilon, step, scale: 0.0, values, error, resolved: false };
        }
        let mut count = FIRST;
        let (logs, wrong) = loop {
            let line = plan.line_of(c, step, count);
            if 4 * count > MOST || ended(&line.0, MOST / count) {
                break line;
            }
            count *= 4;
        };
        let over = |(k, log): (usize, &Complex64)| {
            let s = Complex64::new(c, step * k as f64);
            log.exp() / (s * (s + 1.0))
        };
        let mut values: Vec<Complex64> = logs.iter().enumerate().map(over).collect();
        let little = |(k, value): (usize, &Complex64)| value.norm() * (k as f64 + 1.0) < NOTHING * values[0].norm();
        let end = values.iter().enumerate().skip(8).position(little);
        values.truncate(end.map_or(count, |end| end + 9));
        let left_out = values.last().map_or(0.0, |value| value.norm() * values.len() as f64);
        let rounding = (1e-16 * (40.0 + plan.count()) + wrong) * values[0].norm();
        let hopeless = left_out > HOPELESS * values[0].norm();
        let error = if hopeless { f64::INFINITY } else { (left_out + rounding + 1e-16) * step / PI };
        let resolved = step * values.len() as f64 * plan.gap() < TURN;
        Line { c, start: saddle.epsilon, step, scale: plan.log_moment(c), values, error, resolved }
    }

    /// `delta e^(c epsilon - K)` at this epsilon. Turns are by multiplication, and now and then afresh.
    fn delta(&self, epsilon: f64) -> f64 {
        let turn = |k: usize| Complex64::from_polar(1.0, -self.step * k as f64 * epsilon);
        let once = turn(1);
        let block = |(block, values): (usize, &[Complex64])| {
            let mut turn = turn(block * BLOCK);
            values.iter().fold(0.0, |sum, value| {
                let term = value.re * turn.re - value.im * turn.im;
                turn *= once;
                sum + term
            })
        };
        let whole: f64 = self.values.chunks(BLOCK).enumerate().map(block).sum();
        (whole - 0.5 * self.values[0].re) * self.step / PI
    }

    /// A bracket of epsilon about the place where it is expected: delta is more than asked at its low end and less at its
    /// high one. `None` if there is none within what rounding allows.
    fn bracket(&self, more: impl Fn(f64) -> bool) -> Option<(f64, f64)> {
        let (mut low, mut high, mut reach) = (self.start.max(0.0), self.start.max(0.0), 0.25 / self.c);
        while reach < 40.0 / self.c {
            if more(high) {
                (low, high) = (high, high + reach);
            } else if low == 0.0 && !more(0.0) {
                return Some((0.0, 0.0));
            } else if !more(low) {
                (low, high) = ((low - reach).max(0.0), low);
            } else {
                return Some((low, high));
            }
            reach *= 1.5;
        }
        None
    }

    /// Where delta is met: by secants, which are bent so that both ends of the bracket come closer (the Illinois method).
    fn solve(&self, delta: f64) -> Found {
        let room = |epsilon: f64| (delta.ln() - self.scale + self.c * epsilon).exp();
        let none = Found { epsilon: self.start.max(0.0), error: f64::INFINITY };
        if self.error.is_infinite() {
            return none;
        }
        let Some((mut low, mut high)) = self.bracket(|epsilon| self.delta(epsilon) > room(epsilon)) else {
            return none;
        };
        let over = |epsilon: f64| self.delta(epsilon) / room(epsilon) - 1.0;
        let (mut above, mut below) = (over(low), over(high));
        let mut side = 0;
        for k in 0..200 {
            if high - low <= 1e-13 * high.max(1e-6) {
                break;
            }
            let share = if k % 4 == 3 { 0.5 } else { (above / (above - below)).clamp(1e-3, 1.0 - 1e-3) };
            let middle = low + share * (high - low);
            if !(middle > low && middle < high) {
                break;
            }
            let value = over(middle);
            if value > 0.0 {
                (low, above) = (middle, value);
                below *= if side == 1 { 0.5 } else { 1.0 };
                side = 1;
            } else {
                (high, below) = (middle, value);
                above *= if side == -1 { 0.5 } else { 1.0 };
                side = -1;
            }
        }
        if high == 0.0 {
            let sure = self.delta(0.0) + self.error <= room(0.0);
            return Found { epsilon: 0.0, error: if sure { 1e-12 } else { f64::INFINITY } };
        }
        // d ln delta / d epsilon is about -c.
        let error = self.error / room(high) / self.c.max(1e-3) + 1e-13 * high;
        Found { epsilon: high, error: if error.is_nan() { f64::INFINITY } else { error } }
    }
}

/// Whether too much is left even at the end of the longest line, all over its last quarter: then none is made.
fn endless(plan: &Plan, c: f64, step: f64) -> bool {
    let share = |k: u32| {
        let w = step * MOST as f64 * (1.0 - 0.017 * f64::from(k));
        plan.size(c, w).exp() * c * (c + 1.0) / (c.hypot(w) * (c + 1.0).hypot(w))
    };
    (0..15).all(|k| share(k) * MOST as f64 > HOPELESS)
}

/// Whether a line need not be longer: it has fallen to nothing, or would still not, so many times as long, if the logarithm
/// fell with the square.
fn ended(logs: &[Complex64], times: usize) -> bool {
    let last = &logs[logs.len() - logs.len() / 4..];
    let fall = -last.iter().map(|log| log.re).fold(f64::NEG_INFINITY, f64::max);
    fall > -NOTHING.ln() || fall * (times as f64).powi(2) < LITTLE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, Sampling};

    /// Noise multiplier, rate, steps, delta, and the value in multi-precision.
    const VALUES: &[(f64, f64, u64, f64, f64)] = &[
        (1.1, 0.004266666666666667, 14063, 1e-05, 2.381689726141649),
        (0.7, 0.004266666666666667, 10547, 1e-05, 5.639683326315836),
        (0.55, 0.004, 5000, 1e-05, 8.51458747842994),
        (0.6, 0.001, 50000, 1e-06, 5.123098788896725),
        (0.8, 0.0005, 20000, 1e-07, 0.7464207814135626),
        (0.5, 0.01, 1000, 1e-06, 15.48352661813906),
        (0.75, 0.0004096, 60000, 1e-08, 1.453329353759638),
        (1.0, 1.0, 1, 1e-05, 4.377178095681223),
        (5.0, 1.0, 10, 1e-05, 2.594383380527607),
        (1.0, 1.0, 50, 1e-08, 63.94801286954458),
        (30.0, 1.0, 10000, 1e-09, 24.977724087800336),
    ];

    #[test]
    fn values_in_multi_precision_are_met() {
        for &(z, rate, steps, delta, want) in VALUES {
            let releases = vec![Event::Gaussian { noise_multiplier: z }];
            let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
            let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, steps)]);
            let price = Exact.report(&ledger, delta).unwrap();
            assert!(
                (price.epsilon - want).abs() < 1e-8,
                "z {z} q {rate}: {} against {want}: {:?}",
                price.epsilon,
                price.notes
            );
            assert!(price.notes[0].contains("oracle"));
        }
    }
}
