//! What a run that is planned beforehand has cost so far, and how much more of it fits.
//!
//! # Why this is private
//!
//! Claim: [`Odometer::read`] is at least the epsilon of what the ledger holds, as if that had been fixed beforehand; no more of
//! an event than [`rounds_left`] makes the whole exceed the budget.
//!
//! Argument: every number is one that the accountant vouches for at the very counts in question; none is interpolated. Both
//! are for events, and a moment to stop, that do not depend on what was released: [`super::Filter`] is for those that do.
//!
//! Checked by: `tests`.

use crate::account::{Account, AccountError, Accountant, Pld, PldTally, Price};
use crate::{CalibrateError, Event, Ledger, steps};

/// Epsilon after each round of a run, by `pld`, at a small part of the price of asking it afresh: the transforms of the rounds
/// are kept and raised to the power that is asked for.
///
/// ```
/// use privacy::{Event, Ledger, Neighbouring, Odometer, Sampling};
///
/// let releases = vec![Event::Gaussian { noise_multiplier: 1.0 }];
/// let round = Event::Round { sampling: Sampling::Poisson { rate: 0.01 }, releases };
/// let mut odometer = Odometer::new(1e-5);
/// let mut before = 0.0;
/// for done in [1, 2, 10, 100, 101, 102] {
///     let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round.clone(), done)]);
///     let price = odometer.read(&ledger)?;
///     assert!(price.epsilon > before);
///     before = price.epsilon;
/// }
/// # Ok::<(), privacy::AccountError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Odometer {
    delta: f64,
    tally: PldTally,
}

impl Odometer {
    /// One that reads at this delta.
    pub fn new(delta: f64) -> Odometer {
        Odometer { delta, tally: PldTally::default() }
    }

    /// What a ledger holds has cost: an interval as `pld` proves it. Any ledger may be asked about; one that differs from the
    /// last in how often its events were made is answered soonest.
    ///
    /// # Errors
    /// When delta is not in `(0, 1)`, or the ledger holds something unpriced.
    pub fn read(&mut self, ledger: &Ledger) -> Result<Price, AccountError> {
        if !(self.delta > 0.0 && self.delta < 1.0) {
            return Err(AccountError::Delta(self.delta));
        }
        let curve = Pld::default().curve(ledger)?;
        Ok(self.tally.epsilon(&curve, self.delta).sound())
    }

    /// How many more rounds of one event fit into a budget, after what a ledger holds.
    ///
    /// # Errors
    /// As [`rounds_left`].
    pub fn rounds_left(
        &mut self,
        done: &Ledger,
        event: &Event,
        epsilon: f64,
    ) -> Result<u64, CalibrateError<AccountError>> {
        most(epsilon, |n| self.read(&with(done, event, n)).map(|price| price.epsilon))
    }
}

/// How many more rounds of one event fit into a budget, after what a ledger holds, by any accountant. For runs whose events
/// are fixed beforehand: the number may not depend on what is released.
///
/// # Errors
/// When epsilon is not positive, delta is out of range, or something has no price.
pub fn rounds_left(
    accountant: &dyn Account,
    done: &Ledger,
    event: &Event,
    epsilon: f64,
    delta: f64,
) -> Result<u64, CalibrateError<AccountError>> {
    most(epsilon, |n| accountant.total(&with(done, event, n), delta).map(|price| price.epsilon))
}

/// The ledger with so many more of an event.
fn with(done: &Ledger, event: &Event, n: u64) -> Ledger {
    let mut entries = done.entries();
    match entries.last_mut() {
        Some((last, count)) if last == event => *count = count.saturating_add(n),
        _ => entries.push((event.clone(), n)),
    }
    Ledger::planned(done.neighbouring(), entries)
}

/// The most rounds whose price is within the budget, or none.
fn most(
    epsilon: f64,
    price: impl FnMut(u64) -> Result<f64, AccountError>,
) -> Result<u64, CalibrateError<AccountError>> {
    match steps(epsilon, price) {
        Ok(found) => Ok(found.value),
        Err(CalibrateError::Exceeded { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Neighbouring, Sampling, account};

    fn round(z: f64, rate: f64) -> Event {
        Event::Round { sampling: Sampling::Poisson { rate }, releases: vec![Event::Gaussian { noise_multiplier: z }] }
    }

    fn ledger(neighbouring: Neighbouring, entries: &[(Event, u64)]) -> Ledger {
        Ledger::planned(neighbouring, entries.to_vec())
    }

    /// Whatever was asked before, the interval agrees with a fresh one and with the exact value.
    #[test]
    fn an_odometer_agrees_with_a_fresh_price() {
        let exact = account::by_name("exact").unwrap();
        for neighbouring in [Neighbouring::AddRemove, Neighbouring::ReplaceOne] {
            for (z, rate, delta) in [(1.0, 0.01, 1e-5), (0.6, 0.001, 1e-8), (4.0, 0.3, 1e-6)] {
                let mut odometer = Odometer::new(delta);
                let mut before = 0.0;
                for steps in [1, 2, 3, 10, 11, 12, 57, 100, 300, 301, 1000, 5] {
                    let ledger = ledger(neighbouring, &[(round(z, rate), steps)]);
                    let price = odometer.read(&ledger).unwrap();
                    let (lower, upper) = (price.lower.unwrap(), price.epsilon);
                    let truth = exact.report(&ledger, delta).unwrap();
                    let (least, most) = (truth.lower.unwrap_or(truth.epsilon), truth.epsilon);
                    let slack = 1e-8 * (1.0 + most);
                    assert!(
                        lower <= most + slack && least <= upper + slack,
                        "{steps}: {truth:?} and {lower} .. {upper}"
                    );
                    assert!(upper - lower <= 5e-3 * upper, "{z} {rate} {steps}: {lower} .. {upper}");
                    assert!(steps == 5 || upper >= before * (1.0 - 2e-3), "{steps}: {upper} after {before}");
                    before = upper;
                }
            }
        }
    }

    #[test]
    fn phases_lattices_and_nonsense() {
        let mut odometer = Odometer::new(1e-5);
        let pld = account::by_name("pld").unwrap();
        let coin = Event::RandomisedResponse { epsilon: 0.1 };
        for (first, second, coins) in [(100, 0, 0), (100, 1, 0), (100, 50, 0), (100, 50, 3)] {
            let entries = [(round(1.0, 0.01), first), (round(2.0, 0.05), second), (coin.clone(), coins)];
            let ledger = ledger(Neighbouring::AddRemove, &entries);
            let (read, fresh) = (odometer.read(&ledger).unwrap(), pld.report(&ledger, 1e-5).unwrap());
            assert!(read.lower.unwrap() <= fresh.epsilon && fresh.lower.unwrap() <= read.epsilon);
            assert!(read.epsilon <= 1.01 * fresh.epsilon, "{read:?} {fresh:?}");
        }
        assert_eq!(odometer.read(&ledger(Neighbouring::AddRemove, &[])).unwrap().epsilon, 0.0);
        assert!(Odometer::new(0.0).read(&ledger(Neighbouring::AddRemove, &[])).is_err());
        assert!(odometer.read(&ledger(Neighbouring::AddRemove, &[(round(f64::NAN, 0.1), 1)])).is_err());
    }

    #[test]
    fn rounds_left_are_those_of_the_accountant() {
        let (done, event) = (ledger(Neighbouring::AddRemove, &[(round(1.0, 0.01), 100)]), round(1.0, 0.01));
        let pld = account::by_name("pld").unwrap();
        let fresh = rounds_left(&*pld, &done, &event, 1.5, 1e-5).unwrap();
        let kept = Odometer::new(1e-5).rounds_left(&done, &event, 1.5).unwrap();
        assert!(fresh.abs_diff(kept) <= fresh / 100, "{fresh} {kept}");
        assert_eq!(Odometer::new(1e-5).rounds_left(&done, &event, 0.01), Ok(0));
    }
}
