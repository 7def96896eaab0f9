//! Zero-concentrated differential privacy: one number, `rho`, that adds up.
//!
//! # Why this is private
//!
//! Claim: epsilon is an upper bound on the true one.
//!
//! Argument: (1) A Gaussian release of noise multiplier `z` has `rho = 1/(2 z^2)` exactly (Bun & Steinke 2016,
//! Proposition 1.6); one that is purely epsilon-private has at most `epsilon^2/2` (Proposition 1.4), and the exponential
//! mechanism, of range epsilon, at most `epsilon^2/8` (Cesar & Rogers 2020). (2) `rho` adds under adaptive composition.
//! (3) `rho` bounds the Rényi divergence of every order `a` by `a rho`, and the conversion is that of the Rényi
//! accountant: at the best order (Canonne, Kamath & Steinke 2020, Proposition 12), never more than
//! `rho + 2 sqrt(rho ln(1/delta))` (Bun & Steinke 2016, Proposition 1.3). (4) Sampling is not counted: see
//! [`super::plain`].
//!
//! Checked by: `tests::reference_conversions`, `tests::the_tight_conversion_is_better`.

use super::plain::{PlainCurve, plain};
use super::{Accountant, Price, Scale, rdp, scale};
use crate::{Event, Neighbouring};

/// Zero-concentrated differential privacy (Bun & Steinke 2016).
#[derive(Clone, Copy, Debug, Default)]
pub struct Zcdp;

impl Accountant for Zcdp {
    type Curve = PlainCurve;

    fn name(&self) -> &'static str {
        "zcdp"
    }

    fn of(&self, event: &Event, neighbouring: Neighbouring) -> Result<PlainCurve, &'static str> {
        plain(event, neighbouring, square)
    }

    fn epsilon(&self, curve: &PlainCurve, delta: f64) -> Price {
        let rho = 0.5 * curve.squares();
        let price = Price::bound(tight(rho, delta)).note(format!("rho {rho:.6e}"));
        curve.notes.iter().fold(price, |price, note| price.note(*note))
    }
}

/// Twice `rho` of one release.
fn square(release: &Event) -> Result<f64, &'static str> {
    match scale(release)? {
        Scale::Gaussian(z) | Scale::Laplace(z) => Ok(1.0 / (z * z)),
        Scale::Response(epsilon) => Ok(epsilon * epsilon),
        Scale::Exponential(epsilon) => Ok(0.25 * epsilon * epsilon),
    }
}

/// Epsilon of `rho`-zCDP at the best order, for delta in `(0, 1)`.
pub fn tight(rho: f64, delta: f64) -> f64 {
    rdp::of_rho(rho, delta).min(bun_steinke(rho, delta))
}

/// Epsilon of `rho`-zCDP by the formula `rho + 2 sqrt(rho ln(1/delta))`, for delta in `(0, 1)`.
pub fn bun_steinke(rho: f64, delta: f64) -> f64 {
    rho + 2.0 * (-rho * delta.ln()).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{number, relative, table};

    #[test]
    fn the_tight_conversion_is_better() {
        assert!(relative(bun_steinke(0.5, 1e-5), 5.298_525_912_188_081) < 1e-12);
        assert!(relative(tight(0.5, 1e-5), 4.728_386_984_943_314) < 1e-8);
        assert!(relative(tight(1e-6, 1e-5), 0.003_456_667_061_275_661) < 1e-8);
        assert_eq!((tight(0.0, 0.1), tight(f64::INFINITY, 0.1)), (0.0, f64::INFINITY));
        for rho in [1e-9, 1e-3, 0.3, 17.0, 1e6] {
            assert!(tight(rho, 1e-6) <= bun_steinke(rho, 1e-6));
        }
    }

    /// `rho a` is at least the divergence of every order, of every kind of release; for small ones hardly more.
    #[test]
    fn rho_bounds_every_divergence() {
        for scale in [0.01, 0.3, 1.0, 4.0] {
            for event in [
                Event::Gaussian { noise_multiplier: 1.0 / scale },
                Event::Laplace { noise_multiplier: 1.0 / scale },
                Event::RandomisedResponse { epsilon: scale },
                Event::Exponential { epsilon: scale },
            ] {
                let rho = 0.5 * Zcdp.price(&event, Neighbouring::AddRemove).unwrap().squares();
                let curve = rdp::Rdp.price(&event, Neighbouring::AddRemove).unwrap();
                for order in [1.001, 1.5, 3.0, 20.0] {
                    let divergence = curve.divergence(order);
                    assert!(divergence <= rho * order * (1.0 + 1e-8), "{event:?} {order}: {divergence} {rho}");
                }
                assert!(scale > 0.1 || curve.divergence(2.0) > 1.9 * rho, "{event:?}: {rho} is loose");
            }
        }
    }

    #[test]
    fn reference_conversions() {
        let mut worst = (0.0_f64, 0.0_f64);
        for case in table("zcdp") {
            let (rho, delta) = (number(&case, "rho"), number(&case, "delta"));
            worst.0 = worst.0.max(relative(bun_steinke(rho, delta), number(&case, "epsilon_bun_steinke")));
            worst.1 = worst.1.max(relative(tight(rho, delta), number(&case, "epsilon_tight")));
        }
        eprintln!("worst errors of zCDP: Bun-Steinke {:e}, tight {:e}", worst.0, worst.1);
        assert!(worst.0 < 1e-12 && worst.1 < 1e-8);
    }
}
