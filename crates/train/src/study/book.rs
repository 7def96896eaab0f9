//! The book of a study: what its parts came to, one line each of `runs.jsonl` in the study's folder.
//!
//! A part is a function of its settings and is made once: whoever starts the study on that folder, with the same command, goes
//! on with what is missing. So a study that was cut off loses one part, and several processes, each training where it likes,
//! make one together: a part is taken by locking a file, which a process that dies gives back. Whoever ends writes the tables
//! of what there is. Whoever wants a part made anew takes its line out.
use super::StudyError;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

/// What came of a part, as its line keeps it: a map beside the part's name and settings.
pub(super) trait Came: Serialize + DeserializeOwned {
    /// How long it took, in seconds.
    fn seconds(&self) -> f64;
    /// What it was made on.
    fn machine(&self) -> &str;
    /// What is said when it is made.
    fn told(&self) -> String;
}

/// A line of the book.
#[derive(Serialize, Deserialize)]
struct Line<S, T> {
    name: String,
    #[serde(flatten)]
    settings: S,
    #[serde(flatten)]
    came: T,
}

/// Where parts are kept, and which of them are made.
#[derive(Debug, Clone)]
pub struct Book {
    folder: PathBuf,
    only: Vec<String>,
    tell: fn(&str),
    sum: RefCell<Sum>,
}

/// What parts took that were asked for so far, and where they were made, by name; nothing of those that are not made.
type Sum = BTreeMap<String, Option<(f64, String)>>;

impl Book {
    /// The book of the study whose results go to `folder`. Parts are made whose names hold one of the words of `only`, all if
    /// there are none; `tell` is told in a line what was made.
    pub fn new(folder: PathBuf, only: Vec<String>, tell: fn(&str)) -> Book {
        Book { folder, only, tell, sum: RefCell::default() }
    }

    /// Where results go.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How long parts took together, in seconds; what they were made on; and how many are not made yet, of those asked for.
    pub(super) fn sum(&self) -> (f64, Vec<String>, usize) {
        let sum = self.sum.borrow();
        let machines: BTreeSet<&String> = sum.values().flatten().map(|(_, machine)| machine).collect();
        let seconds = sum.values().flatten().map(|(seconds, _)| seconds).sum();
        (seconds, machines.into_iter().cloned().collect(), sum.values().filter(|part| part.is_none()).count())
    }

    /// What `make` makes, or was made before under the same `settings`; nothing where another process is at it, or nobody asked
    /// for it.
    pub(super) fn part<S, T: Came>(
        &self,
        name: &str,
        settings: S,
        make: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<Option<T>, StudyError>
    where
        S: Serialize + DeserializeOwned + PartialEq,
    {
        let came = self.find_or_make(name, settings, make)?;
        let took = came.as_ref().map(|came| (came.seconds(), came.machine().to_owned()));
        self.sum.borrow_mut().insert(name.to_owned(), took);
        Ok(came)
    }

    fn find_or_make<S, T: Came>(
        &self,
        name: &str,
        settings: S,
        make: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<Option<T>, StudyError>
    where
        S: Serialize + DeserializeOwned + PartialEq,
    {
        let wrong = |e: io::Error| StudyError::Other(format!("{}: {e}", self.folder.display()));
        if let Some(came) = self.find(name, &settings).map_err(wrong)? {
            return Ok(Some(came));
        }
        if !(self.only.is_empty() || self.only.iter().any(|word| name.contains(word))) {
            return Ok(None);
        }
        let Some(claim) = self.claim(name).map_err(wrong)? else { return Ok(None) };
        // Somebody may have made it between the two looks.
        if let Some(came) = self.find(name, &settings).map_err(wrong)? {
            return Ok(Some(came));
        }
        let line = Line { name: name.to_owned(), settings, came: make()? };
        self.add(&line).map_err(wrong)?;
        drop(claim);
        (self.tell)(&format!("{name}: {}", line.came.told()));
        Ok(Some(line.came))
    }

    fn file(&self) -> PathBuf {
        self.folder.join("runs.jsonl")
    }
    fn claims(&self) -> PathBuf {
        self.folder.join("claims")
    }

    /// What the last line with this name and these settings says. A line that a crash cut short is no part.
    fn find<S: DeserializeOwned + PartialEq, T: Came>(&self, name: &str, settings: &S) -> io::Result<Option<T>> {
        let text = match fs::read_to_string(self.file()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let quoted = serde_json::to_string(name)?;
        let read = |line: &str| serde_json::from_str::<Line<S, T>>(line).ok();
        let mut lines = text.lines().rev().filter(|line| line.contains(&quoted)).filter_map(read);
        Ok(lines.find(|line| line.name == name && line.settings == *settings).map(|line| line.came))
    }

    /// The right to make the part of this name, unless somebody has it. Names that differ in signs alone share one.
    fn claim(&self, name: &str) -> io::Result<Option<File>> {
        fs::create_dir_all(self.claims())?;
        let plain = name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        let file = File::create(self.claims().join(plain))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// Adds a line, of its own even after one that was cut short.
    fn add<S: Serialize, T: Serialize>(&self, line: &Line<S, T>) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(self.file())?;
        file.lock()?;
        let mut last = [b'\n'];
        if file.metadata()?.len() > 0 {
            file.seek(io::SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        let line = format!("{}{}\n", if last == [b'\n'] { "" } else { "\n" }, serde_json::to_string(line)?);
        file.write_all(line.as_bytes())?;
        file.sync_data()
    }

    /// Takes the locks away once all parts are made: before, another process may hold one.
    pub(super) fn close(&self) -> io::Result<()> {
        if self.sum().2 > 0 {
            return Ok(());
        }
        match fs::remove_dir_all(self.claims()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// What the code of a study works out by itself, whatever that is.
#[derive(Serialize, Deserialize)]
pub(super) struct Worked<V> {
    /// How long it took.
    pub seconds: f64,
    /// What it was made on.
    pub machine: String,
    /// What came out.
    pub value: V,
}

/// What that depends on, in words.
#[derive(Serialize, Deserialize, PartialEq)]
pub(super) struct Settings {
    /// See there.
    pub settings: String,
}

impl<V: Serialize + DeserializeOwned> Came for Worked<V> {
    fn seconds(&self) -> f64 {
        self.seconds
    }
    fn machine(&self) -> &str {
        &self.machine
    }
    fn told(&self) -> String {
        format!("{:.0} s on {}", self.seconds, self.machine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(folder: &Path) -> Book {
        Book::new(folder.to_owned(), Vec::new(), |_| {})
    }

    fn part(book: &Book, name: &str, settings: &str, value: f64) -> Option<f64> {
        let made = || Ok(Worked { seconds: 1.0, machine: "here".into(), value });
        book.part(name, Settings { settings: settings.into() }, made).unwrap().map(|worked| worked.value)
    }

    #[test]
    fn a_part_is_made_once_and_kept_with_its_settings() {
        let top = tempfile::tempdir().unwrap();
        let (one, two) = (book(top.path()), book(top.path()));
        let taken = one.part("a", Settings { settings: "x".into() }, || {
            assert_eq!(part(&two, "a", "x", 2.0), None, "another process is at it");
            assert_eq!(part(&two, "b", "x", 3.0), Some(3.0), "which holds up no other part");
            two.close().unwrap();
            assert_eq!(part(&book(top.path()), "a", "x", 2.0), None, "and does not lose its lock when others end");
            Ok(Worked { seconds: 5.0, machine: "there".into(), value: 1.0 })
        });
        assert_eq!((taken.unwrap().unwrap().value, part(&two, "a", "x", 2.0)), (1.0, Some(1.0)));
        assert_eq!(part(&one, "a", "y", 4.0), Some(4.0), "other settings are another part");
        assert_eq!(part(&one, "a", "x", 4.0), Some(1.0), "and take nothing away");
        assert_eq!(one.sum(), (5.0, vec!["there".to_owned()], 0), "a part counts once, however often it is asked for");
        assert_eq!((two.sum().0, two.sum().2), (5.0 + 1.0, 0));
        let other = Book::new(top.path().to_owned(), vec!["b".into()], |_| {});
        assert_eq!((part(&other, "c", "x", 1.0), other.sum().2), (None, 1));
    }

    #[test]
    fn what_fails_is_given_back_and_who_is_not_asked_makes_nothing() {
        let top = tempfile::tempdir().unwrap();
        let one = book(top.path());
        let fails = || -> Result<Worked<f64>, _> { Err(StudyError::Other("no".into())) };
        assert!(one.part("a", Settings { settings: "x".into() }, fails).is_err());
        let picky = Book::new(top.path().to_owned(), vec!["b".into()], |_| {});
        assert_eq!((part(&picky, "a", "x", 1.0), part(&picky, "ab", "x", 2.0)), (None, Some(2.0)));
        assert_eq!(part(&one, "a", "x", 1.0), Some(1.0));
        assert_eq!(part(&picky, "a", "x", 3.0), Some(1.0), "what is there is shown, asked for or not");
        one.close().unwrap();
        assert!(!one.claims().exists());
    }

    #[test]
    fn a_line_that_was_cut_short_costs_one_part() {
        let top = tempfile::tempdir().unwrap();
        let one = book(top.path());
        part(&one, "a", "x", 1.0);
        let whole = fs::read(one.file()).unwrap();
        fs::write(one.file(), [&whole[..], &whole[..20]].concat()).unwrap();
        part(&one, "b", "x", 2.0);
        assert_eq!((part(&one, "a", "x", 9.0), part(&one, "b", "x", 9.0)), (Some(1.0), Some(2.0)));
        fs::write(one.file(), &whole[..20]).unwrap();
        assert_eq!((part(&one, "a", "x", 3.0), part(&one, "a", "x", 4.0)), (Some(3.0), Some(3.0)));
    }
}
