//! Randomness as a function, not a state: every number is looked up by (key, purpose, step, slot, index).
//!
//! No generator is saved, replayed or shared. Resuming, splitting over threads or devices, and tests follow from that:
//! whoever asks for element `i` of a stream gets the same number.
//!
//! # Why this is private
//!
//! Claim: to whoever lacks the key, all words of all streams together look like independent uniform words; no two
//! streams of one key overlap.
//!
//! Argument: a stream is the ChaCha20 key stream (RFC 8439; Bernstein 2008) under the key with the 64-bit nonce
//! `purpose << 56 | slot << 48 | step`, which differs between any two triples with `step < 2^48`. Later steps do not
//! wrap: their high bits choose a derived key, itself a block of key stream under a purpose that no caller can name
//! (purpose 0). A stream has `2^64` words of 64 bits and `2^64` f32 normals, which together are fewer than the cipher's block counter
//! allows and lie in blocks of their own ([`Stream`]), so an index never wraps. Keys come from the operating system, are wiped when dropped, and cannot be printed or cloned; processes of one run
//! share one by [`Key::shared`]. A key made
//! [from a seed](Key::from_seed) is as public as the seed: [`Key::is_fixed`] says so, for the report.
//!
//! Not claimed: normals are rounded to the caller's float type, as everywhere in the field; attacks on the low bits of
//! floating-point noise (Mironov 2012) are outside the guarantee. How far f32 normals are from true ones is in `bulk`.
//!
//! Checked by: `tests::the_cipher_is_rfc_8439`, `tests::no_two_streams_meet`, `tests::far_steps_do_not_wrap`, and for the
//! distribution `normal::tests` and `bulk::tests`.

mod bulk;
mod keystream;
#[cfg(test)]
mod law;
mod normal;
mod stream;

pub use stream::Stream;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use zeroize::Zeroize;

/// What a stream of random words is for. Two purposes never share a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Purpose {
    /// Who takes part in a draw.
    Sample = 1,
    /// The noise of a release.
    Noise = 2,
    /// Initial weights.
    Init = 3,
    /// Orders and shuffles that privacy does not rest on.
    Permute = 4,
    /// Dropout masks.
    Dropout = 5,
    /// Augmentation of examples.
    Augment = 6,
    /// Coins of a privacy audit.
    Audit = 7,
    /// Perturbations of single gradients before they are clipped, which buy no privacy.
    Perturb = 8,
    /// Noise that an update adds of its own, on top of what was released.
    Update = 9,
    /// The noise that the releases of a season share.
    Season = 10,
    /// Which of a person's records take part in a step.
    Records = 11,
}

/// No random bytes could be had from the operating system.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random key: {0}")]
pub struct KeyError(#[from] getrandom::Error);

/// Steps below this have a stream under the key itself; later ones under a derived key.
const NEAR: u64 = 1 << 48;

/// What a derived key is for; the purpose byte of its nonce is 0, which [`Purpose`] cannot name.
#[derive(Clone, Copy)]
enum Domain {
    FarSteps = 1,
    Fingerprint = 3,
    Apart = 4,
}

/// 32 secret bytes that all randomness of a run comes from. Cannot be printed or cloned, and is wiped when dropped. Its one way out is a
/// [`Stream`], which lends its key to ciphers elsewhere ([`Stream::lend`]): whoever is handed a stream of a key can have the key. Code that
/// must not have this one gets streams of another ([`Key::apart`]).
pub struct Key {
    bytes: [u8; 32],
    fixed: bool,
}

impl Key {
    /// A fresh key from the operating system.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn from_os() -> Result<Key, KeyError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Key { bytes, fixed: false })
    }

    /// The key of a seed, for tests and reproduction. Whoever knows the seed can subtract the noise: a run made with
    /// it has no privacy against them.
    pub fn from_seed(seed: u64) -> Key {
        let mut bytes = *b"secateur: the key of a seed     ";
        bytes[24..].copy_from_slice(&seed.to_le_bytes());
        Key { bytes, fixed: true }
    }

    /// The fresh key of one of several processes, for all of them: each draws 32 bytes from the operating system and hands
    /// them to `agree`, which puts in their place those that all are to use. They are wiped here; what `agree` does with them
    /// is its caller's business: whoever sees them has the key.
    ///
    /// # Errors
    /// When the operating system gives no random bytes, or what `agree` says.
    pub fn shared<E: From<KeyError>>(agree: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Key, E> {
        let mut key = Key::from_os()?;
        agree(&mut key.bytes)?;
        Ok(key)
    }

    /// Whether this key came from a seed, and is therefore only as secret as the seed.
    pub fn is_fixed(&self) -> bool {
        self.fixed
    }

    /// A key for code that must not have this one, which could compute the noise of releases by it: from the other nobody
    /// comes back here. The same each time.
    pub fn apart(&self) -> Key {
        self.derive(Domain::Apart, 0)
    }

    /// The stream of one purpose at one step. `slot` tells several streams of one purpose and step apart.
    pub fn stream(&self, purpose: Purpose, step: u64, slot: u8) -> Stream {
        let id = ((purpose as u64) << 56) | (u64::from(slot) << 48) | (step % NEAR);
        match step / NEAR {
            0 => Stream::new(self.bytes, id),
            far => Stream::new(self.derive(Domain::FarSteps, far).bytes, id),
        }
    }

    /// 64 bits that tell keys apart and say nothing else about them.
    pub(crate) fn fingerprint(&self) -> u64 {
        Stream::new(self.derive(Domain::Fingerprint, 0).bytes, 0).word(0)
    }

    fn derive(&self, domain: Domain, label: u64) -> Key {
        let mut parent = block(&self.bytes, domain as u64);
        let bytes = block(&parent, label);
        parent.zeroize();
        Key { bytes, fixed: self.fixed }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

/// The first 32 bytes of the key stream with this nonce.
fn block(key: &[u8; 32], nonce: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    generator(key, nonce).fill_bytes(&mut bytes);
    bytes
}

/// The cipher at the start of the key stream with this nonce.
fn generator(key: &[u8; 32], nonce: u64) -> ChaCha20Rng {
    let mut generator = ChaCha20Rng::from_seed(*key);
    generator.set_stream(nonce);
    generator
}

#[cfg(test)]
mod tests;
