//! Our own convolution on tensor cores (`cuda/convolution.cu`), forward and as the input gradient of one with stride 2: how a shape is
//! cut into tiles.

use super::super::activation::{Activation, defines};
use super::sight::Sight;
use crate::cuda::dnn::{Data, Shape};
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Dtype, Gpu, Precision, Tensor, Window};

/// Positions of a block.
const POSITIONS: usize = 256;
/// Positions of a warp, in eights.
const EIGHTS: usize = 8;
/// Shared memory that a block may have: two find room on a multiprocessor.
const SHARED: usize = 112 << 10;

/// A program for one convolution.
pub(super) struct Tiles {
    defines: String,
    n: usize,
    /// Blocks for each group of images, and images in a group.
    blocks: usize,
    images: usize,
    threads: usize,
    shared: usize,
    /// Words of the arranged weights.
    weights: usize,
}

impl Tiles {
    /// The convolution itself. None where products are to be exact, or where the kernel does not fit.
    pub(super) fn of(gpu: &Gpu, shape: Shape, activation: Option<Activation>) -> Option<Self> {
        Self::plan(gpu, &Sight::of(shape), activation)
    }

    /// The input gradient of a convolution with stride 2. None as for [`Tiles::of`].
    pub(super) fn of_gradient(gpu: &Gpu, shape: Shape) -> Option<Self> {
        Self::plan(gpu, &Sight::of_gradient(shape)?, None)
    }

    fn plan(gpu: &Gpu, sight: &Sight, activation: Option<Activation>) -> Option<Self> {
        let &Sight { shape: Shape { n, input: [c, h, w], outputs, .. }, positions: (oh, ow), window, up, .. } = sight;
        let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = window;
        if gpu.precision() == Precision::F32 || ph.max(pw) > 4 || kh * kw > 64 {
            return None;
        }
        let span = ow.next_multiple_of(8);
        let rows = (POSITIONS / span).clamp(1, oh);
        let most = if rows == oh { (POSITIONS / (rows * span)).clamp(1, 8) } else { 1 };
        let (o, parts) = match outputs {
            o if up > 1 => (o.next_multiple_of(16) * up * up, up * up),
            o @ 0..=16 => (o, 1),
            o @ 17..=32 => (o, 2),
            o => (o, 4),
        };
        // Two channels of bf16 are a word.
        let (dtype, per_word) = (Dtype::of_activations(gpu), 4 / Dtype::of_activations(gpu).bytes());
        let deep = if kh * kw < 4 { 4 / per_word } else { 1 };
        let chunks = c.div_ceil(8 * deep * per_word);
        let fours = c * kh * kw / 4;
        let narrow = kw.is_multiple_of(4) && fours.is_multiple_of(2) && fours <= chunks * deep * kh * kw;
        let (chunks, deep, words, steps) =
            if narrow { (1, 1, c, fours / 2) } else { (chunks, deep, 8 * deep, kh * kw) };
        let line = (4 + w.max(((span - 1) * sw + kw).saturating_sub(pw))).next_multiple_of(4);
        let pitch = (((rows - 1) * sh + kh) * line + 23) / 32 * 32 + 8;
        let block = 16 * parts;
        let shared = |images: usize| 8 * (deep * block * steps * 8 + images * words * pitch);
        let images = (1..=most).rev().find(|images| shared(*images) <= SHARED)?;
        let warps = (images * rows * span).div_ceil(8 * EIGHTS);
        let aligned = u8::from(w.is_multiple_of(4) && ow.is_multiple_of(4));
        let defines = format!(
            "IN_C={c} IN_H={h} IN_W={w} OUT_C={o} OUT_H={oh} OUT_W={ow} KH={kh} KW={kw} SH={sh} SW={sw} PH={ph} PW={pw} \
             ROWS={rows} IMAGES={images} MI={parts} NI={EIGHTS} WARPS_M=1 WARPS_N={warps} WARPS={warps} DEEP={deep} \
             ALIGNED={aligned} NARROW={} {} {}",
            u8::from(narrow),
            sight.raised(),
            defines(activation, dtype)
        );
        let down = o.div_ceil(block);
        (warps <= 16).then(|| Self {
            defines,
            n,
            blocks: down * oh.div_ceil(rows),
            images,
            threads: 32 * warps,
            shared: shared(images),
            weights: chunks * deep * down * block * steps * 8,
        })
    }

    /// `y = f(w * x + shift)`, or an input gradient, images of the type that activations have, weights of f32; with `turned`, `w` is that
    /// of the convolution whose input gradient is wanted.
    pub(super) fn run(&self, gpu: &'static Gpu, data: Data, shift: Option<&Tensor>, turned: bool) {
        let weights = Buffer::of(gpu, self.weights);
        let grid = |blocks: usize| Grid::blocks(blocks, 1, self.threads as u32);
        let list = arguments![data.w, &weights, turned];
        gpu.launch_variant("arrange_weights", &self.defines, grid(self.weights.div_ceil(self.threads)), list);
        let grid = Grid { shared: self.shared as u32, ..grid(self.n.div_ceil(self.images) * self.blocks) };
        let list = arguments![data.x, &weights, shift, data.y, self.n];
        gpu.launch_variant("convolution", &self.defines, grid, list);
    }
}
