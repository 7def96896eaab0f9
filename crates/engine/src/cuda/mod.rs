//! NVIDIA GPUs.
//!
//! The driver and NVIDIA's libraries are opened when a GPU is first asked for: the same program runs on machines without
//! one. Operations stand in `op/` beside their CPU twins and launch the kernels of the `.cu` files here; products go to
//! cuBLAS, convolutions to cuDNN. Each GPU has one stream, so that memory can be reused as soon as the host lets go of it, and
//! nothing waits for the GPU except reading a result. Small steps are launched in one go (`recorder.rs`). GPUs that work together stand in `group.rs`.

pub(crate) mod aligned;
mod arena;
pub(crate) mod blas;
mod boxes;
mod compile;
pub(crate) mod dnn;
mod error;
mod gpu;
mod graph;
mod group;
mod launch;
mod library;
pub(crate) mod lt;
mod nccl;
mod peer;
mod precision;
mod profile;
mod ranks;
mod recorder;
mod rows;
mod transfer;

use std::sync::{Arc, OnceLock};

pub use arena::Usage;
pub use error::{DeviceError, guard};
pub use gpu::Gpu;
pub use group::Group;
pub(crate) use launch::{Argument, Grid, arguments};
pub use precision::Precision;
pub use profile::Taken;
pub use ranks::Ranks;
pub(crate) use rows::Rows;

/// Bytes on a GPU, with unspecified contents at first. They return to the arena when dropped.
pub(crate) struct Buffer {
    gpu: &'static Gpu,
    address: u64,
    /// Its numbers rounded to bf16, once somebody asked for them, until they change.
    rounded: OnceLock<Arc<Buffer>>,
}

impl Buffer {
    pub(crate) fn new(gpu: &'static Gpu, bytes: usize) -> Self {
        Self { gpu, address: gpu.take(bytes), rounded: OnceLock::new() }
    }

    /// `len` elements of 4 bytes.
    pub(crate) fn of(gpu: &'static Gpu, len: usize) -> Self {
        Self::new(gpu, len * 4)
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.gpu
    }

    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Whether nobody else shares it, for whoever is about to change it.
    pub(crate) fn is_own(this: &mut Arc<Self>) -> bool {
        Arc::get_mut(this).map(|own| own.rounded.take()).is_some()
    }

    /// What [`Buffer::rounded`] made, if nobody shares either: for whoever is about to change both.
    pub(crate) fn take_rounded(this: &mut Arc<Self>) -> Option<Arc<Buffer>> {
        let mut rounded = Arc::get_mut(this)?.rounded.take()?;
        Arc::get_mut(&mut rounded).is_some().then_some(rounded)
    }

    /// Leaves what [`Buffer::rounded`] is to be.
    pub(crate) fn keep_rounded(&self, rounded: Arc<Buffer>) {
        let _ = self.rounded.set(rounded);
    }

    /// Its first `len` numbers, which are f32, rounded to bf16.
    pub(crate) fn rounded(&self, len: usize) -> Arc<Buffer> {
        let made = || {
            let rounded = Buffer::new(self.gpu, 2 * len);
            rows::round(self.gpu, self.address, rounded.address, len);
            Arc::new(rounded)
        };
        self.rounded.get_or_init(made).clone()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu.give(self.address);
    }
}
