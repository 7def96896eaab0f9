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
//! weight zero, and a weight of exactly zero removes it from every sum, whatever its factors hold.
//! *Tests.* `short_cuts_agree_with_rows`, `a_parameter_used_twice_is_measured_whole`, `a_silent_example_adds_nothing`.
mod product;
mod rows;
mod scatter;
#[cfg(test)]
mod tests;
mod tied;

use crate::grads::{Grads, Layout};
use engine::{Part, PartMut, Tensor, op, op::per_example::Squares};
pub use product::{Factor, Product};
pub use rows::Rows;
pub use scatter::Scatter;
use std::sync::Arc;
pub use tied::Tied;

/// Every example's gradient of one parameter, of `p` numbers, in some factored form.
pub trait PerExample: Send {
    /// The definition: `[n, p]`, one example a row, in the parameter's layout.
    fn rows(&self) -> Tensor;
    /// Squared norm of each row, `[n]`. May keep what it computed for `sum`.
    fn norms(&mut self) -> Squares;
    /// Adds the sum of `weights[i]` times row `i` to `out` `[p]`. A weight of exactly 0 adds nothing, whatever the row
    /// holds.
    fn sum(&self, weights: Part, out: PartMut);
    /// Inner product of each row with `v`, `[n]`, without multiplying the rows out where that is cheaper.
    fn dot(&self, v: Part) -> Vec<f64>;
}

/// What one backward pass left: the gradients of `n` examples with respect to every parameter.
pub struct Taps {
    n: usize,
    layout: Arc<Layout>,
    taps: Vec<Vec<Box<dyn PerExample>>>,
    /// Each example's loss, `[n]`; where nobody said, all count as finite.
    pub(crate) losses: Option<Tensor>,
    /// Whether the layer now at work should compute the gradient with respect to its input.
    pub input_wanted: bool,
}

impl Taps {
    /// Room for `n` examples' gradients of `layout`'s parameters.
    pub fn new(n: usize, layout: &Arc<Layout>) -> Self {
        let taps = layout.parameters().iter().map(|_| Vec::new()).collect();
        Taps { n, layout: layout.clone(), taps, losses: None, input_wanted: true }
    }

    /// Leaves one tap for parameter `id`.
    pub fn leave(&mut self, id: usize, tap: impl PerExample + 'static) {
        self.taps[id].push(Box::new(tap));
    }

    /// How many examples.
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there are no examples.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// 1 for each example whose loss is a finite number, 0 for the others, `[n]`.
    pub fn finite(&self) -> Tensor {
        let all = || Tensor::new([self.n], vec![1.0; self.n]).to(self.layout.device());
        self.losses.as_ref().map_or_else(all, op::finite)
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

    /// Squared norms, `[n, groups]` row by row, where parameter `p` belongs to group `group_of[p]`.
    pub fn norms(&mut self, group_of: &[usize], groups: usize) -> Vec<f64> {
        self.join();
        let mut out = vec![0.0; self.n * groups];
        let squares: Vec<Squares> = self.taps.iter_mut().flatten().map(|tap| tap.norms()).collect();
        let tapped = self.taps.iter().zip(group_of).flat_map(|(taps, group)| taps.iter().map(move |_| group));
        for (norms, group) in Squares::all_to_host(squares).into_iter().zip(tapped) {
            norms.into_iter().enumerate().for_each(|(i, norm)| out[i * groups + group] += norm);
        }
        out
    }

    /// The weighted sum of gradients, with one weight for each example and group, `[n, groups]` row by row.
    pub fn sum(&self, weights: &[f32], group_of: &[usize], groups: usize) -> Grads {
        let column = |g| Tensor::new([self.n], weights.iter().skip(g).step_by(groups).copied().collect());
        let columns: Vec<Tensor> = (0..groups).map(|g| column(g).to(self.layout.device())).collect();
        self.sum_columns(&columns, group_of)
    }

    /// As [`Taps::sum`], with the weights of each group in a tensor `[n]` on the gradients' device.
    pub fn sum_columns(&self, columns: &[Tensor], group_of: &[usize]) -> Grads {
        let mut out = Grads::zeros(&self.layout);
        for (p, taps) in self.taps.iter().enumerate() {
            for tap in taps {
                tap.sum((&columns[group_of[p]]).into(), out.part_mut(p));
            }
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

    /// Every example's gradient multiplied out, one parameter after the other: `[n, parameters]`.
    pub fn rows(&self) -> Vec<Tensor> {
        let whole = |taps: &Vec<Box<dyn PerExample>>| taps.iter().map(|t| t.rows()).reduce(|a, b| op::add(a, &b));
        let blank = |p: usize| Tensor::zeros_on(self.layout.device(), [self.n, self.layout.range(p).len()]);
        self.taps.iter().enumerate().map(|(p, taps)| whole(taps).unwrap_or_else(|| blank(p))).collect()
    }
}
