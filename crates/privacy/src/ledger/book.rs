//! The ledger on disk: charges written ahead, refunds written after.
//!
//! # Why this is private
//!
//! Claim: when [`Book::cover`] or [`Book::look`] returns, the file durably holds a charge for what was asked, beyond all
//! that was asked before.
//!
//! Argument: the file is only appended to. `left` counts rounds of one event that are charged, durable, and not yet
//! used; a round is taken from it once. When the open round does not begin the event written ahead, the new event is
//! charged and synced before the line that refunds the old one is written. After a failed write `broken` stays set, so
//! that no line follows a torn one.
//!
//! Checked by: `super::tests::a_crash_never_under_reports` and `super::tests::nothing_leaves_when_the_disk_fails`. The
//! write-ahead rule is cited on the parent page.

use super::line::{self, Header, Line, Read};
use super::{LedgerError, Live};
use crate::{Event, Neighbouring};
use serde::Serialize;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// How many rounds to charge at once, after `made` of the same: about one in fifty, so that a crash over-reports little.
fn stride(made: u64) -> u64 {
    (made / 50).clamp(1, 1024)
}

/// An event charged on disk for rounds to come.
struct Ahead {
    event: Event,
    /// Rounds that are charged and not used.
    left: u64,
    /// Whether the open round has taken one.
    taken: bool,
}

/// A kind of look charged on disk for looks to come.
struct Look {
    event: Event,
    made: u64,
    left: u64,
}

/// The file that a ledger writes.
pub(super) struct Book {
    file: File,
    path: PathBuf,
    ahead: Option<Ahead>,
    looks: Vec<Look>,
    broken: bool,
}

impl Book {
    pub(super) fn create(path: &Path, neighbouring: Neighbouring) -> Result<Self, LedgerError> {
        let opened = OpenOptions::new().append(true).create_new(true).open(path);
        let file = opened.map_err(|source| match source.kind() {
            ErrorKind::AlreadyExists => LedgerError::Exists { path: path.to_owned() },
            _ => LedgerError::Io { path: path.to_owned(), source },
        })?;
        let mut book = Self::over(file, path)?;
        book.write(&Header::new(neighbouring))?;
        book.sync()?;
        book.sync_parent()?;
        Ok(book)
    }

    /// Opens a file to continue it, without its torn last line, and says what it holds.
    pub(super) fn resume(path: &Path) -> Result<(Self, Read), LedgerError> {
        let opened = OpenOptions::new().append(true).open(path);
        let file = opened.map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
        let mut book = Self::over(file, path)?;
        let read = line::read(path)?;
        if read.torn {
            let cut = book.file.set_len(read.length);
            book.check(cut)?;
            book.sync()?;
        }
        Ok((book, read))
    }

    /// A book on a device that is always full.
    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn full() -> Self {
        let path = PathBuf::from("/dev/full");
        let Ok(file) = OpenOptions::new().append(true).open(&path) else { unreachable!("Linux has this device") };
        Book { file, path, ahead: None, looks: Vec::new(), broken: false }
    }

    fn over(file: File, path: &Path) -> Result<Self, LedgerError> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Busy { path: path.to_owned() }),
            // Some file systems know no locks; a ledger there is as safe as its owner is careful.
            Err(TryLockError::Error(_)) | Ok(()) => {}
        }
        Ok(Book { file, path: path.to_owned(), ahead: None, looks: Vec::new(), broken: false })
    }

    /// Says that another key draws from here on. What was written ahead belongs to the one before, and is refunded.
    pub(super) fn draws(&mut self, key: u64) -> Result<(), LedgerError> {
        self.intact()?;
        self.refund_all()?;
        self.write(&Line::Draws { key })
    }

    /// Charges a season, durably.
    pub(super) fn ticket(&mut self, live: &Live) -> Result<(), LedgerError> {
        self.intact()?;
        self.write(&Line::Season { event: live.event.clone(), key: live.key, first: live.first })?;
        self.sync()
    }

    /// Makes sure that the open round, as far as it goes, is charged on disk. `last` is the run of rounds before it; at
    /// `most` so many are charged at once.
    pub(super) fn cover(&mut self, round: &Event, last: Option<&(Event, u64)>, most: u64) -> Result<(), LedgerError> {
        let made = |event: &Event| last.filter(|(other, _)| other == event).map_or(0, |(_, n)| *n);
        self.intact()?;
        match self.ahead.take() {
            Some(ahead) if round.begins(&ahead.event) => {
                let stride = stride(made(&ahead.event)).min(most);
                let ahead = self.ahead.insert(ahead);
                if ahead.taken || ahead.left > 0 {
                    ahead.left -= u64::from(!ahead.taken);
                    ahead.taken = true;
                    return Ok(());
                }
                let event = ahead.event.clone();
                self.charge(event, stride)
            }
            other => {
                self.charge(round.clone(), stride(made(round)).min(most))?;
                other.map_or(Ok(()), |old| self.refund(old.event, old.left + u64::from(old.taken)))
            }
        }
    }

    /// Makes sure that one more look is charged on disk. What was written ahead is kept until the book is closed: looks
    /// cost infinity, whether few or many.
    pub(super) fn look(&mut self, event: &Event) -> Result<(), LedgerError> {
        self.intact()?;
        let at = self.looks.iter().position(|look| look.event == *event).unwrap_or_else(|| {
            self.looks.push(Look { event: event.clone(), made: 0, left: 0 });
            self.looks.len() - 1
        });
        if self.looks[at].left == 0 {
            let count = stride(self.looks[at].made);
            self.write(&Line::Charge { event: event.clone(), count })?;
            self.sync()?;
            self.looks[at].left = count;
        }
        self.looks[at].left -= 1;
        self.looks[at].made += 1;
        Ok(())
    }

    /// The open round is over, and was this. When it took a longer one from what was written ahead, that is put right.
    /// What fails here over-reports; the next charge says so.
    pub(super) fn seal(&mut self, round: &Event) {
        let Some(ahead) = &mut self.ahead else { return };
        let longer = (ahead.event != *round).then(|| ahead.event.clone());
        ahead.taken = false;
        if let (Some(longer), Ok(())) = (longer, self.intact()) {
            let charged = self.write(&Line::Charge { event: round.clone(), count: 1 }).and_then(|()| self.sync());
            let _ = charged.and_then(|()| self.refund(longer, 1));
        }
    }

    /// Refunds all that is left, durably.
    pub(super) fn close(&mut self) -> Result<(), LedgerError> {
        self.intact()?;
        self.refund_all()?;
        self.sync()
    }

    fn refund_all(&mut self) -> Result<(), LedgerError> {
        if let Some(Ahead { event, left, .. }) = self.ahead.take() {
            self.refund(event, left)?;
        }
        for Look { event, left, .. } in std::mem::take(&mut self.looks) {
            self.refund(event, left)?;
        }
        Ok(())
    }

    /// Charges `count` rounds of an event, durably; the open round takes one of them.
    fn charge(&mut self, event: Event, count: u64) -> Result<(), LedgerError> {
        self.write(&Line::Charge { event: event.clone(), count })?;
        self.sync()?;
        self.ahead = Some(Ahead { event, left: count - 1, taken: true });
        Ok(())
    }

    fn refund(&mut self, event: Event, count: u64) -> Result<(), LedgerError> {
        if count == 0 { Ok(()) } else { self.write(&Line::Refund { event, count }) }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), LedgerError> {
        let written = serde_json::to_vec(line).map_err(std::io::Error::from).and_then(|mut text| {
            text.push(b'\n');
            self.file.write_all(&text)
        });
        self.check(written)
    }

    fn sync(&mut self) -> Result<(), LedgerError> {
        let synced = self.file.sync_data();
        self.check(synced)
    }

    /// Makes the file's name durable too.
    fn sync_parent(&mut self) -> Result<(), LedgerError> {
        let parent = self.path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let synced = if cfg!(unix) { File::open(parent).and_then(|parent| parent.sync_all()) } else { Ok(()) };
        self.check(synced)
    }

    /// A failed write breaks the book: what follows it could not be read.
    fn check(&mut self, outcome: std::io::Result<()>) -> Result<(), LedgerError> {
        self.broken |= outcome.is_err();
        outcome.map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }

    fn intact(&self) -> Result<(), LedgerError> {
        if self.broken { Err(LedgerError::Broken { path: self.path.clone() }) } else { Ok(()) }
    }
}
