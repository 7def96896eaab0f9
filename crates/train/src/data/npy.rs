//! NumPy arrays: features that another program made, such as the embeddings of a frozen model.
//!
//! ```toml
//! [data]
//! source = "npy"
//! train_inputs = "train_x.npy"    # private; shape [examples, ...]
//! train_targets = "train_y.npy"   # one class number a row, or numbers
//! test_inputs = "test_x.npy"      # declared public
//! test_targets = "test_y.npy"
//! examples = 50000
//! classes = 10                    # or `range = [lo, hi]` for numbers to predict
//! ```
//!
//! An `.npz` archive may hold both: then `train_targets` is left out, and `inputs` and `targets` name its arrays. Inputs are
//! `(x - mean) / std` in the array's own unit, by public constants: whoever makes features decides there what a row may depend on, and
//! that must be the row alone.
mod array;

use super::{
    DataError, Examples, Loaded, Promise, Source, Targets, encode,
    examples::check_scale,
    file, schema,
    schema::{Target, Transform},
};
use array::Array;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Arrays of inputs and targets, and the public constants to read them with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Npy {
    /// Private inputs to train on: an `.npy` file, or an `.npz` archive.
    pub train_inputs: PathBuf,
    /// Their targets; left out where the archive of inputs holds them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train_targets: Option<PathBuf>,
    /// Inputs declared public, to measure on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_inputs: Option<PathBuf>,
    /// Their targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_targets: Option<PathBuf>,
    /// The public number of training examples.
    pub examples: usize,
    /// The name of the array of inputs in an archive.
    #[serde(default = "x")]
    pub inputs: String,
    /// The name of the array of targets in an archive.
    #[serde(default = "y")]
    pub targets: String,
    /// Public: taken off inputs, in their own unit; one number, or one for each entry of the first axis of an example.
    #[serde(default = "zero")]
    pub mean: Vec<f64>,
    /// Public: inputs less `mean` are divided by this.
    #[serde(default = "one")]
    pub std: Vec<f64>,
    /// The public number of classes: targets are 0, 1, ...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classes: Option<usize>,
    /// The classes' names; their numbers where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
    /// Public bounds of numbers to predict; what lies outside is clamped to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Where the range's ends land.
    #[serde(default = "schema::unit")]
    pub scale: [f64; 2],
}

fn x() -> String {
    "x".into()
}

fn y() -> String {
    "y".into()
}

fn zero() -> Vec<f64> {
    vec![0.0]
}

fn one() -> Vec<f64> {
    vec![1.0]
}

/// More classes are a slip.
const MOST_CLASSES: usize = 1 << 20;

impl Source for Npy {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        std::iter::once(&self.train_inputs).chain(&self.train_targets).map(PathBuf::as_path).collect()
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.check()?;
        let train = self.pair(root, &self.train_inputs, self.train_targets.as_deref())?;
        let test = match (&self.test_inputs, &self.test_targets) {
            (Some(inputs), targets) => Some(self.pair(root, inputs, targets.as_deref())?),
            (None, None) => None,
            (None, Some(_)) => return Err(DataError::config("test_inputs", "must be given, as `test_targets` is")),
        };
        if test.as_ref().is_some_and(|test| test.shape() != train.shape() || test.outputs() != train.outputs()) {
            return Err(DataError::config(
                "test_inputs",
                "a row of the test arrays is not shaped as one of the training arrays",
            ));
        }
        Loaded::new(train, test, self.examples)
    }

    /// Reads an array of inputs.
    fn ask(&self, _: &Path, path: &Path) -> Result<Examples, DataError> {
        self.check()?;
        let inputs = Array::read(path, &self.inputs, "inputs")?;
        let n = inputs.shape[0];
        let targets = match self.names() {
            Some(names) => Targets::Classes { labels: vec![0; n], names: names.into() },
            None => Targets::Values { width: 1, data: vec![0.0; n] },
        };
        self.examples(path, inputs, targets)
    }

    fn answer(&self, output: f64) -> f64 {
        self.numbers().map_or(output, |target| target.answer(output))
    }

    fn promise(&self) -> Promise {
        let alone = "Each row of the arrays was made from one person's data alone: a scaling, a model or a selection learnt from the \
                     training rows would have shown them before.";
        let mut promise = Promise::default();
        promise.assumptions.push(alone.into());
        promise
    }
}

impl Npy {
    fn check(&self) -> Result<(), DataError> {
        let problem = match (self.classes, self.range) {
            (Some(_), Some(_)) => ("range", "excludes `classes`; keep the one that fits"),
            (None, None) => {
                ("classes", "must be given (or `range = [lo, hi]` for numbers): what private targets hold leaks")
            }
            (Some(classes), _) if !(2..=MOST_CLASSES).contains(&classes) => {
                ("classes", "must be at least 2, and up to 2^20")
            }
            (classes, _) if !self.class_names.is_empty() && classes != Some(self.class_names.len()) => {
                ("class_names", "must list one name for each of `classes`, or be left out")
            }
            _ => {
                let numbers = self.numbers().map_or(Ok(()), |target| schema::check_target(&target));
                return numbers.map_err(|problem| DataError::config("range", problem));
            }
        };
        Err(DataError::config(problem.0, problem.1))
    }

    /// The classes' names; none where numbers are predicted.
    fn names(&self) -> Option<Vec<String>> {
        let numbered = |classes| (0..classes).map(|class| class.to_string()).collect();
        self.classes
            .map(|classes| if self.class_names.is_empty() { numbered(classes) } else { self.class_names.clone() })
    }

    /// The declared numbers to predict; none where classes are.
    fn numbers(&self) -> Option<Target> {
        let target = |range| Target { name: String::new(), classes: Vec::new(), range: Some(range), scale: self.scale };
        self.range.map(target)
    }

    fn pair(&self, root: &Path, inputs: &Path, targets: Option<&Path>) -> Result<Examples, DataError> {
        let path = file::find(root, inputs)?;
        let (rows, archive) = (Array::read(&path, &self.inputs, "inputs")?, array::is_archive(&path));
        let of = match targets {
            Some(targets) => file::find(root, targets)?,
            None if archive => path.clone(),
            None => {
                let problem = "must be given: only an `.npz` archive holds inputs and targets";
                return Err(DataError::config("train_targets", problem));
            }
        };
        let answers = Array::read(&of, &self.targets, "targets")?;
        if answers.shape[0] != rows.shape[0] {
            return Err(DataError::file(
                &of,
                format!("does not hold as many targets as {} holds rows", path.display()),
            ));
        }
        let answers = self.targets(&of, &answers)?;
        self.examples(&path, rows, answers)
    }

    fn targets(&self, path: &Path, array: &Array) -> Result<Targets, DataError> {
        let width: usize = array.shape[1..].iter().product();
        let bad =
            |row: usize, problem: String| DataError::file(path, format!("the target of row {} {problem}", row + 1));
        let (Some(names), 1) = (self.names(), width) else {
            return match self.range {
                Some(range) if width > 0 => {
                    let finite = "is not finite; mend or drop the row";
                    let value = |i: usize| {
                        Some(array.number(i))
                            .filter(|x| x.is_finite())
                            .map(|x| encode::place(x, range, self.scale, Transform::Linear))
                    };
                    let data = (0..array.len()).map(|i| value(i).ok_or_else(|| bad(i / width, finite.into())));
                    Ok(Targets::Values { width, data: data.collect::<Result<_, _>>()? })
                }
                _ => {
                    Err(DataError::file(path, "holds several numbers a row, or none; a class is one number: 0, 1, ..."))
                }
            };
        };
        let label = |i: usize| {
            let x = array.number(i);
            let fine = x >= 0.0 && x < names.len() as f64 && x.fract() == 0.0;
            let classes = || format!("is no whole number below `classes = {}`; correct `classes`", names.len());
            fine.then_some(x as u32).ok_or_else(|| bad(i, classes()))
        };
        let labels = (0..array.len()).map(label).collect::<Result<_, _>>()?;
        Ok(Targets::Classes { labels, names: names.into() })
    }

    fn examples(&self, path: &Path, inputs: Array, targets: Targets) -> Result<Examples, DataError> {
        let shape = if inputs.shape.len() == 1 { vec![1] } else { inputs.shape[1..].to_vec() };
        check_scale(&shape, &self.mean, &self.std)?;
        let scaled = |all: &[f64]| all.iter().map(|x| x / 255.0).collect::<Vec<_>>();
        let inputs = match inputs.into_bytes() {
            // `from_bytes` takes a byte for 0 to 1.
            Ok(bytes) => return Examples::from_bytes(bytes, shape, targets, &scaled(&self.mean), &scaled(&self.std)),
            Err(inputs) => inputs,
        };
        let width: usize = shape.iter().product();
        let plane = (width / self.mean.len()).max(1);
        let value = |i: usize| {
            let channel = i % width / plane;
            let x = ((inputs.number(i) - self.mean[channel]) / self.std[channel]) as f32;
            let problem = || format!("row {} holds a number that is not finite; mend or drop the row", i / width + 1);
            if x.is_finite() { Ok(x) } else { Err(DataError::file(path, problem())) }
        };
        let data = (0..inputs.len()).map(value).collect::<Result<_, _>>()?;
        Examples::from_floats(data, shape, targets, Vec::new())
    }
}

#[cfg(test)]
mod tests;
