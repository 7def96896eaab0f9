//! What is added up over a lot while it is secret: weighted sums, answers, crowds, and what is kept for next time.
use super::{ClipRule, Price, Question, TINY, grouping::Groups};
use crate::{each::Each, grads::Grads, tap::Taps, team::Team};
use engine::{
    Device, Tensor,
    op::{Curve, Weighing},
};
use privacy::{Stream, Sum};
use std::collections::{BTreeMap, HashMap};

/// Crowds of examples, by a public hash of their numbers that no other example has a part in.
pub struct Crowds {
    /// How many there are.
    pub count: u64,
    /// Example `n` belongs to crowd `word(n) % count`.
    pub stream: Stream,
}

/// What was cut off each example's gradient so far: as secret as the gradients.
#[derive(Default)]
pub struct Residuals(HashMap<usize, Vec<f32>>);

impl Residuals {
    /// Keeps what a lot left.
    pub(super) fn keep(&mut self, left: Vec<(usize, Vec<f32>)>) {
        self.0.extend(left);
    }

    /// Each gradient with what was cut off it before.
    pub(super) fn add(&self, taps: Taps) -> Taps {
        let (mut rows, layout) = (taps.rows(), taps.layout().clone());
        for (p, rows) in rows.iter_mut().enumerate() {
            let range = layout.range(p);
            for (row, who) in rows.data_mut().chunks_mut(range.len().max(1)).zip(&taps.who) {
                let kept = self.0.get(who).map(|e| &e[range.clone()]);
                kept.into_iter().for_each(|e| row.iter_mut().zip(e).for_each(|(x, e)| *x += e));
            }
        }
        taps.with_rows(&layout, rows)
    }
}

/// A sum over some of a lot's examples, and what goes with it.
pub(super) struct Parts {
    pub sum: Grads,
    pub answer: Vec<f64>,
    /// The sum of each crowd's gradients and how many there are.
    pub crowds: BTreeMap<u64, (Grads, f64)>,
    /// What is to be remembered of each example.
    pub left: Vec<(usize, Vec<f32>)>,
}

impl Parts {
    /// Of nobody.
    pub fn empty(groups: &Groups) -> Parts {
        let answer = vec![0.0; groups.question.map_or(0, |question| question.width)];
        Parts { sum: Grads::zeros(&groups.layout), answer, crowds: BTreeMap::new(), left: Vec::new() }
    }

    /// Of these examples, weighed as `rule` proposes and capped.
    pub fn of(rule: &dyn ClipRule, groups: &Groups, taps: Taps, residuals: Option<&Residuals>) -> Parts {
        let dots = taps.dots(rule.directions());
        let taps = residuals.iter().fold(taps, |taps, residuals| residuals.add(taps));
        let mut taps = rule.frame().into_iter().fold(taps, |taps, frame| frame.enter(taps));
        let mut norms = match curves(rule, groups) {
            None => taps.norms(&groups.of, groups.count),
            Some(curves) => {
                let (bounds, present) = (&groups.bounds[..], taps.present);
                match taps.weights(&groups.of, &Weighing { curves: &curves, bounds, tiny: TINY, present }) {
                    Ok(weights) => return Parts::weighed_there(groups, &taps, &weights),
                    Err(squares) => squares,
                }
            }
        };
        norms.iter_mut().for_each(|square| *square = square.sqrt());
        match &groups.crowds {
            Some(crowds) => Parts { crowds: gather(crowds, groups, &taps, &norms), ..Parts::empty(groups) },
            None => Parts::weighed(rule, groups, &taps, norms, &dots),
        }
    }

    /// Weighed and capped where the norms are: nobody waits for them.
    fn weighed_there(groups: &Groups, taps: &Taps, weights: &[Tensor]) -> Parts {
        #[cfg(test)]
        assert!(!UNCAPPED.get(), "a GPU's cap cannot be taken away");
        let sum = taps.sum_columns(weights, &groups.of);
        Parts { sum, answer: Vec::new(), crowds: BTreeMap::new(), left: Vec::new() }
    }

    fn weighed(rule: &dyn ClipRule, groups: &Groups, taps: &Taps, norms: Vec<f64>, dots: &[f64]) -> Parts {
        let n = norms.len() / groups.count;
        let proposed = rule.weigh(shown(&norms, groups.count, dots)).into_rows(n, groups.count);
        let mut weights = cap(&proposed, &norms, &groups.bounds);
        weights[taps.present * groups.count..].fill(0.0);
        let answer = groups.question.map_or_else(Vec::new, |question| {
            let most = most(&question, &weights, &norms, groups);
            let answers = rule.answer(Each::new(norms, groups.count)).into_rows(n, question.width);
            total(&answers, &most, question.width)
        });
        let sum = taps.sum(&weights, &groups.of, groups.count);
        let left = if rule.remembers() { left(taps, &weights, groups) } else { Vec::new() };
        Parts { sum, answer, crowds: BTreeMap::new(), left }
    }

    /// Of two parts of one lot.
    pub fn merge(mut self, other: Parts) -> Parts {
        let sum = self.absorb(other);
        Parts { sum: self.sum.add(sum), ..self }
    }

    /// Of the parts of a team's devices, one at least.
    pub fn gather(mut parts: Vec<Parts>, team: &Team) -> Parts {
        let mut first = parts.remove(0);
        let others: Vec<Grads> = parts.into_iter().map(|part| first.absorb(part)).collect();
        let sum = team.sum(std::iter::once(first.sum).chain(others).collect());
        Parts { sum, answer: team.total(first.answer), ..first }
    }

    /// Takes over all of another part but its sum of gradients, which is handed back.
    fn absorb(&mut self, mut other: Parts) -> Grads {
        for (crowd, (sum, n)) in std::mem::take(&mut other.crowds) {
            let both = match self.crowds.remove(&crowd) {
                Some((earlier, m)) => (earlier.add(sum), m + n),
                None => (sum, n),
            };
            self.crowds.insert(crowd, both);
        }
        self.answer.iter_mut().zip(&other.answer).for_each(|(a, b)| *a += b);
        self.left.append(&mut other.left);
        other.sum
    }

    /// Clips each crowd's mean and adds them up.
    pub fn close(mut self, rule: &dyn ClipRule, groups: &Groups) -> Parts {
        for (sum, n) in std::mem::take(&mut self.crowds).into_values() {
            let mut mean = sum.scale(1.0 / n);
            let norms = norms(&mean, groups);
            let proposed = rule.weigh(Each::new(norms.clone(), groups.count)).into_rows(1, groups.count);
            let weights = cap(&proposed, &norms, &groups.bounds);
            for (p, group) in groups.of.iter().enumerate() {
                let w = weights[*group];
                mean.parameter_mut(p).iter_mut().for_each(|x| *x = if w == 0.0 { 0.0 } else { *x * w });
            }
            self.sum = self.sum.add(mean);
        }
        self
    }
}

/// The rule's weights in closed form, if that is all that it makes of gradients on a GPU.
pub(super) fn curves(rule: &dyn ClipRule, groups: &Groups) -> Option<Vec<Curve>> {
    let more =
        groups.question.is_some() || groups.crowds.is_some() || rule.remembers() || !rule.directions().is_empty();
    (!more && groups.layout.device() != Device::Cpu).then(|| rule.curves(groups.count)).flatten()
}

/// What a rule is shown: norms, and inner products after them.
pub(crate) fn shown(norms: &[f64], groups: usize, dots: &[f64]) -> Each {
    let k = dots.len() / (norms.len() / groups).max(1);
    if k == 0 {
        return Each::new(norms.to_vec(), groups);
    }
    let mut rows = Vec::with_capacity(norms.len() + dots.len());
    for (i, norms) in norms.chunks(groups).enumerate() {
        rows.extend_from_slice(norms);
        rows.extend_from_slice(&dots[i * k..(i + 1) * k]);
    }
    Each::new(rows, groups + k)
}

#[cfg(test)]
thread_local! {
    /// Takes the cap away, to see that its absence is noticed.
    pub(crate) static UNCAPPED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

/// Each example's weights, no larger than its bounds allow; all zero if any of its norms or weights is not finite.
///
/// # Panics
/// If there is not a proposal for each norm.
pub fn cap(proposed: &[f64], norms: &[f64], bounds: &[f64]) -> Vec<f32> {
    assert_eq!(proposed.len(), norms.len(), "one proposal a norm");
    #[cfg(test)]
    if UNCAPPED.get() {
        return proposed.iter().map(|w| *w as f32).collect();
    }
    let groups = bounds.len();
    let mut weights = vec![0.0; proposed.len()];
    let rows = proposed.chunks_exact(groups).zip(norms.chunks_exact(groups));
    for (weights, (proposed, norms)) in weights.chunks_exact_mut(groups).zip(rows) {
        if proposed.iter().chain(norms).all(|x| x.is_finite()) {
            let all = proposed.iter().zip(norms).zip(bounds);
            weights.iter_mut().zip(all).for_each(|(weight, ((w, n), c))| *weight = capped(*w, *n, *c));
        }
    }
    weights
}

/// No factor of a gradient that counts, none being longer than `2^63`, becomes infinite by a weight up to this.
const HEAVIEST: f64 = 1e19;

/// The weight itself, or `c / n` if it is more: most are not, and are spared the division.
fn capped(w: f64, n: f64, c: f64) -> f32 {
    let (w, n) = (w.clamp(0.0, HEAVIEST), n.max(TINY));
    down(if w * n <= c { w } else { c / n })
}

/// The largest f32 that is not above `w`: tiny weights of enormous gradients lose digits, and must not lose them upwards.
fn down(w: f64) -> f32 {
    let near = w as f32;
    if f64::from(near) > w { near.next_down() } else { near }
}

/// How long each example's answer may be: as the question says, or what its clipped gradient leaves of the bound. Nobody
/// whose gradient is not finite answers.
fn most(question: &Question, weights: &[f32], norms: &[f64], groups: &Groups) -> Vec<f64> {
    let rows = weights.chunks(groups.count).zip(norms.chunks(groups.count));
    let most = rows.map(|(weights, norms)| match question.price {
        _ if !norms.iter().all(|n| n.is_finite()) => 0.0,
        Price::Apart { bound, .. } => bound,
        Price::Room => {
            let used = weights.iter().zip(norms).map(|(w, n)| (f64::from(*w) * n.max(TINY)).powi(2));
            (groups.total().powi(2) - used.sum::<f64>()).max(0.0).sqrt()
        }
    });
    most.collect()
}

/// The sum of answers, each shortened to its most.
fn total(rows: &[f64], most: &[f64], width: usize) -> Vec<f64> {
    let mut sum = vec![0.0; width];
    for (row, most) in rows.chunks(width.max(1)).zip(most) {
        let long = row.iter().map(|x| x * x).sum::<f64>().sqrt();
        if long.is_finite() && long > 0.0 {
            let by = (most / long).min(1.0);
            sum.iter_mut().zip(row).for_each(|(s, x)| *s += by * x);
        }
    }
    sum
}

/// What each example's weights leave of its gradient. Nothing is kept of an example whose gradient is not finite.
fn left(taps: &Taps, weights: &[f32], groups: &Groups) -> Vec<(usize, Vec<f32>)> {
    let rows = taps.rows();
    let of = |(i, who): (usize, &usize)| {
        let weights = &weights[i * groups.count..(i + 1) * groups.count];
        let part = |(rows, group): (&engine::Tensor, &usize)| {
            let by = 1.0 - weights[*group];
            rows.row(i).iter().map(|x| x * by).collect::<Vec<f32>>()
        };
        let kept: Vec<f32> = rows.iter().zip(&groups.of).flat_map(part).collect();
        kept.iter().all(|x| x.is_finite()).then_some((*who, kept))
    };
    taps.who.iter().enumerate().filter_map(of).collect()
}

/// Plain sums by crowd, of the examples whose norms are finite.
fn gather(crowds: &Crowds, groups: &Groups, taps: &Taps, norms: &[f64]) -> BTreeMap<u64, (Grads, f64)> {
    let mut members: BTreeMap<u64, Vec<f32>> = BTreeMap::new();
    for (i, (who, norms)) in taps.who.iter().zip(norms.chunks(groups.count)).enumerate() {
        if norms.iter().all(|n| n.is_finite()) {
            let crowd = crowds.stream.word(*who as u64) % crowds.count.max(1);
            members.entry(crowd).or_insert_with(|| vec![0.0; taps.len()])[i] = 1.0;
        }
    }
    let all = vec![0; groups.of.len()];
    let sum = |(crowd, weights): (u64, Vec<f32>)| {
        let n = weights.iter().map(|w| f64::from(*w)).sum();
        (crowd, (taps.sum(&weights, &all, 1), n))
    };
    members.into_iter().map(sum).collect()
}

/// The norm of each group of one gradient.
fn norms(of: &Grads, groups: &Groups) -> Vec<f64> {
    let mut squares = vec![0.0; groups.count];
    for (p, group) in groups.of.iter().enumerate() {
        squares[*group] += of.parameter(p).iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    }
    squares.into_iter().map(f64::sqrt).collect()
}
