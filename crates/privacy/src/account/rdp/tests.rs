//! Properties of the Rényi accountant.

use super::*;
use crate::{Ledger, Sampling};
use proptest::prelude::*;

fn spent(neighbouring: Neighbouring, z: f64, rate: f64, steps: u64, delta: f64) -> f64 {
    let releases = vec![Event::Gaussian { noise_multiplier: z }];
    let round = Event::Round { sampling: Sampling::Poisson { rate }, releases };
    Rdp.spent(&Ledger::planned(neighbouring, vec![(round, steps)]), delta).unwrap()
}

fn relation() -> impl Strategy<Value = Neighbouring> {
    prop_oneof![Just(Neighbouring::AddRemove), Just(Neighbouring::ReplaceOne)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn more_costs_more(
        relation in relation(),
        (log_z, log_q) in (-1.0..3.0, -7.0..0.0),
        (log_steps, log_delta) in (0.0..7.0, -12.0..-1.0),
        grow in 1.01f64..3.0,
    ) {
        let (z, q): (f64, f64) = (10f64.powf(log_z), 10f64.powf(log_q));
        let (steps, delta): (f64, f64) = (10f64.powf(log_steps).ceil(), 10f64.powf(log_delta));
        let at = |z: f64, q: f64, steps: f64, delta: f64| spent(relation, z, q.min(1.0), steps as u64, delta);
        let epsilon = at(z, q, steps, delta);
        prop_assert!(epsilon.is_finite() && epsilon >= 0.0);
        let slack = epsilon * (1.0 + 1e-7) + 1e-12;
        prop_assert!(at(z * grow, q, steps, delta) <= slack, "more noise");
        prop_assert!(at(z, q / grow, steps, delta) <= slack, "fewer examples");
        prop_assert!(at(z, q, (steps / grow).floor(), delta) <= slack, "fewer steps");
        prop_assert!(at(z, q, steps, (delta * grow).min(0.5)) <= slack, "larger delta");
    }

    #[test]
    fn order_of_phases_does_not_matter(z in 0.5..3.0, w in 0.5..3.0, q in 0.001..0.2, a in 1u64..500, b in 1u64..500) {
        let part = |z: f64, n: u64| {
            let pair = Pair { rate: q, noise_multiplier: z, neighbouring: Neighbouring::AddRemove };
            RdpCurve::piece(Piece::Sampled(pair)).times(n)
        };
        let (one, other) = (part(z, a).plus(part(w, b)), part(w, b).plus(part(z, a)));
        prop_assert!((Rdp.epsilon(&one, 1e-5).epsilon - Rdp.epsilon(&other, 1e-5).epsilon).abs() < 1e-9);
    }
}

#[test]
fn replacing_costs_more_than_removing_half_as_far() {
    // At one bound, replace-one doubles the sensitivity.
    for (z, q, steps) in [(1.0, 0.01, 1000), (3.0, 0.2, 100), (0.8, 0.001, 5000)] {
        let remove = spent(Neighbouring::AddRemove, z, q, steps, 1e-5);
        let replace = spent(Neighbouring::ReplaceOne, z / 2.0, q, steps, 1e-5);
        assert!(replace > remove, "z {z} q {q}: {replace} against {remove}");
    }
}

#[test]
fn equal_rounds_are_one_part_of_the_curve() {
    let event = |z| Event::Round {
        sampling: Sampling::Poisson { rate: 0.1 },
        releases: vec![Event::Gaussian { noise_multiplier: z }],
    };
    let price = |z| Rdp.price(&event(z), Neighbouring::AddRemove).unwrap();
    let curve = (0..100).fold(RdpCurve::default(), |curve, k| curve.plus(price(f64::from(k % 2 + 1))));
    assert_eq!(curve.parts.len(), 2);
    assert_eq!(curve.parts[0].count, 50.0);
}

/// Where every draw is cut, the chance of that rounds to one, and at some orders a whole draw would cost far more than one
/// that is cut: that once made the moment zero, and everything free.
#[test]
fn draws_that_are_always_cut_are_not_free() {
    for relation in [Neighbouring::AddRemove, Neighbouring::ReplaceOne] {
        let mut before = 0.0;
        for z in [40.0, 12.0, 6.7, 3.0, 1.0] {
            let sampling = Sampling::TruncatedPoisson { rate: 0.55, examples: 3137, cap: 474 };
            let round = Event::Round { sampling, releases: vec![Event::Gaussian { noise_multiplier: z }] };
            let curve = Rdp.price(&round, relation).unwrap();
            // Opposite shares at the rate of those that are kept.
            let kept = Pair {
                rate: 474.0 / 3137.0,
                noise_multiplier: z * relation.factor() / 4.0,
                neighbouring: Neighbouring::ReplaceOne,
            };
            for order in [1.1, 3.0, 30.0, 140.0, 300.0, 1e4] {
                let share = curve.divergence(order) / kept.divergence(order);
                assert!((share - 1.0).abs() < 1e-6, "{relation} {z} {order}: {share}");
            }
            let epsilon = Rdp.epsilon(&curve.times(26), 4.7e-10).epsilon;
            assert!(epsilon > before, "{relation} {z}: {epsilon}");
            before = epsilon;
        }
    }
}

/// Once off by half at orders next to 1, where logarithms of what is next to 1 were rounded.
#[test]
fn divergences_at_tiny_rates_hardly_change_next_to_order_one() {
    let releases = vec![Event::Gaussian { noise_multiplier: 0.6334 }];
    let round = Event::Round { sampling: Sampling::Poisson { rate: 1e-12 }, releases };
    let curve = Rdp.curve(&Ledger::planned(Neighbouring::AddRemove, vec![(round, 1759)])).unwrap();
    let (near, far) = (curve.divergence(1.0 + 1e-6), curve.divergence(1.0 + 1e-3));
    assert!(near <= far && near > 0.99 * far, "{near:e} {far:e}");
}
