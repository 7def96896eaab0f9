//! GeoClip in `k` directions, which follow what was released, with the rest of the space not forgotten.
//!
//! Source: Gilani et al. 2025, arXiv 2506.06549, Algorithm 2 (streaming rank-k PCA). As published the first directions are the
//! first `k` coordinates and nothing ever leaves their span: all other parameters are never trained. Here the directions
//! start at random (from public coins), and the last of them is drawn anew in every step, across the others, so that what
//! lies outside the span is found: its eigenvalue is the least of the kept ones. `lam` and directions follow
//! `[V sqrt(beta3 lam), sqrt(1 - beta3) (g~ - a)]` by a thin decomposition. Sensitivity `C` in the `k` coordinates; noise has
//! `k` of them, not `d`. The noise's own covariance, `z^2 / m lam^(1/2) sum sqrt(lam)`, is taken out of `lam` by default.
//! Cost class GRAD (inner products with `k` directions).
use super::{
    Bound, ClipRule, Frame, News, Prepare, Setting, eigen, flat,
    geo_clip::{Turn, beta1, cap, check},
};
use crate::{
    each::Each,
    grads::Grads,
    state::{State, Visit},
};
use privacy::{Key, Purpose};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

fn rank() -> usize {
    16
}
fn beta3() -> f64 {
    0.99
}
fn floor() -> f64 {
    1e-6
}
fn yes() -> bool {
    true
}

/// `{ rule = "geoclip-k", bound = 1.0, rank = 16, beta1 = 0.99, beta3 = 0.99, floor = 1e-6, cap = 10.0 }`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeoClipK {
    /// `C` in the turned space, where norms are about 1.
    #[serde(default)]
    pub bound: Bound,
    /// `k`, at least 2.
    #[serde(default = "rank")]
    pub rank: usize,
    /// Share of the last mean that is kept.
    #[serde(default = "beta1")]
    pub beta1: f64,
    /// Share of the last covariance that is kept.
    #[serde(default = "beta3")]
    pub beta3: f64,
    /// The least eigenvalue.
    #[serde(default = "floor")]
    pub floor: f64,
    /// The most.
    #[serde(default = "cap")]
    pub cap: f64,
    /// Whether the noise's own covariance is taken out.
    #[serde(default = "yes")]
    pub subtract_noise: bool,
}

impl Prepare for GeoClipK {
    fn check(&self) -> Result<(), String> {
        check([self.beta1, self.beta3], self.floor, self.cap)?;
        (self.rank >= 2).then_some(()).ok_or_else(|| "rank is at least 2".into())
    }
    fn prepare(&self, setting: &Setting) -> Result<Box<dyn ClipRule>, String> {
        let d = setting.layout.len();
        let rank = self.rank.min(setting.parameters.max(1));
        let mut rule = Rule {
            settings: self.clone(),
            rank,
            key: setting.key.clone(),
            mean: None,
            values: vec![1.0; rank],
            vectors: Vec::new(),
            reference: Vec::new(),
            like: Grads::zeros(&setting.layout),
            frame: None,
        };
        let fresh = (0..rank).map(|j| rule.drawn(0, 1 + j as u64));
        rule.reference = orthonormal(fresh.collect(), d);
        rule.vectors = rule.reference.concat();
        rule.begin(0);
        Ok(Box::new(rule))
    }
}

struct Rule {
    settings: GeoClipK,
    rank: usize,
    key: Arc<Key>,
    mean: Option<Grads>,
    values: Vec<f64>,
    vectors: Vec<f64>,
    /// Public directions that coordinates are turned towards.
    reference: Vec<Vec<f64>>,
    like: Grads,
    frame: Option<(Frame, Vec<f64>, Vec<Vec<f64>>)>,
}

/// Makes vectors of `d` numbers orthonormal, in order (Gram & Schmidt, twice); zeros in the place of what is in the span.
pub(super) fn orthonormal(vectors: Vec<Vec<f64>>, d: usize) -> Vec<Vec<f64>> {
    let mut done: Vec<Vec<f64>> = Vec::new();
    for mut v in vectors {
        let whole = dot(&v, &v).sqrt();
        for u in done.iter().chain(&done) {
            let by = dot(&v, u);
            v.iter_mut().zip(u).for_each(|(v, u)| *v -= by * u);
        }
        let left = dot(&v, &v).sqrt();
        let by = if left > 1e-9 * whole && whole > 0.0 { left.recip() } else { 0.0 };
        v.iter_mut().for_each(|x| *x *= by);
        debug_assert_eq!(v.len(), d);
        done.push(v);
    }
    done
}

/// Eigenvalues held in falling order, a hundredth apart, so that which direction is which does not hang on the last digit.
fn apart(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut most = f64::INFINITY;
    let next = |l: f64| {
        let l = l.min(most);
        most = 0.99 * l;
        l
    };
    values.map(next).collect()
}

/// The turn of `vectors` that comes nearest to `reference`: the orthogonal part of their inner products.
fn towards(vectors: &[Vec<f64>], reference: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let k = vectors.len();
    let a: Vec<Vec<f64>> = vectors.iter().map(|v| reference.iter().map(|u| dot(v, u)).collect()).collect();
    let gram = (0..k * k).map(|i| a.iter().map(|row| row[i / k] * row[i % k]).sum()).collect();
    let (values, turns) = eigen::symmetric(gram, k);
    let root = |i: usize, j: usize| {
        let term = |t: usize| turns[t * k + i] * turns[t * k + j] / values[t].max(1e-12).sqrt();
        (0..k).map(term).sum::<f64>()
    };
    a.iter().map(|row| (0..k).map(|j| (0..k).map(|i| row[i] * root(i, j)).sum()).collect()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Rule {
    /// A random direction of public coins.
    fn drawn(&self, step: u64, which: u64) -> Vec<f64> {
        let stream = self.key.stream(Purpose::Permute, step, 2);
        let mut v = vec![0.0; self.like.flat().len()];
        stream.fill_normal_f64(which << 40, &mut v);
        v
    }
}

impl State for Rule {
    fn state(&mut self, visit: &mut Visit) {
        visit.grads("mean", &mut self.mean);
        visit.numbers("values", &mut self.values);
        visit.numbers("vectors", &mut self.vectors);
    }
}

impl ClipRule for Rule {
    fn begin(&mut self, step: u64) {
        let d = self.like.flat().len();
        let mut vectors: Vec<Vec<f64>> = self.vectors.chunks(d.max(1)).map(<[f64]>::to_vec).collect();
        vectors.resize(self.rank, vec![0.0; d]);
        let values = apart(self.values.iter().map(|l| l.clamp(self.settings.floor, self.settings.cap)));
        if self.rank < d {
            vectors[self.rank - 1] = self.drawn(step, 0);
        }
        let vectors = orthonormal(vectors, d);
        let turn = Turn::new(&values, vectors.clone()).turned(&towards(&vectors, &self.reference));
        self.frame = Some((turn.frame(&self.like, self.mean.as_ref()), values, vectors));
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        vec![self.settings.bound.get(); groups]
    }
    fn weigh(&self, norms: Each) -> Each {
        flat::weights(norms, &[self.settings.bound.get()])
    }
    fn frame(&self) -> Option<&Frame> {
        self.frame.as_ref().map(|(frame, ..)| frame)
    }
    fn learn(&mut self, news: &News) {
        let Some((_, values, vectors)) = &self.frame else { return };
        let GeoClipK { beta1, beta3, subtract_noise, .. } = self.settings;
        let d = self.like.flat().len();
        let mean = self.mean.get_or_insert_with(|| self.like.clone());
        mean.zip_with(news.gradient, |a, g| *a = (beta1 * f64::from(*a) + (1.0 - beta1) * f64::from(g)) as f32);
        let gap = news.gradient.flat().iter().zip(mean.flat()).map(|(g, a)| f64::from(g - a) * (1.0 - beta3).sqrt());
        let scaled = |(l, v): (&f64, &Vec<f64>)| v.iter().map(|x| x * (beta3 * l).sqrt()).collect::<Vec<f64>>();
        let columns: Vec<Vec<f64>> = values.iter().zip(vectors).map(scaled).chain([gap.collect()]).collect();
        let (mut found, turned) = thin(&columns, d);
        found.truncate(self.rank);
        if subtract_noise {
            let whole: f64 = values.iter().map(|l| l.sqrt()).sum();
            let noise = (1.0 - beta3) * (news.deviation / news.lot).powi(2) * whole;
            found.iter_mut().zip(values).for_each(|(l, was)| *l -= noise * was.sqrt());
        }
        self.values = found;
        self.vectors = turned.into_iter().take(self.rank).collect::<Vec<_>>().concat();
    }
}

/// Squares of the singular values of the matrix of these columns, largest first, and its left singular vectors.
fn thin(columns: &[Vec<f64>], d: usize) -> (Vec<f64>, Vec<Vec<f64>>) {
    let k = columns.len();
    let gram = (0..k * k).map(|i| dot(&columns[i / k], &columns[i % k])).collect();
    let (values, turns) = eigen::symmetric(gram, k);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    let vector = |j: &usize| {
        let mut v = vec![0.0; d];
        for (column, by) in columns.iter().zip(&turns[j * k..(j + 1) * k]) {
            v.iter_mut().zip(column).for_each(|(v, c)| *v += by * c);
        }
        v
    };
    let vectors = orthonormal(order.iter().map(vector).collect(), d);
    (order.iter().map(|j| values[*j].max(0.0)).collect(), vectors)
}

#[cfg(test)]
mod tests {
    use super::{super::trial::*, *};

    /// V = (e1, e2), lam = (4, 1), g~ - a = (1, 2, 1.5), beta3 = 0.99.
    #[test]
    fn published_decomposition() {
        let unit = |j: usize, by: f64| (0..3).map(|i| if i == j { by } else { 0.0 }).collect::<Vec<f64>>();
        let gap: Vec<f64> = [1.0, 2.0, 1.5].iter().map(|x| x * 0.1).collect();
        let (values, vectors) = thin(&[unit(0, 3.96f64.sqrt()), unit(1, 0.99f64.sqrt()), gap], 3);
        close(&values, &[3.9701946066, 1.0307504154, 0.0215549781], 1e-9);
        let rank2 = |i: usize, j: usize| (0..2).map(|k| values[k] * vectors[k][i] * vectors[k][j]).sum::<f64>();
        let got = [rank2(0, 0), rank2(0, 1), rank2(0, 2), rank2(1, 1), rank2(1, 2), rank2(2, 2)];
        close(&got, &[3.9699997134, 0.0199976681, 0.0150785762, 1.0299810337, 0.0306391030, 0.0009642749], 1e-9);
        let turn = Turn::new(&values[..2], vectors[..2].to_vec());
        let diagonal = |i: usize| turn.into.iter().map(|v| v[i] * v[i]).sum::<f64>();
        close(&[diagonal(0), diagonal(1), diagonal(2)], &[0.1668631797, 0.3271771304, 0.0002901171], 1e-9);
    }

    /// As published, coordinates beyond the first `k` are never trained; here all of them move.
    #[test]
    fn the_whole_space_is_trained() {
        let mut rule = rule("rule = \"geoclip-k\"\nrank = 2");
        let mut moved = [0.0f64; 3];
        for t in 0..50 {
            let mean = step(&mut *rule, t, &[[0.0, 0.0, 1.0], [0.0, 0.0, 0.9]], &[0.0; 2], 2.0);
            moved.iter_mut().zip(mean).for_each(|(m, x)| *m += x);
        }
        assert!(moved[2] > 5.0, "{moved:?}");
    }
}
