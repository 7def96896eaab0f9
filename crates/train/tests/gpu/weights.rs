//! Weights that a GPU makes of norms: those of the house's own cap.
use crate::gpu;
use engine::{
    Tensor,
    op::{Curve, Weighing, per_example::Squares},
};
use train::clip::{TINY, cap};

/// Curves within their bounds, and others that exceed them everywhere.
fn curves() -> Vec<(Curve, f64)> {
    let bound = 0.73;
    let plain = Curve::inverse(bound);
    let all = [
        Curve::flat(bound),
        plain,
        Curve { shift: 0.01, ..plain },
        Curve { soft: 0.1, ..plain },
        Curve { slope: 2.0, soft: 0.1, ..plain },
        Curve { threshold: 3.0, below: bound / 3.0, ..Curve::inverse(0.0) },
        Curve::inverse(1e6),
        Curve { threshold: 1e300, below: 1e30, ..plain },
        Curve { threshold: 1e300, below: f64::NAN, ..plain },
        Curve { threshold: 1e300, below: -1.0, ..plain },
    ];
    all.into_iter().map(|curve| (curve, bound)).collect()
}

/// Rows of one number: its square is the squared norm.
fn norms() -> Vec<f32> {
    let special = [0.0, 1e-30, 1e-13, 0.73, 0.7300001, 3.0, 1e30, f32::MAX, f32::INFINITY, f32::NAN];
    special.into_iter().chain((0..1000).map(|i| 10f32.powf(0.03 * i as f32 - 18.0))).collect()
}

#[test]
fn a_gpus_weights_are_the_hosts_capped_ones() {
    let Some(turn) = gpu() else { return };
    let norms = norms();
    let n = norms.len();
    // Each group's rows are the norms in another order.
    let turned = |by: usize| (0..n).map(|i| norms[(i + by) % n]).collect::<Vec<f32>>();
    for (k, first) in curves().into_iter().enumerate() {
        for groups in [1, 3] {
            let chosen: Vec<(Curve, f64)> =
                (0..groups).map(|g| if g == 0 { first } else { curves()[(k + g) % 6] }).collect();
            let (curves, bounds): (Vec<Curve>, Vec<f64>) = chosen.into_iter().unzip();
            let rows: Vec<Vec<f32>> = (0..groups).map(|g| turned(17 * g)).collect();
            let there = |row: &Vec<f32>| {
                Squares::Rows(Tensor::new([n, 1], row.clone()).to(engine::Device::Cuda(turn.gpu)), None)
            };
            let present = if k % 2 == 0 { n } else { n - 40 };
            let of: Vec<usize> = (0..groups).collect();
            let weighing = Weighing { curves: &curves, bounds: &bounds, tiny: TINY, present };
            let weights = Squares::weights(rows.iter().map(there).collect(), &of, n, &weighing);
            let Ok(weights) = weights else { panic!("norms of rows on a GPU are there") };
            assert!(weights.iter().all(|weights| weights.to_host().data()[present..].iter().all(|w| *w == 0.0)));
            let squares = Squares::total(rows.iter().map(there).collect(), &of, n, groups);
            let norms: Vec<f64> = squares.into_iter().map(f64::sqrt).collect();
            let proposed: Vec<f64> = norms.iter().enumerate().map(|(i, norm)| curves[i % groups].at(*norm)).collect();
            let capped = cap(&proposed, &norms, &bounds);
            for (g, weights) in weights.iter().enumerate() {
                for (i, weight) in weights.to_host().data()[..present].iter().enumerate() {
                    let (norm, want) = (norms[i * groups + g], capped[i * groups + g]);
                    assert_eq!(*weight, want, "{:?}, norm {norm:e} of group {g}", curves[g]);
                    let long = f64::from(*weight) * norm.max(TINY);
                    assert!(
                        *weight == 0.0 || long <= bounds[g] * (1.0 + 1e-15),
                        "{:?}: {long} of {}",
                        curves[g],
                        bounds[g]
                    );
                }
            }
        }
    }
}
