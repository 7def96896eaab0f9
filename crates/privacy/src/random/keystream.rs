//! The ChaCha20 key stream sixteen blocks at a time, for processors with AVX-512.
//!
//! Noise is most of what a stream is asked for, and the `chacha20` crate makes four blocks at a time, which is less than half
//! as fast. All else, and all other processors, use the crate.
//!
//! # Why this is private
//!
//! Claim: the words are those of the `chacha20` crate.
//!
//! Argument: the block function of RFC 8439, section 2.3, with the 64-bit counter and nonce of the original (Bernstein
//! 2008); lane `l` of every row is block `first + l`. There is no branch or address that depends on the key.
//!
//! Checked by: `tests::the_words_are_those_of_the_crate`, and by whatever checks streams, which compare with RFC 8439.

use multiversion::multiversion;
use zeroize::Zeroize;

/// Blocks made together.
const LANES: usize = 16;
/// Words of 64 bits in a block.
pub(super) const BLOCK: usize = 8;
/// Words made together.
pub(super) const WORDS: usize = LANES * BLOCK;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// One word of the state of every block.
type Row = [u32; LANES];

/// Whether this processor gains by it.
pub(super) fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The words from number `from` on, which begins a block; `out` is a whole number of [`WORDS`].
pub(super) fn fill(key: &[u8; 32], nonce: u64, from: u64, out: &mut [u64]) {
    debug_assert!(from.is_multiple_of(BLOCK as u64) && out.len().is_multiple_of(WORDS));
    let mut state = [0; 16];
    state[..4].copy_from_slice(&CONSTANTS);
    let words = key.as_chunks().0.iter().map(|raw| u32::from_le_bytes(*raw));
    state[4..12].iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
    [state[14], state[15]] = [nonce as u32, (nonce >> 32) as u32];
    let first = from / BLOCK as u64;
    for (out, first) in out.as_chunks_mut().0.iter_mut().zip((first..).step_by(LANES)) {
        blocks(&state, first, out);
    }
    state.zeroize();
}

/// Blocks `first`, `first + 1`, ...
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn blocks(state: &[u32; 16], first: u64, out: &mut [u64; WORDS]) {
    let mut x: [Row; 16] = state.map(|word| [word; LANES]);
    x[12] = std::array::from_fn(|lane| (first + lane as u64) as u32);
    x[13] = std::array::from_fn(|lane| ((first + lane as u64) >> 32) as u32);
    let start = x;
    for _ in 0..10 {
        for [a, b, c, d] in [[0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15]] {
            [x[a], x[b], x[c], x[d]] = quarter_round(x[a], x[b], x[c], x[d]);
        }
        for [a, b, c, d] in [[0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14]] {
            [x[a], x[b], x[c], x[d]] = quarter_round(x[a], x[b], x[c], x[d]);
        }
    }
    x.iter_mut().zip(&start).for_each(|(x, start)| *x = add(*x, *start));
    for (lane, block) in out.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        *block = std::array::from_fn(|k| u64::from(x[2 * k][lane]) | u64::from(x[2 * k + 1][lane]) << 32);
    }
}

#[inline(always)]
fn quarter_round(a: Row, b: Row, c: Row, d: Row) -> [Row; 4] {
    let a = add(a, b);
    let d = turn(d, a, 16);
    let c = add(c, d);
    let b = turn(b, c, 12);
    let a = add(a, b);
    let d = turn(d, a, 8);
    let c = add(c, d);
    [a, turn(b, c, 7), c, d]
}

#[inline(always)]
fn add(x: Row, y: Row) -> Row {
    std::array::from_fn(|lane| x[lane].wrapping_add(y[lane]))
}

/// `x ^ y`, turned left by `bits`.
#[inline(always)]
fn turn(x: Row, y: Row, bits: u32) -> Row {
    std::array::from_fn(|lane| (x[lane] ^ y[lane]).rotate_left(bits))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, WORDS, fill};
    use crate::random::generator;
    use chacha20::rand_core::Rng;

    #[test]
    fn the_words_are_those_of_the_crate() {
        let key: [u8; 32] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        // The 32-bit halves of the counter meet at block 2^32; the last index begins block 2^61 - 1.
        let firsts = [0, 1, 5, 16, (1 << 32) - 3, (1 << 32) + 7, (1 << 61) - 16];
        for (first, nonce) in firsts.into_iter().zip([0, 1, u64::MAX, 1 << 32, 0x0123_4567_89ab_cdef, 77, 1 << 63]) {
            let from = first * BLOCK as u64;
            let mut out = vec![0; 3 * WORDS];
            fill(&key, nonce, from, &mut out);
            let mut crates = generator(&key, nonce);
            crates.set_word_pos(u128::from(from) * 2);
            assert!(out.iter().all(|word| *word == crates.next_u64()), "block {first}");
        }
    }
}
