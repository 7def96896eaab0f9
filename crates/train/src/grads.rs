//! A point in parameter space: every parameter's numbers in one flat buffer, always in the layout's order.
//!
//! Gradients, steps and noise are all such points. One buffer keeps noise, sums and optimizers to single passes over
//! memory; the [`Layout`] says which stretch belongs to which parameter.
mod layout;
mod numbers;
mod sum;

use engine::{Device, Group, Part, PartMut, Tensor, op};
pub use layout::{Adapter, How, Layout, Place};
use numbers::Numbers;
use rayon::prelude::*;
use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

/// Numbers that a thread works through at a time.
pub(crate) const BLOCK: usize = 1 << 14;

/// A gradient, a step or noise: one number for each of the model's. Storage is recycled when it is dropped.
///
/// On a GPU, what has an operation of its own (sums, scales, blends) stays there. Whoever asks for the numbers themselves
/// gets a copy; whoever changes them or brings a closure gets them on the host, where they stay until they meet numbers on
/// the GPU again.
///
/// A factor is remembered, and multiplied in by the next pass over the numbers: a pass of its own would take as long as
/// gradient descent's whole step. On a GPU so is a term that was added, and everywhere the noise of a release, which cannot be
/// told from the numbers any more, and what is still to be added up from several GPUs. What is pending is worked off when somebody
/// first asks for the numbers, on the host by the thread pool: who reads a point in a parallel loop asks for it once before.
#[derive(Clone)]
pub struct Grads {
    layout: Arc<Layout>,
    flat: Numbers,
    /// What is still to be added to `flat`, and times what.
    plus: Option<Box<(Tensor, f64)>>,
    /// What their sum is still to be multiplied with. 0 stands for zeros, whatever they hold.
    by: f64,
    /// The product, where somebody asked for it.
    product: OnceLock<Box<Tensor>>,
    /// The numbers on the host, where somebody asked for those of a GPU.
    mirror: OnceLock<Tensor>,
}

impl Grads {
    fn of(layout: Arc<Layout>, flat: Tensor) -> Self {
        let flat = Numbers::Plain(flat);
        Grads { layout, flat, plus: None, by: 1.0, product: OnceLock::new(), mirror: OnceLock::new() }
    }

    /// The numbers, about to change.
    fn changing(&mut self) -> &mut Tensor {
        self.mirror.take();
        let (plus, by) = (self.plus.take(), std::mem::replace(&mut self.by, 1.0));
        match self.product.take() {
            Some(product) if plus.is_some() || by != 1.0 => self.flat = Numbers::Plain(*product),
            _ if by == 0.0 => self.flat = Numbers::Plain(Tensor::zeros_on(self.device(), [self.flat.len()])),
            _ => complete(self.flat.get_mut(), plus.as_deref(), by),
        }
        self.flat.get_mut()
    }

    /// The numbers on the host.
    fn host(&self) -> &Tensor {
        if self.device() == Device::Cpu { self.tensor() } else { self.mirror.get_or_init(|| self.tensor().to_host()) }
    }

    /// Multiplies with `by`, later.
    fn multiply(&mut self, by: f64) {
        (self.mirror, self.product) = (OnceLock::new(), OnceLock::new());
        self.by *= by;
    }

    /// The numbers before they are multiplied, and with what (not 0).
    pub(crate) fn factors(&self) -> (&Tensor, f64) {
        if self.by == 0.0 || self.plus.is_some() { (self.tensor(), 1.0) } else { (self.flat.get(), self.by) }
    }

    /// The same, and a term that is to be added to the numbers before they are multiplied, with its own factor.
    fn terms(&self) -> (&Tensor, f64, Option<(&Tensor, f64)>) {
        match self.plus.as_deref() {
            Some((plus, size)) if self.by != 0.0 => (self.flat.get(), self.by, Some((plus, *size))),
            _ => (self.factors().0, self.factors().1, None),
        }
    }

    /// Zeros on a GPU that were never written down become what `make` makes: whether they were such.
    pub(crate) fn make(&mut self, make: impl FnOnce(Device, usize) -> Tensor) -> bool {
        let unwritten = self.by == 0.0;
        if unwritten {
            let (device, len) = (self.device(), self.flat.len());
            // Its memory may serve what is made.
            self.flat = Numbers::Plain(Tensor::zeros([0]));
            *self = Grads::of(self.layout.clone(), make(device, len));
        }
        unwritten
    }

    /// All zeros.
    pub fn zeros(layout: &Arc<Layout>) -> Self {
        Grads::of(layout.clone(), Tensor::zeros_on(layout.device(), [layout.len()]))
    }

    /// Whatever is in the memory, on a GPU: for whoever writes all of it.
    pub(crate) fn unfilled(layout: &Arc<Layout>) -> Self {
        Grads::of(layout.clone(), Tensor::unfilled_on(layout.device(), [layout.len()]))
    }

    /// Wraps a flat buffer.
    ///
    /// # Panics
    /// If `flat` does not have the layout's length.
    pub fn new(layout: &Arc<Layout>, flat: Vec<f32>) -> Self {
        assert_eq!(flat.len(), layout.len(), "a buffer of {} numbers for {} parameters", flat.len(), layout.len());
        Grads::of(layout.clone(), Tensor::new([flat.len()], flat))
    }

    /// The layout.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Where the numbers are.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// The same numbers on `device`.
    pub fn to(self, device: Device) -> Self {
        if device == self.device() {
            return self;
        }
        Grads::of(self.layout.clone(), self.into_tensor().to(device))
    }

    /// All numbers, on whatever device.
    pub fn tensor(&self) -> &Tensor {
        let product = || {
            if self.by == 0.0 {
                return Box::new(Tensor::zeros_on(self.device(), [self.flat.len()]));
            }
            let mut product = self.flat.get().clone();
            complete(&mut product, self.plus.as_deref(), self.by);
            Box::new(product)
        };
        if self.by == 1.0 && self.plus.is_none() { self.flat.get() } else { self.product.get_or_init(product) }
    }

    fn into_tensor(mut self) -> Tensor {
        self.changing();
        self.flat.into_tensor()
    }

    /// All numbers, on whatever device, to change.
    pub fn tensor_mut(&mut self) -> &mut Tensor {
        self.changing()
    }

    /// A copy of all numbers on the host.
    pub fn to_vec(&self) -> Vec<f32> {
        self.tensor().to_host().into_data()
    }

    /// All numbers; those on a GPU are copied to the host.
    pub fn flat(&self) -> &[f32] {
        self.host().data()
    }

    /// All numbers, to change; on the host from now on.
    pub fn flat_mut(&mut self) -> &mut [f32] {
        self.come_home();
        self.changing().data_mut()
    }

    /// Parameter `p`'s numbers; those on a GPU are copied to the host.
    pub fn parameter(&self, p: usize) -> &[f32] {
        &self.host().data()[self.layout.range(p)]
    }

    /// Parameter `p`'s numbers, to change; on the host from now on.
    pub fn parameter_mut(&mut self, p: usize) -> &mut [f32] {
        let range = self.layout.range(p);
        &mut self.flat_mut()[range]
    }

    /// Parameter `p`'s numbers, on whatever device.
    pub fn part(&self, p: usize) -> Part<'_> {
        self.tensor().part(self.layout.range(p))
    }

    /// Parameter `p`'s numbers, on whatever device, to change.
    pub fn part_mut(&mut self, p: usize) -> PartMut<'_> {
        let range = self.layout.range(p);
        self.changing().part_mut(range)
    }

    /// All parameters' numbers, one after the other, to change.
    pub(crate) fn all_mut(&mut self) -> PartMut<'_> {
        self.changing().into()
    }

    /// The L2 norm, accumulated in f64.
    pub fn norm(&self) -> f64 {
        if self.by == 0.0 {
            return 0.0;
        }
        let (numbers, by) = self.factors();
        op::square(numbers).sqrt() * by.abs()
    }

    /// `f` applied to each pair of numbers, in place; on the host.
    pub fn zip_with(&mut self, other: &Grads, f: impl Fn(&mut f32, f32) + Sync) {
        self.come_home();
        let other = other.beside(self);
        let blocks = self.changing().data_mut().par_chunks_mut(BLOCK).zip(other.data().par_chunks(BLOCK));
        blocks.for_each(|(a, b)| op::in_vectors(|| a.iter_mut().zip(b).for_each(|(a, b)| f(a, *b))));
    }

    /// `f` applied to each number and those of two others, in place; on the host.
    pub fn zip_with_both(&mut self, first: &Grads, second: &Grads, f: impl Fn(&mut f32, f32, f32) + Sync) {
        self.come_home();
        let (first, second) = (first.beside(self), second.beside(self));
        let others = first.data().par_chunks(BLOCK).zip(second.data().par_chunks(BLOCK));
        self.changing().data_mut().par_chunks_mut(BLOCK).zip(others).for_each(|(x, (a, b))| {
            op::in_vectors(|| x.iter_mut().zip(a.iter().zip(b)).for_each(|(x, (a, b))| f(x, *a, *b)));
        });
    }

    /// `f` applied to each number, in place; on the host.
    pub fn for_each(&mut self, f: impl Fn(&mut f32) + Sync) {
        self.flat_mut().par_chunks_mut(BLOCK).for_each(|block| op::in_vectors(|| block.iter_mut().for_each(&f)));
    }

    /// Every number times `by`.
    pub fn times(mut self, by: f32) -> Self {
        self.multiply(f64::from(by));
        self
    }

    /// `self = keep self + by other`.
    pub fn blend(&mut self, other: &Grads, keep: f32, by: f32) {
        let (other, scale) = other.factors_beside(self);
        op::blend(self.changing(), &other, keep, (f64::from(by) * scale) as f32);
    }

    /// `self = keep self + by other^2`.
    pub fn blend_square(&mut self, other: &Grads, keep: f32, by: f32) {
        let (other, scale) = other.factors_beside(self);
        op::blend_square(self.changing(), &other, keep, (f64::from(by) * scale * scale) as f32);
    }

    /// Adam's step from its two means, `-rate m / (root sqrt(v) + eps)`, in the storage of `self`.
    pub fn adam_step(self, m: &Grads, v: &Grads, rate: f32, root: f32, eps: f32) -> Self {
        let (m, v) = (m.beside(&self), v.beside(&self));
        // What was to be multiplied is overwritten.
        Grads::of(self.layout, op::adam_step(self.flat.into_tensor(), &m, &v, rate, root, eps))
    }

    /// Takes the step that these numbers are: adds them to tensors that lie one after the other as the layout says, on the same
    /// device, in one pass over what is still to be multiplied and added. `lists` are these tensors, and copies on other devices,
    /// which take the step too if the numbers are there as well; of how many lists, the first ones, it was.
    pub(crate) fn walk(&self, lists: &mut [&mut [Tensor]]) -> usize {
        let late = self.plus.is_none() && self.by != 0.0;
        let walked = if late { self.flat.walk(lists, self.by) } else { 0 };
        if walked > 0 {
            return walked;
        }
        let (numbers, by, plus) = self.terms();
        op::walk_all(lists[0], numbers, by, plus);
        1
    }

    /// Numbers of one layout from several devices as one, by `sum` of their tensors; where the first are.
    ///
    /// # Panics
    /// If there are none.
    pub(crate) fn gather(all: Vec<Grads>, sum: impl FnOnce(Vec<Tensor>) -> Tensor) -> Grads {
        let layout = all[0].layout.clone();
        Grads::of(layout, sum(all.into_iter().map(Grads::into_tensor).collect()))
    }

    /// Numbers of one layout from a group's devices as one, to be added up when somebody asks for the sum, or as a step goes through it.
    pub(crate) fn apart(all: Vec<Grads>, group: &Arc<Group>) -> Grads {
        let layout = all[0].layout.clone();
        let summands: Vec<Tensor> = all.into_iter().map(Grads::into_tensor).collect();
        let flat =
            if group.shares(&summands) { Numbers::apart(summands, group) } else { Numbers::Plain(group.sum(summands)) };
        Grads { flat, ..Grads::of(layout, Tensor::zeros([0])) }
    }

    fn come_home(&mut self) {
        if self.device() != Device::Cpu {
            let kept = self.mirror.take();
            self.flat = Numbers::Plain(kept.unwrap_or_else(|| self.tensor().to_host()));
            (self.plus, self.by, self.product) = (None, 1.0, OnceLock::new());
        }
    }

    /// These numbers on the device of `other`: on a GPU, or where they are already, nothing is copied.
    fn beside(&self, other: &Grads) -> Cow<'_, Tensor> {
        match self.device() == other.device() {
            true => Cow::Borrowed(self.tensor()),
            false => Cow::Owned(self.tensor().clone().to(other.device())),
        }
    }

    /// The same, before they are multiplied, and what with.
    fn factors_beside(&self, other: &Grads) -> (Cow<'_, Tensor>, f64) {
        let (numbers, by) = self.factors();
        match self.device() == other.device() {
            true => (Cow::Borrowed(numbers), by),
            false => (self.beside(other), 1.0),
        }
    }
}

/// `by (numbers + size plus)`, in place.
fn complete(numbers: &mut Tensor, plus: Option<&(Tensor, f64)>, by: f64) {
    if let Some((plus, size)) = plus {
        op::add_scaled(numbers, plus, *size);
    }
    if by != 1.0 {
        op::scale(numbers, by);
    }
}

#[cfg(test)]
#[path = "grads_tests.rs"]
mod tests;
