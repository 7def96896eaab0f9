//! Points as the vectors that the privacy crate adds up, scales and puts behind noise.
use super::{Grads, Numbers};
use engine::{Device, Tensor, op};
use privacy::Veil;
use std::sync::OnceLock;

impl privacy::Sum for Grads {
    fn add(self, other: Self) -> Self {
        let (other, layout) = (other.beside(&self), self.layout.clone());
        Grads::of(layout, op::add(self.into_tensor(), &other))
    }
    fn scale(mut self, by: f64) -> Self {
        self.multiply(by);
        self
    }
    fn blank(&self) -> Self {
        match self.device() {
            Device::Cpu => Grads::zeros(&self.layout.on(Device::Cpu)),
            Device::Cuda(_) => Grads { by: 0.0, ..Grads::of(self.layout.clone(), self.flat.get().clone()) },
        }
    }
    fn add_scaled(mut self, other: Self, by: f64) -> Self {
        let (other, scale) = other.factors_beside(&self);
        if self.device() != Device::Cpu && self.plus.is_none() && self.by == 1.0 {
            self.plus = Some(Box::new((other.into_owned(), by * scale)));
            (self.mirror, self.product) = (OnceLock::new(), OnceLock::new());
            return self;
        }
        op::add_scaled(self.changing(), &other, by * scale);
        self
    }
    fn veiled(mut self, veil: &Veil) -> Result<Self, Self> {
        if self.by != 1.0 || self.plus.is_some() {
            self.changing();
        }
        let blank = Numbers::Plain(Tensor::zeros([0]));
        let flat = std::mem::replace(&mut self.flat, blank).veiled(veil);
        Ok(Grads { flat, ..Grads::of(self.layout, Tensor::zeros([0])) })
    }
}
