//! The normal distribution, far into its tails.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// `Phi(x)`, the chance that a standard normal is at most `x`.
pub(crate) fn cdf(x: f64) -> f64 {
    0.5 * libm::erfc(-x * FRAC_1_SQRT_2)
}

/// The logarithm of the standard normal density.
pub(crate) fn log_density(x: f64) -> f64 {
    -0.5 * x * x - 0.5 * (2.0 * PI).ln()
}

/// Mills' ratio, the upper tail over the density. For `x >= 5` by Laplace's continued fraction.
pub(crate) fn mills(x: f64) -> f64 {
    if x < 5.0 {
        return (0.5 * x * x + 0.5 * (2.0 * PI).ln()).exp() * cdf(-x);
    }
    1.0 / (1..=64).rev().fold(x, |rest, k| x + f64::from(k) / rest)
}

/// The least `x >= 0`, rounded up, above which a standard normal lies with a chance of at most `tail`, in `(1e-300, 1/2]`.
pub(crate) fn upper_quantile(tail: f64) -> f64 {
    let (mut low, mut high) = (0.0, 38.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if cdf(-middle) <= tail {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values_and_both_forms_of_the_ratio_agree() {
        assert!((cdf(1.0) - 0.841_344_746_068_542_9).abs() < 1e-15);
        assert!((cdf(-10.0) / 7.619_853_024_160_527e-24 - 1.0).abs() < 1e-13);
        assert!((mills(0.0) - (PI / 2.0).sqrt()).abs() < 1e-15);
        let (below, above) = (mills(5.0 - 1e-12), mills(5.0));
        assert!((below / above - 1.0).abs() < 1e-12, "{below} {above}");
        assert!((mills(1e8) * 1e8 - 1.0).abs() < 1e-15);
        assert!((upper_quantile(0.025) - 1.959_963_984_540_054).abs() < 1e-12);
    }
}
