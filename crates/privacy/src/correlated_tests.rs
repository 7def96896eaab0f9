//! Correlated noise: worked numbers, covariances, live nodes, restarts.

use super::*;
use crate::{Key, Purpose};
use std::collections::HashMap;

/// Normals written down beforehand, for lane 0 of steps 0, 1, ...
fn scripted(z: Vec<f64>) -> White<f64> {
    let key = Key::from_seed(1);
    let step: HashMap<u64, usize> =
        (0..z.len()).map(|t| (key.stream(Purpose::Season, t as u64, 0).word(0), t)).collect();
    Box::new(move |stream, _| z[step[&stream.word(0)]])
}

fn normals() -> White<f64> {
    Box::new(|stream, _| stream.normal(0))
}

/// The noise of these steps.
fn noise(mechanism: &mut Correlated<f64>, seed: u64, steps: std::ops::Range<u64>) -> Vec<f64> {
    let key = Key::from_seed(seed);
    steps.map(|step| mechanism.unit(&Source::first(&key, step), 0.0)).collect()
}

#[test]
fn worked_numbers_of_a_banded_inverse() {
    let strategy = Strategy::banded(3, 6, 2, 3);
    let mut banded = Correlated::new(strategy, 1.0, 0, scripted(vec![1.0, -1.0, 2.0, 0.5, 0.0, 1.0]));
    let want = [1.17924764, -1.76887146, 2.80071315, -0.14740596, -0.97656445, 1.7228071];
    for (got, want) in noise(&mut banded, 1, 0..6).into_iter().zip(want) {
        assert!((got - want).abs() < 1e-7, "{got} {want}");
    }
    // All coefficients: those of the inverse are 1, -1/2, -1/8, -1/16, ... (over the norm that the columns were scaled by).
    let impulse = vec![1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
    let raw = vec![1.0, 0.5, 0.375, 0.3125, 0.2734375, 0.24609375];
    let full = Strategy::Toeplitz { coefficients: raw, rounds: 6, participations: 1, separation: 6 };
    let got = noise(&mut Correlated::new(full, 1.0, 0, scripted(impulse)), 1, 0..6);
    assert_eq!(got, [1.0, -0.5, -0.125, -0.0625, -0.0390625, -0.02734375]);
}

/// `C^-1 C^-T` of a lower triangular Toeplitz matrix, by forward substitution on dense columns.
fn covariance(c: &[f64], n: usize) -> Vec<Vec<f64>> {
    let entry = |i: usize, j: usize| if i >= j && i - j < c.len() { c[i - j] } else { 0.0 };
    // Column `k` of the inverse, from the top down.
    let column = |k: usize| {
        (0..n).fold(Vec::with_capacity(n), |mut column: Vec<f64>, i| {
            let known: f64 = column.iter().enumerate().map(|(j, x)| entry(i, j) * x).sum();
            column.push((f64::from(u8::from(i == k)) - known) / entry(i, i));
            column
        })
    };
    let columns: Vec<Vec<f64>> = (0..n).map(column).collect();
    (0..n).map(|i| (0..n).map(|j| columns.iter().map(|c| c[i] * c[j]).sum()).collect()).collect()
}

fn measured(make: impl Fn() -> Correlated<f64>, n: usize, keys: u64) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; n]; n];
    for seed in 0..keys {
        let x = noise(&mut make(), seed, 0..n as u64);
        (0..n).for_each(|i| (0..n).for_each(|j| sums[i][j] += x[i] * x[j]));
    }
    sums.into_iter().map(|row| row.into_iter().map(|x| x / keys as f64).collect()).collect()
}

/// Each entry within five standard errors: the mean of `keys` products of normals of this covariance. The seeds are fixed;
/// other seeds would fail once in some thousand times.
fn agree(got: &[Vec<f64>], want: &[Vec<f64>], keys: u64) {
    for i in 0..want.len() {
        for j in 0..want.len() {
            let error = ((want[i][i] * want[j][j] + want[i][j].powi(2)) / keys as f64).sqrt();
            assert!((got[i][j] - want[i][j]).abs() <= 5.0 * error, "{i} {j}: {} {}", got[i][j], want[i][j]);
        }
    }
}

#[test]
fn toeplitz_noise_has_the_covariance_of_the_inverse() {
    for bands in [1, 2, 4, 8] {
        let Strategy::Toeplitz { coefficients, .. } = Strategy::banded(bands, 8, 1, 8) else { unreachable!() };
        let make = || Correlated::new(Strategy::banded(bands, 8, 1, 8), 1.0, 0, normals());
        agree(&measured(make, 8, 4000), &covariance(&coefficients, 8), 4000);
    }
}

/// How the rounds of a tree of so many leaves cover prefixes: live nodes (end, height) after each round.
fn live(count: u64) -> Vec<(u64, u32)> {
    (0..64).filter(|h| count >> h & 1 == 1).map(|h| (count >> h << h, h)).collect()
}

#[test]
fn the_noise_of_a_prefix_is_that_of_its_live_nodes() {
    let strategy = Strategy::TreeOfEpochs { batches: 5, epochs: 9, completed: false };
    let key = Key::from_seed(4);
    let mut prefix = 0.0;
    for (t, x) in noise(&mut Correlated::new(strategy, 1.0, 7, normals()), 4, 7..52).into_iter().enumerate() {
        prefix += x;
        let nodes = live(t as u64 + 1);
        let want: f64 = nodes.iter().map(|(end, h)| key.stream(Purpose::Season, 6 + end, *h as u8).normal(0)).sum();
        assert!((prefix - want).abs() < 1e-12, "{t}: {prefix} {want}");
    }
}

#[test]
fn reduced_trees_have_the_published_variance() {
    let tree = || Correlated::new(Strategy::Tree { rounds: vec![16], epochs: 1 }, 1.0, 0, normals()).reduced();
    let mut squares = [0.0; 16];
    for seed in 0..4000 {
        let mut prefix = 0.0;
        for (t, x) in noise(&mut tree(), seed, 0..16).into_iter().enumerate() {
            prefix += x;
            squares[t] += prefix * prefix / 4000.0;
        }
    }
    for (t, got) in squares.into_iter().enumerate() {
        let want: f64 = live(t as u64 + 1).iter().map(|(_, h)| 1.0 / (2.0 - 0.5_f64.powi(*h as i32))).sum();
        assert!((got / want - 1.0).abs() < 5.0 * (2.0 / 4000.0_f64).sqrt(), "{t}: {got} {want}");
    }
}

#[test]
fn trees_that_start_afresh_share_nothing() {
    let strategy = || Strategy::Tree { rounds: vec![3, 2], epochs: 2 };
    let covariance = measured(|| Correlated::new(strategy(), 1.0, 0, normals()), 10, 4000);
    let tree = |t: usize| [0, 0, 0, 1, 1, 2, 2, 2, 3, 3][t];
    for i in 0..10 {
        for j in (0..10).filter(|j| tree(*j) != tree(i)) {
            let error = (covariance[i][i] * covariance[j][j] / 4000.0).sqrt();
            assert!(covariance[i][j].abs() < 5.0 * error, "{i} {j}: {}", covariance[i][j]);
        }
    }
}

#[test]
fn nothing_needs_to_be_kept() {
    let strategies = [
        Strategy::banded(4, 20, 1, 20),
        Strategy::Tree { rounds: vec![7, 3], epochs: 2 },
        Strategy::TreeOfEpochs { batches: 5, epochs: 4, completed: false },
    ];
    for strategy in strategies {
        for reduced in [false, true] {
            let make = || {
                let made = Correlated::new(strategy.clone(), 1.0, 3, normals());
                if reduced { made.reduced() } else { made }
            };
            let straight = noise(&mut make(), 9, 3..23);
            for stop in [1, 6, 7, 8, 12, 19] {
                assert_eq!(noise(&mut make(), 9, 3 + stop..23), straight[stop as usize..], "{strategy:?} from {stop}");
            }
            let mut back = make();
            let (all, again) = (noise(&mut back, 9, 3..23), noise(&mut back, 9, 8..12));
            assert_eq!((&all, &again[..]), (&straight, &straight[5..9]));
        }
    }
}
