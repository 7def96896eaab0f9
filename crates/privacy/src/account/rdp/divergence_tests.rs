//! The divergence against closed forms, reference values and its own claims.

use super::*;
use Neighbouring::{AddRemove, ReplaceOne};

/// Orders of the table below.
const ORDERS: [f64; 9] = [1.25, 1.5, 2.0, 2.5, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Rate, noise multiplier, and the divergence at each order, to eight digits, by adaptive quadrature.
#[rustfmt::skip]
const TABLE: [(f64, f64, [f64; 9]); 4] = [
    (0.01, 1.0, [1.053980047e-4, 1.272537435e-4, 1.718134221e-4, 2.175753323e-4, 3.631540489e-4, 8.936439076e-4, 3.087850784, 11.24627594, 27.32173187]),
    (0.01, 0.8, [2.241862113e-4, 2.733106999e-4, 3.770022439e-4, 4.894537157e-4, 9.191744524e-4, 0.9891527691, 7.587818475, 20.24627594, 45.32173187]),
    (0.1, 2.0, [1.737654849e-3, 2.098934596e-3, 2.836228266e-3, 3.594077199e-3, 6.003282964e-3, 0.0137254301, 0.04529183908, 1.627202301, 5.660867258]),
    (0.08192, 3.0, [4.893888502e-4, 5.885896968e-4, 7.883462935e-4, 9.899368931e-4, 1.606055532e-3, 3.338898575e-3, 7.278970753e-3, 0.01835469301, 1.024575423]),
];
/// Noise multiplier, rate, order, divergence: to 16 digits, from 50-digit quadrature.
const EXTRACT: &[(f64, f64, f64, f64)] = &[
    (0.5, 0.001, 1.25, 2.785725830011297e-05),
    (0.5, 0.001, 2.5, 8.365779777209387e-05),
    (0.5, 0.001, 8.0, 8.105422539095557),
    (0.5, 0.001, 256.0, 505.0651554846297),
    (0.3, 0.1, 1.25, 0.7693316572923335),
    (0.3, 0.1, 2.5, 10.051248087777445),
    (0.3, 0.1, 8.0, 41.812918623879824),
    (0.3, 0.1, 256.0, 1419.9106073837656),
    (1.5, 0.9, 1.25, 0.227669341384287),
    (1.5, 0.9, 2.5, 0.4744885129196764),
    (1.5, 0.9, 8.0, 1.663064529628222),
    (1.5, 0.9, 256.0, 56.783115194738286),
    (50.0, 0.01, 1.25, 2.5004925877514295e-08),
    (50.0, 0.01, 2.5, 5.0010099385744334e-08),
    (50.0, 0.01, 8.0, 1.6003580479886774e-07),
    (50.0, 0.01, 256.0, 5.1261835682263855e-06),
    (50.0, 1e-05, 1.25, 2.500500059169358e-14),
    (50.0, 1e-05, 2.5, 5.0010001433518037e-14),
    (50.0, 1e-05, 8.0, 1.6003200810910054e-13),
    (50.0, 1e-05, 256.0, 5.1210293411971315e-12),
];

fn pair(noise_multiplier: f64, rate: f64, neighbouring: Neighbouring) -> Pair {
    Pair { rate, noise_multiplier, neighbouring }
}

fn divergence(z: f64, rate: f64, order: f64) -> f64 {
    pair(z, rate, AddRemove).divergence(order)
}

fn relative(got: f64, want: f64) -> f64 {
    ((got - want) / want).abs()
}

#[test]
fn the_published_table_is_met() {
    for (rate, z, row) in TABLE {
        for (order, want) in ORDERS.into_iter().zip(row) {
            let got = divergence(z, rate, order);
            assert!(relative(got, want) < 1e-8, "q {rate} z {z} order {order}: {got} against {want}");
        }
    }
    for &(z, rate, order, want) in EXTRACT {
        let got = divergence(z, rate, order);
        assert!(relative(got, want) < 1e-11, "q {rate} z {z} order {order}: {got} against {want}");
    }
}

#[test]
fn reference_divergences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/reference/accounting.json");
    let Ok(text) = std::fs::read_to_string(path) else {
        eprintln!("skipped: no reference table at {path}");
        return;
    };
    let table: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut worst = 0.0_f64;
    for case in table["rdp_values"].as_array().unwrap() {
        let number = |key: &str| case[key].as_f64().unwrap();
        let (z, rate, order, want) =
            (number("noise_multiplier"), number("sample_rate"), number("order"), number("rdp"));
        if rate == 1.0 {
            continue;
        }
        let got = divergence(z, rate, order);
        worst = worst.max(relative(got, want));
        assert!(relative(got, want) < 1e-11, "q {rate} z {z} order {order}: {got} against {want}");
        // The direction that is charged is the larger one.
        assert!(case["rdp_add_direction"].as_f64().is_none_or(|add| add <= got * (1.0 + 1e-12)));
    }
    eprintln!("worst relative error of the divergence {worst:e}");
}

/// `A` at an integer order: a sum of positive terms over how often the example was counted (Mironov, Talwar & Zhang 2019,
/// Section 3.3), less 1.
fn closed_form(z: f64, q: f64, order: u32) -> f64 {
    let (mut binomial, mut excess) = (1.0, 0.0);
    for k in 0..=order {
        let kf = f64::from(k);
        if k > 0 {
            binomial *= f64::from(order - k + 1) / kf;
        }
        excess += binomial
            * q.powi(k as i32)
            * (1.0 - q).powi((order - k) as i32)
            * (kf * (kf - 1.0) / (2.0 * z * z)).exp_m1();
    }
    excess
}

#[test]
fn integer_orders_have_a_closed_form() {
    for (z, q) in [(0.5, 0.3), (1.0, 0.999), (1.0, 1e-4), (3.0, 0.05), (30.0, 0.6), (300.0, 1e-3), (1000.0, 1e-7)] {
        for order in [2, 3, 5, 9, 12] {
            let want = closed_form(z, q, order).ln_1p() / f64::from(order - 1);
            let got = divergence(z, q, f64::from(order));
            assert!(relative(got, want) < 1e-11, "q {q} z {z} order {order}: {got} against {want}");
        }
    }
}

#[test]
fn divergences_stay_finite_and_between_their_bounds() {
    for z in [0.005, 0.05, 0.1, 0.3, 1.0, 10.0, 1000.0] {
        for q in [1e-7, 1e-3, 0.5, 0.999_999] {
            for order in [1.000_001, 1.1, 2.0, 17.3, 1e3, 1e6] {
                for neighbouring in [AddRemove, ReplaceOne] {
                    let pair = pair(z, q, neighbouring);
                    let got = pair.divergence(order);
                    let slack = 1.0 + 1e-9;
                    assert!(got.is_finite() && got >= 0.0, "{pair:?} order {order}: {got}");
                    assert!(got <= pair.by_convexity(order) * slack, "{pair:?} order {order}: above its bound");
                    assert!(pair.at_least(order) <= got * slack, "{pair:?} order {order}: below its bound");
                }
            }
        }
    }
}

#[test]
fn mixtures_keep_what_little_is_left() {
    for y in [-800.0, -40.0, -1.5, 0.0, 2.0, 40.0, 800.0] {
        assert_eq!(log_mixture(1.0, y), y);
        let got = log_mixture(1.0 - 2f64.powi(-40), y);
        // Below: 2^-40 alone is left, or that and e^-40, or e^-1.5.
        let want = if y < -40.0 { -40.0 * std::f64::consts::LN_2 } else { (2f64.powi(-40) + y.min(50.0).exp()).ln() };
        let want = if y > 30.0 { y } else { want };
        assert!((got - want).abs() < 1e-11, "{y}: {got} {want}");
    }
    assert!(relative(log_mixture(1e-9, -5.0), -9.932_620_535e-10) < 1e-6);
}

/// Rates so small that squares vanish cost nothing, whatever the rounding: not what convexity says.
#[test]
fn tiny_rates_are_integrated() {
    for neighbouring in [AddRemove, ReplaceOne] {
        for order in [1.5, 10.0, 90.0, 100.0, 133.3, 250.0] {
            for rate in [1e-300, 1.0115284245735674e-300, 1e-200, 1e-150] {
                let got = pair(1.18, rate, neighbouring).divergence(order);
                assert!(got < 1e-200, "{neighbouring} order {order} rate {rate}: {got}");
            }
        }
    }
}

#[test]
fn divergences_grow_with_the_order() {
    for (z, q) in [(0.4, 0.01), (1.0, 1e-5), (4.0, 0.3)] {
        for neighbouring in [AddRemove, ReplaceOne] {
            let at = |k: i32| pair(z, q, neighbouring).divergence(1.0 + 1.3f64.powi(k));
            for k in -20..20 {
                assert!(at(k) <= at(k + 1) * (1.0 + 1e-12), "{neighbouring} z {z} q {q} k {k}");
            }
        }
    }
}

/// The Rényi divergence of `(1-q) N(0) + q N(v)` from `(1-q) N(0) + q N(w)` in the plane, by plain summation.
fn in_the_plane(z: f64, q: f64, order: f64, v: [f64; 2], w: [f64; 2]) -> f64 {
    let step = 0.1;
    let mut sum = 0.0;
    for (i, j) in (-160..=160).flat_map(|i| (-160..=160).map(move |j| (i, j))) {
        let x = [f64::from(i) * step, f64::from(j) * step];
        let mixture = |v: [f64; 2]| {
            let y = (x[0] * v[0] + x[1] * v[1]) / z - (v[0] * v[0] + v[1] * v[1]) / (2.0 * z * z);
            log_mixture(q, y)
        };
        let (p, r) = (mixture(v), mixture(w));
        sum += (-0.5 * (x[0] * x[0] + x[1] * x[1]) + order * p + (1.0 - order) * r).exp();
    }
    (sum * step * step / (2.0 * PI)).ln() / (order - 1.0)
}

#[test]
fn opposite_shares_are_the_worst_replacement() {
    for (z, q, order) in [(0.5, 0.1, 3.0), (1.0, 0.5, 5.0), (0.3, 0.01, 1.7)] {
        let worst = pair(z, q, ReplaceOne).divergence(order);
        for length in [0.1, 0.3, 0.5] {
            for other in [0.0, 0.2, 0.5] {
                for angle in [0.0, 0.5, 1.5, 2.5, PI] {
                    let (v, w): ([f64; 2], [f64; 2]) = ([length, 0.0], [other * angle.cos(), other * angle.sin()]);
                    let got = in_the_plane(z, q, order, v, w);
                    assert!(got <= worst * (1.0 + 1e-9), "z {z} q {q}: {v:?} {w:?}: {got} above {worst}");
                }
            }
        }
        let opposite = in_the_plane(z, q, order, [0.5, 0.0], [-0.5, 0.0]);
        assert!(relative(opposite, worst) < 1e-8, "z {z} q {q}: {opposite} against {worst}");
    }
}
