//! The ChaCha20 key stream two times sixteen blocks at a time, for processors with AVX-512.
//!
//! Noise is most of what a stream is asked for, and the `chacha20` crate makes four blocks at a time, which is a quarter
//! as fast. All else, and all other processors, use the crate.
//!
//! # Why this is private
//!
//! Claim: the words are those of the `chacha20` crate.
//!
//! Argument: the block function of RFC 8439, section 2.3, with the 64-bit counter and nonce of the original (Bernstein
//! 2008); lane `l` of a set's rows is block `first + l`. There is no branch or address that depends on the key.
//!
//! Checked by: `tests::the_words_are_those_of_the_crate`, and by whatever checks streams, which compare with RFC 8439.

use zeroize::Zeroize;

/// Blocks of a set: a word of each is a register. Two sets are made side by side.
const LANES: usize = 16;
/// Words of 64 bits in a block.
pub(super) const BLOCK: usize = 8;
/// Words made together.
pub(super) const WORDS: usize = 2 * LANES * BLOCK;

/// "expand 32-byte k".
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];

/// Whether this processor gains by it.
pub(super) fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// The words of block `first` and those after it; `out` is a whole number of [`WORDS`].
///
/// # Panics
/// If it is not [`available`].
pub(super) fn fill(key: &[u8; 32], nonce: u64, first: u64, out: &mut [u64]) {
    assert!(available(), "asked for instructions that this processor lacks");
    debug_assert!(out.len().is_multiple_of(WORDS));
    let mut state = [0; 16];
    state[..4].copy_from_slice(&CONSTANTS);
    let words = key.as_chunks().0.iter().map(|raw| u32::from_le_bytes(*raw));
    state[4..12].iter_mut().zip(words).for_each(|(slot, word)| *slot = word);
    [state[14], state[15]] = [nonce as u32, (nonce >> 32) as u32];
    #[cfg(target_arch = "x86_64")]
    for (out, first) in out.as_chunks_mut().0.iter_mut().zip((first..).step_by(2 * LANES)) {
        // SAFETY: the processor has AVX-512 F.
        unsafe { x86::blocks(&state, first, out) }
    }
    state.zeroize();
}

/// The rounds on thirty-two registers, two sets of sixteen, named one by one: what the compiler makes of arrays goes through
/// memory and takes three times as long.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{BLOCK, LANES, WORDS};
    use std::arch::x86_64::*;

    /// `[f(0), f(1), ...]`, written out: closures would be functions without the instructions, called through memory.
    macro_rules! sixteen {
        ($i:ident => $x:expr) => { sixteen!(@ $i $x, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) };
        (@ $i:ident $x:expr, $($n:literal)*) => { [$({ const $i: usize = $n; $x }),*] };
    }

    /// Quarter rounds side by side: each is a chain of twelve instructions that wait for each other, so that eight chains are
    /// needed to keep the processor busy.
    macro_rules! quarter_rounds {
        ($($a:ident $b:ident $c:ident $d:ident),*) => {
            $($a = _mm512_add_epi32($a, $b);)*
            $($d = _mm512_rol_epi32::<16>(_mm512_xor_si512($d, $a));)*
            $($c = _mm512_add_epi32($c, $d);)*
            $($b = _mm512_rol_epi32::<12>(_mm512_xor_si512($b, $c));)*
            $($a = _mm512_add_epi32($a, $b);)*
            $($d = _mm512_rol_epi32::<8>(_mm512_xor_si512($d, $a));)*
            $($c = _mm512_add_epi32($c, $d);)*
            $($b = _mm512_rol_epi32::<7>(_mm512_xor_si512($b, $c));)*
        };
    }

    /// Blocks `first`, `first + 1`, ..., in two sets of [`LANES`].
    #[target_feature(enable = "avx512f")]
    pub(super) fn blocks(state: &[u32; 16], first: u64, out: &mut [u64; WORDS]) {
        let start = sixteen!(I => _mm512_set1_epi32(state[I] as i32));
        let [mut a0, mut a1, mut a2, mut a3, mut b0, mut b1, mut b2, mut b3, ..] = start;
        let [.., mut c0, mut c1, mut c2, mut c3, _, _, mut d2, mut d3] = start;
        let [mut e0, mut e1, mut e2, mut e3, mut f0, mut f1, mut f2, mut f3, ..] = start;
        let [.., mut g0, mut g1, mut g2, mut g3, _, _, mut h2, mut h3] = start;
        let ([mut d0, mut d1], [mut h0, mut h1]) = (counters(first), counters(first + LANES as u64));
        for _ in 0..10 {
            quarter_rounds!(
                a0 b0 c0 d0, a1 b1 c1 d1, a2 b2 c2 d2, a3 b3 c3 d3,
                e0 f0 g0 h0, e1 f1 g1 h1, e2 f2 g2 h2, e3 f3 g3 h3
            );
            quarter_rounds!(
                a0 b1 c2 d3, a1 b2 c3 d0, a2 b3 c0 d1, a3 b0 c1 d2,
                e0 f1 g2 h3, e1 f2 g3 h0, e2 f3 g0 h1, e3 f0 g1 h2
            );
        }
        let (out, next) = out.split_at_mut(WORDS / 2);
        let rows = [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3, d0, d1, d2, d3];
        store(rows, state, first, out);
        let rows = [e0, e1, e2, e3, f0, f1, f2, f3, g0, g1, g2, g3, h0, h1, h2, h3];
        store(rows, state, first + LANES as u64, next);
    }

    /// The halves of the counters of [`LANES`] blocks.
    #[target_feature(enable = "avx512f")]
    fn counters(first: u64) -> [__m512i; 2] {
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let low = _mm512_add_epi32(_mm512_set1_epi32(first as i32), lanes);
        let carry = _mm512_cmplt_epu32_mask(low, lanes);
        let high = _mm512_set1_epi32((first >> 32) as i32);
        [low, _mm512_mask_add_epi32(high, carry, high, _mm512_set1_epi32(1))]
    }

    /// Adds what the blocks began with to their rows; lane `l` of these becomes the `l`-th block.
    #[target_feature(enable = "avx512f")]
    #[inline]
    fn store(rows: [__m512i; 16], state: &[u32; 16], first: u64, out: &mut [u64]) {
        let counters = counters(first);
        let rows = sixteen!(I => match I {
            12 | 13 => _mm512_add_epi32(rows[I], counters[I % 2]),
            _ => _mm512_add_epi32(rows[I], _mm512_set1_epi32(state[I] as i32)),
        });
        let pairs = sixteen!(I => match I % 2 {
            0 => _mm512_unpacklo_epi32(rows[I / 2 * 2], rows[I / 2 * 2 + 1]),
            _ => _mm512_unpackhi_epi32(rows[I / 2 * 2], rows[I / 2 * 2 + 1]),
        });
        // Of rows 4g..4g + 4: lanes j, 4 + j, 8 + j, 12 + j at 4g + j.
        let fours = sixteen!(I => match I % 2 {
            0 => _mm512_unpacklo_epi64(pairs[I / 4 * 4 + I % 4 / 2], pairs[I / 4 * 4 + I % 4 / 2 + 2]),
            _ => _mm512_unpackhi_epi64(pairs[I / 4 * 4 + I % 4 / 2], pairs[I / 4 * 4 + I % 4 / 2 + 2]),
        });
        let out = out.as_chunks_mut::<BLOCK>().0;
        for j in 0..4 {
            let even = |g: usize| _mm512_shuffle_i32x4::<0x88>(fours[g + j], fours[g + 4 + j]);
            let odd = |g: usize| _mm512_shuffle_i32x4::<0xdd>(fours[g + j], fours[g + 4 + j]);
            let ([a, b], [c, d]) = ([even(0), even(8)], [odd(0), odd(8)]);
            let blocks = [
                _mm512_shuffle_i32x4::<0x88>(a, b),
                _mm512_shuffle_i32x4::<0x88>(c, d),
                _mm512_shuffle_i32x4::<0xdd>(a, b),
                _mm512_shuffle_i32x4::<0xdd>(c, d),
            ];
            for (lane, block) in (j..LANES).step_by(4).zip(blocks) {
                // SAFETY: a block is as large as the register, and stores need no alignment.
                unsafe { _mm512_storeu_si512(out[lane].as_mut_ptr().cast(), block) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{WORDS, fill};
    use crate::random::generator;
    use chacha20::rand_core::Rng;

    #[test]
    fn the_words_are_those_of_the_crate() {
        let key: [u8; 32] = std::array::from_fn(|i| (i * 37 + 11) as u8);
        // The 32-bit halves of the counter meet at block 2^32; the last word begins block 2^61 - 1; bulk normals end at 3 2^60.
        let firsts = [0, 1, 5, 16, (1 << 32) - 3, (1 << 32) + 7, (1 << 61) - 16, (1 << 61) + 5, (3 << 60) - 96];
        let nonces = [0, 1, u64::MAX, 1 << 32, 0x0123_4567_89ab_cdef, 77, 1 << 63, 5, 1 << 56];
        for (first, nonce) in firsts.into_iter().zip(nonces) {
            let mut out = vec![0; 3 * WORDS];
            fill(&key, nonce, first, &mut out);
            let mut crates = generator(&key, nonce);
            crates.set_word_pos(u128::from(first) << 4);
            assert!(out.iter().all(|word| *word == crates.next_u64()), "block {first}");
        }
    }
}
