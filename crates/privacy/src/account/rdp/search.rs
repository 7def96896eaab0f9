//! The search for the best Rényi order. Every order gives a valid epsilon at a delta, and a valid delta at an epsilon, so that it can
//! only be loose, never wrong.

use super::RdpCurve;

/// The search runs over orders `1 + e^x`; at its ends no useful epsilon is found any more.
pub(super) const LEAST_ORDER: f64 = 1.0 + 1e-6;
const GREATEST_ORDER: f64 = 1e7;
/// Steps of the coarse search, in `ln(order - 1)`.
const STEP: f64 = 0.25;
/// The most whole orders that are tried in a row.
const WALK: usize = 64;
/// Every so many of them is asked first, so that most others are known not to win.
const FIRST: usize = 8;

/// The best order and what it says, which is the least that `cost` makes of a divergence and its order, and grows with the first:
/// a coarse search, in which orders that cannot win are not integrated, and then a fine one between the neighbours of the winner.
pub(super) fn best_order(curve: &RdpCurve, cost: impl Fn(f64, f64) -> f64) -> (f64, f64) {
    let order = |x: f64| 1.0 + x.exp();
    let best = coarse(curve, &cost);
    let (x, value) = least(|x| cost(curve.divergence(order(x)), order(x)), best.0 - STEP, best.0 + STEP);
    let found = if value < best.1 { (order(x), value) } else { (order(best.0), best.1) };
    // Between integers some moments are chords: the least is often at a corner (the first is at 2), or where the chords end.
    let starts = std::iter::once(found.0.max(2.0)).chain(curve.ends()).filter(|order| curve.kinked() && *order >= 2.0);
    starts.fold(found, |found, start| {
        let hopeless = cost(curve.at_least(start), start) > found.1;
        if hopeless { found } else { lesser(found, corner(curve, &cost, start)) }
    })
}

fn lesser(one: (f64, f64), other: (f64, f64)) -> (f64, f64) {
    if other.1 < one.1 { other } else { one }
}

/// The best whole order downhill from here, and what is between it and its neighbours, where nothing is kinked.
fn corner(curve: &RdpCurve, cost: impl Fn(f64, f64) -> f64, start: f64) -> (f64, f64) {
    let at = |order: f64| (order, cost(curve.divergence(order), order));
    let mut best = lesser(at(start.floor()), at(start.ceil()));
    for side in [-1.0, 1.0] {
        for _ in 0..WALK {
            let next = best.0 + side;
            if next < 2.0 || at(next).1 >= best.1 {
                break;
            }
            best = at(next);
        }
    }
    [(best.0 - 1.0).max(1.5), best.0].into_iter().fold(best, |found, low| {
        let (order, value) = least(|order| at(order).1, low, low + 1.0);
        lesser(found, (order, value))
    })
}

/// The best of the orders of a grid, as `ln(order - 1)`, and what it says.
fn coarse(curve: &RdpCurve, cost: impl Fn(f64, f64) -> f64) -> (f64, f64) {
    let (from, to) = ((LEAST_ORDER - 1.0).ln(), (GREATEST_ORDER - 1.0).ln());
    let steps = ((to - from) / STEP).ceil() as usize;
    let mut best = (from, f64::INFINITY);
    for (start, every) in [(FIRST / 2, FIRST), (0, 1)] {
        // Divergences grow with the order: the last one asked is a lower bound for all that follow.
        let mut below = 0.0_f64;
        for x in (start..=steps).step_by(every).map(|k| from + k as f64 * STEP) {
            let order = 1.0 + x.exp();
            if cost(below.max(curve.at_least(order)), order) > best.1 {
                continue;
            }
            let divergence = curve.divergence(order);
            let value = cost(divergence, order);
            below = divergence * (1.0 - 1e-9);
            if value < best.1 {
                best = (x, value);
            }
        }
    }
    best
}

/// The least value met between `low` and `high`, and where: parabolas through the three best places, and golden sections
/// where those lead nowhere (Brent 1973, chapter 5).
fn least(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> (f64, f64) {
    const NEAR: f64 = 1e-6;
    let golden = 0.5 * (3.0 - 5f64.sqrt());
    let mut x = low + golden * (high - low);
    let mut at = f(x);
    // The second best place and the one before; the last two steps.
    let (mut second, mut third) = ((x, at), (x, at));
    let (mut step, mut before) = (0.0_f64, 0.0_f64);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if (x - middle).abs() + 0.5 * (high - low) <= 2.0 * NEAR {
            break;
        }
        let r = (x - second.0) * (at - third.1);
        let q = (x - third.0) * (at - second.1);
        let (top, bottom) = ((x - third.0) * q - (x - second.0) * r, 2.0 * (r - q));
        let parabola = top / bottom;
        let inside = x + parabola > low + 2.0 * NEAR && x + parabola < high - 2.0 * NEAR;
        if before.abs() > NEAR && parabola.abs() < 0.5 * before.abs() && inside {
            (before, step) = (step, parabola);
        } else {
            before = if x < middle { high - x } else { low - x };
            step = golden * before;
        }
        let u = x + if step.abs() >= NEAR { step } else { NEAR.copysign(step) };
        let value = f(u);
        if value <= at {
            if u < x {
                high = x
            } else {
                low = x
            }
            (third, second) = (second, (x, at));
            (x, at) = (u, value);
        } else {
            if u < x {
                low = u
            } else {
                high = u
            }
            if value <= second.1 || second.0 == x {
                (third, second) = (second, (u, value));
            } else if value <= third.1 || third.0 == x || third.0 == second.0 {
                third = (u, value);
            }
        }
    }
    (x, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn smooth_and_kinked_valleys_are_found() {
        for place in [-0.24, -0.1, 0.0, 0.01, 0.2, 0.249_f64] {
            let asked = Cell::new(0);
            let smooth = |x: f64| {
                asked.set(asked.get() + 1);
                2.0 + (x - place).exp() - (x - place)
            };
            let (x, value) = least(smooth, -0.25, 0.25);
            assert!((x - place).abs() < 3e-6 && (value - 3.0).abs() < 1e-11, "{place}: {x} {value}");
            assert!(asked.get() < 26, "{place}: {}", asked.get());
            let (x, value) = least(|x| if x < place { 3.0 * (place - x) } else { 100.0 * (x - place) }, -0.25, 0.25);
            assert!((x - place).abs() < 1e-5 && value < 1e-3, "{place}: {x} {value}");
        }
    }

    /// Orders that were left out for being hopeless were.
    #[test]
    fn nothing_better_is_left_out() {
        use super::super::{convert, log_delta};
        use crate::account::{Accountant, Curve, Rdp};
        use crate::{Event, Neighbouring, Sampling};
        let round = |rate, releases| Event::Round { sampling: Sampling::Poisson { rate }, releases };
        let gaussian = |z| Event::Gaussian { noise_multiplier: z };
        for (event, count) in [
            (round(0.01, vec![gaussian(1.0)]), 1000),
            (round(1e-5, vec![gaussian(0.4)]), 3),
            (gaussian(500.0), 1),
            (round(0.9, vec![gaussian(0.05)]), 10_000),
            (round(0.3, vec![Event::Exponential { epsilon: 2.0 }, gaussian(3.0)]), 20),
        ] {
            for neighbouring in [Neighbouring::AddRemove, Neighbouring::ReplaceOne] {
                let curve = Rdp.price(&event, neighbouring).unwrap().times(count);
                let (order, found) = best_order(&curve, |divergence, order| convert(divergence, order, 1e-6));
                let (_, delta) = best_order(&curve, |divergence, order| log_delta(divergence, order, found));
                // Two ways to one pair.
                assert!((delta - 1e-6_f64.ln()).abs() < 1e-6, "{event:?} {neighbouring}: {delta}");
                for k in 0..400 {
                    let order = 1.0 + 1e-6 * (0.075 * f64::from(k)).exp();
                    let other = convert(curve.divergence(order), order, 1e-6);
                    assert!(found <= other * (1.0 + 1e-9), "{event:?} {neighbouring}: {found}, {other} at {order}");
                }
                assert_eq!(convert(curve.divergence(order), order, 1e-6), found);
            }
        }
    }
}
