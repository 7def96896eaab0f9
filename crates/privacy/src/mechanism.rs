//! The shape of a mechanism's noise, and the event that prices it.

use crate::{Event, Stream};

/// A noise mechanism for sums of type `T`.
///
/// It never sees a secret: `blank` has the shape of the sum and zeros for its values. It returns *unit* noise, and the
/// release multiplies that by the noise multiplier in `event` and by the sensitivity, so that the number charged is the
/// number used.
pub trait Mechanism<T>: Send {
    /// What one release at this step costs. Only [`Event::Gaussian`] with a finite multiplier `>= 0` is accepted; it
    /// promises that [`Mechanism::unit`] is standard normal in every coordinate, independently.
    fn event(&self, step: u64) -> Event;

    /// Unit noise in the place of `blank`'s zeros, from `stream` alone: no two releases are handed the same stream.
    fn unit(&mut self, stream: &Stream, blank: T) -> T;
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
    fn unit(&mut self, stream: &Stream, _blank: f64) -> f64 {
        stream.normal(0)
    }
}

impl Mechanism<Vec<f64>> for ScalarGaussian {
    fn event(&self, _step: u64) -> Event {
        Event::Gaussian { noise_multiplier: self.noise_multiplier }
    }
    fn unit(&mut self, stream: &Stream, mut noise: Vec<f64>) -> Vec<f64> {
        stream.fill_normal_f64(0, &mut noise);
        noise
    }
}
