//! Which parameters a model has, which of them are trained, and which stretch of a flat buffer belongs to each of those.
//!
//! # Why this is private
//! *Claim.* What is trained is measured, and what is not measured never moves.
//! *Argument.* Gradients, noise, steps and norms are of the layout's parameters, which are the trained ones: a step has no number for a
//! frozen parameter, and a norm has a term for every number that a step has. A layer learns by [`Place`] which of its parameters are
//! which; a tap for a frozen one is not taken (`Taps::leave`), and a trained one without a tap is refused (`model::check`).
//! *Tests.* `tests/tuning.rs`.
use crate::layer::{Init, Parameter};
use engine::Device;
use std::{ops::Range, sync::Arc};

/// What is done with a parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    /// It is trained.
    Train,
    /// It stays as it starts: no tap, no norm, no noise, no step.
    Freeze,
    /// It stays as it starts, and a product of two thin matrices is trained beside it (LoRA: Hu et al. 2021, arXiv 2106.09685).
    Adapt {
        /// The product's rank.
        rank: usize,
        /// What the product is multiplied with.
        scale: f64,
        /// Whether the first factor stays as it starts, too.
        freeze_a: bool,
    },
}

/// Where a parameter's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Among the trained ones.
    Trained(usize),
    /// Among the frozen ones.
    Frozen(usize),
    /// What a frozen one and an adapter make together.
    Adapted(usize),
}

/// A frozen matrix `W` `[p, d]` and what is trained beside it: layers see `W + scale B A`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Adapter {
    /// `W`'s place among the frozen parameters.
    pub weight: usize,
    /// `A`, `[rank, d]`, which starts at random.
    pub a: Place,
    /// The place of `B`, `[p, rank]`, among the trained parameters; it starts at zero.
    pub b: usize,
    /// What the product is multiplied with.
    pub scale: f64,
}

/// A model's parameters: the trained ones, with their stretches of a flat buffer, and the frozen ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    parameters: Vec<Parameter>,
    ranges: Vec<Range<usize>>,
    device: Device,
    frozen: Vec<Parameter>,
    adapters: Vec<Adapter>,
    /// Of the model's own parameters, in its order.
    places: Vec<Place>,
}

impl Layout {
    /// Lays `parameters` one after the other; all are trained.
    pub fn new(parameters: Vec<Parameter>) -> Arc<Self> {
        let how = vec![How::Train; parameters.len()];
        Self::split(parameters, &how)
    }

    /// Of a model's `parameters`, those that are trained one after the other, and after them what is trained beside frozen ones.
    ///
    /// # Panics
    /// If there is not one `how` for each, or a parameter that is no matrix is to be adapted.
    pub fn split(parameters: Vec<Parameter>, how: &[How]) -> Arc<Self> {
        assert_eq!(parameters.len(), how.len(), "one word for each parameter");
        let mut layout = Layout::hollow_of(Vec::new(), Vec::new());
        let mut adapted = Vec::new();
        for (parameter, how) in parameters.into_iter().zip(how) {
            let place = match *how {
                How::Train => push(&mut layout.parameters, parameter, Place::Trained),
                How::Freeze => push(&mut layout.frozen, parameter, Place::Frozen),
                How::Adapt { rank, scale, freeze_a } => {
                    adapted.push((layout.frozen.len(), rank, scale, freeze_a));
                    layout.frozen.push(parameter);
                    Place::Adapted(adapted.len() - 1)
                }
            };
            layout.places.push(place);
        }
        for (weight, rank, scale, freeze_a) in adapted {
            let [a, b] = factors(&layout.frozen[weight], rank);
            let a = match freeze_a {
                true => push(&mut layout.frozen, a, Place::Frozen),
                false => push(&mut layout.parameters, a, Place::Trained),
            };
            layout.adapters.push(Adapter { weight, a, b: layout.parameters.len(), scale });
            layout.parameters.push(b);
        }
        let sizes: Vec<usize> = layout.parameters.iter().map(Parameter::len).collect();
        layout.ranges = ranges(&sizes);
        Arc::new(layout)
    }

    /// The same trained parameters with no numbers in them, and nothing beside them: what a rehearsal runs on.
    pub fn hollow(&self) -> Arc<Self> {
        let places = (0..self.parameters.len()).map(Place::Trained).collect();
        Arc::new(Layout::hollow_of(self.parameters.clone(), places))
    }

    fn hollow_of(parameters: Vec<Parameter>, places: Vec<Place>) -> Layout {
        let ranges = ranges(&vec![0; parameters.len()]);
        Layout { parameters, ranges, device: Device::Cpu, frozen: Vec::new(), adapters: Vec::new(), places }
    }

    /// The same layout of buffers on `device`.
    pub fn on(&self, device: Device) -> Arc<Self> {
        Arc::new(Layout { device, ..self.clone() })
    }

    /// Where its buffers are.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The trained parameters, in order.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The parameters that stay as they start.
    pub fn frozen(&self) -> &[Parameter] {
        &self.frozen
    }

    /// What is trained beside frozen parameters.
    pub fn adapters(&self) -> &[Adapter] {
        &self.adapters
    }

    /// Where the model's own parameters are, in the model's order.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// The parameter at a place: of an adapted one, the frozen matrix.
    pub fn at(&self, place: Place) -> &Parameter {
        match place {
            Place::Trained(p) => &self.parameters[p],
            Place::Frozen(f) => &self.frozen[f],
            Place::Adapted(a) => &self.frozen[self.adapters[a].weight],
        }
    }

    /// Every tensor that there is, with no regard to what is trained: the model's own in its order, then adapters' factors.
    pub fn all(&self) -> impl Iterator<Item = Place> {
        let own = self.places.iter().map(|place| match *place {
            Place::Adapted(a) => Place::Frozen(self.adapters[a].weight),
            place => place,
        });
        own.chain(self.adapters.iter().flat_map(|adapter| [adapter.a, Place::Trained(adapter.b)]))
    }

    /// The frozen matrix that a factor called `name` is trained beside, if it is one.
    pub(crate) fn adapted_by(&self, name: &str) -> Option<&str> {
        let is = |place: Place| self.at(place).name == name;
        let adapter = self.adapters.iter().find(|adapter| is(adapter.a) || is(Place::Trained(adapter.b)));
        adapter.map(|adapter| self.frozen[adapter.weight].name.as_str())
    }

    /// Where trained parameter `p` lies in a flat buffer.
    pub fn range(&self, p: usize) -> Range<usize> {
        self.ranges[p].clone()
    }

    /// Whether parameters are as long here as there.
    pub(crate) fn same_ranges(&self, other: &Layout) -> bool {
        self.ranges == other.ranges
    }

    /// How many numbers are trained.
    pub fn len(&self) -> usize {
        self.ranges.last().map_or(0, |r| r.end)
    }

    /// Whether nothing is trained.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many numbers there are, trained or not.
    pub fn total(&self) -> usize {
        self.len() + self.frozen.iter().map(Parameter::len).sum::<usize>()
    }
}

fn push(list: &mut Vec<Parameter>, parameter: Parameter, place: impl Fn(usize) -> Place) -> Place {
    list.push(parameter);
    place(list.len() - 1)
}

/// Stretches of these sizes, one after the other.
fn ranges(sizes: &[usize]) -> Vec<Range<usize>> {
    let mut at = 0;
    let next = |n: &usize| {
        at += n;
        at - n..at
    };
    sizes.iter().map(next).collect()
}

/// The factors beside a matrix `[p, d]`, under the names that the `peft` library gives them.
fn factors(weight: &Parameter, rank: usize) -> [Parameter; 2] {
    let &[p, d] = weight.shape.as_slice() else { panic!("`{}` is no matrix: {:?}", weight.name, weight.shape) };
    let name = &weight.name;
    let stem = name.strip_suffix(".weight").or_else(|| name.strip_suffix("_weight")).unwrap_or(name);
    let stem = if stem == "weight" { String::new() } else { format!("{stem}.") };
    [
        Parameter::new(&format!("{stem}lora_A.weight"), [rank, d], Init::pytorch(d)),
        Parameter::new(&format!("{stem}lora_B.weight"), [p, rank], Init::Constant(0.0)),
    ]
}
