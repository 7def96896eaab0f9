//! One draw of the data, and all that is released from it.
//!
//! # Why this is private
//!
//! Claim: [`Round::release`] is the Gaussian mechanism (Dwork & Roth 2014, Theorem A.1) on a sum whose sensitivity is the
//! vouched bound times [`Neighbouring::factor`](crate::Neighbouring::factor), with the noise multiplier that was charged;
//! or one round of a season's mechanism (Denisov et al. 2022) on sums over their sensitivities, which the season's one
//! charge pays for.
//!
//! Argument: the standard deviation is computed here, from the same event that is written into the ledger; the
//! mechanism contributes unit noise alone, from a stream that no other release has: its nonce holds the step and the
//! slot, and the ledger refuses a second round of the same key and step. White noise may be laid over the sum as a
//! [`Veil`](crate::Veil), and is then added to each stretch as it is read, which changes when it is made and not what it is: the mechanism
//! is not asked, and sees no more than before, and the sum is out of reach without it. Several releases from one draw are one event,
//! since the same examples are in all of them (adding their amplified costs would under-report).
//! *Seasons.* What the strategy assumes of participation is checked against how the draw was made, here and not in the
//! configuration: recurring batches of one key, no sooner than its separation; a Poisson draw is refused. The ticket is on
//! disk before the first release, belongs to one key and one stretch of steps, and holds so many releases, one a round;
//! whoever needs more buys another, as does whoever draws in another way. Noise of the streams that a season shares is of a purpose of its own. Bounds may change
//! from round to round: noise is in units of each round's sensitivity, so that what is released is the mechanism's answer
//! for shares of length one, scaled by public numbers.
//!
//! Checked by: `tests::the_noise_charged_is_the_noise_added`, `tests::no_two_releases_share_noise`,
//! `tests::a_draw_is_released_from_once`, `tests::what_cannot_be_noised_is_refused`, `tests::a_season_is_bought_once`,
//! `tests::a_season_is_of_one_key_and_so_many_rounds`, `tests::a_season_wants_batches_that_recur`, `tests::a_season_is_of_one_way_of_drawing`,
//! `tests::no_noise_of_a_season_is_made_outside_of_it`; of rounds whose examples come back in order `tests::steps_that_are_left_out_hide_nobody`,
//! `tests::shuffled_epochs_are_counted_from_their_beginning`.

use super::{Ledger, LedgerError};
use crate::{Bounded, Draw, Event, Key, Mechanism, Privatized, Source, Sum, Veil};
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
        let source = Source::new(&self.key, self.step, slot);
        let veil = || Veil::new(source.stream(), deviation);
        let noisy = if mechanism.is_white() { sum.veiled(&veil()) } else { Err(sum) };
        let noisy = noisy.unwrap_or_else(|sum| {
            let noise = mechanism.unit(&source, sum.blank());
            sum.add_scaled(noise, deviation)
        });
        Ok(Privatized::published(noisy))
    }

    /// How far one example moves this sum under the ledger's relation: its bound times the relation's factor.
    pub fn sensitivity<T>(&self, value: &Bounded<T>) -> f64 {
        value.bound() * self.ledger.neighbouring.factor()
    }

    /// The standard deviation of the noise that `event` promises for a sum of this bound.
    fn deviation(&self, event: &Event, bound: f64) -> Result<f64, LedgerError> {
        let multiplier = match event {
            Event::Gaussian { noise_multiplier } | Event::Season { noise_multiplier, .. } => *noise_multiplier,
            _ => f64::NAN,
        };
        if !(multiplier.is_finite() && multiplier >= 0.0) {
            return Err(LedgerError::Mechanism { event: event.clone() });
        }
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
