//! What atoms say by themselves: the greatest loss of a run, the chance of it, and whether its losses are smooth.
//!
//! # Why this is private
//!
//! Claim: [`Atoms::ends`] holds the epsilon of one direction.
//!
//! Argument: no loss exceeds the sum `L` of the greatest ones, so that delta is zero there. `L` itself has a mass of at least the
//! product `A` of the masses of the greatest losses, so that delta at `epsilon < L` is at least `A (1 - e^(epsilon - L))`.
//!
//! Checked by: `tests`.

use super::ask::Ends;
use crate::account::pair::{Node, Pair};

/// With less than this share of a run's losses in atoms, the rest is taken for smooth.
const LITTLE: f64 = 1e-4;

/// The greatest losses of a run together.
pub(in crate::account) struct Atoms {
    /// Their sum; infinite where losses have no greatest.
    greatest: f64,
    /// The logarithm of their chance.
    log_mass: f64,
}

impl Atoms {
    /// Of these pairs, so many times each.
    pub(in crate::account) fn new(pairs: &[(Pair, f64)], mirrored: bool) -> Self {
        let none = Atoms { greatest: 0.0, log_mass: 0.0 };
        pairs.iter().fold(none, |sum, (pair, count)| {
            let (loss, mass) = top(*pair, mirrored);
            Atoms { greatest: sum.greatest + count * loss, log_mass: sum.log_mass + count * mass.ln() }
        })
    }

    /// What is known of epsilon.
    pub(super) fn ends(&self, delta: f64) -> Ends {
        let share = (delta.ln() - self.log_mass).exp() * (1.0 + 1e-9);
        let lower = if share < 1.0 { self.greatest * (1.0 - 1e-12) + (-share).ln_1p() } else { 0.0 };
        let lower = if lower.is_finite() { lower.max(0.0) } else { 0.0 };
        Ends { lower, upper: self.most() }
    }

    /// No sum of losses is above this.
    pub(in crate::account) fn most(&self) -> f64 {
        self.greatest * (1.0 + 1e-12)
    }
}

/// The greatest loss of a pair, and its mass.
fn top(pair: Pair, mirrored: bool) -> (f64, f64) {
    let turned = |Node { p, q, d }: Node| if mirrored { Node { p: q, q: p, d: -d } } else { Node { p, q, d } };
    let atoms = || pair.atoms().into_iter().map(|atom| (turned(atom).loss(), turned(atom).p));
    match pair {
        Pair::Normal { rate, .. } if mirrored && rate < 1.0 => (-(-rate).ln_1p(), 0.0),
        Pair::Normal { .. } | Pair::Opposite { .. } | Pair::Crowd(_) | Pair::Subset(_) | Pair::Cut { .. } => {
            (f64::INFINITY, 0.0)
        }
        Pair::Laplace { .. } | Pair::Coin { .. } => {
            atoms().reduce(|a, b| if b.0 > a.0 { b } else { a }).unwrap_or((f64::INFINITY, 0.0))
        }
    }
}

/// Whether a run's losses are so smooth that inversion is worth while: hardly any is made of atoms alone, or of rounds that an
/// example was not in.
pub(super) fn smooth(pairs: &[(Pair, f64)], gaussian: f64) -> bool {
    let lump = |pair: Pair| match pair {
        Pair::Normal { rate, .. } | Pair::Opposite { rate, .. } | Pair::Cut { rate, .. } => 1.0 - rate,
        Pair::Crowd(crowd) => 1.0 - crowd.rate,
        Pair::Subset(subset) => 1.0 - subset.rate,
        Pair::Laplace { .. } | Pair::Coin { .. } => pair.atoms().iter().map(|atom| atom.p).sum::<f64>().min(1.0),
    };
    let without = pairs.iter().all(|(pair, _)| !pair.lumpy());
    without || gaussian > 0.0 || pairs.iter().map(|(pair, count)| count * lump(*pair).ln()).sum::<f64>() < LITTLE.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two coins and a Laplace release, at an epsilon between the greatest loss and the next: exactly.
    #[test]
    fn the_greatest_loss_says_what_delta_is() {
        let (coin, laplace) = (Pair::Coin { epsilon: 1.0 }, Pair::Laplace { rate: 1.0, z: 0.5 });
        let atoms = Atoms::new(&[(coin, 2.0), (laplace, 1.0)], false);
        let mass = (1.0 / (1.0 + (-1.0_f64).exp())).powi(2) * 0.5;
        for epsilon in [3.3, 3.8, 3.999] {
            let Ends { lower, upper } = atoms.ends(mass * -(epsilon - 4.0_f64).exp_m1());
            assert!(lower <= epsilon && lower > epsilon - 1e-8 && (upper - 4.0).abs() < 1e-11, "{lower} {upper}");
        }
        assert_eq!(atoms.ends(0.9).lower, 0.0);
        let sampled = Pair::Normal { rate: 0.5, z: 1.0 };
        let both = |mirrored| Atoms::new(&[(coin, 1.0), (sampled, 2.0)], mirrored).ends(1e-5);
        assert_eq!((both(false).upper, both(false).lower), (f64::INFINITY, 0.0));
        assert!((both(true).upper - 1.0 - 2.0 * 2.0_f64.ln()).abs() < 1e-11 && both(true).lower == 0.0);
    }

    #[test]
    fn the_other_direction_of_sampled_laplace_noise() {
        let pair = Pair::Laplace { rate: 0.2, z: 0.5 };
        let ends = |mirrored| Atoms::new(&[(pair, 3.0)], mirrored).ends(1e-9);
        assert!((ends(false).upper - 3.0 * (0.2 * 2.0_f64.exp_m1()).ln_1p()).abs() < 1e-11);
        assert!((ends(true).upper + 3.0 * (0.2 * (-2.0_f64).exp_m1()).ln_1p()).abs() < 1e-11);
        assert!(ends(false).lower > 0.999 * ends(false).upper && ends(true).lower > 0.999 * ends(true).upper);
    }
}
