//! Any one number of a plan from the others and a budget.
//!
//! Epsilon falls as the noise multiplier grows, and grows with the sample rate and the number of rounds. Each search keeps
//! a bracket, one end of which meets the target and the other does not, and *always returns the end that meets it* (the
//! other end was a famous bug). The bracket is narrowed by secants in logarithms, with Dowell & Jarratt's correction
//! (1971, the Illinois method) and a halving now and then, so that few prices are asked for: some are slow.
//!
//! ```
//! use privacy::{Event, Ledger, Neighbouring, Sampling, account};
//!
//! let accountant = account::by_name("rdp").ok_or("no such accountant")?;
//! let price = |z: f64, rate: f64, steps: u64| {
//!     let releases = vec![Event::Gaussian { noise_multiplier: z }];
//!     let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
//!     accountant.spent(&Ledger::planned(Neighbouring::AddRemove, vec![(round, steps)]), 1e-5)
//! };
//! let noise = privacy::noise_multiplier(1.0, |z| price(z, 0.01, 1000))?;
//! let rounds = privacy::steps(1.0, |steps| price(noise.noise_multiplier, 0.01, steps))?;
//! let rate = privacy::sample_rate(1.0, |rate| price(noise.noise_multiplier, rate, 1000))?;
//! assert!(noise.epsilon <= 1.0 && rounds.value == 1000 && (rate.value - 0.01).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bracket;

use bracket::{Bracket, Tried};
use std::fmt;

/// The widest range of noise multipliers that is searched.
const RANGE: (f64, f64) = (1e-3, 1e9);
/// The smallest sample rate that is tried.
const LEAST_RATE: f64 = 1e-12;
/// The most rounds that are tried.
const MOST_STEPS: u64 = 1_000_000_000_000;
/// The bracket is narrowed until its ends differ by this share.
const PRECISION: f64 = 5e-7;

/// A noise multiplier that meets the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Calibrated {
    /// Standard deviation of the noise over the sensitivity.
    pub noise_multiplier: f64,
    /// Epsilon at that multiplier: at most the target.
    pub epsilon: f64,
}

/// A number of the plan that meets the target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found<T> {
    /// The number.
    pub value: T,
    /// Epsilon there: at most the target.
    pub epsilon: f64,
}

/// Why there is no such number.
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
    /// Even the smallest number that makes sense costs more than the target.
    #[error("epsilon {target} cannot be reached: even {least} leaves {epsilon}")]
    Exceeded {
        /// What was asked for.
        target: f64,
        /// The smallest number, in words.
        least: &'static str,
        /// Its epsilon.
        epsilon: f64,
    },
    /// The price of the plan could not be found.
    #[error("{0}")]
    Price(E),
}

fn check<E: fmt::Debug + fmt::Display>(target: f64) -> Result<(), CalibrateError<E>> {
    if target.is_nan() || target <= 0.0 { Err(CalibrateError::Target(target)) } else { Ok(()) }
}

/// The smallest noise multiplier, to one part in two million and rounded up, whose epsilon is at most `target_epsilon`.
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
    check(target_epsilon)?;
    let mut at = |x: f64| -> Result<Tried, CalibrateError<E>> {
        let epsilon = epsilon_of(x.exp()).map_err(CalibrateError::Price)?;
        Ok(Tried::new(x, epsilon, target_epsilon))
    };
    let found = match enough(&mut at)? {
        Ok((meets, fails)) => Bracket::new(meets, fails).narrow(PRECISION, at)?,
        Err(cheap) if cheap.meets() => cheap,
        Err(Tried { x, epsilon, .. }) => {
            return Err(CalibrateError::Unreachable { target: target_epsilon, noise_multiplier: x.exp(), epsilon });
        }
    };
    Ok(Calibrated { noise_multiplier: found.x.exp(), epsilon: found.epsilon })
}

/// A multiplier that meets the target and one that does not, by doubling and halving; otherwise the end of the range.
#[allow(clippy::type_complexity)]
fn enough<E>(at: &mut impl FnMut(f64) -> Result<Tried, E>) -> Result<Result<(Tried, Tried), Tried>, E> {
    let mut now = at(0.0)?;
    let (up, step) = (!now.meets(), std::f64::consts::LN_2);
    loop {
        let next = if up { now.x + step } else { now.x - step };
        if next > RANGE.1.ln() || next < RANGE.0.ln() - step {
            return Ok(Err(now));
        }
        let next = at(next)?;
        if next.meets() == up {
            return Ok(Ok(if up { (next, now) } else { (now, next) }));
        }
        now = next;
    }
}

/// The largest sample rate, to one part in two million and rounded down, whose epsilon is at most `target_epsilon`; 1 if
/// that meets it.
///
/// `epsilon_of` prices the plan at one rate; it must not fall as the rate grows.
///
/// # Errors
/// When the target is not positive, when a rate of `1e-12` exceeds it, and whatever `epsilon_of` says.
pub fn sample_rate<E: fmt::Debug + fmt::Display>(
    target_epsilon: f64,
    mut epsilon_of: impl FnMut(f64) -> Result<f64, E>,
) -> Result<Found<f64>, CalibrateError<E>> {
    check(target_epsilon)?;
    let mut at = |x: f64| -> Result<Tried, CalibrateError<E>> {
        let epsilon = epsilon_of(x.exp().min(1.0)).map_err(CalibrateError::Price)?;
        Ok(Tried::new(x, epsilon, target_epsilon))
    };
    let mut fails = at(0.0)?;
    if fails.meets() {
        return Ok(Found { value: 1.0, epsilon: fails.epsilon });
    }
    let meets = loop {
        let next = at((fails.x - 10f64.ln()).max(LEAST_RATE.ln()))?;
        if next.meets() {
            break next;
        }
        if next.x <= LEAST_RATE.ln() {
            let (target, epsilon) = (target_epsilon, next.epsilon);
            return Err(CalibrateError::Exceeded { target, least: "a sample rate of 1e-12", epsilon });
        }
        fails = next;
    };
    let found = Bracket::new(meets, fails).narrow(PRECISION, at)?;
    Ok(Found { value: found.x.exp().min(1.0), epsilon: found.epsilon })
}

/// The largest number of rounds, exactly, whose epsilon is at most `target_epsilon`; a trillion if that meets it.
///
/// `epsilon_of` prices the plan with so many rounds, at least one; it must not fall as they grow.
///
/// # Errors
/// When the target is not positive, when one round exceeds it, and whatever `epsilon_of` says.
pub fn steps<E: fmt::Debug + fmt::Display>(
    target_epsilon: f64,
    mut epsilon_of: impl FnMut(u64) -> Result<f64, E>,
) -> Result<Found<u64>, CalibrateError<E>> {
    check(target_epsilon)?;
    let mut at = |n: u64| -> Result<Tried, CalibrateError<E>> {
        let epsilon = epsilon_of(n).map_err(CalibrateError::Price)?;
        Ok(Tried::new((n as f64).ln(), epsilon, target_epsilon))
    };
    let mut meets = (1, at(1)?);
    if !meets.1.meets() {
        let (target, epsilon) = (target_epsilon, meets.1.epsilon);
        return Err(CalibrateError::Exceeded { target, least: "one step", epsilon });
    }
    let fails = loop {
        if meets.0 >= MOST_STEPS {
            return Ok(Found { value: meets.0, epsilon: meets.1.epsilon });
        }
        let n = (meets.0 * 8).min(MOST_STEPS);
        let next = at(n)?;
        if !next.meets() {
            break (n, next);
        }
        meets = (n, next);
    };
    whole(meets, fails, at)
}

/// Narrows a bracket of whole numbers until its ends are neighbours.
fn whole<E>(
    meets: (u64, Tried),
    fails: (u64, Tried),
    mut at: impl FnMut(u64) -> Result<Tried, E>,
) -> Result<Found<u64>, E> {
    let (mut low, mut high) = (meets.0, fails.0);
    let mut bracket = Bracket::new(meets.1, fails.1);
    let mut best = meets.1;
    while high - low > 1 {
        let n = (bracket.next(0.5 / low as f64).exp().floor() as u64).clamp(low + 1, high - 1);
        let tried = at(n)?;
        bracket.take(tried);
        if tried.meets() {
            (low, best) = (n, tried);
        } else {
            high = n;
        }
    }
    Ok(Found { value: low, epsilon: best.epsilon })
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

    #[test]
    fn few_prices_are_asked_for() {
        for target in [0.01, 0.7, 3.0, 50.0] {
            let mut asked = 0;
            let found: Result<_, CalibrateError<String>> = noise_multiplier(target, |z: f64| {
                asked += 1;
                Ok(2.0 / z + 0.3 / (z * z))
            });
            assert!(found.unwrap().epsilon <= target && asked <= 18, "{target}: {asked}");
        }
    }

    #[test]
    fn rates_and_rounds_are_the_largest_that_meet_the_target() {
        let rate: Found<f64> = sample_rate::<String>(1.0, |q| Ok(300.0 * q * q + q)).unwrap();
        let root = ((1.0_f64 + 1200.0).sqrt() - 1.0) / 600.0;
        assert!(rate.epsilon <= 1.0 && rate.value <= root && rate.value > root * (1.0 - 1e-6), "{rate:?} {root}");
        assert_eq!(sample_rate::<String>(1.0, |q| Ok(0.5 * q)).unwrap().value, 1.0);
        let error = sample_rate::<String>(1.0, |_| Ok(2.0)).unwrap_err();
        assert!(error.to_string().contains("even a sample rate of 1e-12 leaves 2"), "{error}");
        for most in [1_u64, 2, 3, 7, 8, 9, 1000, 93_741, 123_456_789] {
            let mut asked = 0;
            let found = steps::<String>(1.0, |n| {
                asked += 1;
                Ok(if n <= most { (n as f64 / most as f64).sqrt() } else { 1.0 + (n - most) as f64 / most as f64 })
            });
            assert_eq!(found.unwrap(), Found { value: most, epsilon: 1.0 }, "{most}");
            assert!(asked < 60, "{most}: {asked}");
        }
        assert_eq!(steps::<String>(1.0, |_| Ok(0.5)).unwrap().value, MOST_STEPS);
        assert!(steps::<String>(1.0, |_| Ok(f64::INFINITY)).unwrap_err().to_string().contains("even one step"));
    }

    #[test]
    fn jumps_and_infinities_do_not_mislead() {
        let found = solve(1.0, |z| if z < 0.9 { f64::INFINITY } else { 0.0 }).unwrap();
        assert!(found.noise_multiplier >= 0.9 && found.noise_multiplier < 0.900_001, "{found:?}");
        assert!(
            noise_multiplier::<String>(1.0, |z: f64| Ok(if z < 5.0 { f64::NAN } else { 0.1 }))
                .unwrap()
                .noise_multiplier
                >= 5.0
        );
        let found = steps::<String>(1.0, |n| Ok(if n < 4321 { 0.0 } else { f64::INFINITY })).unwrap();
        assert_eq!(found, Found { value: 4320, epsilon: 0.0 });
    }
}
