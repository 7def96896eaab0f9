//! Weights, which move only by what was released.
//!
//! # Why this is private
//! *Claim.* Weights are a function of public starting values and released numbers.
//! *Argument.* The only way to change them is [`Weights::walk`], which takes a `Privatized` step; only the privacy
//! crate's ledger makes those, and it charges for each. Raw gradients do not fit:
//! ```compile_fail,E0308
//! fn cheat(w: &mut train::model::Weights, raw: train::grads::Grads) {
//!     w.walk(&raw);
//! }
//! ```
//! ```compile_fail,E0616
//! fn cheat(mut w: train::model::Weights) {
//!     w.tensors.clear();
//! }
//! ```
//! A team's other devices have copies of the leader's weights (`team.rs`), written by `Weights::storage`, inside this crate alone, or
//! taking the step that the leader's take (`Weights::walk_together`).
//! [`Weights::public`], [`Weights::from_public`] and [`Weights::from_point`] are claims about where starting values came from; reports print them.
use crate::{
    grads::{Grads, Layout},
    layer::{Init, Parameter},
};
use engine::{Device, Tensor, op};
use privacy::{Key, Privatized, Purpose, Stream};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// All of a model's parameters.
#[derive(Clone)]
pub struct Weights {
    layout: Arc<Layout>,
    tensors: Vec<Tensor>,
    /// Weights of one stamp have the same numbers.
    stamp: u64,
}

/// A number that no weights have.
fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl Weights {
    fn of(layout: Arc<Layout>, tensors: Vec<Tensor>) -> Self {
        Weights { layout, tensors, stamp: stamp() }
    }

    /// Fresh weights: each parameter by its own rule, from `key`'s stream for starting values.
    pub fn public(layout: &Arc<Layout>, key: &Key) -> Self {
        let stream = key.stream(Purpose::Init, 0, 0);
        let tensors = (0..layout.parameters().len()).map(|p| fresh(layout, p, &stream)).collect();
        Weights::of(layout.clone(), tensors)
    }

    /// Weights from somewhere public, by name. Says which are missing, unknown, or of another shape.
    pub fn from_public(layout: &Arc<Layout>, mut named: HashMap<String, Tensor>) -> Result<Self, String> {
        let take = |p: &Parameter| {
            let tensor = named.remove(&p.name).ok_or_else(|| format!("no parameter `{}`", p.name))?;
            let fits = tensor.shape() == p.shape;
            let wrong = || format!("`{}` has shape {:?}, but the model wants {:?}", p.name, tensor.shape(), p.shape);
            if fits { Ok(tensor) } else { Err(wrong()) }
        };
        let tensors = layout.parameters().iter().map(take).collect::<Result<_, _>>()?;
        match named.keys().min() {
            Some(name) => Err(format!("the model has no parameter `{name}`")),
            None => Ok(Weights::of(layout.clone(), tensors)),
        }
    }

    /// Weights at a point, as public as the point is.
    pub fn from_point(point: &Grads) -> Self {
        let layout = point.layout().clone();
        let tensor = |(p, parameter): (usize, &Parameter)| {
            let numbers = point.part(p).to_vec();
            let tensor =
                if numbers.is_empty() { Tensor::zeros([0]) } else { Tensor::new(parameter.shape.clone(), numbers) };
            tensor.to(layout.device())
        };
        let tensors = layout.parameters().iter().enumerate().map(tensor).collect();
        Weights::of(layout, tensors)
    }

    /// Weights with no numbers in them, for a rehearsal.
    pub fn hollow(layout: &Layout) -> Self {
        let tensors = layout.parameters().iter().map(|_| Tensor::zeros([0])).collect();
        Weights::of(layout.hollow(), tensors)
    }

    /// The same weights on `device`, where everything that is made of them will be.
    pub fn to(self, device: Device) -> Self {
        let tensors = self.tensors.into_iter().map(|tensor| tensor.to(device)).collect();
        Weights { layout: self.layout.on(device), tensors, stamp: self.stamp }
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// One tensor a parameter, in the layout's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Whether they have the numbers that `weights` have now.
    pub(crate) fn is_copy_of(&self, weights: &Weights) -> bool {
        self.stamp == weights.stamp
    }

    /// Where a copy of other weights goes: for a team, which writes its leader's there and nothing else, and says so.
    pub(crate) fn storage(&mut self) -> &mut [Tensor] {
        self.stamp = stamp();
        &mut self.tensors
    }

    /// They were made a copy of `weights`.
    pub(crate) fn are_copied(&mut self, weights: &Weights) {
        self.stamp = weights.stamp;
    }

    /// The weights as a point in parameter space.
    pub fn point(&self) -> Grads {
        let mut point = Grads::zeros(&self.layout);
        self.tensors.iter().enumerate().for_each(|(p, tensor)| op::copy(tensor, point.part_mut(p)));
        point
    }

    /// The same weights from `offset` away, to look at data from there. What is seen there is as secret as here.
    pub(crate) fn seen_from(&self, offset: &Grads) -> Weights {
        let shifted = |(p, tensor): (usize, &Tensor)| {
            let mut tensor = tensor.clone();
            op::walk(&mut tensor, offset.part(p), 1.0);
            tensor
        };
        let tensors = self.tensors.iter().enumerate().map(shifted).collect();
        Weights::of(self.layout.clone(), tensors)
    }

    /// Lets `change` have its way with starting values, which are public.
    pub(crate) fn start(&mut self, change: impl FnOnce(&mut Grads)) {
        let mut point = self.point();
        change(&mut point);
        self.stamp = stamp();
        for (p, tensor) in self.tensors.iter_mut().enumerate() {
            *tensor = Tensor::new(tensor.shape(), point.parameter(p).to_vec()).to(self.layout.device());
        }
    }

    /// Takes one step.
    pub fn walk(&mut self, step: &Privatized<Grads>) {
        Weights::walk_together(&mut [self], step);
    }

    /// The first takes one step, and the others, on other devices, take it too if they are copies and it stands there as well.
    pub(crate) fn walk_together(all: &mut [&mut Weights], step: &Privatized<Grads>) {
        let (layout, then) = (all[0].layout.clone(), stamp());
        let before = std::mem::replace(&mut all[0].stamp, then);
        let copies = 1 + all[1..].iter().take_while(|weights| weights.stamp == before).count();
        let mut lists: Vec<_> = all[..copies].iter_mut().map(|weights| &mut weights.tensors[..]).collect();
        let walked = match step.get() {
            step if step.device() == layout.device() => step.walk(&mut lists),
            step => step.clone().to(layout.device()).walk(&mut lists[..1]),
        };
        all[1..walked].iter_mut().for_each(|weights| weights.stamp = then);
    }
}

fn fresh(layout: &Layout, p: usize, stream: &Stream) -> Tensor {
    let (parameter, range) = (&layout.parameters()[p], layout.range(p));
    let at = range.start as u64;
    let numbers = match parameter.init {
        Init::Constant(c) => vec![c; range.len()],
        Init::Uniform(bound) => {
            let mut numbers = vec![0.0; range.len()];
            stream.fill_uniform(at, &mut numbers);
            numbers.iter_mut().for_each(|x| *x = (2.0 * *x - 1.0) * bound);
            numbers
        }
        Init::Normal(std) => {
            let mut numbers = vec![0.0; range.len()];
            stream.fill_normal(at, &mut numbers);
            numbers.iter_mut().for_each(|z| *z *= std);
            numbers
        }
    };
    Tensor::new(parameter.shape.clone(), numbers)
}
