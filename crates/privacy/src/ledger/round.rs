//! One draw of the data, and all that is released from it.
//!
//! # Why this is private
//!
//! Claim: [`Round::release`] is the Gaussian mechanism (Dwork & Roth 2014, Theorem A.1) on a sum whose sensitivity is the
//! vouched bound times [`Neighbouring::factor`](crate::Neighbouring::factor), with the noise multiplier that was charged.
//!
//! Argument: the standard deviation is computed here, from the same event that is written into the ledger; the
//! mechanism contributes unit noise alone, from a stream that no other release has: its nonce holds the step and the
//! slot, and the ledger refuses a second round of the same key and step. Several releases from one draw are one event,
//! since the same examples are in all of them (adding their amplified costs would under-report).
//!
//! Checked by: `tests::the_noise_charged_is_the_noise_added`, `tests::no_two_releases_share_noise`,
//! `tests::a_draw_is_released_from_once`, `tests::what_cannot_be_noised_is_refused`.

use super::{Ledger, LedgerError};
use crate::{Bounded, Draw, Event, Key, Mechanism, Privatized, Purpose, Sum};
use std::sync::Arc;

/// One draw of the data and all that is released from it. Each release is charged as it is made; dropping the round only
/// rules a line under it.
#[must_use = "a round is there to release from"]
pub struct Round<'a> {
    ledger: &'a mut Ledger,
    key: Arc<Key>,
    step: u64,
}

impl<'a> Round<'a> {
    pub(super) fn new(ledger: &'a mut Ledger, draw: &Draw) -> Self {
        Round { ledger, key: draw.key().clone(), step: draw.step() }
    }

    /// Charges the ledger, durably, and then releases the sum with noise: the only door to [`Privatized`].
    ///
    /// The noise has the standard deviation `noise_multiplier * bound * neighbouring.factor()` in every coordinate.
    ///
    /// # Errors
    /// When the bound or the mechanism's event cannot be noised, when this draw was released from before, or when the
    /// ledger cannot be written. Then nothing leaves.
    pub fn release<T: Sum>(
        &mut self,
        value: Bounded<T>,
        mechanism: &mut dyn Mechanism<T>,
    ) -> Result<Privatized<T>, LedgerError> {
        let event = mechanism.event(self.step);
        let (sum, bound) = value.into_parts();
        let deviation = self.deviation(&event, bound)?;
        let slot = self.ledger.charge(event)?;
        let stream = self.key.stream(Purpose::Noise, self.step, slot);
        let noise = mechanism.unit(&stream, sum.blank());
        Ok(Privatized::published(sum.add_scaled(noise, deviation)))
    }

    /// How far one example moves this sum under the ledger's relation: its bound times the relation's factor.
    pub fn sensitivity<T>(&self, value: &Bounded<T>) -> f64 {
        value.bound() * self.ledger.neighbouring.factor()
    }

    /// The standard deviation of the noise that `event` promises for a sum of this bound.
    fn deviation(&self, event: &Event, bound: f64) -> Result<f64, LedgerError> {
        let multiplier = match event {
            Event::Gaussian { noise_multiplier } if noise_multiplier.is_finite() && *noise_multiplier >= 0.0 => {
                *noise_multiplier
            }
            _ => return Err(LedgerError::Mechanism { event: event.clone() }),
        };
        let deviation = multiplier * bound * self.ledger.neighbouring.factor();
        if bound >= 0.0 && bound.is_finite() && deviation.is_finite() {
            return Ok(deviation);
        }
        Err(LedgerError::Bound { bound })
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.ledger.seal();
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
