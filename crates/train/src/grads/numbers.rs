//! A point's numbers, or numbers whose noise is added when they are first asked for.
//!
//! # Why this is private
//! *Claim.* Numbers that a release put behind its noise leave this file with it.
//! *Argument.* They are in a [`Veiled`], which the privacy crate gives no other way to read.
//! *Tests.* `veiled_numbers_are_the_noisy_ones`, in `grads_tests.rs`, for everything that can be asked of a point.
use super::BLOCK;
use engine::{Device, Tensor, op};
use privacy::{Veil, Veiled};
use rayon::prelude::*;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub(super) enum Numbers {
    Plain(Tensor),
    Veiled(Box<Late>),
}

/// Numbers on the host behind their noise, until somebody asks for all of them.
pub(super) struct Late {
    veiled: Mutex<Option<Veiled<Host>>>,
    lifted: OnceLock<Tensor>,
    len: usize,
}

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

impl Late {
    /// What is still veiled. Nobody leaves it half done: a panic elsewhere changes nothing about it.
    fn veiled(&self) -> MutexGuard<'_, Option<Veiled<Host>>> {
        self.veiled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lifted(&self) -> &Tensor {
        self.lifted.get_or_init(|| {
            let Some(veiled) = self.veiled().take() else { unreachable!("lifted once") };
            veiled.lift().0
        })
    }
}

impl Numbers {
    /// Numbers on the host, behind their noise.
    pub fn veiled(numbers: Tensor, veil: &Veil) -> Self {
        let (len, veiled) = (numbers.len(), veil.over(Host(numbers)));
        Numbers::Veiled(Box::new(Late { veiled: Mutex::new(Some(veiled)), lifted: OnceLock::new(), len }))
    }

    pub fn len(&self) -> usize {
        match self {
            Numbers::Plain(tensor) => tensor.len(),
            Numbers::Veiled(late) => late.len,
        }
    }

    pub fn device(&self) -> Device {
        match self {
            Numbers::Plain(tensor) => tensor.device(),
            Numbers::Veiled(_) => Device::Cpu,
        }
    }

    pub fn get(&self) -> &Tensor {
        match self {
            Numbers::Plain(tensor) => tensor,
            Numbers::Veiled(late) => late.lifted(),
        }
    }

    pub fn get_mut(&mut self) -> &mut Tensor {
        if let Numbers::Veiled(_) = self {
            *self = Numbers::Plain(std::mem::replace(self, Numbers::Plain(Tensor::zeros([0]))).into_tensor());
        }
        match self {
            Numbers::Plain(tensor) => tensor,
            Numbers::Veiled(_) => unreachable!("its noise was just added"),
        }
    }

    pub fn into_tensor(self) -> Tensor {
        match self {
            Numbers::Plain(tensor) => tensor,
            Numbers::Veiled(late) => {
                let _ = late.lifted();
                let Some(tensor) = late.lifted.into_inner() else { unreachable!("just lifted") };
                tensor
            }
        }
    }

    /// Adds `by` times the numbers to tensors on the host, noise and step in one pass; not if there is none to add any more.
    pub fn walk(&self, tensors: &mut [Tensor], by: f64) -> bool {
        let Numbers::Veiled(late) = self else { return false };
        let veiled = late.veiled();
        let Some(veiled) = &*veiled else { return false };
        let len: usize = tensors.iter().map(Tensor::len).sum();
        assert!(veiled.size() == len, "a step of {} elements for {len}", veiled.size());
        op::walk_made(tensors, by, |from, out| veiled.read(from, out));
        true
    }
}

impl Clone for Numbers {
    fn clone(&self) -> Self {
        Numbers::Plain(self.get().clone())
    }
}
