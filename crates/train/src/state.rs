//! What a plug-in remembers between steps, shown to one visitor for saving and loading.
//!
//! One function serves both directions, so that what is saved and what is loaded cannot drift apart. Names are checked
//! both ways: a number that is missing from a memory, or that nobody asks for, is an error that names it.
//!
//! # Why this is private
//! *Claim.* A memory holds released numbers and public constants only: it may be stored and published like the weights.
//! *Argument.* What remembers is handed released values by `&mut self` and secrets by `&self` only. Mechanisms, the only
//! plug-ins that ever hold noise, have no state: their noise is a function of key and step.
//! *Test.* `what_is_saved_comes_back`, `a_memory_that_does_not_fit_is_named` here; every registry's round trip mid-run.
use crate::grads::{Grads, Layout};
use engine::Device;
use std::{collections::BTreeMap, sync::Arc};

/// Something that may remember. What remembers nothing implements it with an empty body.
pub trait State {
    /// Shows `visit` each number that later steps depend on, under a name of its own. Called to save and to load.
    fn state(&mut self, visit: &mut Visit) {
        let _ = visit;
    }
}

/// One remembered thing.
#[derive(Clone)]
pub enum Value {
    /// Numbers, exact to the bit.
    Numbers(Vec<f64>),
    /// A count.
    Count(u64),
    /// A point in parameter space; none before the first step.
    Grads(Option<Grads>),
}

/// What some plug-ins remembered, by name.
#[derive(Clone, Default)]
pub struct Memory(BTreeMap<String, Value>);

impl Memory {
    /// What `keeper` remembers now.
    pub fn save(keeper: &mut dyn State) -> Memory {
        let mut visit = Visit { memory: Memory::default(), load: None, path: String::new(), wrong: None };
        keeper.state(&mut visit);
        visit.memory
    }

    /// Gives `keeper` this memory in the place of its own; points have this `layout`.
    ///
    /// # Errors
    /// What is missing, left over, or of another kind. `keeper` is then of no use.
    pub fn load(self, keeper: &mut dyn State, layout: &Arc<Layout>) -> Result<(), String> {
        let mut visit = Visit { memory: self, load: Some(layout.clone()), path: String::new(), wrong: None };
        keeper.state(&mut visit);
        let left =
            visit.memory.0.into_keys().next().map(|name| format!("`{name}` is remembered, but nothing asks for it"));
        visit.wrong.or(left).map_or(Ok(()), Err)
    }

    /// Takes out what is remembered under names that begin with `part`, without that.
    pub fn take(&mut self, part: &str) -> Memory {
        let all = std::mem::take(&mut self.0);
        let mine = |name: &str| name.strip_prefix(part).and_then(|rest| rest.strip_prefix('.')).map(str::to_owned);
        let mut taken = Memory::default();
        for (name, value) in all {
            match mine(&name) {
                Some(rest) => taken.insert(rest, value),
                None => self.insert(name, value),
            }
        }
        taken
    }

    /// What is remembered, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Remembers one thing.
    pub fn insert(&mut self, name: impl Into<String>, value: Value) {
        self.0.insert(name.into(), value);
    }
}

/// Goes through what somebody remembers: writes it down, or puts in its place what was written down.
pub struct Visit {
    memory: Memory,
    load: Option<Arc<Layout>>,
    path: String,
    wrong: Option<String>,
}

impl Visit {
    /// A number, kept to the bit.
    pub fn number(&mut self, name: &str, value: &mut f64) {
        let mut one = vec![*value];
        self.numbers(name, &mut one);
        match one[..] {
            [one] => *value = one,
            _ => self.refuse(name, "one number"),
        }
    }

    /// Numbers, as many as there are.
    pub fn numbers(&mut self, name: &str, value: &mut Vec<f64>) {
        match self.exchange(name, || Value::Numbers(value.clone())) {
            Some(Value::Numbers(loaded)) => *value = loaded,
            Some(_) => self.refuse(name, "numbers"),
            None => {}
        }
    }

    /// A count.
    pub fn count(&mut self, name: &str, value: &mut u64) {
        match self.exchange(name, || Value::Count(*value)) {
            Some(Value::Count(loaded)) => *value = loaded,
            Some(_) => self.refuse(name, "a count"),
            None => {}
        }
    }

    /// A point in parameter space, which may not be there yet.
    pub fn grads(&mut self, name: &str, value: &mut Option<Grads>) {
        let fits =
            |g: &Grads, layout: &Option<Arc<Layout>>| layout.as_ref().is_none_or(|l| l.len() == g.layout().len());
        match self.exchange(name, || Value::Grads(value.clone())) {
            Some(Value::Grads(Some(g))) if !fits(&g, &self.load) => self.refuse(name, "a point of the model's size"),
            // Where the run's own points are: what met others there would be copied in every step.
            Some(Value::Grads(loaded)) => {
                let there = self.load.as_ref().map_or(Device::Cpu, |layout| layout.device());
                *value = loaded.map(|g| g.to(there));
            }
            Some(_) => self.refuse(name, "a point"),
            None => {}
        }
    }

    /// What a part remembers, under names that begin with `name`.
    pub fn part(&mut self, name: &str, part: &mut (impl State + ?Sized)) {
        let inner = self.full(name);
        let outer = std::mem::replace(&mut self.path, inner);
        part.state(self);
        self.path = outer;
    }

    fn full(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Writes down the value, or takes out what was written down.
    fn exchange(&mut self, name: &str, value: impl FnOnce() -> Value) -> Option<Value> {
        let name = self.full(name);
        if self.load.is_none() {
            let before = self.memory.0.insert(name.clone(), value());
            debug_assert!(before.is_none(), "two things are remembered as `{name}`");
            return None;
        }
        let found = self.memory.0.remove(&name);
        if found.is_none() {
            self.wrong.get_or_insert_with(|| format!("`{name}` is not remembered"));
        }
        found
    }

    fn refuse(&mut self, name: &str, wanted: &str) {
        let name = self.full(name);
        self.wrong.get_or_insert_with(|| format!("`{name}` is not {wanted}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Init, Parameter};

    #[derive(Default)]
    struct Keeper {
        rate: f64,
        seen: u64,
        past: Vec<f64>,
        mean: Option<Grads>,
        never: Option<Grads>,
    }

    impl State for Keeper {
        fn state(&mut self, visit: &mut Visit) {
            visit.number("rate", &mut self.rate);
            visit.count("seen", &mut self.seen);
            visit.numbers("past", &mut self.past);
            visit.grads("mean", &mut self.mean);
            visit.grads("never", &mut self.never);
        }
    }

    struct Pair(Keeper, Keeper);

    impl State for Pair {
        fn state(&mut self, visit: &mut Visit) {
            visit.part("a", &mut self.0);
            visit.part("b", &mut self.1);
        }
    }

    fn layout(n: usize) -> Arc<Layout> {
        Layout::new(vec![Parameter::new("w", [n], Init::Constant(0.0))])
    }

    fn keeper(rate: f64) -> Keeper {
        let mean = Some(Grads::new(&layout(3), vec![rate as f32, -0.0, f32::MIN_POSITIVE]));
        Keeper { rate, seen: u64::MAX, past: vec![rate, f64::NAN], mean, never: None }
    }

    #[test]
    fn what_is_saved_comes_back() {
        let memory = Memory::save(&mut Pair(keeper(0.1), keeper(1e-300)));
        assert_eq!(memory.iter().count(), 10);
        let mut one = memory.clone();
        let (taken, mut part) = (one.take("b"), Keeper::default());
        taken.load(&mut part, &layout(3)).unwrap();
        assert_eq!((part.rate, one.iter().count()), (1e-300, 5));
        let mut fresh = Pair(keeper(7.0), Keeper { never: keeper(1.0).mean, ..Keeper::default() });
        memory.load(&mut fresh, &layout(3)).unwrap();
        for (got, rate) in [(fresh.0, 0.1), (fresh.1, 1e-300)] {
            let want = keeper(rate);
            assert_eq!((got.rate, got.seen, got.past[0], got.past[1].is_nan()), (rate, u64::MAX, rate, true));
            assert_eq!(got.mean.unwrap().flat(), want.mean.unwrap().flat());
            assert!(got.never.is_none());
        }
    }

    #[test]
    fn a_memory_that_does_not_fit_is_named() {
        let error = |change: &dyn Fn(&mut Memory)| {
            let mut memory = Memory::save(&mut keeper(1.0));
            change(&mut memory);
            memory.load(&mut Keeper::default(), &layout(3)).unwrap_err()
        };
        assert!(error(&|m| drop(m.0.remove("mean"))).contains("`mean` is not remembered"));
        assert!(error(&|m| m.insert("more", Value::Count(1))).contains("`more`"));
        assert!(error(&|m| m.insert("seen", Value::Numbers(vec![1.0]))).contains("`seen` is not a count"));
        assert!(error(&|m| m.insert("rate", Value::Numbers(vec![]))).contains("`rate` is not one number"));
        let short = Grads::new(&layout(2), vec![1.0, 2.0]);
        assert!(error(&|m| m.insert("mean", Value::Grads(Some(short.clone())))).contains("`mean`"));
    }
}
