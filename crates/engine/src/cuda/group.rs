//! Devices that work together: sums into the first of them, copies from it, and whether they can do without both.
//!
//! GPUs of one host go through NCCL where it is installed and through copies from GPU to GPU otherwise; processors, which
//! tests use, through memory. The first device leads: it holds every sum, and what is handed out comes from it.
//!
//! Sums are made in f32 and in an order that depends on the number and order of devices alone: one device after the other,
//! or NCCL's own for these GPUs. Two devices have one order only.

use super::gpu::lock;
use super::nccl::{Nccl, Seat};
use super::{DeviceError, Gpu};
use crate::{Device, Tensor, op};
use std::sync::Mutex;

/// Devices that work together, the leader first.
pub struct Group {
    devices: Vec<Device>,
    /// One thread's at a time.
    seats: Mutex<Vec<Seat>>,
    /// Whether every GPU's kernels read and write the memory of all.
    open: bool,
}

impl Group {
    /// A group of these devices, which are all processors, or GPUs of which none is named twice.
    ///
    /// # Errors
    /// If there are none, if they are of both kinds, if a GPU is there twice, or if NCCL cannot connect them.
    pub fn new(devices: &[Device]) -> Result<Group, DeviceError> {
        let gpus: Vec<&'static Gpu> = devices.iter().filter_map(|device| device.gpu()).collect();
        if devices.is_empty() || (!gpus.is_empty() && gpus.len() < devices.len()) {
            return Err(DeviceError(format!("{devices:?}: GPUs work with GPUs, and there must be one at least")));
        }
        if let Some(twice) = gpus.iter().enumerate().find_map(|(k, gpu)| gpus[..k].contains(gpu).then_some(gpu)) {
            return Err(DeviceError(format!("{twice:?} is named twice")));
        }
        let seats = match Nccl::open().filter(|_| gpus.len() > 1) {
            Some(nccl) => nccl.seats(&gpus)?,
            None => Vec::new(),
        };
        let each_other = |gpu: &&'static Gpu| gpus.iter().all(|other| gpu == other || gpu.see(other));
        let open = gpus.len() > 1 && gpus.iter().all(each_other);
        Ok(Group { devices: devices.to_vec(), seats: Mutex::new(seats), open })
    }

    /// Its devices, the leader first.
    #[must_use]
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Whether sums and copies go through NCCL.
    #[must_use]
    pub fn uses_nccl(&self) -> bool {
        !lock(&self.seats).is_empty()
    }

    /// Whether these tensors, one from each device, can stay where they are for [`crate::op::noised_walk`].
    #[must_use]
    pub fn shares(&self, tensors: &[Tensor]) -> bool {
        self.open && self.has(tensors)
    }

    /// Whether each tensor is on its own device.
    fn has(&self, tensors: &[Tensor]) -> bool {
        tensors.iter().map(Tensor::device).eq(self.devices.iter().copied())
    }

    /// The sum of tensors of one shape, one from each device, on the leader. Tensors that are elsewhere, as numbers that were
    /// taken to the host are, are summed where the first is.
    ///
    /// # Panics
    /// With a [`DeviceError`] if NCCL fails; if there is no tensor, or their lengths differ.
    #[must_use]
    pub fn sum(&self, tensors: Vec<Tensor>) -> Tensor {
        let len = tensors.first().map_or(0, Tensor::len);
        assert!(tensors.iter().all(|tensor| tensor.len() == len), "a sum of {tensors:?}");
        match Nccl::open() {
            Some(nccl) if self.has(&tensors) && self.uses_nccl() => self.sum_by(nccl, tensors),
            _ => one_by_one(tensors),
        }
    }

    fn sum_by(&self, nccl: &Nccl, mut tensors: Vec<Tensor>) -> Tensor {
        let at: Vec<(u64, usize)> = tensors.iter_mut().map(|tensor| (tensor.address_mut(), tensor.len())).collect();
        let seats = lock(&self.seats);
        let each = || seats.iter().zip(&at).try_for_each(|(seat, (at, len))| nccl.reduce(seat, *at, *len));
        nccl.together(each).unwrap_or_else(|e| super::error::fail(e.0));
        tensors.swap_remove(0)
    }

    /// Copies the leader's tensors to each other device's, in the place of what is there. `to` has a list for each device but
    /// the leader, each like `from`.
    ///
    /// # Panics
    /// With a [`DeviceError`] if NCCL fails; if lists or lengths differ.
    pub fn hand_out(&self, from: &[Tensor], to: &mut [&mut [Tensor]]) {
        assert_eq!(to.len() + 1, self.devices.len(), "lists of tensors");
        let alike = |list: &&mut [Tensor]| list.iter().map(Tensor::len).eq(from.iter().map(Tensor::len));
        assert!(to.iter().all(alike), "tensors of other lengths");
        match Nccl::open() {
            Some(nccl) if self.uses_nccl() => self.hand_out_by(nccl, from, to),
            _ => to.iter_mut().flat_map(|list| list.iter_mut().zip(from)).for_each(|(to, from)| to.take_from(from)),
        }
    }

    fn hand_out_by(&self, nccl: &Nccl, from: &[Tensor], to: &mut [&mut [Tensor]]) {
        let seats = lock(&self.seats);
        let all = || {
            for (k, from) in from.iter().enumerate().filter(|(_, from)| !from.is_empty()) {
                nccl.broadcast(&seats[0], from.address(), from.len())?;
                for (seat, list) in seats[1..].iter().zip(&mut *to) {
                    nccl.broadcast(seat, list[k].address_mut(), from.len())?;
                }
            }
            Ok(())
        };
        nccl.together(all).unwrap_or_else(|e| super::error::fail(e.0));
    }
}

fn one_by_one(tensors: Vec<Tensor>) -> Tensor {
    let sum = tensors.into_iter().reduce(|sum, tensor| {
        let device = sum.device();
        op::add(sum, &tensor.to(device))
    });
    sum.unwrap_or_else(|| Tensor::zeros([0]))
}

#[cfg(test)]
mod tests {
    use super::Group;
    use crate::{Device, Tensor};

    #[test]
    fn sums_are_made_in_order_and_copies_are_copies() {
        let group = Group::new(&[Device::Cpu; 3]).unwrap_or_else(|e| panic!("{e}"));
        // In this order and no other: 1e8 + 1 is 1e8 in f32.
        let terms = [1e8, 1.0, -1e8].map(|x| Tensor::new([2], vec![x, x]));
        assert_eq!(group.sum(terms.to_vec()).data(), [0.0, 0.0]);
        let from = [Tensor::new([2], vec![1.0, 2.0]), Tensor::new([1, 1], vec![3.0]), Tensor::zeros([0])];
        let mut to = [from.clone().map(|_| Tensor::zeros([0])), from.clone()];
        to[0] = [Tensor::zeros([2]), Tensor::zeros([1, 1]), Tensor::zeros([0])];
        to[1][0].clear();
        let [a, b] = &mut to;
        group.hand_out(&from, &mut [a, b]);
        assert_eq!(to, [from.clone(), from]);
    }

    #[test]
    fn a_group_of_none_is_refused() {
        assert!(Group::new(&[]).is_err());
    }
}
