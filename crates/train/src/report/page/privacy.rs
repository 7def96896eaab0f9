//! The privacy statement in words for a reviewer without a background in differential privacy.

use super::super::Verdict;
use super::super::record::Record;
use super::super::statement::{Neighbouring, Statement};
use super::super::{Membership, Test, words};
use super::{list, section, text};
use crate::report::Unit;
use privacy::TradeOff;

/// What the caller warns of; nothing when there is nothing.
pub(super) fn warnings(record: &Record) -> String {
    if record.statement.warnings.is_empty() {
        return String::new();
    }
    section("Warnings", &format!("<div class=\"card warn\">\n{}</div>\n", list(&record.statement.warnings)))
}

/// What is protected, what epsilon means for an attacker, what is not protected.
pub(super) fn statement(record: &Record) -> String {
    if record.verdict().is_finite() {
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
    let conditional = match record.verdict() {
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

/// The best that a membership test can do.
fn attacker(record: &Record) -> String {
    let statement = &record.statement;
    let pair = || Membership::of(&TradeOff::new(vec![(statement.epsilon, statement.delta)]));
    let best = statement.membership.clone().unwrap_or_else(pair);
    let who = match statement.unit() {
        Unit::Row | Unit::Person => "the people who were",
        Unit::Part => "the blocks that were",
    };
    let rows: String = best.tests.iter().map(|test| bar(test, who)).collect();
    format!(
        "<div class=\"attacker card\">\n\
         <h3>What epsilon means for an attacker</h3>\n\
         <p>{} However clever the test, whatever computer it runs on:</p>\n\
         {rows}<p class=\"key\"><span class=\"guess\"></span> blind guessing <span class=\"fill\"></span> what this \
         run allows beyond it</p>\n\
         <p>If a fair coin decides which it is, the test is right at most {} of the time, and blind guessing half of \
         it.</p>\n\
         <p class=\"small\">{} {}</p>\n\
         </div>\n",
        question(statement),
        words::percent_bound(0.5 + 0.5 * best.advantage),
        origin(record),
        strength(statement.epsilon)
    )
}

/// Where the bound comes from.
fn origin(record: &Record) -> String {
    let statement = &record.statement;
    let lines = "the smaller of e<sup>ε</sup>·FPR + δ and 1 − e<sup>−ε</sup>·(1 − FPR − δ), where FPR is the share of wrong \
                 alarms";
    let (epsilon, delta) = (words::bound(statement.epsilon), words::bound(statement.delta));
    match statement.membership {
        Some(_) => format!(
            "Bound: each pair (ε, δ) allows {lines}; shown is the least over all pairs that the accountant ({}) proves of the \
             ledger, of which ε = {epsilon} at δ = {delta} is one.",
            text(&statement.accountant)
        ),
        None => format!("Bound: {lines}, with ε = {epsilon} and δ = {delta}."),
    }
}

fn question(statement: &Statement) -> &'static str {
    match (statement.neighbouring, statement.unit()) {
        (Neighbouring::AddRemove, Unit::Part) => {
            "Suppose that someone tests whether a given block was in the training data, and is ready to raise a wrong \
             alarm for a few of those that were not in it."
        }
        (Neighbouring::ReplaceOne, Unit::Part) => {
            "Suppose that someone tests which of two given blocks was in the training data, and is ready to raise a \
             wrong alarm for a few of those where it was the other one."
        }
        (Neighbouring::AddRemove, Unit::Person) => {
            "Suppose that someone tests whether you, with all of your records, were in the training data, and is ready to raise a \
             wrong alarm for a few of those who were not in it."
        }
        (Neighbouring::ReplaceOne, Unit::Person) => {
            "Suppose that someone tests whether the records of one person in the training data were yours or given other ones, and is \
             ready to raise a wrong alarm for a few of those whose records they were not."
        }
        (Neighbouring::AddRemove, Unit::Row) => {
            "Suppose that someone tests whether your row was in the training data, and is ready to raise a wrong \
             alarm for a few of those who were not in it."
        }
        (Neighbouring::ReplaceOne, Unit::Row) => {
            "Suppose that someone tests whether a row of the training data was yours or a given other one, and is \
             ready to raise a wrong alarm for a few of those whose row it was not."
        }
    }
}

fn bar(test: &Test, who: &str) -> String {
    let (rate, power) = (test.false_positive_rate, test.true_positive_rate);
    let wrong = format!("{}{}%", words::significant(rate * 100.0, 3), words::THIN);
    let right = words::percent_bound(power);
    format!(
        "<div class=\"odds\"><p><strong class=\"most\"><small>at most</small> {right}</strong> of {who} \
         in the data are found at the price of {wrong} wrong alarms. Blind guessing finds {wrong}.</p>\n\
         <div class=\"bar\" role=\"img\" aria-label=\"at most {right}, blind guessing {wrong}\"><span class=\"fill\" \
         style=\"width:{:.2}%\"></span><span class=\"guess\" style=\"width:{:.2}%\"></span></div></div>\n",
        power * 100.0,
        rate * 100.0
    )
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
    let several = match record.statement.unit() {
        Unit::Row => "<strong>Someone with several rows.</strong> Epsilon grows with their number (five rows together:",
        Unit::Person => {
            "<strong>Several people together,</strong> such as a family, and whoever has several ids. Epsilon grows with their number \
             (five together:"
        }
        Unit::Part => {
            "<strong>Whoever wrote several blocks.</strong> Epsilon grows with their number (five blocks together:"
        }
    };
    let mut items = vec![
        format!("{several} {five}), delta faster."),
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
    let (examples, unit) = (record.summary.examples, record.statement.unit());
    let (several, whole) = match unit {
        Unit::Person => (unit.several(), "somebody's records"),
        Unit::Row | Unit::Part => (unit.several(), "one row"),
    };
    (record.statement.delta * examples as f64 >= 1.0).then(|| {
        format!(
            "<strong>One unlucky person.</strong> Delta is not below 1 in {} (the number of {several}): the guarantee \
             would even allow to publish {whole} at random. Choose a smaller delta.",
            words::count(examples)
        )
    })
}

/// What must hold for the guarantee to mean what it says.
pub(super) fn assumptions(record: &Record) -> String {
    let listed = &record.statement.assumptions;
    if listed.is_empty() || !record.verdict().is_finite() {
        return String::new();
    }
    let intro = "<p>The guarantee is a theorem about the method. It applies to this run if the following is true, \
                 which no program can check for you.</p>\n";
    section("Assumptions", &format!("{intro}<div class=\"assumptions\">\n{}</div>\n", list(listed)))
}

/// How to compute epsilon again from the ledger.
pub(super) fn check(record: &Record) -> String {
    if !record.is_clipped_and_noised() {
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
    fn the_attacker_is_computed() {
        let page = statement(&example::private()).replace(words::THIN, " ");
        assert!(page.contains("of 1 % wrong alarms") && page.contains("</small> 1.96 %</strong>"), "{page}");
        assert!(page.contains("</small> 8.36 %</strong>") && page.contains("at most 55.3 % of the time"), "{page}");
        assert!(page.contains("the accountant (pld) proves of the ledger"), "{page}");
    }

    /// Where a statement holds one pair alone, that pair bounds all tests, which is more: 2.11 % for 1.96 %.
    #[test]
    fn one_pair_is_a_bound_too() {
        let page = statement(&example::interrupted()).replace(words::THIN, " ");
        assert!(page.contains("</small> 2.1 %</strong>") && page.contains("with ε = 0.742 and δ = 1e-5"), "{page}");
    }

    #[test]
    fn blocks_are_no_people() {
        let page = statement(&example::blocks());
        assert!(page.contains("whether a given block") && page.contains("Whoever wrote several blocks"), "{page}");
        assert!(page.contains("the blocks that were in the data") && !page.contains("your row"));
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
