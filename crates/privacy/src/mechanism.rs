//! The shape of a mechanism's noise, and the event that prices it.

use crate::{Event, Key, Purpose, Stream};

/// A noise mechanism for sums of type `T`.
///
/// It never sees a secret: `blank` has the shape of the sum and zeros for its values. It returns *unit* noise, and the
/// release multiplies that by the noise multiplier in `event` and by the sensitivity, so that the number charged is the
/// number used.
pub trait Mechanism<T>: Send {
    /// What one release at this step costs, with a finite multiplier `>= 0`. [`Event::Gaussian`] promises that
    /// [`Mechanism::unit`] is standard normal in every coordinate, independently. [`Event::Season`] promises that units
    /// of consecutive steps are correlated as its strategy says: see [`Correlated`](crate::Correlated), which keeps that
    /// promise. The season is charged once, by the first of its releases. Nothing else is accepted.
    fn event(&self, step: u64) -> Event;

    /// Unit noise in the place of `blank`'s zeros, from `source` alone.
    fn unit(&mut self, source: &Source, blank: T) -> T;

    /// Whether [`Mechanism::unit`] is nothing but the standard normals of [`Source::stream`] in their order, as
    /// [`Sum::veiled`](crate::Sum::veiled) says. The door may then lay them over the sum itself: the mechanism is not asked,
    /// and noise never lies in memory as a whole.
    fn is_white(&self) -> bool {
        false
    }
}

/// Where the noise of one release comes from. It gives streams for noise and nothing else: not the key.
pub struct Source<'a> {
    key: &'a Key,
    step: u64,
    slot: u8,
}

impl<'a> Source<'a> {
    pub(crate) fn new(key: &'a Key, step: u64, slot: u8) -> Self {
        Source { key, step, slot }
    }

    /// The source of the first release of a step by this key, for tests and measurements of a mechanism by itself.
    pub fn first(key: &'a Key, step: u64) -> Self {
        Source::new(key, step, 0)
    }

    /// The step of the release.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The stream of this release: no two releases have the same.
    pub fn stream(&self) -> Stream {
        self.key.stream(Purpose::Noise, self.step, self.slot)
    }

    /// One of the streams that the releases of a season share, whichever of them asks.
    pub fn season(&self, step: u64, lane: u8) -> Stream {
        self.key.stream(Purpose::Season, step, lane)
    }
}

/// The Gaussian mechanism for one number, or a short vector of numbers (Dwork & Roth 2014, Section 3.5.3).
#[derive(Clone, Debug, PartialEq)]
pub struct ScalarGaussian {
    /// Standard deviation of the noise over the sensitivity.
    pub noise_multiplier: f64,
}

impl Mechanism<f64> for ScalarGaussian {
    fn event(&self, _step: u64) -> Event {
        Event::Gaussian { noise_multiplier: self.noise_multiplier }
    }
    fn unit(&mut self, source: &Source, _blank: f64) -> f64 {
        source.stream().normal(0)
    }
}

impl Mechanism<Vec<f64>> for ScalarGaussian {
    fn event(&self, _step: u64) -> Event {
        Event::Gaussian { noise_multiplier: self.noise_multiplier }
    }
    fn unit(&mut self, source: &Source, mut noise: Vec<f64>) -> Vec<f64> {
        source.stream().fill_normal_f64(0, &mut noise);
        noise
    }
}
