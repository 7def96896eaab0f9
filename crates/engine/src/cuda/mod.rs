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
mod padded;
mod peer;
mod precision;
mod profile;
mod ranks;
mod recorder;
mod transfer;

pub use arena::Usage;
pub use error::{DeviceError, guard};
pub use gpu::Gpu;
pub use group::Group;
pub(crate) use launch::{Argument, Grid, arguments};
pub(crate) use padded::Padded;
pub use precision::Precision;
pub use profile::Taken;
pub use ranks::Ranks;

/// Bytes on a GPU, with unspecified contents at first. They return to the arena when dropped.
pub(crate) struct Buffer {
    gpu: &'static Gpu,
    address: u64,
}

impl Buffer {
    pub(crate) fn new(gpu: &'static Gpu, bytes: usize) -> Self {
        Self { gpu, address: gpu.take(bytes) }
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
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.gpu.give(self.address);
    }
}
