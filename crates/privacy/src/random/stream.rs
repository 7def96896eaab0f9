//! One stream of random words: a pure function of the index.
//!
//! # Why this is private
//!
//! Claim: element `i` of a stream is the same number however a range is split over calls, threads or devices, and
//! different elements never share a word, save the two normals of a Box-Muller pair, which are independent.
//!
//! Argument: word `i` is 64 bits of ChaCha20 key stream (RFC 8439) at position `2 i`; a pair of normals `2k`, `2k + 1` is
//! made whole from words `2k`, `2k + 1`, and what was not asked for is dropped.
//!
//! Checked by: `super::tests::how_a_range_is_split_does_not_matter`, `super::tests::the_cipher_is_rfc_8439`.

use super::{generator, keystream, normal};
use chacha20::rand_core::Rng;
use zeroize::Zeroize;

/// Words made at a time: whole cipher blocks, small enough for the stack.
const BATCH: usize = 256;

/// The random words of one (key, purpose, step, slot). Element `i` of anything below depends on `i` alone, never on how
/// a range is split.
pub struct Stream {
    key: [u8; 32],
    nonce: u64,
}

impl Stream {
    pub(super) fn new(key: [u8; 32], nonce: u64) -> Self {
        Stream { key, nonce }
    }

    /// Lends the key and the nonce to a cipher elsewhere, such as a GPU's, that makes the same words: word `i` is the two
    /// halves, low first, of position `2 i` of ChaCha20's key stream with a 64-bit counter from 0. `to` must not keep them.
    pub fn lend<R>(&self, to: impl FnOnce(&[u8; 32], u64) -> R) -> R {
        to(&self.key, self.nonce)
    }

    /// The word at `index`, uniform over all 64-bit words.
    pub fn word(&self, index: u64) -> u64 {
        let mut word = [0];
        self.fill_words(index, &mut word);
        word[0]
    }

    /// The words at `from`, `from + 1`, ... Past the last index the stream starts over.
    pub fn fill_words(&self, from: u64, out: &mut [u64]) {
        let head = (from.wrapping_neg() % keystream::BLOCK as u64) as usize;
        let ends = from.checked_add(out.len() as u64).is_some();
        if !keystream::available() || !ends || out.len() < head + keystream::WORDS {
            return self.fill_few(from, out);
        }
        let (head, rest) = out.split_at_mut(head);
        let (bulk, tail) = rest.split_at_mut(rest.len() / keystream::WORDS * keystream::WORDS);
        let first = from + head.len() as u64;
        keystream::fill(&self.key, self.nonce, first, bulk);
        self.fill_few(from, head);
        self.fill_few(first + bulk.len() as u64, tail);
    }

    /// As [`Stream::fill_words`], by the `chacha20` crate.
    fn fill_few(&self, from: u64, out: &mut [u64]) {
        if out.is_empty() {
            return;
        }
        let mut generator = generator(&self.key, self.nonce);
        generator.set_word_pos(u128::from(from) * 2);
        let mut bytes = [0; 8 * BATCH];
        for piece in out.chunks_mut(BATCH) {
            let bytes = &mut bytes[..8 * piece.len()];
            generator.fill_bytes(bytes);
            for (word, raw) in piece.iter_mut().zip(bytes.as_chunks().0) {
                *word = u64::from_le_bytes(*raw);
            }
        }
    }

    /// The uniform at `index`: a multiple of `2^-53` in `[0, 1)`, from the word at `index`.
    pub fn uniform(&self, index: u64) -> f64 {
        normal::uniform(self.word(index))
    }

    /// The uniforms at `from`, `from + 1`, ..., each rounded once: in `[0, 1]`.
    pub fn fill_uniform(&self, mut from: u64, out: &mut [f32]) {
        let mut words = [0; BATCH];
        for piece in out.chunks_mut(BATCH) {
            let words = &mut words[..piece.len()];
            self.fill_words(from, words);
            piece.iter_mut().zip(&*words).for_each(|(slot, word)| *slot = normal::uniform(*word) as f32);
            from = from.wrapping_add(piece.len() as u64);
        }
    }

    /// The standard normal at `index`. Elements `2k` and `2k + 1` come from words `2k` and `2k + 1`.
    pub fn normal(&self, index: u64) -> f64 {
        let mut out = [0.0];
        self.fill_normal_f64(index, &mut out);
        out[0]
    }

    /// The standard normals at `from`, `from + 1`, ..., each made in `f64` and rounded once.
    pub fn fill_normal(&self, from: u64, out: &mut [f32]) {
        self.each_batch(from, out, normal::round);
    }

    /// `out[j] += by z[j]` for the standard normals `z` that [`Stream::fill_normal`] makes; products are taken in `f64`.
    pub fn add_normal(&self, from: u64, by: f64, out: &mut [f32]) {
        self.each_batch(from, out, |normals, out| normal::add_rounded(normals, by, out));
    }

    /// The standard normals at `from`, `from + 1`, ...
    pub fn fill_normal_f64(&self, from: u64, out: &mut [f64]) {
        self.each_batch(from, out, |normals, out| out.copy_from_slice(normals));
    }

    /// `work` on some normals and as many elements of `out` after the other.
    fn each_batch<T>(&self, mut from: u64, mut out: &mut [T], work: impl Fn(&[f64], &mut [T])) {
        let mut words = [0; BATCH];
        let mut normals = [0.0; BATCH];
        while !out.is_empty() {
            // Whole blocks of the cipher are made fastest.
            let skip = (from % keystream::BLOCK as u64) as usize;
            let take = out.len().min(BATCH - skip);
            let made = (skip + take).next_multiple_of(2);
            self.fill_words(from - skip as u64, &mut words[..made]);
            normal::box_muller(&words[..made], &mut normals[..made]);
            let (now, later) = out.split_at_mut(take);
            work(&normals[skip..skip + take], now);
            (out, from) = (later, from.wrapping_add(take as u64));
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
