//! Images and labels in IDX files, as MNIST and Fashion-MNIST come: plain, gzip or xz.
//!
//! An IDX file of unsigned bytes begins with the bytes `0, 0, 8, dimensions`, then one big-endian 32-bit size a
//! dimension, then the values. Images of `[n, h, w]` become examples of shape `[1, h, w]`.

use super::{DataError, Examples, Loaded, Promise, Source, Targets, examples::check_scale, file, held_out};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Four IDX files and the public constants to read them with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Idx {
    /// Private images to train on.
    pub train_images: PathBuf,
    /// Their labels.
    pub train_labels: PathBuf,
    /// Images declared public, to measure accuracy on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_images: Option<PathBuf>,
    /// Their labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// The public number of training examples: without those held out.
    pub examples: usize,
    /// So many of the last training images are declared public, held out, and measured on in the place of test images: to
    /// choose settings without looking at those.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub held_out: usize,
    /// Public: taken off pixels, which first become 0 to 1.
    #[serde(default)]
    pub mean: f64,
    /// Public: pixels less `mean` are divided by this.
    #[serde(default = "one")]
    pub std: f64,
    /// The public number of classes.
    #[serde(default = "ten")]
    pub classes: usize,
    /// The classes' names; their numbers where left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_names: Vec<String>,
}

fn one() -> f64 {
    1.0
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

fn ten() -> usize {
    10
}

impl Source for Idx {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        vec![&self.train_images, &self.train_labels]
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.check()?;
        let mut train = self.pair(root, &self.train_images, &self.train_labels)?;
        let test = match (&self.test_images, &self.test_labels) {
            _ if self.held_out > 0 => Some(self.hold_out(&mut train)?),
            (Some(images), Some(labels)) => Some(self.pair(root, images, labels)?),
            (None, None) => None,
            _ => return Err(DataError::config("test_images", "give both `test_images` and `test_labels`, or neither")),
        };
        let (train, test) = (self.examples(train)?, test.map(|test| self.examples(test)).transpose()?);
        if test.as_ref().is_some_and(|test| test.shape() != train.shape()) {
            return Err(DataError::config("test_images", "the test images are not of the training images' size"));
        }
        Loaded::new(train, test, self.examples)
    }

    fn promise(&self) -> Promise {
        let mut promise = Promise::default();
        promise.assumptions.extend(held_out(self.held_out, "images", &self.train_images));
        promise
    }

    /// Reads a file of images.
    fn ask(&self, _: &Path, path: &Path) -> Result<Examples, DataError> {
        self.check()?;
        let (sizes, pixels) = array(path, file::read(path)?)?;
        let shape = shape(path, &sizes)?;
        // By the bytes that are there, which a header of empty images is not held to.
        let n = pixels.len().checked_div(shape.iter().product()).unwrap_or(0);
        self.examples(Images { pixels, shape, labels: vec![0; n] })
    }
}

/// Images as they lie in a file, and their labels.
struct Images {
    pixels: Vec<u8>,
    shape: Vec<usize>,
    labels: Vec<u32>,
}

impl Idx {
    fn check(&self) -> Result<(), DataError> {
        if !(2..=256).contains(&self.classes) {
            return Err(DataError::config("classes", "must be between 2 and 256"));
        }
        if !self.class_names.is_empty() && self.class_names.len() != self.classes {
            return Err(DataError::config("class_names", "must list one name for each of `classes`, or be left out"));
        }
        check_scale(&[1], &[self.mean], &[self.std])
    }

    fn pair(&self, root: &Path, images: &Path, labels: &Path) -> Result<Images, DataError> {
        let (images, labels) = (file::find(root, images)?, file::find(root, labels)?);
        let (sizes, pixels) = array(&images, file::read(&images)?)?;
        let (count, classes) = array(&labels, file::read(&labels)?)?;
        let shape = shape(&images, &sizes)?;
        if count.len() != 1 {
            return Err(DataError::file(&labels, "is no IDX file of labels (one dimension); are the names swapped?"));
        }
        if count[0] != sizes[0] {
            let problem = format!("does not hold as many labels as {} holds images", images.display());
            return Err(DataError::file(&labels, problem));
        }
        Ok(Images { pixels, shape, labels: self.labels(&labels, &classes)? })
    }

    /// Takes the last images away.
    fn hold_out(&self, train: &mut Images) -> Result<Images, DataError> {
        let too_many = || DataError::config("held_out", "must be below the number of training images in the file");
        let rest = train.labels.len().checked_sub(self.held_out).filter(|rest| *rest > 0).ok_or_else(too_many)?;
        let pixels = train.pixels.split_off(rest * train.shape.iter().product::<usize>());
        Ok(Images { pixels, shape: train.shape.clone(), labels: train.labels.split_off(rest) })
    }

    fn examples(&self, Images { pixels, shape, labels }: Images) -> Result<Examples, DataError> {
        let targets = Targets::Classes { labels, names: self.names().into() };
        Examples::from_bytes(pixels, shape, targets, &[self.mean], &[self.std])
    }

    fn labels(&self, path: &Path, bytes: &[u8]) -> Result<Vec<u32>, DataError> {
        if let Some(at) = bytes.iter().position(|&b| usize::from(b) >= self.classes) {
            let problem = format!("label {} is not below `classes = {}`; correct `classes`", at + 1, self.classes);
            return Err(DataError::file(path, problem));
        }
        Ok(bytes.iter().copied().map(u32::from).collect())
    }

    fn names(&self) -> Vec<String> {
        if self.class_names.is_empty() {
            (0..self.classes).map(|c| c.to_string()).collect()
        } else {
            self.class_names.clone()
        }
    }
}

/// One example's shape: a channel axis is put before height and width.
fn shape(path: &Path, sizes: &[usize]) -> Result<Vec<usize>, DataError> {
    match sizes {
        [_, h, w] => Ok(vec![1, *h, *w]),
        [_, rest @ ..] if !rest.is_empty() => Ok(rest.to_vec()),
        _ => Err(DataError::file(path, "is no IDX file of images (two or more dimensions); are the names swapped?")),
    }
}

/// The sizes and the values of an unpacked IDX file of unsigned bytes.
fn array(path: &Path, mut bytes: Vec<u8>) -> Result<(Vec<usize>, Vec<u8>), DataError> {
    let bad = |problem: &str| Err(DataError::file(path, problem));
    let &[0, 0, kind, dimensions, ref rest @ ..] = &bytes[..] else { return bad("is no IDX file (wrong first bytes)") };
    if kind != 8 {
        return bad("is an IDX file, but not of unsigned bytes; only those are read");
    }
    let header = 4 * usize::from(dimensions);
    if dimensions == 0 || rest.len() < header {
        return bad("ends within its IDX header; fetch it again");
    }
    let size = |b: &[u8]| b.iter().fold(0usize, |size, &b| (size << 8) | usize::from(b));
    let sizes: Vec<usize> = rest[..header].chunks(4).map(size).collect();
    let promised = sizes.iter().try_fold(1usize, |all, &size| all.checked_mul(size));
    match promised.map(|all| (rest.len() - header).cmp(&all)) {
        Some(std::cmp::Ordering::Equal) => {}
        Some(std::cmp::Ordering::Greater) => {
            return bad("holds more bytes than its IDX header promises; fetch it again");
        }
        _ => return bad("holds fewer bytes than its IDX header promises; fetch it again"),
    }
    bytes.drain(..4 + header);
    Ok((sizes, bytes))
}

#[cfg(test)]
mod tests;
