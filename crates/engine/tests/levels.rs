//! Per-example norms at every level of instructions: the level is the process's, so this test has one of its own.

use engine::op::per_example::{Left, materialises, product_norms, product_rows};
use engine::{Level, Tensor, Window};

fn numbers(shape: [usize; 4], seed: usize) -> Tensor {
    let len: usize = shape.iter().product();
    Tensor::new(shape, (0..len).map(|i| ((i * 7919 + seed * 131) % 1009) as f32 / 500.0 - 1.0).collect())
}

/// Of convolutions that are measured by Gram matrices, with and without stride, against their gradients in f64.
#[test]
fn large_convolutions_have_one_norm_at_every_level() {
    for (size, stride, fit) in [(8, 1, 8), (9, 2, 5)] {
        let (x, b) = (numbers([3, 64, size, size], 1), numbers([3, 64, fit, fit], 2));
        let left = Left::Patches { x: &x, window: Window { kernel: [3, 3], stride: [stride; 2], padding: [1, 1] } };
        assert!(!materialises(left, &b));
        let rows = product_rows(left, &b);
        let wants: Vec<f64> = (0..3).map(|i| rows.row(i).iter().map(|g| f64::from(*g).powi(2)).sum()).collect();
        for level in [Level::Portable, Level::Avx2, Level::Avx512, Level::Avx512Bf16] {
            level.limit();
            for (got, want) in product_norms(left, &b).into_iter().zip(&wants) {
                // With what rounding may add, which is the same at every level.
                assert!(got >= *want && got < want * 1.001, "{level:?}, stride {stride}: {got}, {want}");
            }
        }
    }
}
