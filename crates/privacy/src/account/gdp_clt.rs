//! The central limit theorem for Poisson sampling: an estimate, and never a guarantee.
//!
//! A round of rate `q` and noise multiplier `z` counts as a Gaussian release of `mu^2 = q^2 (e^(1/z^2) - 1)`; this is the
//! limit of many rounds, each of vanishing cost (Bu, Dong, Long & Su 2019, Theorem 5). For any real run the truth is higher:
//! at `q = 0.01`, `z = 1`, 1000 rounds and delta `1e-5` the estimate is 1.618 and the truth 1.828. Rounds without sampling
//! are exact, as in [`super::gdp`].

use super::gdp::square;
use super::plain::{PlainCurve, plain};
use super::{Accountant, Price, check_sampling};
use crate::{Event, Neighbouring, Sampling, gaussian};

/// The central limit theorem's estimate (Bu, Dong, Long & Su 2019).
#[derive(Clone, Copy, Debug, Default)]
pub struct GdpClt;

/// The warning that goes with every estimate.
const BELOW: &str = "an estimate and no guarantee: the central limit theorem is below the truth for every sampled run";

impl Accountant for GdpClt {
    type Curve = PlainCurve;

    fn name(&self) -> &'static str {
        "gdp-clt"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<PlainCurve, &'static str> {
        match event {
            Event::Round { sampling: sampling @ Sampling::Poisson { rate }, releases } if *rate != 1.0 => {
                check_sampling(sampling)?;
                let squares = releases.iter().map(square).sum::<Result<f64, _>>()?;
                let sum = if *rate == 0.0 { 0.0 } else { rate * rate * squares.exp_m1() };
                Ok(PlainCurve { estimate: sum > 0.0, ..PlainCurve::of(sum) })
            }
            _ => plain(event, neighbouring, square),
        }
    }

    fn epsilon(&self, curve: &PlainCurve, delta: f64) -> Price {
        let epsilon = gaussian::epsilon(curve.squares().sqrt(), delta);
        let price = if curve.estimate { Price::estimate(epsilon).note(BELOW) } else { Price::bound(epsilon) };
        curve.notes.iter().fold(price, |price, note| price.note(*note))
    }

    fn delta(&self, curve: &PlainCurve, epsilon: f64) -> f64 {
        gaussian::delta(curve.squares().sqrt(), epsilon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ledger;
    use crate::reference::{number, relative, table};

    fn report(z: f64, rate: f64, steps: u64, delta: f64) -> Price {
        let releases = vec![Event::Gaussian { noise_multiplier: z }];
        let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
        GdpClt.report(&Ledger::planned(Neighbouring::AddRemove, vec![(round, steps)]), delta).unwrap()
    }

    #[test]
    fn it_is_below_the_truth_and_says_so() {
        let price = report(1.0, 0.01, 1000, 1e-5);
        assert!((price.epsilon - 1.617_712).abs() < 1e-6 && price.epsilon < 1.828, "{price:?}");
        assert!(price.estimate && price.notes.contains(&BELOW.to_owned()));
        assert!(!report(1.0, 1.0, 1, 1e-5).estimate);
    }

    #[test]
    fn reference_estimates() {
        let (mut worst, mut checked) = (0.0_f64, 0);
        for case in table("dpsgd") {
            let (rate, Some(want)) = (number(&case, "sample_rate"), case["gdp_clt"]["epsilon"].as_f64()) else {
                continue;
            };
            if rate < 1.0 {
                let steps = case["steps"].as_u64().unwrap();
                let got = report(number(&case, "noise_multiplier"), rate, steps, number(&case, "delta")).epsilon;
                worst = worst.max(if want < 1e-9 { got } else { relative(got, want) });
                checked += 1;
            }
        }
        eprintln!("{checked} estimates, worst error {worst:e}");
        assert!(worst < 1e-6);
    }
}
