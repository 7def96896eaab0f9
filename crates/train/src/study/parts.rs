//! The long parts of a study. Where a folder for them is named each is kept in a file of its own, so that a study that was
//! cut off goes on, and several processes (on one device, or on several) make one together.
//!
//! A part is a function of its settings: one that was kept under other settings is made anew.
use super::StudyError;
use crate::report::write_atomically;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs::OpenOptions,
    path::{Path, PathBuf},
    time::Instant,
};

/// Where parts are kept, and who makes them.
#[derive(Debug, Clone, Default)]
pub struct Parts {
    folder: Option<PathBuf>,
    shared: bool,
    spent: RefCell<Spent>,
}

/// What the parts that were made or read took.
#[derive(Debug, Clone, Default)]
struct Spent {
    /// Of parts that were read.
    seconds: f64,
    machines: BTreeSet<String>,
}

/// A part as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    settings: String,
    seconds: f64,
    machine: String,
    value: T,
}

impl Parts {
    /// Parts are kept in `folder`, if there is one. With `shared` this is one of several processes that make them together:
    /// each takes what no other has taken, and none writes the results.
    pub fn new(folder: Option<PathBuf>, shared: bool) -> Parts {
        Parts { folder, shared, spent: RefCell::default() }
    }

    /// Whether parts are kept anywhere.
    pub fn are_kept(&self) -> bool {
        self.folder.is_some()
    }

    /// Whether other processes make parts too.
    pub fn are_shared(&self) -> bool {
        self.shared
    }

    /// How long the parts took that were read here, in seconds.
    pub(super) fn seconds_before(&self) -> f64 {
        self.spent.borrow().seconds
    }

    /// Where parts were made; this process is one of the places.
    pub(super) fn machines(&self) -> Vec<String> {
        let mut all = self.spent.borrow().machines.clone();
        all.insert(machine("cpu"));
        all.into_iter().collect()
    }

    /// What `make` makes, or made in an earlier process with the same `settings`; nothing where another process has taken it.
    pub(super) fn part<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        (settings, device): (&str, &str),
        make: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<Option<T>, StudyError> {
        let path = self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")));
        if let Some(kept) = path.as_deref().and_then(read::<T>).filter(|kept| kept.settings == settings) {
            let mut spent = self.spent.borrow_mut();
            spent.seconds += kept.seconds;
            spent.machines.insert(kept.machine);
            return Ok(Some(kept.value));
        }
        if self.shared && !path.as_deref().is_some_and(claim) {
            return Ok(None);
        }
        let start = Instant::now();
        let value = make()?;
        let kept =
            Kept { settings: settings.into(), seconds: start.elapsed().as_secs_f64(), machine: machine(device), value };
        self.spent.borrow_mut().machines.insert(kept.machine.clone());
        if let Some(path) = path {
            let written = serde_json::to_vec(&kept).map_err(std::io::Error::from).and_then(|bytes| {
                std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
                write_atomically(&path, &bytes)
            });
            written.map_err(|e| StudyError::Other(format!("{}: {e}", path.display())))?;
        }
        Ok(Some(kept.value))
    }
}

/// A part that was kept; none where it is absent or no longer understood.
fn read<T: DeserializeOwned>(path: &Path) -> Option<Kept<T>> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Whether this process is the first to want the part at `path`. Who is stopped leaves a claim behind: whoever goes on alone
/// does not look at claims.
fn claim(path: &Path) -> bool {
    let _ = std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")));
    OpenOptions::new().write(true).create_new(true).open(path.with_extension("taken")).is_ok()
}

/// What parts are made on, for the reader of results.
fn machine(device: &str) -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = |line: &str| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name.trim().to_owned());
    let processor = info.lines().find_map(named).unwrap_or_else(|| std::env::consts::ARCH.into());
    let threads = format!("{} threads of {processor}", rayon::current_num_threads());
    match device {
        "cpu" => threads,
        gpu => format!("{gpu}, fed by {threads}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_by_their_settings_and_made_once_by_many() {
        let top = tempfile::tempdir().unwrap();
        let folder = || Some(top.path().join("parts"));
        let make =
            |parts: &Parts, settings: &str, value: f64| parts.part("a", (settings, "cpu"), || Ok(value)).unwrap();
        let (one, two) = (Parts::new(folder(), true), Parts::new(folder(), true));
        let taken = one.part("a", ("x", "cpu"), || {
            assert_eq!(make(&two, "x", 2.0), None, "another process has taken it");
            Ok(1.0)
        });
        assert_eq!((taken.unwrap(), make(&two, "x", 2.0)), (Some(1.0), Some(1.0)));
        let alone = Parts::new(folder(), false);
        assert_eq!(
            (make(&alone, "x", 3.0), make(&alone, "y", 3.0), make(&alone, "y", 4.0)),
            (Some(1.0), Some(3.0), Some(3.0))
        );
        assert_eq!(alone.machines().len(), 1);
        // A file that broke off is no part; nowhere to keep them, each is made.
        std::fs::write(top.path().join("parts/a.json"), "{\"settings\":").unwrap();
        assert_eq!(make(&alone, "y", 5.0), Some(5.0));
        assert_eq!(make(&Parts::default(), "y", 6.0), Some(6.0));
    }
}
