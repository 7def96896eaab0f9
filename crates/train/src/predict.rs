//! What a trained model says of rows that it has not seen.
//!
//! A run's folder holds all that this takes: `config.toml` says how rows become inputs, by public constants alone, and
//! `model.safetensors` holds the weights. Predictions are functions of released weights and of the rows that are asked about:
//! they cost whoever was trained on nothing more, and are as private as the rows that are asked about.
use crate::{
    model::{Loss, Model},
    run::{RunError, left},
};
use std::path::Path;

/// A model's answers for the rows of one file, in the file's order.
#[derive(Debug, Clone, PartialEq)]
pub struct Predictions {
    /// The classes' names, in order; none where what is predicted are numbers.
    pub classes: Vec<String>,
    /// One for each row.
    pub answers: Vec<Answer>,
    /// What each row is called, where rows have names of their own (pictures in a folder).
    pub names: Vec<String>,
}

/// The answer for one row.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A class, and the probability of each if the loss is one that makes them.
    Class {
        /// The most likely class.
        class: usize,
        /// The probability of each class; none with mean squared errors, or several yes-or-no questions.
        probabilities: Option<Vec<f64>>,
    },
    /// Numbers, in the unit of the file's own.
    Values(Vec<f64>),
}

/// What the model that a run left in `folder` says of the rows of `file`, which is laid out like the training file; answers may
/// be missing from it. A tokenizer's file is looked for from `root`; `device` is where to compute, such as `"cpu"` or `"cuda:1"`, at the run's precision.
///
/// # Errors
/// A folder without a configuration or weights, or a file that is not what the configuration declares.
pub fn predict(folder: &Path, root: &Path, file: &Path, device: &str) -> Result<Predictions, RunError> {
    let mut config = left::config(folder)?;
    device.clone_into(&mut config.train.device);
    let device = config.train.open_devices()?[0];
    let rows = config.data.ask(root, file)?;
    let kind = rows.gather(&[]).targets;
    let model = Model::build(&config.model, rows.shape(), &kind)?;
    let weights = left::weights(folder, &model)?.to(device);
    let classes = rows.class_names().unwrap_or_default().to_vec();
    let outputs = engine::guard(|| model.answers(&weights, &rows).map(|(outputs, _)| outputs).collect::<Vec<_>>())?;
    let answer = |row: &[f32]| match classes.is_empty() {
        true => Answer::Values(row.iter().map(|y| config.data.answer(f64::from(*y))).collect()),
        false => class(model.loss(), row),
    };
    let answers = outputs.iter().flat_map(|outputs| (0..outputs.rows()).map(|i| answer(outputs.row(i)))).collect();
    Ok(Predictions { classes, answers, names: config.data.names(file)? })
}

fn class(loss: Loss, row: &[f32]) -> Answer {
    Answer::Class { class: loss.guess(row), probabilities: loss.probabilities(row) }
}

impl Predictions {
    /// A table with a header row: `prediction`, and where there are probabilities one column for each class; before them `name`, where
    /// rows have names.
    ///
    /// # Errors
    /// None in practice: it is written to memory.
    pub fn to_csv(&self) -> csv::Result<Vec<u8>> {
        let mut out = csv::Writer::from_writer(Vec::new());
        out.write_record(self.header())?;
        for (i, answer) in self.answers.iter().enumerate() {
            out.write_record(self.names.get(i).into_iter().chain(&self.record(answer)))?;
        }
        out.into_inner().map_err(|e| e.into_error().into())
    }

    fn header(&self) -> Vec<String> {
        let more = match self.answers.first() {
            Some(Answer::Class { probabilities: Some(_), .. }) => {
                self.classes.iter().map(|class| format!("probability of {class}")).collect()
            }
            Some(Answer::Values(values)) => (1..values.len()).map(|k| format!("prediction {}", k + 1)).collect(),
            _ => Vec::new(),
        };
        let name = (!self.names.is_empty()).then(|| "name".to_owned());
        name.into_iter().chain(["prediction".to_owned()]).chain(more).collect()
    }

    fn record(&self, answer: &Answer) -> Vec<String> {
        match answer {
            Answer::Values(values) => values.iter().map(|y| short(*y)).collect(),
            Answer::Class { class, probabilities } => {
                let probabilities = probabilities.iter().flatten().map(|p| short(*p));
                std::iter::once(self.classes[*class].clone()).chain(probabilities).collect()
            }
        }
    }
}

/// As many digits as an f32 has: more are not known.
fn short(x: f64) -> String {
    (x as f32).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_its_numbers_are() {
        let csv = |p: Predictions| String::from_utf8(p.to_csv().unwrap()).unwrap();
        let answer = |class, p: Option<[f64; 2]>| Answer::Class { class, probabilities: p.map(Vec::from) };
        let classes = vec!["<=50K".to_owned(), "more, or \"rich\"".into()];
        let answers = vec![answer(1, Some([0.25, 0.75])), answer(0, Some([0.9, 0.1]))];
        let named = Predictions {
            classes: classes.clone(),
            answers: answers.clone(),
            names: vec!["a/1.png".into(), "b".into()],
        };
        assert_eq!(csv(named).lines().nth(1).unwrap(), "a/1.png,\"more, or \"\"rich\"\"\",0.25,0.75");
        let none = Vec::new;
        let sure = csv(Predictions { classes: classes.clone(), answers, names: none() });
        let head = "prediction,probability of <=50K,\"probability of more, or \"\"rich\"\"\"\n";
        assert_eq!(sure, format!("{head}\"more, or \"\"rich\"\"\",0.25,0.75\n<=50K,0.9,0.1\n"));
        let unsure = csv(Predictions { classes, answers: vec![answer(0, None)], names: none() });
        assert_eq!(unsure, "prediction\n<=50K\n");
        let numbers =
            csv(Predictions { classes: vec![], answers: vec![Answer::Values(vec![12.5, -3.0])], names: none() });
        assert_eq!(numbers, "prediction,prediction 2\n12.5,-3\n");
    }
}
