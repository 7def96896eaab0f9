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
        stream.lend(|key, nonce| op::add_normals(noise.tensor_mut(), 1.0, Cipher { key, nonce }));
        return noise;
    }
    let blocks = noise.flat_mut().par_chunks_mut(BLOCK).enumerate();
    blocks.for_each(|(k, block)| stream.fill_normal((k * BLOCK) as u64, block));
    noise
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grads::Layout,
        layer::{Init, Parameter},
    };
    use privacy::{Key, Ledger, Neighbouring, Poisson, Purpose, Sampler, Secret, Sum};

    /// White noise that the door makes on its way is, bit for bit, the unit noise that the mechanism makes by itself.
    #[test]
    fn the_door_adds_the_mechanisms_noise() {
        let layout = Layout::new(vec![Parameter::new("w", [2 * BLOCK + 77], Init::Constant(0.0))]);
        let (key, z, bound) = (Key::from_seed(1), 1.5, 0.25);
        let sum = || Grads::new(&layout, (0..layout.len()).map(|i| (i % 1000) as f32 / 7.0).collect()).times(0.5);
        let draw = Poisson::new(10, 0.5, Key::from_seed(1)).unwrap().draw(3);
        let mut ledger = Ledger::new(Neighbouring::AddRemove);
        let released = ledger.open(&draw).release(Secret::new(sum()).vouch(bound), &mut *Gaussian::independent(z));
        let unit = Gaussian::independent(z).unit(&Source::first(&key, 3), Grads::zeros(&layout));
        let want = sum().add_scaled(unit, z * bound);
        assert_eq!(released.unwrap().get().flat(), want.flat());
        let moved = want.flat().iter().zip(sum().flat()).filter(|(a, b)| a != b).count();
        assert!(moved > layout.len() * 99 / 100, "{moved} of {} were moved", layout.len());
    }

    #[test]
    fn noise_does_not_depend_on_threads() {
        let layout = Layout::new(vec![Parameter::new("w", [3 * BLOCK + 77], Init::Constant(0.0))]);
        let key = Key::from_seed(1);
        let (source, stream) = (Source::first(&key, 3), key.stream(Purpose::Noise, 3, 0));
        let draw = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let mut gaussian = Independent { noise_multiplier: 1.0 };
            pool.install(|| gaussian.unit(&source, Grads::zeros(&layout)))
        };
        let (one, many) = (draw(1), draw(4));
        assert_eq!(one.flat(), many.flat());
        for i in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 76] {
            assert_eq!(one.flat()[i], stream.normal(i as u64) as f32, "number {i} is element {i} of the stream");
        }
    }
}
