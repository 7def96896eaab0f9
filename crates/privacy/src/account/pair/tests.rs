//! Pairs by themselves: masses, places, total variation.

use super::*;
use crate::account::fixed_size::Side;

const PAIRS: [Pair; 10] = [
    Pair::Subset(Subset { rate: 0.2, z: 0.7, side: Side::Both }),
    Pair::Subset(Subset { rate: 1e-4, z: 3.0, side: Side::Both }),
    Pair::Normal { rate: 0.01, z: 1.0 },
    Pair::Normal { rate: 1.0, z: 0.7 },
    Pair::Normal { rate: 1e-6, z: 10.0 },
    Pair::Opposite { rate: 0.3, z: 0.5 },
    Pair::Opposite { rate: 1e-4, z: 3.0 },
    Pair::Laplace { rate: 1.0, z: 2.0 },
    Pair::Laplace { rate: 0.2, z: 0.5 },
    Pair::Coin { epsilon: 1.5 },
];

#[test]
fn both_distributions_have_mass_one() {
    for pair in PAIRS {
        let (from, to) = pair.span(1e-18);
        let n = 200_000;
        let step = (to - from) / f64::from(n);
        let nodes = (0..n).map(|k| pair.at(from + (f64::from(k) + 0.5) * step));
        let (mut p, mut q) = nodes.fold((0.0, 0.0), |(p, q), node| (p + step * node.p, q + step * node.q));
        for atom in pair.atoms() {
            (p, q) = (p + atom.p, q + atom.q);
            assert!((atom.p - atom.q - atom.d).abs() < 1e-15);
        }
        assert!((p - 1.0).abs() < 1e-9 && (q - 1.0).abs() < 1e-9, "{pair:?}: {p} {q}");
    }
}

#[test]
fn the_place_of_a_loss_has_that_loss() {
    for pair in &PAIRS[..9] {
        let (from, to) = pair.span(1e-18);
        for k in 0..=100 {
            let u = from + (to - from) * f64::from(k) / 100.0;
            let node = pair.at(u);
            assert!((node.p - node.q - node.d).abs() <= 1e-14 * node.p.max(node.q), "{pair:?} {u}");
            let back = pair.at(pair.place(node.loss()).clamp(from - 1.0, to + 1.0)).loss();
            assert!((back - node.loss()).abs() <= 1e-12 * (1.0 + back.abs()), "{pair:?} {u}: {back}");
        }
    }
}

#[test]
fn total_variation_is_the_divergence_at_zero() {
    let crowd = |size| Pair::Crowd(Crowd { rate: 0.01, z: 5.0, size });
    for (pair, slack) in PAIRS.into_iter().map(|pair| (pair, 1e-11)).chain([(crowd(1), 1e-11), (crowd(4), 0.01)]) {
        let (got, want) = (pair.total_variation(), crate::account::pld::divergence(pair, false, 0.0, 1e-30));
        assert!(got >= want * (1.0 - 1e-11) && got <= want * (1.0 + slack), "{pair:?}: {got} {want}");
    }
    assert_eq!(Pair::Normal { rate: 0.1, z: 1e-300 }.total_variation(), 0.1);
}

#[test]
fn what_has_no_pair_says_why() {
    let round = |rate, release| Event::Round { sampling: Sampling::Poisson { rate }, releases: vec![release] };
    let laplace = Event::Laplace { noise_multiplier: 1.0 };
    assert!(pair(&round(0.5, laplace.clone()), Neighbouring::ReplaceOne).is_err());
    assert!(pair(&round(0.5, laplace), Neighbouring::AddRemove).is_ok());
    assert!(pair(&Event::RandomisedResponse { epsilon: f64::NAN }, Neighbouring::AddRemove).is_err());
    assert_eq!(pair(&Event::Exponential { epsilon: 0.0 }, Neighbouring::AddRemove), Ok(Cost::Free));
    let shuffled = Event::Round {
        sampling: Sampling::Shuffled { batches: 10 },
        releases: vec![Event::Gaussian { noise_multiplier: 1.0 }],
    };
    assert!(pair(&shuffled, Neighbouring::AddRemove).is_err());
}
