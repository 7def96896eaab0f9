//! The record of a run: the plain data from which its files are written.

use super::statement::{Randomness, Statement};
use serde::{Deserialize, Serialize};

/// Everything that is known about a finished, interrupted or running run and may be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What the run is called.
    pub title: String,
    /// The privacy statement, `privacy.json`.
    pub statement: Statement,
    /// The resolved configuration, as TOML.
    pub config_toml: String,
    /// The numbers in one place, `summary.json`.
    pub summary: Summary,
    /// What was measured on the way, `metrics.jsonl`, in order of steps.
    pub points: Vec<Point>,
}

impl Record {
    /// Whether clipping and noise were on, which is not enough to be private: see [`Record::verdict`]. Where the parts of a record
    /// disagree, the answer is no.
    pub fn is_clipped_and_noised(&self) -> bool {
        self.statement.clipped_and_noised && self.summary.clipped_and_noised
    }

    /// Whether the randomness can be recomputed by whoever reads the configuration.
    pub fn is_seeded(&self) -> bool {
        self.statement.randomness == Randomness::FixedSeed || self.summary.seed.is_some()
    }

    /// Whether the run ended early.
    pub fn is_interrupted(&self) -> bool {
        self.statement.interrupted || self.summary.interrupted
    }
}

/// One measurement: one line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Steps made so far.
    pub step: u64,
    /// Expected passes over the data so far.
    #[serde(with = "super::number")]
    pub epoch: f64,
    /// Seconds since training began.
    #[serde(with = "super::number")]
    pub seconds: f64,
    /// Privacy loss so far; may be infinite.
    #[serde(with = "super::number")]
    pub epsilon: f64,
    /// Mean loss over the evaluation data, where it was measured.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_loss: Option<f64>,
    /// Share of the evaluation data that was classified rightly, 0 to 1, where it was measured.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_accuracy: Option<f64>,
    /// Mean loss of a token of the evaluation data, in nats, where targets are tokens.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_token_loss: Option<f64>,
    /// The same in bits by the bytes of text that the tokens spell.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_bits_per_byte: Option<f64>,
}

impl Point {
    /// The point as one line of JSON, with its line feed.
    ///
    /// # Errors
    /// None in practice: every field has a JSON form.
    pub fn to_line(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|text| text + "\n")
    }

    /// Reads `metrics.jsonl`. Blank lines, and a last line that a crash cut short of its line feed, are skipped.
    ///
    /// # Errors
    /// The first complete line that is not a point, from 1, and why.
    pub fn from_lines(text: &str) -> Result<Vec<Self>, (usize, serde_json::Error)> {
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        let lines = (1..).zip(complete.lines()).filter(|(_, line)| !line.trim().is_empty());
        lines.map(|(at, line)| serde_json::from_str(line).map_err(|e| (at, e))).collect()
    }
}

/// The numbers of a run in one flat object, for tables over many runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Privacy loss; `"inf"` when there is no guarantee.
    #[serde(with = "super::number")]
    pub epsilon: f64,
    /// The delta that epsilon is stated at.
    #[serde(with = "super::number")]
    pub delta: f64,
    /// The accountant that priced the ledger.
    pub accountant: String,
    /// Standard deviation of the noise over the clip bound; zero without noise.
    #[serde(with = "super::number")]
    pub noise_multiplier: f64,
    /// Probability with which one example takes part in one step.
    #[serde(with = "super::number")]
    pub sample_rate: f64,
    /// Steps made.
    pub steps: u64,
    /// The clip rule's registered name; none in ordinary training.
    pub clip_rule: Option<String>,
    /// The bound that one example's share was held to.
    #[serde(with = "super::number::optional", default)]
    pub clip_bound: Option<f64>,
    /// Accuracy of the final model on the evaluation data, 0 to 1.
    #[serde(with = "super::number::optional", default)]
    pub test_accuracy: Option<f64>,
    /// What always answering the evaluation data's commonest class would score, 0 to 1.
    #[serde(with = "super::number::optional", default)]
    pub commonest_class: Option<f64>,
    /// Seconds of training, evaluations included.
    #[serde(with = "super::number")]
    pub train_seconds: f64,
    /// Whether clipping and noise were on; what that amounts to is the file's `verdict`.
    #[serde(alias = "private")]
    pub clipped_and_noised: bool,
    /// Mean loss of the final model on the evaluation data.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_loss: Option<f64>,
    /// Mean loss of a token of the evaluation data, in nats, where targets are tokens.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_token_loss: Option<f64>,
    /// `e` to that: how many tokens the final model wavers between.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_perplexity: Option<f64>,
    /// The same loss in bits by the bytes of text that the tokens spell.
    #[serde(with = "super::number::optional", default)]
    pub evaluation_bits_per_byte: Option<f64>,
    /// What is protected as a whole: what epsilon is of.
    #[serde(default)]
    pub unit_of_privacy: String,
    /// Number of trainable parameters.
    pub parameters: u64,
    /// The fixed seed; none when the randomness came from the operating system.
    pub seed: Option<u64>,
    /// Whether the run ended before its last planned step.
    pub interrupted: bool,
    /// The declared (public) number of training examples.
    pub examples: u64,
    /// What was trained, in words.
    pub model: String,
    /// What learned from the released gradients, in words.
    pub optimizer: String,
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn summary_has_its_keys() {
        let value = serde_json::to_value(example::private().summary).unwrap();
        let keys = "epsilon delta accountant noise_multiplier sample_rate steps clip_rule clip_bound test_accuracy \
                    commonest_class train_seconds clipped_and_noised evaluation_loss evaluation_token_loss evaluation_perplexity \
                    evaluation_bits_per_byte unit_of_privacy parameters seed interrupted examples model \
                    optimizer";
        for key in keys.split_whitespace() {
            assert!(value.get(key).is_some(), "no {key}");
        }
        assert_eq!(value.as_object().unwrap().len(), keys.split_whitespace().count());
    }

    #[test]
    fn absent_numbers_are_null() {
        let summary = Summary { test_accuracy: None, seed: None, epsilon: f64::INFINITY, ..example::private().summary };
        let value = serde_json::to_value(&summary).unwrap();
        assert_eq!(
            (&value["test_accuracy"], &value["seed"], &value["epsilon"]),
            (&Value::Null, &Value::Null, &json!("inf"))
        );
        assert_eq!(serde_json::from_value::<Summary>(value).unwrap(), summary);
    }

    #[test]
    fn record_round_trips() {
        for record in [example::private(), example::ordinary(), example::interrupted(), example::unevaluated()] {
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
        }
    }

    #[test]
    fn lines_round_trip_and_a_torn_last_line_is_skipped() {
        let point = Point { epsilon: f64::INFINITY, ..example::private().points[3] };
        let line = point.to_line().unwrap();
        assert!(line.ends_with("}\n") && line.contains(r#""epsilon":"inf""#));
        let torn = format!("{line}\n{line}{}", &line[..9]);
        assert_eq!(Point::from_lines(&torn).unwrap(), [point, point]);
        assert_eq!(Point::from_lines(&format!("{line}\n{{\"step\":\n")).unwrap_err().0, 3);
        assert!(Point::from_lines("").unwrap().is_empty());
    }

    #[test]
    fn a_record_that_disagrees_with_itself_is_not_private() {
        let mut record = example::private();
        assert!(record.verdict().is_private());
        record.summary.clipped_and_noised = false;
        assert!(!record.verdict().is_private());
    }
}
