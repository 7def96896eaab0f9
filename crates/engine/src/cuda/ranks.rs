//! A GPU among those of other processes: sums over all of them, by NCCL.

use super::error::fail;
use super::nccl::{Nccl, Seat};
use super::{DeviceError, Gpu};
use crate::{Device, Tensor};

/// This process's GPU, connected with the other processes' ones.
pub struct Ranks {
    nccl: &'static Nccl,
    seat: Seat,
}

impl Ranks {
    /// Whether NCCL is installed.
    #[must_use]
    pub fn available() -> bool {
        Nccl::open().is_some()
    }

    /// Bytes by which processes find each other, for all of them.
    ///
    /// # Errors
    /// Without NCCL, or if it finds no network.
    pub fn new_id() -> Result<Vec<u8>, DeviceError> {
        nccl()?.new_id()
    }

    /// Takes place `rank` of `size`; returns when all have.
    ///
    /// # Errors
    /// Without NCCL, or if it cannot connect them.
    pub fn join(gpu: &'static Gpu, rank: usize, size: usize, id: &[u8]) -> Result<Ranks, DeviceError> {
        let nccl = nccl()?;
        Ok(Ranks { nccl, seat: nccl.join(gpu, rank, size, id)? })
    }

    /// The GPU.
    #[must_use]
    pub fn device(&self) -> Device {
        Device::Cuda(self.seat.gpu)
    }

    /// Adds up a tensor over all processes, in place; every process gets the same bits. Waits for it, and asks in the
    /// meantime whether to `give_up`, since a GPU waits for lost ones for ever.
    ///
    /// # Errors
    /// If NCCL fails, or was told to give up; the tensor's numbers are then of no use.
    pub fn sum(&self, tensor: &mut Tensor, give_up: impl Fn() -> bool) -> Result<(), DeviceError> {
        if tensor.device() != self.device() {
            fail(format!("{tensor:?} is on {}, not on {}", tensor.device(), self.device()));
        }
        let len = tensor.len();
        self.nccl.all_reduce(&self.seat, tensor.address_mut(), len)?;
        while !self.seat.gpu.is_idle() {
            if give_up() {
                self.nccl.abort(&self.seat);
                return Err(DeviceError("a sum over all processes was given up".into()));
            }
            self.nccl.check_seat(&self.seat)?;
            std::thread::yield_now();
        }
        Ok(())
    }
}

fn nccl() -> Result<&'static Nccl, DeviceError> {
    Nccl::open().ok_or_else(|| DeviceError("NCCL (libnccl.so.2) was not found".into()))
}
