//! Gaussian differential privacy: exact for Gaussian releases that no sampling hides.
//!
//! # Why this is private
//!
//! Claim: epsilon is exact where all releases are unsampled Gaussians, and an upper bound otherwise.
//!
//! Argument: Gaussian releases of sensitivities `mu_k` standard deviations compose to one of `(sum mu_k^2)^(1/2)`, and its
//! curve is known exactly ([`crate::gaussian`]). A release that is purely epsilon-private is `mu`-GDP for
//! `Phi(-mu/2) = 1/(1 + e^epsilon)`: the curve of the former runs along the chords from `(0, 1)` and `(1, 0)` to the point
//! `(c, c)` with `c = 1/(1 + e^epsilon)`, and a Gaussian's curve through the same three points is convex, hence below.
//! Sampling is not counted, as argued in [`super::plain`].
//!
//! Citation: Dong, Roth & Su 2019, Corollary 3.3; Balle & Wang 2018.
//!
//! Checked by: `tests::plain_gaussians_are_exact`, `tests::shuffling_is_never_priced_as_poisson`, `crate::gaussian::tests`.

use super::normal::upper_quantile;
use super::plain::{PlainCurve, plain};
use super::{Accountant, Price};
use crate::{Event, Neighbouring, gaussian};

/// Exact for compositions of unsampled Gaussian releases (Dong, Roth & Su 2019).
#[derive(Clone, Copy, Debug, Default)]
pub struct Gdp;

impl Accountant for Gdp {
    type Curve = PlainCurve;

    fn name(&self) -> &'static str {
        "gdp"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<PlainCurve, &'static str> {
        plain(event, neighbouring, square)
    }

    fn epsilon(&self, curve: &PlainCurve, delta: f64) -> Price {
        let epsilon = gaussian::epsilon(curve.squares().sqrt(), delta);
        if curve.exact() {
            return Price::interval(epsilon * (1.0 - 1e-11), epsilon);
        }
        curve.notes.iter().fold(Price::bound(epsilon), |price, note| price.note(*note))
    }

    fn delta(&self, curve: &PlainCurve, epsilon: f64) -> f64 {
        gaussian::delta(curve.squares().sqrt(), epsilon)
    }
}

/// The square of `mu` of one release.
pub(super) fn square(release: &Event) -> Result<f64, &'static str> {
    match super::scale(release)? {
        super::Scale::Gaussian(z) => Ok(1.0 / (z * z)),
        super::Scale::Laplace(b) => Ok(pure(1.0 / b)),
        super::Scale::Response(epsilon) | super::Scale::Exponential(epsilon) => Ok(pure(epsilon)),
    }
}

/// The square of `mu` of a release that is purely epsilon-private.
fn pure(epsilon: f64) -> f64 {
    if epsilon > 30.0 {
        // Phi(-x) <= e^(-x^2/2)/2, which is e^-epsilon/4 for this x.
        return 8.0 * (epsilon + std::f64::consts::LN_2);
    }
    4.0 * upper_quantile(1.0 / (1.0 + epsilon.exp())).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Ledger, Sampling};

    fn spent(sampling: Sampling, z: f64, rounds: u64, delta: f64) -> Price {
        let round = Event::Round { sampling, releases: vec![Event::Gaussian { noise_multiplier: z }] };
        Gdp.report(&Ledger::planned(Neighbouring::AddRemove, vec![(round, rounds)]), delta).unwrap()
    }

    #[test]
    fn plain_gaussians_are_exact() {
        let price = spent(Sampling::Poisson { rate: 1.0 }, 50.0, 1000, 1e-7);
        assert!((price.epsilon - 3.218_208_878_731_495).abs() < 1e-10, "{price:?}");
        assert!(price.lower.unwrap() <= 3.218_208_878_731_5 && price.notes.is_empty());
        let sampled = spent(Sampling::Poisson { rate: 0.01 }, 50.0, 1000, 1e-7);
        assert!(sampled.epsilon == price.epsilon && sampled.lower.is_none() && sampled.notes.len() == 1);
    }

    #[test]
    fn shuffling_is_never_priced_as_poisson() {
        // One epoch at delta 1e-6: deterministic batches, and at most these for Poisson sampling.
        for (z, deterministic, poisson) in [(0.5, 10.9972, 4.2353), (0.8, 6.3121, 0.4689), (1.0, 4.8866, 0.1913)] {
            for sampling in [Sampling::Shuffled { batches: 1000 }, Sampling::BallsInBins { bins: 1000 }] {
                let price = spent(sampling.clone(), z, 1000, 1e-6);
                assert!((price.epsilon - deterministic).abs() < 1e-4 && price.epsilon > 2.0 * poisson, "{price:?}");
                assert!(price.notes[0].contains("would claim far less"));
                // Four epochs are one of half the noise.
                let four = spent(sampling, z, 4000, 1e-6).epsilon;
                let half = spent(Sampling::Poisson { rate: 1.0 }, z / 2.0, 1, 1e-6).epsilon;
                assert!((four / half - 1.0).abs() < 1e-10);
            }
        }
    }

    #[test]
    fn fixed_sizes_are_refused_under_add_remove() {
        let sampling = Sampling::FixedSize { batch: 10, examples: 100 };
        let round = Event::Round { sampling, releases: vec![Event::Gaussian { noise_multiplier: 1.0 }] };
        assert!(Gdp.price(&round, Neighbouring::AddRemove).unwrap_err().to_string().contains("replace-one alone"));
        assert_eq!(Gdp.price(&round, Neighbouring::ReplaceOne).unwrap().squares(), 1.0);
    }

    /// One more in a draw that was full takes another's place: twice the bound. Under replace-one that is the unit already.
    #[test]
    fn draws_that_are_cut_move_twice_as_far() {
        let sampling = Sampling::TruncatedPoisson { rate: 0.5, examples: 100, cap: 10 };
        let round = Event::Round { sampling, releases: vec![Event::Gaussian { noise_multiplier: 3.0 }] };
        assert!((Gdp.price(&round, Neighbouring::AddRemove).unwrap().squares() - 4.0 / 9.0).abs() < 1e-15);
        assert!((Gdp.price(&round, Neighbouring::ReplaceOne).unwrap().squares() - 1.0 / 9.0).abs() < 1e-15);
    }

    #[test]
    fn a_pure_release_is_covered() {
        // Randomised response with epsilon 1 is (0, delta)-private for delta = tanh(1/2).
        let curve = Gdp.price(&Event::RandomisedResponse { epsilon: 1.0 }, Neighbouring::AddRemove).unwrap();
        for (epsilon, delta) in [(0.0_f64, 0.5f64.tanh()), (0.5, (1.0 - (-0.5f64).exp()) / (1.0 + (-1.0f64).exp()))] {
            assert!(Gdp.delta(&curve, epsilon) >= delta, "{epsilon}: {}", Gdp.delta(&curve, epsilon));
        }
    }
}
