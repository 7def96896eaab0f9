//! The search for an epsilon whose divergence is at most delta, and for one whose divergence is more.
//!
//! # Why this is private
//!
//! Claim: [`upper`] returns an epsilon at which [`Smooth::above`] was found to be at most delta, [`lower`] one at which
//! [`Smooth::below`] was found to be more, or 0.
//!
//! Argument: it keeps a bracket whose ends were both asked about. What is not a number never counts as met.

use super::smooth::Smooth;

/// How close both ends come, as a share of epsilon.
const CLOSE: f64 = 2e-7;

/// How to search.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    /// How fast the logarithm of delta falls, about.
    pub(super) slope: f64,
    /// The longest step.
    pub(super) most: f64,
}

/// The least epsilon that is enough, from above; infinite when none was found.
pub(super) fn upper(smooth: &Smooth, delta: f64, start: f64, pace: Pace) -> f64 {
    let miss = |epsilon: f64| {
        let share = smooth.above(epsilon) / delta;
        if share.is_nan() { f64::INFINITY } else { share.max(1e-300).ln() }
    };
    bracket(miss, start, pace, CLOSE).map_or(f64::INFINITY, |ends| ends.1)
}

/// The largest epsilon that is not enough, from below; 0 when none was found.
pub(super) fn lower(smooth: &Smooth, delta: f64, start: f64, pace: Pace) -> f64 {
    let miss = |epsilon: f64| (smooth.below(epsilon) / delta).max(1e-300).ln();
    bracket(miss, start, pace, CLOSE).map_or(0.0, |ends| ends.0)
}

/// Neighbouring places, of which `miss` is positive at the first, or that is 0, and at most 0 at the second. It falls about as
/// fast as `slope`.
pub(super) fn bracket(miss: impl Fn(f64) -> f64, start: f64, pace: Pace, share: f64) -> Option<(f64, f64)> {
    let start = start.max(0.0);
    let (mut low, mut high) = (None, None);
    let (mut at, mut reach) = (start, 0.0_f64);
    for _ in 0..80 {
        let value = miss(at);
        if value > 0.0 {
            low = Some((at, value));
        } else {
            high = Some((at, value));
        }
        match (low, high) {
            (Some(low), Some(high)) => return Some(narrow(miss, low, high, share)),
            (None, Some((0.0, _))) => return Some((0.0, 0.0)),
            _ => {}
        }
        reach = (2.0 * reach).max(1.1 * value.abs() / pace.slope + 1e-7 * at).min(pace.most).max(1e-12 + 1e-7 * at);
        at = if value > 0.0 { at + reach } else { (at - reach).max(0.0) };
    }
    None
}

/// The Illinois method.
fn narrow(miss: impl Fn(f64) -> f64, mut low: (f64, f64), mut high: (f64, f64), close: f64) -> (f64, f64) {
    let mut side = 0;
    for k in 0..100 {
        let width = high.0 - low.0;
        if width <= close * high.0 {
            break;
        }
        let share = if k % 5 == 4 { 0.5 } else { low.1 / (low.1 - high.1) };
        let at = low.0 + width * share.clamp(1e-8, 1.0 - 1e-8);
        // A little to the other side, so that the bracket closes.
        let nudge = 0.4 * close * high.0;
        let at = if side > 0 {
            at - nudge
        } else if side < 0 {
            at + nudge
        } else {
            at
        };
        let at = if at > low.0 && at < high.0 { at } else { low.0 + 0.5 * width };
        let value = miss(at);
        if value > 0.0 {
            low = (at, value);
            if side > 0 {
                high.1 *= 0.5
            }
            side = 1;
        } else {
            high = (at, value);
            if side < 0 {
                low.1 *= 0.5
            }
            side = -1;
        }
    }
    (low.0, high.0)
}
