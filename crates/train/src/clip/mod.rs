//! Clip rules. A rule *proposes* weights, seeing one example at a time; [`contribute`] caps them.
//!
//! A new rule is one file and one word in the list below. Its file opens with source, formula, sensitivity, cost class.
//!
//! # Why this is private
//! *Claim.* Whatever the rule, adding or removing one example moves the lot's sum by at most `Lot::sum`'s bound in L2.
//! *Argument.* The sum is one summand an example. A rule sees norms through [`Each`], which has no operation across
//! examples, by `&self`, so an example's weight depends on itself and released values only. `contribute` then caps each
//! weight at `bound / norm` (and at zero from below; what is not finite counts as zero), so each group of a summand is
//! no longer than its bound and the whole no longer than the root of their squares. Norms and sums are f32 products:
//! their rounding is covered by [`ROUNDING`], a margin on the vouched bound that the noise is scaled by.
//! A norm below [`TINY`] may have underflowed, so weights are capped as if it were `TINY`.
//! *Tests.* `every_rule_is_capped`, `one_row_at_a_time`, `leave_one_out` here; the specifications' vectors in
//! `clip/tests.rs`.
mod bound;
#[cfg(test)]
mod tests;

use crate::{
    each::Each,
    grads::{Grads, Layout},
    registry::registry,
    tap::Taps,
};
pub use bound::{Bound, BoundError};
use privacy::{Bounded, Secret};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

registry! {
    /// A clip rule as a configuration names it: `{ rule = "flat", bound = 1.0 }`.
    ClipConfig by "rule" as ClipRule:
    flat::Flat = "flat", "shorten gradients longer than the bound (Abadi et al. 2016)";
    auto_s::AutoS = "auto-s", "normalise by norm + gamma; no threshold to tune (Bu et al. 2022)";
    auto_v::AutoV = "auto-v", "normalise by the norm alone (Bu et al. 2022)";
}

/// Margin on the vouched bound for the rounding of f32 norms and sums, relative.
pub const ROUNDING: f64 = 1e-5;
/// Norms below this are treated as this when weights are capped: their squares may have underflowed in f32.
pub const TINY: f64 = 1e-12;

/// Over what the norms that a rule sees are taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grouping {
    /// All parameters together.
    #[default]
    Model,
    /// The parameters of each layer together.
    Layer,
    /// Each parameter by itself.
    Parameter,
}

impl Grouping {
    /// The group of each parameter, and how many groups there are.
    pub fn of(self, layout: &Layout) -> (Vec<usize>, usize) {
        let names = layout.parameters().iter().map(|p| p.name.as_str());
        let group = |name: &str| match self {
            Grouping::Model => String::new(),
            Grouping::Layer => name.rsplit_once('.').map_or("", |(layer, _)| layer).to_owned(),
            Grouping::Parameter => name.to_owned(),
        };
        let mut seen: Vec<String> = Vec::new();
        let of = names.map(|name| index(&mut seen, group(name))).collect();
        (of, seen.len().max(1))
    }
}

fn index(seen: &mut Vec<String>, group: String) -> usize {
    seen.iter().position(|s| *s == group).unwrap_or_else(|| {
        seen.push(group);
        seen.len() - 1
    })
}

/// One bound shared by `groups` groups so that their squares add up to its own: `C / sqrt(groups)` each.
pub fn split(bound: Bound, groups: usize) -> Vec<f64> {
    vec![bound.get() / (groups as f64).sqrt(); groups]
}

/// Proposes a weight for each example.
pub trait ClipRule: Send + Sync {
    /// Whether its settings make sense; says which does not.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
    /// Over what norms are taken.
    fn grouping(&self) -> Grouping {
        Grouping::Model
    }
    /// How far one example may move each group of the sum, in L2: one entry for each of `groups`.
    fn bounds(&self, groups: usize) -> Vec<f64>;
    /// Weights `[n, groups]` for norms `[n, groups]`.
    fn weigh(&self, norms: Each) -> Each;
}

/// How far one example may move the whole sum under `rule`, in L2, before the margin for rounding.
pub fn sensitivity(rule: &dyn ClipRule, layout: &Layout) -> f64 {
    let (_, groups) = rule.grouping().of(layout);
    rule.bounds(groups).iter().map(|c| c * c).sum::<f64>().sqrt()
}

/// Some of one round's examples, clipped and summed. A physical chunk is a lot; so is another device's share.
pub struct Lot {
    /// The sum, with what one example can move it by.
    pub sum: Bounded<Grads>,
}

impl Lot {
    /// The sum over nobody: what an empty draw contributes.
    pub fn empty(rule: &dyn ClipRule, layout: &Arc<Layout>) -> Lot {
        let total = sensitivity(rule, layout);
        Lot { sum: Secret::new(Grads::zeros(layout)).vouch(total * (1.0 + ROUNDING)) }
    }
    /// Two lots of different examples.
    pub fn merge(self, other: Lot) -> Lot {
        Lot { sum: self.sum.merge(other.sum) }
    }
}

/// Weighs each example as `rule` proposes, capped at the rule's bounds, and sums.
pub fn contribute(rule: &dyn ClipRule, layout: &Layout, taps: Secret<Taps>) -> Lot {
    let (group_of, groups) = rule.grouping().of(layout);
    let bounds = rule.bounds(groups);
    let total = sensitivity(rule, layout);
    let sum = taps.map(|mut taps| {
        let norms: Vec<f64> = taps.norms(&group_of, groups).into_iter().map(f64::sqrt).collect();
        let proposed = rule.weigh(Each::new(norms.clone(), groups)).into_rows();
        taps.sum(&cap(&proposed, &norms, &bounds), &group_of, groups)
    });
    Lot { sum: sum.vouch(total * (1.0 + ROUNDING)) }
}

/// NOT PRIVATE: the sum without clipping, for ordinary training. Examples whose loss is not finite are left out here too.
pub fn plain_sum(taps: &Taps) -> Grads {
    taps.sum_columns(&[taps.finite()], &vec![0; taps.parameters()])
}

/// Each example's weights, no larger than its bounds allow; all zero if any of its norms or weights is not finite.
fn cap(proposed: &[f64], norms: &[f64], bounds: &[f64]) -> Vec<f32> {
    let groups = bounds.len();
    let rows = proposed.chunks(groups).zip(norms.chunks(groups));
    rows.flat_map(|(weights, norms)| {
        let finite = weights.iter().chain(norms).all(|x| x.is_finite());
        let one = move |((w, n), c): ((&f64, &f64), &f64)| match finite {
            true => w.max(0.0).min(c / n.max(TINY)) as f32,
            false => 0.0,
        };
        weights.iter().zip(norms).zip(bounds).map(one)
    })
    .collect()
}
