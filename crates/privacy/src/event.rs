//! What can cost privacy, in the words of the ledger.
//!
//! The list is closed on purpose: a new kind of event makes every accountant answer for it before it compiles.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which two data sets count as neighbours. It is stored with every ledger: an epsilon means nothing without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Neighbouring {
    /// One example more, or one fewer. Sizes of data set and lot are then secrets.
    AddRemove,
    /// One example exchanged for another. Every bound counts double, since one share goes and another comes.
    ReplaceOne,
}

impl Neighbouring {
    /// Sensitivity of a sum over the bound of one example's share: 1 for add/remove, 2 for replace-one.
    pub fn factor(self) -> f64 {
        match self {
            Neighbouring::AddRemove => 1.0,
            Neighbouring::ReplaceOne => 2.0,
        }
    }
}

impl fmt::Display for Neighbouring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Neighbouring::AddRemove => "add-remove",
            Neighbouring::ReplaceOne => "replace-one",
        })
    }
}

/// How the examples of one round were chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// Each example independently with probability `rate`, in `[0, 1]`. A rate of 1 is everyone.
    Poisson {
        /// Probability that one example takes part.
        rate: f64,
    },
}

/// One thing that cost privacy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// One Gaussian release.
    Gaussian {
        /// Standard deviation of the noise over the L2 sensitivity *under the ledger's relation*, which is the bound
        /// of one example's share times [`Neighbouring::factor`].
        noise_multiplier: f64,
    },
    /// Everything released from one draw of the data. Its releases are priced together, never one by one.
    Round {
        /// How the draw was made.
        sampling: Sampling,
        /// What was released from it, in order.
        releases: Vec<Event>,
    },
    /// Somebody looked. Of infinite cost.
    Revealed {
        /// At what.
        what: String,
    },
}

impl Event {
    /// Whether this round is made of the first releases of `other`, from the same sampling: then whoever paid for
    /// `other` has paid for this.
    pub(crate) fn begins(&self, other: &Event) -> bool {
        match (self, other) {
            (Event::Round { sampling: a, releases: few }, Event::Round { sampling: b, releases: many }) => {
                a == b && many.starts_with(few)
            }
            _ => self == other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_written_in_plain_words() {
        let round = Event::Round {
            sampling: Sampling::Poisson { rate: 0.01 },
            releases: vec![Event::Gaussian { noise_multiplier: 1.1 }],
        };
        let text =
            r#"{"round":{"sampling":{"poisson":{"rate":0.01}},"releases":[{"gaussian":{"noise_multiplier":1.1}}]}}"#;
        assert_eq!(serde_json::to_string(&round).unwrap(), text);
        assert_eq!(serde_json::from_str::<Event>(text).unwrap(), round);
        assert_eq!(serde_json::to_string(&Neighbouring::ReplaceOne).unwrap(), r#""replace-one""#);
    }

    #[test]
    fn a_round_begins_only_its_own_kind() {
        let gaussian = |z| Event::Gaussian { noise_multiplier: z };
        let round = |rate, zs: &[f64]| Event::Round {
            sampling: Sampling::Poisson { rate },
            releases: zs.iter().map(|z| gaussian(*z)).collect(),
        };
        assert!(round(0.1, &[1.0]).begins(&round(0.1, &[1.0, 2.0])));
        assert!(!round(0.1, &[2.0]).begins(&round(0.1, &[1.0, 2.0])));
        assert!(!round(0.1, &[1.0, 2.0]).begins(&round(0.1, &[1.0])));
        assert!(!round(0.2, &[1.0]).begins(&round(0.1, &[1.0])));
        assert!(!gaussian(1.0).begins(&gaussian(2.0)));
    }
}
