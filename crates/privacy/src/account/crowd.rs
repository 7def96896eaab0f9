//! The pair of a group: several examples of one person in a Poisson sample.
//!
//! # Why this is private
//!
//! Claim: [`Crowd`] is the pair `P = sum of P[Bin(k, q) = j] N(j, z^2)` against `Q = N(0, z^2)`, which dominates what `k`
//! examples added or removed together can tell (with its mirror image).
//!
//! Argument: each of the `k` is in with probability `q`; `j` shares of length at most 1 sum to at most `j`, and all in one
//! direction at full length is the worst (Ganesh 2024, Theorem 1). The ratio `P/Q = sum of w_j e^(j u/z - j^2/(2 z^2))` at
//! `u` standard deviations grows with `u` and its logarithm is convex, so that Newton's steps from above find the place of a
//! loss.
//!
//! Citation: Ganesh 2024 (arXiv 2401.10294).
//!
//! Checked by: `tests`, `super::group::tests`.

/// A group in a Poisson sample, with a rate strictly between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crowd {
    /// Probability that one example takes part.
    pub(crate) rate: f64,
    /// Standard deviation of the noise over one share.
    pub(crate) z: f64,
    /// How many examples.
    pub(crate) size: u32,
}

impl Crowd {
    /// The chances and exponents of `j = 1, 2, ...` at `u`, in order.
    fn terms(self, u: f64) -> impl Iterator<Item = (f64, f64, f64)> {
        let Crowd { rate, z, size } = self;
        let none = (f64::from(size) * (-rate).ln_1p()).exp();
        let odds = rate / (1.0 - rate);
        (1..=size).scan(none, move |weight, j| {
            *weight *= f64::from(size - j + 1) / f64::from(j) * odds;
            let j = f64::from(j);
            Some((*weight, j, j / z * (u - 0.5 * j / z)))
        })
    }

    /// `P/Q - 1` at `u`, without cancellation; infinite where it overflows.
    pub(crate) fn excess(self, u: f64) -> f64 {
        self.terms(u).map(|(weight, _, y)| weight * y.exp_m1()).sum()
    }

    /// The density of `P` at `u`, given that of the standard normal.
    pub(crate) fn density(self, u: f64, normal: impl Fn(f64) -> f64) -> f64 {
        let none = (f64::from(self.size) * (-self.rate).ln_1p()).exp() * normal(u);
        none + self.terms(u).map(|(weight, j, _)| weight * normal(u - j / self.z)).sum::<f64>()
    }

    /// The loss at `u`, and how fast it grows there.
    fn loss(self, u: f64) -> (f64, f64) {
        let top = self.terms(u).map(|(_, _, y)| y).fold(0.0, f64::max);
        let none = (f64::from(self.size) * (-self.rate).ln_1p() - top).exp();
        let (mut sum, mut slope) = (none, 0.0);
        for (weight, j, y) in self.terms(u) {
            let term = weight * (y - top).exp();
            sum += term;
            slope += term * j / self.z;
        }
        let excess = self.excess(u);
        (if excess.abs() < 0.5 { excess.ln_1p() } else { top + sum.ln() }, slope / sum)
    }

    /// The place where the loss is `epsilon`; negative infinity where it never is so small.
    pub(crate) fn place(self, epsilon: f64) -> f64 {
        let size = f64::from(self.size);
        if epsilon <= size * (-self.rate).ln_1p() {
            return f64::NEG_INFINITY;
        }
        // The last term alone has reached it here.
        let mut u = self.z / size * (epsilon.max(0.0) - size * self.rate.ln()) + 0.5 * size / self.z;
        for _ in 0..200 {
            let (loss, slope) = self.loss(u);
            let step = (loss - epsilon) / slope;
            if step.is_nan() || step.is_infinite() || step.abs() <= 1e-15 * (1.0 + u.abs()) {
                break;
            }
            u -= step;
        }
        u
    }

    /// How many standard deviations the farthest mean is from the nearest.
    pub(crate) fn width(self) -> f64 {
        f64::from(self.size) / self.z
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_one_is_the_sampled_gaussian() {
        let crowd = Crowd { rate: 0.1, z: 2.0, size: 1 };
        for u in [-5.0, 0.0, 0.3, 4.0, 12.0_f64] {
            let direct = 0.1 * (u / 2.0 - 0.125).exp_m1();
            assert!((crowd.excess(u) - direct).abs() <= 1e-13 * direct.abs());
            let normal = |u: f64| (-0.5 * u * u).exp();
            let ratio = crowd.density(u, normal) / normal(u) - 1.0;
            assert!((ratio - direct).abs() <= 1e-13 * (1.0 + direct.abs()));
        }
    }

    #[test]
    fn the_place_of_a_loss_has_that_loss() {
        for crowd in [
            Crowd { rate: 0.01, z: 1.0, size: 3 },
            Crowd { rate: 0.2, z: 8.0, size: 4 },
            Crowd { rate: 0.01, z: 5.0, size: 16 },
        ] {
            for k in 0..60 {
                let u = -4.0 + 0.4 * f64::from(k);
                let loss = crowd.loss(u).0;
                let back = crowd.loss(crowd.place(loss)).0;
                assert!((back - loss).abs() < 1e-12 * (1.0 + loss.abs()), "{crowd:?} {u}: {back} {loss}");
            }
            assert_eq!(crowd.place(-1000.0), f64::NEG_INFINITY);
        }
    }
}
