//! The pair of a batch of fixed size, drawn without replacement, under replace-one.
//!
//! # Why this is private
//!
//! Claim: [`Subset`] has at every epsilon at least the hockey-stick divergence of the outputs of one round of Gaussian noise on a
//! random subset that holds the share `rate` of the examples, whichever example is replaced, by whatever.
//!
//! Argument. Let `P = N(1, z^2)` and `Q = N(0, z^2)`, in units of what a replaced example may move the sum, and
//! `H(x) = integral (p - x q)_+`. A subset that holds the example goes to one that does not by replacing it with another that is
//! not in it yet, at random, which is a neighbour; so given either, the outputs are neighbours of the mechanism without sampling.
//! For `x' = 1 + rate (x - 1)` with `x >= 1`, advanced joint convexity gives at most `rate H(x)` (Balle, Barthe & Gaboardi 2018,
//! Theorem 9), which is the divergence of `(1 - rate) Q + rate P` from `Q` at `x'`. The relation is symmetric, so that for `x < 1`
//! it is at most `1 - x` and `x` times that at `1/x` (Zhu, Dong & Wang 2022, Proposition 30): the divergence of `P` from
//! `(1 - rate) P + rate Q`. Neither pair holds on both sides of 1: composed by itself, each would under-report (Lebeda, Regehr,
//! Kamath & Steinke 2024). Both halves together are convex, fall from 1 to 0 and are never below `1 - x`; so they are those of a
//! pair: the losses above 0 of the first, those below 0 of the second, and the rest, `(1 - rate)` times the total variation of `P`
//! and `Q`, an atom at 0. It is its own mirror image, and domination carries over to adaptive composition.
//!
//! With the means at `-1/2` and `1/2` and `u` standard deviations from their middle, the loss is `ln(1 + rate (e^(u/z) - 1))` above
//! 0, and minus that of `-u` below.
//!
//! Not claimed: that composed rounds cost so much. One round does: the bound is met by `(1 - rate) Q + rate P` against `Q`, if all
//! others pull one way. So what that pair costs, composed, is a lower bound on the truth.
//!
//! Checked by: `super::pair::tests`, `tests`, `tests/fixed_size.rs` (independent quadrature).

use super::pair::{Node, Pair, normal, normals, sampled};

/// A batch of a fixed size: a share strictly between 0 and 1 of all examples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Subset {
    /// The share of the examples that is in a batch.
    pub(crate) rate: f64,
    /// Standard deviation of the noise over what a replaced example may move the sum.
    pub(crate) z: f64,
    /// Which losses: on either side of 0 they are smooth, and together they are not.
    pub(crate) side: Side,
}

/// Losses of one sign, or all.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    /// All of them.
    Both,
    /// Those above 0, and the atom at 0.
    Above,
    /// Those below 0.
    Below,
}

impl Subset {
    /// Both signs of loss.
    pub(crate) fn new(rate: f64, z: f64) -> Self {
        Subset { rate, z, side: Side::Both }
    }

    /// Both sides, each with all its mass.
    pub(crate) fn sides(self) -> [(f64, Pair); 2] {
        match self.side {
            Side::Both => [Side::Above, Side::Below].map(|side| (1.0, Pair::Subset(Subset { side, ..self }))),
            _ => [(1.0, Pair::Subset(self)), (0.0, Pair::Subset(self))],
        }
    }

    /// Half the distance between the means, in standard deviations.
    pub(crate) fn half(self) -> f64 {
        0.5 / self.z
    }

    /// Densities at `u` standard deviations from the middle.
    pub(crate) fn at(self, u: f64) -> Node {
        let half = self.half();
        let far = u.abs();
        let Node { p, q, d } = sampled(self.rate, normal(far + half), far / self.z, || normal(far - half));
        if u < 0.0 { Node { p: q, q: p, d: -d } } else { Node { p, q, d } }
    }

    /// The place where the loss is `epsilon`.
    pub(crate) fn place(self, epsilon: f64) -> f64 {
        self.z * super::pair::unsampled(self.rate, epsilon.abs()).copysign(epsilon)
    }

    /// Where to integrate, if `far` is far enough from a mean.
    pub(crate) fn span(self, far: f64) -> (f64, f64) {
        let far = self.half() + far;
        match self.side {
            Side::Both => (-far, far),
            Side::Above => (0.0, far),
            Side::Below => (-far, 0.0),
        }
    }

    /// What is at a loss of 0.
    pub(crate) fn atoms(self) -> Vec<Node> {
        let mass = (1.0 - self.rate) * normals(self.z);
        if self.side == Side::Below { Vec::new() } else { vec![Node { p: mass, q: mass, d: 0.0 }] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pld::divergence;
    use super::*;

    /// One round is the sampled Gaussian, in the direction that costs more.
    #[test]
    fn one_round_is_met() {
        for (rate, z) in [(0.01, 1.0), (0.3, 0.5), (0.9, 4.0), (1e-4, 0.3)] {
            let (subset, sampled) = (Pair::Subset(Subset::new(rate, z)), Pair::Normal { rate, z });
            for epsilon in [0.0, 1e-3, 0.1, 1.0, 4.0] {
                let [got, other, want, less] = [(subset, false), (subset, true), (sampled, false), (sampled, true)]
                    .map(|(pair, mirrored)| divergence(pair, mirrored, epsilon, 1e-30));
                assert!(
                    (got - want).abs() <= 1e-11 * want + 1e-30 && less <= got * (1.0 + 1e-11),
                    "{rate} {z} {epsilon}"
                );
                assert!((got - other).abs() <= 1e-11 * got + 1e-30, "{rate} {z} {epsilon}: {got} {other}");
            }
        }
    }

    /// The pair is one: what it says below 0 is what its mirror image says above.
    #[test]
    fn both_halves_are_of_one_pair() {
        let (rate, z) = (0.2, 0.8);
        let pair = Pair::Subset(Subset::new(rate, z));
        for x in [0.1, 0.5, 0.9, 1.0, 1.7, 3.0_f64] {
            let directly = |f: fn(Node, f64) -> f64| {
                let (n, far) = (400_000, 14.0);
                let step = 2.0 * far / f64::from(n);
                let whole: f64 = (0..n).map(|k| f(pair.at(-far + (f64::from(k) + 0.5) * step), x)).sum();
                whole * step + pair.atoms().into_iter().map(|atom| f(atom, x)).sum::<f64>()
            };
            let forth = directly(|node, x| (node.p - x * node.q).max(0.0));
            let back = directly(|node, x| (node.q - node.p / x).max(0.0));
            assert!((forth - (1.0 - x + x * back)).abs() < 1e-9, "{x}: {forth} {back}");
            assert!(forth >= 1.0 - x - 1e-12);
        }
    }
}
