//! Fixed position encodings.

use crate::Tensor;

/// The wave length of the slowest column, over `2 pi`.
const BASE: f64 = 10_000.0;

/// Sines and cosines of Vaswani et al. 2017 (arXiv 1706.03762, section 3.5), `[t, d]`: position `p` has
/// `sin(p / 10000^(2 i / d))` in column `2 i` and the cosine of the same angle in column `2 i + 1`.
#[must_use]
pub fn sinusoidal(t: usize, d: usize) -> Tensor {
    let cell = |at: usize| {
        let (position, column) = (at / d, at % d);
        let angle = position as f64 / BASE.powf((column - column % 2) as f64 / d as f64);
        (if column % 2 == 0 { angle.sin() } else { angle.cos() }) as f32
    };
    Tensor::new([t, d], (0..t * d).map(cell).collect())
}
