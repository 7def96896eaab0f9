//! That normals are normal.

use super::*;
use crate::{
    Key, Purpose,
    random::law::{distribution, kolmogorov},
};
use std::f64::consts::SQRT_2;

fn sample(count: usize) -> Vec<f64> {
    let mut out = vec![0.0; count];
    Key::from_seed(2024).stream(Purpose::Noise, 0, 0).fill_normal_f64(0, &mut out);
    out
}

#[test]
fn normals_pass_kolmogorov_and_smirnov() {
    let distance = kolmogorov(sample(200_000), distribution);
    assert!(distance < 1.95, "sqrt(n) D = {distance}");
}

#[test]
fn the_first_four_moments_are_right() {
    // Each mean is normal to good accuracy: 4.5 standard errors are exceeded with probability 7e-6; the seed is fixed.
    let sample = sample(1_000_000);
    let n = sample.len() as f64;
    for (power, mean, variance) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0_f64)] {
        let got = sample.iter().map(|x| x.powi(power)).sum::<f64>() / n;
        let errors = (got - mean).abs() / (variance / n).sqrt();
        assert!(errors < 4.5, "moment {power}: {got}, {errors} standard errors away");
    }
}

#[test]
fn neighbours_are_uncorrelated() {
    let sample = sample(1_000_000);
    for lag in [1, 2, 3, 16, 256] {
        let pairs = sample.iter().zip(&sample[lag..]);
        let correlation = pairs.map(|(a, b)| a * b).sum::<f64>() / 1e6;
        let squares = sample.iter().zip(&sample[lag..]).map(|(a, b)| (a * a - 1.0) * (b * b - 1.0)).sum::<f64>() / 1e6;
        assert!(correlation.abs() < 4.5e-3 && squares.abs() < 9e-3, "lag {lag}: {correlation} {squares}");
    }
}

#[test]
fn tails_reach_beyond_eight() {
    let [x, y] = pair_of_normals([0, 0]);
    assert!(x > 8.57 && x < 8.58 && y == 0.0);
    // The uniform 1 has radius 0, and no infinity or negative square root.
    assert!(pair_of_normals([u64::MAX, 1 << 63]).iter().all(|x| *x == 0.0));
    // Of 4e6 normals, 2.3e-4 * n + 5.7e-7 * n = about 253 and 2.3 exceed 4 and 5.
    let beyond = |t: f64| sample(4_000_000).iter().filter(|x| x.abs() > t).count();
    assert!((180..330).contains(&beyond(4.0)), "{}", beyond(4.0));
    assert!((0..12).contains(&beyond(5.0)));
}

#[test]
fn radius_and_circle_are_exact_to_rounding() {
    let right = |word: u64| {
        let u = uniform(word) + 2f64.powi(-53);
        let (got, want) = (square_of_radius(word), -2.0 * u.ln());
        assert!((got - want).abs() <= 4.0 * f64::EPSILON * want, "-2 ln {u} is {want}, not {got}");
        let [cos, sin] = circle(word);
        let angle = 2.0 * std::f64::consts::PI * uniform(word);
        assert!((cos - angle.cos()).abs() < 1e-15 && (sin - angle.sin()).abs() < 1e-15, "{word:#x}");
    };
    let stream = Key::from_seed(4).stream(Purpose::Audit, 0, 0);
    (0..100_000).for_each(|index| right(stream.word(index)));
    // Both ends, powers of two and the root of one half, where exponent and mantissa change; eighths of the circle.
    let edges = (0..64).map(|k| 1u64 << k).chain([0, (2f64.powi(53) / SQRT_2) as u64 * (1 << 11)]);
    let eighths = (0..8).map(|k: u64| k << 61);
    for edge in edges.chain(eighths) {
        [-4096i64, -2048, -1, 0, 1, 2048, 4096].into_iter().for_each(|step| right(edge.wrapping_add_signed(step)));
    }
    let turned = |quarter: u64| circle(quarter << 62);
    assert_eq!([0, 1, 2, 3].map(turned), [[1.0, 0.0], [-0.0, 1.0], [-1.0, -0.0], [0.0, -1.0]]);
}

#[test]
fn every_choice_of_instructions_gives_the_same_normals() {
    // One by one nothing is vectorised; together the widest instructions of this processor are used.
    let stream = Key::from_seed(11).stream(Purpose::Noise, 3, 0);
    let mut words = vec![0; 1002];
    stream.fill_words(0, &mut words);
    // Quarters of the circle, where the reduction changes, and the ends of both uniforms.
    words.extend((0..=16).flat_map(|k: u64| [u64::MAX - k, (k << 60).wrapping_sub(1 << 11)]));
    words.extend((0..16).flat_map(|k: u64| [k << 11, k << 60]));
    let mut together = vec![0.0; words.len()];
    box_muller(&words, &mut together);
    let single: Vec<f64> = words.as_chunks().0.iter().flat_map(|pair| pair_of_normals(*pair)).collect();
    assert!(together.iter().zip(&single).all(|(a, b)| a.to_bits() == b.to_bits()));
}

/// In quarters as `k_sin.c` and `k_cos.c` are told of them: what is left is at most an eighth of a turn.
#[test]
fn quarters_are_those_of_the_turns() {
    let stream = Key::from_seed(12).stream(Purpose::Noise, 0, 0);
    let edges = (0..8u64).flat_map(|k| [-2048i64, 0, 2048].map(|step| (k << 61).wrapping_add_signed(step)));
    for word in (0..10_000).map(|index| stream.word(index)).chain(edges) {
        let turns = uniform(word);
        let quarter = (4.0 * turns + 0.5) as i32;
        let x = (4.0 * turns - f64::from(quarter)) * FRAC_PI_2;
        let [cos, sin] = circle(word);
        let upright = [[cos, sin], [sin, -cos], [-cos, -sin], [-sin, cos]][quarter as usize % 4];
        assert!((upright[0] - x.cos()).abs() < 1e-15 && (upright[1] - x.sin()).abs() < 1e-15, "{turns}");
        assert!(upright[0] >= 0.7 && upright[1].abs() <= 0.7072, "{turns}");
    }
}
