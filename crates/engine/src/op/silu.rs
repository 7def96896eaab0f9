//! Sigmoid linear unit (swish), `x sigmoid(x)` (Elfwing et al. 2017, arXiv 1702.03118; Ramachandran et al. 2017, arXiv
//! 1710.05941).

use multiversion::multiversion;

use super::each;
use crate::{Tensor, math};

/// Beyond this the sigmoid is 0 or 1, and its slope 0, to the last bit.
const FAR: f32 = 110.0;

/// `x sigmoid(x)` elementwise; the input stays, since the backward needs it.
///
/// Relative error below 5e-7 for `x > -87`, absolute error below 1e-36 under that. Infinities give infinity and 0, NaN
/// stays NaN.
#[must_use]
pub fn silu(x: &Tensor) -> Tensor {
    if let Some(y) = each::map(x, "silu_forward") {
        return y;
    }
    let mut y = Tensor::unfilled(x.shape());
    each::change_by(y.data_mut(), x.data(), forward);
    y
}

/// The input gradient, in the storage of `dy`: `dy s (1 + x (1 - s))` with `s = sigmoid(x)` for the input `x`.
///
/// # Panics
/// If the shapes differ.
#[must_use]
pub fn silu_backward(x: &Tensor, dy: Tensor) -> Tensor {
    assert!(x.shape() == dy.shape(), "silu: input {x:?}, gradient {dy:?}");
    each::zip_in_place(x, dy, "silu_backward").unwrap_or_else(|mut dy| {
        each::change_by(dy.data_mut(), x.data(), backward);
        dy
    })
}

/// `sigmoid(x)` and `sigmoid(-x)`, without cancellation.
#[inline(always)]
fn sigmoids(x: f32) -> (f32, f32) {
    let e = math::exp(-x.abs());
    let (large, small) = (1.0 / (1.0 + e), e / (1.0 + e));
    if x < 0.0 { (small, large) } else { (large, small) }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn forward(y: &mut [f32], x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x.clamp(-FAR, f32::INFINITY) * sigmoids(x).0);
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn backward(dy: &mut [f32], x: &[f32]) {
    dy.iter_mut().zip(x).for_each(|(dy, &x)| {
        let x = x.clamp(-FAR, FAR);
        let (s, rest) = sigmoids(x);
        *dy *= s * (1.0 + x * rest);
    });
}

#[cfg(test)]
mod tests {
    use super::silu;
    use crate::Tensor;

    #[test]
    fn the_error_bound_holds_everywhere() {
        let x: Vec<f32> = (0..=u32::MAX).step_by(911).map(f32::from_bits).filter(|x| x.is_finite()).collect();
        let y = silu(&Tensor::new([x.len()], x.clone()));
        for (&x, &y) in x.iter().zip(y.data()) {
            let want = f64::from(x) / (1.0 + (-f64::from(x)).exp());
            let bound = if x > -87.0 { 5e-7 * want.abs() } else { 1e-36 };
            // Half the smallest number is lost to rounding however small the bound.
            assert!((f64::from(y) - want).abs() <= bound.max(1e-45), "{x}: {y}, {want}");
        }
    }
}
