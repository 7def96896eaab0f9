//! Per-layer clipping: each layer's gradient clipped by itself.
//!
//! Source: McMahan et al. 2018; Bu et al. 2023, arXiv 2310.19215; He et al. 2023, arXiv 2212.01539. Block `b` is clipped at
//! `C_b`: `w_b = min(1, C_b / n_b)`. Sensitivity `sqrt(sum C_b^2)`, which is `C` for the uniform choice `C_b = C / sqrt(M)`.
//! Noise may be spread over blocks in three ways of the same cost, since each is one Gaussian on a public rescaling of the
//! blocks: the same everywhere (`"even"`), in proportion to `C_b` (`"proportional"`), or so that its total variance is
//! least, by sizes too (`"least"`). Weights of a layer are known as soon as its own norm is. Cost class LAYER-NORM.
use super::{Bound, ClipRule, Grouping, Prepare, Setting, flat};
use crate::{each::Each, grads::Grads, grads::Layout, state::State};
use engine::op::Curve;
use serde::{Deserialize, Serialize};

/// How noise is spread over blocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// The same deviation in every coordinate.
    #[default]
    Even,
    /// In proportion to each block's bound.
    Proportional,
    /// With the least total variance.
    Least,
}

impl Spread {
    /// What each block is multiplied with before the noise, and divided by after it.
    pub(super) fn stretch(self, bounds: &[f64], sizes: &[usize]) -> Vec<f64> {
        let one = |(c, d): (&f64, &usize)| match self {
            Spread::Even => 1.0,
            Spread::Proportional => c.recip(),
            Spread::Least => ((*d).max(1) as f64).powf(0.25) / c.sqrt(),
        };
        bounds.iter().zip(sizes).map(one).collect()
    }
}

/// `{ rule = "per-layer", bound = 1.0, noise = "even" }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PerLayer {
    /// `C`, of all layers together.
    #[serde(default)]
    pub bound: Bound,
    /// What share of `C` each layer gets, in order; even shares by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<f64>,
    /// How noise is spread over layers.
    #[serde(default)]
    pub noise: Spread,
}

impl Prepare for PerLayer {
    fn check(&self) -> Result<(), String> {
        check(&self.shares)
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        Blocks::prepare(setting, Grouping::Layer, self.bound, &self.shares, self.noise)
    }
}

pub(super) fn check(shares: &[f64]) -> Result<(), String> {
    let fine = shares.iter().all(|x| x.is_finite() && *x > 0.0);
    fine.then_some(()).ok_or_else(|| "shares are numbers above 0".into())
}

/// Blocks clipped by themselves at fixed bounds.
pub(super) struct Blocks {
    grouping: Grouping,
    of: Vec<usize>,
    bounds: Vec<f64>,
    stretch: Vec<f64>,
}

impl Blocks {
    /// The rule, whose bounds are `bound` divided in proportion to `shares`.
    pub(super) fn prepare(
        setting: &Setting,
        grouping: Grouping,
        bound: Bound,
        shares: &[f64],
        noise: Spread,
    ) -> Result<Box<dyn ClipRule>, String> {
        let (of, groups) = grouping.of(&setting.layout);
        let shares = if shares.is_empty() { vec![1.0; groups] } else { shares.to_vec() };
        if shares.len() != groups {
            return Err(format!("shares has {} entries, but there are {groups} blocks", shares.len()));
        }
        let whole = shares.iter().map(|x| x * x).sum::<f64>().sqrt();
        let bounds: Vec<f64> = shares.iter().map(|x| bound.get() * x / whole).collect();
        let stretch = noise.stretch(&bounds, &sizes(&setting.layout, &of, groups));
        Ok(Box::new(Blocks { grouping, of, bounds, stretch }))
    }
}

/// How many numbers each block has.
pub(super) fn sizes(layout: &Layout, of: &[usize], groups: usize) -> Vec<usize> {
    let mut sizes = vec![0; groups];
    of.iter().enumerate().for_each(|(p, group)| sizes[*group] += layout.range(p).len());
    sizes
}

/// Divides each block by its stretch.
pub(super) fn unstretch(mut mean: Grads, of: &[usize], stretch: &[f64]) -> Grads {
    for (p, group) in of.iter().enumerate().filter(|(_, group)| stretch[**group] != 1.0) {
        let by = stretch[*group].recip() as f32;
        mean.parameter_mut(p).iter_mut().for_each(|x| *x *= by);
    }
    mean
}

impl State for Blocks {}

impl ClipRule for Blocks {
    fn grouping(&self) -> Grouping {
        self.grouping
    }
    fn bounds(&self, _: usize) -> Vec<f64> {
        self.bounds.iter().zip(&self.stretch).map(|(c, s)| c * s).collect()
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &self.bounds).times_row(&self.stretch)
    }
    fn curves(&self, _: usize) -> Option<Vec<Curve>> {
        let curve = |(bound, stretch): (&f64, &f64)| Curve { most: *stretch, ..Curve::inverse(bound * stretch) };
        Some(self.bounds.iter().zip(&self.stretch).map(curve).collect())
    }
    fn restore(&self, mean: Grads) -> Grads {
        unstretch(mean, &self.of, &self.stretch)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::trial::{T0, close, rule, step, sum},
        *,
    };

    #[test]
    fn published_sum() {
        let rule = rule("rule = \"per-layer\"");
        close(&sum(&*rule, &T0), &[0.3696714415, 1.0217477547, 2f64.sqrt()], 1e-6);
    }

    /// Deviations of the noise for C = (0.5, 1, 2), z = 1, d = (100, 1000, 10000): three spreads of one cost.
    #[test]
    fn published_spreads() {
        let (c, d) = ([0.5, 1.0, 2.0], [100, 1000, 10_000]);
        let want = [
            (Spread::Even, [2.2912878475, 2.2912878475, 2.2912878475], 58275.0),
            (Spread::Proportional, [0.8660254038, 1.7320508076, 3.4641016151], 123_075.0),
            (Spread::Least, [3.4396422532, 2.7354468014, 2.1754207713], 55990.338),
        ];
        for (spread, deviations, variance) in want {
            let stretch = spread.stretch(&c, &d);
            let total = c.iter().zip(&stretch).map(|(c, s)| (c * s).powi(2)).sum::<f64>().sqrt();
            let got: Vec<f64> = stretch.iter().map(|s| total / s).collect();
            close(&got, &deviations, 1e-9);
            close(&[got.iter().zip(d).map(|(s, d)| s * s * (d as f64)).sum::<f64>() / variance], &[1.0], 1e-8);
        }
    }

    /// However noise is spread, the gradient comes out the same.
    #[test]
    fn spreads_do_not_bias() {
        for noise in ["even", "proportional", "least"] {
            let mut rule = rule(&format!("rule = \"per-layer\"\nshares = [1.0, 1.0]\nnoise = \"{noise}\""));
            let mean = step(&mut *rule, 0, &T0, &[0.0; 3], 1.0);
            close(&mean, &[0.3696714415, 1.0217477547, 2f64.sqrt()], 1e-6);
        }
    }
}
