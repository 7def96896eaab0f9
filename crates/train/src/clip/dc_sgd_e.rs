//! DC-SGD-E: the bound minimises an estimate of the squared error that clipping and noise make together.
//!
//! Source: Wei, Li, Gong & Chen 2025 (IEEE TIFS), arXiv 2503.22988. From a noisy histogram `H` of norms (20 bins of width `w`,
//! midpoints `m_j`): `E(c) = z^2 c^2 d / m^2 + sum_j H_j max(m_j - c, 0)^2 / sum_j H_j`, minimised over `c = k C / 10`,
//! `k = 1..20`, again while the best is at an end. Bins widen when more than half the mass is in the last, and narrow when
//! hardly any is in the upper half. Sensitivity: gradient `C` (the current one), histogram 1; one draw, priced jointly. The
//! published code forgets the histogram's cost (see DC-SGD-P) and may search without end: noisy counts below 0 count as 0
//! here, the search takes at most 32 passes, and the bound has limits. Cost class NORM.
use super::{
    Bound, ClipRule, News, Prepare, Setting,
    histogram::{BINS, Histogram, Reading},
    threshold::{Threshold, check, highest, lowest, positive, side_noise},
};
use serde::{Deserialize, Serialize};

fn width() -> f64 {
    1.0
}
/// Searches for the bound before giving up.
const PASSES: usize = 32;

/// `{ rule = "dc-sgd-e", bound = 0.1, width = 1.0, noise = 5.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DcSgdE {
    /// Where `C` starts.
    #[serde(default)]
    pub bound: Bound,
    /// Where the width of bins starts.
    #[serde(default = "width")]
    pub width: f64,
    /// Standard deviation of the noise in each bin; by default 5, or more where that would take more than a tenth of the
    /// budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noise: Option<f64>,
    /// The least that `C` may become.
    #[serde(default = "lowest")]
    pub lowest: f64,
    /// The most that `C` may become.
    #[serde(default = "highest")]
    pub highest: f64,
    /// Scale means as if `C` were always this, so that the learning rate's meaning does not change with `C`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<f64>,
}

impl Prepare for DcSgdE {
    fn check(&self) -> Result<(), String> {
        check(self.lowest, self.highest, self.unit)?;
        positive("width", self.width)?;
        self.noise.map_or(Ok(()), |noise| positive("noise", noise))
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let threshold = Threshold::new(self.bound.get(), self.lowest, self.highest, self.unit);
        let noise = side_noise(self.noise, 5.0, 1.0, setting);
        let reading = Expected { dimensions: setting.parameters as f64 };
        Ok(Box::new(Histogram { threshold, width: self.width, noise, reading }))
    }
}

struct Expected {
    dimensions: f64,
}

impl Expected {
    /// The expected squared error at bound `c`, with noise of multiplier `z` on lots of `m`.
    fn error(&self, c: f64, counts: &[f64], total: f64, width: f64, z: f64, m: f64) -> f64 {
        let cut = |(j, h): (usize, &f64)| h.max(0.0) * (width * (j as f64 + 0.5) - c).max(0.0).powi(2);
        let bias: f64 = counts.iter().enumerate().map(cut).sum();
        (z * c / m).powi(2) * self.dimensions + bias / total
    }

    fn search(&self, start: f64, error: impl Fn(f64) -> f64) -> f64 {
        let mut bound = start;
        for _ in 0..PASSES {
            let best = (1..=20)
                .min_by(|a, b| error(f64::from(*a) * bound / 10.0).total_cmp(&error(f64::from(*b) * bound / 10.0)));
            let best = best.unwrap_or(10);
            bound *= f64::from(best) / 10.0;
            if best != 1 && best != 20 {
                break;
            }
        }
        bound
    }
}

impl Reading for Expected {
    fn next(&self, counts: &[f64], width: f64, bound: f64, news: &News) -> (f64, f64) {
        let total: f64 = counts.iter().sum();
        if total <= 0.0 {
            return (bound, width);
        }
        let z = news.deviation / bound;
        let next = self.search(bound, |c| self.error(c, counts, total, width, z, news.lot));
        let upper: f64 = counts[BINS / 2..].iter().sum();
        let width = match () {
            () if counts[BINS - 1] > total / 2.0 => 2.0 * width,
            () if upper < total / BINS as f64 => width / 2.0,
            () => width,
        };
        (next, width)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const H: [f64; 20] = [1., 1., 2., 1., 1., 0., 0., 1., 0., 0., 0., 0., 0., 0., 0., 1., 0., 0., 0., 0.];

    #[test]
    fn published_errors_and_bounds() {
        let expected = Expected { dimensions: 100.0 };
        for (c, want) in
            [(0.5, 8.71484375), (1.0, 7.3125), (2.0, 6.0859375), (2.5, 6.08203125), (3.0, 6.40625), (2.2, 6.0415625)]
        {
            assert!((expected.error(c, &H, 8.0, 0.5, 1.0, 16.0) - want).abs() < 1e-9, "{c}");
        }
        let layout = super::super::trial::layout();
        let nothing = crate::grads::Grads::zeros(&layout);
        for (from, want) in [(1.0, 2.2), (0.1, 2.24), (10.0, 2.0)] {
            let news = News { step: 0, gradient: &nothing, answer: None, lot: 16.0, deviation: from };
            let (bound, width) = expected.next(&H, 0.5, from, &news);
            assert!((bound - want).abs() < 1e-9 && width == 0.5, "{from}: {bound}");
        }
    }

    #[test]
    fn noise_below_zero_does_not_lead_away() {
        let expected = Expected { dimensions: 100.0 };
        let layout = super::super::trial::layout();
        let nothing = crate::grads::Grads::zeros(&layout);
        let news = News { step: 0, gradient: &nothing, answer: None, lot: 16.0, deviation: 1.0 };
        let mut counts = [-3.0; 20];
        counts[1] = 100.0;
        let (bound, _) = expected.next(&counts, 1.0, 1.0, &news);
        assert!(bound.is_finite() && bound < 10.0, "{bound}");
        assert_eq!(expected.next(&[-1.0; 20], 1.0, 1.0, &news), (1.0, 1.0));
        let (_, wider) = expected.next(
            &{
                let mut c = [0.0; 20];
                c[19] = 5.0;
                c
            },
            1.0,
            1.0,
            &news,
        );
        let (_, narrower) = expected.next(
            &{
                let mut c = [0.0; 20];
                c[0] = 5.0;
                c
            },
            1.0,
            1.0,
            &news,
        );
        assert_eq!((wider, narrower), (2.0, 0.5));
    }
}
