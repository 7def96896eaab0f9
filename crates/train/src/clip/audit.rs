//! Every rule attacked: one canary that is there or not by a coin, in many steps, and an auditor who sees what is released.
//!
//! The canary is the gradient that moves the release most, of many that are tried. For each step the auditor guesses the coin;
//! what the number of right guesses proves (`privacy::audit`) must stay below what the ledger claims. For a build with half the
//! noise, and for one with a greedy rule and no cap, it must not: two switches that exist in tests alone.
use super::{conformance::tried, lot::UNCAPPED, release::Whole, trial::*, *};
use crate::{
    each::Each,
    mechanism::{Gaussian, Noise as _},
    state::State,
};
use privacy::{Event, Key, Ledger, Mechanism, Neighbouring, Poisson, Purpose, Stream, Sum, account, audit, gaussian};
use rayon::prelude::*;

const STEPS: u64 = 1500;
const DELTA: f64 = 1e-5;

/// Adds half the noise that it is charged for.
struct Half(Box<dyn Mechanism<Grads>>);
impl Mechanism<Grads> for Half {
    fn event(&self, step: u64) -> Event {
        self.0.event(step)
    }
    fn unit(&mut self, stream: &Stream, blank: Grads) -> Grads {
        self.0.unit(stream, blank).scale(0.5)
    }
}

/// A rule that asks for eight times its weights.
struct Eightfold(Box<dyn ClipRule>);
impl State for Eightfold {}
impl ClipRule for Eightfold {
    fn grouping(&self) -> Grouping {
        self.0.grouping()
    }
    fn bounds(&self, groups: usize) -> Vec<f64> {
        self.0.bounds(groups)
    }
    fn weigh(&self, norms: Each) -> Each {
        self.0.weigh(norms) * 8.0
    }
    fn frame(&self) -> Option<&Frame> {
        self.0.frame()
    }
    fn directions(&self) -> &[Grads] {
        self.0.directions()
    }
    fn crowds(&self) -> Option<Crowds> {
        self.0.crowds()
    }
    fn ask(&self) -> Option<Question> {
        self.0.ask()
    }
    fn answer(&self, norms: Each) -> Each {
        self.0.answer(norms)
    }
}

/// People with and without the canary, and what the canary changes.
struct Pair {
    with: Vec<([f32; 3], usize)>,
    without: Vec<([f32; 3], usize)>,
    base: Vec<f64>,
    change: Vec<f64>,
}

fn flat(seen: &Seen) -> Vec<f64> {
    seen.sum.iter().chain(&seen.beside).copied().collect()
}

fn lot(rule: &dyn ClipRule, people: &[([f32; 3], usize)]) -> Lot {
    let (rows, who): (Vec<_>, Vec<_>) = people.iter().copied().unzip();
    contribute(rule, &layout(), taps_of(&rows, who), None)
}

/// The worst of many canaries: directions, lengths, and somebody opposed in the same crowd.
fn worst(rule: &dyn ClipRule) -> Pair {
    let third = 3f32.sqrt().recip();
    let mut directions = vec![[1.0f32, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [third; 3]];
    directions.extend(rule.directions().iter().map(|v| [v.flat()[0], v.flat()[1], v.flat()[2]]));
    let lengths = [0.01f32, 0.5, 1.0, 3.0, 30.0, 1e3, 1e5];
    let others: Vec<Vec<([f32; 3], usize)>> = match rule.crowds() {
        None => vec![vec![]],
        Some(_) => (1..12).map(|who| vec![([-300.0, 0.0, 0.0], who)]).collect(),
    };
    let canaries = directions.iter().flat_map(|v| lengths.map(|length| v.map(|x| x * length)));
    let pairs = canaries.flat_map(|canary| {
        others.iter().map(move |others| {
            let with: Vec<_> = others.iter().copied().chain([(canary, 0)]).collect();
            let base = flat(&open(lot(rule, others), rule));
            let change = flat(&open(lot(rule, &with), rule)).iter().zip(&base).map(|(a, b)| a - b).collect();
            Pair { with, without: others.clone(), base, change }
        })
    });
    let size = |pair: &Pair| pair.change.iter().map(|x| x * x).sum::<f64>();
    pairs.max_by(|a, b| size(a).total_cmp(&size(b))).unwrap()
}

/// How many coins the auditor guesses right, and what the ledger says one step costs.
fn attack(rule: &dyn ClipRule, half: bool) -> (u64, f64) {
    let (pair, layout) = (worst(rule), layout());
    let (gradient, answer) = share(rule, 1.0).unwrap();
    let coins = Key::from_seed(9).stream(Purpose::Audit, 0, 0);
    let sampler = Poisson::new(0, 1.0, Key::from_seed(10)).unwrap();
    let mut claimed = 0.0;
    let right = (0..STEPS).filter(|t| {
        let there = coins.uniform(*t) < 0.5;
        let closed = lot(rule, if there { &pair.with } else { &pair.without }).close(rule, &layout);
        let real = Gaussian {}.with_multiplier(gradient);
        let mut mechanism = if half { Box::new(Half(real)) } else { real };
        let mut ledger = Ledger::new(Neighbouring::AddRemove);
        let mut round = ledger.open(&sampler.draw(*t));
        let whole = &mut Whole { mechanism: &mut *mechanism, louder: rule.loudness() };
        let seen = round.release(closed.sum, whole).unwrap().into_inner();
        if let Some(asked) = closed.answer {
            round.release(asked, &mut privacy::ScalarGaussian { noise_multiplier: answer * rule.loudness() }).unwrap();
        }
        drop(round);
        if *t == 0 {
            claimed = account::by_name("exact").unwrap().spent(&ledger, DELTA).unwrap();
        }
        let numbers = seen.gradient.flat().iter().map(|x| f64::from(*x)).chain(seen.beside);
        let along = numbers.zip(&pair.base).zip(&pair.change).map(|((x, b), c)| (x - b) * c).sum::<f64>();
        let whole = pair.change.iter().map(|x| x * x).sum::<f64>();
        (along > 0.5 * whole) == there
    });
    (right.count() as u64, claimed)
}

/// What an attack proves, with 95 % confidence for all rules together: no false alarm among them all.
fn proven(right: u64) -> f64 {
    let rules = ClipConfig::ENTRIES.len() as f64;
    gaussian::epsilon(audit::mu(STEPS, STEPS, right, 0.05 / rules), DELTA)
}

fn first(name: &str) -> (String, Box<dyn ClipRule>) {
    let text = tried(name).swap_remove(0);
    let rule = rule(&text);
    (text, rule)
}

#[test]
fn no_attack_proves_more_than_is_claimed() {
    ClipConfig::ENTRIES.par_iter().for_each(|entry| {
        let (text, rule) = first(entry.name);
        let greedy = Eightfold(first(entry.name).1);
        for rule in [&*rule, &greedy] {
            let (right, claimed) = attack(rule, false);
            assert!(proven(right) <= claimed, "{text}: {} proven, {claimed} claimed", proven(right));
            let steinke = audit::epsilon(STEPS, STEPS, right, DELTA, 0.05 / ClipConfig::ENTRIES.len() as f64);
            assert!(steinke <= claimed, "{text}: {steinke} proven without a shape, {claimed} claimed");
        }
    });
}

#[test]
fn half_the_noise_is_noticed() {
    ClipConfig::ENTRIES.par_iter().for_each(|entry| {
        let (text, rule) = first(entry.name);
        let (right, claimed) = attack(&*rule, true);
        assert!(proven(right) > claimed, "{text}: {} proven, {claimed} claimed", proven(right));
    });
}

#[test]
fn a_missing_cap_is_noticed() {
    // One after the other: the switch belongs to this thread, and a pool's threads steal each other's work.
    UNCAPPED.set(true);
    for entry in ClipConfig::ENTRIES {
        let (right, claimed) = attack(&Eightfold(first(entry.name).1), false);
        assert!(proven(right) > claimed, "{}: {} proven, {claimed} claimed", entry.name, proven(right));
    }
}
