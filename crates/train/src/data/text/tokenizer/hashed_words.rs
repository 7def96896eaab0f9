//! Words by the hashing trick (Weinberger et al. 2009, arXiv 0902.2206), with runs of words as in fastText (Joulin et al. 2016,
//! arXiv 1607.01759): each has the id that its hash says, so that no list of words is needed. Unlike words may share an id.
use super::{Asked, DataError, Marks, Open, Token, Tokenizer};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `{ tokenizer = "hashed-words", vocabulary = 4096, runs = 2 }`. A word is a run of letters and digits, in lower case, or one
/// other character that is no space; id 0 is padding. Words come first, then pairs of neighbours, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HashedWords {
    /// Ids there are, padding among them.
    pub vocabulary: u32,
    /// The longest run of words that has an id: 1 for words alone, 2 for pairs too.
    #[serde(default = "one")]
    pub runs: usize,
}

fn one() -> usize {
    1
}

impl Open for HashedWords {
    fn open(&self, _: &Path, _: Asked) -> Result<Box<dyn Tokenizer>, DataError> {
        if !(2..=1 << 24).contains(&self.vocabulary) {
            return Err(DataError::config("tokenizer.vocabulary", "must be between 2 and 2^24"));
        }
        if !(1..=5).contains(&self.runs) {
            return Err(DataError::config("tokenizer.runs", "must be between 1 and 5"));
        }
        Ok(Box::new(*self))
    }
}

impl Tokenizer for HashedWords {
    fn vocabulary(&self) -> u32 {
        self.vocabulary
    }
    fn padding(&self) -> u32 {
        0
    }
    fn marks(&self) -> Option<Marks> {
        None
    }
    fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        let words = words(text);
        let runs = (1..=self.runs).flat_map(|size| words.windows(size));
        let token = |run: &[(String, usize)]| Token { id: self.id(run), end: run.last().map_or(0, |word| word.1) };
        Ok(runs.map(token).collect())
    }
    fn decode(&self, _: &[u32]) -> String {
        String::new()
    }
}

impl HashedWords {
    fn id(&self, run: &[(String, usize)]) -> u32 {
        let bytes = run.iter().flat_map(|(word, _)| word.bytes().chain([b' ']));
        // FNV-1a, and the last mix of MurmurHash3: low bits of the former alone are poor.
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, |h: u64, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
        let mix = |h: u64, by: u64| (h ^ (h >> 33)).wrapping_mul(by);
        let hash = mix(mix(hash, 0xff51_afd7_ed55_8ccd), 0xc4ce_b9fe_1a85_ec53);
        1 + ((hash ^ (hash >> 33)) % u64::from(self.vocabulary - 1)) as u32
    }
}

/// The words of a text in lower case, and where each ends.
fn words(text: &str) -> Vec<(String, usize)> {
    let mut words: Vec<(String, usize)> = Vec::new();
    let mut inside = false;
    for (at, c) in text.char_indices() {
        let letter = c.is_alphanumeric();
        if !c.is_whitespace() {
            let end = at + c.len_utf8();
            match words.last_mut().filter(|_| inside && letter) {
                Some((word, until)) => {
                    word.extend(c.to_lowercase());
                    *until = end;
                }
                None => words.push((c.to_lowercase().collect(), end)),
            }
        }
        inside = letter;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_of_letters_and_single_marks() {
        let found = words("It's  a Straße-42!");
        let found: Vec<&str> = found.iter().map(|(word, _)| word.as_str()).collect();
        assert_eq!(found, ["it", "'", "s", "a", "straße", "-", "42", "!"]);
        assert!(words(" \t").is_empty());
    }

    #[test]
    fn ids_are_the_same_everywhere_and_never_padding() {
        let make = HashedWords { vocabulary: 5, runs: 2 };
        let ids = |text: &str| make.encode(text).unwrap().iter().map(|token| token.id).collect::<Vec<_>>();
        let text = "one two three four five six seven eight nine ten";
        assert_eq!(ids(text).len(), 19);
        assert!(ids(text).iter().all(|id| (1..5).contains(id)));
        assert_eq!(ids("Good GOOD good")[..3], [ids("good")[0]; 3]);
        // A pair is not the word that its letters would make.
        let wide = HashedWords { vocabulary: 1 << 24, runs: 2 };
        let of = |text: &str| wide.encode(text).unwrap().iter().map(|token| token.id).collect::<Vec<_>>();
        assert_ne!(of("a b")[2], of("ab")[0]);
    }
}
