//! Losses on a grid, above and below the true ones: for losses that lie on a lattice, for delta at an epsilon, and where
//! inversion needs too many nodes.
//!
//! # Why this is private
//!
//! Claim: [`Query::epsilon`] is an interval around epsilon, and [`Query::delta`] at least delta.
//!
//! Argument: each loss is put on a grid twice, once above and once below it ([`super::dots`]); both are composed in the frequency
//! domain with every error on the safe side ([`super::compose`]). The directions are composed apart; the larger counts.
//!
//! Checked by: `super::tests`.

use super::PldCurve;
use super::ask::{PART, WIDEST};
use super::cells::{self, Both, divergence};
use super::compose::{Sum, Term, Window};
use super::dots::{self, Masses};
use super::plan::{self, Plan, Saddle};
use crate::account::Price;
use crate::account::pair::Pair;

/// Mass outside the grid that is spent on both ends, over delta.
const OUTSIDE: f64 = 1e-7;

/// Nodes of one loss for each standard deviation of the noise, where only a plan is made.
pub(super) const NODES: f64 = 4.0;

/// The relative error of a divergence that is integrated directly, at most.
const SINGLE: f64 = 1e-10;

/// One question about a curve, with a grid of its own.
#[derive(Clone)]
pub(super) struct Query {
    pub(super) parts: Vec<(Pair, f64)>,
    pub(super) tail: f64,
    pub(super) precision: f64,
}

/// One direction on its grid.
pub(super) struct Side {
    pub(super) pairs: Vec<(Both, f64)>,
    pub(super) window: Window,
}

impl Query {
    pub(super) fn new(curve: &PldCurve, delta: f64, precision: f64) -> Self {
        let parts = curve.pairs();
        let count: f64 = parts.iter().map(|(_, count)| count).sum();
        let tail = (OUTSIDE * delta / count.max(1.0)).max(1e-290);
        Query { parts, tail, precision: precision.clamp(1e-8, 0.1) }
    }

    pub(super) fn symmetric(&self) -> bool {
        self.parts.iter().all(|(pair, _)| pair.symmetric())
    }

    /// Both directions on one grid, fine enough for the one that costs more.
    pub(super) fn sides(&self, saddle: impl Fn(&Plan, usize) -> Saddle) -> Option<Vec<Side>> {
        let plans = [false, true].map(|mirrored| Plan::new(&self.parts, mirrored, self.tail, NODES));
        let plans = &plans[..if self.symmetric() { 1 } else { 2 }];
        let saddles: Vec<Saddle> = plans.iter().enumerate().map(|(k, plan)| saddle(plan, k)).collect();
        let windows: Vec<Window> = plans.iter().zip(&saddles).map(|(plan, saddle)| plan.window(*saddle)).collect();
        let worst = if saddles.len() == 2 && saddles[1].epsilon > saddles[0].epsilon { 1 } else { 0 };
        let h =
            plans[worst].grid(saddles[worst], self.precision.min((WIDEST / saddles[worst].epsilon.abs()).max(PART)));
        let h = windows.iter().try_fold(h, |h, window| plan::fitting(&self.parts, *window, h, self.tail))?;
        let cells: Vec<(Both, f64)> = self.parts.iter().map(|(p, n)| (Both::new(*p, h, self.tail), *n)).collect();
        let mirror = |cells: &[(Both, f64)]| cells.iter().map(|(cells, n)| (cells.mirrored(), *n)).collect();
        let second = windows.get(1).map(|window| Side { pairs: mirror(&cells), window: *window });
        Some(std::iter::once(Side { pairs: cells, window: windows[0] }).chain(second).collect())
    }

    /// The interval of one release, whose divergence is integrated directly: with an error of a few roundings, and `tail` of
    /// mass left out.
    pub(super) fn single(&self, delta: f64) -> Option<Price> {
        let [
            (
                pair @ (Pair::Normal { .. }
                | Pair::Opposite { .. }
                | Pair::Subset(_)
                | Pair::Laplace { .. }
                | Pair::Coin { .. }),
                1.0,
            ),
        ] = self.parts[..]
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

    /// The interval at the saddle point's tilt. Where it says little, Rényi divergences may say more.
    pub(super) fn epsilon(&self, delta: f64) -> Price {
        if let Some(price) = self.coins(delta) {
            return price;
        }
        match self.interval(delta, |plan, _| plan.at_delta(delta)) {
            Some(best) if best.upper() <= 1.1 * best.lower => best.price(),
            Some(best) => self.better(best, delta),
            None => self.coarse(delta),
        }
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
        let upper = |k: usize| sides.get(k).map_or(0.0, |side: &Side| side.upper(delta));
        let uppers = [upper(0), upper(1)];
        let worst = usize::from(uppers[1] > uppers[0]);
        let lower = sides[worst].sum(below).map_or(0.0, |sum| sum.epsilon_below(delta));
        Some(Bounds { lower: lower.max(0.0), uppers })
    }

    pub(super) fn delta(&self, epsilon: f64) -> f64 {
        if let Some(delta) = self.delta_of_coins(epsilon) {
            return delta;
        }
        let Some(sides) = self.sides(|plan, _| plan.at_epsilon(epsilon)) else { return 1.0 };
        sides.iter().map(|side| side.sum(above).map_or(1.0, |sum| sum.above(epsilon))).fold(0.0, f64::max)
    }

    /// What Rényi divergences say, where no grid is fine and wide enough.
    fn coarse(&self, delta: f64) -> Price {
        let epsilon = crate::account::rdp::of_pairs(&self.parts, delta);
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

    fn price(self) -> Price {
        Price::interval(self.lower.min(self.upper()), self.upper())
    }
}

impl Side {
    pub(super) fn sum(&self, round: impl Fn(&Both) -> Masses) -> Option<Sum> {
        let masses: Vec<(Masses, f64)> = self.pairs.iter().map(|(cells, n)| (round(cells), *n)).collect();
        let terms: Vec<Term> = masses.iter().map(|(masses, count)| Term { masses, count: *count }).collect();
        Sum::new(&terms, self.window)
    }

    fn upper(&self, delta: f64) -> f64 {
        self.sum(above).map_or(f64::INFINITY, |sum| sum.enough(delta))
    }
}

pub(super) fn above(cells: &Both) -> Masses {
    dots::above(&cells.above)
}

pub(super) fn below(cells: &Both) -> Masses {
    dots::below(&cells.below)
}
