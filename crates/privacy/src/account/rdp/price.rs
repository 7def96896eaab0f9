//! The Rényi curve of one event.

use super::divergence::Pair;
use super::fixed::Fixed;
use super::piece::{Mixed, Piece};
use super::{Part, RdpCurve};
use crate::account::plain::{FIXED_SIZE, PASSES, Passes, ZERO_OUT};
use crate::account::truncated::{Truncated, truncated};
use crate::account::{Scale, check_sampling, scale};
use crate::{Event, Neighbouring, Sampling};
use std::sync::Arc;

/// Everything released together, without sampling.
struct Whole {
    /// Sum of `1/(2 z^2)` over Gaussian releases.
    rho: f64,
    /// The others.
    rest: Vec<Piece>,
}

/// The curve of one event, or why it has none.
pub(super) fn price(event: &Event, neighbouring: Neighbouring) -> Result<RdpCurve, &'static str> {
    let Event::Round { sampling, releases } = event else { return whole(std::slice::from_ref(event)).map(unsampled) };
    check_sampling(sampling)?;
    let whole = whole(releases)?;
    if whole.rho == 0.0 && whole.rest.is_empty() || *sampling == (Sampling::Poisson { rate: 0.0 }) {
        return Ok(RdpCurve::default());
    }
    if whole.rho.is_infinite() {
        return Ok(unsampled(whole));
    }
    match sampling {
        Sampling::Poisson { rate: 1.0 } => Ok(unsampled(whole)),
        Sampling::Poisson { rate } => Ok(poisson(*rate, whole, neighbouring)),
        _ if !whole.rest.is_empty() => Err("only Gaussian releases are priced with this sampling"),
        Sampling::TruncatedPoisson { rate, examples, cap } => {
            Ok(cut(*rate, truncated(*rate, *examples, *cap), whole.rho, neighbouring))
        }
        Sampling::FixedSize { .. } if neighbouring == Neighbouring::AddRemove => Err(FIXED_SIZE),
        Sampling::FixedSize { batch, examples } if batch == examples => Ok(unsampled(whole)),
        Sampling::FixedSize { batch: 0, .. } => Ok(RdpCurve::default()),
        Sampling::FixedSize { batch, examples } => {
            let fixed = Fixed::new(*batch as f64 / *examples as f64, multiplier(whole.rho));
            Ok(RdpCurve::piece(Piece::Fixed(Arc::new(fixed))))
        }
        Sampling::BallsInBins { bins } => Ok(passing(2.0 * whole.rho, *bins, vec![PASSES])),
        Sampling::Shuffled { batches } if neighbouring == Neighbouring::AddRemove => {
            Ok(passing(2.0 * whole.rho, *batches, vec![PASSES, ZERO_OUT]))
        }
        Sampling::Shuffled { batches } => Ok(passing(2.0 * whole.rho, *batches, vec![PASSES])),
    }
}

/// The noise multiplier of `rho`.
fn multiplier(rho: f64) -> f64 {
    (0.5 / rho).sqrt()
}

fn whole(releases: &[Event]) -> Result<Whole, &'static str> {
    let mut whole = Whole { rho: 0.0, rest: Vec::new() };
    for release in releases {
        match scale(release)? {
            Scale::Gaussian(z) => whole.rho += 0.5 / (z * z),
            Scale::Laplace(0.0) | Scale::Response(f64::INFINITY) | Scale::Exponential(f64::INFINITY) => {
                whole.rho = f64::INFINITY;
            }
            Scale::Laplace(f64::INFINITY) | Scale::Response(0.0) | Scale::Exponential(0.0) => {}
            Scale::Laplace(b) => whole.rest.push(Piece::Laplace(1.0 / b)),
            Scale::Response(epsilon) => whole.rest.push(Piece::Response(epsilon)),
            Scale::Exponential(epsilon) => whole.rest.push(Piece::Exponential(epsilon)),
        }
    }
    Ok(whole)
}

fn unsampled(whole: Whole) -> RdpCurve {
    let parts = whole.rest.into_iter().map(|piece| Part { piece, count: 1.0 }).collect();
    RdpCurve { parts, rho: whole.rho, ..RdpCurve::default() }
}

fn poisson(rate: f64, whole: Whole, neighbouring: Neighbouring) -> RdpCurve {
    if whole.rest.is_empty() {
        return RdpCurve::piece(Piece::Sampled(Pair { rate, noise_multiplier: multiplier(whole.rho), neighbouring }));
    }
    let summed = neighbouring == Neighbouring::AddRemove;
    RdpCurve::piece(Piece::Mixed(Mixed { rate, summed, rho: whole.rho, rest: whole.rest }))
}

fn cut(rate: f64, cut: Option<Truncated>, rho: f64, neighbouring: Neighbouring) -> RdpCurve {
    let noise_multiplier = multiplier(rho);
    let plain = Pair { rate, noise_multiplier, neighbouring };
    let Some(Truncated { chance, rate: kept }) = cut else {
        return poisson(rate, Whole { rho, rest: Vec::new() }, neighbouring);
    };
    // Opposite shares at twice the distance; the pair's unit is four bounds, the ledger's one or two.
    let noise_multiplier = noise_multiplier * neighbouring.factor() / 4.0;
    let full = Pair { rate: kept, noise_multiplier, neighbouring: Neighbouring::ReplaceOne };
    RdpCurve::piece(Piece::Truncated(chance, plain, full))
}

fn passing(square: f64, bins: u64, notes: Vec<&'static str>) -> RdpCurve {
    RdpCurve { passes: Passes::one(square, bins), notes, ..RdpCurve::default() }
}
