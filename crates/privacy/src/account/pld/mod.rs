//! Privacy loss distributions: epsilon as a proven interval.
//!
//! # Why this is private
//!
//! Claim: [`Price::upper`], which is the epsilon claimed, is at least the true epsilon of the ledger, and [`Price::lower`] at
//! most the epsilon of the dominating pairs.
//!
//! Argument: every event has a dominating pair ([`super::pair`]). Its privacy loss is put on a grid twice, once above and
//! once below it ([`dots`]); both are composed in the frequency domain with every error on the safe side
//! ([`compose`]). The pairs have two directions, which are composed apart and never mixed; the claim is the larger. Unsampled
//! Gaussians are merged exactly: their losses are normal, and `1/z^2` adds. Where a loss is too large for any grid
//! (noise multipliers under about 0.03) the bound by Rényi divergences is returned instead, and a note says so.
//!
//! Citation: Sommer, Meiser & Mohammadi 2019; Koskela, Jälkö & Honkela 2020; Doroshenko et al. 2022; Zhu, Dong & Wang 2022.
//!
//! Checked by: `tests`, `reference` (exact values lie in the interval).

mod cells;
mod compose;
mod dots;
mod plan;

use super::crowd::Crowd;
use super::pair::{Cost, Pair, pair};
use super::plain::{Passes, passing};
use super::{Accountant, Curve, Price, Unpriced};
use crate::{Event, Neighbouring, gaussian};
use cells::Both;
pub(super) use cells::divergence;
use compose::{Sum, Term, Window};
use dots::Masses;
pub(super) use plan::Plan;
use plan::Saddle;

/// What the accountant by rounded losses makes use of.
pub(super) mod parts {
    pub(in crate::account) use super::cells::{GREATEST_LOSS, NODES, PIECE, losses};
    pub(in crate::account) use super::compose::{Sum, Term, Window};
    pub(in crate::account) use super::dots::Masses;
}

/// The accountant by privacy loss distributions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pld {
    /// How wide the interval may be, as a share of epsilon: about. Smaller is slower, as one over its square root.
    pub precision: f64,
}

impl Default for Pld {
    fn default() -> Self {
        Pld { precision: 2e-4 }
    }
}

/// Mass outside the grid that is spent on both ends, over delta.
const OUTSIDE: f64 = 1e-7;

/// Nodes of one loss for each standard deviation of the noise, where only a plan is made.
const NODES: f64 = 4.0;

/// The relative error of a divergence that is integrated directly, at most.
const SINGLE: f64 = 1e-10;

/// How often another tilt and a finer grid are tried when the interval is too wide.
const MOST_TRIES: i32 = 2;

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

    fn free(&self) -> PldCurve {
        PldCurve::default()
    }

    fn price(&self, event: &Event, neighbouring: Neighbouring) -> Result<PldCurve, Unpriced> {
        let unpriced = |why| Unpriced { accountant: self.name(), event: event.clone(), why };
        PldCurve::of(event, neighbouring).map_err(unpriced)
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
        curve.noted(query.single(delta).unwrap_or_else(|| query.epsilon(delta)))
    }

    fn delta(&self, curve: &PldCurve, epsilon: f64) -> f64 {
        match curve.extreme() {
            Some(0.0) => 0.0,
            Some(_) => 1.0,
            None => Query::new(curve, 1e-12, self.precision).delta(epsilon),
        }
    }
}

/// How wide the interval may be at most, about, however large epsilon is.
const WIDEST: f64 = 1e-3;

/// One question about a curve, with a grid of its own.
#[derive(Clone)]
struct Query {
    parts: Vec<(Pair, f64)>,
    tail: f64,
    precision: f64,
}

/// One direction on its grid.
struct Side {
    pairs: Vec<(Both, f64)>,
    window: Window,
}

impl Query {
    fn new(curve: &PldCurve, delta: f64, precision: f64) -> Self {
        let parts = curve.pairs();
        let count: f64 = parts.iter().map(|(_, count)| count).sum();
        let tail = (OUTSIDE * delta / count.max(1.0)).max(1e-290);
        Query { parts, tail, precision: precision.clamp(1e-8, 0.1) }
    }

    fn symmetric(&self) -> bool {
        self.parts.iter().all(|(pair, _)| pair.symmetric())
    }

    /// Both directions on one grid, fine enough for the one that costs more.
    fn sides(&self, saddle: impl Fn(&Plan, usize) -> Saddle) -> Option<Vec<Side>> {
        let plans = [false, true].map(|mirrored| Plan::new(&self.parts, mirrored, self.tail, NODES));
        let plans = &plans[..if self.symmetric() { 1 } else { 2 }];
        let saddles: Vec<Saddle> = plans.iter().enumerate().map(|(k, plan)| saddle(plan, k)).collect();
        let windows: Vec<Window> = plans.iter().zip(&saddles).map(|(plan, saddle)| plan.window(*saddle)).collect();
        let worst = if saddles.len() == 2 && saddles[1].epsilon > saddles[0].epsilon { 1 } else { 0 };
        let h = plans[worst].grid(saddles[worst], self.precision.min(WIDEST / saddles[worst].epsilon.abs()));
        let h = windows.iter().try_fold(h, |h, window| plan::fitting(&self.parts, *window, h, self.tail))?;
        let cells: Vec<(Both, f64)> = self.parts.iter().map(|(p, n)| (Both::new(*p, h, self.tail), *n)).collect();
        let mirror = |cells: &[(Both, f64)]| cells.iter().map(|(cells, n)| (cells.mirrored(), *n)).collect();
        let second = windows.get(1).map(|window| Side { pairs: mirror(&cells), window: *window });
        Some(std::iter::once(Side { pairs: cells, window: windows[0] }).chain(second).collect())
    }

    /// The interval of one release, whose divergence is integrated directly: with an error of a few roundings, and `tail` of
    /// mass left out.
    fn single(&self, delta: f64) -> Option<Price> {
        let [(pair @ (Pair::Normal { .. } | Pair::Opposite { .. } | Pair::Laplace { .. } | Pair::Coin { .. }), 1.0)] =
            self.parts[..]
        else {
            return None;
        };
        let (least, greatest) = cells::losses(pair, self.tail);
        if !(least > -cells::GREATEST_LOSS && greatest < cells::GREATEST_LOSS) {
            return None;
        }
        let worst = |epsilon| {
            [false, true].map(|side| divergence(pair, side, epsilon, self.tail)).into_iter().fold(0.0, f64::max)
        };
        let upper = bisect(|epsilon| worst(epsilon) * (1.0 + SINGLE) + pair.outside(self.tail) <= delta, greatest);
        let lower = bisect(|epsilon| worst(epsilon) * (1.0 - SINGLE) <= delta, greatest);
        Some(Price::interval((lower * (1.0 - 1e-12)).min(upper), upper))
    }

    /// The interval at the saddle point's tilt; where that is far off, which the interval tells, at others too. All
    /// are sound, so that the best of each end is.
    fn epsilon(&self, delta: f64) -> Price {
        let Some(mut best) = self.interval(delta, |plan, _| plan.at_delta(delta)) else {
            return self.coarse(delta);
        };
        let mut rough: Option<[f64; 2]> = None;
        for finer in 0..MOST_TRIES {
            let upper = best.upper();
            if upper.is_finite() && upper - best.lower <= 8.0 * self.precision * upper + 1e-9 {
                break;
            }
            let near =
                rough.get_or_insert_with(|| [false, true].map(|side| super::exact::rough(&self.parts, side, delta)));
            let floor = 0.2 * near[0].max(near[1]).max(1e-9);
            let query = Query { precision: self.precision * 0.25f64.powi(finer), ..self.clone() };
            let other = |plan: &Plan, k: usize| {
                let epsilon = near[k].max(floor).min(best.uppers[k]);
                plan.at_tilt(plan.best_tilt(epsilon) * 0.7f64.powi(finer), epsilon, delta)
            };
            let Some(next) = query.interval(delta, other) else { break };
            best = best.and(next);
        }
        // Where the interval says little, Rényi divergences may say more.
        if best.upper() <= 1.1 * best.lower { best.price() } else { self.better(best, delta) }
    }

    /// The interval, or the Rényi bound where that is lower.
    fn better(&self, best: Bounds, delta: f64) -> Price {
        let coarse = self.coarse(delta);
        if best.upper() <= coarse.epsilon {
            best.price()
        } else {
            Price { lower: Some(best.lower.min(coarse.epsilon)), ..coarse }
        }
    }

    /// The interval found with these saddle points.
    fn interval(&self, delta: f64, saddle: impl Fn(&Plan, usize) -> Saddle) -> Option<Bounds> {
        let sides = self.sides(saddle)?;
        let upper = |k: usize| sides.get(k).map_or(0.0, |side: &Side| side.upper(delta).max(0.0));
        let uppers = [upper(0), upper(1)];
        let worst = usize::from(uppers[1] > uppers[0]);
        let lower = sides[worst].sum(below).map_or(0.0, |sum| sum.epsilon_below(delta));
        Some(Bounds { lower: lower.max(0.0), uppers })
    }

    fn delta(&self, epsilon: f64) -> f64 {
        let Some(sides) = self.sides(|plan, _| plan.at_epsilon(epsilon)) else { return 1.0 };
        sides.iter().map(|side| side.sum(above).map_or(1.0, |sum| sum.above(epsilon))).fold(0.0, f64::max)
    }

    /// What Rényi divergences say, where no grid is fine and wide enough.
    fn coarse(&self, delta: f64) -> Price {
        let epsilon = super::rdp::of_pairs(&self.parts, delta);
        Price::interval(0.0, epsilon).note("no grid is sharp here: the bound is by Rényi divergences")
    }
}

/// The least epsilon that is enough, from above; beyond `most` all are.
fn bisect(enough: impl Fn(f64) -> bool, most: f64) -> f64 {
    if enough(0.0) {
        return 0.0;
    }
    let (mut low, mut high) = (0.0, most.max(0.0) * (1.0 + 1e-12));
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if enough(middle) { high = middle } else { low = middle }
    }
    high
}

/// What is known of epsilon: from below, and from above in each direction.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    lower: f64,
    uppers: [f64; 2],
}

impl Bounds {
    fn upper(self) -> f64 {
        self.uppers[0].max(self.uppers[1])
    }

    /// The best of two, all of them sound.
    fn and(self, other: Self) -> Self {
        let least = |k: usize| self.uppers[k].min(other.uppers[k]);
        Bounds { lower: self.lower.max(other.lower), uppers: [least(0), least(1)] }
    }

    fn price(self) -> Price {
        Price::interval(self.lower.min(self.upper()), self.upper())
    }
}

impl Side {
    fn sum(&self, round: impl Fn(&Both) -> Masses) -> Option<Sum> {
        let masses: Vec<(Masses, f64)> = self.pairs.iter().map(|(cells, n)| (round(cells), *n)).collect();
        let terms: Vec<Term> = masses.iter().map(|(masses, count)| Term { masses, count: *count }).collect();
        Sum::new(&terms, self.window)
    }

    fn upper(&self, delta: f64) -> f64 {
        self.sum(above).map_or(f64::INFINITY, |sum| sum.epsilon_above(delta))
    }
}

fn above(cells: &Both) -> Masses {
    dots::above(&cells.above)
}

fn below(cells: &Both) -> Masses {
    dots::below(&cells.below)
}

#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
