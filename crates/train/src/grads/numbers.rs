//! A point's numbers, or numbers that are finished when they are first asked for: their noise is still to be added, or they are
//! still summands on several GPUs.
//!
//! A step out of such numbers is one pass over memory (`engine::op::noised_walk`), in which each of several GPUs goes through a part:
//! it adds the summands up, adds the noise, and writes the weights of all. Whoever asks for anything else gets the finished numbers.
//!
//! # Why this is private
//! *Claim.* Numbers that a release put behind its noise leave this file with it. Summands of a sum on several GPUs are never seen apart.
//! *Argument.* They are in a [`Veiled`], which the privacy crate gives no other way to read, and which lends its noise to [`There`]
//! alone: both of its functions hand number `i` of the sum and the cipher to one operation of the engine. A veil is laid over one vector,
//! the sum, whatever it consists of: noise is added once to each of its numbers.
//! *Tests.* `veiled_numbers_are_the_noisy_ones` and `a_veiled_step_is_the_noisy_step`, in `grads_tests.rs`, for everything that can be
//! asked of a point; on GPUs `a_step_behind_its_noise_is_the_noisy_step` and `noise_is_made_once` (`tests/gpu`).
use super::BLOCK;
use engine::{Device, Group, Tensor, op};
use privacy::{Lent, Veil, Veiled};
use rayon::prelude::*;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) enum Numbers {
    Plain(Tensor),
    Late(Box<Late>),
}

/// Numbers that are not finished until somebody asks for all of them.
pub(super) struct Late {
    pending: Mutex<Option<Pending>>,
    finished: OnceLock<Tensor>,
    len: usize,
    device: Device,
    /// On how many devices they are.
    places: usize,
}

/// What they are until then.
enum Pending {
    Here(Veiled<Host>),
    There(Veiled<There>),
    /// Without noise: a secret sum before its release, or one that was revealed.
    Apart(There),
}

/// Numbers on the host.
struct Host(Tensor);

impl privacy::Vector for Host {
    fn size(&self) -> usize {
        self.0.len()
    }
    fn copy(&self, from: usize, out: &mut [f32]) {
        out.copy_from_slice(&self.0.data()[from..from + out.len()]);
    }
    fn each(&mut self, f: &(dyn Fn(usize, &mut [f32]) + Sync)) {
        let blocks = self.0.data_mut().par_chunks_mut(BLOCK).enumerate();
        blocks.for_each(|(k, block)| f(k * BLOCK, block));
    }
}

/// Numbers on a GPU, or the sum of tensors on a group's GPUs, one on each.
pub(super) struct There {
    summands: Vec<Tensor>,
    group: Option<Arc<Group>>,
}

impl There {
    /// Added up, where the first are.
    fn sum(mut self) -> Tensor {
        match self.group {
            None => self.summands.swap_remove(0),
            Some(group) => group.sum(self.summands),
        }
    }
}

impl privacy::OnDevice for There {
    type Ground<'a> = Vec<&'a mut [Tensor]>;
    fn noised(self, noise: Lent) -> Self {
        let mut sum = self.sum();
        op::add_normals(&mut sum, at_least(noise.deviation), cipher(&noise));
        There { summands: vec![sum], group: None }
    }
    fn walk(&self, noise: Lent, mut ground: Vec<&mut [Tensor]>, by: f64) {
        let noise = op::Noise { cipher: cipher(&noise), deviation: at_least(noise.deviation) };
        op::noised_walk(&mut ground, &self.summands, by, Some(noise));
    }
}

fn cipher<'a>(noise: &Lent<'a>) -> op::Cipher<'a> {
    op::Cipher { key: noise.key, nonce: noise.nonce }
}

/// The f32 next to a standard deviation that is not below it.
pub(super) fn at_least(deviation: f64) -> f32 {
    let near = deviation as f32;
    if f64::from(near) < deviation { near.next_up() } else { near }
}

impl Pending {
    fn finish(self) -> Tensor {
        match self {
            Pending::Here(veiled) => veiled.lift().0,
            Pending::There(veiled) => veiled.lift_there().sum(),
            Pending::Apart(there) => there.sum(),
        }
    }
}

impl Late {
    /// What is not finished. Nobody leaves it half done: a panic elsewhere changes nothing about it.
    fn pending(&self) -> MutexGuard<'_, Option<Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finished(&self) -> &Tensor {
        self.finished.get_or_init(|| {
            let Some(pending) = self.pending().take() else { unreachable!("finished once") };
            pending.finish()
        })
    }
}

impl Numbers {
    fn late(pending: Pending, (len, device): (usize, Device), places: usize) -> Self {
        let (pending, finished) = (Mutex::new(Some(pending)), OnceLock::new());
        Numbers::Late(Box::new(Late { pending, finished, len, device, places }))
    }

    /// The sum of tensors on a group's devices, the first of which has it when it is made.
    pub fn apart(summands: Vec<Tensor>, group: &Arc<Group>) -> Self {
        let (about, places) = ((summands[0].len(), summands[0].device()), summands.len());
        Numbers::late(Pending::Apart(There { summands, group: Some(group.clone()) }), about, places)
    }

    /// The numbers behind their noise.
    pub fn veiled(self, veil: &Veil) -> Self {
        let (about, apart) = ((self.len(), self.device()), self.apart_still());
        match (apart, about.1) {
            (Ok(there), _) => {
                let places = there.summands.len();
                Numbers::late(Pending::There(veil.over(there)), about, places)
            }
            (Err(numbers), Device::Cpu) => Numbers::late(Pending::Here(veil.over(Host(numbers))), about, 1),
            (Err(numbers), Device::Cuda(_)) => {
                let there = There { summands: vec![numbers], group: None };
                Numbers::late(Pending::There(veil.over(there)), about, 1)
            }
        }
    }

    /// Summands that nobody has asked the sum of, or the numbers.
    fn apart_still(self) -> Result<There, Tensor> {
        if let Numbers::Late(late) = &self
            && let pending = &mut *late.pending()
            && let Some(Pending::Apart(_)) = pending
            && let Some(Pending::Apart(there)) = pending.take()
        {
            return Ok(there);
        }
        Err(self.into_tensor())
    }

    pub fn len(&self) -> usize {
        match self {
            Numbers::Plain(tensor) => tensor.len(),
            Numbers::Late(late) => late.len,
        }
    }

    pub fn device(&self) -> Device {
        match self {
            Numbers::Plain(tensor) => tensor.device(),
            Numbers::Late(late) => late.device,
        }
    }

    pub fn get(&self) -> &Tensor {
        match self {
            Numbers::Plain(tensor) => tensor,
            Numbers::Late(late) => late.finished(),
        }
    }

    pub fn get_mut(&mut self) -> &mut Tensor {
        if let Numbers::Late(_) = self {
            *self = Numbers::Plain(std::mem::replace(self, Numbers::Plain(Tensor::zeros([0]))).into_tensor());
        }
        match self {
            Numbers::Plain(tensor) => tensor,
            Numbers::Late(_) => unreachable!("just finished"),
        }
    }

    pub fn into_tensor(self) -> Tensor {
        match self {
            Numbers::Plain(tensor) => tensor,
            Numbers::Late(late) => {
                let _ = late.finished();
                let Some(tensor) = late.finished.into_inner() else { unreachable!("just finished") };
                tensor
            }
        }
    }

    /// Adds `by` times the numbers to lists of tensors, all of it in one pass; of how many lists, the first ones, it was: none
    /// if the numbers are finished, or if there is no list on one of the devices where they are.
    pub fn walk(&self, lists: &mut [&mut [Tensor]], by: f64) -> usize {
        let Numbers::Late(late) = self else { return 0 };
        let pending = late.pending();
        let (Some(pending), Some(lists)) = (&*pending, lists.get_mut(..late.places)) else { return 0 };
        let len: usize = lists[0].iter().map(Tensor::len).sum();
        assert!(late.len == len, "a step of {} elements for {len}", late.len);
        match pending {
            Pending::Here(veiled) => op::walk_made(lists[0], by, |from, out| veiled.read(from, out)),
            Pending::There(veiled) => veiled.walk(lists.iter_mut().map(|list| &mut **list).collect(), by),
            Pending::Apart(there) => op::noised_walk(lists, &there.summands, by, None),
        }
        late.places
    }
}

impl Clone for Numbers {
    fn clone(&self) -> Self {
        Numbers::Plain(self.get().clone())
    }
}
