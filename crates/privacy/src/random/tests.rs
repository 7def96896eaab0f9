//! Known answers, and that streams do not meet.

use super::*;
use std::collections::HashSet;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
}

#[test]
fn the_cipher_is_rfc_8439() {
    // RFC 8439, Appendix A.1, test vectors 1 and 2: the zero key and nonce, blocks 0 and 1.
    let stream = Stream::new([0; 32], 0);
    let expected = hex(concat!(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7",
        "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
        "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed",
        "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
    ));
    let words: Vec<u64> = expected.as_chunks().0.iter().map(|raw| u64::from_le_bytes(*raw)).collect();
    let mut got = vec![0; words.len()];
    stream.fill_words(0, &mut got);
    assert_eq!(got, words);
    // Test vector 3 is block 1 of the key that ends in one.
    let mut key = [0; 32];
    key[31] = 1;
    let expected = hex("3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a");
    assert_eq!(Stream::new(key, 0).word(8).to_le_bytes(), expected[..8]);
    // Test vector 4 is block 2 of a key with 0xff as its second byte.
    let mut key = [0; 32];
    key[1] = 0xff;
    let expected = hex("72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca");
    assert_eq!(Stream::new(key, 0).word(16).to_le_bytes(), expected[..8]);
    // Test vector 5 has a 96-bit nonce that ends in 2: its last 32 bits are the high half of our 64-bit nonce.
    let expected = hex("c2c64d378cd536374ae204b9ef933fcd1a8b2288b3dfa49672ab765b54ee27c7");
    assert_eq!(Stream::new([0; 32], 2 << 56).word(0).to_le_bytes(), expected[..8]);
}

#[test]
fn no_two_streams_meet() {
    let key = Key::from_seed(1);
    let purposes = [
        Purpose::Sample,
        Purpose::Noise,
        Purpose::Init,
        Purpose::Permute,
        Purpose::Dropout,
        Purpose::Augment,
        Purpose::Audit,
        Purpose::Perturb,
        Purpose::Update,
        Purpose::Season,
        Purpose::Records,
    ];
    let mut seen = HashSet::new();
    for purpose in purposes {
        for step in [0, 1, 2, 255, 256, NEAR - 1, NEAR, NEAR + 1, 2 * NEAR, u64::MAX] {
            for slot in [0, 1, 2, 255] {
                for index in 0..8 {
                    assert!(seen.insert(key.stream(purpose, step, slot).word(index)), "{purpose:?} {step} {slot}");
                }
            }
        }
    }
    for purpose in purposes {
        assert!(seen.insert(key.apart().stream(purpose, 0, 0).word(0)), "{purpose:?} of the key apart");
    }
    assert!(seen.insert(key.fingerprint()));
    assert!(seen.insert(Key::from_seed(2).stream(Purpose::Noise, 0, 0).word(0)));
}

#[test]
fn far_steps_do_not_wrap() {
    let key = Key::from_seed(3);
    let word = |step| key.stream(Purpose::Noise, step, 0).word(0);
    assert_ne!(word(5), word(5 + NEAR));
    assert_ne!(word(5 + NEAR), word(5 + 2 * NEAR));
    assert_eq!(word(5 + NEAR), word(5 + NEAR));
}

#[test]
fn keys_from_the_system_differ_and_say_so() {
    let (a, b) = (Key::from_os().unwrap(), Key::from_os().unwrap());
    assert_ne!(a.fingerprint(), b.fingerprint());
    assert!(!a.is_fixed() && !a.apart().is_fixed());
    assert!(Key::from_seed(0).is_fixed() && Key::from_seed(0).apart().is_fixed());
}

#[test]
fn pinned() {
    // A change here changes every run ever made: it belongs into the change log, under privacy.
    let stream = Key::from_seed(42).stream(Purpose::Noise, 7, 1);
    let words = [stream.word(0), stream.word(1), stream.word(1_000_000)];
    assert_eq!(words, PINNED_WORDS, "{words:#x?}");
    let normals = [stream.normal(0), stream.normal(1), stream.normal(999_999)];
    assert_eq!(normals.map(f64::to_bits), PINNED_NORMALS.map(f64::to_bits), "{normals:?}");
    let mut bulk = [0.0; 6];
    stream.fill_normal(0, &mut bulk[..2]);
    stream.fill_normal(999_998, &mut bulk[2..4]);
    stream.fill_normal(2 * PINNED_RARE, &mut bulk[4..]);
    assert_eq!(bulk.map(f32::to_bits), PINNED_BULK.map(f32::to_bits), "{bulk:?}");
}

const PINNED_WORDS: [u64; 3] = [0x083e_5f1e_0f20_02bd, 0xfe68_7c85_05c9_3eae, 0x3246_5b88_0395_a356];
/// A pair whose radius takes more bits.
const PINNED_RARE: u64 = 10_094;
const PINNED_BULK: [f32; 6] = [0.375_925_06, 2.021_753, -1.213_242_2, 0.684_111_9, 2.304_508_4, 3.722_516_5];
const PINNED_NORMALS: [f64; 3] = [2.6193486816755533, -0.1023897328981659, -0.6809506098323574];

#[test]
fn how_a_range_is_split_does_not_matter() {
    let stream = Key::from_seed(9).stream(Purpose::Noise, 0, 0);
    for from in [0, 1, 255, 256, 1001, u64::from(u32::MAX) * 16 - 3] {
        let mut whole = (vec![0; 2500], vec![0f32; 2500], vec![0f64; 2500]);
        stream.fill_words(from, &mut whole.0);
        stream.fill_normal(from, &mut whole.1);
        stream.fill_normal_f64(from, &mut whole.2);
        for size in [1, 2, 7, 255, 1000] {
            let mut parts = (vec![0; 2500], vec![0f32; 2500], vec![0f64; 2500]);
            let at = |piece: usize| from + (piece * size) as u64;
            parts.0.chunks_mut(size).enumerate().for_each(|(k, piece)| stream.fill_words(at(k), piece));
            parts.1.chunks_mut(size).enumerate().for_each(|(k, piece)| stream.fill_normal(at(k), piece));
            parts.2.chunks_mut(size).enumerate().for_each(|(k, piece)| stream.fill_normal_f64(at(k), piece));
            assert!(parts == whole, "chunks of {size} from {from}");
        }
        let single: Vec<f64> = (from..from + 9).map(|index| stream.normal(index)).collect();
        assert_eq!(single, whole.2[..9]);
        let (mut noise, mut added) = ([0.0; 1], whole.1.clone());
        for (index, normal) in (from..from + 40).zip(&whole.1) {
            stream.fill_normal(index, &mut noise);
            assert_eq!(noise[0], *normal);
        }
        stream.add_normal(from, -1.0, &mut added);
        assert!(added.iter().all(|x| *x == 0.0), "added from {from}");
    }
}

/// Ranges go on at 0 after the last index, and do not run into the blocks of others.
#[test]
fn a_stream_starts_over_after_its_last_index() {
    let stream = Key::from_seed(10).stream(Purpose::Noise, 0, 0);
    for (before, count) in [(1u64, 10), (5, 700), (1000, 2000), (256, 256)] {
        let from = before.wrapping_neg();
        let (mut words, mut single, mut double) = (vec![0; count], vec![0f32; count], vec![0f64; count]);
        stream.fill_words(from, &mut words);
        stream.fill_normal(from, &mut single);
        stream.fill_normal_f64(from, &mut double);
        let at = |k: usize| from.wrapping_add(k as u64);
        for k in [0, 1, before as usize - 1, before as usize, count - 1].into_iter().filter(|k| *k < count) {
            let mut one = [0.0];
            stream.fill_normal(at(k), &mut one);
            assert_eq!(
                (words[k], single[k], double[k]),
                (stream.word(at(k)), one[0], stream.normal(at(k))),
                "{before} {k}"
            );
        }
    }
}

/// From the words that the crate makes at the places that the argument of `stream` names, also where bits are added to a rare radius.
#[test]
fn bulk_noise_has_blocks_of_its_own() {
    let key = [5; 32];
    let (stream, mut crates) = (Stream::new(key, 77), generator(&key, 77));
    let mut at = |block: u64, word: u64| {
        crates.set_word_pos((u128::from(block) << 4) + 2 * u128::from(word));
        crates.next_u64()
    };
    let mut rare = 0;
    for (first, pairs) in [(0, 300_000), (1 << 62, 40), ((1 << 63) - 40, 40)] {
        let mut normals = vec![0.0; 2 * pairs];
        stream.fill_normal(2 * first, &mut normals);
        for (k, pair) in (first..).zip(normals.as_chunks::<2>().0) {
            let word = at((1 << 61) + k / 8, k % 8);
            let mut want = [0.0; 2];
            bulk::pairs(&[word], &mut want);
            if bulk::rare(word) {
                (want, rare) = (bulk::rare_pair(word, at((1 << 63) + k, 0) as u32), rare + 1);
            }
            assert_eq!(*pair, want, "pair {k}");
        }
    }
    assert!(rare > 20, "{rare} were rare");
}

#[test]
fn uniforms_have_53_bits() {
    let stream = Key::from_seed(5).stream(Purpose::Audit, 0, 0);
    for index in 0..1000 {
        let uniform = stream.uniform(index);
        assert!((0.0..1.0).contains(&uniform));
        assert_eq!(uniform * 2f64.powi(53), (stream.word(index) >> 11) as f64);
    }
}
