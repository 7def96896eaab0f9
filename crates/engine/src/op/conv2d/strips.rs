//! Our own convolution of bf16 on Hopper's warpgroup products (`cuda/strips.cu`): how a shape is cut into strips.

use super::super::activation::{Activation, defines};
use crate::cuda::dnn::{Data, Shape};
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Dtype, Gpu, Tensor, Window};

/// Positions of a block, the most that a warpgroup has registers for.
const POSITIONS: usize = 256;
/// Threads of a warpgroup, which makes so many outputs.
const THREADS: usize = 128;
const OUTPUTS: usize = 64;
/// Shared memory that a block may have: two find room on a multiprocessor.
const SHARED: usize = 112 << 10;
/// Bytes of eight channels of a pixel.
const PLACE: usize = 16;

/// A program for one convolution.
pub(super) struct Strips {
    defines: String,
    n: usize,
    /// Blocks for each group of images, and images in a group.
    blocks: usize,
    images: usize,
    shared: usize,
    /// Words of the arranged weights, and behind them.
    weights: [usize; 2],
}

impl Strips {
    /// None where the kernel does not fit.
    pub(super) fn of(gpu: &Gpu, shape: Shape, activation: Option<Activation>) -> Option<Self> {
        let Shape { n, input: [c, h, w], outputs: o, window } = shape;
        let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = window;
        let ((oh, ow), dtype) = (window.fit(h, w), Dtype::of_activations(gpu));
        let rows = if ow <= 16 && oh.is_multiple_of(16) { 16 } else { 8 };
        let hopper = gpu.has_warpgroups() && dtype == Dtype::Bf16 && std::env::var_os("NO_STRIPS").is_none();
        if !hopper
            || o <= 16
            || kh * kw > 25
            || !ow.is_multiple_of(8)
            || !oh.is_multiple_of(rows)
            || ow * rows > POSITIONS
        {
            return None;
        }
        let images = if rows == oh { POSITIONS / (ow * rows) } else { 1 };
        let deep = if kh * kw < 4 { 2 } else { 1 };
        let width = ((ow - 1) * sw + kw).max(pw + w.next_multiple_of(2)).next_multiple_of(sw);
        let plane = images * ((rows - 1) * sh + kh) * width;
        let shared = 2 * 2 * deep * plane * PLACE;
        let (down, turns) = (o.div_ceil(OUTPUTS), c.div_ceil(16).div_ceil(deep) * deep * kh * kw);
        let defines = format!(
            "IN_C={c} IN_H={h} IN_W={w} OUT_C={o} OUT_H={oh} OUT_W={ow} KH={kh} KW={kw} SH={sh} SW={sw} PH={ph} PW={pw} \
             ROWS={rows} IMAGES={images} WARPS={} DEEP={deep} ALIGNED=0 {}",
            THREADS / 32,
            defines(activation, dtype)
        );
        (shared <= SHARED).then(|| Self {
            defines,
            n,
            blocks: down * oh / rows,
            images,
            shared,
            weights: [down * turns * 4 * THREADS, 2 * 4 * THREADS],
        })
    }

    /// As [`super::tensor_cores::Tiles::run`].
    pub(super) fn run(&self, gpu: &'static Gpu, data: Data, shift: Option<&Tensor>, turned: bool) {
        let weights = Buffer::of(gpu, self.weights.iter().sum());
        let list = arguments![data.w, &weights, turned];
        let grid = |blocks: usize| Grid::blocks(blocks, 1, THREADS as u32);
        gpu.launch_variant("arrange_strips", &self.defines, grid(self.weights[0] / THREADS), list);
        let grid = Grid { shared: self.shared as u32, ..grid(self.n.div_ceil(self.images) * self.blocks) };
        let list = arguments![data.x, &weights, shift, data.y, self.n];
        gpu.launch_variant("strips", &self.defines, grid, list);
    }
}
