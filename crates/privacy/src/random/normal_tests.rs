//! That normals are normal.

use super::*;
use crate::{Key, Purpose};
use statrs::function::erf::erfc;

fn sample(count: usize) -> Vec<f64> {
    let mut out = vec![0.0; count];
    Key::from_seed(2024).stream(Purpose::Noise, 0, 0).fill_normal_f64(0, &mut out);
    out
}

/// The standard normal distribution function.
fn distribution(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

#[test]
fn normals_pass_kolmogorov_and_smirnov() {
    // sqrt(n) D exceeds 1.95 with probability 1e-3 for true normals; the seed is fixed.
    let mut sample = sample(200_000);
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let gap = |(i, x): (usize, &f64)| {
        let f = distribution(*x);
        (f - i as f64 / n).abs().max(((i + 1) as f64 / n - f).abs())
    };
    let distance = sample.iter().enumerate().map(gap).fold(0.0, f64::max);
    assert!(n.sqrt() * distance < 1.95, "sqrt(n) D = {}", n.sqrt() * distance);
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
fn logarithm_and_circle_are_exact_to_rounding() {
    let stream = Key::from_seed(4).stream(Purpose::Audit, 0, 0);
    for index in 0..100_000 {
        let turns = stream.uniform(index);
        let u = turns + 2f64.powi(-53);
        assert!((ln(u) - u.ln()).abs() <= 2.0 * f64::EPSILON * u.ln().abs(), "ln {u}");
        let [cos, sin] = cos_sin_turns(turns);
        let angle = 2.0 * std::f64::consts::PI * turns;
        assert!((cos - angle.cos()).abs() < 1e-15 && (sin - angle.sin()).abs() < 1e-15, "{turns} turns");
    }
    for u in [1.0, 2f64.powi(-53), 0.5, 0.75, SQRT_2 / 2.0] {
        assert!((ln(u) - u.ln()).abs() <= 2.0 * f64::EPSILON * u.ln().abs());
    }
    assert_eq!([cos_sin_turns(0.0), cos_sin_turns(0.5)], [[1.0, 0.0], [-1.0, -0.0]]);
    assert_eq!([cos_sin_turns(0.25), cos_sin_turns(0.75)], [[-0.0, 1.0], [0.0, -1.0]]);
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

#[test]
fn the_branch_free_forms_are_the_plain_ones() {
    let stream = Key::from_seed(12).stream(Purpose::Noise, 0, 0);
    let edges =
        (0..8).flat_map(|k| [-1, 0, 1].map(|step| (f64::from(k) / 8.0 + f64::from(step) * 2f64.powi(-53)).abs()));
    for turns in (0..10_000).map(|index| stream.uniform(index)).chain(edges) {
        let quarter = (4.0 * turns + 0.5) as i32;
        let x = (4.0 * turns - f64::from(quarter)) * FRAC_PI_2;
        let [cos, sin] = cos_sin_turns(turns);
        let upright = [[cos, sin], [sin, -cos], [-cos, -sin], [-sin, cos]][quarter as usize % 4];
        assert!((upright[0] - x.cos()).abs() < 1e-15 && (upright[1] - x.sin()).abs() < 1e-15, "{turns}");
        assert!(upright[0] >= 0.7 && upright[1].abs() <= 0.7072, "{turns}");
    }
}
