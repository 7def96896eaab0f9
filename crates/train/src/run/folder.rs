//! The folder of results: one run each, never overwritten unasked, and never losing a ledger.
use crate::report;
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
const RESULTS: [&str; 11] = [
    "metrics.jsonl",
    "followed.jsonl",
    "model.safetensors",
    ADAPTERS,
    "config.toml",
    "privacy.json",
    "summary.json",
    "report.html",
    super::resume::CHECKPOINT,
    crate::diagnose::FILES[0],
    crate::diagnose::FILES[1],
];

/// Makes `folder`, or with `force` clears an earlier run's results out of it, so that none seems to be this one's; an earlier
/// ledger is renamed, not removed, and what no run writes stays.
pub(super) fn claim(folder: &Path, force: bool) -> Result<(), FolderError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| FolderError::Write { path, source }
    };
    fs::create_dir_all(folder).map_err(at(folder))?;
    let taken = fs::read_dir(folder).map_err(at(folder))?.next().is_some();
    if !taken {
        return Ok(());
    }
    if !force {
        return Err(FolderError::Taken(folder.to_owned()));
    }
    let ledger = folder.join("ledger.jsonl");
    if is_written(&ledger) {
        return Err(FolderError::Busy(ledger));
    }
    keep_ledger(folder).map_err(at(folder))?;
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let entry = entry.map_err(at(folder))?;
        if entry.file_name().to_str().is_some_and(is_result) {
            let file = entry.path();
            fs::remove_file(&file).map_err(at(&file))?;
        }
    }
    Ok(())
}

/// Whether a run wrote this, or was killed while it wrote it under a temporary name.
fn is_result(name: &str) -> bool {
    RESULTS.contains(&report::intended(name).unwrap_or(name))
}

/// Whether a process holds the lock of a ledger: its results will come here, beside whatever ledger is here by then.
pub(super) fn is_written(ledger: &Path) -> bool {
    File::open(ledger).is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
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
        for name in RESULTS.iter().chain(&torn).chain(&kept) {
            fs::write(folder.join(name), "x").unwrap();
        }
        claim(folder, true).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        let mut kept = kept.map(str::to_owned);
        left.sort();
        kept.sort();
        assert_eq!(left, kept);
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

    #[test]
    fn a_file_in_the_way_is_an_error_that_names_it() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("file");
        fs::write(&file, "x").unwrap();
        let error = claim(&file.join("inside"), false).unwrap_err().to_string();
        assert!(error.contains("inside"), "{error}");
    }
}
