//! The price of choosing the best of a random number of runs.
//!
//! Trying many settings and keeping the best costs privacy, even if only the best is published. If the *number* of trials
//! is drawn from one of these distributions, it costs little more than one run; a fixed number has no such price.
//!
//! ```
//! use privacy::{Event, Ledger, Neighbouring, Sampling, Trials};
//!
//! let releases = vec![Event::Gaussian { noise_multiplier: 1.0 }];
//! let round = Event::Round { sampling: Sampling::Poisson { rate: 0.01 }, releases };
//! let one_run = Ledger::planned(Neighbouring::AddRemove, vec![(round, 1000)]);
//! // Ten trials on average, geometrically distributed.
//! let price = Trials::NegativeBinomial { shape: 1.0, mean: 10.0 }.price(&one_run, 1e-5)?;
//! assert!(price.epsilon > 4.0 && price.epsilon < 4.2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why this is private
//!
//! Claim: [`Trials::price`] bounds the epsilon of publishing the best of the trials, and of nothing else, if the number of
//! trials is drawn from this distribution without looking at the data, every trial costs at most what the ledger holds, and
//! the score by which the best is chosen is part of what the trial releases, or public.
//!
//! Argument: the published run has Rényi divergence of order `a` at most `r(a) + ln(m)/(a-1) + (1+eta) min over b of
//! ((1 - 1/b) r(b) + ln(1/gamma)/b)` for the truncated negative binomial distribution, and `r(a) + m d + ln(m)/(a-1)` for
//! the Poisson distribution, where one run is `(ln(1 + 1/(a-1)), d)`-private. Divergences grow with the order, so that a
//! higher order's bound holds at a lower one. Every order of the grid is valid; a coarse grid is loose and never wrong.
//!
//! Citation: Papernot & Steinke 2022, Theorems 2 and 6.
//!
//! Checked by: `tests::reference_trials`, `tests::more_trials_cost_more`.

use crate::Ledger;
use crate::account::{AccountError, Accountant, Price, Rdp, RdpCurve, convert};

/// How the number of trials is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trials {
    /// The truncated negative binomial distribution: at least one trial. A shape of 1 is geometric, 0 logarithmic.
    NegativeBinomial {
        /// Its shape, above -1: the smaller, the heavier its tail and the lower its price.
        shape: f64,
        /// The mean number of trials, at least 1.
        mean: f64,
    },
    /// The Poisson distribution: perhaps no trial at all.
    Poisson {
        /// The mean number of trials, at least 1.
        mean: f64,
    },
}

/// Why trials have no price.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TuningError {
    /// The mean is below 1, or not a number.
    #[error("a mean of {0} trials is not a number >= 1")]
    Mean(f64),
    /// The shape is out of range.
    #[error("a shape of {0} is not a number above -1")]
    Shape(f64),
    /// One run has no price.
    #[error(transparent)]
    Run(#[from] AccountError),
}

impl Trials {
    /// Epsilon of publishing the best of these trials, each of which costs what `run` holds, at this delta in `(0, 1)`.
    ///
    /// # Errors
    /// When a number is out of range, or the ledger holds what Rényi divergences cannot price.
    pub fn price(&self, run: &Ledger, delta: f64) -> Result<Price, TuningError> {
        self.price_at(run, &orders(), delta)
    }

    /// The same at the best of these Rényi orders, all above 1 and growing.
    ///
    /// # Errors
    /// As [`Trials::price`].
    pub fn price_at(&self, run: &Ledger, orders: &[f64], delta: f64) -> Result<Price, TuningError> {
        self.check()?;
        if !(delta > 0.0 && delta < 1.0) {
            return Err(AccountError::Delta(delta).into());
        }
        let curve = Rdp.curve(run).map_err(AccountError::from)?;
        if curve.is_free() {
            return Ok(Price::bound(0.0));
        }
        let (order, epsilon) = self.at_orders(&curve, orders, delta);
        let epsilon = if epsilon.is_nan() { f64::INFINITY } else { epsilon };
        Ok(Price::bound(epsilon)
            .note(format!("at the order {order:.4}; by Rényi divergences, whatever prices the run itself")))
    }

    fn check(&self) -> Result<(), TuningError> {
        match *self {
            Trials::NegativeBinomial { shape, .. } if shape.is_nan() || shape <= -1.0 || shape.is_infinite() => {
                Err(TuningError::Shape(shape))
            }
            Trials::NegativeBinomial { mean, .. } | Trials::Poisson { mean } if !(mean >= 1.0 && mean.is_finite()) => {
                Err(TuningError::Mean(mean))
            }
            _ => Ok(()),
        }
    }

    /// The best of these orders, which grow, and its epsilon.
    fn at_orders(&self, curve: &RdpCurve, orders: &[f64], delta: f64) -> (f64, f64) {
        let run: Vec<(f64, f64)> = orders.iter().map(|order| (*order, curve.divergence(*order))).collect();
        let mut tuned = match *self {
            Trials::NegativeBinomial { shape, mean } => negative_binomial(&run, shape, mean),
            Trials::Poisson { mean } => poisson(&run, mean),
        };
        let mut least = f64::INFINITY;
        for (_, divergence) in tuned.iter_mut().rev() {
            least = least.min(*divergence);
            *divergence = least;
        }
        let epsilons = tuned.iter().map(|(order, divergence)| (*order, convert(*divergence, *order, delta).max(0.0)));
        epsilons.fold((1.0, f64::INFINITY), |best, now| if now.1 < best.1 { now } else { best })
    }
}

/// Orders `1 + e^x`, from 1.01 to 20 000, and those that other libraries use.
fn orders() -> Vec<f64> {
    let tenths = (11..110).map(|tenth| f64::from(tenth) / 10.0);
    let usual = tenths.chain((11..64).map(f64::from)).chain([128.0, 256.0, 512.0, 1024.0]);
    let mut orders: Vec<f64> = usual.chain((0..=290).map(|k| 1.0 + 0.01 * (0.05 * f64::from(k)).exp())).collect();
    orders.sort_by(f64::total_cmp);
    orders
}

fn negative_binomial(run: &[(f64, f64)], shape: f64, mean: f64) -> Vec<(f64, f64)> {
    let log_gamma = log_gamma(shape, mean);
    let start = run.iter().map(|(b, r)| (1.0 - 1.0 / b) * r - log_gamma / b).fold(f64::INFINITY, f64::min);
    run.iter().map(|(a, r)| (*a, r + mean.ln() / (a - 1.0) + (1.0 + shape) * start)).collect()
}

fn poisson(run: &[(f64, f64)], mean: f64) -> Vec<(f64, f64)> {
    run.iter().map(|(a, r)| (*a, r + mean * delta(run, (1.0 / (a - 1.0)).ln_1p()) + mean.ln() / (a - 1.0))).collect()
}

/// A delta of one run at this epsilon: by the conversion of Canonne, Kamath & Steinke 2020, or by total variation.
fn delta(run: &[(f64, f64)], epsilon: f64) -> f64 {
    let logs = run.iter().map(|(a, r)| {
        let tight = (a - 1.0) * (r - epsilon + (-1.0 / a).ln_1p()) - a.ln();
        tight.min(0.5 * (-(-r).exp_m1()).ln())
    });
    logs.fold(0.0_f64, f64::min).exp()
}

/// `ln gamma` of the distribution with this mean, rounded to the safe side by bisection: the mean falls with `gamma`.
fn log_gamma(shape: f64, mean: f64) -> f64 {
    let mean_at = |x: f64| {
        let odds = (-x).exp_m1();
        if shape == 0.0 { odds / -x } else { shape * odds / -(shape * x).exp_m1() }
    };
    let (mut low, mut high) = (-700.0, 0.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if mean_at(middle) >= mean {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{number, relative, table};
    use crate::{Event, Neighbouring, Sampling};

    fn run(z: f64, rate: f64, steps: u64) -> Ledger {
        let releases = vec![Event::Gaussian { noise_multiplier: z }];
        Ledger::planned(
            Neighbouring::AddRemove,
            vec![(Event::Round { sampling: Sampling::Poisson { rate }, releases }, steps)],
        )
    }

    fn default_orders() -> Vec<f64> {
        let tenths = (11..110).map(|tenth| f64::from(tenth) / 10.0);
        tenths.chain((11..64).map(f64::from)).chain([128.0, 256.0, 512.0, 1024.0]).collect()
    }

    #[test]
    fn parameters_of_the_distributions() {
        for (shape, mean, gamma) in
            [(1.0, 10.0, 0.1), (0.0, 10.0, 0.026_918_259_589), (0.5, 10.0, 0.062_5), (3.0, 5.0, 0.389_365_078_648)]
        {
            assert!(relative(log_gamma(shape, mean).exp(), gamma) < 1e-9, "{shape} {mean}");
        }
        assert!(log_gamma(1.0, 1.0).abs() < 1e-12);
    }

    #[test]
    fn known_prices() {
        let one = run(1.0, 0.01, 1000);
        for (trials, want) in [
            (Trials::NegativeBinomial { shape: 1.0, mean: 10.0 }, 4.103_255_577_158_711),
            (Trials::NegativeBinomial { shape: 0.0, mean: 10.0 }, 3.522_629_951_336_031),
            (Trials::Poisson { mean: 10.0 }, 4.329_405_864_128_967),
        ] {
            let on_grid = trials.at_orders(&Rdp.curve(&one).unwrap(), &default_orders(), 1e-5).1;
            assert!(relative(on_grid, want) < 1e-7, "{trials:?}: {on_grid}");
            let got = trials.price(&one, 1e-5).unwrap().epsilon;
            assert!(got <= want && got > want * (1.0 - 1e-2), "{trials:?}: {got}");
        }
    }

    #[test]
    fn reference_trials() {
        let mut worst = 0.0_f64;
        for case in table("tuning") {
            let mean = number(&case, "mean_repetitions");
            let trials = match case["shape"].as_f64() {
                Some(shape) => Trials::NegativeBinomial { shape, mean },
                None => Trials::Poisson { mean },
            };
            let steps = case["steps"].as_u64().unwrap();
            let one = run(number(&case, "noise_multiplier"), number(&case, "sample_rate"), steps);
            let (delta, want) = (number(&case, "delta"), number(&case["rdp_true_values"], "epsilon"));
            let on_grid = trials.at_orders(&Rdp.curve(&one).unwrap(), &default_orders(), delta).1;
            let got = trials.price(&one, delta).unwrap().epsilon;
            eprintln!("{trials:?}: {got} against {want}, on its grid {:e} away", relative(on_grid, want));
            assert!(got <= want * (1.0 + 1e-12));
            worst = worst.max(relative(on_grid, want));
        }
        eprintln!("worst relative error of trials {worst:e}");
        assert!(worst < 1e-7);
    }

    #[test]
    fn more_trials_cost_more() {
        let one = run(1.0, 0.01, 1000);
        let alone = Rdp.spent(&one, 1e-5).unwrap();
        for shape in [-0.5, 0.0, 0.5, 1.0, 4.0] {
            let mut before = alone;
            for mean in [1.0, 2.0, 10.0, 1e3, 1e6] {
                let now = Trials::NegativeBinomial { shape, mean }.price(&one, 1e-5).unwrap().epsilon;
                assert!(now >= before && now.is_finite(), "{shape} {mean}: {now} after {before}");
                before = now;
            }
        }
    }

    #[test]
    fn nonsense_has_no_price() {
        let one = run(1.0, 0.01, 10);
        for mean in [0.5, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(Trials::Poisson { mean }.price(&one, 1e-5), Err(TuningError::Mean(_))));
        }
        let odd = Trials::NegativeBinomial { shape: -1.0, mean: 2.0 };
        assert!(odd.price(&one, 1e-5).unwrap_err().to_string().contains("above -1"));
        assert!(Trials::Poisson { mean: 2.0 }.price(&one, 1.0).is_err());
        assert_eq!(Trials::Poisson { mean: 2.0 }.price(&run(1.0, 0.0, 5), 1e-5).unwrap().epsilon, 0.0);
        assert_eq!(Trials::Poisson { mean: 2.0 }.price(&run(0.0, 0.1, 5), 1e-5).unwrap().epsilon, f64::INFINITY);
    }
}
