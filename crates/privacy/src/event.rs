//! What can cost privacy, in the words of the ledger.
//!
//! The list is closed on purpose: a new kind of event makes every accountant answer for it before it compiles.

use crate::season::Strategy;
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
    /// As Poisson, but a draw of more than `cap` examples is cut to `cap` of them at random.
    TruncatedPoisson {
        /// Probability that one example is drawn, before the cut.
        rate: f64,
        /// How many examples there are: public.
        examples: u64,
        /// The largest batch.
        cap: u64,
    },
    /// A batch of exactly this many examples, drawn without replacement.
    FixedSize {
        /// How many are drawn.
        batch: u64,
        /// Of how many: public.
        examples: u64,
    },
    /// Each example put once, at random, into one of `bins` rounds which then recur in order.
    BallsInBins {
        /// How many rounds an epoch has.
        bins: u64,
    },
    /// The examples permuted once an epoch and cut into `batches`.
    Shuffled {
        /// How many rounds an epoch has.
        batches: u64,
    },
}

impl Sampling {
    /// Whether each example takes part by coins of its own, whoever else does, in this round and in others.
    pub fn is_independent(&self) -> bool {
        matches!(self, Sampling::Poisson { .. })
    }

    /// Whether examples come back in order. Two runs of such rounds by different keys are not one longer run: each may
    /// begin with any example.
    pub(crate) fn recurs(&self) -> bool {
        matches!(self, Sampling::BallsInBins { .. } | Sampling::Shuffled { .. })
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sampling::Poisson { rate: 1.0 } => write!(f, "full"),
            Sampling::Poisson { rate } => write!(f, "poisson at {rate}"),
            Sampling::TruncatedPoisson { rate, examples, cap } => {
                write!(f, "truncated-poisson at {rate} of {examples}, at most {cap}")
            }
            Sampling::FixedSize { batch, examples } => write!(f, "fixed-size {batch} of {examples}"),
            Sampling::BallsInBins { bins } => write!(f, "balls-in-bins in {bins}"),
            Sampling::Shuffled { batches } => write!(f, "shuffled into {batches}"),
        }
    }
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
    /// One Laplace release.
    Laplace {
        /// Scale of the noise over the L1 sensitivity *under the ledger's relation*.
        noise_multiplier: f64,
    },
    /// One answer that is the true one with probability `e^epsilon / (1 + e^epsilon)` and the opposite otherwise.
    RandomisedResponse {
        /// Its pure epsilon under the ledger's relation.
        epsilon: f64,
    },
    /// One choice by the exponential mechanism, with scores whose range is bounded: its loss spans `epsilon`.
    Exponential {
        /// Its pure epsilon under the ledger's relation.
        epsilon: f64,
    },
    /// Everything released from one draw of the data. Its releases are priced together, never one by one.
    Round {
        /// How the draw was made.
        sampling: Sampling,
        /// What was released from it, in order.
        releases: Vec<Event>,
    },
    /// A run of rounds with correlated noise, paid once: see [`Strategy`].
    Season {
        /// How the noise is correlated.
        strategy: Strategy,
        /// Standard deviation of the uncorrelated noise over the L2 sensitivity of one share *under the ledger's
        /// relation*.
        noise_multiplier: f64,
    },
    /// A release that is part of a season, which has paid for it.
    Prepaid {
        /// The noise multiplier of its season.
        noise_multiplier: f64,
    },
    /// Somebody looked. Of infinite cost.
    Revealed {
        /// At what.
        what: String,
    },
}

impl Event {
    /// Standard deviation of the white Gaussian noise that this event promises on a sum of this sensitivity; zero if it
    /// promises none.
    pub fn deviation(&self, sensitivity: f64) -> f64 {
        match self {
            Event::Gaussian { noise_multiplier } | Event::Season { noise_multiplier, .. } => {
                noise_multiplier * sensitivity
            }
            _ => 0.0,
        }
    }

    /// Whether this is a round whose examples come back in order.
    pub(crate) fn recurs(&self) -> bool {
        matches!(self, Event::Round { sampling, .. } if sampling.recurs())
    }

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

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Gaussian { noise_multiplier } => write!(f, "gaussian {noise_multiplier}"),
            Event::Laplace { noise_multiplier } => write!(f, "laplace {noise_multiplier}"),
            Event::RandomisedResponse { epsilon } => write!(f, "randomised response {epsilon}"),
            Event::Exponential { epsilon } => write!(f, "exponential mechanism {epsilon}"),
            Event::Round { sampling, releases } => {
                let releases: Vec<String> = releases.iter().map(Event::to_string).collect();
                write!(f, "round ({sampling}): {}", releases.join(" + "))
            }
            Event::Season { strategy, noise_multiplier } => write!(f, "season {noise_multiplier} ({strategy})"),
            Event::Prepaid { noise_multiplier } => write!(f, "prepaid {noise_multiplier}"),
            Event::Revealed { what } => write!(f, "revealed {what}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_well() {
        let round = Event::Round {
            sampling: Sampling::Poisson { rate: 0.01 },
            releases: vec![Event::Gaussian { noise_multiplier: 1.5 }, Event::Laplace { noise_multiplier: 2.0 }],
        };
        assert_eq!(round.to_string(), "round (poisson at 0.01): gaussian 1.5 + laplace 2");
        assert_eq!(Sampling::Poisson { rate: 1.0 }.to_string(), "full");
    }

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
