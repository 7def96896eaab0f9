//! How heavy the tails of gradient noise are, before and after clipping.
//!
//! `diagnostics.md`, H4: the estimator that Simsekli et al. 2019 (arXiv 1901.06053) use on networks (Mohammadi et al. 2015):
//! with `Y_j` sums of `K1` consecutive entries, `1/alpha = (mean log|Y| - mean log|X|) / log K1`. 2 is Gaussian, smaller is
//! heavier. Entries of a network differ in scale, which lowers the index by itself: a Gaussian control with the same variance
//! for every coordinate is given beside it. Entries that are exactly 0 (a pixel that is never on) are left out. Norms get
//! Hill's estimator (1975) on the largest twentieth.
use super::{Diagnostic, Finding, Scan, Scene, ruled::weights_of, statistics::sorted};
use crate::report::plot::{Axis, Layer, Mark, Picture};
use privacy::Purpose;
use serde_json::json;

/// See the module.
pub struct Tail;

/// Batches whose mean gradients are taken, if the examples allow.
const BATCHES: usize = 20;

/// The estimator, entry by entry.
#[derive(Debug, Clone)]
pub struct Index {
    block: usize,
    sum: f64,
    filled: usize,
    x: (f64, u64),
    y: (f64, u64),
}

impl Index {
    /// With blocks of `block` (`K1`) entries.
    pub fn new(block: usize) -> Self {
        Index { block: block.max(2), sum: 0.0, filled: 0, x: (0.0, 0), y: (0.0, 0) }
    }

    /// One more entry; zeros are left out.
    pub fn push(&mut self, x: f64) {
        if x == 0.0 {
            return;
        }
        self.x = (self.x.0 + x.abs().ln(), self.x.1 + 1);
        self.sum += x;
        self.filled += 1;
        if self.filled == self.block {
            let y = self.sum.abs().max(f64::MIN_POSITIVE).ln();
            self.y = (self.y.0 + y, self.y.1 + 1);
            (self.sum, self.filled) = (0.0, 0);
        }
    }

    /// `alpha`.
    pub fn alpha(&self) -> f64 {
        let mean = |(sum, n): (f64, u64)| sum / n as f64;
        (self.block as f64).ln() / (mean(self.y) - mean(self.x))
    }
}

/// Hill's estimator on the `k` largest: `k / sum_{i<k} log(x_(i) / x_(k))`, counted from 0.
pub fn hill(ascending: &[f64], k: usize) -> f64 {
    let n = ascending.len();
    if n <= k {
        return f64::NAN;
    }
    let floor = ascending[n - 1 - k];
    k as f64 / ascending[n - k..].iter().map(|x| (x / floor).ln()).sum::<f64>()
}

impl Diagnostic for Tail {
    fn heading(&self) -> &'static str {
        "Tails"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        let size = (scan.len() / BATCHES).min(scene.setting.chunk);
        (size >= 1 && scan.len() >= 4 * size).then_some(())?;
        let (raw, clipped, control) = indices(scene, scan, size);
        let ascending = sorted(&scan.norms);
        let hill = hill(&ascending, (scan.len() / 20).max(2));
        Some(Finding {
            name: "tail",
            numbers: json!({
                "batch": size, "alpha": raw, "alpha_clipped": clipped, "alpha_gaussian_control": control,
                "hill_of_norms": hill,
            }),
            words: vec![format!(
                "Tail index of the noise in batches of {size}: {raw:.2} before clipping, {clipped:.2} after; Gaussian noise of the \
                 same variances gives {control:.2} (2 would be Gaussian with equal variances)."
            )],
            pictures: vec![survival(&ascending, scene.setting.bound)],
            table: None,
        })
    }
}

/// The index of batches' deviations from the mean: as they are, clipped by the configured rule, and a Gaussian control.
fn indices(scene: &Scene, scan: &Scan, size: usize) -> (f64, f64, f64) {
    let d = scan.parameters;
    let batches = scan.len() / size;
    let block = ((batches * d) as f64).sqrt() as usize;
    let mut all = [(); 3].map(|()| Index::new(block));
    let mut squares = vec![0.0; d];
    let rule = &*scene.setting.rules[0].1;
    let (group_of, groups) = rule.grouping().of(scan.mean.layout());
    for who in scan.who.chunks_exact(size) {
        let mut taps = scene.model.taps(scene.weights, scene.examples.gather(who));
        let norms: Vec<f64> = taps.norms(&group_of, groups).into_iter().map(f64::sqrt).collect();
        let dots = taps.dots(rule.directions());
        let raw = taps.sum(&vec![1.0; size], &vec![0; taps.parameters()], 1);
        let clipped = taps.sum(&weights_of(rule, &norms, groups, &dots), &group_of, groups);
        for (sum, mean, index) in [(&raw, &scan.mean, 0), (&clipped, &scan.contributed, 1)] {
            for (j, (sum, mean)) in sum.flat().iter().zip(mean.flat()).enumerate() {
                let x = f64::from(*sum) / size as f64 - f64::from(*mean);
                let silent = *sum == 0.0 && *mean == 0.0;
                all[index].push(if silent { 0.0 } else { x });
                squares[j] += if index == 0 && !silent { x * x } else { 0.0 };
            }
        }
    }
    let mut normals = vec![0.0f32; d];
    for batch in 0..batches as u64 {
        scene.setting.key.stream(Purpose::Permute, batch, 2).fill_normal(0, &mut normals);
        normals.iter().zip(&squares).for_each(|(z, s)| all[2].push(f64::from(*z) * s.sqrt()));
    }
    (all[0].alpha(), all[1].alpha(), all[2].alpha())
}

fn survival(ascending: &[f64], bound: f64) -> Picture {
    let n = ascending.len();
    let step = (n / 150).max(1);
    let beyond = |i: usize| (ascending[i], 100.0 * (n - i) as f64 / n as f64);
    let points = (0..n).filter(|i| i % step == 0 || n - i <= 20).map(beyond).collect();
    Picture {
        title: "Tail of the norms".into(),
        x: Axis::new("norm of an example's gradient").log(),
        y: Axis::new("examples at or beyond").unit("%").log(),
        layers: vec![Layer::new("norms", Mark::Line, 1, points)],
        marks: vec![(bound, format!("bound {bound:.3}"))],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use privacy::Key;

    fn alpha(x: impl Iterator<Item = f64>, block: usize) -> f64 {
        let mut index = Index::new(block);
        x.for_each(|x| index.push(x));
        index.alpha()
    }

    /// `diagnostics.md`, H4.
    #[test]
    fn the_specifications_numbers() {
        let x = [1.0, -2.0, 0.5, 3.0, -1.0, 4.0, 2.0, -0.5];
        assert!((alpha(x.into_iter(), 2) - 1.830_832_31).abs() < 1e-8);
        assert!((hill(&[1.0, 2.0, 4.0, 8.0, 16.0], 3) - 0.721_347_52).abs() < 1e-8);
        assert!(hill(&[1.0], 3).is_nan());
    }

    /// Stable draws by Chambers, Mallows & Stuck 1976; the specification's simulation gives 1.007, 1.497, 1.988.
    #[test]
    fn stable_draws_have_their_index() {
        let stream = Key::from_seed(8).stream(Purpose::Audit, 0, 0);
        for a in [1.0, 1.5, 2.0f64] {
            let draw = |i: u64| {
                let u = (stream.uniform(2 * i) - 0.5) * std::f64::consts::PI;
                let w = -stream.uniform(2 * i + 1).max(1e-300).ln();
                (a * u).sin() / u.cos().powf(1.0 / a) * (((1.0 - a) * u).cos() / w).powf((1.0 - a) / a)
            };
            let got = alpha((0..400_000).map(draw), 100);
            assert!((got - a).abs() < 0.06, "{got} for {a}");
        }
    }
}
