//! The privacy crate's random streams on a GPU: ChaCha20 (RFC 8439, with the original's 64-bit counter and nonce).
//!
//! # Why this is private
//! *Claim.* Words and normals are those of the privacy crate's streams, bit by bit.
//! *Argument.* The same block function of the same key, nonce and counter, and Box and Muller's transform of the same words by the
//! same rounded operations: see `cuda/noise.cu`.
//! *Tests.* `streams_are_the_hosts` among the GPU tests of `secateur-train`: one for one.

use crate::cuda::{Grid, arguments};
use crate::{Device, Dtype, Gpu, Tensor};

/// A stream's key and nonce, for as long as it is lent.
#[derive(Clone, Copy)]
pub struct Cipher<'a> {
    /// The key.
    pub key: &'a [u8; 32],
    /// Which stream of the key.
    pub nonce: u64,
}

impl Cipher<'_> {
    /// The key's four words of 64 bits, and the nonce, as kernels take them.
    pub(super) fn slots(self) -> [u64; 5] {
        let word = |k: usize| u64::from_le_bytes(std::array::from_fn(|byte| self.key[8 * k + byte]));
        [word(0), word(1), word(2), word(3), self.nonce]
    }
}

/// `out[j] += by normal(j)` for a tensor on a GPU, with the stream's standard normals from number 0 on.
///
/// # Panics
/// If `out` is on the host: there the stream itself makes normals.
pub fn add_normals(out: &mut Tensor, by: f32, cipher: Cipher) {
    make_normals(out, by, cipher, true);
}

/// The stream's first `len` standard normals, on a GPU.
///
/// # Panics
/// If `device` is none: there the stream itself makes normals.
#[must_use]
pub fn normals(device: Device, len: usize, cipher: Cipher) -> Tensor {
    let mut out = Tensor::unfilled_on(device, [len]);
    make_normals(&mut out, 1.0, cipher, false);
    out
}

fn make_normals(out: &mut Tensor, by: f32, cipher: Cipher, add: bool) {
    let (len, at) = (out.len(), out.address_mut());
    let [a, b, c, d, nonce] = cipher.slots();
    let gpu = gpu_of(out);
    let list = arguments![a, b, c, d, nonce, add, 0u64, len, by, at];
    gpu.launch("add_normals", Grid::over(len.div_ceil(16)), list);
}

/// The stream's words from number `from` on, made on a GPU and copied to the host.
#[must_use]
pub fn words(gpu: &'static Gpu, cipher: Cipher, from: u64, count: usize) -> Vec<u64> {
    let buffer = crate::cuda::Buffer::new(gpu, 8 * count);
    let [a, b, c, d, nonce] = cipher.slots();
    let list = arguments![a, b, c, d, nonce, from, count, &buffer];
    gpu.launch("fill_words", Grid::over((count + 7).div_ceil(8)), list);
    let mut words = vec![0; count];
    gpu.read(buffer.address(), &mut words);
    words
}

/// Coins for rows of `width` on a GPU: 0 where a word of the stream, for row `r` from number `starts[r]` on, is below
/// `below`, else 1; of the type that activations have.
#[must_use]
pub fn coins(gpu: &'static Gpu, cipher: Cipher, starts: &[u64], width: usize, below: u64) -> Tensor {
    let dtype = Dtype::of_activations(gpu);
    let mask = Tensor::unfilled_as(dtype, Device::Cuda(gpu), [starts.len(), width]);
    let (starts_there, [a, b, c, d, nonce], rows) = (gpu.upload(starts), cipher.slots(), starts.len());
    let list = arguments![a, b, c, d, nonce, &starts_there, below, rows, width, mask.at()];
    gpu.launch_as(dtype, "flip_coins", Grid::over(rows * (width / 8 + 2)), list);
    mask
}

fn gpu_of(tensor: &Tensor) -> &'static Gpu {
    tensor.gpu().unwrap_or_else(|| panic!("{tensor:?} is on the host"))
}
