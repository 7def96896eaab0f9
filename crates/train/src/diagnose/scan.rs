//! What all diagnostics share, taken in two passes that never hold more than one chunk of per-example gradients.
//!
//! The first pass takes norms, the mean gradient `v` and the sum of unit gradients. The second goes through the examples
//! from the shortest gradient to the longest: then the mean of gradients clipped at `c` is `(P + c S) / n` with `P` the sum
//! of gradients up to length `c` and `S` the sum of unit gradients beyond, so one pass serves every threshold, exactly, at
//! the memory of three gradients. Inner products (with `v`, with random directions) are taken inside the taps.
use super::{
    ruled::{Rule, Ruled},
    scene::{Scene, inner},
    statistics::{quantile, sorted},
};
use crate::{
    clip::Grouping,
    grads::{Grads, Layout},
    tap::Taps,
};
use privacy::{Key, Purpose, Sum};
use std::sync::Arc;

/// Thresholds of the curve, besides the configured one.
const THRESHOLDS: usize = 33;
/// Random directions.
const DIRECTIONS: usize = 24;
/// Directions are kept rather than made anew for each chunk while they are no more numbers than this altogether.
const KEPT: usize = 1 << 25;

/// The mean of gradients clipped at one threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// The threshold.
    pub c: f64,
    /// The squared norm of the mean clipped gradient.
    pub square: f64,
    /// Its inner product with the mean gradient.
    pub dot: f64,
}

/// Random directions in parameter space, each a function of a public key and its number: `d` standard normals.
pub struct Directions<'a> {
    key: &'a Key,
    layout: Arc<Layout>,
    kept: Vec<Grads>,
    count: usize,
}

impl<'a> Directions<'a> {
    /// `count` directions.
    pub fn new(key: &'a Key, layout: &Arc<Layout>, count: usize) -> Self {
        let mut all = Directions { key, layout: layout.clone(), kept: Vec::new(), count };
        if count * layout.len() <= KEPT {
            all.kept = (0..count).map(|k| all.make(k)).collect();
        }
        all
    }

    fn make(&self, k: usize) -> Grads {
        let mut direction = Grads::zeros(&self.layout);
        self.key.stream(Purpose::Permute, k as u64, 0).fill_normal(0, direction.flat_mut());
        direction
    }

    /// Each example's inner product with each direction: `count` rows of `[n]`. Nothing is multiplied out.
    pub fn dots(&self, taps: &Taps) -> Vec<Vec<f64>> {
        let one = |k: usize| match self.kept.get(k) {
            Some(direction) => taps.dot(direction),
            None => taps.dot(&self.make(k)),
        };
        (0..self.count).map(one).collect()
    }
}

/// What was taken. Rows are in the order of [`Scene::who`], examples without finite gradients left out.
pub struct Scan {
    /// The examples that were looked at.
    pub who: Vec<usize>,
    /// Examples left out because loss or gradient is not finite.
    pub lost: usize,
    /// Parameters of the model, `d`.
    pub parameters: usize,
    /// The layers' names.
    pub layers: Vec<String>,
    /// Norm of each example's gradient, `[n]`.
    pub norms: Vec<f64>,
    /// The same by layer, `[layers][n]`.
    pub layer_norms: Vec<Vec<f64>>,
    /// Inner product of each with the mean, `[n]`.
    pub dots: Vec<f64>,
    /// The mean gradient.
    pub mean: Grads,
    /// Means of clipped gradients, by ascending threshold.
    pub thresholds: Vec<Threshold>,
    /// What rules make of the gradients; the configured one first.
    pub rules: Vec<Ruled>,
    /// The mean of what examples contribute under the configured rule.
    pub contributed: Grads,
    /// Each example's gradient, less the mean, along each random direction: `[directions][n]`.
    pub projections: Vec<Vec<f64>>,
}

impl Scan {
    /// Looks at the scene.
    pub fn new(scene: &Scene) -> Scan {
        let first = First::pass(scene);
        let mut second = Second::new(scene, &first);
        second.pass(scene, &first);
        second.finish(scene, first)
    }

    /// How many examples were looked at.
    pub fn len(&self) -> usize {
        self.who.len()
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.who.is_empty()
    }

    /// The norm of the mean gradient.
    pub fn mean_norm(&self) -> f64 {
        self.mean.norm()
    }
}

/// Norms, the mean, the sum of unit gradients.
struct First {
    who: Vec<usize>,
    lost: usize,
    layers: Vec<String>,
    norms: Vec<f64>,
    layer_norms: Vec<Vec<f64>>,
    sum: Grads,
    units: Grads,
}

impl First {
    fn pass(scene: &Scene) -> First {
        let layout = scene.model.layout();
        let (group_of, groups) = Grouping::Layer.of(layout);
        let mut all = First {
            who: Vec::new(),
            lost: 0,
            layers: names(layout, &group_of, groups),
            norms: Vec::new(),
            layer_norms: vec![Vec::new(); groups],
            sum: Grads::zeros(layout),
            units: Grads::zeros(layout),
        };
        for (places, batch) in scene.chunks(&scene.who) {
            let mut taps = scene.model.taps(scene.weights, batch);
            let squares = taps.norms(&group_of, groups);
            all.take(&scene.who[places], &taps, &squares, groups);
        }
        all
    }

    fn take(&mut self, who: &[usize], taps: &Taps, squares: &[f64], groups: usize) {
        let norms: Vec<f64> = squares.chunks(groups).map(|row| row.iter().sum::<f64>().sqrt()).collect();
        let fine: Vec<bool> = norms
            .iter()
            .zip(taps.finite().into_data())
            .map(|(n, f)| *n < f64::from(f32::MAX).sqrt() && f > 0.0)
            .collect();
        let weigh = |w: &dyn Fn(f64) -> f64| -> Vec<f32> {
            norms.iter().zip(&fine).map(|(n, fine)| if *fine { w(*n) as f32 } else { 0.0 }).collect()
        };
        let group = vec![0; taps.parameters()];
        self.sum.zip_with(&taps.sum(&weigh(&|_| 1.0), &group, 1), |a, b| *a += b);
        self.units.zip_with(&taps.sum(&weigh(&unit), &group, 1), |a, b| *a += b);
        for (i, who) in who.iter().enumerate().filter(|(i, _)| fine[*i]) {
            self.who.push(*who);
            self.norms.push(norms[i]);
            self.layer_norms.iter_mut().enumerate().for_each(|(g, all)| all.push(squares[i * groups + g].sqrt()));
        }
        self.lost += fine.iter().filter(|fine| !**fine).count();
    }
}

/// Everything that needs the mean, or the norms in order.
struct Second<'a> {
    mean: Grads,
    directions: Directions<'a>,
    order: Vec<usize>,
    grid: Vec<f64>,
    below: Grads,
    beyond: Grads,
    thresholds: Vec<Threshold>,
    rules: Vec<Rule<'a>>,
    dots: Vec<f64>,
    projections: Vec<Vec<f64>>,
}

impl<'a> Second<'a> {
    fn new(scene: &Scene<'a>, first: &First) -> Self {
        let (layout, n) = (scene.model.layout(), first.norms.len());
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| first.norms[*a].total_cmp(&first.norms[*b]));
        Second {
            mean: first.sum.clone().scale(1.0 / n.max(1) as f64),
            directions: Directions::new(&scene.setting.key, layout, DIRECTIONS),
            order,
            grid: grid(&sorted(&first.norms), scene.setting.bound),
            below: Grads::zeros(layout),
            beyond: first.units.clone(),
            thresholds: Vec::new(),
            rules: scene.setting.rules.iter().map(|(name, rule)| Rule::new(name, &**rule, layout)).collect(),
            dots: vec![0.0; n],
            projections: vec![vec![0.0; n]; DIRECTIONS],
        }
    }

    fn pass(&mut self, scene: &Scene, first: &First) {
        let order = self.order.clone();
        let who: Vec<usize> = order.iter().map(|i| first.who[*i]).collect();
        for (places, batch) in scene.chunks(&who) {
            let mut taps = scene.model.taps(scene.weights, batch);
            let rows = &order[places];
            let norms: Vec<f64> = rows.iter().map(|i| first.norms[*i]).collect();
            self.rules.iter_mut().for_each(|rule| rule.take(&mut taps));
            self.products(&taps, rows);
            self.climb(&taps, &norms);
        }
        while self.thresholds.len() < self.grid.len() {
            self.record(first.norms.len());
        }
    }

    fn products(&mut self, taps: &Taps, rows: &[usize]) {
        let dots = taps.dot(&self.mean);
        rows.iter().zip(dots).for_each(|(i, dot)| self.dots[*i] = dot);
        for (all, dots) in self.projections.iter_mut().zip(self.directions.dots(taps)) {
            rows.iter().zip(dots).for_each(|(i, dot)| all[*i] = dot);
        }
    }

    /// Moves this chunk's gradients from beyond to below, stopping at every threshold on the way.
    fn climb(&mut self, taps: &Taps, norms: &[f64]) {
        let n = self.order.len();
        let last = norms.last().copied().unwrap_or(0.0);
        let mut from = 0;
        while let Some(c) = self.grid.get(self.thresholds.len()).copied().filter(|c| *c < last) {
            let to = norms.partition_point(|norm| *norm <= c);
            self.shift(taps, norms, from..to.max(from));
            from = to.max(from);
            self.record(n);
        }
        self.shift(taps, norms, from..norms.len());
    }

    fn shift(&mut self, taps: &Taps, norms: &[f64], part: std::ops::Range<usize>) {
        if part.is_empty() {
            return;
        }
        let weigh = |w: &dyn Fn(f64) -> f64| -> Vec<f32> {
            norms.iter().enumerate().map(|(i, n)| if part.contains(&i) { w(*n) as f32 } else { 0.0 }).collect()
        };
        let group = vec![0; taps.parameters()];
        self.below.zip_with(&taps.sum(&weigh(&|_| 1.0), &group, 1), |a, b| *a += b);
        self.beyond.zip_with(&taps.sum(&weigh(&unit), &group, 1), |a, b| *a -= b);
    }

    /// The mean of gradients clipped at the next threshold: everything up to it is below by now.
    fn record(&mut self, n: usize) {
        let c = self.grid[self.thresholds.len()];
        let clipped = self.below.clone().add_scaled(self.beyond.clone(), c).scale(1.0 / n.max(1) as f64);
        let threshold = Threshold { c, square: clipped.norm().powi(2), dot: inner(&clipped, &self.mean) };
        self.thresholds.push(threshold);
    }

    fn finish(self, scene: &Scene, first: First) -> Scan {
        let n = first.norms.len().max(1) as f64;
        let ascending = sorted(&first.norms);
        let rules: Vec<Ruled> = self.rules.iter().map(|rule| rule.finish(&self.mean, n, &ascending)).collect();
        let contributed = self.rules.first().map(|rule| rule.sum.clone().scale(1.0 / n));
        let centre = |mut row: Vec<f64>| {
            let mean = super::statistics::mean(&row);
            row.iter_mut().for_each(|x| *x -= mean);
            row
        };
        Scan {
            who: first.who,
            lost: first.lost,
            parameters: scene.model.layout().len(),
            layers: first.layers,
            norms: first.norms,
            layer_norms: first.layer_norms,
            dots: self.dots,
            contributed: contributed.unwrap_or_else(|| self.mean.clone()),
            mean: self.mean,
            thresholds: self.thresholds,
            rules,
            projections: self.projections.into_iter().map(centre).collect(),
        }
    }
}

fn unit(norm: f64) -> f64 {
    if norm > 0.0 { norm.recip() } else { 0.0 }
}

/// Thresholds from well below the shortest gradients to the longest, equal in ratio, and the configured one.
fn grid(ascending: &[f64], bound: f64) -> Vec<f64> {
    let positive = ascending.iter().copied().find(|n| *n > 0.0);
    let (Some(low), Some(high)) = (positive, ascending.last().copied()) else { return vec![bound] };
    let low = (quantile(ascending, 0.02).max(low).max(high * 1e-4) / 4.0).min(bound / 2.0);
    let high = (high * 1.05).max(bound * 1.05);
    let at = |k: usize| low * (high / low).powf(k as f64 / (THRESHOLDS - 1) as f64);
    sorted(&(0..THRESHOLDS).map(at).chain([bound]).filter(|c| c.is_finite()).collect::<Vec<_>>())
}

/// The name of each group of parameters: what their names have in common.
fn names(layout: &Layout, group_of: &[usize], groups: usize) -> Vec<String> {
    let mut names = vec![String::new(); groups];
    for (parameter, group) in layout.parameters().iter().zip(group_of) {
        let name = parameter.name.rsplit_once('.').map_or(parameter.name.as_str(), |(layer, _)| layer);
        name.clone_into(&mut names[*group]);
    }
    names
}
