//! The two distributions that one example tells apart in one event, for accountants that need the whole privacy loss.
//!
//! # Why this is private
//!
//! Claim: the pairs of [`pair`] dominate every pair of neighbouring outputs of the event, in the order of hockey-stick
//! divergences, in both directions taken together (a pair stands for itself and its mirror image).
//!
//! Argument. In units of the sensitivity, noise `z`: *Gaussian*, `N(1, z^2)` against `N(0, z^2)`. *Poisson, add/remove*,
//! `(1-q) N(0) + q N(1)` against `N(0)` and the reverse (Zhu, Dong & Wang 2022, Theorem 11): two pairs, never mixed.
//! *Poisson, replace-one*, `(1-q) N(0) + q N(1/2)` against `(1-q) N(0) + q N(-1/2)` in units of the doubled sensitivity:
//! the proof is with [`super::rdp`]'s divergences. *Fixed size, replace-one*: [`super::fixed_size`]. *Laplace*: as the Gaussian with Laplace densities. *Pure epsilon*:
//! randomised response dominates whatever has that epsilon (Kairouz, Oh & Viswanath 2015). Domination carries over to
//! adaptive composition (Zhu, Dong & Wang 2022, Theorem 10).
//!
//! Every pair is a density over a real `u` in which the loss `ln(dP/dQ)` increases, and at most two atoms.
//!
//! Checked by: `tests` (masses, inverses, the mirrored pair), the reference tests of `pld` and `exact`.

use super::crowd::Crowd;
use super::fixed_size::Subset;
use super::plain::FIXED_SIZE;
use super::truncated::{Truncated, truncated};
use super::{Sampled, check_sampling, joint, sampled_gaussian};
use crate::{Event, Neighbouring, Sampling};
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// A pair in one direction, `P` against `Q`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pair {
    /// `(1-q) N(0, z^2) + q N(1, z^2)` against `N(0, z^2)`; a rate of 1 is the plain Gaussian.
    Normal { rate: f64, z: f64 },
    /// `(1-q) N(0, z^2) + q N(1/2, z^2)` against the same with `-1/2`.
    Opposite { rate: f64, z: f64 },
    /// `(1-q) Lap(0, z) + q Lap(1, z)` against `Lap(0, z)`.
    Laplace { rate: f64, z: f64 },
    /// A coin that lands as `P` says with odds `e^epsilon`, or as `Q` says.
    Coin { epsilon: f64 },
    /// Several examples in a Poisson sample, under add/remove.
    Crowd(Crowd),
    /// A batch of a fixed size, under replace-one.
    Subset(Subset),
    /// Truncated Poisson sampling: with a `chance` that tells nothing, opposite shares at twice the distance and the rate
    /// `kept`; otherwise the plain pair of this rate, which is opposite too under replace-one.
    Cut { chance: f64, kept: f64, rate: f64, z: f64, opposite: bool },
}

/// What an event is to these accountants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cost {
    /// Nothing.
    Free,
    /// Everything.
    Infinite,
    /// This pair.
    Pair(Pair),
}

/// The pair of an event, or why it has none.
pub(crate) fn pair(event: &Event, neighbouring: Neighbouring) -> Result<Cost, &'static str> {
    match event {
        Event::Laplace { noise_multiplier: z } => laplace(1.0, *z, neighbouring),
        Event::RandomisedResponse { epsilon } | Event::Exponential { epsilon } => coin(*epsilon),
        Event::Round { sampling: Sampling::Poisson { rate }, releases } => match releases.as_slice() {
            [Event::Laplace { noise_multiplier: z }] if (0.0..=1.0).contains(rate) => laplace(*rate, *z, neighbouring),
            [Event::RandomisedResponse { epsilon } | Event::Exponential { epsilon }] if *rate == 1.0 => coin(*epsilon),
            _ => gaussian(event, neighbouring),
        },
        Event::Round { sampling: sampling @ Sampling::TruncatedPoisson { rate, examples, cap }, releases } => {
            check_sampling(sampling)?;
            let plain = Event::Round { sampling: Sampling::Poisson { rate: *rate }, releases: releases.clone() };
            Ok(match (gaussian(&plain, neighbouring)?, truncated(*rate, *examples, *cap)) {
                (Cost::Pair(_), Some(Truncated { chance, rate: kept })) => {
                    let (rate, z) = (*rate, joint(releases)?);
                    Cost::Pair(Pair::Cut { chance, kept, rate, z, opposite: neighbouring == Neighbouring::ReplaceOne })
                }
                (cost, _) => cost,
            })
        }
        Event::Round { sampling: sampling @ Sampling::FixedSize { batch, examples }, releases } => {
            check_sampling(sampling)?;
            let rate = if *batch == *examples { 1.0 } else { *batch as f64 / *examples as f64 };
            let plain = Event::Round { sampling: Sampling::Poisson { rate }, releases: releases.clone() };
            match gaussian(&plain, neighbouring)? {
                Cost::Pair(_) if neighbouring == Neighbouring::AddRemove => Err(FIXED_SIZE),
                Cost::Pair(Pair::Opposite { rate, z }) => Ok(Cost::Pair(Pair::Subset(Subset::new(rate, z)))),
                cost => Ok(cost),
            }
        }
        _ => gaussian(event, neighbouring),
    }
}

fn gaussian(event: &Event, neighbouring: Neighbouring) -> Result<Cost, &'static str> {
    let Sampled { rate, noise_multiplier: z } = sampled_gaussian(event)?;
    Ok(if rate == 0.0 || z.is_infinite() {
        Cost::Free
    } else if z == 0.0 {
        Cost::Infinite
    } else if neighbouring == Neighbouring::ReplaceOne && rate < 1.0 {
        Cost::Pair(Pair::Opposite { rate, z })
    } else {
        Cost::Pair(Pair::Normal { rate, z })
    })
}

fn laplace(rate: f64, z: f64, neighbouring: Neighbouring) -> Result<Cost, &'static str> {
    if z.is_nan() || z < 0.0 {
        return Err("its noise multiplier is negative or not a number");
    }
    if neighbouring == Neighbouring::ReplaceOne && rate > 0.0 && rate < 1.0 {
        return Err("sampled Laplace noise has no price under replace-one");
    }
    Ok(if rate == 0.0 || z.is_infinite() {
        Cost::Free
    } else if z == 0.0 {
        Cost::Infinite
    } else {
        Cost::Pair(Pair::Laplace { rate, z })
    })
}

fn coin(epsilon: f64) -> Result<Cost, &'static str> {
    match epsilon {
        e if e.is_nan() || e < 0.0 => Err("its epsilon is negative or not a number"),
        0.0 => Ok(Cost::Free),
        f64::INFINITY => Ok(Cost::Infinite),
        epsilon => Ok(Cost::Pair(Pair::Coin { epsilon })),
    }
}

/// Densities at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// Of `P`.
    pub(crate) p: f64,
    /// Of `Q`.
    pub(crate) q: f64,
    /// Their difference `p - q`, without cancellation.
    pub(crate) d: f64,
}

impl Node {
    /// `ln(p/q)`, without cancellation.
    pub(crate) fn loss(self) -> f64 {
        let excess = self.d / self.q;
        if excess.abs() < 0.5 { excess.ln_1p() } else { (self.p / self.q).ln() }
    }
}

/// `e^(-u^2/2)` over its integral.
pub(super) fn normal(u: f64) -> f64 {
    (-0.5 * u * u).exp() / (2.0 * PI).sqrt()
}

/// The total variation between `N(0, z^2)` and `N(1, z^2)`.
pub(super) fn normals(z: f64) -> f64 {
    libm::erf(0.5 * FRAC_1_SQRT_2 / z)
}

impl Pair {
    /// Whether the other direction has the same losses.
    pub(crate) fn symmetric(self) -> bool {
        match self {
            Pair::Normal { rate, .. } | Pair::Laplace { rate, .. } => rate == 1.0,
            Pair::Opposite { .. } | Pair::Coin { .. } | Pair::Subset(_) => true,
            Pair::Crowd(_) => false,
            Pair::Cut { opposite, .. } => opposite,
        }
    }

    /// The pairs of which this is a mixture whose label is known to all, with their chances; or its smooth parts, each with all its
    /// mass. For most kinds, itself.
    pub(crate) fn components(self) -> [(f64, Pair); 2] {
        let Pair::Cut { chance, kept, rate, z, opposite } = self else {
            return if let Pair::Subset(subset) = self { subset.sides() } else { [(1.0, self), (0.0, self)] };
        };
        // A unit of the second pair is four bounds; one of the first is one bound, or two under replace-one.
        let (plain, half) =
            if opposite { (Pair::Opposite { rate, z }, 0.5 * z) } else { (Pair::Normal { rate, z }, 0.25 * z) };
        [(1.0 - chance, plain), (chance, Pair::Opposite { rate: kept, z: half })]
    }

    /// The more common component.
    fn plain(self) -> Pair {
        self.components()[0].1
    }

    /// Densities of the continuous part at `u`: standard deviations of the noise, or for Laplace the place itself.
    pub(crate) fn at(self, u: f64) -> Node {
        match self {
            Pair::Normal { rate, z } => sampled(rate, normal(u), u / z - 0.5 / (z * z), || normal(u - 1.0 / z)),
            Pair::Opposite { rate, z } => {
                let half = 0.5 / z;
                let base = normal(u);
                let right = sampled(rate, base, half * (u - 0.5 * half), || normal(u - half));
                let left = sampled(rate, base, -half * (u + 0.5 * half), || normal(u + half));
                Node { p: right.p, q: left.p, d: right.d - left.d }
            }
            Pair::Laplace { rate, z } => {
                let base = (-u / z).exp() / (2.0 * z);
                sampled(rate, base, (2.0 * u - 1.0) / z, || ((u - 1.0) / z).exp() / (2.0 * z))
            }
            Pair::Coin { .. } => Node { p: 0.0, q: 0.0, d: 0.0 },
            Pair::Crowd(crowd) => crowded(crowd, u),
            Pair::Subset(subset) => subset.at(u),
            Pair::Cut { .. } => self.plain().at(u),
        }
    }

    /// The place where the loss is `epsilon`; infinite where it never is.
    pub(crate) fn place(self, epsilon: f64) -> f64 {
        match self {
            Pair::Normal { rate, z } => z * unsampled(rate, epsilon) + 0.5 / z,
            Pair::Opposite { rate, z } => {
                // q e^(-1/(8 z^2)) (e^y - e^(epsilon - y)) = (e^epsilon - 1) (1 - q) for y = u/(2z).
                let half = 0.5 * epsilon;
                let stretch = (1.0 - rate) / rate * (0.125 / (z * z)).exp();
                2.0 * z * (half + if half == 0.0 { 0.0 } else { asinh(stretch * half.sinh()) })
            }
            Pair::Laplace { rate, z } => 0.5 * (z * unsampled(rate, epsilon) + 1.0),
            Pair::Coin { .. } => 0.0,
            Pair::Crowd(crowd) => crowd.place(epsilon),
            Pair::Subset(subset) => subset.place(epsilon),
            Pair::Cut { .. } => self.plain().place(epsilon),
        }
    }

    /// The total variation between both distributions, or a little more for groups.
    ///
    /// Mixtures with the same rate differ by what is moved: the rate times the distance of the parts. The distance of `j` shares
    /// is at most `j` times that of one.
    pub(crate) fn total_variation(self) -> f64 {
        match self {
            Pair::Normal { rate, z } | Pair::Opposite { rate, z } | Pair::Subset(Subset { rate, z, .. }) => {
                rate * normals(z)
            }
            Pair::Laplace { rate, z } => rate * -(-0.5 / z).exp_m1(),
            Pair::Coin { epsilon } => (0.5 * epsilon).tanh(),
            Pair::Crowd(Crowd { rate, z, size }) => {
                let (size, one) = (f64::from(size), normals(z));
                (size * rate * one).min(-(size * (-rate).ln_1p()).exp_m1())
            }
            Pair::Cut { .. } => self.components().map(|(share, part)| share * part.total_variation()).iter().sum(),
        }
    }

    /// Where to integrate, so that at most `tail` of either distribution is outside on either side.
    pub(crate) fn span(self, tail: f64) -> (f64, f64) {
        let far = reach(tail);
        match self {
            Pair::Normal { z, .. } => (-far, 1.0 / z + far),
            Pair::Opposite { z, .. } => (-0.5 / z - far, 0.5 / z + far),
            Pair::Laplace { .. } => (0.0, 1.0),
            Pair::Coin { .. } => (0.0, 0.0),
            Pair::Crowd(crowd) => (-far, crowd.width() + far),
            Pair::Subset(subset) => subset.span(far),
            Pair::Cut { .. } => self.plain().span(tail),
        }
    }

    /// What may be outside the span of this tail, on both sides together.
    pub(crate) fn outside(self, tail: f64) -> f64 {
        if matches!(self, Pair::Laplace { .. } | Pair::Coin { .. }) { 0.0 } else { 2.0 * tail }
    }

    /// How fast the logarithms of the densities change near `u`, at most.
    pub(crate) fn slope(self, u: f64) -> f64 {
        match self {
            Pair::Normal { z, .. } => 1.0 + u.abs() + 1.0 / z,
            Pair::Opposite { z, .. } => 1.0 + u.abs() + 0.5 / z,
            Pair::Laplace { z, .. } => 1.0 + 3.0 / z,
            Pair::Coin { .. } => 1.0,
            Pair::Crowd(crowd) => 1.0 + u.abs() + crowd.width(),
            Pair::Subset(Subset { z, .. }) => 1.0 + u.abs() + 1.0 / z,
            Pair::Cut { .. } => self.plain().slope(u),
        }
    }

    /// A loss near which most of the mass is, when there is such a one.
    pub(crate) fn peak(self) -> f64 {
        match self {
            Pair::Normal { rate: 1.0, .. } | Pair::Subset(_) => 0.0,
            Pair::Normal { .. } | Pair::Opposite { .. } | Pair::Crowd(_) => self.at(0.0).loss(),
            Pair::Cut { .. } => self.plain().peak(),
            Pair::Laplace { .. } | Pair::Coin { .. } => self.atoms().first().map_or(0.0, |atom| atom.loss()),
        }
    }

    /// Whether the losses of a sum are lumped at its atoms: those at a loss of 0 move nothing.
    pub(crate) fn lumpy(self) -> bool {
        self.atoms().into_iter().any(|atom| atom.d != 0.0)
    }

    /// Atoms, as masses.
    pub(crate) fn atoms(self) -> Vec<Node> {
        match self {
            Pair::Normal { .. } | Pair::Opposite { .. } | Pair::Crowd(_) | Pair::Cut { .. } => Vec::new(),
            Pair::Subset(subset) => subset.atoms(),
            Pair::Laplace { rate, z } => {
                let (most, least) = (0.5, 0.5 * (-1.0 / z).exp());
                vec![sampled(rate, most, -1.0 / z, || least), sampled(rate, least, 1.0 / z, || most)]
            }
            Pair::Coin { epsilon } => {
                let (more, less) = (1.0 / (1.0 + (-epsilon).exp()), (-epsilon).exp() / (1.0 + (-epsilon).exp()));
                let d = (0.5 * epsilon).tanh();
                vec![Node { p: less, q: more, d: -d }, Node { p: more, q: less, d }]
            }
        }
    }
}

/// The densities of a group at `u`.
fn crowded(crowd: Crowd, u: f64) -> Node {
    let (q, excess) = (normal(u), crowd.excess(u));
    if excess > -0.5 && excess < 1e100 && q > 0.0 {
        return Node { p: q * (1.0 + excess), q, d: q * excess };
    }
    // Where nearly everybody of the group is in nearly every draw, the sum with one would cancel.
    let p = crowd.density(u, normal);
    Node { p, q, d: p - q }
}

/// `base` against itself with a share `rate` moved to density `base e^y`, also where the exponential overflows.
pub(super) fn sampled(rate: f64, base: f64, y: f64, moved: impl Fn() -> f64) -> Node {
    let d = rate * if y < 1.0 { base * y.exp_m1() } else { moved() - base };
    let p = if y < -1.0 { (1.0 - rate) * base + rate * moved() } else { base + d };
    Node { p, q: base, d }
}

/// The loss without sampling where the loss with sampling is `epsilon`; below what can be, negative infinity.
pub(super) fn unsampled(rate: f64, epsilon: f64) -> f64 {
    if rate == 1.0 {
        epsilon
    } else if epsilon > 1.0 {
        epsilon + ((rate - 1.0) * (-epsilon).exp()).ln_1p() - rate.ln()
    } else {
        (epsilon.exp_m1() / rate).max(-1.0).ln_1p()
    }
}

/// The inverse hyperbolic sine, finite for all that is finite.
fn asinh(x: f64) -> f64 {
    if x.abs() < 1e150 { x.asinh() } else { x.signum() * (x.abs().ln() + std::f64::consts::LN_2) }
}

/// How many standard deviations leave at most `tail` outside on one side: `Phi(-u) <= e^(-u^2/2)/2`.
fn reach(tail: f64) -> f64 {
    (-2.0 * (2.0 * tail).ln()).max(1.0).sqrt()
}

#[cfg(test)]
mod tests;
