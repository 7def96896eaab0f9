//! One stream of random words: a pure function of the index.
//!
//! # Why this is private
//!
//! Claim: element `i` of a stream is the same number however a range is split over calls, threads or devices, and
//! different elements never share a word, save the two normals of a Box-Muller pair, which are independent.
//!
//! Argument: the `2^64` blocks of a key stream (RFC 8439) are divided once and for all. Word `i` is 64 bits at position `2 i`, in
//! blocks below `2^61`; a pair of doubles `2k`, `2k + 1` is made whole from words `2k`, `2k + 1`, and what was not asked for is
//! dropped. The pair of f32 normals `2k`, `2k + 1` is made from word `k` of the blocks from `2^61` on, of which there are `2^60`, and
//! if that is [rare](bulk::rare) from block `2^63 + k` besides.
//!
//! Checked by: `super::tests::how_a_range_is_split_does_not_matter`, `super::tests::the_cipher_is_rfc_8439`,
//! `super::tests::bulk_noise_has_blocks_of_its_own`.

use super::{bulk, generator, keystream, normal};
use chacha20::rand_core::Rng;
use zeroize::Zeroize;

/// Words made at a time: whole cipher blocks, small enough for the stack.
const BATCH: usize = 256;
/// The blocks that words, and all that is made from them, are in begin here,
const WORDS: u64 = 0;
/// those that f32 normals are made from here,
const NORMALS: u64 = 1 << 61;
/// and those that divide rare radii further here.
const DIVISIONS: u64 = 1 << 63;

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
    /// halves, low first, of position `2 i` of ChaCha20's key stream with a 64-bit counter from 0; f32 normals are in blocks
    /// of their own (see the argument above). `to` must not keep them: the key is that of all streams of the run, noise included, where
    /// it is the run's own.
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
        let (before, after) = out.split_at_mut(out.len().min(until_the_end(from)));
        self.fill_part(WORDS, from, before);
        self.fill_part(WORDS, 0, after);
    }

    /// The words at `from`, `from + 1`, ..., counted from block `part`.
    fn fill_part(&self, part: u64, from: u64, out: &mut [u64]) {
        let head = (from.wrapping_neg() % keystream::BLOCK as u64) as usize;
        if !keystream::available() || out.len() < head + keystream::WORDS {
            return self.fill_few(part, from, out);
        }
        let (head, rest) = out.split_at_mut(head);
        let (bulk, tail) = rest.split_at_mut(rest.len() / keystream::WORDS * keystream::WORDS);
        let first = from + head.len() as u64;
        keystream::fill(&self.key, self.nonce, part + first / keystream::BLOCK as u64, bulk);
        self.fill_few(part, from, head);
        self.fill_few(part, first.wrapping_add(bulk.len() as u64), tail);
    }

    /// As [`Stream::fill_part`], by the `chacha20` crate.
    fn fill_few(&self, part: u64, from: u64, out: &mut [u64]) {
        if out.is_empty() {
            return;
        }
        let mut generator = generator(&self.key, self.nonce);
        generator.set_word_pos((u128::from(part) << 4) + u128::from(from) * 2);
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

    /// The standard normals at `from`, `from + 1`, ..., with the radii and angles of 53 bits.
    pub fn fill_normal_f64(&self, from: u64, out: &mut [f64]) {
        let make = |first, words: &mut [u64], normals: &mut [f64; BATCH]| {
            self.fill_words(first, words);
            normal::box_muller(words, &mut normals[..words.len()]);
        };
        each_batch(from, out, make, |normals, out| out.copy_from_slice(normals));
    }

    /// The bulk normals at `from`, `from + 1`, ..., for noise in f32. They are others than those in f64, and independent of them.
    pub fn fill_normal(&self, from: u64, out: &mut [f32]) {
        each_batch(from, out, self.bulk(), |normals, out| out.copy_from_slice(normals));
    }

    /// `out[j] += by z[j]` for the normals `z` that [`Stream::fill_normal`] makes; products are taken in `f64`.
    pub fn add_normal(&self, from: u64, by: f64, out: &mut [f32]) {
        each_batch(from, out, self.bulk(), |normals, out| bulk::add(normals, by, out));
    }

    /// What makes bulk normals from number `first` on, two a word.
    fn bulk(&self) -> impl Fn(u64, &mut [u64], &mut [f32; 2 * BATCH]) {
        move |first, words, normals| {
            self.fill_part(NORMALS, first / 2, words);
            bulk::pairs(words, &mut normals[..2 * words.len()]);
            if bulk::any_rare(words) {
                let pairs = words.iter().zip(normals.as_chunks_mut().0).zip(first / 2..);
                let rare = pairs.filter(|((word, _), _)| bulk::rare(**word));
                rare.for_each(|((word, pair), k)| *pair = bulk::rare_pair(*word, self.division(k)));
            }
        }
    }

    /// The 32 bits that divide the radius of pair `k` further.
    fn division(&self, k: u64) -> u32 {
        let mut word = [0];
        self.fill_few(DIVISIONS + k, 0, &mut word);
        word[0] as u32
    }
}

/// How many numbers there are from this index on, or more than can be asked for.
fn until_the_end(from: u64) -> usize {
    match from.wrapping_neg() {
        0 => usize::MAX,
        left => usize::try_from(left).unwrap_or(usize::MAX),
    }
}

/// `work` on some numbers and as many elements of `out` after the other, from number `from` on. `make` is told a number that
/// begins a block of the cipher, and makes one or two (`SIZE` of [`BATCH`]) numbers of each word.
fn each_batch<N: Copy + Default, T, const SIZE: usize>(
    mut from: u64,
    mut out: &mut [T],
    make: impl Fn(u64, &mut [u64], &mut [N; SIZE]),
    work: impl Fn(&[N], &mut [T]),
) {
    let (mut words, mut numbers) = ([0; BATCH], [N::default(); SIZE]);
    let each = SIZE / BATCH;
    while !out.is_empty() {
        // Whole blocks of the cipher are made fastest.
        let skip = (from % (each * keystream::BLOCK) as u64) as usize;
        let take = out.len().min(SIZE - skip).min(until_the_end(from));
        make(from - skip as u64, &mut words[..(skip + take).next_multiple_of(2) / each], &mut numbers);
        let (now, later) = out.split_at_mut(take);
        work(&numbers[skip..skip + take], now);
        (out, from) = (later, from.wrapping_add(take as u64));
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
