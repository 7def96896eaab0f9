//! How a bounded lot leaves: noised and charged, brought back into the model's coordinates, and shown to the rule.
//!
//! # Why this is private
//! *Claim.* A rule learns from nothing but what was released and paid for.
//! *Argument.* `Noise::release` is the only caller of `ClipRule::learn`, with the outcome of `Round::release`. What is louder
//! is charged as louder: the event is scaled by the same number as the noise.
//! *Tests.* `the_noise_has_the_size_that_was_charged`, `louder_noise_is_charged_as_such`.
use super::{ClipRule, Closed, News};
use crate::grads::{Grads, Layout};
use privacy::{Event, LedgerError, Mechanism, Privatized, Round, ScalarGaussian, Source, Stream, Sum, Veil};
use std::sync::Arc;

/// Where the noise of what is beside a gradient lies in its stream: far from the gradient's own.
const BESIDE: u64 = 1 << 48;

/// A gradient, and the vector that a rule put into the room that clipping left.
#[derive(Clone)]
pub struct Joint {
    /// The sum of clipped gradients.
    pub gradient: Grads,
    /// The sum of what is beside them; mostly nothing.
    pub beside: Vec<f64>,
}

impl Sum for Joint {
    fn add(self, other: Self) -> Self {
        Joint { gradient: self.gradient.add(other.gradient), beside: self.beside.add(other.beside) }
    }
    fn scale(self, by: f64) -> Self {
        Joint { gradient: self.gradient.scale(by), beside: self.beside.scale(by) }
    }
    fn blank(&self) -> Self {
        Joint { gradient: self.gradient.blank(), beside: self.beside.blank() }
    }
    fn add_scaled(self, other: Self, by: f64) -> Self {
        let beside = self.beside.add_scaled(other.beside, by);
        Joint { gradient: self.gradient.add_scaled(other.gradient, by), beside }
    }
    fn veiled(self, veil: &Veil) -> Result<Self, Self> {
        let mut beside = self.beside;
        match self.gradient.veiled(veil) {
            Err(gradient) => Err(Joint { gradient, beside }),
            Ok(gradient) => {
                veil.add(BESIDE, &mut beside);
                Ok(Joint { gradient, beside })
            }
        }
    }
}

/// Unit noise for what is beside a gradient.
fn beside_noise(stream: &Stream, mut blank: Vec<f64>) -> Vec<f64> {
    stream.fill_normal_f64(BESIDE, &mut blank);
    blank
}

/// The noise of a step: the gradient's mechanism, and the multiplier of the answer's noise.
pub struct Noise {
    /// For the gradient.
    pub mechanism: Box<dyn Mechanism<Grads>>,
    /// For the answer, over its sensitivity; 0 where nobody asks.
    pub answer: f64,
}

/// A mechanism for gradients, used for what is beside them too, and louder by a public number.
pub(super) struct Whole<'a> {
    pub mechanism: &'a mut dyn Mechanism<Grads>,
    pub louder: f64,
}

impl Mechanism<Joint> for Whole<'_> {
    fn event(&self, step: u64) -> Event {
        match self.mechanism.event(step) {
            Event::Gaussian { noise_multiplier } => {
                Event::Gaussian { noise_multiplier: noise_multiplier * self.louder }
            }
            // Correlated noise is planned as a whole: it cannot be louder now and then.
            other if self.louder == 1.0 => other,
            _ => Event::Gaussian { noise_multiplier: f64::NAN },
        }
    }
    fn unit(&mut self, source: &Source, blank: Joint) -> Joint {
        let beside = beside_noise(&source.stream(), blank.beside);
        Joint { gradient: self.mechanism.unit(source, blank.gradient), beside }
    }
    fn is_white(&self) -> bool {
        self.mechanism.is_white()
    }
}

impl Noise {
    /// Standard deviation of the noise on a sum of this sensitivity.
    pub fn deviation(&self, rule: &dyn ClipRule, sensitivity: f64, step: u64) -> f64 {
        self.mechanism.event(step).deviation(sensitivity) * rule.loudness()
    }

    /// Releases a lot and shows it to the rule: the mean gradient, in coordinates of `layout`.
    ///
    /// # Errors
    /// If the ledger cannot be written, or a mechanism cannot do what the rule needs of it.
    pub(super) fn release(
        &mut self,
        rule: &mut dyn ClipRule,
        lot: Closed,
        round: &mut Round,
        layout: &Arc<Layout>,
        (step, size): (u64, f64),
    ) -> Result<Privatized<Grads>, LedgerError> {
        let louder = rule.loudness();
        let whole = &mut Whole { mechanism: &mut *self.mechanism, louder };
        let deviation = whole.event(step).deviation(round.sensitivity(&lot.sum));
        let sum = round.release(lot.sum, whole)?;
        let answer = lot
            .answer
            .map(|answer| round.release(answer, &mut ScalarGaussian { noise_multiplier: self.answer * louder }));
        let answer = answer.transpose()?.map(Privatized::into_inner);
        Ok(sum.map(|Joint { gradient, beside }| {
            let mean = gradient.scale(1.0 / size);
            let mean = match rule.frame() {
                Some(frame) => frame.leave(mean, layout),
                None => mean,
            };
            let mean = rule.restore(mean);
            let answer = answer.or((!beside.is_empty()).then_some(beside));
            rule.learn(&News { step, gradient: &mean, answer: answer.as_deref(), lot: size, deviation });
            mean
        }))
    }
}
