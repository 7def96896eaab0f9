//! Files that are either the old one or the new one, never half of it.

use super::record::{Point, Record, Summary};
use super::statement::Statement;
use super::{Verdict, followed, page};
use serde::Serialize;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A file of a run that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub struct FileError {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl FileError {
    /// An error about the file at `path`.
    pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> FileError {
        |source| FileError { path: path.to_owned(), source }
    }
}

/// Writes `privacy.json`, `summary.json` and `report.html` into `folder`, each atomically. The page has the curves of what was
/// followed along the run, if anything was.
///
/// `metrics.jsonl` is not written here: it grows while the run goes on.
///
/// # Errors
/// Which file cannot be written, and why.
pub fn write(folder: &Path, record: &Record) -> Result<(), FileError> {
    let one = |name: &str, bytes: io::Result<Vec<u8>>| {
        let path = folder.join(name);
        bytes.and_then(|bytes| write_atomically(&path, &bytes)).map_err(FileError::at(&path))
    };
    one("privacy.json", judged(record, &record.statement))?;
    one("summary.json", judged(record, &record.summary))?;
    let curves = followed::along(&followed::looks(folder)?);
    one("report.html", Ok(page::html_with(record, &curves).into_bytes()))
}

/// A part of a record as JSON, with the verdict on the whole.
fn judged(record: &Record, part: &impl Serialize) -> io::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Judged<'a, T> {
        verdict: Verdict,
        #[serde(flatten)]
        part: &'a T,
    }
    Ok(serde_json::to_vec_pretty(&Judged { verdict: record.verdict(), part })?)
}

/// Reads back the privacy statement of the run in `folder`.
///
/// # Errors
/// If there is none, or it is not what a run writes.
pub fn statement(folder: &Path) -> Result<Statement, FileError> {
    parsed(folder, "privacy.json", |text| Ok(serde_json::from_str(text)?))
}

/// Reads back what [`write()`] and the run left in `folder`.
///
/// # Errors
/// Which file is absent, or is not what a run writes.
pub fn read(folder: &Path) -> Result<Record, FileError> {
    let statement = statement(folder)?;
    let summary: Summary = parsed(folder, "summary.json", |text| Ok(serde_json::from_str(text)?))?;
    let points = parsed(folder, "metrics.jsonl", |text| Point::from_lines(text).map_err(|(_, e)| e.into()))?;
    let config_toml = parsed(folder, "config.toml", |text| Ok(text.to_owned()))?;
    let title = config_toml.parse::<toml::Table>().ok().and_then(|t| Some(t.get("title")?.as_str()?.to_owned()));
    Ok(Record { title: title.unwrap_or_default(), statement, config_toml, summary, points })
}

/// What the text of a file of `folder` says.
fn parsed<T>(folder: &Path, name: &str, read: impl Fn(&str) -> io::Result<T>) -> Result<T, FileError> {
    let path = folder.join(name);
    fs::read_to_string(&path).and_then(|text| read(&text)).map_err(FileError::at(&path))
}

/// Replaces the file at `path` by `bytes`, all or nothing.
///
/// The bytes go to a temporary name in the same folder, are forced to the disk, and take the final name in one rename;
/// then the folder itself is forced to the disk. On failure the temporary file is removed and an old file at `path`
/// stays as it was. A symbolic link at `path` is replaced, not followed.
///
/// # Errors
/// When `path` names no file, or when the system refuses to create, write, force or rename.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path)?;
    let outcome = fill(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if let Err(error) = outcome {
        // The write has failed already; that error is the one to report.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(path)
}

fn fill(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A name beside `path` that neither another process nor another thread of this one uses.
fn temporary_name(path: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nameless = || io::Error::new(io::ErrorKind::InvalidInput, format!("{} names no file", path.display()));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or_else(nameless)?);
    name.push(format!(".{}.{}.tmp", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
    Ok(path.with_file_name(name))
}

/// The final name of the file that has this temporary one; nothing if it is none.
pub(crate) fn intended(name: &str) -> Option<&str> {
    let (rest, count) = name.strip_prefix('.')?.strip_suffix(".tmp")?.rsplit_once('.')?;
    let (intended, process) = rest.rsplit_once('.')?;
    let numbers = count.parse::<u64>().is_ok() && process.parse::<u32>().is_ok();
    numbers.then_some(intended)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn replaces_and_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        write_atomically(&path, b"old, and longer").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.json"]);
    }

    #[test]
    fn a_failure_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("taken");
        fs::create_dir(&target).unwrap();
        fs::write(target.join("inside"), b"x").unwrap();
        assert!(write_atomically(&target, b"new").is_err());
        assert_eq!(names(folder.path()), ["taken"]);
        assert_eq!(names(&target), ["inside"]);
    }

    #[test]
    fn a_path_without_name_or_folder_is_an_error() {
        assert_eq!(write_atomically(Path::new("/"), b"").unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no").join("such");
        assert_eq!(write_atomically(&missing, b"").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn writers_of_one_path_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        let texts = [vec![b'a'; 50_000], vec![b'b'; 50_000]];
        std::thread::scope(|scope| {
            for text in &texts {
                scope.spawn(|| (0..5).for_each(|_| write_atomically(&path, text).unwrap()));
            }
        });
        assert!(texts.contains(&fs::read(&path).unwrap()));
        assert_eq!(names(folder.path()), ["shared"]);
    }

    /// What stands in the way of one of the three, as a full disk would, is told of that file.
    #[test]
    fn an_error_names_its_file() {
        for name in ["privacy.json", "summary.json", "report.html"] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join(name)).unwrap();
            let error = write(folder.path(), &example::private()).unwrap_err();
            assert_eq!(error.path, folder.path().join(name));
            assert!(error.to_string().contains(name), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &example::private()).unwrap();
        assert_eq!(read(folder.path()).unwrap_err().path, folder.path().join("metrics.jsonl"));
    }

    /// Whoever writes a report again, as after a private look, loses nothing that stood on it.
    #[test]
    fn what_was_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let record = example::interrupted();
        write(folder.path(), &record).unwrap();
        let lines: String = record.points.iter().map(|point| point.to_line().unwrap()).collect();
        fs::write(folder.path().join("metrics.jsonl"), lines).unwrap();
        fs::write(folder.path().join("config.toml"), &record.config_toml).unwrap();
        assert_eq!(read(folder.path()).unwrap(), record);
    }

    #[test]
    fn writes_the_three_files() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &example::private()).unwrap();
        assert_eq!(names(folder.path()), ["privacy.json", "report.html", "summary.json"]);
    }
}
