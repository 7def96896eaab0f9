//! The Adult census data, built in: does a person earn more than 50,000 dollars a year?
//!
//! Both original files are part of the program and go through the [`csv`](super::csv) reader with the schema in
//! `assets/adult.toml`. Becker and Kohavi (1996), UCI Machine Learning Repository, CC BY 4.0.

use super::{DataError, Examples, Loaded, Source, csv::Csv, file, schema::Feature};
use serde::{Deserialize, Serialize};
use std::path::Path;

const SCHEMA: &str = include_str!("../../assets/adult.toml");
const TRAIN: &[u8] = include_bytes!("../../assets/adult.data.gz");
const TEST: &[u8] = include_bytes!("../../assets/adult.test.gz");

/// The built-in census data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Adult {
    /// How columns become inputs.
    pub features: Inputs,
    /// The public number of training examples.
    pub examples: usize,
}

/// How columns become inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inputs {
    /// One input a category, one a number, and one for each public interval of a number: best for linear models.
    #[default]
    Bucketed,
    /// One input a category and one a number.
    Onehot,
}

impl Default for Adult {
    fn default() -> Self {
        Self { features: Inputs::default(), examples: 32_561 }
    }
}

impl Source for Adult {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        vec![Path::new("adult")]
    }

    fn load(&self, _root: &Path) -> Result<Loaded, DataError> {
        let table = self.table()?;
        let read = |path: &Path, packed: &[u8]| table.parse(path, &plain(&file::unpack(path, packed.to_vec())?));
        let train = read(&table.train, TRAIN)?;
        let test = table.test.as_deref().map(|path| read(path, TEST)).transpose()?;
        Loaded::new(train, test, self.examples)
    }

    fn ask(&self, _: &Path, path: &Path) -> Result<Examples, DataError> {
        self.table()?.questions(path, &plain(&file::read(path)?))
    }
}

impl Adult {
    fn table(&self) -> Result<Csv, DataError> {
        let mut table: Csv = toml::from_str(SCHEMA).map_err(|e| DataError::config("source", e.message()))?;
        if self.features == Inputs::Onehot {
            table.features.iter_mut().for_each(|feature| {
                if let Feature::Numeric(number) = feature {
                    number.buckets.clear();
                }
            });
        }
        Ok(table)
    }
}

/// The rows as a plain table: the test file opens with a remark, `|...`, and puts a full stop behind each label.
/// Lines keep their numbers.
fn plain(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|b| *b == b'\n').map(|line| match line {
        [b'|', ..] => &[],
        [row @ .., b'.'] => row,
        row => row,
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

#[cfg(test)]
mod tests {
    use super::super::Targets;
    use super::*;

    fn counts(x: &Examples) -> [usize; 2] {
        let mut counts = [0; 2];
        for batch in x.chunks(1000) {
            let Targets::Classes { labels, .. } = batch.targets else { panic!("classes") };
            labels.iter().for_each(|&l| counts[l as usize] += 1);
        }
        counts
    }

    /// The names of the inputs of example `i` that are not zero, with their values where these are not one.
    fn row(x: &Examples, i: usize) -> Vec<String> {
        let inputs = x.gather(&[i]).inputs;
        let named = x.feature_names().iter().zip(inputs).filter(|(_, v)| *v != 0.0);
        named.map(|(name, v)| if v == 1.0 { name.clone() } else { format!("{name}: {v:.3}") }).collect()
    }

    #[test]
    fn the_whole_data_set_is_there() {
        let loaded = Adult::default().load(Path::new("")).unwrap();
        let test = loaded.evaluation.unwrap();
        assert_eq!((loaded.train.len(), test.len(), loaded.declared), (32_561, 16_281, 32_561));
        assert_eq!((counts(&loaded.train), counts(&test)), ([24_720, 7_841], [12_435, 3_846]));
        assert_eq!(loaded.train.class_names().unwrap(), ["<=50K", ">50K"]);
        assert_eq!((loaded.train.shape(), test.shape()), (&[WIDTH][..], &[WIDTH][..]));
        assert!(loaded.notes.is_empty());
    }

    const WIDTH: usize = 153;

    #[test]
    fn the_first_rows_are_the_known_ones() {
        let loaded = Adult::default().load(Path::new("")).unwrap();
        let first = [
            "age: 0.320",
            "35 <= age < 40",
            "education-num: 0.800",
            "capital-gain: 0.667",
            "2000 <= capital-gain < 3000",
            "capital-loss < 1",
            "hours-per-week: 0.400",
            "40 <= hours-per-week < 41",
            "workclass = State-gov",
            "education = Bachelors",
            "marital-status = Never-married",
            "occupation = Adm-clerical",
            "relationship = Not-in-family",
            "race = White",
            "sex = Male",
            "native-country = United-States",
        ];
        assert_eq!(row(&loaded.train, 0), first);
        let test = row(&loaded.evaluation.unwrap(), 0);
        assert_eq!(test[..2], ["age: 0.133", "25 <= age < 30"]);
        assert!(test.contains(&"education = 11th".to_owned()) && test.contains(&"race = Black".to_owned()));
    }

    #[test]
    fn onehot_leaves_the_buckets_out() {
        let adult = Adult { features: Inputs::Onehot, examples: 32_000 };
        let loaded = adult.load(Path::new("")).unwrap();
        assert_eq!((loaded.train.shape(), loaded.declared), (&[107][..], 32_000));
        assert_eq!(loaded.notes.len(), 1);
    }
}
