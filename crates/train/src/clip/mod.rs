//! Clip rules. A rule *proposes* weights, seeing one example at a time; [`contribute`] caps them.
//!
//! A new rule is one file and one word in the list below. Its file opens with source, formula, sensitivity, cost class.
//! Cost classes: NORM needs each example's norm; LAYER-NORM a norm for each group; DOT inner products with public directions;
//! GRAD gradients in other coordinates (without multiplying them out where there is a closed form); K-PASS more passes.
//!
//! # Why this is private
//! *Claim.* Whatever the rule, adding or removing one example moves the lot's sum by at most [`Closed::sum`]'s bound in L2,
//! and its answer by at most the answer's.
//! *Argument.* The sum is one summand an example. A rule sees norms through [`Each`](crate::each::Each), which has no operation across
//! examples, by `&self`, so an example's weight depends on itself and released values only. Each weight is then capped at
//! `bound / norm` (and at zero from below; what is not finite counts as zero), so each group of a summand is no longer than
//! its bound and the whole no longer than the root of their squares. Norms and sums are f32 products: their rounding is
//! covered by [`ROUNDING`], a margin on the vouched bound that the noise is scaled by. A norm below [`TINY`] may have
//! underflowed, so weights are capped as if it were `TINY`. A rule's frame is data, and what is measured in it is what is
//! added up. Where means of crowds are clipped, one example changes one mean, from one vector of at most the bound to
//! another: twice the bound. What a rule remembers of an example goes into that example's next gradient alone, before it is
//! capped: given what was released, a step is still one capped summand of whoever is drawn (`methods`, rule R6).
//! *Tests.* `conformance.rs`, for every rule of the list: `every_rule_is_capped`, `one_row_at_a_time`, `leave_one_out`.
mod bound;
#[cfg(test)]
mod conformance;
mod frame;
mod grouping;
mod lot;
mod question;
mod release;
mod rule;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod trial;

use crate::{
    grads::{Grads, Layout},
    registry::registry,
    tap::Taps,
};
pub use bound::{Bound, BoundError};
pub use frame::{Frame, Projection};
use grouping::Groups;
pub use grouping::{Grouping, split};
use lot::Parts;
pub(crate) use lot::cap;
pub use lot::{Crowds, Residuals};
use privacy::{Bounded, LedgerError, Privatized, Round, Secret};
pub use question::{Price, Question, SideNoise, share};
pub use release::{Joint, Noise};
pub use rule::{ClipRule, News, Prepare, Setting};
use std::sync::Arc;

registry! {
    /// A clip rule as a configuration names it: `{ rule = "flat", bound = 1.0 }`.
    ClipConfig by "rule" as Prepare:
    flat::Flat = "flat", "shorten gradients longer than the bound", "Abadi et al. 2016, arXiv 1607.00133", "NORM";
    auto_s::AutoS = "auto-s", "normalise by norm + gamma; no threshold to tune", "Bu et al. 2022, arXiv 2206.07136", "NORM";
    auto_v::AutoV = "auto-v", "normalise by the norm alone", "Bu et al. 2022, arXiv 2206.07136", "NORM";
}

/// Margin on the vouched bound for the rounding of f32 norms and sums, relative.
pub const ROUNDING: f64 = 1e-5;
/// Norms below this are treated as this when weights are capped: their squares may have underflowed in f32.
pub const TINY: f64 = 1e-12;

/// How far one example may move the whole sum under `rule`, in L2, before the margin for rounding.
pub fn sensitivity(rule: &dyn ClipRule, layout: &Arc<Layout>) -> f64 {
    let twice = if rule.crowds().is_some() { 2.0 } else { 1.0 };
    twice * Groups::new(rule, layout).total()
}

/// Some of one round's examples, clipped and summed. A physical chunk is a lot; so is another device's share.
pub struct Lot {
    parts: Secret<Parts>,
}

/// A whole lot, with what one example can move it by.
pub struct Closed {
    /// The sum of clipped gradients, and of what is beside them.
    pub sum: Bounded<Joint>,
    /// The sum of answers, if they are released apart.
    pub answer: Option<Bounded<Vec<f64>>>,
    left: Secret<Vec<(usize, Vec<f32>)>>,
}

impl Lot {
    /// The sum over nobody: what an empty draw contributes.
    pub fn empty(rule: &dyn ClipRule, layout: &Arc<Layout>) -> Lot {
        Lot { parts: Secret::new(Parts::empty(rule, &Groups::new(rule, layout))) }
    }

    /// Two lots of different examples.
    pub fn merge(self, other: Lot) -> Lot {
        Lot { parts: self.parts.join(other.parts).map(|(a, b)| a.merge(b)) }
    }

    /// Nobody else comes: what the rule's bounds and question promise of the sum is vouched for.
    pub fn close(self, rule: &dyn ClipRule, layout: &Arc<Layout>) -> Closed {
        let groups = Groups::new(rule, layout);
        let parts = self.parts.map(|parts| parts.close(rule, &groups));
        let (sum, rest) = parts.map(|p| (p.sum, (p.answer, p.left))).split();
        let (answer, left) = rest.split();
        let bound = sensitivity(rule, layout) * (1.0 + ROUNDING);
        match rule.ask() {
            Some(Question { price: Price::Apart { bound: each, .. }, .. }) => {
                let sum = sum.map(|gradient| Joint { gradient, beside: Vec::new() });
                Closed { sum: sum.vouch(bound), answer: Some(answer.vouch(each)), left }
            }
            _ => {
                let sum = sum.join(answer).map(|(gradient, beside)| Joint { gradient, beside });
                Closed { sum: sum.vouch(bound), answer: None, left }
            }
        }
    }
}

impl Closed {
    /// Releases the lot, shows it to the rule, and keeps what the rule remembers of each example.
    ///
    /// # Errors
    /// If the ledger cannot be written; then nothing left.
    pub fn release(
        mut self,
        rule: &mut dyn ClipRule,
        noise: &mut Noise,
        residuals: &mut Option<Secret<Residuals>>,
        round: &mut Round,
        layout: &Arc<Layout>,
        (step, size): (u64, f64),
    ) -> Result<Privatized<Grads>, LedgerError> {
        let left = std::mem::replace(&mut self.left, Secret::new(Vec::new()));
        let released = noise.release(rule, self, round, layout, (step, size))?;
        if rule.remembers() {
            let kept = residuals.take().unwrap_or_else(|| Secret::new(Residuals::default())).join(left);
            *residuals = Some(kept.map(|(mut kept, left)| {
                kept.keep(left);
                kept
            }));
        }
        Ok(released)
    }
}

/// Weighs each example as `rule` proposes, capped at the rule's bounds, and sums. `residuals` are what was cut off before.
pub fn contribute(
    rule: &dyn ClipRule,
    layout: &Arc<Layout>,
    taps: Secret<Taps>,
    residuals: Option<&Secret<Residuals>>,
) -> Lot {
    let groups = Groups::new(rule, layout);
    let parts = match residuals {
        None => taps.map(|taps| Parts::of(rule, &groups, taps, None)),
        Some(residuals) => taps.join(residuals.as_ref()).map(|(taps, r)| Parts::of(rule, &groups, taps, Some(r))),
    };
    Lot { parts }
}

/// NOT PRIVATE: the sum without clipping, for ordinary training. Examples whose loss is not finite are left out here too.
pub fn plain_sum(taps: &Taps) -> Grads {
    let weights: Vec<f32> = taps.finite.iter().map(|fine| f32::from(u8::from(*fine))).collect();
    taps.sum(&weights, &vec![0; taps.parameters()], 1)
}
