//! What samples are held against: the normal law, and how far from a law a sample is.
use statrs::function::erf::erfc;
use std::f64::consts::SQRT_2;

/// The standard normal distribution function.
pub(super) fn distribution(x: f64) -> f64 {
    0.5 * erfc(-x / SQRT_2)
}

/// `sqrt(n)` times the largest gap between a sample's distribution and `law`: above 1.95 with probability 1e-3.
pub(super) fn kolmogorov(mut sample: Vec<f64>, law: impl Fn(f64) -> f64) -> f64 {
    sample.sort_by(f64::total_cmp);
    let n = sample.len() as f64;
    let gap = |(i, x): (usize, &f64)| {
        let f = law(*x);
        (f - i as f64 / n).abs().max(((i + 1) as f64 / n - f).abs())
    };
    n.sqrt() * sample.iter().enumerate().map(gap).fold(0.0, f64::max)
}
