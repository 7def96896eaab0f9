//! The smallest noise that meets a target.
//!
//! Epsilon falls as the noise multiplier grows. The search brackets the target by doubling and halving, then halves the
//! bracket, and *always returns the end that meets the target* (the other end was a famous bug).

use std::fmt;

/// The widest bracket that is searched.
const RANGE: (f64, f64) = (1e-3, 1e9);
/// The bracket is halved until its ends differ by this share.
const PRECISION: f64 = 1e-6;

/// A noise multiplier that meets the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// Standard deviation of the noise over the sensitivity.
    pub noise_multiplier: f64,
    /// Epsilon at that multiplier: at most the target.
    pub epsilon: f64,
}

impl Calibrated {
    /// Whether it meets the target. An epsilon that is not a number meets none.
    fn meets(&self, target: f64) -> bool {
        self.epsilon <= target
    }
}

/// Why there is no such multiplier.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CalibrateError<E: fmt::Debug + fmt::Display> {
    /// The target is not a positive number.
    #[error("target epsilon {0} is not a positive number")]
    Target(f64),
    /// No noise is enough: something else in the plan costs more than the target.
    #[error("epsilon {target} cannot be reached: even a noise multiplier of {noise_multiplier:e} leaves {epsilon}")]
    Unreachable {
        /// What was asked for.
        target: f64,
        /// The largest multiplier tried.
        noise_multiplier: f64,
        /// The smallest epsilon met.
        epsilon: f64,
    },
    /// The price of the plan could not be found.
    #[error("{0}")]
    Price(E),
}

/// The smallest noise multiplier, to one part in a million and rounded up, whose epsilon is at most `target_epsilon`.
///
/// `epsilon_of` prices the plan at one multiplier; it must not grow with it. A target that a multiplier of 0.001 meets gets
/// one of at most that.
///
/// # Errors
/// When the target is not positive, when it cannot be reached, and whatever `epsilon_of` says.
pub fn noise_multiplier<E: fmt::Debug + fmt::Display>(
    target_epsilon: f64,
    mut epsilon_of: impl FnMut(f64) -> Result<f64, E>,
) -> Result<Calibrated, CalibrateError<E>> {
    if target_epsilon.is_nan() || target_epsilon <= 0.0 {
        return Err(CalibrateError::Target(target_epsilon));
    }
    let mut at = |noise_multiplier: f64| -> Result<Calibrated, CalibrateError<E>> {
        let epsilon = epsilon_of(noise_multiplier).map_err(CalibrateError::Price)?;
        Ok(Calibrated { noise_multiplier, epsilon })
    };
    let mut high = enough(target_epsilon, &mut at)?;
    let mut low = high.noise_multiplier / 2.0;
    while high.noise_multiplier / low - 1.0 > PRECISION {
        let middle = at((low * high.noise_multiplier).sqrt())?;
        if middle.meets(target_epsilon) {
            high = middle;
        } else {
            low = middle.noise_multiplier;
        }
    }
    Ok(high)
}

/// A multiplier that meets the target while its half does not, or the least of the range.
fn enough<E: fmt::Debug + fmt::Display>(
    target: f64,
    at: &mut impl FnMut(f64) -> Result<Calibrated, CalibrateError<E>>,
) -> Result<Calibrated, CalibrateError<E>> {
    let mut high = at(1.0)?;
    while !high.meets(target) {
        if high.noise_multiplier >= RANGE.1 {
            let Calibrated { noise_multiplier, epsilon } = high;
            return Err(CalibrateError::Unreachable { target, noise_multiplier, epsilon });
        }
        high = at(high.noise_multiplier * 2.0)?;
    }
    while high.noise_multiplier > RANGE.0 {
        let half = at(high.noise_multiplier / 2.0)?;
        if !half.meets(target) {
            break;
        }
        high = half;
    }
    Ok(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solve(target: f64, price: impl Fn(f64) -> f64) -> Result<Calibrated, CalibrateError<String>> {
        noise_multiplier(target, |z| Ok(price(z)))
    }

    #[test]
    fn the_end_that_meets_the_target_is_returned() {
        for target in [1e-6, 0.01, 0.7, 1.0, 3.0, 8.0, 500.0] {
            let found = solve(target, |z| 1.0 / z).unwrap();
            assert!(found.epsilon <= target, "{target}: {found:?}");
            assert!((found.noise_multiplier * target - 1.0).abs() < 2e-6, "{target}: {found:?}");
        }
        // A step in the price: only one side of it meets the target.
        let found = solve(1.0, |z| if z < 3.7 { 2.0 } else { 0.5 }).unwrap();
        assert!(found.epsilon == 0.5 && found.noise_multiplier >= 3.7 && found.noise_multiplier < 3.70001);
    }

    #[test]
    fn what_is_cheap_anyway_gets_little_noise() {
        assert!(solve(1.0, |_| 0.0).unwrap().noise_multiplier <= 1e-3);
    }

    #[test]
    fn what_is_out_of_reach_is_said() {
        let error = solve(0.5, |z| 0.75 + 1.0 / z).unwrap_err();
        assert!(matches!(error, CalibrateError::Unreachable { epsilon, .. } if (epsilon - 0.75).abs() < 1e-6));
        assert!(error.to_string().starts_with("epsilon 0.5 cannot be reached"), "{error}");
        assert!(solve(1.0, |_| f64::NAN).is_err());
        for target in [0.0, -1.0, f64::NAN] {
            assert!(matches!(solve(target, |z| 1.0 / z), Err(CalibrateError::Target(_))));
        }
        let failed: Result<Calibrated, _> = noise_multiplier(1.0, |_| Err("no price"));
        assert_eq!(failed, Err(CalibrateError::Price("no price")));
    }
}
