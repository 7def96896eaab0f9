//! A data set in memory: one input row and one target a record, and whose it is where people have several.
//!
//! Everything here that depends on the rows is private: values, labels, and (when neighbouring data sets differ by
//! adding or removing a person) also their number. Storage is closed, nothing prints a value, and nothing is `Clone`:
//! the only ways out are [`Examples::gather`] and [`Examples::chunks`], whose batches the trainer wraps as secrets.
//! Shapes, class names and feature names come from the configuration and are public.

mod planted;

use super::{
    error::DataError,
    people::{People, TakingPart},
    targets::Targets,
    text::Tokens,
};
use engine::{Device, Tensor, op::Table};
use privacy::Stream;
use rayon::prelude::*;
use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

/// Examples that a thread copies at a time.
const BLOCK: usize = 64;

/// Some examples, copied out: private, whatever made the choice.
pub struct Batch {
    /// `n` rows of `shape`, row by row, scaled.
    pub inputs: Vec<f32>,
    /// Rows; may be zero.
    pub n: usize,
    /// The shape of one row.
    pub shape: Vec<usize>,
    /// The `n` targets.
    pub targets: Targets,
}

/// Input rows; bytes are kept as bytes and scaled on the way out.
enum Rows {
    Floats(Vec<f32>),
    /// One table of 256 values a channel (the first axis): `value = table[channel][byte]`.
    Bytes {
        data: Vec<u8>,
        table: Vec<[f32; 256]>,
    },
}

/// A data set: `len()` rows of one public shape, each with a target. `Send + Sync`; read only.
pub struct Examples {
    rows: Rows,
    shape: Vec<usize>,
    width: usize,
    targets: Targets,
    features: Arc<[String]>,
    tokens: Option<Tokens>,
    /// Bytes of text that the targets spell, where they are tokens and it was said; as private as the rows.
    spelled: Option<u64>,
    /// Whose the rows are; none where each is an example by itself.
    people: Option<People>,
    /// The rows again, on GPUs.
    resident: Vec<(Device, Table)>,
}

impl Examples {
    /// Examples from rows of numbers, `inputs.len() == n * shape.product()`.
    ///
    /// `features` names the inputs (public); leave it empty where inputs have no names.
    ///
    /// # Errors
    /// Lengths that disagree, an empty shape, inputs or targets that are not finite, labels outside the classes.
    pub fn from_floats(
        inputs: Vec<f32>,
        shape: Vec<usize>,
        targets: Targets,
        features: Vec<String>,
    ) -> Result<Self, DataError> {
        if inputs.iter().any(|v| !v.is_finite()) {
            return Err(DataError::config("inputs", "an input is not finite"));
        }
        let width = width(&shape, inputs.len(), &targets)?;
        if !features.is_empty() && features.len() != width {
            return Err(DataError::config("features", "there must be one name for each input"));
        }
        Ok(Self { features: features.into(), ..Self::of(Rows::Floats(inputs), shape, width, targets) })
    }

    /// Texts of `length` token ids each.
    ///
    /// # Errors
    /// As [`from_floats`](Self::from_floats), and an id that is not below the vocabulary.
    pub fn from_tokens(
        ids: impl Iterator<Item = u32>,
        length: usize,
        targets: Targets,
        tokens: Tokens,
    ) -> Result<Self, DataError> {
        let mut unknown = tokens.vocabulary > 1 << 24;
        let inputs = ids.inspect(|id| unknown |= *id >= tokens.vocabulary).map(|id| id as f32).collect();
        if unknown {
            return Err(DataError::config("tokenizer", "gives an id beyond its own vocabulary, or beyond 2^24"));
        }
        Ok(Self { tokens: Some(tokens), ..Self::from_floats(inputs, vec![length], targets, vec![])? })
    }

    fn of(rows: Rows, shape: Vec<usize>, width: usize, targets: Targets) -> Self {
        let (features, resident) = (Arc::new([]), Vec::new());
        Self { rows, shape, width, targets, features, tokens: None, spelled: None, people: None, resident }
    }

    /// The same, with how many bytes of text the targets spell: for PUBLIC examples, whose bits per byte are told.
    pub(super) fn spelling(self, bytes: u64) -> Self {
        Self { spelled: Some(bytes), ..self }
    }

    /// How many bytes of text the targets spell, where that was said; public only where the examples are.
    pub(crate) fn spelled(&self) -> Option<u64> {
        self.spelled
    }

    /// What the ids are, where inputs are token ids; public.
    pub fn tokens(&self) -> Option<Tokens> {
        self.tokens
    }

    /// Examples from bytes (images): a byte `b` of channel `c` reads as `(b / 255 - mean[c]) / std[c]`.
    ///
    /// `shape[0]` is the channel axis when `mean` holds that many numbers; one number in `mean` and `std` serves all.
    /// Both are public constants.
    ///
    /// # Errors
    /// Lengths that disagree, an empty shape, a `std` that is not above zero, labels outside the classes.
    pub fn from_bytes(
        data: Vec<u8>,
        shape: Vec<usize>,
        targets: Targets,
        mean: &[f64],
        std: &[f64],
    ) -> Result<Self, DataError> {
        let width = width(&shape, data.len(), &targets)?;
        check_scale(&shape, mean, std)?;
        let table = mean.iter().zip(std).map(|(m, s)| std::array::from_fn(|b| ((b as f64 / 255.0 - m) / s) as f32));
        Ok(Self::of(Rows::Bytes { data, table: table.collect() }, shape, width, targets))
    }

    /// The same rows as those of people, who may have several each: row `i` is a record of `person[i]`, any number that tells people
    /// apart. A person, and not a row, is then what is drawn, clipped and protected: by the mean gradient of at most `most` of the
    /// person's records, chosen at random in each step. People are numbered as they first come up.
    ///
    /// Each person takes the place of `most` records in a step, however few there are: the time and memory of a step are those of `most`
    /// records a person.
    ///
    /// # Errors
    /// If there is not one number for each row, or `most` is not from 1 to 4096.
    pub fn by_person(self, person: &[u64], most: usize) -> Result<Self, DataError> {
        if person.len() != self.len() {
            return Err(DataError::config("person", "there must be one person for each row"));
        }
        Ok(Self { people: Some(People::new(person, most)?), ..self })
    }

    /// How many people there are, or rows where each is an example by itself: what lots are drawn of. As private as [`len`](Self::len).
    pub fn units(&self) -> usize {
        self.people.as_ref().map_or(self.len(), People::len)
    }

    /// Records that each unit takes the place of in a step; public.
    pub fn places(&self) -> usize {
        self.people.as_ref().map_or(1, People::most)
    }

    /// The records with which units `who` take part in the step of `stream`.
    ///
    /// # Panics
    /// If a number is not below [`units`](Self::units).
    pub(crate) fn taking_part(&self, who: &[usize], stream: &Stream) -> TakingPart {
        match &self.people {
            Some(people) => people.taking_part(who, stream),
            None => TakingPart { records: who.to_vec(), coins: who.to_vec(), shares: None },
        }
    }

    /// The number of rows. Private under add/remove neighbours: for drawing lots (of [`units`](Self::units)), not for printing.
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A number that tells data sets apart: for several processes of this program to see that they have the same. As private
    /// as the data.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = DefaultHasher::new();
        let words = |data: &[f32], hash: &mut DefaultHasher| data.iter().for_each(|x| x.to_bits().hash(hash));
        match &self.rows {
            Rows::Floats(data) => words(data, &mut hash),
            Rows::Bytes { data, .. } => data.hash(&mut hash),
        }
        self.targets.hash(&mut hash);
        self.people.hash(&mut hash);
        hash.finish()
    }

    /// Whether these are the same examples, in whatever order.
    pub(super) fn is(&self, other: &Examples) -> bool {
        self.len() == other.len() && self.fingerprints() == other.fingerprints()
    }

    /// A number for each example, of its inputs and its target, in ascending order: as private as they are.
    fn fingerprints(&self) -> Vec<u64> {
        let one = |i: usize| {
            let Batch { inputs, targets, .. } = self.gather(&[i]);
            let mut hash = DefaultHasher::new();
            inputs.iter().for_each(|x| x.to_bits().hash(&mut hash));
            targets.hash(&mut hash);
            hash.finish()
        };
        let mut all: Vec<u64> = (0..self.len()).into_par_iter().map(one).collect();
        all.sort_unstable();
        all
    }

    /// The share of the examples that are of the commonest class, which is what always answering that class scores; none for
    /// targets that are numbers or tokens, or without examples. As private as the examples.
    pub fn commonest(&self) -> Option<f64> {
        let Targets::Classes { labels, names } = &self.targets else { return None };
        let mut counts = vec![0usize; names.len()];
        labels.iter().for_each(|label| counts[*label as usize] += 1);
        let most = counts.into_iter().max().filter(|most| *most > 0)?;
        Some(most as f64 / labels.len() as f64)
    }

    /// The shape of one example, such as `[1, 28, 28]` or `[149]`.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// How many classes there are; `None` when targets are numbers.
    pub fn classes(&self) -> Option<usize> {
        self.class_names().map(<[String]>::len)
    }

    /// The classes' names; `None` when targets are numbers.
    pub fn class_names(&self) -> Option<&[String]> {
        match &self.targets {
            Targets::Classes { names, .. } => Some(names),
            Targets::Values { .. } | Targets::Tokens { .. } => None,
        }
    }

    /// Numbers that a model has to put out an example: the classes, or the width of the targets.
    pub fn outputs(&self) -> usize {
        match &self.targets {
            Targets::Classes { names, .. } => names.len(),
            Targets::Values { width, .. } => *width,
            Targets::Tokens { width, vocabulary, .. } => width * *vocabulary as usize,
        }
    }

    /// The inputs' names in order, for tables; empty for images.
    pub fn feature_names(&self) -> &[String] {
        &self.features
    }

    /// Copies the examples `who` (numbers below [`len`](Self::len), in any order, repeats allowed) into one batch.
    ///
    /// # Panics
    /// If a number is not below `len()`.
    pub fn gather(&self, who: &[usize]) -> Batch {
        // From the engine's store, to which it returns as a tensor.
        let mut inputs = Tensor::zeros([who.len() * self.width]).into_data();
        let blocks = inputs.par_chunks_mut(self.width * BLOCK).zip(who.par_chunks(BLOCK));
        blocks.for_each(|(rows, who)| {
            rows.chunks_exact_mut(self.width).zip(who).for_each(|(row, &i)| self.copy(i, row));
        });
        Batch { inputs, n: who.len(), shape: self.shape.clone(), targets: self.targets.gather(who) }
    }

    /// Copies the input rows to `device`, if it is a GPU and they take no more than a quarter of its free memory: batches are
    /// then put together there. They may reside on several.
    pub fn reside(&mut self, device: Device) {
        let bytes = match &self.rows {
            Rows::Floats(data) => 4 * data.len(),
            Rows::Bytes { data, .. } => data.len(),
        };
        let table = device.gpu().filter(|gpu| bytes <= gpu.available() / 4).map(|gpu| match &self.rows {
            Rows::Floats(data) => Table::of_floats(gpu, data, self.width),
            Rows::Bytes { data, table } => Table::of_bytes(gpu, data, self.width, table),
        });
        self.resident.extend(table.map(|table| (device, table)));
    }

    /// As [`gather`](Self::gather): inputs `[who.len(), shape]` on `device`, and targets.
    ///
    /// # Panics
    /// If a number is not below `len()`.
    pub fn gather_on(&self, who: &[usize], device: Device) -> (Tensor, Targets) {
        let shape = [&[who.len()], &*self.shape].concat();
        match self.resident.iter().find(|(there, _)| *there == device) {
            Some((_, table)) => {
                assert!(who.iter().all(|&i| i < self.len()), "an example beyond the last");
                let rows: Vec<u32> = who.iter().map(|&i| i as u32).collect();
                (table.gather(&rows).reshape(shape), self.targets.gather(who))
            }
            None => {
                let Batch { inputs, targets, .. } = self.gather(who);
                (Tensor::new(shape, inputs).to(device), targets)
            }
        }
    }

    /// All examples in order, `size` (at least 1) at a time; the last batch may be shorter.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = Batch> + '_ {
        let (n, size) = (self.len(), size.max(1));
        (0..n).step_by(size).map(move |from| self.gather(&(from..n.min(from + size)).collect::<Vec<_>>()))
    }

    fn copy(&self, i: usize, out: &mut [f32]) {
        let span = i * self.width..(i + 1) * self.width;
        match &self.rows {
            Rows::Floats(data) => out.copy_from_slice(&data[span]),
            Rows::Bytes { data, table } => {
                let plane = self.width / table.len();
                let planes = data[span].chunks_exact(plane).zip(out.chunks_exact_mut(plane));
                let one = |((from, to), t): ((&[u8], &mut [f32]), &[f32; 256])| {
                    to.iter_mut().zip(from).for_each(|(x, &b)| *x = t[usize::from(b)]);
                };
                planes.zip(table).for_each(one);
            }
        }
    }
}

/// Shape and classes only: nothing that depends on the rows.
impl fmt::Debug for Examples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Examples")
            .field("shape", &self.shape)
            .field("classes", &self.class_names())
            .finish_non_exhaustive()
    }
}

/// Numbers in one example, after checking that inputs and targets agree.
fn width(shape: &[usize], inputs: usize, targets: &Targets) -> Result<usize, DataError> {
    targets.check()?;
    let width = shape.iter().try_fold(1usize, |all, &axis| all.checked_mul(axis)).unwrap_or(0);
    if width == 0 || shape.is_empty() {
        return Err(DataError::config("shape", "an example needs at least one number"));
    }
    if width.checked_mul(targets.len()) != Some(inputs) {
        return Err(DataError::config("inputs", "there must be as many rows of inputs as there are targets"));
    }
    Ok(width)
}

/// One mean and one standard deviation for all, or one of each for every channel.
pub(super) fn check_scale(shape: &[usize], mean: &[f64], std: &[f64]) -> Result<(), DataError> {
    if mean.len() != std.len() || (mean.len() != 1 && Some(&mean.len()) != shape.first()) {
        return Err(DataError::config("mean", "give `mean` and `std` one number each, or one for every channel"));
    }
    if mean.iter().any(|m| !m.is_finite()) {
        return Err(DataError::config("mean", "must be finite"));
    }
    if std.iter().any(|s| !(s.is_finite() && *s > 0.0)) {
        return Err(DataError::config("std", "must be finite and above zero"));
    }
    if mean.iter().zip(std).any(|(m, s)| (1.0 + m.abs()) / s > f64::from(f32::MAX)) {
        return Err(DataError::config("std", "is so small that scaled pixels overflow"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
