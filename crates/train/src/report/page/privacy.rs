//! The privacy statement in words for a reviewer without a background in differential privacy.

use super::super::record::Record;
use super::super::statement::Neighbouring;
use super::super::words;
use super::verdict::Verdict;
use super::{list, section, text};

/// What the caller warns of; nothing when there is nothing.
pub(super) fn warnings(record: &Record) -> String {
    if record.statement.warnings.is_empty() {
        return String::new();
    }
    section("Warnings", &format!("<div class=\"card warn\">\n{}</div>\n", list(&record.statement.warnings)))
}

/// What is protected, what epsilon means for an attacker, what is not protected.
pub(super) fn statement(record: &Record) -> String {
    if Verdict::of(record).is_finite() {
        let body = protected(record) + &attacker(record) + &unprotected(record);
        return section("What the guarantee says", &format!("<div class=\"guarantee\">\n{body}</div>\n"));
    }
    let nothing = "<div class=\"prose\"><p class=\"lead\">Nothing is protected. An attacker who holds the model may \
                   find out with certainty whether a person's data were used, and may be able to extract \
                   them.</p></div>\n";
    section("What is protected", nothing)
}

fn protected(record: &Record) -> String {
    let statement = &record.statement;
    let conditional = match Verdict::of(record) {
        Verdict::Seeded => {
            "<p class=\"flag\">All of this would hold had the seed been secret. It does not hold for this run.</p>\n"
        }
        _ => "",
    };
    format!(
        "<div class=\"protected\">\n\
         {conditional}<h3>What is protected</h3>\n\
         <p>The unit is <strong>{}</strong>. {} The guarantee compares the run on two such data sets: what an \
         observer sees (the final model, every intermediate model, and every number that the run released) is nearly \
         as likely with the one as with the other. It assumes the worst: an observer who knows every other example \
         and the whole method.</p>\n\
         </div>\n",
        text(&statement.unit_of_privacy),
        text(&statement.neighbouring_definition)
    )
}

/// The best that a membership test can do, for two false positive rates.
fn attacker(record: &Record) -> String {
    let (epsilon, delta) = (record.statement.epsilon, record.statement.delta);
    let rows: String = [0.01, 0.05].map(|rate| bar(rate, power(epsilon, delta, rate))).concat();
    format!(
        "<div class=\"attacker card\">\n\
         <h3>What epsilon means for an attacker</h3>\n\
         <p>{} However clever the test, whatever computer it runs on:</p>\n\
         {rows}<p class=\"key\"><span class=\"guess\"></span> blind guessing <span class=\"fill\"></span> what this \
         run allows beyond it</p>\n\
         <p class=\"small\">Bound: the smaller of e<sup>ε</sup>·FPR + δ and 1 − e<sup>−ε</sup>·(1 − FPR − δ), where \
         FPR is the share of wrong alarms, with ε = {} and δ = {}. {}</p>\n\
         </div>\n",
        question(record.statement.neighbouring),
        words::bound(epsilon),
        words::bound(delta),
        strength(epsilon)
    )
}

fn question(neighbouring: Neighbouring) -> &'static str {
    match neighbouring {
        Neighbouring::AddRemove => {
            "Suppose that someone tests whether your row was in the training data, and is ready to raise a wrong \
             alarm for a few of those who were not in it."
        }
        Neighbouring::ReplaceOne => {
            "Suppose that someone tests whether a row of the training data was yours or a given other one, and is \
             ready to raise a wrong alarm for a few of those whose row it was not."
        }
    }
}

fn bar(rate: f64, power: f64) -> String {
    let wrong = format!("{}{}%", words::significant(rate * 100.0, 3), words::THIN);
    let right = words::percent_bound(power);
    format!(
        "<div class=\"odds\"><p><strong class=\"most\"><small>at most</small> {right}</strong> of the people who were \
         in the data are found at the price of {wrong} wrong alarms. Blind guessing finds {wrong}.</p>\n\
         <div class=\"bar\" role=\"img\" aria-label=\"at most {right}, blind guessing {wrong}\"><span class=\"fill\" \
         style=\"width:{:.2}%\"></span><span class=\"guess\" style=\"width:{:.2}%\"></span></div></div>\n",
        power * 100.0,
        rate * 100.0
    )
}

/// The largest true positive rate of any test with this false positive rate, under (epsilon, delta): Wasserman and Zhou
/// (2010), Kairouz, Oh and Viswanath (2015).
fn power(epsilon: f64, delta: f64, rate: f64) -> f64 {
    let rising = epsilon.exp() * rate + delta;
    let falling = 1.0 - (-epsilon).exp() * (1.0 - rate - delta);
    rising.min(falling).clamp(rate, 1.0)
}

/// Where epsilon stands among the tiers of Ponomareva et al., "How to DP-fy ML" (2023).
fn strength(epsilon: f64) -> &'static str {
    match epsilon {
        _ if epsilon <= 1.0 => "In the literature, epsilon up to 1 counts as a strong guarantee.",
        _ if epsilon <= 10.0 => "In the literature, epsilon from 1 to 10 counts as reasonable, above 10 as weak.",
        _ => "In the literature, epsilon above 10 counts as weak or none.",
    }
}

fn unprotected(record: &Record) -> String {
    let five = words::bound(5.0 * record.statement.epsilon);
    let mut items = vec![
        format!(
            "<strong>Someone with several rows.</strong> Epsilon grows with their number (five rows together: {five}), \
             delta faster."
        ),
        "<strong>Facts about people in general.</strong> If the data show that smokers fall ill, the model may say so \
         of every smoker, whether in the data or not. That is what it is for."
            .to_owned(),
        "<strong>Everything else that was published from the same data.</strong> A second model, a table, another run \
         with other settings: their losses add to this one."
            .to_owned(),
        "<strong>The data during training.</strong> The machine that trains sees them. The guarantee is about \
         what leaves it."
            .to_owned(),
    ];
    items.extend(delta_remark(record));
    let items: String = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    format!("<div class=\"unprotected\">\n<h3>What is not protected</h3>\n<ul>\n{items}</ul>\n</div>\n")
}

/// A delta as large as one over the data allows to publish somebody's whole row.
fn delta_remark(record: &Record) -> Option<String> {
    let examples = record.summary.examples;
    (record.statement.delta * examples as f64 >= 1.0).then(|| {
        format!(
            "<strong>One unlucky person.</strong> Delta is not below 1 in {} (the number of examples): the guarantee \
             would even allow to publish one row at random. Choose a smaller delta.",
            words::count(examples)
        )
    })
}

/// What must hold for the guarantee to mean what it says.
pub(super) fn assumptions(record: &Record) -> String {
    let listed = &record.statement.assumptions;
    if listed.is_empty() || !Verdict::of(record).is_finite() {
        return String::new();
    }
    let intro = "<p>The guarantee is a theorem about the method. It applies to this run if the following is true, \
                 which no program can check for you.</p>\n";
    section("Assumptions", &format!("{intro}<div class=\"assumptions\">\n{}</div>\n", list(listed)))
}

/// How to compute epsilon again from the ledger.
pub(super) fn check(record: &Record) -> String {
    if !record.is_private() {
        return String::new();
    }
    let delta = words::plain(record.statement.delta);
    let body = format!(
        "<div class=\"prose\"><p>Every release was written to the ledger before the model saw it. Epsilon follows \
         from the ledger alone:</p>\n\
         <pre tabindex=\"0\">secateur account --ledger ledger.jsonl --delta {}</pre>\n\
         <p>The statement above is in <code>privacy.json</code> for programs to read.</p></div>\n",
        text(&delta)
    );
    section("Check it again", &body)
}

#[cfg(test)]
mod tests {
    use super::super::super::example;
    use super::*;

    #[test]
    fn power_is_the_smaller_of_the_two_lines() {
        let close = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value} {expected}");
        close(power(1.0, 1e-5, 0.01), 1f64.exp() * 0.01 + 1e-5);
        close(power(8.0, 1e-5, 0.05), 1.0 - (-8f64).exp() * (0.95 - 1e-5));
        close(power(0.0, 0.0, 0.05), 0.05);
        close(power(f64::INFINITY, 1e-5, 0.01), 1.0);
    }

    #[test]
    fn the_attacker_is_computed() {
        let page = statement(&example::private()).replace(words::THIN, " ");
        assert!(page.contains("of 1 % wrong alarms") && page.contains("</small> 2.67 %</strong>"), "{page}");
        assert!(page.contains("</small> 13.4 %</strong>"), "{page}");
    }

    #[test]
    fn replace_one_asks_another_question() {
        let mut record = example::private();
        record.statement.neighbouring = Neighbouring::ReplaceOne;
        assert!(statement(&record).contains("yours or a given other one"));
    }

    #[test]
    fn without_a_guarantee_there_is_nothing_to_assume() {
        let record = example::ordinary();
        assert!(statement(&record).contains("Nothing is protected"));
        assert_eq!((assumptions(&record), check(&record)), (String::new(), String::new()));
    }

    #[test]
    fn a_seed_and_a_large_delta_are_flagged() {
        assert!(statement(&example::interrupted()).contains("does not hold for this run"));
        let mut record = example::private();
        record.statement.delta = 1e-4;
        assert!(statement(&record).contains("Choose a smaller delta"));
        assert!(check(&record).contains("--delta 1e-4<"));
    }
}
