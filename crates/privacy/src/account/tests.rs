//! What is written once for all accountants.

use super::*;

fn gaussian(z: f64) -> Event {
    Event::Gaussian { noise_multiplier: z }
}

#[test]
fn releases_of_one_draw_are_joint() {
    let round = |zs: &[f64]| Event::Round {
        sampling: Sampling::Poisson { rate: 256.0 / 60000.0 },
        releases: zs.iter().map(|z| gaussian(*z)).collect(),
    };
    let spent = |zs: &[f64]| {
        let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round(zs), 14_100)]);
        Rdp.spent(&ledger, 1e-6).unwrap()
    };
    // With integer orders alone these are 6.878 and 5.654, a little more; pricing the two releases of the first one by
    // one would give 5.790.
    for (zs, integer_orders) in [([0.8, 2.0], 6.878), ([0.8, 10.0], 5.654)] {
        let epsilon = spent(&zs);
        assert!(epsilon < integer_orders && epsilon > integer_orders - 0.05, "{zs:?}: {epsilon}");
    }
    assert_eq!(spent(&[0.8, 2.0]), spent(&[2.0, 0.8]));
}

#[test]
fn joint_multipliers_neither_overflow_nor_vanish() {
    let of = |zs: &[f64]| joint(&zs.iter().map(|z| gaussian(*z)).collect::<Vec<_>>()).unwrap();
    assert_eq!(of(&[3.0]), 3.0);
    assert_eq!(of(&[]), f64::INFINITY);
    assert_eq!(of(&[1.0, 0.0]), 0.0);
    assert!((of(&[1e-200, 1e-200]) / 1e-200 - 0.5f64.sqrt()).abs() < 1e-12);
    assert!((of(&[1e200, 1e200]) / 1e200 - 0.5f64.sqrt()).abs() < 1e-12);
    assert!((of(&[1.0, 2.0]) - 0.8f64.sqrt()).abs() < 1e-12);
}

#[test]
fn unknown_names_are_not_accountants() {
    assert!(by_name("moments").is_none() && help("moments").is_none());
    assert!(names().contains(&"rdp") && names().iter().all(|name| by_name(name).is_some()));
}
