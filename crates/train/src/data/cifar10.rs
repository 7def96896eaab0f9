//! CIFAR-10 in its binary form: `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`.
//!
//! A record is one label byte and 3,072 pixel bytes: red, green, blue, each 32 x 32 row by row. Examples have the
//! shape `[3, 32, 32]`. The example program `cifar10_from_mosaics` writes these files from lossless pictures.

use super::{DataError, Examples, Loaded, Source, Targets, examples::check_scale, file};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SHAPE: [usize; 3] = [3, 32, 32];
const RECORD: usize = 1 + 3 * 32 * 32;
const CLASSES: [&str; 10] = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The folder and the public constants to read it with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cifar10 {
    /// The folder that holds the `.bin` files.
    pub folder: PathBuf,
    /// Whether `test_batch.bin` is read; it is declared public.
    pub test: bool,
    /// The public number of training examples.
    pub examples: usize,
    /// Public, one a channel: taken off pixels, which first become 0 to 1.
    pub mean: [f64; 3],
    /// Public, one a channel: pixels less `mean` are divided by this.
    pub std: [f64; 3],
}

/// Half and a quarter for `mean` and `std`: round constants that owe nothing to the images.
impl Default for Cifar10 {
    fn default() -> Self {
        let folder = PathBuf::from("cifar-10-batches-bin");
        Self { folder, test: true, examples: 50_000, mean: [0.5; 3], std: [0.25; 3] }
    }
}

impl Source for Cifar10 {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        vec![&self.folder]
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        check_scale(&SHAPE, &self.mean, &self.std)?;
        let train: Vec<String> = (1..=5).map(|i| format!("data_batch_{i}.bin")).collect();
        let train = self.read(root, &train)?;
        let test = if self.test { Some(self.read(root, &["test_batch.bin".to_owned()])?) } else { None };
        Loaded::new(train, test, self.examples)
    }

    fn ask(&self, _: &Path, path: &Path) -> Result<Examples, DataError> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        take(path, &file::read(path)?, &mut pixels, &mut labels)?;
        labels.fill(0);
        self.examples(pixels, labels)
    }
}

impl Cifar10 {
    fn read(&self, root: &Path, names: &[String]) -> Result<Examples, DataError> {
        let (mut pixels, mut labels) = (Vec::new(), Vec::new());
        for name in names {
            let path = file::find(root, &self.folder.join(name))?;
            take(&path, &file::read(&path)?, &mut pixels, &mut labels)?;
        }
        self.examples(pixels, labels)
    }

    fn examples(&self, pixels: Vec<u8>, labels: Vec<u32>) -> Result<Examples, DataError> {
        let names = CLASSES.map(String::from).to_vec().into();
        Examples::from_bytes(pixels, SHAPE.to_vec(), Targets::Classes { labels, names }, &self.mean, &self.std)
    }
}

/// Appends the records of one unpacked file.
fn take(path: &Path, bytes: &[u8], pixels: &mut Vec<u8>, labels: &mut Vec<u32>) -> Result<(), DataError> {
    let records = bytes.chunks_exact(RECORD);
    if bytes.is_empty() || !records.remainder().is_empty() {
        return Err(DataError::file(path, "is not made of whole records of 3,073 bytes (truncated?); fetch it again"));
    }
    for (i, record) in records.enumerate() {
        if usize::from(record[0]) >= CLASSES.len() {
            let problem = format!("the label of record {} is not below 10; this is not CIFAR-10's binary form", i + 1);
            return Err(DataError::file(path, problem));
        }
        labels.push(u32::from(record[0]));
        pixels.extend_from_slice(&record[1..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(records: &[u8], test: &[u8]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for i in 1..=5 {
            std::fs::write(folder.path().join(format!("data_batch_{i}.bin")), records).unwrap();
        }
        std::fs::write(folder.path().join("test_batch.bin"), test).unwrap();
        folder
    }

    fn record(label: u8) -> Vec<u8> {
        [vec![label], vec![0; 1024], vec![255; 1024], vec![51; 1024]].concat()
    }

    fn here() -> Cifar10 {
        Cifar10 { folder: PathBuf::new(), ..Cifar10::default() }
    }

    #[test]
    fn records_are_read_in_order() {
        let folder = folder(&[record(3), record(9)].concat(), &record(0));
        let loaded = Cifar10 { std: [1.0, 0.5, 0.25], examples: 10, ..here() }.load(folder.path()).unwrap();
        let batch = loaded.train.gather(&[0, 9]);
        assert!(matches!(&batch.targets, Targets::Classes { labels, .. } if labels == &[3, 9]));
        assert_eq!([0, 1024, 2048].map(|i| batch.inputs[i]), [-0.5, 1.0, -1.2]);
        assert_eq!((batch.shape, loaded.evaluation.unwrap().len(), loaded.notes.len()), (SHAPE.to_vec(), 1, 0));
    }

    #[test]
    fn bad_folders_are_named() {
        let error = |records: &[u8], test: &[u8], config: Cifar10| {
            config.load(folder(records, test).path()).unwrap_err().to_string()
        };
        assert!(error(&record(1)[1..], &record(1), here()).contains("data_batch_1.bin: is not made of whole"));
        assert!(error(&[], &record(1), here()).contains("data_batch_1.bin: is not made of whole"));
        let label = error(&record(1), &[record(1), record(77)].concat(), here());
        assert!(label.contains("test_batch.bin: the label of record 2") && !label.contains("77"), "{label}");
        assert!(error(&record(1), &[], Cifar10::default()).contains("--data-dir"));
        assert!(error(&record(1), &[], Cifar10 { std: [0.0; 3], ..here() }).contains("data.std"));
        let untested = Cifar10 { test: false, ..here() }.load(folder(&record(1), &[]).path()).unwrap();
        assert!(untested.evaluation.is_none() && untested.notes.len() == 1);
    }

    #[test]
    fn cifar10_is_as_published() {
        let shared = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
        let root = std::env::var_os("SECATEUR_DATA").map_or_else(|| PathBuf::from(shared), PathBuf::from);
        let cifar = ["cifar10", "cifar-10-batches-bin"].map(|folder| Cifar10 { folder: folder.into(), ..here() });
        let Some(cifar) = cifar.iter().find(|c| root.join(&c.folder).join("data_batch_1.bin").is_file()) else {
            return eprintln!("skipped: no data_batch_1.bin below {}", root.display());
        };
        let loaded = cifar.load(&root).unwrap();
        let count = |x: &Examples| {
            let mut counts = vec![0; 10];
            for batch in x.chunks(1000) {
                let Targets::Classes { labels, .. } = batch.targets else { panic!("classes") };
                labels.iter().for_each(|&l| counts[l as usize] += 1);
            }
            counts
        };
        let first = |x: &Examples, n: usize| match x.gather(&(0..n).collect::<Vec<_>>()).targets {
            Targets::Classes { labels, .. } => labels,
            Targets::Values { .. } | Targets::Tokens { .. } => vec![],
        };
        let test = loaded.evaluation.unwrap();
        assert_eq!((count(&loaded.train), count(&test)), (vec![5000; 10], vec![1000; 10]));
        assert_eq!(first(&loaded.train, 10), [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]);
        assert_eq!(first(&test, 5), [3, 8, 8, 0, 6]);
    }
}
