//! One Gaussian release, exactly: epsilon, delta and noise from one another (Balle & Wang 2018).
//!
//! Everything is in terms of `mu`, the sensitivity over the standard deviation. Releases compose by adding squares of
//! `mu` (Dong, Roth & Su 2019, Corollary 3.3), so that these are also the exact answers for any number of releases.
//!
//! ```
//! // A thousand releases, each with a noise multiplier of 50.
//! let mu = (1000.0_f64 / (50.0 * 50.0)).sqrt();
//! let epsilon = privacy::gaussian::epsilon(mu, 1e-7);
//! assert!((epsilon - 3.218_208_878_7).abs() < 1e-9);
//! ```
//!
//! # Why this is private
//!
//! Claim: [`epsilon`], [`delta`] and [`noise_multiplier`] are exact to about `1e-12`, and rounded to the safe side.
//!
//! Argument: the Gaussian mechanism is (epsilon, delta)-private exactly when
//! `delta >= Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)`. With `x = epsilon/mu - mu/2` and the density
//! `phi`, this is `phi(x) (m(x) - m(x + mu))` for Mills' ratio `m(x) = integral of exp(-x s - s^2/2)` over `s > 0`, hence
//! `phi(x)` times the integral of `exp(-x s - s^2/2) (1 - e^(-mu s))`: nothing cancels, however far the tail. The integral
//! is taken by the double exponential rule (Takahasi & Mori 1974). `delta` falls with epsilon and is log-concave in it,
//! so that Newton's steps from above stay above the root.
//!
//! Citation: Balle & Wang 2018, Theorem 8.
//!
//! Checked by: `tests` (33 values of 50 digits to `1e-9`; both roads to one answer).

use crate::account::normal::{cdf, log_density, mills};

/// What rounding may have taken away is given back by this share.
const ROUNDING: f64 = 1e-12;

/// The logarithm of the least delta at this epsilon. `mu > 0`, `epsilon >= 0`; negative infinity where even the
/// logarithm is out of range.
pub fn log_delta(mu: f64, epsilon: f64) -> f64 {
    let x = epsilon / mu - 0.5 * mu;
    if mu.is_infinite() {
        return 0.0;
    }
    if x < -1.0 {
        // Here epsilon < mu^2/2, mu > 2 and the difference is at least 0.68.
        return (cdf(-x) - log_density(x).exp() * mills(x + mu)).ln();
    }
    let density = log_density(x);
    if density.is_infinite() { density } else { density + lost(x, mu).ln() }
}

/// The integral of `exp(-x s - s^2/2) (1 - e^(-mu s))` over `s > 0`, for `x >= -1`.
fn lost(x: f64, mu: f64) -> f64 {
    const STEP: f64 = 0.05;
    let scale = x.max(1.0);
    let term = |k: i32| {
        let u = f64::from(k) * STEP;
        let (t, slope) = ((u - (-u).exp()).exp(), 1.0 + (-u).exp());
        let s = t / scale;
        (-x * s - 0.5 * s * s).exp() * -(-mu * s).exp_m1() * s * slope
    };
    STEP * (-80..=90).map(term).sum::<f64>()
}

/// The least delta at this epsilon `>= 0`, for a sensitivity of `mu >= 0` standard deviations.
pub fn delta(mu: f64, epsilon: f64) -> f64 {
    if mu == 0.0 { 0.0 } else { (log_delta(mu, epsilon).exp() * (1.0 + ROUNDING)).min(1.0) }
}

/// The least epsilon at this delta in `(0, 1)`, for a sensitivity of `mu >= 0` standard deviations. 0 when delta alone
/// covers all, infinite when `mu` is.
pub fn epsilon(mu: f64, delta: f64) -> f64 {
    let log_target = delta.ln();
    if mu == 0.0 || mu.is_finite() && log_delta(mu, 0.0) <= log_target {
        return 0.0;
    }
    // At this one, the first term alone is below delta.
    let mut epsilon = 0.5 * mu * mu + mu * (-2.0 * log_target).sqrt();
    if !epsilon.is_finite() {
        return f64::INFINITY;
    }
    // Beyond this the arithmetic below has no digits left; the bound is right to one part in 1e7 there.
    if mu > 1e8 {
        return epsilon * (1.0 + ROUNDING);
    }
    for _ in 0..200 {
        let log_now = log_delta(mu, epsilon);
        let step = (log_target - log_now) / slope(mu, epsilon, log_now);
        // Not a number where delta is out of range: then the bound so far stands.
        if step.is_nan() || step <= 1e-14 * epsilon {
            break;
        }
        epsilon = (epsilon - step).max(0.0);
    }
    epsilon * (1.0 + ROUNDING)
}

/// How fast `ln delta` falls with epsilon: `e^epsilon Phi(-x - mu) / delta`.
fn slope(mu: f64, epsilon: f64, log_delta: f64) -> f64 {
    let x = epsilon / mu - 0.5 * mu;
    (log_density(x) - log_delta).exp() * mills(x + mu)
}

/// The least noise multiplier (standard deviation over sensitivity) that is (epsilon, delta)-private, for `epsilon >= 0`
/// and delta in `(0, 1)`. `None` for numbers out of range, and for a delta too small for this epsilon's arithmetic.
pub fn noise_multiplier(epsilon: f64, delta: f64) -> Option<f64> {
    let meets = |log_mu: f64| log_delta(log_mu.exp(), epsilon) <= delta.ln();
    if !(epsilon >= 0.0 && epsilon.is_finite() && delta > 0.0 && delta < 1.0) {
        return None;
    }
    let (mut low, mut high) = (-700.0, 300.0);
    if !meets(low) {
        return None;
    }
    while high - low > 1e-13 {
        let middle = 0.5 * (low + high);
        if middle == low || middle == high {
            break;
        }
        if meets(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    Some((-low).exp() * (1.0 + ROUNDING))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{number, table};
    use proptest::prelude::*;

    fn near(got: f64, want: f64) -> f64 {
        (got / want - 1.0).abs()
    }

    #[test]
    fn known_values() {
        for (mu, epsilon, want) in [
            (1.0, 1.0, 0.126_936_737_506_643_94),
            (0.25, 3.0, 1.623_832_873_823_962e-34),
            (2.0, 10.0, 9.940_202_816_118_153e-6),
        ] {
            assert!(near(delta(mu, epsilon), want) < 1e-11, "{mu} {epsilon}: {}", delta(mu, epsilon));
        }
        for (z, delta, want) in [
            (1.0, 1e-5, 4.377_178_095_681_225),
            (0.05, 1e-12, 339.833_179_836_928_5),
            (200.0, 1e-4, 0.008_323_890_917_706_85),
        ] {
            assert!(near(epsilon(1.0 / z, delta), want) < 1e-11, "{z} {delta}: {}", epsilon(1.0 / z, delta));
        }
        for (epsilon, delta, want) in [
            (1.0, 1e-5, 3.730_631_634_815_942),
            (0.0, 1e-5, 39_894.228_039_098_84),
            (500.0, 1e-9, 0.038_143_632_418_177_46),
        ] {
            assert!(near(noise_multiplier(epsilon, delta).unwrap(), want) < 1e-11);
        }
    }

    #[test]
    fn reference_gaussians() {
        let mut worst = 0.0_f64;
        for case in table("gaussian_analytic") {
            let (z, d, e) = (number(&case, "sigma"), number(&case, "delta"), number(&case, "epsilon"));
            let error = match case["ask"].as_str().unwrap() {
                "epsilon" => near(epsilon(1.0 / z, d), e),
                "delta" => near(delta(1.0 / z, e), d),
                _ => near(noise_multiplier(e, d).unwrap(), z),
            };
            assert!(error < 1e-9, "{case}: {error:e}");
            worst = worst.max(error);
        }
        eprintln!("worst relative error of the Gaussian mechanism {worst:e}");
    }

    #[test]
    fn nonsense_has_no_noise() {
        for (epsilon, delta) in
            [(-1.0, 0.1), (f64::NAN, 0.1), (1.0, 0.0), (1.0, 1.0), (1.0, f64::NAN), (f64::INFINITY, 0.1)]
        {
            assert_eq!(noise_multiplier(epsilon, delta), None);
        }
        assert_eq!(epsilon(f64::INFINITY, 0.1), f64::INFINITY);
        assert_eq!((epsilon(0.0, 0.1), delta(0.0, 0.0)), (0.0, 0.0));
    }

    proptest! {
        #[test]
        fn there_and_back(log_mu in -12.0..3.0f64, log_delta in -200.0..-0.1f64) {
            let (mu, target) = (10f64.powf(log_mu), log_delta.exp());
            let found = epsilon(mu, target);
            prop_assert!(found >= 0.0 && found.is_finite());
            prop_assert!(super::log_delta(mu, found) <= log_delta + 1e-9);
            if found > 0.0 {
                prop_assert!(super::log_delta(mu, found * (1.0 - 1e-9)) > log_delta);
                prop_assert!(near(noise_multiplier(found, target).unwrap() * mu, 1.0) < 1e-8);
            }
            prop_assert!(epsilon(mu * 1.1, target) >= found);
        }
    }
}
