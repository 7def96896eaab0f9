//! Work that is launched in one go: the numbers of the same work piece by piece.
use crate::{gpu, numbers, wide};
use engine::{
    Device, Gpu, Tensor,
    op::{self, Activation, Cipher},
};

/// Something of everything: an upload, library calls, kernels, zeros, a copy, noise.
fn work(gpu: &'static Gpu, rows: usize, seed: u64) -> Tensor {
    let device = Device::Cuda(gpu);
    let there = |shape: &[usize], seed| numbers(shape, seed).to(device);
    let (x, w, b) = (there(&[rows, 24], seed), there(&[16, 24], seed + 1), there(&[16], seed + 2));
    let key = [seed as u8; 32];
    let noise = op::normals(device, rows * 16, Cipher { key: &key, nonce: seed });
    let y = op::linear_then(&x, &w, Some(&b), Some(Activation::Relu));
    let shared = y.clone();
    let mut y = op::add(y, &shared);
    op::scale(&mut y, 0.5 + seed as f64);
    op::add_scaled(&mut y, &noise.reshape([rows, 16]), 2.0);
    let mut sum = Tensor::zeros_on(device, [rows, 16]);
    op::add_scaled(&mut sum, &y, 1.0);
    op::tanh(op::add(sum, &shared))
}

#[test]
fn a_section_is_its_work() {
    let Some(turn) = gpu() else { return };
    let (gpu, before) = (turn.gpu, turn.gpu.graphs_launched());
    for round in 0..40u64 {
        // The same for a while, then other sizes, then in turns.
        let rows = match round {
            0..12 => 40,
            12..20 => 7,
            _ if round % 3 == 0 => 7,
            _ => 40,
        };
        let plain = wide(&work(gpu, rows, round));
        let together = gpu.in_one_go(|| work(gpu, rows, round));
        assert_eq!(wide(&together), plain, "round {round}");
        // Results that are read on the way, and work after them.
        let split = || {
            let first = work(gpu, rows, round).to_host();
            op::scale(&mut first.clone().to(Device::Cuda(gpu)), 2.0);
            (wide(&first), wide(&work(gpu, rows, round + 1)))
        };
        assert_eq!(gpu.in_one_go(split), split(), "round {round}");
        // Parts that are launched by themselves.
        let part = |k: u64| gpu.in_one_go(|| work(gpu, rows, round + k));
        let parts = || wide(&op::add(part(1), &part(2)));
        let by_themselves = wide(&op::add(work(gpu, rows, round + 1), &work(gpu, rows, round + 2)));
        assert_eq!((gpu.in_one_go(parts), parts()), (by_themselves.clone(), by_themselves), "round {round}");
    }
    assert!(gpu.graphs_launched() > before + 20, "{} graphs", gpu.graphs_launched() - before);
}

/// Sections of several graphs, and one that is too long to be any.
#[test]
fn a_long_section_is_its_work() {
    let Some(turn) = gpu() else { return };
    let gpu = turn.gpu;
    for (times, rounds) in [(30, 8), (300, 3)] {
        for round in 0..rounds {
            let all = || (0..times).map(|k| work(gpu, 7, round + k % 3)).collect::<Vec<Tensor>>();
            let (plain, together) = (all(), gpu.in_one_go(all));
            assert!(plain.iter().zip(&together).all(|(a, b)| wide(a) == wide(b)), "{times} times, round {round}");
        }
    }
}

#[test]
fn a_failure_leaves_a_gpu_that_works() {
    let Some(turn) = gpu() else { return };
    for _ in 0..6 {
        let failed = std::panic::catch_unwind(|| {
            turn.gpu.in_one_go(|| {
                let y = work(turn.gpu, 9, 1);
                assert!(y.len() == 1, "on purpose");
            });
        });
        assert!(failed.is_err());
        let plain = wide(&work(turn.gpu, 9, 2));
        assert_eq!(wide(&turn.gpu.in_one_go(|| work(turn.gpu, 9, 2))), plain);
    }
}
