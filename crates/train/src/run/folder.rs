//! The folder of results: one run each, never overwritten unasked, and never losing a ledger.
use super::left;
use crate::{published, report};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

/// A folder that cannot take a run's results.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is something in it.
    #[error("{0} already exists and is not empty: choose another folder, or allow replacing it with --force")]
    Taken(PathBuf),
    /// A run is going on in it.
    #[error("{0}: another process is writing this ledger: a run is going on in its folder, choose another one")]
    Busy(PathBuf),
    /// It cannot be written.
    #[error("cannot write to {path}: {source}")]
    Write {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What was trained beside frozen matrices, by itself.
pub(super) const ADAPTERS: &str = "adapters.safetensors";

/// What a run, and who looks closer at it, write besides the ledger.
const RESULTS: [&str; 13] = [
    "metrics.jsonl",
    "followed.jsonl",
    left::WEIGHTS,
    ADAPTERS,
    left::CONFIG,
    "privacy.json",
    "summary.json",
    "report.html",
    super::resume::CHECKPOINT,
    crate::diagnose::FILES[0],
    crate::diagnose::FILES[1],
    crate::audit::FILES[0],
    crate::audit::FILES[1],
];

/// Makes `folder`, or with `force` takes over an earlier run's: its ledger is renamed, not removed, and what it wrote besides is cleared out, so
/// that none seems to be the new run's; what no run writes stays. Hold what comes back, the earlier ledger, until the new one is there: by its
/// lock nobody else claims the folder.
pub(super) fn claim(folder: &Path, force: bool) -> Result<Option<File>, FolderError> {
    fs::create_dir_all(folder).map_err(at(folder))?;
    let taken = fs::read_dir(folder).map_err(at(folder))?.next().is_some();
    if taken && !force {
        return Err(FolderError::Taken(folder.to_owned()));
    }
    let earlier = hold(&folder.join("ledger.jsonl"))?;
    // Results go before their ledger does: at no time do they lie beside one that says less.
    clear(folder)?;
    keep_ledger(folder).map_err(at(folder))?;
    Ok(earlier)
}

fn at(path: &Path) -> impl Fn(io::Error) -> FolderError {
    |source| FolderError::Write { path: path.to_owned(), source }
}

/// Clears an earlier run's results out, so that none seems to be this one's; what no run writes stays.
fn clear(folder: &Path) -> Result<(), FolderError> {
    clear_of(folder, is_result)?;
    let inside = folder.join(published::FOLDER);
    if inside.is_dir() {
        clear_of(&inside, |name| published::FILES.contains(&report::intended(name).unwrap_or(name)))?;
        // It stays if there is something else in it.
        let _ = fs::remove_dir(&inside);
    }
    Ok(())
}

/// Removes the files whose names are `meant`.
fn clear_of(folder: &Path, meant: impl Fn(&str) -> bool) -> Result<(), FolderError> {
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        if entry.file_name().to_str().is_some_and(&meant) {
            let file = entry.path();
            fs::remove_file(&file).map_err(at(&file))?;
        }
    }
    Ok(())
}

/// Whether a run wrote this, or was killed while it wrote it under a temporary name. Its configuration stays: it says nothing of what was
/// spent, and whoever claims the folder writes his own over it, or has just done so.
fn is_result(name: &str) -> bool {
    name != left::CONFIG && RESULTS.contains(&report::intended(name).unwrap_or(name))
}

/// A ledger that is there, locked; refused where a process holds its lock: its results will come here, beside whatever ledger is here by then.
pub(super) fn hold(ledger: &Path) -> Result<Option<File>, FolderError> {
    let Ok(file) = File::open(ledger) else { return Ok(None) };
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(FolderError::Busy(ledger.to_owned())),
        // Some file systems know no locks.
        Err(TryLockError::Error(_)) | Ok(()) => Ok(Some(file)),
    }
}

fn keep_ledger(folder: &Path) -> io::Result<()> {
    let ledger = folder.join("ledger.jsonl");
    if !ledger.exists() {
        return Ok(());
    }
    let names = (1u32..).map(|k| folder.join(format!("ledger.earlier-{k}.jsonl")));
    names.into_iter().find(|name| !name.exists()).map_or(Ok(()), |name| fs::rename(&ledger, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_results_is_left_alone_unless_forced() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/b");
        claim(&folder, false).unwrap();
        claim(&folder, false).unwrap();
        fs::write(folder.join("summary.json"), "{}").unwrap();
        assert!(matches!(claim(&folder, false), Err(FolderError::Taken(_))));
        claim(&folder, true).unwrap();
        assert!(!folder.join("summary.json").exists());
    }

    /// The pages of a look at an earlier run, and what it was writing when it was killed, are not the new run's; a user's notes
    /// and figures, whatever they are called like, are nobody's to remove.
    #[test]
    fn nothing_of_an_earlier_run_stays_and_all_that_is_not_a_runs_does() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path();
        let torn = [".model.safetensors.4711.0.tmp", ".diagnose.html.1.20.tmp"];
        let kept = [
            "notes.txt",
            "diagnose.txt",
            "my-report.html",
            ".notes.1.2.tmp",
            ".report.html.tmp",
            ".report.html.x.1.tmp",
        ];
        for name in RESULTS.iter().filter(|name| **name != left::CONFIG).chain(&torn).chain(&kept) {
            fs::write(folder.join(name), "x").unwrap();
        }
        let inside = folder.join(published::FOLDER);
        fs::create_dir(&inside).unwrap();
        published::FILES.iter().for_each(|name| fs::write(inside.join(name), "x").unwrap());
        claim(folder, true).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let mut kept = kept.map(str::to_owned);
        left.sort();
        kept.sort();
        assert_eq!(left, kept);
    }

    /// A crash before the new ledger is there: nothing that the earlier one paid for lies there without it.
    #[test]
    fn results_go_before_their_ledger_does() {
        let top = tempfile::tempdir().unwrap();
        for name in RESULTS.iter().chain(&["ledger.jsonl"]) {
            fs::write(top.path().join(name), "x").unwrap();
        }
        drop(claim(top.path(), true).unwrap());
        let mut left: Vec<_> =
            fs::read_dir(top.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["config.toml", "ledger.earlier-1.jsonl"]);
    }

    #[test]
    fn a_ledger_is_never_lost() {
        let top = tempfile::tempdir().unwrap();
        for k in 1..4 {
            fs::write(top.path().join("ledger.jsonl"), format!("run {k}")).unwrap();
            claim(top.path(), true).unwrap();
        }
        let kept = |k: u32| fs::read_to_string(top.path().join(format!("ledger.earlier-{k}.jsonl"))).unwrap();
        assert_eq!([kept(1), kept(2), kept(3)], ["run 1", "run 2", "run 3"]);
    }

    /// Whoever comes between one run's look at an earlier ledger and its own new one does not take the folder too.
    #[test]
    fn of_two_that_begin_at_once_one_has_the_folder() {
        let top = tempfile::tempdir().unwrap();
        let (folder, ledger) = (top.path(), top.path().join("ledger.jsonl"));
        fs::write(&ledger, "an earlier run's").unwrap();
        let other = File::open(&ledger).unwrap();
        let first = claim(folder, true).unwrap();
        // The other one saw the same ledger before the first renamed it.
        assert!(matches!(other.try_lock(), Err(TryLockError::WouldBlock)));
        let new = File::create_new(&ledger).unwrap();
        new.try_lock().unwrap();
        assert!(matches!(claim(folder, true), Err(FolderError::Busy(_))));
        drop(first);
        assert!(ledger.exists() && folder.join("ledger.earlier-1.jsonl").exists());
    }

    #[test]
    fn a_file_in_the_way_is_an_error_that_names_it() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = claim(&file.join("inside"), false).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("inside"), "{error}");
    }
}
