//! From the tokens of one record to one example of a fixed length.
//!
//! To classify, a text's tokens stand in front and padding behind. To learn to write, an example is
//! `prompt, start, text, end`: each position but the last is an input and the token after it the target, from `start` on; a
//! prompt's own tokens and padding are not predicted. Where there is no prompt, `start` comes first. A block of a long text
//! does not end.
use super::{super::targets::Targets, tokenizer::Tokenizer};
use std::{iter::repeat_n, ops::Add};

/// What every record is put into.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// What makes tokens.
    pub tokenizer: &'a dyn Tokenizer,
    /// Positions.
    pub length: usize,
    /// Whether next tokens are predicted.
    pub next: bool,
    /// Whether a text that is whole ends in a mark.
    pub ends: bool,
}

/// One record in its frame.
pub(super) struct Framed {
    /// `length` ids.
    pub inputs: Vec<u32>,
    /// `length` ids or [`Targets::NO_TOKEN`]; none where the target is not a token.
    pub targets: Vec<u32>,
    /// What was kept of it.
    pub kept: Kept,
}

/// What was kept of some records. Of private ones this is private.
#[derive(Clone, Copy, Default)]
pub(super) struct Kept {
    /// Records.
    pub records: usize,
    /// Of these, how many were cut.
    pub cut: usize,
    /// Bytes of text that are predicted.
    pub bytes: u64,
}

impl Add for Kept {
    type Output = Kept;

    fn add(self, other: Kept) -> Kept {
        Kept { records: self.records + other.records, cut: self.cut + other.cut, bytes: self.bytes + other.bytes }
    }
}

impl std::iter::Sum for Kept {
    fn sum<I: Iterator<Item = Kept>>(all: I) -> Kept {
        all.fold(Kept::default(), Kept::add)
    }
}

impl Kept {
    /// What a reader of scores on these (public) records should know.
    pub(super) fn remark(&self, length: usize) -> Option<String> {
        (self.cut > 0).then(|| {
            format!(
                "{} of the {} evaluation texts are longer than `length = {length}` and were cut: scores are of what was left.",
                self.cut, self.records
            )
        })
    }
}

impl Frame<'_> {
    /// One record as one example.
    pub(super) fn example(&self, prompt: &str, text: &str) -> Result<Framed, String> {
        if self.next { self.written(prompt, text) } else { self.read(text) }
    }

    fn read(&self, text: &str) -> Result<Framed, String> {
        let mut tokens = self.tokenizer.encode(text)?;
        let cut = tokens.len() > self.length;
        if cut {
            tokens = self.tokenizer.shorten(text, tokens, self.length)?;
        }
        let inputs = self.padded(tokens.iter().map(|token| token.id), self.tokenizer.padding());
        Ok(Framed { inputs, targets: Vec::new(), kept: Kept { records: 1, cut: usize::from(cut), bytes: 0 } })
    }

    fn written(&self, prompt: &str, text: &str) -> Result<Framed, String> {
        let before = self.opening(prompt)?;
        let tokens = self.tokenizer.encode(text)?;
        let end = self.tokenizer.marks().filter(|_| self.ends).map(|marks| marks.end);
        let all = || before.iter().copied().chain(tokens.iter().map(|token| token.id)).chain(end);
        let first = before.len() - 1;
        let inputs =
            self.padded(all().take(before.len() + tokens.len() + usize::from(self.ends) - 1), self.tokenizer.padding());
        let asked = all().enumerate().skip(1).map(|(at, id)| if at > first { id } else { Targets::NO_TOKEN });
        let targets = self.padded(asked, Targets::NO_TOKEN);
        let predicted = self.length.saturating_sub(first).min(tokens.len());
        let bytes = match predicted {
            0 => 0,
            k if k == tokens.len() => text.len(),
            k => tokens[k - 1].end,
        };
        let cut = usize::from(all().count() - 1 > self.length);
        Ok(Framed { inputs, targets, kept: Kept { records: 1, cut, bytes: bytes as u64 } })
    }

    /// The ids that a text to be written follows.
    pub(crate) fn opening(&self, prompt: &str) -> Result<Vec<u32>, String> {
        let start = self.tokenizer.marks().map(|marks| marks.start);
        let prompt = if prompt.is_empty() { Vec::new() } else { self.tokenizer.encode(prompt)? };
        Ok(prompt.iter().map(|token| token.id).chain(start).collect())
    }

    fn padded(&self, ids: impl Iterator<Item = u32>, with: u32) -> Vec<u32> {
        ids.chain(repeat_n(with, self.length)).take(self.length).collect()
    }
}
