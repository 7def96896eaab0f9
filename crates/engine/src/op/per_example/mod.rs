//! Every example's own parameter gradient: its definition, its norm, weighted sums, products with a direction.
//!
//! There are three kinds of factors:
//! * products, `G_i = sum_t b_it a_it^T` (`product_*`): linear maps, and convolutions, whose `a` is the input unfolded in
//!   cache;
//! * rows added at ids (`scatter_*`): embeddings;
//! * gradients that are already one row each (`rows_*`): biases, scales, shifts.
//!
//! `*_rows` is the definition; `*_norms` (squared, f64), `*_sum` (with one weight for each example) and `*_dot` are short
//! cuts tested against it. An example of weight exactly 0 is skipped: it contributes 0 even if its factors are NaN.
//! Sums are taken over blocks of examples that depend on shapes alone and are added in a fixed order, so they do not
//! change with the number of threads.

mod allowance;
mod dot;
mod factors;
mod ghost;
mod gpu;
mod grams;
mod kept;
mod margins;
mod norms;
mod products;
mod rows;
mod scatter;
mod squares;
mod sum;
mod tied;
mod tiles;
mod weighted;

use multiversion::multiversion;

pub use allowance::outer;
pub use dot::product_dot;
pub use factors::{Left, product_rows};
pub use kept::Kept;
pub use norms::{materialises, product_norms, product_norms_kept, product_squares_kept};
pub(crate) use rows::block_squares;
pub use rows::{rows_dot, rows_norms, rows_squares, rows_sum, rows_sums};
pub use scatter::{scatter_dot, scatter_norms, scatter_rows, scatter_squares, scatter_sum};
pub use squares::{Numbers, Squares};
pub use sum::{product_sum, product_sum_alone};
pub use tied::{tied_norms, tied_squares};
pub use weighted::{Diagonal, Measured, Scales, add_scaled_sum, product_measured, rows_measured};

/// The sum of squares, in f64.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(crate) fn square(x: &[f32]) -> f64 {
    let (chunks, rest) = x.as_chunks::<32>();
    let mut sum = [0.0f64; 32];
    chunks.iter().for_each(|x| (0..32).for_each(|i| sum[i] += f64::from(x[i]) * f64::from(x[i])));
    halves(sum) + rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
}

/// The inner product, in f64.
///
/// # Panics
/// If the lengths differ.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
pub(crate) fn inner(x: &[f32], y: &[f32]) -> f64 {
    assert!(x.len() == y.len(), "inner product of {} and {} elements", x.len(), y.len());
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<32>(), y.as_chunks::<32>());
    let mut sum = [0.0f64; 32];
    xs.iter().zip(ys).for_each(|(x, y)| (0..32).for_each(|i| sum[i] += f64::from(x[i]) * f64::from(y[i])));
    let rest = x_rest.iter().zip(y_rest).map(|(&x, &y)| f64::from(x) * f64::from(y));
    halves(sum) + rest.sum::<f64>()
}

/// The lanes brought together.
#[inline(always)]
fn halves(sum: [f64; 32]) -> f64 {
    tree(std::array::from_fn(|i| (sum[i] + sum[i + 8]) + (sum[i + 16] + sum[i + 24])))
}

/// Called and not inlined: the compiler would let the order of these additions decide how the loop over the lanes is
/// vectorised, and take pairs.
#[inline(never)]
fn tree(mut lanes: [f64; 8]) -> f64 {
    for half in [4, 2, 1] {
        (0..half).for_each(|i| lanes[i] += lanes[i + half]);
    }
    lanes[0]
}

/// `out += w x`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add_scaled(out: &mut [f32], w: f32, x: &[f32]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += w * x);
}
