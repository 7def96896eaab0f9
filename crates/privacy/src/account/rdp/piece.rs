//! The kinds of release that the Rényi accountant knows, beside plain Gaussians.
//!
//! # Why this is private
//!
//! Claim: [`Piece::divergence`] bounds the Rényi divergence of one event, of any order above 1.
//!
//! Argument. *Sampled*, *pure* and *fixed*: see those modules. *Truncated*: whether the draw was cut is decided by the other
//! examples; the moment of a mixture whose label is known is the mixture of moments ([`super::super::truncated`]).
//! *Mixed*: several releases from one Poisson sample, not all Gaussian. With `L` the likelihood ratio when the example is in,
//! `E_Q (1 - q + q L)^a = sum of C(a,l) (1-q)^(a-l) q^l E_Q L^l` at integer orders, and moments of joint releases multiply;
//! between integers the logarithm is below its chord. Each pair is its own mirror image, so that the other direction
//! costs no more (Mironov, Talwar & Zhang 2019, Theorem 5); the exponential mechanism is replaced by randomised response,
//! which dominates it. Under replace-one, and at high orders, joint convexity gives `1 - q + q E L^a`.
//!
//! Checked by: `tests`.

use super::divergence::{Pair, log_mixture};
use super::fixed::Fixed;
use super::pure;
use std::sync::Arc;

/// The largest order at which a mixed round is summed.
const MOST: f64 = 512.0;

/// One kind of event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    /// A Gaussian release from a Poisson sample.
    Sampled(Pair),
    /// Laplace noise whose sensitivity is so many scales.
    Laplace(f64),
    /// Randomised response.
    Response(f64),
    /// The exponential mechanism.
    Exponential(f64),
    /// A Gaussian release from a batch of fixed size.
    Fixed(Arc<Fixed>),
    /// A Gaussian release from a truncated Poisson sample: with this probability the second pair.
    Truncated(f64, Pair, Pair),
    /// Several releases from one Poisson sample: rate, whether its sum is exact, `1/(2 z^2)` of the Gaussians, the rest.
    Mixed(f64, bool, f64, Vec<Piece>),
}

impl Piece {
    /// The Rényi divergence of this order, `> 1`.
    pub(super) fn divergence(&self, order: f64) -> f64 {
        match self {
            Piece::Sampled(pair) => pair.divergence(order),
            Piece::Laplace(t) => pure::laplace(*t, order),
            Piece::Response(epsilon) => pure::response(*epsilon, order),
            Piece::Exponential(epsilon) => pure::exponential(*epsilon, order),
            Piece::Fixed(fixed) => fixed.log_moment(order) / (order - 1.0),
            Piece::Truncated(chance, whole, cut) => {
                let moment = |pair: &Pair| (order - 1.0) * pair.divergence(order);
                let (whole, cut) = (moment(whole), moment(cut));
                (whole + log_mixture(*chance, cut - whole)) / (order - 1.0)
            }
            Piece::Mixed(rate, exact, rho, pieces) => mixed(*rate, *exact, order, |order| {
                rho * order + pieces.iter().map(|piece| piece.divergence(order)).sum::<f64>()
            }),
        }
    }

    /// What the divergence is at least, cheaply.
    pub(super) fn at_least(&self, order: f64) -> f64 {
        match self {
            Piece::Sampled(pair) => pair.at_least(order),
            Piece::Truncated(..) | Piece::Mixed(..) => 0.0,
            _ => self.divergence(order),
        }
    }
}

/// The divergence of a sample of releases whose divergence without sampling is `whole`.
fn mixed(rate: f64, exact: bool, order: f64, whole: impl Fn(f64) -> f64) -> f64 {
    let convex = log_mixture(rate, (order - 1.0) * whole(order));
    if !exact || order > MOST {
        return convex / (order - 1.0);
    }
    let (below, above) = (order.floor(), order.ceil());
    let logs: Vec<f64> = (2..=above as u32).map(|l| f64::from(l - 1) * whole(f64::from(l))).collect();
    let low = log_moment(rate, below, &logs);
    let chord = low + (order - below) * (log_moment(rate, above, &logs) - low);
    chord.min(convex) / (order - 1.0)
}

/// The logarithm of `1 + sum over l >= 2 of C(a,l) (1-q)^(a-l) q^l (E L^l - 1)`.
fn log_moment(rate: f64, order: f64, logs: &[f64]) -> f64 {
    let mut log_choose = order.ln() + rate.ln() + (order - 1.0) * (-rate).ln_1p();
    let mut terms = Vec::with_capacity(logs.len());
    for (l, log) in (2..=order as u32).zip(logs) {
        let l = f64::from(l);
        log_choose += ((order - l + 1.0) / l).ln() + rate.ln() - (-rate).ln_1p();
        terms.push(log_choose + if *log > 40.0 { *log } else { log.exp_m1().ln() });
    }
    let top = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return 0.0;
    }
    let log_excess = top + terms.iter().map(|term| (term - top).exp()).sum::<f64>().ln();
    if log_excess > 40.0 { log_excess } else { log_excess.exp().ln_1p() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Neighbouring;

    #[test]
    fn a_mixed_round_of_gaussians_is_a_sampled_gaussian() {
        for (rate, z) in [(0.01, 1.0), (0.3, 2.0), (1e-4, 0.8)] {
            let pair = Pair { rate, noise_multiplier: z, neighbouring: Neighbouring::AddRemove };
            for order in [2.0, 3.0, 8.0, 40.0] {
                let got = Piece::Mixed(rate, true, 0.5 / (z * z), vec![]).divergence(order);
                assert!((got / pair.divergence(order) - 1.0).abs() < 1e-10, "{rate} {z} {order}");
            }
            for order in [1.3, 2.5, 7.1] {
                let got = Piece::Mixed(rate, true, 0.5 / (z * z), vec![]).divergence(order);
                assert!(got >= pair.divergence(order) && got < 3.0 * pair.divergence(order), "{rate} {z} {order}");
            }
        }
    }

    #[test]
    fn sampled_laplace_by_quadrature() {
        let (rate, t, order) = (0.2_f64, 0.7_f64, 5.0_f64);
        let n = 400_000;
        let moment: f64 = (0..n)
            .map(|k| -30.0 + 60.0 * (f64::from(k) + 0.5) / f64::from(n))
            .map(|x: f64| {
                let (base, moved) = (0.5 * t * (-t * x.abs()).exp(), 0.5 * t * (-t * (x - 1.0).abs()).exp());
                base * (1.0 - rate + rate * moved / base).powf(order) * 60.0 / f64::from(n)
            })
            .sum();
        let got = Piece::Mixed(rate, true, 0.0, vec![Piece::Laplace(t)]).divergence(order);
        assert!((got / (moment.ln() / (order - 1.0)) - 1.0).abs() < 1e-5, "{got}");
    }
}
