//! The ledger's file: a header, and then one charge or refund a line, and a line wherever a season was
//! bought or another key began to draw examples that come back.
//!
//! # Why this is private
//!
//! Claim: what is read is at least what had been released when the file was that long.
//!
//! Argument: every release waited for its charge to be written *with its newline* and synced. A last line without a
//! newline, or one that is not JSON, was therefore never waited for: no release rests on it. Anywhere else such a line
//! is an error, and so is a refund of more than was charged.
//!
//! Checked by: `super::tests::a_crash_never_under_reports`, `super::tests::a_bad_line_is_named`,
//! `super::tests::a_refund_never_exceeds_its_charge`. The write-ahead rule is cited on the parent page.

use super::{LedgerError, Live};
use crate::{Event, Neighbouring};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The version of the file's format.
const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    secateur_ledger: u32,
    neighbouring: Neighbouring,
}

impl Header {
    pub(super) fn new(neighbouring: Neighbouring) -> Self {
        Header { secateur_ledger: VERSION, neighbouring }
    }
}

/// Every other line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    Charge {
        event: Event,
        count: u64,
    },
    Refund {
        event: Event,
        count: u64,
    },
    /// A season was bought, once: its noise is that of one key, from its first step on.
    Season {
        event: Event,
        key: u64,
        first: u64,
    },
    /// Examples come back in order from here on by the draws of this key.
    Draws {
        key: u64,
    },
}

/// What a file says.
pub(super) struct Read {
    pub(super) neighbouring: Neighbouring,
    pub(super) entries: Vec<(Event, u64)>,
    /// The season bought last, with the releases that it still pays for.
    pub(super) season: Option<Live>,
    /// The key by whose draws examples come back, and how many entries there were before its first.
    pub(super) draws: Option<u64>,
    pub(super) fence: usize,
    pub(super) torn: bool,
    /// Length in bytes of the lines that count.
    pub(super) length: u64,
}

/// Adds to a run-length coded list, of which the first `fence` entries are by the draws of other keys: rounds whose examples
/// come back in order do not go on there.
pub(super) fn push(entries: &mut Vec<(Event, u64)>, fence: usize, event: Event, count: u64) {
    let apart = entries.len() == fence && event.recurs();
    match entries.last_mut() {
        Some((last, n)) if *last == event && !apart => *n = n.saturating_add(count),
        _ => entries.push((event, count)),
    }
}

/// Reads a whole file.
pub(super) fn read(path: &Path) -> Result<Read, LedgerError> {
    let bytes = std::fs::read(path).map_err(|source| LedgerError::Io { path: path.to_owned(), source })?;
    parse(&bytes).map_err(|(line, why)| LedgerError::Line { path: path.to_owned(), line, why })
}

/// What the bytes of a file say, or the line that makes no sense and why.
pub(super) fn parse(bytes: &[u8]) -> Result<Read, (usize, String)> {
    let whole = whole_lines(bytes);
    let mut lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().ok_or((1, "there is no whole header line".to_owned()))?;
    let header: Header =
        serde_json::from_slice(first).map_err(|error| (1, format!("not a ledger's header: {error}")))?;
    if header.secateur_ledger != VERSION {
        return Err((1, format!("version {} of the ledger is not known here", header.secateur_ledger)));
    }
    let (mut entries, mut life, mut season, mut draws) = (Vec::new(), Vec::new(), None, None);
    for (at, text) in (2..).zip(lines) {
        match serde_json::from_slice(text).map_err(|error| (at, error.to_string()))? {
            Line::Draws { key } => {
                close(&mut entries, &mut life);
                draws = Some(key);
            }
            Line::Season { event, key, first } => {
                season = Some((Live::new(event.clone(), key, first), prepaid(&entries) + prepaid(&life)));
                push(&mut life, usize::MAX, event, 1);
            }
            line => post(&mut life, line).map_err(|why| (at, why))?,
        }
    }
    let fence = entries.len();
    close(&mut entries, &mut life);
    let used = prepaid(&entries);
    let season = season.map(|(live, before)| Live { left: live.left.saturating_sub(used - before), ..live });
    Ok(Read {
        neighbouring: header.neighbouring,
        entries,
        season,
        draws,
        fence,
        torn: whole < bytes.len(),
        length: whole as u64,
    })
}

/// How many bytes remain without a torn last line.
fn whole_lines(bytes: &[u8]) -> usize {
    let after = |end: usize| bytes[..end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = after(bytes.len());
    let last = after(end.saturating_sub(1));
    let sound = end < bytes.len() || serde_json::from_slice::<serde::de::IgnoredAny>(&bytes[last..end]).is_ok();
    if sound { end } else { last }
}

/// Writes one line into the list. A refund takes back the latest charges of its event.
fn post(entries: &mut Vec<(Event, u64)>, line: Line) -> Result<(), String> {
    let (event, mut count) = match line {
        Line::Charge { event, count } => {
            push(entries, usize::MAX, event, count);
            return Ok(());
        }
        Line::Refund { event, count } => (event, count),
        Line::Draws { .. } | Line::Season { .. } => return Ok(()),
    };
    for (_, charged) in entries.iter_mut().rev().filter(|(other, _)| *other == event) {
        let back = count.min(*charged);
        (*charged, count) = (*charged - back, count - back);
    }
    if count > 0 { Err(format!("a refund of {count} more than was charged")) } else { Ok(()) }
}

/// How many rounds are parts of seasons.
fn prepaid(entries: &[(Event, u64)]) -> u64 {
    let part = |release: &Event| matches!(release, Event::Prepaid { .. });
    let of = |(event, n): &(Event, u64)| match event {
        Event::Round { releases, .. } if releases.iter().any(part) => *n,
        _ => 0,
    };
    entries.iter().map(of).sum()
}

/// Adds the lines of one key's draws to those before, without what was refunded whole.
fn close(entries: &mut Vec<(Event, u64)>, life: &mut Vec<(Event, u64)>) {
    let fence = entries.len();
    life.drain(..).filter(|(_, n)| *n > 0).for_each(|(event, n)| push(entries, fence, event, n));
}
