//! The one book of what was spent.
//!
//! # Why this is private
//!
//! Claim: at every moment, including after a crash at any byte of any write, the ledger on disk accounts for at least
//! all that has left through [`Round::release`] and [`Secret::reveal`](crate::Secret::reveal).
//!
//! Argument: both charge first, and the charge returns only after the line is written and synced; nothing leaves if that
//! fails. Charges are written ahead, several rounds in one line, so that not every step waits for the disk; what was not
//! used is refunded, and a refund is written only after every charge it rests on is durable. A refund lost in a crash
//! over-reports. A last line torn by a crash is a charge whose release never happened, or a refund: dropping it is
//! sound. After a failed write the book is broken and releases nothing more. Forgetting a [`Round`] or a `Ledger`
//! (`mem::forget`) only skips refunds. Releases of one draw are one [`Event::Round`], priced jointly; the noise of each
//! comes from its own stream, and a draw, or an earlier step of its key, cannot be released from twice. Rounds whose examples come back in order
//! are one run only while their steps follow each other: what is priced by its length holds nobody more often.
//!
//! Citation: privacy filters and odometers need an append-only record of what was asked (Rogers et al. 2016); the
//! write-ahead rule is that of databases (Mohan et al. 1992, ARIES), with the sign of the error chosen for privacy.
//!
//! Checked by: `tests::a_crash_never_under_reports` (every byte of every file of random sequences),
//! `tests::nothing_leaves_when_the_disk_fails`, `tests::forgetting_is_not_forgiving`,
//! `round::tests::no_two_releases_share_noise`.

mod book;
mod line;
mod round;

pub use round::Round;

use crate::{Draw, Event, Neighbouring, Sampling};
use book::Book;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Why the ledger refused.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is a file already; a ledger never overwrites one.
    #[error("{path}: there is a ledger already; continue it, or choose another place", path = path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Another process is writing this ledger.
    #[error("{path}: another process is writing this ledger", path = path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read or written. Nothing was released.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// An earlier write failed, so that what is on disk is unknown. Nothing was released.
    #[error("{path}: an earlier write to this ledger failed; it accepts no more", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
    },
    /// A line makes no sense.
    #[error("{path}:{line}: {why}", path = path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// The bound of a sum is negative, infinite or not a number, or too large to be noised.
    #[error("a bound of {bound} cannot be noised: it must be finite and not negative")]
    Bound {
        /// The bound that was vouched for.
        bound: f64,
    },
    /// The mechanism's event is neither a Gaussian nor a season with a finite multiplier that is not negative.
    #[error("{event:?} is not a Gaussian release, or one of a season, with a finite noise multiplier >= 0")]
    Mechanism {
        /// What the mechanism said it is.
        event: Event,
    },
    /// This draw, or a later one of the same key, has been released from: its noise would be used twice.
    #[error("step {step} of this key is already in the ledger, or before one that is: its noise would be used twice")]
    Reused {
        /// The step of the draw.
        step: u64,
    },
    /// Correlated noise does not pay for what was drawn.
    #[error("noise that is correlated over rounds does not cover this release: {why}")]
    Season {
        /// What the season assumes and this release does not keep.
        why: &'static str,
    },
    /// What is remembered of examples from round to round tells of others where they are not drawn by coins of their own.
    #[error(
        "what is remembered of examples is private where each is drawn by its own coin (train.sampling = \"poisson\"), and not where they are drawn {sampling}"
    )]
    Remembered {
        /// How they were drawn.
        sampling: Sampling,
    },
    /// Batches of a shuffled epoch whose beginning nobody saw.
    #[error(
        "step {step} is in the middle of an epoch of {batches} shuffled batches: begin with one that is a multiple of that, so that epochs are counted"
    )]
    Midway {
        /// The step of the draw.
        step: u64,
        /// Rounds of an epoch.
        batches: u64,
    },
    /// More releases from one draw than there are noise streams.
    #[error("a round holds at most 256 releases")]
    Crowded,
}

/// The round being written.
struct Open {
    sampling: Sampling,
    releases: Vec<Event>,
    step: u64,
    key: u64,
}

impl Open {
    fn event(&self) -> Option<Event> {
        let round = || Event::Round { sampling: self.sampling.clone(), releases: self.releases.clone() };
        (!self.releases.is_empty()).then(round)
    }
}

/// The season that releases belong to now.
#[derive(Clone, Debug, PartialEq)]
struct Live {
    event: Event,
    /// The key whose noise it is.
    key: u64,
    /// Its first step.
    first: u64,
    /// Releases that it still pays for.
    left: u64,
    /// How its draws are made; not known before the first in this process.
    sampling: Option<Sampling>,
}

impl Live {
    fn new(event: Event, key: u64, first: u64) -> Self {
        let left = Self::rounds(&event);
        Live { event, key, first, left, sampling: None }
    }

    fn rounds(event: &Event) -> u64 {
        if let Event::Season { strategy, .. } = event { strategy.rounds() } else { 0 }
    }

    /// Whether it pays for a release of this round: of its event, its key, its stretch of steps and its way of drawing, since an example has other
    /// places among batches of another number.
    fn pays(&self, event: &Event, open: &Open) -> bool {
        let inside = open.step.checked_sub(self.first).is_some_and(|at| at < Self::rounds(event));
        let drawn_so = self.sampling.as_ref().is_none_or(|sampling| *sampling == open.sampling);
        self.event == *event && self.key == open.key && self.left > 0 && inside && drawn_so
    }
}

/// What was spent, in order, run-length coded. The round being written is already in it.
///
/// In memory it holds exactly the rounds that were made. On disk it holds at least those: see the module page.
pub struct Ledger {
    neighbouring: Neighbouring,
    entries: Vec<(Event, u64)>,
    /// How many of them are by the draws of other keys than the one that draws now.
    fence: usize,
    /// The key by whose draws examples come back in order.
    draws: Option<u64>,
    open: Option<Open>,
    season: Option<Live>,
    book: Option<Book>,
    /// The last step released from, for each key by its fingerprint.
    last: HashMap<u64, u64>,
    torn: bool,
}

impl Ledger {
    /// An empty ledger in memory, which dies with the process. For tests and rehearsals.
    pub fn new(neighbouring: Neighbouring) -> Self {
        Self::planned(neighbouring, Vec::new())
    }

    /// A ledger of something imagined, to be priced. Nothing is released by it.
    pub fn planned(neighbouring: Neighbouring, entries: Vec<(Event, u64)>) -> Self {
        Ledger {
            neighbouring,
            fence: 0,
            draws: None,
            entries,
            open: None,
            season: None,
            book: None,
            last: HashMap::new(),
            torn: false,
        }
    }

    /// A new ledger on disk, locked against other writers until it is dropped.
    ///
    /// # Errors
    /// When there is a file at `path` already, or it cannot be made durable.
    pub fn create(path: impl AsRef<Path>, neighbouring: Neighbouring) -> Result<Self, LedgerError> {
        let book = Book::create(path.as_ref(), neighbouring)?;
        let mut ledger = Self::new(neighbouring);
        ledger.book = Some(book);
        Ok(ledger)
    }

    /// Reads a ledger from disk, to be priced. It is not continued: what is charged to the result stays in memory.
    ///
    /// # Errors
    /// Names the file and the line that makes no sense. A torn last line is not an error: see [`Ledger::torn`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        let read = line::read(path.as_ref())?;
        let mut ledger = Self::planned(read.neighbouring, read.entries);
        ledger.torn = read.torn;
        Ok(ledger)
    }

    /// Continues a ledger on disk, after a crash too: a torn last line is cut off, and rounds that were written ahead and
    /// never refunded stay charged.
    ///
    /// # Errors
    /// As [`Ledger::read`], and when another process is writing it.
    pub fn resume(path: impl AsRef<Path>) -> Result<Self, LedgerError> {
        let (book, read) = Book::resume(path.as_ref())?;
        let mut ledger = Self::planned(read.neighbouring, read.entries);
        (ledger.book, ledger.torn) = (Some(book), read.torn);
        (ledger.season, ledger.draws, ledger.fence) = (read.season, read.draws, read.fence);
        Ok(ledger)
    }

    /// A copy in memory, to imagine on what comes next and price it.
    #[must_use]
    pub fn imagine(&self) -> Ledger {
        let mut copy = Self::planned(self.neighbouring, self.entries());
        (copy.season, copy.draws, copy.fence) = (self.season.clone(), self.draws, self.fence);
        copy
    }

    /// The relation under which everything here is charged.
    pub fn neighbouring(&self) -> Neighbouring {
        self.neighbouring
    }

    /// What was spent, run-length coded, with the round still open.
    pub fn entries(&self) -> Vec<(Event, u64)> {
        let mut entries = self.entries.clone();
        if let Some(round) = self.open.as_ref().and_then(Open::event) {
            line::push(&mut entries, self.fence, round, 1);
        }
        entries
    }

    /// How many rounds released something, the open one included.
    pub fn rounds(&self) -> u64 {
        self.entries().iter().filter(|(event, _)| matches!(event, Event::Round { .. })).map(|(_, n)| n).sum()
    }

    /// Whether the last line of the file had been torn by a crash, and was dropped.
    pub fn torn(&self) -> bool {
        self.torn
    }

    /// Opens the round of one draw. It costs nothing until something is released from it.
    pub fn open(&mut self, draw: &Draw) -> Round<'_> {
        self.seal();
        let (step, key) = (draw.step(), draw.key().fingerprint());
        self.open = Some(Open { sampling: draw.sampling().clone(), releases: Vec::new(), step, key });
        Round::new(self, draw)
    }

    /// Refunds what was written ahead and not used, and makes that durable. Dropping the ledger does the same, and
    /// cannot say when it failed. The ledger stays usable.
    ///
    /// # Errors
    /// When the file cannot be written; it then over-reports.
    pub fn close(&mut self) -> Result<(), LedgerError> {
        self.seal();
        self.book.as_mut().map_or(Ok(()), Book::close)
    }

    /// Charges one release of the open round, durably, and says which release of the round it is.
    fn charge(&mut self, release: Event) -> Result<u8, LedgerError> {
        let Some(open) = self.open.as_ref() else { unreachable!("a Round borrows the ledger that opened it") };
        let slot = u8::try_from(open.releases.len()).map_err(|_| LedgerError::Crowded)?;
        if slot == 0 && self.last.get(&open.key).is_some_and(|last| *last >= open.step) {
            return Err(LedgerError::Reused { step: open.step });
        }
        if slot == 0 && open.sampling.recurs() && self.begins_anew(open)? {
            (self.draws, self.fence) = (Some(open.key), self.entries.len());
            if let Some(book) = &mut self.book {
                book.draws(open.key)?;
            }
        }
        let release = if matches!(release, Event::Season { .. }) { self.ticket(release)? } else { release };
        let most = if matches!(release, Event::Prepaid { .. }) { self.season.as_ref().map(|s| s.left) } else { None };
        let Some(open) = self.open.as_mut() else { unreachable!("it was open before") };
        let releases = open.releases.iter().cloned().chain([release.clone()]).collect();
        let round = Event::Round { sampling: open.sampling.clone(), releases };
        if let Some(book) = &mut self.book {
            book.cover(&round, self.entries.last(), most.map_or(u64::MAX, |left| left + 1))?;
        }
        self.last.insert(open.key, open.step);
        open.releases.push(release);
        Ok(slot)
    }

    /// Whether rounds of examples that come back in order begin again with this one: by another key, or after steps that were left out, over which the same
    /// examples may have come back.
    fn begins_anew(&self, open: &Open) -> Result<bool, LedgerError> {
        if let Sampling::Shuffled { batches } = open.sampling
            && !open.step.is_multiple_of(batches)
            && !self.entries.iter().any(|(event, _)| event.recurs())
        {
            return Err(LedgerError::Midway { step: open.step, batches });
        }
        let follows = self.last.get(&open.key).is_none_or(|last| last.checked_add(1) == Some(open.step));
        Ok(self.draws != Some(open.key) || !follows)
    }

    /// Takes one release of the season that pays for the open round, durably bought first if none does.
    fn ticket(&mut self, season: Event) -> Result<Event, LedgerError> {
        let (Some(open), Event::Season { strategy, noise_multiplier }) = (&self.open, &season) else {
            unreachable!("a Round of a season asks")
        };
        if open.releases.iter().any(|release| matches!(release, Event::Prepaid { .. })) {
            return Err(LedgerError::Season { why: "it pays for one release of a round, and this is the second" });
        }
        strategy.admits(&open.sampling).map_err(|why| LedgerError::Season { why })?;
        let prepaid = Event::Prepaid { noise_multiplier: *noise_multiplier };
        if !self.season.as_ref().is_some_and(|live| live.pays(&season, open)) {
            let live = Live::new(season.clone(), open.key, open.step);
            if let Some(book) = &mut self.book {
                book.ticket(&live)?;
            }
            line::push(&mut self.entries, self.fence, season, 1);
            self.season = Some(live);
        }
        if let Some(live) = &mut self.season {
            live.left -= 1;
            live.sampling.get_or_insert_with(|| open.sampling.clone());
        }
        Ok(prepaid)
    }

    /// Charges something that is not a round, durably.
    pub(crate) fn post(&mut self, event: Event) -> Result<(), LedgerError> {
        self.seal();
        if let Some(book) = &mut self.book {
            book.look(&event)?;
        }
        line::push(&mut self.entries, self.fence, event, 1);
        Ok(())
    }

    /// Rules a line under the open round. What fails here over-reports on disk, and is told by the next charge.
    fn seal(&mut self) {
        if let Some(round) = self.open.take().and_then(|open| open.event()) {
            if let Some(book) = &mut self.book {
                book.seal(&round);
            }
            line::push(&mut self.entries, self.fence, round, 1);
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        // A refund that fails over-reports: nothing to do about it here.
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests;
