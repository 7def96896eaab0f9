//! The records of a text file: rows, lines or blocks. Errors name file, line and column, and never the content.
use super::{
    super::{
        encode::{Answers, cell},
        people::Ids,
        table::{Layout, Table},
    },
    DataError, Records, Targets, Text,
};
use ::csv::ByteRecord;
use std::path::{Path, PathBuf};

/// One record.
pub(super) struct Record {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What is read before it; empty where nothing is.
    pub prompt: String,
    /// Its text, never empty.
    pub text: String,
}

/// The records of one file.
pub(super) struct Read<'a> {
    /// The file.
    pub path: PathBuf,
    /// Its records, in order.
    pub records: Vec<Record>,
    /// What is to be predicted of each, unless it is the next tokens.
    pub targets: Option<Targets>,
    /// Whose they are, where that was asked and the file says.
    pub ids: Option<Ids<'a>>,
}

/// What a file's records are for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    /// To train on: each is somebody's, where people are told apart.
    Private,
    /// To measure on.
    Public,
    /// To be answered.
    Questions,
}

impl<'a> Read<'a> {
    /// Takes the last `count` records away, or all records of the last `count` people to come up.
    pub(super) fn hold_out(&mut self, count: usize) -> Result<Read<'a>, DataError> {
        let (units, of): (usize, &dyn Fn(usize) -> usize) = match &self.ids {
            Some(ids) => (ids.people(), &|record| ids.of[record] as usize),
            None => (self.records.len(), &|record| record),
        };
        let too_many =
            || DataError::config("held_out", "must be below the number of records, or people, in the training file");
        let rest = units.checked_sub(count).filter(|rest| *rest > 0).ok_or_else(too_many)?;
        let (kept, held): (Vec<usize>, Vec<usize>) = (0..self.records.len()).partition(|record| of(*record) < rest);
        let whole = self.targets.take();
        let [kept_targets, targets] = [&kept, &held].map(|part| whole.as_ref().map(|targets| targets.gather(part)));
        self.targets = kept_targets;
        let mut away = held.iter().copied().peekable();
        let all = std::mem::take(&mut self.records).into_iter().enumerate();
        let (records, rest): (Vec<_>, Vec<_>) = all.partition(|(record, _)| away.next_if_eq(record).is_some());
        self.records = rest.into_iter().map(|(_, record)| record).collect();
        let records = records.into_iter().map(|(_, record)| record).collect();
        let ids = self.ids.as_mut().map(|ids| ids.hold_out(count));
        Ok(Read { path: self.path.clone(), records, targets, ids })
    }
}

impl Text {
    /// The records in the unpacked content of one file; `path` is for messages.
    pub(super) fn read(&self, path: &Path, bytes: &[u8], kind: Kind) -> Result<Read<'_>, DataError> {
        let (mut targets, mut ids) = (None, None);
        let records = match self.records {
            Records::Rows => self.rows(path, bytes, kind, (&mut targets, &mut ids))?,
            Records::Lines => lines(path, bytes)?,
            Records::Blocks => blocks(path, bytes, self.block.unwrap_or(1))?,
        };
        if records.is_empty() {
            return Err(DataError::file(path, "holds no texts"));
        }
        Ok(Read { path: path.to_owned(), records, targets, ids })
    }

    fn rows<'a>(
        &'a self,
        path: &Path,
        bytes: &[u8],
        kind: Kind,
        (targets, ids): (&mut Option<Targets>, &mut Option<Ids<'a>>),
    ) -> Result<Vec<Record>, DataError> {
        let layout = Layout::declared(&self.delimiter, self.quoting, self.header, &self.columns)?;
        let mut table = Table::open(path, bytes, &layout)?;
        let column = |name: &String| Ok::<_, DataError>((table.find(name)?, name.clone()));
        let text = self.text.as_ref().map(column).transpose()?;
        let prompt = self.prompt.as_ref().map(column).transpose()?;
        let mut answers = self.target.as_ref().map(|target| Answers::new(target, &table)).transpose()?;
        *ids = self.ids(&table, kind)?;
        let (mut row, mut records) = (ByteRecord::new(), Vec::new());
        while let Some(line) = table.next(&mut row)? {
            let bad = |column: &str, problem: String| table.bad(line, column, problem);
            let read = |at: &Option<(usize, String)>| match at {
                Some((at, name)) => utf8(cell(&row, *at)).map_err(|problem| bad(name, problem.into())),
                None => Ok(String::new()),
            };
            let record = Record { line, prompt: read(&prompt)?, text: read(&text)? };
            if record.text.is_empty() {
                let name = self.text.as_deref().unwrap_or_default();
                return Err(bad(name, "the text is empty; mend or drop the row".into()));
            }
            if let Some(answers) = &mut answers {
                answers.row(&row).map_err(|problem| bad(problem.column, problem.text))?;
            }
            if let Some(ids) = ids {
                ids.row(&row).map_err(|problem| bad(problem.column, problem.text))?;
            }
            records.push(record);
        }
        *targets = answers.map(Answers::finish);
        Ok(records)
    }

    /// Whose rows are: a public file need not say.
    fn ids(&self, table: &Table, kind: Kind) -> Result<Option<Ids<'_>>, DataError> {
        let Some((column, _)) = self.person()?.filter(|_| kind != Kind::Questions) else { return Ok(None) };
        match Ids::new(column, None, table) {
            Err(_) if kind == Kind::Public => Ok(None),
            ids => ids.map(Some),
        }
    }
}

fn utf8(bytes: &[u8]) -> Result<String, &'static str> {
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| "is not UTF-8; convert the file")
}

fn lines(path: &Path, bytes: &[u8]) -> Result<Vec<Record>, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let numbered = (1..).zip(bytes.split(|byte| *byte == b'\n')).map(|(line, text)| (line, text.trim_ascii()));
    let record = |(line, text): (u64, &[u8])| {
        let text = utf8(text).map_err(|problem| DataError::line(path, line, problem))?;
        Ok(Record { line, prompt: String::new(), text })
    };
    numbered.filter(|(_, text)| !text.is_empty()).map(record).collect()
}

/// `size` characters a record, the last one shorter: a block depends on its own characters alone.
fn blocks(path: &Path, bytes: &[u8], size: usize) -> Result<Vec<Record>, DataError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let line_at = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count() as u64;
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|e| DataError::line(path, line_at(e.valid_up_to()), "is not UTF-8; convert the file"))?;
    let starts: Vec<usize> = text.char_indices().step_by(size).map(|(at, _)| at).collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mut line = 1;
    let block = |(from, to): (&usize, usize)| {
        let text = text[*from..to].to_owned();
        let record = Record { line, prompt: String::new(), text };
        line += record.text.bytes().filter(|byte| *byte == b'\n').count() as u64;
        record
    };
    Ok(starts.iter().zip(ends).map(block).collect())
}
