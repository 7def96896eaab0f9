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
/// `epsilon_of` prices the plan at one multiplier; it must not grow with it. Multipliers from 0.001 are tried: a target
/// that 0.001 meets gets 0.001.
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
        if middle.epsilon <= target_epsilon {
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
    while !(high.epsilon <= target) {
        if high.noise_multiplier >= RANGE.1 {
            let Calibrated { noise_multiplier, epsilon } = high;
            return Err(CalibrateError::Unreachable { target, noise_multiplier, epsilon });
        }
        high = at(high.noise_multiplier * 2.0)?;
    }
    while high.noise_multiplier > RANGE.0 {
        let half = at(high.noise_multiplier / 2.0)?;
        if !(half.epsilon <= target) {
            break;
        }
        high = half;
    }
    Ok(high)
}
