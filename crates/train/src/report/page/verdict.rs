//! The headline: whether the run is private, in one line, and what stands against it.

use super::super::words;
use super::super::{Record, Verdict};
use super::text;
use crate::report::Unit;

impl Verdict {
    fn class(self) -> &'static str {
        match self {
            Self::Private => "calm",
            Self::Weak | Self::Seeded => "amber",
            Self::Unbounded | Self::Ordinary => "red",
        }
    }

    /// The headline, as markup.
    fn headline(self, record: &Record) -> String {
        let loss = loss(record);
        match self {
            Self::Private => format!("Private: {loss}"),
            Self::Weak => format!("Private, but weakly: {loss}"),
            Self::Seeded => "NOT PRIVATE: the seed is fixed, for reproduction only".to_owned(),
            Self::Unbounded if record.statement.epsilon == f64::INFINITY => {
                "NOT PRIVATE: epsilon is infinite".to_owned()
            }
            Self::Unbounded => "NOT PRIVATE: epsilon and delta bound nothing".to_owned(),
            Self::Ordinary => "NOT PRIVATE: ordinary training, no clipping, no noise".to_owned(),
        }
    }

    /// The sentence below the headline, as markup.
    fn sentence(self, record: &Record) -> String {
        match self {
            Self::Private => "What was released about this run, the model included, tells little about any single \
                              training example. The bound below holds against every attack, under the assumptions \
                              that this page lists."
                .to_owned(),
            Self::Weak => "The bound below is true, but an epsilon this large rules out little. Treat the model as \
                           one that may reveal who is in its training data."
                .to_owned(),
            Self::Seeded => format!(
                "Whoever knows the seed can compute the noise and subtract it. With fresh randomness from the \
                 operating system the same run would be private with {}. Do not publish this model as private.",
                loss(record)
            ),
            Self::Unbounded => "Clipping and noise were on, but the ledger has no finite price: a step without noise, \
                                private data that were looked at, or an impossible delta. There is no bound on what \
                                the model reveals."
                .to_owned(),
            Self::Ordinary => "There is no bound on what this model reveals about its training data. Do not publish \
                               it unless the data could be published too."
                .to_owned(),
        }
    }
}

/// "epsilon = 0.98 at delta = 1e-5", to be broken only in the middle.
fn loss(record: &Record) -> String {
    let (epsilon, delta) = (record.statement.epsilon, record.statement.delta);
    format!("epsilon\u{a0}=\u{a0}{} at delta\u{a0}=\u{a0}{}", words::bound(epsilon), words::bound(delta))
}

/// The headline banner, and one more when the run was interrupted.
pub(super) fn banners(record: &Record) -> String {
    let verdict = record.verdict();
    let mut out = banner(verdict.class(), "h2", &verdict.headline(record), &verdict.sentence(record));
    if record.statement.unit() == Unit::Part && verdict.is_finite() {
        let unit = &record.statement.unit_of_privacy;
        let sentence = format!("The guarantee is about {unit}. It says little about whoever wrote more than that.");
        out += &banner("amber", "h3", "The unit of privacy is a part of a text, and not a person", &sentence);
    }
    if record.is_interrupted() {
        out += &banner("amber", "h3", "Interrupted: the run ended before its last step", &interrupted(record, verdict));
    }
    out
}

/// A coloured box with an icon; its texts are escaped.
pub(crate) fn banner(class: &str, level: &str, headline: &str, sentence: &str) -> String {
    let icon = if class == "calm" { SHIELD } else { ALERT };
    format!(
        "<div class=\"banner {class}\" role=\"note\">\n{icon}<div><{level}>{}</{level}>\n<p>{}</p></div>\n</div>\n",
        text(headline),
        text(sentence)
    )
}

fn interrupted(record: &Record, verdict: Verdict) -> String {
    let (made, planned) = (words::count(record.statement.steps.made), words::count(record.statement.steps.planned));
    let loss = if verdict.is_finite() {
        " Epsilon covers the steps that were made. Resuming the run spends more and replaces this report."
    } else {
        ""
    };
    format!("{made} of {planned} planned steps were made.{loss}")
}

const SHIELD: &str = "<svg class=\"icon\" viewBox=\"0 0 32 32\" aria-hidden=\"true\"><path d=\"M16 3.5 27 7.5v8c0 \
                      6.5-4.5 11-11 13.5C9.5 26.5 5 22 5 15.5v-8z\"/><path d=\"m11 15.5 3.7 3.7 6.8-7\"/></svg>";
const ALERT: &str = "<svg class=\"icon\" viewBox=\"0 0 32 32\" aria-hidden=\"true\"><path d=\"M16 4 29.5 27.5h-27z\"/>\
                     <path d=\"M16 12.5v7M16 23.2v.3\"/></svg>";

#[cfg(test)]
mod tests {
    use super::super::super::example;
    use super::*;

    #[test]
    fn an_impossible_delta_is_no_bound() {
        for delta in [1.0, -1e-5, f64::NAN] {
            let mut record = example::private();
            record.statement.delta = delta;
            assert!(banners(&record).contains("bound nothing"));
        }
    }

    #[test]
    fn a_unit_that_is_no_row_is_told_first() {
        let page = banners(&example::blocks());
        assert!(page.contains("not a person") && page.contains("one block of 128 characters"), "{page}");
        assert!(!banners(&example::private()).contains("unit of privacy"));
    }

    #[test]
    fn headlines_say_it() {
        let private = banners(&example::private()).replace('\u{a0}', " ");
        assert!(private.contains("Private: epsilon = 0.979 at delta = 1e-5") && private.contains("calm"));
        let ordinary = banners(&example::ordinary());
        assert!(
            ordinary.contains("NOT PRIVATE: ordinary training, no clipping, no noise")
                && ordinary.contains("banner red")
        );
        let interrupted = banners(&example::interrupted());
        assert_eq!(interrupted.matches("banner amber").count(), 2);
        assert!(interrupted.contains("1204 of 2000 planned steps"), "{interrupted}");
    }
}
