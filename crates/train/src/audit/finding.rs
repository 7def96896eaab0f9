//! What an audit found: how many coins were guessed, and what that proves.
//!
//! What is refuted is the trade-off of this very configuration with some noise: the least noise whose trade-off is refuted gives the epsilon that is
//! proven. Noises are tried in steps of one hundredth.
use super::{AttackConfig, Audit, AuditError};
use crate::{config::Config, run::Run};
use privacy::{Neighbouring, TradeOff, account, audit};
use serde::Serialize;
use std::collections::HashMap;

/// What an audit found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Of the configuration.
    pub title: String,
    /// Version of Secateur.
    pub secateur_version: &'static str,
    /// Steps made, and planned.
    pub steps: (u64, u64),
    /// What these steps claim to cost at most.
    pub epsilon: f64,
    /// At this delta.
    pub delta: f64,
    /// By this accountant.
    pub accountant: String,
    /// Under this relation.
    pub neighbouring: crate::report::Neighbouring,
    /// The clip rule.
    pub rule: String,
    /// Standard deviation of the noise over the bound.
    pub noise_multiplier: f64,
    /// Probability with which somebody takes part in a step.
    pub sample_rate: f64,
    /// How often all that is said to be proven may be more than is true, by bad luck.
    pub significance: f64,
    /// Whether the seed is fixed.
    pub seeded: bool,
    /// What each attack proves.
    pub attacks: Vec<Proof>,
    /// The claim's whole trade-off: share of wrong alarms, and the most members that are found.
    pub allowed: Vec<(f64, f64)>,
}

/// Guesses of coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Canaries that there were.
    pub canaries: u64,
    /// Coins that were guessed.
    pub guesses: u64,
    /// Right guesses.
    pub right: u64,
}

/// What one attack proves.
#[derive(Debug, Clone, Serialize)]
pub struct Proof {
    /// Its name.
    pub attack: String,
    /// What the auditor sees, and what a score is.
    pub sees: String,
    /// What it guessed.
    pub counts: Counts,
    /// Epsilon is more than this: the trade-offs of this configuration with more noise than the last refuted one's are refuted.
    pub proven: f64,
    /// Epsilon is more than this, by a bound that knows nothing of the configuration's trade-off.
    pub proven_of_any: f64,
    /// What the error rates would prove if each canary had been in a run of its own: no proof, since they were not.
    pub if_independent: f64,
    /// Whether the claim itself is refuted.
    pub refuted: bool,
    /// Each canary's score, and whether it was there.
    pub scores: Vec<(f64, bool)>,
}

impl Finding {
    /// Whether more was proven than is claimed: the implementation or the claim is broken.
    pub fn is_broken(&self) -> bool {
        self.attacks.iter().any(|attack| attack.refuted)
    }

    /// The most that an attack proved.
    pub fn proven(&self) -> f64 {
        self.attacks.iter().map(|attack| attack.proven).fold(0.0, f64::max)
    }
}

impl Proof {
    /// Share of wrong alarms and of members found, of each score as a threshold.
    pub fn observed(&self) -> Vec<(f64, f64)> {
        let mut scores = self.scores.clone();
        scores.sort_by(|a, b| b.0.total_cmp(&a.0));
        let there = scores.iter().filter(|score| score.1).count();
        let away = scores.len() - there;
        let (mut found, mut wrong) = (0, 0);
        let point = |score: &(f64, bool)| {
            *(if score.1 { &mut found } else { &mut wrong }) += 1;
            (f64::from(wrong) / away.max(1) as f64, f64::from(found) / there.max(1) as f64)
        };
        scores.iter().map(point).collect()
    }
}

/// How much one noise is of the next.
const FINER: f64 = 1.01;
/// The most steps of that size that noise is made larger or smaller by: a thousandfold.
const FARTHEST: i32 = 694;

/// The trade-offs of a run with one noise or another.
struct Claims<'a> {
    run: &'a Run,
    known: HashMap<i32, Option<(f64, TradeOff)>>,
}

impl Claims<'_> {
    /// Epsilon and trade-off where the noise is `FINER^k` times the run's; none where that cannot be had.
    fn at(&mut self, k: i32) -> Option<&(f64, TradeOff)> {
        let run = self.run;
        self.known.entry(k).or_insert_with(|| claim(run, run.plan.noise_multiplier * FINER.powi(k)).ok()).as_ref()
    }

    /// Epsilon with the least noise that is refuted, where all larger ones are; 0 if none is.
    fn proven(&mut self, refuted: impl Fn(&TradeOff) -> bool) -> f64 {
        let mut is = |k: i32| self.at(k).is_some_and(|(_, claim)| refuted(claim));
        let (mut low, mut high) = (-FARTHEST, FARTHEST);
        if !is(high) {
            return 0.0;
        }
        // Near the claim first: it is there that answers are looked for.
        for end in [0, 70, -70, 210, -210] {
            match end > low && end < high {
                true if is(end) => high = end,
                true => low = end,
                false => {}
            }
        }
        while high - low > 1 {
            let middle = i32::midpoint(low, high);
            *(if is(middle) { &mut high } else { &mut low }) = middle;
        }
        self.at(high).map_or(0.0, |(epsilon, _)| *epsilon)
    }
}

fn claim(run: &Run, noise_multiplier: f64) -> Result<(f64, TradeOff), AuditError> {
    let (epsilon, ledger) = run.imagine(noise_multiplier)?;
    let config = run.config();
    let accountant = accountant(config)?;
    let trade_off = TradeOff::of(&*accountant, &ledger, (epsilon, config.privacy.delta));
    Ok((epsilon, trade_off.map_err(|e| AuditError::Ask(e.to_string()))?))
}

fn accountant(config: &Config) -> Result<Box<dyn account::Account>, AuditError> {
    let name = &config.privacy.accountant;
    account::by_name(name).ok_or_else(|| AuditError::Ask(format!("no accountant is called `{name}`")))
}

/// What these scores prove of a run whose steps are made.
pub(super) fn of(
    run: &Run,
    audit: &Audit,
    coins: &[std::sync::Arc<[bool]>],
    scores: Vec<Vec<f64>>,
) -> Result<Finding, AuditError> {
    let (config, plan) = (run.config(), run.plan);
    let (epsilon, allowed) = claim(run, plan.noise_multiplier)?;
    let rates = (0..=200).map(|k| (f64::from(k) / 200.0).powi(3));
    let curve = rates.map(|rate| (rate, allowed.true_positives(rate))).collect();
    let mut claims = Claims { run, known: HashMap::from([(0, Some((epsilon, allowed)))]) };
    let significance = audit.significance / audit.attacks.len() as f64;
    let mut attacks = Vec::new();
    for ((attack, coins), scores) in audit.attacks.iter().zip(coins).zip(scores) {
        let scores: Vec<(f64, bool)> = scores.into_iter().zip(coins.iter().copied()).collect();
        attacks.push(proof(attack, scores, audit.guesses(), (significance, config.privacy.delta), &mut claims));
    }
    Ok(Finding {
        title: config.title.clone(),
        secateur_version: env!("CARGO_PKG_VERSION"),
        steps: (run.step(), plan.steps),
        epsilon,
        delta: config.privacy.delta,
        accountant: config.privacy.accountant.clone(),
        neighbouring: match config.privacy.neighbouring {
            Neighbouring::AddRemove => crate::report::Neighbouring::AddRemove,
            Neighbouring::ReplaceOne => crate::report::Neighbouring::ReplaceOne,
        },
        rule: config.clip.name().to_owned(),
        noise_multiplier: plan.noise_multiplier,
        sample_rate: plan.sample_rate,
        significance: audit.significance,
        seeded: config.train.seed.is_some(),
        attacks,
        allowed: curve,
    })
}

fn proof(
    attack: &AttackConfig,
    mut scores: Vec<(f64, bool)>,
    guesses: usize,
    (significance, delta): (f64, f64),
    claims: &mut Claims,
) -> Proof {
    // A score that is no number says nothing: it goes to the middle, where nobody guesses.
    let sane: Vec<f64> = scores.iter().map(|score| score.0).filter(|score| score.is_finite()).collect();
    let middle = sane.iter().sum::<f64>() / sane.len().max(1) as f64;
    scores.iter_mut().filter(|score| !score.0.is_finite()).for_each(|score| score.0 = middle);
    let counts = guess(&scores, guesses);
    let Counts { canaries, guesses, right } = counts;
    let refutes = |claim: &TradeOff| audit::refutes(claim, (canaries, guesses, right), significance);
    let rates = errors(&scores, significance);
    Proof {
        attack: attack.name().to_owned(),
        sees: attack.get().sees().to_owned(),
        counts,
        proven: claims.proven(refutes),
        proven_of_any: audit::epsilon(canaries, guesses, right, delta, significance),
        if_independent: claims.proven(|claim| claim.true_positives(rates[0]) < 1.0 - rates[1]),
        refuted: claims.at(0).is_some_and(|(_, claim)| refutes(claim)),
        scores,
    }
}

/// Guesses that the canaries with the largest scores were there, and those with the smallest not, half of the guesses each.
fn guess(scores: &[(f64, bool)], guesses: usize) -> Counts {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (away, there) = (guesses - guesses / 2, guesses / 2);
    let right = sorted[..away].iter().filter(|score| !score.1).count()
        + sorted[sorted.len() - there..].iter().filter(|score| score.1).count();
    Counts { canaries: scores.len() as u64, guesses: guesses as u64, right: right as u64 }
}

/// Bounds on the rates of wrong alarms and of members missed, where the upper half of all scores is taken for members.
fn errors(scores: &[(f64, bool)], significance: f64) -> [f64; 2] {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (low, high) = sorted.split_at(sorted.len() / 2);
    let count = |half: &[(f64, bool)], there: bool| half.iter().filter(|score| score.1 == there).count() as u64;
    let (wrong, missed) = (count(high, false), count(low, true));
    audit::error_rates((wrong, wrong + count(low, false)), (missed, missed + count(high, true)), significance)
}
