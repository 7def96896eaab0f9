//! Whether a run is private, in one word: what the console, `privacy.json`, `summary.json`, the page and whoever reads a run's folder agree on.
//!
//! # Why this is private
//! *Claim.* Nothing calls a run private that has a known seed, an infinite price, or an epsilon and delta that bound nothing.
//! *Argument.* The word is made here alone, of the facts, whenever it is asked for: none is kept that could grow stale beside a price that a
//! later look made infinite. The worst of what holds wins, and where the parts of a record disagree, the worse one holds.
//! *Tests.* `the_worst_wins`, `epsilon_decides`, `files_say_the_verdict`.
use super::{Randomness, Record, Statement};
use serde::Serialize;

/// Epsilon from which a guarantee says little about single people.
const WEAK: f64 = 10.0;

/// What a run amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A finite epsilon from fresh randomness.
    Private,
    /// The same, but with an epsilon so large that it hardly protects anyone.
    Weak,
    /// NOT private: private on paper, but the seed is fixed.
    Seeded,
    /// NOT private: clipping and noise were on, but epsilon is infinite, or epsilon and delta are no bound at all.
    Unbounded,
    /// NOT private: ordinary training.
    Ordinary,
}

impl Verdict {
    /// The worst of what holds.
    pub(crate) fn worst(clipped_and_noised: bool, seeded: bool, epsilon: f64, delta: f64) -> Verdict {
        match epsilon {
            _ if !clipped_and_noised => Verdict::Ordinary,
            _ if !(0.0..1.0).contains(&delta) => Verdict::Unbounded,
            epsilon if !(epsilon.is_finite() && epsilon >= 0.0) => Verdict::Unbounded,
            _ if seeded => Verdict::Seeded,
            epsilon if epsilon > WEAK => Verdict::Weak,
            _ => Verdict::Private,
        }
    }

    /// Whether epsilon is a finite number, be it on paper only.
    pub fn is_finite(self) -> bool {
        !matches!(self, Verdict::Unbounded | Verdict::Ordinary)
    }

    /// Whether epsilon holds against everybody.
    pub fn is_private(self) -> bool {
        matches!(self, Verdict::Private | Verdict::Weak)
    }

    /// The verdict in words, for a line of text that begins with it.
    pub fn words(self) -> &'static str {
        match self {
            Verdict::Private => "private",
            Verdict::Weak => "private, but weakly",
            Verdict::Seeded => "NOT PRIVATE: the seed is fixed",
            Verdict::Unbounded => "NOT PRIVATE: there is no finite epsilon",
            Verdict::Ordinary => "NOT PRIVATE: ordinary training, no clipping, no noise",
        }
    }
}

impl Statement {
    /// Whether what was made is private.
    pub fn verdict(&self) -> Verdict {
        let seeded = self.randomness == Randomness::FixedSeed;
        Verdict::worst(self.clipped_and_noised, seeded, self.epsilon, self.delta)
    }
}

impl Record {
    /// Whether the run is private.
    pub fn verdict(&self) -> Verdict {
        let Statement { epsilon, delta, .. } = self.statement;
        Verdict::worst(self.is_clipped_and_noised(), self.is_seeded(), epsilon, delta)
    }
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn with_epsilon(epsilon: f64) -> Verdict {
        let mut record = example::private();
        record.statement.epsilon = epsilon;
        record.verdict()
    }

    #[test]
    fn the_worst_wins() {
        assert_eq!(example::ordinary().verdict(), Verdict::Ordinary);
        assert_eq!(example::interrupted().verdict(), Verdict::Seeded);
        let mut record = example::ordinary();
        record.statement.randomness = Randomness::FixedSeed;
        assert_eq!(record.verdict(), Verdict::Ordinary);
        for record in [example::private(), example::ordinary(), example::interrupted()] {
            assert_eq!(record.verdict(), record.statement.verdict());
        }
        let mut record = example::private();
        record.summary.seed = Some(1);
        assert_eq!(record.verdict(), Verdict::Seeded, "its parts disagree");
    }

    #[test]
    fn epsilon_decides() {
        let verdicts = [0.0, 0.98, 10.0, 10.1, f64::INFINITY, f64::NAN, -1.0].map(with_epsilon);
        use Verdict::{Private, Unbounded, Weak};
        assert_eq!(verdicts, [Private, Private, Private, Weak, Unbounded, Unbounded, Unbounded]);
    }

    /// What a program reads is what a person reads.
    #[test]
    fn files_say_the_verdict() {
        let folder = tempfile::tempdir().unwrap();
        for (record, word) in
            [(example::private(), "private"), (example::interrupted(), "seeded"), (example::ordinary(), "ordinary")]
        {
            super::super::write(folder.path(), &record).unwrap();
            for name in ["privacy.json", "summary.json"] {
                let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["verdict"], word, "{name}");
                assert_eq!(value.get("private"), None, "{name}: a finite epsilon alone is not private");
            }
            assert_eq!(super::super::statement(folder.path()).unwrap(), record.statement);
        }
    }
}
