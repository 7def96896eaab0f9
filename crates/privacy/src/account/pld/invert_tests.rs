//! Inversion against closed forms and against direct integrals of one release.

use super::ask::Question;
use super::cells::divergence;
use super::invert::Inverse;
use super::nodes::Nodes;
use super::plan::Course;
use super::transform::Transform;
use crate::account::crowd::Crowd;
use crate::account::pair::Pair;

const PAIRS: [Pair; 6] = [
    Pair::Normal { rate: 0.01, z: 1.0 },
    Pair::Normal { rate: 0.3, z: 4.0 },
    Pair::Normal { rate: 1e-4, z: 0.4 },
    Pair::Opposite { rate: 0.3, z: 0.5 },
    Pair::Laplace { rate: 0.2, z: 0.5 },
    Pair::Crowd(Crowd { rate: 0.1, z: 2.0, size: 3 }),
];

/// `E (P/Q)^s` under `P` for whole `s`, by the binomial theorem.
fn whole(rate: f64, z: f64, s: i32) -> f64 {
    let order = s + 1;
    let mut binomial = 1.0;
    (0..=order)
        .map(|k| {
            let term =
                binomial * (1.0 - rate).powi(order - k) * rate.powi(k) * (f64::from(k * (k - 1)) / (2.0 * z * z)).exp();
            binomial *= f64::from(order - k) / f64::from(k + 1);
            term
        })
        .sum()
}

#[test]
fn moments_are_those_of_the_pair() {
    for (rate, z) in [(0.01, 1.0), (0.3, 4.0), (0.5, 0.7)] {
        for s in [1, 2, 5] {
            let pair = Pair::Normal { rate, z };
            let nodes = Nodes::new(pair, false, 1e-60, (f64::from(s), 50.0), (f64::from(s), 1e-20)).unwrap();
            let want = whole(rate, z, s).ln();
            assert!((nodes.log_moment - want).abs() < 1e-13 * want.max(1.0), "{rate} {z} {s}");
            assert!((nodes.log_moment(f64::from(s)) - want).abs() < 1e-13 * want.max(1.0), "{rate} {z} {s}");
            assert!(nodes.error < 1e-12, "{}", nodes.error);
        }
    }
}

/// At every frequency within the stated error of a sum over ten times as many places, with sines afresh.
#[test]
fn turns_are_those_of_the_pair() {
    for pair in PAIRS {
        for mirrored in [false, true] {
            let (tilt, step, count) = (2.5, 0.7, 300);
            let nodes = Nodes::new(pair, mirrored, 1e-25, (tilt, step * f64::from(count)), (tilt, 1e-18)).unwrap();
            let fine =
                Nodes::new(pair, mirrored, 1e-25, (tilt, 10.0 * step * f64::from(count)), (tilt, 1e-18)).unwrap();
            let transform = Transform::new(&nodes, step, count as usize);
            for k in [0, 1, 17, 63, 64, 65, 150, 299] {
                let turn = |loss: &f64| step * f64::from(k) * loss;
                let terms = || fine.tilted.iter().zip(&fine.losses);
                let re: f64 =
                    1.0 + terms().map(|(mass, loss)| -2.0 * mass * (0.5 * turn(loss)).sin().powi(2)).sum::<f64>();
                let im: f64 = terms().map(|(mass, loss)| mass * turn(loss).sin()).sum();
                let (size, angle) = transform.round[k as usize];
                let (x, y) = (size.exp() * angle.cos(), size.exp() * angle.sin());
                // Losses are off too, in proportion to the frequency.
                let slack = nodes.error + fine.error + step * f64::from(k) * (nodes.wrong + fine.wrong);
                assert!((x - re).hypot(y - im) <= slack, "{pair:?} {mirrored} {k}: {} {slack}", (x - re).hypot(y - im));
            }
        }
    }
}

/// Of one release, whose divergence is a direct integral: below and above it at every epsilon, on good lines and on bad.
#[test]
fn the_divergence_is_between_both_ends() {
    for pair in PAIRS {
        for (mirrored, tilt, period, smoothing) in
            [(false, 3.0, 25.0, 1e-3), (false, 0.5, 8.0, 1e-2), (true, 1.0, 30.0, 1e-4), (true, 20.0, 3.0, 0.1)]
        {
            let tail = 1e-16;
            let course = Course { tilt, period, up: 0.5, down: 2.0, depth: 10.0 };
            let inverse = Inverse::new(&[(pair, 1.0)], mirrored, tail, course, (smoothing, 0.0), 12.0).unwrap();
            let smooth = inverse.smooth(&[1.0], 0.0);
            for k in 0..60 {
                let epsilon = 0.05 * f64::from(k);
                let truth = divergence(pair, mirrored, epsilon, 1e-25);
                let (below, above) = (smooth.below(epsilon), smooth.above(epsilon));
                let slack = 1e-10 * truth + tail;
                let what = format!("{pair:?} {mirrored} tilt {tilt} epsilon {epsilon}");
                assert!(below <= truth + slack, "{what}: {below} over {truth}");
                assert!(above >= truth - slack, "{what}: {above} under {truth}");
            }
        }
    }
}

#[test]
fn a_line_holds_for_other_numbers() {
    let pairs = [(Pair::Normal { rate: 0.01, z: 1.0 }, 500.0)];
    let asked = Question { pairs: pairs.to_vec(), gaussian: 0.04, tail: 1e-12, precision: 2e-4, spare: 10.0 };
    let plan = asked.plan(false);
    let (_, line) = asked.direction(false, &plan, 1e-5).unwrap();
    for count in [1.0, 100.0, 500.0, 900.0] {
        let smooth = line.as_ref().unwrap().smooth(&[count], 0.04);
        let other = Question { pairs: vec![(pairs[0].0, count)], ..asked.clone() };
        let fresh = other.direction(false, &other.plan(false), 1e-5).unwrap().0;
        for (epsilon, least) in [(fresh.lower, true), (fresh.upper, false)] {
            // The true delta is at least 1e-5 at the lower end, and at most that at the upper one.
            let (below, above) = (smooth.below(epsilon), smooth.above(epsilon));
            assert!(if least { above >= 1e-5 * (1.0 - 1e-9) } else { below <= 1e-5 * (1.0 + 1e-9) }, "{count}");
        }
    }
}
