//! The key numbers as tiles, what was run as a list, and the resolved configuration.

use super::super::Verdict;
use super::super::record::Record;
use super::super::words;
use super::{section, text};
use crate::report::Unit;

/// The key numbers.
pub(super) fn tiles(record: &Record) -> String {
    let (statement, summary) = (&record.statement, &record.summary);
    let finite = record.verdict().is_finite();
    let delta = if finite { words::bound(statement.delta) } else { "none".to_owned() };
    let tiles = [
        epsilon(record),
        tile("Delta", &delta, &delta_note(record)),
        score(record),
        tile(
            "Steps",
            &words::count(statement.steps.made),
            &format!("of {} planned", words::count(statement.steps.planned)),
        ),
        tile("Training time", &words::duration(summary.train_seconds), &pace(record)),
        tile("Sample rate", &words::significant(statement.sampling.sample_rate, 3), &lot(record)),
        noise(record),
        clip(record),
    ];
    format!("<div class=\"tiles\">\n{}</div>\n", tiles.concat())
}

fn tile(name: &str, value: &str, note: &str) -> String {
    marked(if value == "none" { "none" } else { "plain" }, name, value, note)
}

fn marked(class: &str, name: &str, value: &str, note: &str) -> String {
    format!(
        "<div class=\"tile\"><div class=\"name\">{}</div><div class=\"value {class}\">{}</div><div class=\"note\">{}</div></div>\n",
        text(name),
        text(value),
        text(note)
    )
}

fn epsilon(record: &Record) -> String {
    let (class, note) = match record.verdict() {
        Verdict::Private => ("plain", "privacy loss; lower is better"),
        Verdict::Weak => ("doubt", "privacy loss; too large to protect much"),
        Verdict::Seeded => ("doubt", "on paper only: the seed is known"),
        Verdict::Unbounded | Verdict::Ordinary => {
            return marked("alarm", "Epsilon", "infinite", "no bound on the privacy loss");
        }
    };
    marked(class, "Epsilon", &words::bound(record.statement.epsilon), note)
}

fn delta_note(record: &Record) -> String {
    let delta = record.statement.delta;
    match delta.recip() {
        _ if !record.verdict().is_finite() => "there is no guarantee".to_owned(),
        odds if odds.is_finite() && odds >= 2.0 => {
            format!("1 chance in {} that epsilon is exceeded", words::count(odds.round() as u64))
        }
        _ => "chance that epsilon is exceeded".to_owned(),
    }
}

/// What the final model is worth: its perplexity where it writes, else its accuracy.
fn score(record: &Record) -> String {
    let summary = &record.summary;
    let Some(perplexity) = summary.evaluation_perplexity else {
        let accuracy = summary.test_accuracy.map_or_else(|| "none".to_owned(), words::percent);
        return tile("Test accuracy", &accuracy, &accuracy_note(record));
    };
    let bits = summary.evaluation_bits_per_byte.map(|bits| format!("; {} bits a byte", words::significant(bits, 3)));
    let note = format!("of a token of the evaluation data{}", bits.unwrap_or_default());
    tile("Perplexity", &words::significant(perplexity, 3), &note)
}

fn accuracy_note(record: &Record) -> String {
    match (record.summary.test_accuracy, record.summary.evaluation_loss) {
        (None, None) => "no evaluation data".to_owned(),
        (None, Some(loss)) => format!("loss {}", words::significant(loss, 3)),
        (Some(_), Some(loss)) => format!("loss {}{}", words::significant(loss, 3), beside(record)),
        (Some(_), None) => format!("on the evaluation data{}", beside(record)),
    }
}

/// What the accuracy is to be compared with.
fn beside(record: &Record) -> String {
    let share = record.summary.commonest_class;
    share.map_or(String::new(), |share| format!("; the commonest class alone: {}", words::percent(share)))
}

fn pace(record: &Record) -> String {
    let pace = record.statement.steps.made as f64 / record.summary.train_seconds;
    if pace.is_finite() { format!("{} steps a second", words::significant(pace, 3)) } else { String::new() }
}

fn lot(record: &Record) -> String {
    let expected = (record.statement.sampling.sample_rate * record.summary.examples as f64).round();
    let (examples, several) = (words::count(record.summary.examples), record.statement.unit().several());
    format!("about {} of {examples} {several} a step", words::count(expected as u64))
}

fn noise(record: &Record) -> String {
    match &record.statement.mechanism {
        Some(noise) => {
            let deviation = words::significant(noise.noise_standard_deviation_on_sum, 3);
            let note = format!("{}; standard deviation {deviation} on the sum", noise.name);
            tile("Noise multiplier", &words::significant(noise.noise_multiplier, 4), &note)
        }
        None => tile("Noise multiplier", "none", "no noise was added"),
    }
}

fn clip(record: &Record) -> String {
    match &record.statement.clip {
        Some(clip) => tile("Clip bound", &words::significant(clip.bound, 4), &format!("rule: {}", clip.rule)),
        None => tile("Clip bound", "none", "no gradient was clipped"),
    }
}

/// What was run.
pub(super) fn run(record: &Record) -> String {
    let (statement, summary) = (&record.statement, &record.summary);
    let declared = match statement.unit() {
        Unit::Person => "Declared people",
        Unit::Row | Unit::Part => "Declared examples",
    };
    let rows = [
        ("Model", summary.model.clone()),
        ("Trainable parameters", words::count(summary.parameters)),
        ("Optimizer", summary.optimizer.clone()),
        (declared, words::count(summary.examples)),
        ("Sampling", format!("{}, rate {}", statement.sampling.kind, words::plain(statement.sampling.sample_rate))),
        ("Randomness", randomness(record)),
        ("Accountant", accountant(record)),
    ];
    let rows: String = rows.iter().map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", text(value))).collect();
    section("What was run", &format!("<dl class=\"card\">\n{rows}</dl>\n"))
}

fn accountant(record: &Record) -> String {
    let statement = &record.statement;
    std::iter::once(&statement.accountant).chain(&statement.accountant_notes).cloned().collect::<Vec<_>>().join("; ")
}

fn randomness(record: &Record) -> String {
    match record.summary.seed {
        Some(seed) => format!("fixed seed {seed}"),
        None if record.is_seeded() => "fixed seed".to_owned(),
        None => "operating system".to_owned(),
    }
}

/// The resolved configuration.
pub(super) fn configuration(record: &Record) -> String {
    let hint = "Every setting, defaults included, as the run used it.";
    let body = format!("<p>{hint}</p>\n<pre tabindex=\"0\">{}</pre>\n", text(record.config_toml.trim_end()));
    section("Resolved configuration", &body)
}

#[cfg(test)]
mod tests {
    use super::super::super::example;
    use super::*;

    #[test]
    fn tiles_hold_the_numbers() {
        let tiles = tiles(&example::private()).replace(words::THIN, " ");
        let expected = [
            ">0.979<",
            ">1e-5<",
            "1 chance in 100 000",
            ">95.4 %<",
            ">2000<",
            ">1 min 33 s<",
            ">0.0171<",
            ">3<",
            ">0.5<",
        ];
        for value in expected {
            assert!(tiles.contains(value), "{value} in {tiles}");
        }
    }

    #[test]
    fn ordinary_training_has_no_noise_tile_values() {
        let tiles = tiles(&example::ordinary());
        assert!(
            tiles.contains("infinite")
                && tiles.contains("no noise was added")
                && tiles.contains("no gradient was clipped")
        );
        assert_eq!(tiles.matches("value none").count(), 3);
    }

    #[test]
    fn a_model_that_writes_has_a_perplexity() {
        let tiles = tiles(&example::blocks());
        assert!(tiles.contains("Perplexity") && tiles.contains(">5<") && tiles.contains("2.32 bits a byte"), "{tiles}");
        assert!(!tiles.contains("Test accuracy"));
    }

    #[test]
    fn a_run_without_evaluation_says_so() {
        assert!(tiles(&example::unevaluated()).contains("no evaluation data"));
    }
}
