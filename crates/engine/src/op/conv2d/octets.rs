//! Our own convolution of bf16 on Hopper's warpgroup products (`cuda/octets.cu`), forward and as the input gradient of one with stride
//! 2: how a shape is cut up.

use super::super::activation::{Activation, defines};
use super::sight::Sight;
use crate::cuda::dnn::{Data, Shape};
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Dtype, Gpu, Tensor, Window};

/// Numbers of a block for each output, the most that a warpgroup has registers for.
const NUMBERS: usize = 256;
/// Threads of a warpgroup, and how many outputs it makes.
const THREADS: usize = 128;
const OUTPUTS: usize = 64;
/// Weights of one output and channel: a program unrolls them all.
const CELLS: usize = 25;
/// Shared memory that a block may have: two find room on a multiprocessor.
const SHARED: usize = 112 << 10;
/// Bytes of eight channels of a pixel.
const PLACE: usize = 16;

/// A program for one convolution.
pub(super) struct Octets {
    defines: String,
    n: usize,
    /// Blocks for each group of images, and images in a group.
    blocks: usize,
    images: usize,
    shared: usize,
    /// Words of the arranged weights.
    weights: usize,
}

impl Octets {
    /// The convolution itself. None where the kernel does not fit.
    pub(super) fn of(gpu: &Gpu, shape: Shape, activation: Option<Activation>) -> Option<Self> {
        let octets = if shape.window.cells() < 4 && shape.window.stride == [1, 1] { 4 } else { 2 };
        Self::plan(gpu, &Sight::of(shape), octets, activation)
    }

    /// The input gradient of a convolution with stride 2 whose outputs are half as high and wide as its inputs.
    pub(super) fn of_gradient(gpu: &Gpu, shape: Shape) -> Option<Self> {
        let (Shape { input: [_, h, w], window, .. }, sight) = (shape, Sight::of_gradient(shape)?);
        let ((oh, ow), [above, before]) = (window.fit(h, w), sight.window.padding);
        let octets = if window.cells() < 4 { 4 } else { 2 };
        let fits = [h, w] == [2 * oh, 2 * ow] && above.max(before) <= 4;
        fits.then(|| Self::plan(gpu, &sight, octets, None))?
    }

    fn plan(gpu: &Gpu, sight: &Sight, octets: usize, activation: Option<Activation>) -> Option<Self> {
        let &Sight { shape, positions: (oh, ow), window, up, .. } = sight;
        let (Shape { n, input: [c, h, w], outputs: o, .. }, whole) = (shape, shape.window);
        let dtype = Dtype::of_activations(gpu);
        let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = window;
        let pixels = ow * up * up;
        let rows = [16, 8, 4].into_iter().find(|rows| {
            let long = *rows == 8 || up == 2 || ow <= 16 && *rows == 16;
            long && oh.is_multiple_of(*rows) && pixels * rows <= NUMBERS
        })?;
        let images = if rows == oh { NUMBERS / (pixels * rows) } else { 1 };
        let width = ((ow - 1) * sw + kw).max(pw + w.next_multiple_of(2)).next_multiple_of(sw);
        let shared = 2 * octets * images * ((rows - 1) * sh + kh) * width * PLACE;
        let (down, turns) = (o.div_ceil(OUTPUTS), c.div_ceil(8 * octets) * octets / 2 * whole.cells());
        let defines = format!(
            "IN_C={c} IN_H={h} IN_W={w} OUT_C={o} OUT_H={oh} OUT_W={ow} KH={kh} KW={kw} SH={sh} SW={sw} PH={ph} PW={pw} \
             ROWS={rows} IMAGES={images} WARPS={} OCTETS={octets} ALIGNED=0 {} {}",
            THREADS / 32,
            sight.raised(),
            defines(activation, dtype)
        );
        // A warpgroup makes 64 outputs, and for few channels most of its work would be for none; but who else takes strides?
        let enough = o > OUTPUTS / 2 || up > 1;
        let fits = dtype == Dtype::Bf16 && gpu.has_warpgroups() && enough && whole.cells() <= CELLS;
        (fits && ow.is_multiple_of(8) && shared <= SHARED).then(|| Self {
            defines,
            n,
            blocks: down * oh / rows,
            images,
            shared,
            weights: down * turns * 4 * THREADS,
        })
    }

    /// As [`super::tensor_cores::Tiles::run`].
    pub(super) fn run(&self, gpu: &'static Gpu, data: Data, shift: Option<&Tensor>, turned: bool) {
        // The kernel asks for two more cells' weights than there are.
        let weights = Buffer::of(gpu, self.weights + 2 * 4 * THREADS);
        let list = arguments![data.w, &weights, turned];
        let grid = |blocks: usize| Grid::blocks(blocks, 1, THREADS as u32);
        gpu.launch_variant("arrange_octets", &self.defines, grid(self.weights / THREADS), list);
        let grid = Grid { shared: self.shared as u32, ..grid(self.n.div_ceil(self.images) * self.blocks) };
        let list = arguments![data.x, &weights, shift, data.y, self.n];
        gpu.launch_variant("convolve_octets", &self.defines, grid, list);
    }
}
