//! How noisy the gradient of a batch is, against its size.
//!
//! `diagnostics.md`, H3: variance of a batch mean without replacement `(N - b)/(b (N - 1)) s^2`; of a Poisson sum over its
//! expected size `(1 - q)/b` times the second moment; and the noise of privacy, `d (z C / b)^2`. The gradient noise scale is
//! `tr(Sigma) / |g|^2` (McCandlish et al. 2018).
use super::{Diagnostic, Finding, Scan, Scene, statistics::mean};
use crate::report::plot::{Axis, Layer, Mark, Picture};
use serde_json::json;

/// See the module.
pub struct Batch;

/// The variance of the mean of `b` of `n` examples whose covariance has trace `s2`, drawn without replacement.
pub fn without_replacement(s2: f64, n: f64, b: f64) -> f64 {
    (n - b) / (b * (n - 1.0)) * s2
}

/// The variance of a Poisson-sampled sum over its expected size `b`, of `n` examples with this mean squared norm.
pub fn poisson(second: f64, n: f64, b: f64) -> f64 {
    (1.0 - b / n) / b * second
}

impl Diagnostic for Batch {
    fn heading(&self) -> &'static str {
        "Batch size"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        (scan.len() > 1).then_some(())?;
        let s = scene.setting;
        let n = scan.len() as f64;
        let second = mean(&scan.norms.iter().map(|n| n * n).collect::<Vec<_>>());
        let trace = (second - scan.mean_norm().powi(2)) * n / (n - 1.0);
        let signal = (scan.mean_norm().powi(2) - trace / n).max(0.0);
        let population = (s.lot / s.sample_rate).max(2.0);
        let noise = |b: f64| scan.parameters as f64 * (s.noise_multiplier * s.bound / b).powi(2);
        let sizes: Vec<f64> = (0..=20).map(|k| population.powf(f64::from(k) / 20.0)).collect();
        let even = sizes.iter().copied().find(|b| poisson(second, population, *b) + noise(*b) <= signal);
        let line = |f: &dyn Fn(f64) -> f64| sizes.iter().map(|b| (*b, f(*b))).collect::<Vec<_>>();
        let picture = Picture {
            title: "Variance of the gradient".into(),
            x: Axis::new("examples in a step").log(),
            y: Axis::new("squared length").log(),
            layers: vec![
                Layer::new("Poisson", Mark::Line, 1, line(&|b| poisson(second, population, b))),
                Layer::new("fixed size", Mark::Dashed, 2, line(&|b| without_replacement(trace, population, b))),
                Layer::new("noise", Mark::Joined, 3, line(&noise)),
                Layer::new("signal", Mark::Line, 0, line(&|_| signal)),
            ],
            marks: vec![(s.lot, format!("lot {:.0}", s.lot))],
        };
        let at_lot = json!({
            "poisson": poisson(second, population, s.lot), "without_replacement": without_replacement(trace, population, s.lot),
            "noise": noise(s.lot), "signal": signal,
        });
        Some(Finding {
            name: "batch",
            numbers: json!({
                "covariance_trace": trace, "noise_scale": trace / signal, "at_lot": at_lot, "batch_with_signal_above_error": even,
            }),
            words: words(trace / signal, even, s.lot, s.noise_multiplier),
            pictures: vec![picture],
            table: None,
        })
    }
}

fn words(scale: f64, even: Option<f64>, lot: f64, z: f64) -> Vec<String> {
    let first = match scale.is_finite() {
        true => {
            format!("The gradient noise scale is {scale:.0} examples: batches much smaller than it are mostly noise.")
        }
        false => "The mean gradient cannot be told from zero on these examples.".into(),
    };
    let second = match even {
        Some(b) if b <= lot => {
            format!(
                "At the lot of {lot:.0} sampling and noise together are less than the true gradient; clipping aside."
            )
        }
        Some(b) => format!(
            "Sampling and noise together are less than the true gradient from lots of about {b:.0} on, clipping aside (now \
             {lot:.0}, noise multiplier {z:.2}; a larger lot at the same multiplier costs more privacy)."
        ),
        None => format!(
            "At no lot are sampling and noise (multiplier {z:.2}) together less than the true gradient here, clipping aside."
        ),
    };
    vec![first, second]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `diagnostics.md`, H3: g = (1,0,2), (0,1,1), (2,1,0), (1,2,1).
    #[test]
    fn the_specifications_numbers() {
        let g = [[1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [2.0, 1.0, 0.0], [1.0, 2.0, 1.0f64]];
        let second = g.iter().flatten().map(|x| x * x).sum::<f64>() / 4.0;
        let v: f64 = (0..3).map(|j| (g.iter().map(|g| g[j]).sum::<f64>() / 4.0).powi(2)).sum();
        let s2 = second - v;
        assert_eq!(s2, 1.5);
        assert_eq!([1.0, 2.0, 4.0].map(|b| without_replacement(s2, 4.0, b)), [1.5, 0.5, 0.0]);
        assert_eq!([0.25, 0.5, 1.0].map(|q| poisson(second, 4.0, 4.0 * q)), [3.375, 1.125, 0.0]);
        assert!((s2 * 4.0 / 3.0 / v - 2.0 / 3.0).abs() < 1e-12, "noise scale");
    }
}
