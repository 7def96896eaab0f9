//! Weights, which move only by what was released.
//!
//! # Why this is private
//! *Claim.* Weights are a function of public starting values and released numbers; frozen ones are their starting values.
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
//! A step has no number for a frozen parameter (`grads::Layout`), and an adapter's product is made of released factors and a frozen matrix.
//! A team's other devices have copies of the leader's weights (`team.rs`), written by `Weights::storage`, inside this crate alone, or
//! taking the step that the leader's take (`Weights::walk_together`).
//! [`Weights::public`], [`Weights::from_public`] and [`Weights::at`] are claims about where starting values came from; reports print them.
use crate::{
    grads::{Grads, Layout, Place},
    layer::{Init, Parameter, View},
    tap::Adapted,
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
    /// The trained ones, in the layout's order.
    tensors: Vec<Tensor>,
    /// Those that never move.
    frozen: Vec<Tensor>,
    /// What trained factors and frozen matrices make together, made anew after each step.
    adapted: Vec<Adapted>,
    /// Weights of one stamp have the same numbers.
    stamp: u64,
}

/// A number that no weights have.
fn stamp() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed)
}

impl Weights {
    /// Fresh weights: each parameter by its own rule, from `key`'s stream for starting values.
    pub fn public(layout: &Arc<Layout>, key: &Key) -> Self {
        Weights::begin(layout, key, HashMap::new())
    }

    /// Weights of which `named` ones come from somewhere public, and the others are fresh, as [`Weights::public`] makes them. Names that
    /// the model does not have are not looked at.
    ///
    /// # Panics
    /// If a tensor has another shape than its parameter.
    pub(crate) fn begin(layout: &Arc<Layout>, key: &Key, mut named: HashMap<String, Tensor>) -> Self {
        let (stream, mut at) = (key.stream(Purpose::Init, 0, 0), 0);
        Weights::of(layout, |parameter| {
            let made = named.remove(&parameter.name).unwrap_or_else(|| fresh(parameter, at, &stream));
            assert_eq!(made.shape(), parameter.shape, "`{}`", parameter.name);
            at += parameter.len() as u64;
            Ok::<_, std::convert::Infallible>(made)
        })
        .unwrap_or_else(|never| match never {})
    }

    /// Weights from somewhere public, by name. Says which are missing, unknown, or of another shape.
    pub fn from_public(layout: &Arc<Layout>, mut named: HashMap<String, Tensor>) -> Result<Self, String> {
        let take = |p: &Parameter| {
            let tensor = named.remove(&p.name).ok_or_else(|| format!("no parameter `{}`", p.name))?;
            let fits = tensor.shape() == p.shape;
            let wrong = || format!("`{}` has shape {:?}, but the model wants {:?}", p.name, tensor.shape(), p.shape);
            if fits { Ok(tensor) } else { Err(wrong()) }
        };
        let weights = Weights::of(layout, take)?;
        match named.keys().min() {
            Some(name) => Err(format!("the model has no parameter `{name}`")),
            None => Ok(weights),
        }
    }

    /// Every tensor by `make`, in the order of [`Layout::all`].
    fn of<E>(layout: &Arc<Layout>, mut make: impl FnMut(&Parameter) -> Result<Tensor, E>) -> Result<Self, E> {
        let empty = |count| vec![Tensor::zeros([0]); count];
        let (mut tensors, mut frozen) = (empty(layout.parameters().len()), empty(layout.frozen().len()));
        for place in layout.all() {
            let made = make(layout.at(place))?;
            match place {
                Place::Trained(p) => tensors[p] = made,
                Place::Frozen(f) => frozen[f] = made,
                Place::Adapted(_) => unreachable!("made of others"),
            }
        }
        Ok(Weights { layout: layout.clone(), tensors, frozen, adapted: Vec::new(), stamp: stamp() }.settled())
    }

    /// The same weights with trained ones at a point, as public as the point is.
    pub fn at(&self, point: &Grads) -> Self {
        let layout = self.layout.on(point.layout().device());
        // In recycled storage, since many points may be looked at.
        let tensor = |(p, parameter): (usize, &Parameter)| {
            let mut tensor = Tensor::zeros(parameter.shape.clone());
            tensor.data_mut().copy_from_slice(point.parameter(p));
            tensor.to(layout.device())
        };
        let tensors = layout.parameters().iter().enumerate().map(tensor).collect();
        let frozen = self.frozen.iter().map(|tensor| tensor.clone().to(layout.device())).collect();
        Weights { layout, tensors, frozen, adapted: Vec::new(), stamp: stamp() }.settled()
    }

    /// Weights with no numbers in them, for a rehearsal.
    pub fn hollow(layout: &Layout) -> Self {
        let tensors = layout.parameters().iter().map(|_| Tensor::zeros([0])).collect();
        Weights { layout: layout.hollow(), tensors, frozen: Vec::new(), adapted: Vec::new(), stamp: stamp() }
    }

    /// The same weights on `device`, where everything that is made of them will be.
    pub fn to(self, device: Device) -> Self {
        let [tensors, frozen] =
            [self.tensors, self.frozen].map(|all| all.into_iter().map(|tensor| tensor.to(device)).collect());
        Weights { layout: self.layout.on(device), tensors, frozen, adapted: Vec::new(), stamp: self.stamp }.settled()
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// One tensor for each trained parameter, in the layout's order.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Every tensor that there is, trained or not, with its name: what a checkpoint holds.
    pub fn all(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.layout.all().map(|place| (self.layout.at(place), self.tensor(place)))
    }

    /// The plain model's tensors, adapters added to their matrices: what whoever knows nothing of adapters loads.
    pub fn merged(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        self.layout.places().iter().map(|place| (self.layout.at(*place), self.tensor(*place)))
    }

    /// The adapters' factors.
    pub fn adapters(&self) -> impl Iterator<Item = (&Parameter, &Tensor)> {
        let factors = self.layout.adapters().iter().flat_map(|adapter| [adapter.a, Place::Trained(adapter.b)]);
        factors.map(|place| (self.layout.at(place), self.tensor(place)))
    }

    /// What a layer sees at a place.
    pub(crate) fn tensor(&self, place: Place) -> &Tensor {
        match place {
            Place::Trained(p) => &self.tensors[p],
            Place::Frozen(f) => &self.frozen[f],
            Place::Adapted(a) => &self.adapted[a].weight,
        }
    }

    /// The weights as layers see them.
    pub fn view(&self) -> View<'_> {
        View::new(self, self.layout.places())
    }

    /// What adapters need to take a gradient apart.
    pub(crate) fn adapted(&self) -> &[Adapted] {
        &self.adapted
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

    /// After a change of trained weights: makes anew what is made of them.
    pub(crate) fn settle(&mut self) {
        let make = |adapter: &crate::grads::Adapter| {
            let [weight, b] = [&self.frozen[adapter.weight], &self.tensors[adapter.b]];
            Adapted::new(weight, self.tensor(adapter.a), b, *adapter)
        };
        self.adapted = self.layout.adapters().iter().map(make).collect();
    }

    fn settled(mut self) -> Self {
        self.settle();
        self
    }

    /// They were made a copy of `weights`.
    pub(crate) fn are_copied(&mut self, weights: &Weights) {
        self.stamp = weights.stamp;
    }

    /// The weights as a point in parameter space: the trained ones.
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
        Weights { tensors, adapted: Vec::new(), stamp: stamp(), ..self.clone() }.settled()
    }

    /// Lets `change` have its way with starting values, which are public.
    pub(crate) fn start(&mut self, change: impl FnOnce(&mut Grads)) {
        let mut point = self.point();
        change(&mut point);
        self.stamp = stamp();
        for (p, tensor) in self.tensors.iter_mut().enumerate() {
            *tensor = Tensor::new(tensor.shape(), point.parameter(p).to_vec()).to(self.layout.device());
        }
        self.settle();
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
        // The others settle where their own work is launched.
        all[0].settle();
    }
}

/// A parameter by its own rule, from the words of `stream` at `at`: the same whatever is trained.
fn fresh(parameter: &Parameter, at: u64, stream: &Stream) -> Tensor {
    let mut numbers = vec![0.0; parameter.len()];
    match parameter.init {
        Init::Constant(c) => numbers.fill(c),
        Init::Uniform(bound) => {
            stream.fill_uniform(at, &mut numbers);
            numbers.iter_mut().for_each(|x| *x = (2.0 * *x - 1.0) * bound);
        }
        Init::Normal(std) => {
            stream.fill_normal(at, &mut numbers);
            numbers.iter_mut().for_each(|z| *z *= std);
        }
    }
    Tensor::new(parameter.shape.clone(), numbers)
}
