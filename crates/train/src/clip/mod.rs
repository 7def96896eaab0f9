//! Clip rules. A rule *proposes* weights, seeing one example at a time; [`contribute`] caps them.
//!
//! A new rule is one file and one word in the list below. Its file opens with source, formula, sensitivity, cost class.
//! Cost classes: NORM needs each example's norm; LAYER-NORM a norm for each group; DOT inner products with public directions;
//! GRAD gradients in other coordinates (without multiplying them out where there is a closed form); CROWD the sum of each crowd;
//! K-PASS more passes.
//!
//! # Why this is private
//! *Claim.* Whatever the rule, adding or removing one example moves the lot's sum by at most [`Closed::sum`]'s bound in L2,
//! and its answer by at most the answer's.
//! *Argument.* The sum is one summand an example. A rule sees norms through [`Each`](crate::each::Each), which has no operation across
//! examples, by `&self`, so an example's weight depends on itself and released values only. What it hands back is read in the shape that
//! was asked for or not at all ([`check`], of nobody, before anybody is looked at). Each weight is then capped at
//! `bound / norm` (and at zero from below; what is not finite counts as zero), so each group of a summand is no longer than
//! its bound and the whole no longer than the root of their squares. What a rule says of its bounds is asked where weights are
//! capped and again where the sum is vouched for, and must be the same (`Terms`). Norms and sums are f32 products: the rounding of a
//! norm and of a weight is covered by [`ROUNDING`], a margin on the vouched bound that the noise is scaled by. *Not claimed*: that
//! roundings inside a sum are, whatever the data: each depends on all that was added before, so that one more example moves
//! the others' roundings too (Casacuberta et al. 2022, arXiv 2207.10635; ARCHITECTURE.md has a number). A norm below [`TINY`] may have
//! underflowed, so weights are capped as if it were `TINY`. A rule's frame is data, and what is measured in it is what is
//! added up. Where means of crowds are clipped, one example changes one mean, from one vector of at most the bound to
//! another: twice the bound.
//! *Rules that remember.* What a rule remembers of an example goes into that example's next gradient alone, before it is capped: somebody's summand
//! is a function of his own data, his own past and released iterates, no longer than the bound `C`. Where each is drawn by his own coin, a step
//! then costs what a step without memory does. Fix everybody else's coins, whose law is the same with him and without. Given what was released,
//! the world with him puts out a mixture, over his hidden past, of `q N(v, s^2) + (1 - q) N(0, s^2)` with `|v| <= C`; divergences are jointly
//! quasi-convex, so that no mixture is further from the world without him than its worst `v`, which is one sampled Gaussian of
//! sensitivity `C`. In other draws somebody's place is somebody else's absence, of which that one's memory would tell later: they are refused. A
//! memory that mixes examples and is never noised differs in every later step, drawn or not, and no sampling amplifies it: no rule has one.
//! Where a rule is a closed form of norms on a GPU (`ClipRule::curves`), the cap is made there, of the same norms by the same operations
//! (`engine::op::Weighing`).
//! *Tests.* `tests/gpu/weights.rs`; `conformance.rs`, for every rule of the list: `every_rule_is_capped`, `one_row_at_a_time`, `leave_one_out`;
//! `people.rs`; `a_rule_that_changes_its_mind_is_stopped`, `a_rule_of_another_shape_is_refused`.
#[cfg(test)]
mod audit;
mod bound;
#[cfg(test)]
mod conformance;
mod eigen;
mod frame;
mod grouping;
mod histogram;
mod lot;
mod mask;
#[cfg(test)]
mod people;
#[cfg(test)]
mod published;
mod question;
mod release;
mod rule;
#[cfg(test)]
mod tests;
mod threshold;
#[cfg(test)]
mod trial;

use crate::{
    grads::{Grads, Layout},
    registry::registry,
    tap::Taps,
    team::{self, Team},
};
pub use bound::{Bound, BoundError};
pub use frame::{Frame, Projection};
use grouping::Groups;
pub use grouping::{Grouping, split};
use lot::Parts;
#[cfg(test)]
pub(crate) use lot::UNCAPPED;
pub use lot::cap;
pub(crate) use lot::shown;
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
    nsgd::Nsgd = "nsgd", "normalise by norm + r", "Yang et al. 2022, arXiv 2206.13033", "NORM";
    norm_fed_avg::NormFedAvg = "norm-fed-avg", "bring every contribution to the same length", "Das et al. 2021, arXiv 2106.07094", "NORM";
    psac::Psac = "psac", "normalise without blowing up tiny gradients", "Xia et al. 2023, arXiv 2212.00328", "NORM";
    psasc::Psasc = "psasc", "as psac, compressing large gradients", "Huang et al. 2024, arXiv 2411.03059", "NORM";
    global::Global = "global", "leave out what is longer than a threshold, scale the rest", "Bu et al. 2021, arXiv 2106.07830", "NORM";
    v2_s::V2S = "v2-s", "threshold and noise fall by public steps", "Chilukoti et al. 2023, arXiv 2312.02400", "NORM";
    v2_t::V2T = "v2-t", "threshold and noise fall with the epochs", "Chilukoti et al. 2023, arXiv 2312.02400", "NORM";
    radial::Radial = "radial", "the mean of pre-clip perturbation, without perturbing", "after Chen et al. 2020, arXiv 2006.15429", "NORM";
    quantile::Quantile = "quantile", "the bound follows a quantile of norms", "Andrew et al. 2021, arXiv 1905.03871", "NORM";
    dc_sgd_p::DcSgdP = "dc-sgd-p", "the bound follows a percentile of a noisy histogram of norms", "Wei et al. 2025, arXiv 2503.22988", "NORM";
    dc_sgd_e::DcSgdE = "dc-sgd-e", "the bound minimises estimated error, from a noisy histogram", "Wei et al. 2025, arXiv 2503.22988", "NORM";
    slaclip::SlaClip = "slaclip", "the bound follows what clipping leaves of it, at no cost", "SlaClip, ICML 2026", "NORM";
    slaclip_q::SlaClipQ = "slaclip-q", "as slaclip, following a quantile", "SlaClip, ICML 2026", "NORM";
    global_adapt::GlobalAdapt = "global-adapt", "flat clipping rescaled, whose threshold follows a count", "Esipova et al. 2023, arXiv 2206.07737", "NORM";
    per_layer::PerLayer = "per-layer", "clip each layer's gradient by itself", "Bu et al. 2023, arXiv 2310.19215", "LAYER-NORM";
    parameter_wise::ParameterWise = "parameter-wise", "clip each parameter's gradient by itself", "Bu et al. 2023, arXiv 2310.19215", "LAYER-NORM";
    block_wise::BlockWise = "block-wise", "clip a few runs of parameters by themselves", "Bu et al. 2023, arXiv 2310.19215", "LAYER-NORM";
    adaptive_per_layer::AdaptivePerLayer = "adaptive-per-layer", "each layer's bound follows a quantile of its norms", "He et al. 2023, arXiv 2212.01539", "LAYER-NORM";
    ada_clip::AdaClip = "adaclip", "centre and scale each coordinate by what was released", "Pichapati et al. 2019, arXiv 1908.07643", "GRAD";
    geo_clip::GeoClip = "geoclip", "turn and scale to the released geometry, full rank", "Gilani et al. 2025, arXiv 2506.06549", "GRAD";
    geo_clip_k::GeoClipK = "geoclip-k", "turn and scale to the released geometry, a few directions", "Gilani et al. 2025, arXiv 2506.06549", "GRAD";
    scale_then_privatize::ScaleThenPrivatize = "scale-then-privatize", "scale by the optimizer's own second moments", "Ganesh et al. 2025, arXiv 2507.01129", "GRAD";
    delayed::Delayed = "dp2", "scale by second moments of earlier, averaged releases, in turns", "Li et al. 2023, arXiv 2212.00309", "GRAD";
    dpdr::Dpdr = "dpdr", "what is common with the last gradient is measured by one number", "Liu et al. 2024, arXiv 2406.02744", "GRAD";
    random_sparsification::RandomSparsification = "random-sparsification", "a random set of coordinates sits out for an epoch", "Zhu & Blaschko 2023, arXiv 2112.00845", "GRAD";
    pruned::Pruned = "pruned", "train only some coordinates, chosen by public weights or coins", "Watson et al. 2023, arXiv 2311.06839", "GRAD";
    projected::Projected = "projected", "learn in the span of a public basis, before or after the release", "Zhou et al. 2021, arXiv 2007.03813", "GRAD";
    perturbed::Perturbed = "perturbed", "noise on each gradient before it is clipped, against bias", "Chen et al. 2020, arXiv 2006.15429", "GRAD";
    body_tail::BodyTail = "body-tail", "two thresholds, told apart by each gradient itself", "after Sha et al. 2024, arXiv 2405.17529", "DOT";
    dice_sgd::DiceSgd = "dice-sgd", "what is cut off an example comes with its next gradient", "after Zhang et al. 2024, arXiv 2311.14632", "GRAD";
    inner_outer::InnerOuter = "inner-outer", "average each example's gradients at the last iterates", "Xiao et al. 2023, IEEE S&P", "K-PASS";
    micro_batch::MicroBatch = "micro-batch", "clip means of small crowds; one example counts twice", "Ponomareva et al. 2023, arXiv 2303.00654", "CROWD";
}

/// Margin on the vouched bound for the rounding of f32 norms and weights, and of sums whose roundings do not conspire; relative.
pub const ROUNDING: f64 = 1e-5;
/// Norms below this are treated as this when weights are capped: their squares may have underflowed in f32.
pub const TINY: f64 = 1e-12;

/// How far one example may move the whole sum under `rule`, in L2, before the margin for rounding.
pub fn sensitivity(rule: &dyn ClipRule, layout: &Arc<Layout>) -> f64 {
    Groups::new(rule, layout).sensitivity()
}

/// Whether what a rule hands back is of the shape that it is read in, for a model of this layout.
///
/// # Errors
/// What is not.
pub fn check(rule: &dyn ClipRule, layout: &Arc<Layout>) -> Result<(), String> {
    Groups::of(rule, layout).map(drop)
}

/// Some of one round's examples, clipped and summed. A physical chunk is a lot; so is another device's share.
pub struct Lot {
    parts: Secret<Parts>,
    terms: Terms,
}

/// What a rule said of itself while some of a lot was capped: by `&self`, it could say otherwise the next time.
#[derive(Debug, PartialEq)]
struct Terms {
    groups: Vec<usize>,
    bounds: Vec<f64>,
    crowds: bool,
    question: Option<Question>,
}

impl Terms {
    fn of(groups: &Groups) -> Terms {
        let Groups { of, bounds, crowds, question, .. } = groups;
        Terms { groups: of.clone(), bounds: bounds.clone(), crowds: crowds.is_some(), question: *question }
    }

    /// These, which the others must be too.
    ///
    /// # Panics
    /// If they are not: the rule is wrong, and what is capped by one bound must not be vouched for by another.
    fn same(self, others: &Terms) -> Terms {
        assert_eq!(&self, others, "a clip rule changed its bounds or its question within a round");
        self
    }
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
        let groups = Groups::new(rule, layout);
        Lot { parts: Secret::new(Parts::empty(&groups)), terms: Terms::of(&groups) }
    }

    /// Two lots of different examples.
    ///
    /// # Panics
    /// If the rule said otherwise of itself for one than for the other.
    pub fn merge(self, other: Lot) -> Lot {
        let parts = self.parts.join(other.parts).map(|(a, b)| a.merge(b));
        Lot { parts, terms: self.terms.same(&other.terms) }
    }

    /// The lots of a team's devices, of different examples, as one.
    ///
    /// # Panics
    /// If there are none, or with a `DeviceError` if a process was lost; as [`Lot::merge`].
    pub(crate) fn gather(lots: Vec<Lot>, team: &Team) -> Lot {
        let (all, terms): (Vec<_>, Vec<_>) = lots.into_iter().map(|lot| (lot.parts, lot.terms)).unzip();
        let terms = terms.into_iter().reduce(|a, b| a.same(&b)).expect("a team has devices");
        Lot { parts: team::collect(all).map(|all| Parts::gather(all, team)), terms }
    }

    /// Nobody else comes: what the rule's bounds and question promise of the sum is vouched for.
    ///
    /// # Panics
    /// If they are not those that it was capped by.
    pub fn close(self, rule: &dyn ClipRule, layout: &Arc<Layout>) -> Closed {
        let groups = Groups::new(rule, layout);
        Terms::of(&groups).same(&self.terms);
        let parts = self.parts.map(|parts| parts.close(rule, &groups));
        let (sum, rest) = parts.map(|p| (p.sum, (p.answer, p.left))).split();
        let (answer, left) = rest.split();
        let bound = groups.sensitivity() * (1.0 + ROUNDING);
        match groups.question {
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
    let terms = Terms::of(&groups);
    let parts = match residuals {
        None => taps.map(|taps| Parts::of(rule, &groups, taps, None)),
        Some(residuals) => taps.join(residuals.as_ref()).map(|(taps, r)| Parts::of(rule, &groups, taps, Some(r))),
    };
    Lot { parts, terms }
}

/// Whether a rule's weights are made where gradients are, on a GPU.
pub(crate) fn weighs_there(rule: &dyn ClipRule, layout: &Arc<Layout>) -> bool {
    rule.frame().is_none() && lot::curves(rule, &Groups::new(rule, layout)).is_some()
}

/// NOT PRIVATE: the sum without clipping, for ordinary training. Examples whose loss is not finite are left out here too.
pub fn plain_sum(taps: &Taps) -> Grads {
    taps.sum_columns(&[taps.finite()], &vec![0; taps.parameters()])
}
