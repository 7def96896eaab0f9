//! Files that are either the old one or the new one, never half of it.

use super::record::{Point, Record, Summary};
use super::statement::Statement;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes `privacy.json`, `summary.json` and `report.html` into `folder`, each atomically.
///
/// `metrics.jsonl` is not written here: it grows while the run goes on.
///
/// # Errors
/// When a file cannot be written.
pub fn write(folder: &Path, record: &Record) -> io::Result<()> {
    write_atomically(&folder.join("privacy.json"), &serde_json::to_vec_pretty(&record.statement)?)?;
    write_atomically(&folder.join("summary.json"), &serde_json::to_vec_pretty(&record.summary)?)?;
    write_atomically(&folder.join("report.html"), super::html(record).as_bytes())
}

/// Reads back what [`write()`] and the run left in `folder`; warnings, which only the page shows, are not among it.
///
/// # Errors
/// When a file is absent or not what a run writes.
pub fn read(folder: &Path) -> io::Result<Record> {
    let text = |name: &str| fs::read_to_string(folder.join(name));
    let statement: Statement = serde_json::from_str(&text("privacy.json")?)?;
    let summary: Summary = serde_json::from_str(&text("summary.json")?)?;
    let points = text("metrics.jsonl")?.lines().map(serde_json::from_str).collect::<Result<Vec<Point>, _>>()?;
    let config_toml = text("config.toml")?;
    let title = config_toml.parse::<toml::Table>().ok().and_then(|t| Some(t.get("title")?.as_str()?.to_owned()));
    let (title, private) = (title.unwrap_or_default(), statement.private);
    Ok(Record { title, private, statement, config_toml, summary, points, warnings: Vec::new() })
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

    #[test]
    fn writes_the_three_files() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &example::private()).unwrap();
        assert_eq!(names(folder.path()), ["privacy.json", "report.html", "summary.json"]);
    }
}
