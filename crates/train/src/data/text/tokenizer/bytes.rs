//! One token for each byte of UTF-8, as in ByT5 (Xue et al. 2021, arXiv 2105.13626): nothing is learnt, nothing is unknown.
use super::{Asked, DataError, Marks, Open, Token, Tokenizer};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// `tokenizer = "bytes"`: id 0 is padding, 1 ends a text, 2 starts one, and byte `b` has id `b + 3`, as in ByT5.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bytes {}

const FIRST: u32 = 3;

impl Open for Bytes {
    fn open(&self, _: &Path, _: Asked) -> Result<Box<dyn Tokenizer>, DataError> {
        Ok(Box::new(*self))
    }
}

impl Tokenizer for Bytes {
    fn vocabulary(&self) -> u32 {
        FIRST + 256
    }
    fn padding(&self) -> u32 {
        0
    }
    fn marks(&self) -> Option<Marks> {
        Some(Marks { start: 2, end: 1 })
    }
    fn encode(&self, text: &str) -> Result<Vec<Token>, String> {
        Ok(text.bytes().zip(1..).map(|(byte, end)| Token { id: FIRST + u32::from(byte), end }).collect())
    }
    fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().filter_map(|id| u8::try_from(id.checked_sub(FIRST)?).ok()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ids of Hugging Face's `ByT5Tokenizer` for "Ünïcode!", without its end mark, from its documentation's rule: UTF-8 + 3.
    #[test]
    fn ids_are_byt5s() {
        let ids = |text: &str| Bytes {}.encode(text).unwrap().iter().map(|token| token.id).collect::<Vec<_>>();
        assert_eq!(ids("Life"), [79, 108, 105, 104]);
        assert_eq!(ids("Ü!"), [198, 159, 36]);
        assert_eq!(Bytes {}.encode("Ü!").unwrap().last().map(|token| token.end), Some(3));
    }

    #[test]
    fn what_is_decoded_is_what_was_encoded() {
        let text = "naïve — 数\u{0}\n";
        let ids: Vec<u32> = Bytes {}.encode(text).unwrap().iter().map(|token| token.id).collect();
        assert_eq!(Bytes {}.decode(&ids), text);
        assert_eq!(Bytes {}.decode(&[2, 107, 108, 1, 0, 0, 259, u32::MAX]), "hi");
        assert!(ids.iter().all(|id| *id < Bytes {}.vocabulary()));
    }
}
