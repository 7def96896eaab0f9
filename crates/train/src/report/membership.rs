//! What an attacker can do at most who tests whether somebody's data were used.

use privacy::TradeOff;
use serde::{Deserialize, Serialize};

/// Shares of wrong alarms that a test of membership is asked about.
const RATES: [f64; 3] = [0.001, 0.01, 0.05];

/// Bounds on every test of membership.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Membership {
    /// The most by which the share of members that are found can exceed the share of wrong alarms.
    #[serde(with = "super::number")]
    pub advantage: f64,
    /// The most members that are found, for some shares of wrong alarms.
    pub tests: Vec<Test>,
}

/// A test with this share of wrong alarms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// The share of wrong alarms.
    #[serde(with = "super::number")]
    pub false_positive_rate: f64,
    /// The largest share of members that are found.
    #[serde(with = "super::number")]
    pub true_positive_rate: f64,
}

impl Membership {
    /// What a trade-off allows.
    pub fn of(trade_off: &TradeOff) -> Self {
        let test = |rate| Test { false_positive_rate: rate, true_positive_rate: trade_off.true_positives(rate) };
        Membership { advantage: trade_off.advantage(), tests: RATES.map(test).into() }
    }
}
