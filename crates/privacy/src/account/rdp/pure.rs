//! Rényi divergences of releases that are purely private: Laplace noise, randomised response, exponential mechanism.
//!
//! # Why this is private
//!
//! Claim: each is the largest Rényi divergence of its mechanism, up to rounding.
//!
//! Argument. *Laplace* noise of scale `1/t` sensitivities: Mironov 2017, Proposition 6; its logarithm is convex in `t` and
//! 0 at 0, so that shares spread over several coordinates cost no more. *Randomised response*: two outcomes with losses
//! `t` and `-t`, which dominate whatever is purely `t`-private (Kairouz, Oh & Viswanath 2015). *Exponential mechanism*: its
//! losses lie in an interval of length `t` (Durfee & Rogers 2019); a convex function of a ratio with mean 1 on
//! `[e^(s-t), e^s]` is largest at the two ends, and the worst `s` solves a linear equation in `e^s`.
//!
//! All are written as sums of terms `(1 + w)^a - 1 - a w >= 0`, in which nothing cancels.
//!
//! Checked by: `tests`, `super::reference::laplace_and_gaussian`.

use super::divergence::{exp_rest, log_bernoulli};

/// `ln(1 + e^x) / (order - 1)`.
fn over(log_excess: f64, order: f64) -> f64 {
    let log_moment = if log_excess > 40.0 { log_excess } else { log_excess.exp().ln_1p() };
    (log_moment / (order - 1.0)).max(0.0)
}

/// The divergence of Laplace noise whose sensitivity is `t` scales.
pub(super) fn laplace(t: f64, order: f64) -> f64 {
    let (up, down) = ((order - 1.0) * t, -order * t);
    if up > 40.0 {
        // The first term alone, and the second is below e^-40 of it.
        return t + ((order / (2.0 * order - 1.0)).ln() + (-(order + up)).exp()) / (order - 1.0);
    }
    let excess = (order * exp_rest(up) + (order - 1.0) * exp_rest(down)) / (2.0 * order - 1.0);
    (excess.ln_1p() / (order - 1.0)).clamp(0.0, t)
}

/// The divergence of two outcomes, of which the first has probability `e^log_low` under `Q` and loss `l`, the second loss
/// `m`. The logarithm is what is asked for, since the probability itself may be too small for a float.
fn two_points(log_low: f64, l: f64, m: f64, order: f64) -> f64 {
    let first = log_low + log_bernoulli(order, l, l.exp_m1());
    let second = (-log_low.exp()).ln_1p() + log_bernoulli(order, m, m.exp_m1());
    let (top, other) = (first.max(second), first.min(second));
    if top == f64::NEG_INFINITY { 0.0 } else { over(top + (other - top).exp().ln_1p(), order) }
}

/// The divergence of randomised response.
pub(super) fn response(epsilon: f64, order: f64) -> f64 {
    let log_low = -epsilon - (-epsilon).exp().ln_1p();
    two_points(log_low, epsilon, -epsilon, order).min(epsilon)
}

/// `ln(e^x - 1)` for `x >= 0`.
fn log_exp_m1(x: f64) -> f64 {
    if x > 1.0 { x + (-(-x).exp()).ln_1p() } else { x.exp_m1().ln() }
}

/// The divergence of the exponential mechanism.
pub(super) fn exponential(epsilon: f64, order: f64) -> f64 {
    // e^s = (a-1)/a e^t (1 - e^(-a t)) / (1 - e^(-(a-1) t))
    let ratio = (-order * epsilon).exp_m1() / (-(order - 1.0) * epsilon).exp_m1();
    let s = epsilon + (-1.0 / order).ln_1p() + ratio.ln();
    let s = if s.is_nan() { 0.5 * epsilon } else { s.clamp(0.0, epsilon) };
    let log_low = log_exp_m1(epsilon - s) - log_exp_m1(epsilon);
    let found = if log_low.is_finite() && log_low < 0.0 { two_points(log_low, s, s - epsilon, order) } else { epsilon };
    // The quadratic bound of Cesar & Rogers 2020 holds where rounding hides the maximum.
    found.min(0.125 * order * epsilon * epsilon * (1.0 + 1e-9)).min(epsilon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laplace_is_the_closed_form() {
        for (t, a) in [(0.2, 5.4), (1.0, 2.0), (3.0, 1.5), (0.01, 64.0), (8.0, 30.0), (1.0, 41.0), (1.0, 42.0)] {
            let direct = ((a / (2.0 * a - 1.0)) * (t * (a - 1.0_f64)).exp()
                + ((a - 1.0) / (2.0 * a - 1.0)) * (-t * a).exp())
            .ln()
                / (a - 1.0);
            assert!((laplace(t, a) / direct - 1.0).abs() < 1e-10, "{t} {a}: {} {direct}", laplace(t, a));
        }
        // Small ones are t^2 a/2 to first order.
        assert!((laplace(1e-6, 3.0) / 1.5e-12 - 1.0).abs() < 1e-5);
    }

    #[test]
    fn two_outcomes_by_hand() {
        for (t, a) in [(0.5_f64, 2.0), (1.0, 3.5), (4.0, 7.0)] {
            let p = 1.0 / (1.0 + (-t).exp());
            let direct = (p.powf(a) * (1.0 - p).powf(1.0 - a) + (1.0 - p).powf(a) * p.powf(1.0 - a)).ln() / (a - 1.0);
            assert!((response(t, a) / direct - 1.0).abs() < 1e-12);
        }
        assert!((response(50.0, 1e5) / 50.0 - 1.0).abs() < 1e-6);
        assert_eq!((response(0.0, 2.0), laplace(0.0, 2.0), exponential(0.0, 2.0)), (0.0, 0.0, 0.0));
    }

    /// Where the smaller probability is no float any more, the larger outcome alone is left: `t + ln(1 - e^-t)/(a-1)`.
    #[test]
    fn huge_epsilons_are_smooth() {
        for t in [700.0, 709.0, 742.096, 745.2, 800.0, 1e5] {
            for a in [1.001, 1.3, 2.0, 50.0] {
                assert!((response(t, a) / t - 1.0).abs() < 1e-12, "{t} {a}: {}", response(t, a));
                // Of the choice, the best of all splits: t + ln((a-1)^(a-1)/a^a)/(a-1).
                let want = t + ((a - 1.0) * (a - 1.0_f64).ln() - a * a.ln()) / (a - 1.0);
                let want = if (a - 1.0) * t > 40.0 { want } else { continue };
                assert!((exponential(t, a) / want - 1.0).abs() < 1e-9, "{t} {a}: {} {want}", exponential(t, a));
            }
        }
    }

    #[test]
    fn the_exponential_mechanism_is_between_its_bounds() {
        for (t, a) in [(0.1_f64, 2.0), (1.0, 3.5), (4.0, 7.0), (1e-5, 100.0), (30.0, 1.2), (700.0, 3.0)] {
            let best = (1..1000).map(|k| t * f64::from(k) / 1000.0).map(|s| {
                let low = (t - s).exp_m1() / t.exp_m1();
                two_points(low.ln(), s, s - t, a)
            });
            let (got, best) = (exponential(t, a), best.fold(0.0, f64::max));
            assert!(got >= best * (1.0 - 1e-9) && got <= t && got <= 0.1251 * a * t * t, "{t} {a}: {got} {best}");
        }
    }
}
