//! Stopping before the budget is exceeded.
//!
//! [`Filter`] is for runs whose events are chosen as they go, by whatever has been released: it fixes one Rényi order
//! before the first round. [`rounds_left`] and [`Odometer`] are for runs whose events are known beforehand.
//!
//! ```
//! use privacy::{Event, Filter, Ledger, Neighbouring, Sampling};
//!
//! let round = |z| Event::Round {
//!     sampling: Sampling::Poisson { rate: 0.01 },
//!     releases: vec![Event::Gaussian { noise_multiplier: z }],
//! };
//! // The order that suits a thousand such rounds; what is then done is open.
//! let plan = Ledger::planned(Neighbouring::AddRemove, vec![(round(1.0), 1000)]);
//! let mut filter = Filter::for_plan(&plan, 2.0, 1e-5)?;
//! let mut rounds = 0;
//! while filter.may(&round(1.0))? {
//!     filter.charge(&round(1.0))?;
//!     rounds += 1;
//! }
//! assert!(rounds > 800 && filter.epsilon() <= 2.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why this is private
//!
//! Claim: all that is released while [`Filter::charge`] agrees is (epsilon, delta)-private together, even if each event,
//! and when to stop, depends on what was released before.
//!
//! Argument: the order `a` is fixed first. If the divergences of order `a` of adaptively chosen events never add up to
//! more than a fixed budget, the whole has at most that divergence (Feldman & Zrnic 2021, Theorem 3.1): with `L` the loss so
//! far and `R` the sum so far, `e^((a-1)(L - R))` is a supermartingale. The budget is the divergence whose conversion at
//! order `a` is epsilon (Canonne, Kamath & Steinke 2020, Proposition 12). An event is refused *before* it is made. What is
//! claimed afterwards is the budget, however little of it was used; [`Filter::epsilon`] says what an equal, fixed run would
//! cost.
//!
//! Checked by: `tests::the_budget_is_never_exceeded`, `tests::a_filter_costs_little`.

mod planned;

pub use planned::{Odometer, rounds_left};

use crate::account::{Accountant, Curve, Rdp, RdpCurve, Unpriced, convert};
use crate::{Event, Ledger, Neighbouring};

/// Why a filter cannot be made, or refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum FilterError {
    /// Epsilon is not positive.
    #[error("a budget of epsilon {0} is not a positive number")]
    Epsilon(f64),
    /// Delta is not a probability short of certainty.
    #[error("delta {0} is not in (0, 1)")]
    Delta(f64),
    /// The order is not above 1, or leaves no budget.
    #[error("order {order} leaves no budget for epsilon {epsilon} and delta {delta:e}")]
    Order {
        /// The order.
        order: f64,
        /// The budget.
        epsilon: f64,
        /// The budget.
        delta: f64,
    },
    /// The event would exceed the budget. It was not charged.
    #[error("the budget of epsilon {epsilon} does not hold another {event}")]
    Exhausted {
        /// The budget.
        epsilon: f64,
        /// The event that was refused.
        event: Event,
    },
    /// The event has no Rényi divergence.
    #[error(transparent)]
    Unpriced(#[from] Unpriced),
}

/// A budget for events that are chosen as the run goes.
#[derive(Clone, Debug)]
pub struct Filter {
    epsilon: f64,
    delta: f64,
    neighbouring: Neighbouring,
    order: f64,
    /// The divergence that may be spent.
    budget: f64,
    curve: RdpCurve,
}

impl Filter {
    /// A filter at this Rényi order, above 1, which must not depend on the data.
    ///
    /// # Errors
    /// When a number is out of range, or the order leaves no budget.
    pub fn new(epsilon: f64, delta: f64, neighbouring: Neighbouring, order: f64) -> Result<Filter, FilterError> {
        if epsilon.is_nan() || epsilon <= 0.0 {
            return Err(FilterError::Epsilon(epsilon));
        }
        if !(delta > 0.0 && delta < 1.0) {
            return Err(FilterError::Delta(delta));
        }
        let budget = epsilon - convert(0.0, order, delta);
        if !(order > 1.0 && order.is_finite() && budget > 0.0) {
            return Err(FilterError::Order { order, epsilon, delta });
        }
        Ok(Filter { epsilon, delta, neighbouring, order, budget, curve: RdpCurve::default() })
    }

    /// A filter at the order that holds most of such a plan.
    ///
    /// # Errors
    /// As [`Filter::new`], and when the plan cannot be priced.
    pub fn for_plan(plan: &Ledger, epsilon: f64, delta: f64) -> Result<Filter, FilterError> {
        let curve = Rdp.curve(plan)?;
        let orders = (0..=160).map(|k| 1.0 + 0.01 * (0.1 * f64::from(k)).exp());
        // How many such plans the order holds; any order does for a plan that is free.
        let holds = |order: f64| (epsilon - convert(0.0, order, delta)) / curve.divergence(order).max(1e-300);
        let best = orders.fold((2.0, f64::NEG_INFINITY), |best, order| {
            let value = holds(order);
            if value > best.1 { (order, value) } else { best }
        });
        Filter::new(epsilon, delta, plan.neighbouring(), best.0)
    }

    /// Whether the budget holds this event too. Nothing is charged.
    ///
    /// # Errors
    /// When the event has no Rényi divergence.
    pub fn may(&self, event: &Event) -> Result<bool, Unpriced> {
        Ok(self.holds(&self.with(event)?))
    }

    /// Charges an event, before it is made.
    ///
    /// # Errors
    /// When the budget does not hold it, or it has no Rényi divergence. Then nothing is charged, and it must not be made.
    pub fn charge(&mut self, event: &Event) -> Result<(), FilterError> {
        let curve = self.with(event)?;
        if !self.holds(&curve) {
            return Err(FilterError::Exhausted { epsilon: self.epsilon, event: event.clone() });
        }
        self.curve = curve;
        Ok(())
    }

    /// The curve with one more event.
    fn with(&self, event: &Event) -> Result<RdpCurve, Unpriced> {
        Ok(self.curve.clone().plus(Rdp.price(event, self.neighbouring)?))
    }

    fn holds(&self, curve: &RdpCurve) -> bool {
        curve.divergence(self.order) <= self.budget
    }

    /// The order that was fixed.
    pub fn order(&self) -> f64 {
        self.order
    }

    /// The share of the budget that is spent, from 0 to 1.
    pub fn spent(&self) -> f64 {
        if self.curve.is_free() { 0.0 } else { self.curve.divergence(self.order) / self.budget }
    }

    /// Epsilon at the fixed order of what was charged: what a run that was fixed beforehand would cost. Never more than
    /// the budget, which is what an adaptive run has to claim.
    pub fn epsilon(&self) -> f64 {
        if self.curve.is_free() {
            return 0.0;
        }
        convert(self.curve.divergence(self.order), self.order, self.delta).clamp(0.0, self.epsilon)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Sampling, account};

    fn round(z: f64, rate: f64) -> Event {
        Event::Round { sampling: Sampling::Poisson { rate }, releases: vec![Event::Gaussian { noise_multiplier: z }] }
    }

    fn plan(n: u64) -> Ledger {
        Ledger::planned(Neighbouring::AddRemove, vec![(round(1.0, 0.01), n)])
    }

    #[test]
    fn the_budget_is_never_exceeded() {
        let mut filter = Filter::for_plan(&plan(1000), 2.0, 1e-5).unwrap();
        let mut done = Vec::new();
        // Noise and rate change as the run goes.
        for k in 0.. {
            let event = round(0.8 + 0.1 * f64::from(k % 7), 0.01 * f64::from(k % 3 + 1));
            let before = filter.spent();
            if !filter.may(&event).unwrap() {
                assert!(matches!(filter.charge(&event), Err(FilterError::Exhausted { .. })));
                assert_eq!(filter.spent(), before);
                break;
            }
            filter.charge(&event).unwrap();
            assert!(filter.spent() > before && filter.spent() <= 1.0);
            done.push((event, 1));
        }
        let spent = Rdp.spent(&Ledger::planned(Neighbouring::AddRemove, done), 1e-5).unwrap();
        assert!(spent <= filter.epsilon() && filter.epsilon() <= 2.0 && filter.spent() > 0.95, "{spent}");
    }

    #[test]
    fn a_filter_costs_little() {
        // At the order that suits the plan, as many rounds as the best order for a fixed run allows, almost.
        let filter = |n| {
            let mut filter = Filter::for_plan(&plan(1000), 2.0, 1e-5).unwrap();
            (0..n).all(|_| filter.charge(&round(1.0, 0.01)).is_ok())
        };
        let rdp = account::by_name("rdp").unwrap();
        let most = rounds_left(&*rdp, &plan(0), &round(1.0, 0.01), 2.0, 1e-5).unwrap();
        assert!(filter(most * 99 / 100) && !filter(most + 1), "{most}");
    }

    #[test]
    fn rounds_left_after_something() {
        let rdp = account::by_name("rdp").unwrap();
        let fresh = rounds_left(&*rdp, &plan(0), &round(1.0, 0.01), 2.0, 1e-5).unwrap();
        assert_eq!(rounds_left(&*rdp, &plan(300), &round(1.0, 0.01), 2.0, 1e-5).unwrap(), fresh - 300);
        let after = |n| Rdp.spent(&plan(n), 1e-5).unwrap();
        assert!(after(fresh) <= 2.0 && after(fresh + 1) > 2.0);
        assert_eq!(rounds_left(&*rdp, &plan(10_000), &round(1.0, 0.01), 2.0, 1e-5), Ok(0));
        assert!(rounds_left(&*rdp, &plan(1), &round(-1.0, 0.01), 2.0, 1e-5).is_err());
    }

    #[test]
    fn nonsense_makes_no_filter() {
        let new = |epsilon, delta, order| Filter::new(epsilon, delta, Neighbouring::AddRemove, order);
        for (epsilon, delta, order) in [
            (0.0, 0.1, 2.0),
            (f64::NAN, 0.1, 2.0),
            (1.0, 0.0, 2.0),
            (1.0, 1.0, 2.0),
            (1.0, 1e-5, 1.0),
            (1.0, 1e-5, 2.0),
        ] {
            assert!(new(epsilon, delta, order).is_err(), "{epsilon} {delta} {order}");
        }
        let filter = new(1.0, 1e-5, 30.0).unwrap();
        assert_eq!((filter.epsilon(), filter.spent(), filter.order()), (0.0, 0.0, 30.0));
        assert!(!filter.may(&Event::Revealed { what: "a loss".into() }).unwrap());
        assert!(filter.may(&round(f64::NAN, 0.1)).is_err());
    }
}
