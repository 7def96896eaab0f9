//! A lot of made-up gradients, taken through everything a step does with a rule: for tests.
use super::*;
use crate::{
    layer::{Init, Parameter},
    state::{Memory, State, Value, Visit},
    tap::Rows,
};
use engine::Tensor;
use privacy::{Event, Key, Ledger, Mechanism, Neighbouring, Poisson, Sampler, Source};

/// Noise that was written down beforehand, at multiplier 1.
pub struct Scripted(pub Vec<f32>);
impl Mechanism<Grads> for Scripted {
    fn event(&self, _: u64) -> Event {
        Event::Gaussian { noise_multiplier: 1.0 }
    }
    fn unit(&mut self, _: &Source, mut blank: Grads) -> Grads {
        blank.flat_mut().iter_mut().zip(&self.0).for_each(|(x, z)| *x = *z);
        blank
    }
}

/// Two numbers of one layer, one of another.
pub fn layout() -> Arc<Layout> {
    Layout::new(vec![
        Parameter::new("0.weight", [2], Init::Constant(0.0)),
        Parameter::new("1.weight", [1], Init::Constant(0.0)),
    ])
}

/// The shared batch T0 of the specifications.
pub const T0: [[f32; 3]; 4] = [[3.0, 4.0, 0.0], [0.3, -0.4, 0.0], [1.0, 2.0, 2.0], [-6.0, 2.0, 3.0]];

/// Examples of three numbers.
pub fn taps(rows: &[[f32; 3]]) -> Secret<Taps> {
    taps_of(rows, (0..rows.len()).collect())
}

/// The same with numbers of their own.
pub fn taps_of(rows: &[[f32; 3]], who: Vec<usize>) -> Secret<Taps> {
    let n = rows.len();
    let mut taps = Taps::new(n, &layout());
    taps.leave(0, || Rows::new(Tensor::new([n, 2], rows.iter().flat_map(|r| [r[0], r[1]]).collect())));
    taps.leave(1, || Rows::new(Tensor::new([n, 1], rows.iter().map(|r| r[2]).collect())));
    taps.who = who;
    Secret::new(taps)
}

/// The public numbers of a made-up run.
pub fn setting(noise_multiplier: f64, lot: f64) -> Setting {
    let key = Arc::new(Key::from_seed(11));
    Setting {
        layout: layout(),
        parameters: 3,
        noise_multiplier,
        lot,
        sample_rate: 0.1,
        steps: 100,
        key,
        root: Default::default(),
    }
}

/// A rule as it is written, in a run of multiplier 1 on lots of 4.
pub fn rule(text: &str) -> Box<dyn ClipRule> {
    prepared(text, &setting(1.0, 4.0))
}

pub fn prepared(text: &str, setting: &Setting) -> Box<dyn ClipRule> {
    let config = toml::from_str::<ClipConfig>(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    config.get().check().unwrap_or_else(|e| panic!("{text}: {e}"));
    let mut rule = config.get().prepare(setting).unwrap_or_else(|e| panic!("{text}: {e}"));
    rule.start(&mut Grads::new(&layout(), vec![0.5, -2.0, 1.0]));
    rule.begin(0);
    rule
}

/// What a lot is worth before anybody adds noise.
pub struct Seen {
    pub sum: Vec<f64>,
    pub beside: Vec<f64>,
    pub answer: Vec<f64>,
}

/// The noiseless sums over a lot.
pub fn open(lot: Lot, rule: &dyn ClipRule) -> Seen {
    let closed = lot.close(rule, &layout());
    let draw = Poisson::new(0, 0.5, Key::from_seed(0)).unwrap().draw(0);
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let mut round = ledger.open(&draw);
    let joint = round.release(closed.sum, &mut Silent).unwrap().into_inner();
    let answer =
        closed.answer.map(|a| round.release(a, &mut privacy::ScalarGaussian { noise_multiplier: 0.0 }).unwrap());
    let sum = joint.gradient.flat().iter().map(|x| f64::from(*x)).collect();
    Seen { sum, beside: joint.beside, answer: answer.map(|a| a.into_inner()).unwrap_or_default() }
}

/// No noise at all.
struct Silent;
impl Mechanism<Joint> for Silent {
    fn event(&self, _: u64) -> Event {
        Event::Gaussian { noise_multiplier: 0.0 }
    }
    fn unit(&mut self, _: &Source, blank: Joint) -> Joint {
        blank
    }
}

pub fn seen(rule: &dyn ClipRule, rows: &[[f32; 3]]) -> Seen {
    open(contribute(rule, &layout(), taps(rows), None), rule)
}

pub fn sum(rule: &dyn ClipRule, rows: &[[f32; 3]]) -> Vec<f64> {
    seen(rule, rows).sum
}

/// The same of examples that are numbered from `first`.
pub fn sum_of(rule: &dyn ClipRule, rows: &[[f32; 3]], first: usize) -> Vec<f64> {
    open(contribute(rule, &layout(), taps_of(rows, (first..first + rows.len()).collect()), None), rule).sum
}

/// A whole step on `rows` with this noise (in units of the bound): the mean gradient that the updates get.
pub fn step(rule: &mut dyn ClipRule, step: u64, rows: &[[f32; 3]], noise: &[f32], lot: f64) -> Vec<f64> {
    let layout = layout();
    rule.begin(step);
    let draw = Poisson::new(0, 0.5, Key::from_seed(step)).unwrap().draw(step);
    let mut ledger = Ledger::new(Neighbouring::AddRemove);
    let closed = contribute(rule, &layout, taps(rows), None).close(rule, &layout);
    let mut noise = Noise { mechanism: Box::new(Scripted(noise.to_vec())), answer: 0.0 };
    let mut round = ledger.open(&draw);
    let mean = closed.release(rule, &mut noise, &mut None, &mut round, &layout, (step, lot)).unwrap();
    rule.moved(mean.get());
    mean.get().flat().iter().map(|x| f64::from(*x)).collect()
}

/// A rule as something that remembers.
struct Keeper<'a>(&'a mut dyn ClipRule);
impl State for Keeper<'_> {
    fn state(&mut self, visit: &mut Visit) {
        self.0.state(visit);
    }
}

/// What a rule remembers, by name.
pub fn remembered(rule: &mut dyn ClipRule) -> std::collections::BTreeMap<String, Vec<f64>> {
    let flat = |value: &Value| match value {
        Value::Numbers(x) => x.clone(),
        Value::Count(x) => vec![*x as f64],
        Value::Grads(g) => g.iter().flat_map(|g| g.flat().iter().map(|x| f64::from(*x))).collect(),
    };
    Memory::save(&mut Keeper(rule)).iter().map(|(name, value)| (name.to_owned(), flat(value))).collect()
}

/// Gives a rule the memory that somebody else shows.
pub fn load(rule: &mut dyn ClipRule, from: &mut dyn State) {
    Memory::save(from).load(&mut Keeper(rule), &layout()).unwrap();
}

/// Gives a rule another one's memory.
pub fn carry(from: &mut dyn ClipRule, to: &mut dyn ClipRule) {
    load(to, &mut Keeper(from));
}

#[track_caller]
pub fn close(got: &[f64], want: &[f64], within: f64) {
    assert_eq!(got.len(), want.len(), "{got:?} and {want:?}");
    for (g, w) in got.iter().zip(want) {
        assert!((g - w).abs() <= within * w.abs().max(1.0), "{got:?} instead of {want:?}");
    }
}
