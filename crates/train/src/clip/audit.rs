//! Every rule attacked: one canary that is there or not by a coin, in many steps, and an auditor who sees what is released.
//!
//! The canary is the gradient that moves the release most, of many that are tried. For each step the auditor guesses the coin;
//! what the number of right guesses proves (`privacy::audit`) must stay below what the ledger claims. For a build with half the
//! noise, and for one with a greedy rule and no cap, it must not: two switches that exist in tests alone.
use super::{conformance::tried, lot::UNCAPPED, release::Whole, trial::*, *};
use crate::{each::Each, mechanism::Gaussian, state::State};
use privacy::{
    Event, Key, Ledger, Mechanism, Neighbouring, Poisson, Purpose, Sampler, Source, Sum, account, audit, gaussian,
};

const STEPS: u64 = 1500;
const DELTA: f64 = 1e-5;

/// Adds half the noise that it is charged for.
struct Half<'a>(Whole<'a>);
impl Mechanism<Joint> for Half<'_> {
    fn event(&self, step: u64) -> Event {
        self.0.event(step)
    }
    fn unit(&mut self, source: &Source, blank: Joint) -> Joint {
        self.0.unit(source, blank).scale(0.5)
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

/// What the auditor's guesses came to.
#[derive(Default)]
struct Guesses {
    without: (u64, u64),
    with: (u64, u64),
    /// What the ledger says that one step costs.
    claimed: f64,
}

impl Guesses {
    /// What the guesses prove, with 95 % confidence for all rules together: no false alarm among them all.
    fn proven(&self) -> f64 {
        let significance = 0.05 / ClipConfig::ENTRIES.len() as f64;
        gaussian::epsilon(audit::mu(self.without, self.with, significance), DELTA)
    }
}

fn attack(rule: &dyn ClipRule, half: bool) -> Guesses {
    let (pair, layout) = (worst(rule), layout());
    let (gradient, answer) = share(rule, 1.0).unwrap();
    let coins = Key::from_seed(9).stream(Purpose::Audit, 0, 0);
    let sampler = Poisson::new(0, 1.0, Key::from_seed(10)).unwrap();
    let mut guesses = Guesses::default();
    for t in 0..STEPS {
        let there = coins.uniform(t) < 0.5;
        let closed = lot(rule, if there { &pair.with } else { &pair.without }).close(rule, &layout);
        let mut mechanism = Gaussian::independent(gradient);
        let mut ledger = Ledger::new(Neighbouring::AddRemove);
        let mut round = ledger.open(&sampler.draw(t));
        let mut whole = Whole { mechanism: &mut *mechanism, louder: rule.loudness() };
        let seen = match half {
            true => round.release(closed.sum, &mut Half(whole)),
            false => round.release(closed.sum, &mut whole),
        };
        let seen = seen.unwrap().into_inner();
        if let Some(asked) = closed.answer {
            round.release(asked, &mut privacy::ScalarGaussian { noise_multiplier: answer * rule.loudness() }).unwrap();
        }
        drop(round);
        if t == 0 {
            guesses.claimed = account::by_name("exact").unwrap().spent(&ledger, DELTA).unwrap();
        }
        let numbers = seen.gradient.flat().iter().map(|x| f64::from(*x)).chain(seen.beside);
        let along = numbers.zip(&pair.base).zip(&pair.change).map(|((x, b), c)| (x - b) * c).sum::<f64>();
        let whole = pair.change.iter().map(|x| x * x).sum::<f64>();
        let (wrong, all) = if there { &mut guesses.with } else { &mut guesses.without };
        *wrong += u64::from((along > 0.5 * whole) != there);
        *all += 1;
    }
    guesses
}

fn first(name: &str) -> Box<dyn ClipRule> {
    rule(&tried(name)[0])
}

/// What attacks proved and what was claimed, of every rule whose attack `wrong` is not content with.
fn outliers(half: bool, greedy: bool, wrong: fn(f64, f64) -> bool) -> Vec<(&'static str, f64, f64)> {
    let one = |entry: &'static crate::registry::Entry| {
        let rule = first(entry.name);
        let rule = if greedy { Box::new(Eightfold(rule)) } else { rule };
        let guesses = attack(&*rule, half);
        (entry.name, guesses.proven(), guesses.claimed)
    };
    let all = ClipConfig::ENTRIES.iter().map(one);
    all.filter(|(_, proven, claimed)| wrong(*proven, *claimed)).collect()
}

#[test]
fn no_attack_proves_more_than_is_claimed() {
    for greedy in [false, true] {
        let outliers = outliers(false, greedy, |proven, claimed| proven > claimed || claimed > 5.0);
        assert!(outliers.is_empty(), "greedy: {greedy}: {outliers:?}");
    }
}

/// The same coins as canaries of one run (Steinke et al. 2023), by the bound that knows nothing of normal noise.
#[test]
fn nor_does_the_bound_without_a_shape() {
    let guesses = attack(&*first("flat"), false);
    let right = STEPS - guesses.without.0 - guesses.with.0;
    let proven = audit::epsilon(STEPS, STEPS, right, DELTA, 0.05);
    assert!(proven > 0.4 && proven < guesses.claimed, "{proven} of {}", guesses.claimed);
}

#[test]
fn half_the_noise_is_noticed() {
    let outliers = outliers(true, false, |proven, claimed| proven <= claimed);
    assert!(outliers.is_empty(), "{outliers:?}");
}

#[test]
fn a_missing_cap_is_noticed() {
    UNCAPPED.set(true);
    let outliers = outliers(false, true, |proven, claimed| proven <= claimed);
    assert!(outliers.is_empty(), "{outliers:?}");
}
