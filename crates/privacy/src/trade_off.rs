//! What no attack can exceed: the trade-off between wrong alarms and members found that a privacy curve proves.
//!
//! ```
//! use privacy::{Event, Ledger, Neighbouring, TradeOff, account};
//!
//! // One Gaussian release of multiplier 1: at 5 % wrong alarms a test finds at most Phi(Phi^-1(0.05) + 1) = 25.95 %.
//! let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(Event::Gaussian { noise_multiplier: 1.0 }, 1)]);
//! let by = account::by_name("gdp").ok_or("no such accountant")?;
//! let found = TradeOff::of(&*by, &ledger, (4.0, 5e-5))?.true_positives(0.05);
//! assert!(found >= 0.25951 && found < 0.2597);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why this is sound
//!
//! Claim: whoever looks at all that was released and raises a wrong alarm about somebody who is not in the data with a chance
//! of at most `a` recognises somebody who is in them with a chance of at most [`TradeOff::true_positives`] of `a`, and is right
//! about a fair coin that decides which it is with a chance of at most `1/2 + advantage/2`.
//!
//! Argument: of an event `E` the chances `P(E)` and `Q(E)` under two neighbours obey `P(E) <= e^epsilon Q(E) + delta`, and the
//! same of its complement with the two exchanged, for each pair that an accountant vouches for, since it does so for both
//! directions; so the least of these bounds over any set of pairs is a bound, and a delta that is too large only raises it. With
//! all pairs it is the whole trade-off. The advantage is the bound at epsilon 0, where delta is the total variation distance.
//!
//! Citation: Wasserman & Zhou 2010; Kairouz, Oh & Viswanath 2015; Dong, Roth & Su 2022 (from many pairs to one trade-off).
//!
//! Checked by: `tests` here: the Gaussian trade-off in closed form, likelihood ratio tests of a sampled Gaussian in both
//! directions, pure epsilon.

use crate::{AccountError, Ledger, account::Account};

/// How many epsilons below the one that is claimed [`TradeOff::of`] asks for.
const POINTS: usize = 48;

/// A bound on all tests of membership, from `(epsilon, delta)` pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeOff {
    pairs: Vec<(f64, f64)>,
}

impl TradeOff {
    /// From pairs, `epsilon >= 0`, each of which holds in both directions.
    pub fn new(pairs: Vec<(f64, f64)>) -> Self {
        TradeOff { pairs }
    }

    /// What an accountant proves of a ledger for which it claims this finite epsilon at this delta.
    ///
    /// # Errors
    /// As [`Accountant::deltas`](crate::Accountant::deltas).
    pub fn of(
        accountant: &dyn Account,
        ledger: &Ledger,
        (epsilon, delta): (f64, f64),
    ) -> Result<TradeOff, AccountError> {
        let epsilons: Vec<f64> = (0..POINTS).map(|k| epsilon * k as f64 / POINTS as f64).collect();
        let deltas = accountant.trade(ledger, &epsilons)?;
        Ok(TradeOff::new(epsilons.into_iter().zip(deltas).chain([(epsilon, delta)]).collect()))
    }

    /// The largest chance to be right about a member, of any test that is wrong about others with a chance of `rate`.
    pub fn true_positives(&self, rate: f64) -> f64 {
        let rising = |(epsilon, delta): &(f64, f64)| epsilon.exp() * rate + delta;
        let falling = |(epsilon, delta): &(f64, f64)| 1.0 - (-epsilon).exp() * (1.0 - delta - rate);
        let bounds = self.pairs.iter().map(|pair| rising(pair).min(falling(pair)));
        bounds.fold(1.0, f64::min).max(rate)
    }

    /// The least chance of a wrong alarm with which any test finds a member with a chance of `found`: the inverse of
    /// [`TradeOff::true_positives`].
    pub fn false_positives(&self, found: f64) -> f64 {
        let one = |(epsilon, delta): &(f64, f64)| {
            let rising = (-epsilon).exp() * (found - delta);
            rising.max(1.0 - delta - epsilon.exp() * (1.0 - found))
        };
        self.pairs.iter().map(one).fold(0.0, f64::max).min(found)
    }

    /// By how much the chance to recognise a member can exceed that of a wrong alarm, whatever the test.
    pub fn advantage(&self) -> f64 {
        // At the rate where both lines of a pair meet: that is 0 for the pair of epsilon 0, and the most for any other.
        let one = |(epsilon, delta): &(f64, f64)| 1.0 - 2.0 * (1.0 - delta) / (1.0 + epsilon.exp());
        self.pairs.iter().map(one).fold(1.0, f64::min).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Neighbouring, Sampling, account, account::normal};

    fn of(name: &str, round: Event, count: u64, delta: f64) -> TradeOff {
        let ledger = Ledger::planned(Neighbouring::AddRemove, vec![(round, count)]);
        let by = account::by_name(name).unwrap();
        TradeOff::of(&*by, &ledger, (by.spent(&ledger, delta).unwrap(), delta)).unwrap()
    }

    /// `Phi(Phi^-1(a) + mu)`, and `2 Phi(mu/2) - 1`, by Python's `statistics.NormalDist`.
    const GAUSSIAN: [(f64, [f64; 3], f64); 3] = [
        (0.25, [0.002254034572, 0.018930894266, 0.081529991775], 0.099476449660),
        (1.0, [0.018298468406, 0.092362248074, 0.259511022841], 0.382924922548),
        (3.0, [0.464051306210, 0.749733747467, 0.912314536750], 0.866385597462),
    ];

    #[test]
    fn gaussian_releases_have_their_exact_trade_off() {
        for (mu, found, advantage) in GAUSSIAN {
            // Four releases of half the precision each are one.
            let round = Event::Gaussian { noise_multiplier: 2.0 / mu };
            for name in ["pld", "gdp"] {
                let curve = of(name, round.clone(), 4, 1e-5);
                for (rate, exact) in [0.001, 0.01, 0.05].into_iter().zip(found) {
                    let bound = curve.true_positives(rate);
                    assert!(bound >= exact && bound < exact * 1.005, "{name} {mu} {rate}: {bound} {exact}");
                }
                let bound = curve.advantage();
                assert!(bound >= advantage - 1e-15 && bound < advantage * 1.001, "{name} {mu}: {bound} {advantage}");
            }
        }
    }

    /// The best tests of one sampled Gaussian, by thresholds of its likelihood ratio, in both directions: never above the bound,
    /// and one of them near it.
    #[test]
    fn no_likelihood_ratio_test_beats_the_bound() {
        for (rate, z) in [(0.1, 1.0), (0.5, 0.7), (0.02, 0.5)] {
            let releases = vec![Event::Gaussian { noise_multiplier: z }];
            let curve = of("pld", Event::Round { sampling: Sampling::Poisson { rate }, releases }, 1, 1e-6);
            let above = |t: f64, mean: f64| normal::cdf((mean - t) / z);
            let mut nearest = 0.0_f64;
            for t in (-60..80).map(|k| 0.1 * f64::from(k)) {
                let (without, with) = (above(t, 0.0), rate * above(t, 1.0) + (1.0 - rate) * above(t, 0.0));
                for (wrong, right) in [(without, with), (1.0 - with, 1.0 - without)] {
                    let bound = curve.true_positives(wrong);
                    assert!(right <= bound + 1e-12, "{rate} {z} {t}: {right} {bound}");
                    nearest = nearest.max((right - wrong) / (bound - wrong).max(1e-9));
                }
                assert!(with - without <= curve.advantage() + 1e-12);
            }
            assert!(nearest > 0.99, "{rate} {z}: {nearest}");
        }
    }

    /// Asked for what it said, each function answers what the other was asked.
    #[test]
    fn both_directions_are_one_curve() {
        for curve in [of("pld", Event::Gaussian { noise_multiplier: 1.0 }, 1, 1e-5), TradeOff::new(vec![(1.5, 1e-3)])] {
            for rate in [1e-6, 1e-3, 0.05, 0.3, 0.7, 0.99] {
                let back = curve.false_positives(curve.true_positives(rate));
                assert!((back - rate).abs() < 1e-12, "{rate}: {back}");
            }
            assert_eq!(curve.false_positives(0.0), 0.0);
        }
        assert_eq!(TradeOff::new(Vec::new()).false_positives(0.5), 0.0);
    }

    /// Coins told with `e^epsilon : 1`: the corner of their trade-off is `1 / (1 + e^epsilon)`.
    #[test]
    fn pure_epsilon_is_two_lines() {
        let curve = TradeOff::new(vec![(1.5, 0.0)]);
        let corner = 1.0 / (1.0 + 1.5_f64.exp());
        assert!((curve.true_positives(corner) - (1.0 - corner)).abs() < 1e-15);
        assert!((curve.true_positives(0.1) - 1.5_f64.exp() * 0.1).abs() < 1e-15);
        assert!((curve.advantage() - (1.0 - 2.0 * corner)).abs() < 1e-15);
        assert_eq!((curve.true_positives(0.0), curve.true_positives(1.0)), (0.0, 1.0));
    }

    #[test]
    fn nothing_spent_is_blind_guessing_and_no_pair_is_no_bound() {
        assert_eq!(TradeOff::new(vec![(0.0, 0.0)]).true_positives(0.05), 0.05);
        assert_eq!(TradeOff::new(vec![(0.0, 0.0)]).advantage(), 0.0);
        let none = TradeOff::new(Vec::new());
        assert_eq!((none.true_positives(0.05), none.advantage()), (1.0, 1.0));
    }
}
