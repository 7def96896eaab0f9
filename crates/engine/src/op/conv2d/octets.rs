//! Our own convolution of bf16 on Hopper's warpgroup products (`cuda/octets.cu`), forward and as the input gradient of one with stride
//! 2: how a shape is cut up.

use super::super::activation::{Activation, defines};
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

/// A convolution as the kernel takes it.
struct Sight {
    shape: Shape,
    /// Rows and columns of positions.
    positions: (usize, usize),
    /// What a position sees of the images.
    window: Window,
    /// Pixels that a position makes, in each direction.
    up: usize,
}

/// How far apart, counted in positions, the first and the last of what a pixel of a position sees are, and how far before the position the
/// first is, for `cells` weights behind a border of `border`, with stride 2.
fn seen(cells: usize, border: usize) -> [usize; 2] {
    let at = |cell: usize| ((cell + border) % 2 + border) as i64 - cell as i64;
    let all = || (0..cells).map(|cell| at(cell) / 2);
    let (first, last) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    [(last - first + 1) as usize, (-first) as usize]
}

impl Octets {
    /// The convolution itself. None where the kernel does not fit.
    pub(super) fn of(gpu: &Gpu, shape: Shape, activation: Option<Activation>) -> Option<Self> {
        let Shape { input: [_, h, w], window, .. } = shape;
        let positions = window.fit(h, w);
        let octets = if window.cells() < 4 && window.stride == [1, 1] { 4 } else { 2 };
        Self::plan(gpu, &Sight { shape, positions, window, up: 1 }, octets, activation)
    }

    /// The input gradient of a convolution with stride 2 whose outputs are half as high and wide as its inputs.
    pub(super) fn of_gradient(gpu: &Gpu, shape: Shape) -> Option<Self> {
        let Shape { n, input: [c, h, w], outputs, window } = shape;
        let (Window { kernel: [kh, kw], stride, padding: [ph, pw] }, (oh, ow)) = (window, window.fit(h, w));
        let ([rows, above], [columns, before]) = (seen(kh, ph), seen(kw, pw));
        let sight = Window { kernel: [rows, columns], stride: [1, 1], padding: [above, before] };
        let back = Shape { n, input: [outputs, oh, ow], outputs: c, window };
        let fits = stride == [2, 2] && [h, w] == [2 * oh, 2 * ow] && above.max(before) <= 4;
        let octets = if kh * kw < 4 { 4 } else { 2 };
        fits.then(|| Self::plan(gpu, &Sight { shape: back, positions: (oh, ow), window: sight, up: 2 }, octets, None))?
    }

    fn plan(gpu: &Gpu, sight: &Sight, octets: usize, activation: Option<Activation>) -> Option<Self> {
        let &Sight { shape, positions: (oh, ow), window, up } = sight;
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
        let raised = match (up, whole) {
            (1, _) => String::new(),
            (_, Window { kernel: [h, w], padding: [above, before], .. }) => {
                format!("UP={up} CELLS_H={h} CELLS_W={w} BORDER_H={above} BORDER_W={before}")
            }
        };
        let defines = format!(
            "IN_C={c} IN_H={h} IN_W={w} OUT_C={o} OUT_H={oh} OUT_W={ow} KH={kh} KW={kw} SH={sh} SW={sw} PH={ph} PW={pw} \
             ROWS={rows} IMAGES={images} WARPS={} OCTETS={octets} ALIGNED=0 {raised} {}",
            THREADS / 32,
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

#[cfg(test)]
mod tests {
    use super::seen;

    /// Where the definition has each weight's products go.
    #[test]
    fn positions_see_what_their_pixels_are_made_of() {
        for (cells, border) in [(1, 0), (2, 0), (3, 0), (3, 1), (4, 1), (5, 2), (7, 3)] {
            let mut shifts = Vec::new();
            // Pixel 2 i + a of the input meets output j by weight r where 2 j = 2 i + a + border - r.
            for (r, a) in (0..cells as i64).flat_map(|r| [(r, 0), (r, 1)]) {
                let twice = a + border as i64 - r;
                shifts.extend((twice % 2 == 0).then_some(twice / 2));
            }
            let (first, last) = (shifts.iter().min().copied().unwrap(), shifts.iter().max().copied().unwrap());
            assert_eq!(seen(cells, border), [(last - first + 1) as usize, (-first) as usize], "{cells}, {border}");
        }
    }
}
