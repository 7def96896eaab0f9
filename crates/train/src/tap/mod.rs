//! Taps: every example's gradient, not yet multiplied out.
//!
//! A layer's backward does not compute parameter gradients; it leaves, for each parameter, the factors of every
//! example's gradient. There are four kinds ([`Product`], [`Scatter`], [`Rows`], and [`Tied`] for a table used twice), so
//! per-example mathematics is written four times and not once a layer. `rows` is the definition; `norms`, `sum` and `dot` are short cuts that must agree
//! with it (Goodfellow 2015, arXiv 1510.01799; book-keeping: Bu et al. 2022, arXiv 2210.00038).
//!
//! # Why this is private
//! *Claim.* `norms` is each example's gradient norm over ALL of the parameters, or an over-estimate, and `sum` adds the
//! same gradients that were measured.
//! *Argument.* Taps are grouped by parameter before a norm is taken: a parameter that was used twice is measured on the
//! sum of its two gradients, by the definition, so cross terms are exact. An example whose norm is not finite gets
//! weight zero, and a weight of exactly zero removes it from every sum, whatever its factors hold. Norms may be taken as taps
//! are left: of the very taps that are summed, and whatever makes other gradients of them forgets such norms.
//! Where people have several records, a tap is added up over each person's as it is left, before anything is measured: positions of all
//! records become one person's, or rows are summed. What follows sees one gradient a person. A place without a share in its person's
//! mean has its gradient set to zero where the backward pass begins; it repeats one of the person's own records, coins and all, so that
//! whatever else it holds is as finite as that one.
//! A large sum on a GPU is not cleared as a whole: every parameter's numbers are written, or cleared, before anything is added to them
//! (`PerExample::sum_alone`), so that nothing of what was in that memory is left.
//! *Tests.* `short_cuts_agree_with_rows`, `a_parameter_used_twice_is_measured_whole`, `a_silent_example_adds_nothing`,
//! `people_are_added_up_before_they_are_measured`, `norms_taken_on_the_way_are_those_taken_afterwards`, `norms_taken_early_are_forgotten_when_gradients_change`,
//! `sums_that_are_not_cleared_are_written_whole` (`tests/gpu/models.rs`).
mod adapted;
mod blend;
mod kind;
mod product;
mod rows;
mod scaled;
mod scaling;
mod scatter;
#[cfg(test)]
mod tests;
mod tied;

use crate::grads::{Grads, Layout};
pub(crate) use adapted::Adapted;
pub use blend::Blend;
use engine::{
    Device, Tensor,
    op::{self, Activation, per_example},
};
pub use kind::{PerExample, Turn};
pub use product::{Factor, Product};
pub use rows::{Rows, Squares};
pub use scaled::Scaled;
pub use scaling::Scaling;
pub use scatter::Scatter;
use std::sync::Arc;
pub use tied::Tied;

/// What one backward pass left: the gradients of `n` examples with respect to every parameter.
pub struct Taps {
    n: usize,
    layout: Arc<Layout>,
    taps: Vec<Vec<Box<dyn PerExample>>>,
    /// Squared norms that were taken as a parameter's only tap was left.
    early_squares: Vec<Option<per_example::Squares>>,
    early: bool,
    /// Where several records are one person's: how many, and the share of each in its person's mean.
    people: Option<(usize, Tensor)>,
    /// What takes gradients of adapted matrices apart.
    adapted: Vec<Adapted>,
    /// The gradient that a layer handed on, and its sums over positions, if it came by them.
    sums: Option<(Tensor, Tensor)>,
    /// The input of the layer that was last at work, and where its rows' squared norms go.
    input: Option<(Tensor, Squares)>,
    /// Each example's loss, `[n]`; where nobody said, all count as finite.
    pub(crate) losses: Option<Tensor>,
    /// How many of the examples take part: the first ones. Others fill up rows, and their weight is 0.
    pub(crate) present: usize,
    /// The number of each example in the data set; in order from 0 unless somebody says otherwise.
    pub who: Vec<usize>,
    /// Whether the layer now at work should compute the gradient with respect to its input.
    pub input_wanted: bool,
}

/// Sums on a GPU of so many numbers are not cleared as a whole before they are made: what sums one parameter writes its numbers first, or clears
/// them. Fewer are sooner cleared than told apart.
const MANY: usize = 1 << 22;
/// Up to so many inner products are taken one at a time.
const FEW: usize = 2;

impl Taps {
    /// Room for `n` examples' gradients of `layout`'s parameters.
    pub fn new(n: usize, layout: &Arc<Layout>) -> Self {
        let parameters = layout.parameters();
        Taps {
            n,
            layout: layout.clone(),
            taps: parameters.iter().map(|_| Vec::new()).collect(),
            early_squares: parameters.iter().map(|_| None).collect(),
            early: false,
            people: None,
            adapted: Vec::new(),
            sums: None,
            input: None,
            losses: None,
            present: n,
            who: (0..n).collect(),
            input_wanted: true,
        }
    }

    /// The same, of weights some of which are adapted.
    pub(crate) fn beside(mut self, adapted: &[Adapted]) -> Self {
        self.adapted = adapted.to_vec();
        self
    }

    /// The same, of the gradients of people, who have `each` records in a row of the batch: each record's gradient counts by its share.
    /// A share of 0 takes a record out, whatever its numbers are.
    ///
    /// # Panics
    /// If there are not `each` shares for each person.
    pub(crate) fn of_people(mut self, each: usize, shares: Vec<f32>) -> Self {
        assert!(shares.len() == self.n * each, "{} shares of {} people with {each} records", shares.len(), self.n);
        self.people = Some((each, Tensor::new([shares.len()], shares).to(self.layout.device())));
        self
    }

    /// Each record's loss, `[n]`, and its gradient with respect to the record's outputs, as shares in each person's mean; the losses
    /// added up for each person.
    pub(crate) fn shared(&self, losses: Tensor, dy: Tensor) -> (Tensor, Tensor) {
        let Some((each, shares)) = &self.people else { return (losses, dy) };
        let losses = op::weigh_rows(losses, shares).reshape([self.n, *each, 1]);
        (op::bias_rows_last(&losses).reshape([self.n]), op::weigh_rows(dy, shares))
    }

    /// On a processor, takes norms from now on as taps are left, while their factors are still in its caches: for whoever will
    /// ask for the norms of these very gradients.
    pub fn measured(mut self) -> Self {
        self.early = self.layout.device() == Device::Cpu;
        self
    }

    /// Leaves one tap for parameter `id`, as [`View::id`](crate::layer::View::id) says it; of a frozen one, for which there is no number,
    /// it is not even made.
    pub fn leave<T: PerExample + 'static>(&mut self, id: impl Into<Option<usize>>, tap: impl FnOnce() -> T) {
        // Of a layer that had no use for them.
        self.sums = None;
        let Some(id) = id.into() else { return };
        match id.checked_sub(self.taps.len()) {
            None => self.put(id, tap()),
            Some(adapter) => {
                let apart = self.adapted[adapter].taps(&tap());
                apart.into_iter().for_each(|(id, tap)| self.put(id, tap));
            }
        }
    }

    fn put(&mut self, id: usize, tap: impl PerExample + 'static) {
        let mut tap: Box<dyn PerExample> = match self.people {
            Some((each, _)) => tap.of_people(each).unwrap_or_else(|| Box::new(Rows::added_up(tap.rows(), each))),
            None => Box::new(tap),
        };
        let now = self.early && self.taps[id].is_empty() && tap.turn() == Turn::Now;
        self.early_squares[id] = now.then(|| tap.norms());
        self.taps[id].push(tap);
    }

    /// The gradient before `activation`, of whose outputs `y` the gradients are `dy`. Where norms will be asked for, the squared
    /// norms of the result's rows come with it, and those of `y` go to the layer whose input it was.
    pub(crate) fn slope(&mut self, activation: Activation, y: &Tensor, dy: Tensor) -> (Tensor, Squares) {
        if !self.early || self.people.is_some() || y.shape().len() != 2 {
            return (activation.backward(y, dy), Squares::default());
        }
        let (dy, [of_y, of_dy]) = activation.backward_measured(y, dy);
        let same = |x: &Tensor| x.rows() == y.rows() && std::ptr::eq(x.data(), y.data());
        if let Some((_, squares)) = self.input.take().filter(|(x, _)| same(x)) {
            let _ = squares.set(of_y);
        }
        (dy, Arc::new(of_dy.into()))
    }

    /// Where the squared norms of the rows of `x`, a layer's input, will be, if the layer before comes by them.
    pub(crate) fn squares_of_input(&mut self, x: &Tensor) -> Squares {
        let squares = Squares::default();
        if self.early && self.people.is_none() {
            self.input = Some((x.clone(), squares.clone()));
        }
        squares
    }

    /// Notes the sums over positions of a gradient `[n, t, d]` that is handed on to the layer before.
    pub(crate) fn know_sums(&mut self, dx: &Tensor, sums: Tensor) {
        self.sums = Some((dx.clone(), sums));
    }

    /// Every example's own sums over positions of `dy` `[n, t, d]`, `[n, d]`: those that are known, or made now.
    pub(crate) fn sums_over_positions(&mut self, dy: &Tensor) -> Tensor {
        let known = self.sums.take().filter(|(dx, _)| dx.shape() == dy.shape() && dx.is_shared_with(dy));
        known.map_or_else(|| op::bias_rows_last(dy), |(_, sums)| sums)
    }

    /// Forgets norms: the gradients are about to be others.
    fn forget(&mut self) {
        self.early = false;
        self.early_squares.iter_mut().for_each(|squares| *squares = None);
    }

    /// How many examples.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// 1 for each example that takes part and whose loss is a finite number, 0 for the others, `[n]`.
    pub fn finite(&self) -> Tensor {
        let ones = (0..self.n).map(|i| f32::from(u8::from(i < self.present)));
        let all = || Tensor::new([self.n], ones.collect()).to(self.layout.device());
        self.losses.as_ref().map_or_else(all, |losses| op::finite(losses, self.present))
    }

    /// How many parameters.
    pub fn parameters(&self) -> usize {
        self.taps.len()
    }

    /// The parameters nobody tapped.
    pub fn untapped(&self) -> Vec<&str> {
        let parameters = self.layout.parameters().iter().zip(&self.taps);
        parameters.filter(|(_, taps)| taps.is_empty()).map(|(p, _)| p.name.as_str()).collect()
    }

    /// Replaces several taps of one parameter by their exact sum, so that whatever follows sees one gradient.
    fn join(&mut self) {
        for taps in self.taps.iter_mut().filter(|taps| taps.len() > 1) {
            let joined = taps.drain(..).map(|t| t.rows()).reduce(|a, b| op::add(a, &b));
            taps.extend(joined.map(|rows| Box::new(Rows::new(rows)) as Box<dyn PerExample>));
        }
    }

    /// The same examples' gradients seen from several places, each times its number, as one gradient: what is added up is
    /// measured whole, like a parameter that was used several times.
    ///
    /// # Panics
    /// If there is no look.
    pub fn blended(looks: Vec<(f64, Taps)>) -> Taps {
        let mut looks = looks.into_iter().map(|(by, taps)| taps.times(by));
        let first = looks.next().unwrap_or_else(|| unreachable!("a gradient is looked at from somewhere"));
        looks.fold(first, |mut all, look| {
            all.forget();
            all.taps.iter_mut().zip(look.taps).for_each(|(a, b)| a.extend(b));
            all.losses = match (all.losses.take(), look.losses) {
                // A sum is finite where both are, but for sums too large, which count as not finite too.
                (Some(a), Some(b)) => Some(op::add(a, &b)),
                (a, b) => a.or(b),
            };
            all
        })
    }

    fn times(mut self, by: f64) -> Taps {
        if by != 1.0 {
            self.forget();
            let blend = |tap| Box::new(Blend::new(tap, by as f32)) as Box<dyn PerExample>;
            self.taps = self.taps.into_iter().map(|taps| taps.into_iter().map(blend).collect()).collect();
        }
        self
    }

    /// Every gradient in other coordinates: `scale * (g - shift)`, coordinate by coordinate.
    pub fn scaled(mut self, scaling: &Arc<Scaling>) -> Taps {
        self.join();
        self.forget();
        let whole = self.taps.into_iter().enumerate().map(|(p, taps)| {
            let scaled = |tap| Box::new(Scaled::new(tap, scaling.clone(), p)) as Box<dyn PerExample>;
            taps.into_iter().map(scaled).collect()
        });
        self.taps = whole.collect();
        self
    }

    /// The same examples with other gradients, given by rows `[n, p]`: one tensor for each of `layout`'s parameters.
    pub fn with_rows(self, layout: &Arc<Layout>, rows: Vec<Tensor>) -> Taps {
        let rows = rows.into_iter().map(|rows| rows.to(layout.device()));
        let taps = rows.map(|rows| vec![Box::new(Rows::new(rows)) as Box<dyn PerExample>]).collect();
        let early_squares = (0..layout.parameters().len()).map(|_| None).collect();
        Taps { layout: layout.clone(), taps, early_squares, early: false, sums: None, input: None, ..self }
    }

    /// The parameters that were tapped.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Squared norms, `[n, groups]` row by row, where parameter `p` belongs to group `group_of[p]`.
    pub fn norms(&mut self, group_of: &[usize], groups: usize) -> Vec<f64> {
        let (squares, tapped) = self.squares(group_of);
        per_example::Squares::total(squares, &tapped, self.n, groups)
    }

    /// Weights `[n]` for each group of parameters, made of the norms on the GPU where the gradients are.
    ///
    /// # Errors
    /// The squared norms, as [`Taps::norms`] says, where some of them are made on the host.
    pub fn weights(&mut self, group_of: &[usize], weighing: &op::Weighing) -> Result<Vec<Tensor>, Vec<f64>> {
        let ((squares, tapped), groups) = (self.squares(group_of), weighing.bounds.len());
        let there = per_example::Squares::weights(squares, &tapped, self.n, weighing);
        there.map_err(|squares| per_example::Squares::total(squares, &tapped, self.n, groups))
    }

    /// The squared norms that each tap makes, and the group of each.
    fn squares(&mut self, group_of: &[usize]) -> (Vec<per_example::Squares>, Vec<usize>) {
        self.join();
        let each = self.taps.iter_mut().zip(&mut self.early_squares);
        let each =
            each.flat_map(|(taps, early)| taps.iter_mut().map(|tap| early.take().unwrap_or_else(|| tap.norms())));
        let squares = each.collect();
        let tapped = self.taps.iter().zip(group_of).flat_map(|(taps, group)| taps.iter().map(move |_| *group));
        (squares, tapped.collect())
    }

    /// The weighted sum of gradients, with one weight for each example and group, `[n, groups]` row by row.
    pub fn sum(&self, weights: &[f32], group_of: &[usize], groups: usize) -> Grads {
        let column = |g| Tensor::new([self.n], weights.iter().skip(g).step_by(groups).copied().collect());
        let columns: Vec<Tensor> = (0..groups).map(|g| column(g).to(self.layout.device())).collect();
        self.sum_columns(&columns, group_of)
    }

    /// As [`Taps::sum`], with the weights of each group in a tensor `[n]` on the gradients' device.
    pub fn sum_columns(&self, columns: &[Tensor], group_of: &[usize]) -> Grads {
        let cleared = self.layout.device() == Device::Cpu || self.layout.len() < MANY;
        let mut out = if cleared { Grads::zeros(&self.layout) } else { Grads::unfilled(&self.layout) };
        let mut rows = Vec::new();
        for (p, taps) in self.taps.iter().enumerate() {
            let weights = &columns[group_of[p]];
            match taps.as_slice() {
                [] if !cleared => out.part_mut(p).clear(),
                [tap] if let Some(g) = tap.rows_there() => rows.push((g, weights, self.layout.range(p).start)),
                taps => taps.iter().enumerate().for_each(|(k, tap)| match cleared || k > 0 {
                    true => tap.sum(weights.into(), out.part_mut(p)),
                    false => tap.sum_alone(weights.into(), out.part_mut(p)),
                }),
            }
        }
        if !rows.is_empty() {
            per_example::rows_sums(&rows, out.all_mut(), cleared);
        }
        out
    }

    /// Inner product of each example's gradient with `v`, `[n]`.
    pub fn dot(&self, v: &Grads) -> Vec<f64> {
        let mut out = vec![0.0; self.n];
        for (p, taps) in self.taps.iter().enumerate() {
            for tap in taps {
                out.iter_mut().zip(tap.dot(v.part(p))).for_each(|(o, d)| *o += d);
            }
        }
        out
    }

    /// Inner products of each example's gradient with each of `directions`, `[n, k]` row by row: one at a time (`a^T V b` for
    /// a product), or, where there are more than a few on the processor, of gradients that are multiplied out once.
    pub fn dots(&self, directions: &[Grads]) -> Vec<f64> {
        let k = directions.len();
        let mut out = vec![0.0; self.n * k];
        if k <= FEW || self.layout.device() != Device::Cpu {
            for (j, direction) in directions.iter().enumerate() {
                out.iter_mut().skip(j).step_by(k).zip(self.dot(direction)).for_each(|(o, x)| *o = x);
            }
            return out;
        }
        self.each_rows(|p, rows| {
            let len = self.layout.range(p).len();
            if len > 0 {
                // In recycled storage: a vector of its own would join the buffers in waiting with every chunk.
                let mut stacked = Tensor::zeros([k, len]);
                let both = stacked.data_mut().chunks_mut(len).zip(directions);
                both.for_each(|(row, v)| row.copy_from_slice(v.parameter(p)));
                let dots = op::linear(&rows, &stacked, None);
                out.iter_mut().zip(dots.data()).for_each(|(o, x)| *o += f64::from(*x));
            }
        });
        out
    }

    /// Every example's gradient multiplied out, one parameter after the other: `[n, parameters]`.
    pub fn rows(&self) -> Vec<Tensor> {
        (0..self.taps.len()).map(|p| self.rows_of(p)).collect()
    }

    /// The same handed to `f` parameter by parameter, so that only one is multiplied out at a time.
    pub fn each_rows(&self, mut f: impl FnMut(usize, Tensor)) {
        (0..self.taps.len()).for_each(|p| f(p, self.rows_of(p)));
    }

    fn rows_of(&self, p: usize) -> Tensor {
        let whole = self.taps[p].iter().map(|t| t.rows()).reduce(|a, b| op::add(a, &b));
        whole.map_or_else(|| Tensor::zeros([self.n, self.layout.range(p).len()]), |rows| rows.to(Device::Cpu))
    }
}
