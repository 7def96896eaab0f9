//! Independent Gaussian noise (Abadi et al. 2016, arXiv 1607.00133; Balle & Wang 2018, arXiv 1805.06530).
//!
//! # Why this is private
//! *Claim.* Coordinate `i` of step `t`'s noise is a standard normal, independent of every other coordinate, step and
//! purpose, up to what a computer can tell from ChaCha20.
//! *Argument.* It is element `i` of the stream that the ledger derived for this release; blocks are split over threads by
//! a fixed size, and an element does not depend on the split.
//! The door may make and add it block by block (`is_white`): the same numbers, since they are functions of their place.
//! *Tests.* `noise_does_not_depend_on_threads`, `the_door_adds_the_mechanisms_noise`; the statistics of streams are tested in the privacy crate.
use super::{Noise, Stretch};
use crate::grads::{BLOCK, Grads};
use engine::{
    Device,
    op::{self, Cipher},
};
use privacy::{Event, Mechanism, Source, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// `{ mechanism = "gaussian" }`
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {}

impl Gaussian {
    /// Noise of `noise_multiplier` times the sensitivity.
    pub fn independent(noise_multiplier: f64) -> Box<dyn Mechanism<Grads>> {
        Box::new(Independent { noise_multiplier })
    }
}

impl Noise for Gaussian {
    fn prepare(&self, noise_multiplier: f64, _: &Stretch) -> Result<Box<dyn Mechanism<Grads>>, String> {
        Ok(Gaussian::independent(noise_multiplier))
    }
}

struct Independent {
    noise_multiplier: f64,
}

impl Mechanism<Grads> for Independent {
    fn event(&self, _: u64) -> Event {
        Event::Gaussian { noise_multiplier: self.noise_multiplier }
    }
    fn unit(&mut self, source: &Source, noise: Grads) -> Grads {
        white(&source.stream(), noise)
    }
    fn is_white(&self) -> bool {
        true
    }
}

/// Number `i` is element `i` of the stream.
pub(super) fn white(stream: &Stream, mut noise: Grads) -> Grads {
    if noise.device() != Device::Cpu {
        stream.lend(|key, nonce| {
            let cipher = Cipher { key, nonce };
            if !noise.make(|device, len| op::normals(device, len, cipher)) {
                op::add_normals(noise.tensor_mut(), 1.0, cipher);
            }
        });
        return noise;
    }
    let blocks = noise.flat_mut().par_chunks_mut(BLOCK).enumerate();
    blocks.for_each(|(k, block)| stream.fill_normal((k * BLOCK) as u64, block));
    noise
}

#[cfg(test)]
mod tests;
