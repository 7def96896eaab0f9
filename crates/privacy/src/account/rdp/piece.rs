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
//! costs no more (Mironov, Talwar & Zhang 2019, Theorem 5); here the exponential mechanism is replaced by randomised
//! response, which dominates it. Besides, joint convexity gives `1 - q + q E L^a` at every order, under both relations and
//! with the exponential mechanism's own moment, which bounds both of its directions; the smaller of the two bounds counts.
//! Both grow with `q`, and the second ends at the moment without sampling: so does the price.
//!
//! Checked by: `tests`.

use super::divergence::{Pair, log_mixture};
use super::fixed::Fixed;
use super::pure;
use std::sync::Arc;

/// The largest order at which a mixed round is summed.
pub(super) const MOST: f64 = 512.0;

/// Several releases from one Poisson sample, not all of them Gaussian.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mixed {
    /// The probability that an example takes part.
    pub(super) rate: f64,
    /// Whether one of the two distributions is that without the example, so that its moments can be summed.
    pub(super) summed: bool,
    /// `1/(2 z^2)` of all Gaussians.
    pub(super) rho: f64,
    /// The others.
    pub(super) rest: Vec<Piece>,
}

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
    /// Several releases from one Poisson sample.
    Mixed(Mixed),
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
            Piece::Mixed(mixed) => mixed.divergence(order),
        }
    }

    /// What the divergence is at least, cheaply.
    pub(super) fn at_least(&self, order: f64) -> f64 {
        match self {
            Piece::Sampled(pair) => pair.at_least(order),
            Piece::Truncated(chance, whole, cut) => {
                let moment = |pair: &Pair| (order - 1.0) * pair.at_least(order);
                let (whole, cut) = (moment(whole), moment(cut));
                (whole + log_mixture(*chance, cut - whole)) / (order - 1.0)
            }
            Piece::Fixed(fixed) => fixed.at_least(order) / (order - 1.0),
            Piece::Mixed(..) => 0.0,
            _ => self.divergence(order),
        }
    }
}

impl Mixed {
    /// The smaller of the two bounds.
    fn divergence(&self, order: f64) -> f64 {
        let whole = |order: f64| self.rho * order + self.rest.iter().map(|piece| piece.divergence(order)).sum::<f64>();
        let convex = log_mixture(self.rate, (order - 1.0) * whole(order));
        if !self.summed || order > MOST {
            return convex / (order - 1.0);
        }
        let mirrored =
            |order: f64| self.rho * order + self.rest.iter().map(|piece| mirrored(piece, order)).sum::<f64>();
        let (below, above) = (order.floor(), order.ceil());
        let logs: Vec<f64> = (2..=above as u32).map(|l| f64::from(l - 1) * mirrored(f64::from(l))).collect();
        let low = log_moment(self.rate, below, &logs);
        let chord = low + (order - below) * (log_moment(self.rate, above, &logs) - low);
        chord.min(convex) / (order - 1.0)
    }
}

/// The divergence of a pair that dominates and is its own mirror image.
fn mirrored(piece: &Piece, order: f64) -> f64 {
    match piece {
        Piece::Exponential(epsilon) => pure::response(*epsilon, order),
        other => other.divergence(order),
    }
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

    fn gaussians(rate: f64, z: f64) -> Piece {
        Piece::Mixed(Mixed { rate, summed: true, rho: 0.5 / (z * z), rest: vec![] })
    }

    /// Two outcomes whose losses are epsilon apart are what the exponential mechanism may be: the bound must be above
    /// theirs in a sample, in both directions.
    #[test]
    fn a_sampled_choice_is_above_a_worst_case() {
        for (epsilon, rate) in [(7.6_f64, 0.9), (1.0, 0.3), (3.0, 0.999), (0.2, 0.01)] {
            for order in [1.2, 2.0, 3.5, 8.0] {
                let mixed = Mixed { rate, summed: true, rho: 0.0, rest: vec![Piece::Exponential(epsilon)] };
                let bound = mixed.divergence(order);
                // Two outcomes with losses s and s - epsilon.
                for s in (1..20).map(|k| epsilon * f64::from(k) / 20.0) {
                    let low = (epsilon - s).exp_m1() / epsilon.exp_m1();
                    let (p, q) = ([low * s.exp(), 1.0 - low * s.exp()], [low, 1.0 - low]);
                    let renyi = |p: [f64; 2], q: [f64; 2]| {
                        (p[0].powf(order) * q[0].powf(1.0 - order) + p[1].powf(order) * q[1].powf(1.0 - order)).ln()
                            / (order - 1.0)
                    };
                    let sampled = [rate * p[0] + (1.0 - rate) * q[0], rate * p[1] + (1.0 - rate) * q[1]];
                    let worst = renyi(sampled, q).max(renyi(q, sampled));
                    assert!(bound >= worst * (1.0 - 1e-9), "{epsilon} {rate} {order} {s}: {bound} {worst}");
                }
                assert!(bound <= pure::exponential(epsilon, order) * (1.0 + 1e-12));
            }
        }
    }

    #[test]
    fn a_higher_rate_never_costs_less() {
        for rest in [vec![Piece::Exponential(7.6)], vec![Piece::Laplace(0.7), Piece::Exponential(2.0)]] {
            for (summed, order) in [(true, 1.4), (true, 3.0), (true, 40.5), (false, 2.2), (true, 700.0)] {
                let at = |rate| Mixed { rate, summed, rho: 0.1, rest: rest.clone() }.divergence(order);
                let rates = [1e-6, 1e-3, 0.1, 0.5, 0.9, 0.999, 1.0 - 1e-9];
                let whole = 0.1 * order + rest.iter().map(|piece| piece.divergence(order)).sum::<f64>();
                let all: Vec<f64> = rates.into_iter().map(at).chain([whole]).collect();
                assert!(all.windows(2).all(|pair| pair[0] <= pair[1] * (1.0 + 1e-12)), "{order}: {all:?}");
            }
        }
    }

    #[test]
    fn a_mixed_round_of_gaussians_is_a_sampled_gaussian() {
        for (rate, z) in [(0.01, 1.0), (0.3, 2.0), (1e-4, 0.8)] {
            let pair = Pair { rate, noise_multiplier: z, neighbouring: Neighbouring::AddRemove };
            for order in [2.0, 3.0, 8.0, 40.0] {
                let got = gaussians(rate, z).divergence(order);
                assert!((got / pair.divergence(order) - 1.0).abs() < 1e-10, "{rate} {z} {order}");
            }
            for order in [1.3, 2.5, 7.1] {
                let got = gaussians(rate, z).divergence(order);
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
        let mixed = Mixed { rate, summed: true, rho: 0.0, rest: vec![Piece::Laplace(t)] };
        let got = mixed.divergence(order);
        assert!((got / (moment.ln() / (order - 1.0)) - 1.0).abs() < 1e-5, "{got}");
    }
}
