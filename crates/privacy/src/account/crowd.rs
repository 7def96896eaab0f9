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

/// One way that a group may take part: so many of them.
struct Share {
    /// How many.
    j: f64,
    /// The chance of that, over `e^scale`.
    mass: f64,
    /// The logarithm that is left out of it: zero, unless the group is so large that chances vanish.
    scale: f64,
    /// The logarithm of its density's ratio to that of nobody.
    y: f64,
}

impl Share {
    /// The logarithm of the chance, with that of the ratio.
    fn log(&self) -> f64 {
        self.mass.ln() + self.scale + self.y
    }

    /// The chance.
    fn weight(&self) -> f64 {
        if self.scale == 0.0 { self.mass } else { (self.mass.ln() + self.scale).exp() }
    }
}

impl Crowd {
    /// The logarithm of the chance that nobody takes part.
    fn log_none(self) -> f64 {
        f64::from(self.size) * (-self.rate).ln_1p()
    }

    /// The shares of `j = 1, 2, ...` at `u`, in order.
    fn shares(self, u: f64) -> impl Iterator<Item = Share> {
        let Crowd { rate, z, size } = self;
        let odds = rate / (1.0 - rate);
        let log_none = self.log_none();
        let start = if log_none > -600.0 { (log_none.exp(), 0.0) } else { (1.0, log_none) };
        (1..=size).scan(start, move |(mass, scale), j| {
            *mass *= f64::from(size - j + 1) / f64::from(j) * odds;
            if *mass > 1e250 {
                (*mass, *scale) = (1.0, *scale + mass.ln());
            }
            let j = f64::from(j);
            Some(Share { j, mass: *mass, scale: *scale, y: j / z * (u - 0.5 * j / z) })
        })
    }

    /// `P/Q - 1` at `u`, without cancellation; infinite where it overflows.
    pub(crate) fn excess(self, u: f64) -> f64 {
        let of = |share: Share| {
            if share.y < 700.0 { share.weight() * share.y.exp_m1() } else { share.log().exp() }
        };
        self.shares(u).map(of).sum()
    }

    /// The density of `P` at `u`, given that of the standard normal.
    pub(crate) fn density(self, u: f64, normal: impl Fn(f64) -> f64) -> f64 {
        let none = self.log_none().exp() * normal(u);
        none + self.shares(u).map(|share| share.weight() * normal(u - share.j / self.z)).sum::<f64>()
    }

    /// The loss at `u`, and how fast it grows there.
    fn loss(self, u: f64) -> (f64, f64) {
        let top = self.shares(u).map(|share| share.log()).fold(self.log_none(), f64::max);
        let (mut sum, mut slope) = ((self.log_none() - top).exp(), 0.0);
        for share in self.shares(u) {
            let term = (share.log() - top).exp();
            sum += term;
            slope += term * share.j / self.z;
        }
        let excess = self.excess(u);
        (if excess.abs() < 0.5 { excess.ln_1p() } else { top + sum.ln() }, slope / sum)
    }

    /// The place where the loss is `epsilon`; negative infinity where it never is so small.
    pub(crate) fn place(self, epsilon: f64) -> f64 {
        let size = f64::from(self.size);
        if epsilon <= self.log_none() {
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

    /// With `0.5^3000` and `C(3000, 1500)` neither being floats, the group still has a mass of one.
    #[test]
    fn large_groups_have_their_mass() {
        let crowd = Crowd { rate: 0.5, z: 50.0, size: 3000 };
        let normal = |u: f64| (-0.5 * u * u).exp() / (2.0 * std::f64::consts::PI).sqrt();
        // Their shares are 30 standard deviations away, give or take 0.55.
        let nodes = (0..2000).map(|k| 15.0 + 0.015 * f64::from(k));
        let (mass, mean) = nodes.fold((0.0, 0.0), |(mass, mean), u| {
            let p = 0.015 * crowd.density(u, normal);
            (mass + p, mean + p * u)
        });
        assert!((mass - 1.0).abs() < 1e-9 && (mean - 30.0).abs() < 1e-7, "{mass} {mean}");
        assert!(crowd.excess(0.0) > -1.0 && crowd.excess(30.0).is_finite() && crowd.excess(30.0) > 1e100);
    }

    #[test]
    fn the_place_of_a_loss_has_that_loss() {
        for crowd in [
            Crowd { rate: 0.01, z: 1.0, size: 3 },
            Crowd { rate: 0.2, z: 8.0, size: 4 },
            Crowd { rate: 0.01, z: 5.0, size: 16 },
            Crowd { rate: 0.5, z: 50.0, size: 3000 },
        ] {
            for k in 0..60 {
                let u = -4.0 + 0.4 * f64::from(k);
                let loss = crowd.loss(u).0;
                let back = crowd.loss(crowd.place(loss)).0;
                assert!((back - loss).abs() < 1e-12 * (1.0 + loss.abs()), "{crowd:?} {u}: {back} {loss}");
            }
            assert_eq!(crowd.place(crowd.log_none() - 1.0), f64::NEG_INFINITY);
        }
    }
}
