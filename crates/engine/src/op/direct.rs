//! Convolutions with horizontal stride 1, by the kernel that reads images in place: forward, and the weight gradient of one
//! image. (The input gradient is a forward with the weights turned round.)
//!
//! A window's cells at neighbouring positions are neighbouring pixels, so nothing has to be unfolded in memory: forward
//! packs some of the patches of 32 positions into a panel that stays in the first cache, and the weight gradient walks
//! along the image's own rows.

use multiversion::multiversion;

use super::unfold::Unfolding;
use crate::kernel::{Finish, Inner, Level, MOST, aligned, rows_by_panel, turn};
use crate::memory::Scratch;

/// Steps of the inner dimension whose panel stays in the first cache.
const DEPTH: usize = 256;

/// A convolution of images that have their border already.
pub(crate) struct Direct {
    channels: usize,
    /// Height and width with the border.
    padded: (usize, usize),
    /// Vertical stride.
    stride: usize,
    /// Positions vertically and horizontally.
    fit: (usize, usize),
    /// Where the cells of the patch at the first position are. They are looked up: working them out takes a division or two,
    /// which is as long as a step of the product.
    cells: Vec<usize>,
}

impl Direct {
    /// Nothing if the horizontal stride is not 1.
    pub(crate) fn new(unfolding: &Unfolding) -> Option<Self> {
        let (window, [channels, ..], (tall, wide)) = (unfolding.window(), unfolding.shape(), unfolding.padded());
        let [kh, kw] = window.kernel;
        let cell = |k: usize| (k / (kh * kw) * tall + k / kw % kh) * wide + k % kw;
        (window.stride[1] == 1).then(|| Self {
            channels,
            padded: (tall, wide),
            stride: window.stride[0],
            fit: unfolding.fit(),
            cells: (0..channels * kh * kw).map(cell).collect(),
        })
    }

    fn patch(&self) -> usize {
        self.cells.len()
    }

    fn positions(&self) -> usize {
        self.fit.0 * self.fit.1
    }

    fn image(&self) -> usize {
        self.channels * self.padded.0 * self.padded.1
    }

    /// Where the first cell of the patch at position `at` is.
    fn position(&self, at: usize) -> usize {
        at / self.fit.1 * self.stride * self.padded.1 + at % self.fit.1
    }

    /// `y` `[o, positions]` becomes the weights `w` `[o, patch]` times the patches of `image`, plus a bias.
    pub(crate) fn forward(&self, image: &[f32], w: &[f32], bias: Option<&[f32]>, y: &mut [f32], scratch: &mut Scratch) {
        let (level, patch, positions) = (Level::current(), self.patch(), self.positions());
        let (width, o) = (level.width(), w.len() / patch);
        assert!(image.len() == self.image() && y.len() == o * positions && bias.is_none_or(|b| b.len() == o));
        let panel = aligned(scratch, DEPTH * width);
        let mut rows = Vec::with_capacity(o);
        for from in (0..patch).step_by(DEPTH) {
            let steps = (patch - from).min(DEPTH);
            rows.clear();
            rows.extend((0..o).map(|i| w[i * patch + from..].as_ptr()));
            for first in (0..positions).step_by(width) {
                let columns = (positions - first).min(width);
                self.pack(image, (from, steps), (first, columns), width, panel);
                let shift = bias.filter(|_| from == 0).map_or(std::ptr::null(), <[f32]>::as_ptr);
                let start = std::ptr::null();
                let finish = Finish { row_stride: positions, columns, accumulate: from > 0, shift, start };
                // SAFETY: the level is the machine's. A row of `w` has `patch` elements, of which `steps` are read from
                // `from`; the panel was packed with as many steps; `y` has `o` rows of `positions`, of which columns
                // `first..first + columns` are written; the bias has `o` elements.
                unsafe {
                    let out = y.as_mut_ptr().add(first);
                    rows_by_panel(level, &rows, Inner::run(steps, 1), panel.as_ptr(), out, finish);
                }
            }
        }
    }

    /// Cells `from..from + steps` of the patches at some positions.
    fn pack(
        &self,
        image: &[f32],
        (from, steps): (usize, usize),
        (first, columns): (usize, usize),
        width: usize,
        panel: &mut [f32],
    ) {
        let wide = self.fit.1;
        let panel = &mut panel[..steps * width];
        if columns == width && first % wide == 0 {
            let cells = &self.cells[from..from + steps];
            match (width, wide) {
                (MOST, _) if wide.is_multiple_of(MOST) => {
                    return run_of_32(image, cells, self.starts(first, MOST), panel);
                }
                (MOST, 16) => return runs_of_16(image, cells, self.starts(first, 16), panel),
                (MOST, 8) => return runs_of_8(image, cells, self.starts(first, 8), panel),
                (16, _) if wide.is_multiple_of(16) => {
                    return runs::<16, 1>(image, cells, self.starts(first, 16), panel);
                }
                (16, 8) => return runs::<8, 2>(image, cells, self.starts(first, 8), panel),
                _ => {}
            }
        }
        if columns < width {
            panel.fill(0.0);
        }
        for (out, &cell) in panel.chunks_exact_mut(width).zip(&self.cells[from..]) {
            let mut at = first;
            while at < first + columns {
                let run = (wide - at % wide).min(first + columns - at);
                let pixel = cell + self.position(at);
                out[at - first..at - first + run].copy_from_slice(&image[pixel..pixel + run]);
                at += run;
            }
        }
    }

    /// Where the first cells of the patches at positions `first`, `first + len`, ... are.
    fn starts<const RUNS: usize>(&self, first: usize, len: usize) -> [usize; RUNS] {
        std::array::from_fn(|run| self.position(first + run * len))
    }

    /// The gradient by the weights, lying: `out` `[patch, o]` becomes (or is increased by) `scale` times the sum over
    /// positions of patch times `dy` `[o, positions]`.
    pub(crate) fn weight_gradient(
        &self,
        image: &[f32],
        dy: &[f32],
        scale: f32,
        accumulate: bool,
        out: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let (level, patch, (tall, wide)) = (Level::current(), self.patch(), self.fit);
        let (width, o) = (level.width(), dy.len() / self.positions());
        assert!(image.len() == self.image() && out.len() == o * patch && dy.len() == o * self.positions());
        let lines = (DEPTH / wide).clamp(1, tall);
        let panel = aligned(scratch, lines * wide * width);
        let mut rows = Vec::with_capacity(patch);
        for line in (0..tall).step_by(lines) {
            let lines = lines.min(tall - line);
            let start = line * self.stride * self.padded.1;
            rows.clear();
            rows.extend(self.cells.iter().map(|cell| image[cell + start..].as_ptr()));
            let inner = Inner { segments: lines, stride: self.stride * self.padded.1, len: wide, step: 1 };
            for first in (0..o).step_by(width) {
                let columns = (o - first).min(width);
                let panel = &mut panel[..lines * wide * width];
                let from = &dy[first * self.positions() + line * wide..];
                turn(from, self.positions(), columns, scale, width, panel);
                let accumulate = accumulate || line > 0;
                let (shift, start) = (std::ptr::null(), std::ptr::null());
                let finish = Finish { row_stride: o, columns, accumulate, shift, start };
                // SAFETY: the level is the machine's. Row `k` walks over the pixels that cell `k` shows at the positions
                // of `lines` lines, all inside the bordered image; the panel holds as many steps; `out` has `patch` rows
                // of `o`, of which columns `first..first + columns` are written.
                unsafe { rows_by_panel(level, &rows, inner, panel.as_ptr(), out.as_mut_ptr().add(first), finish) }
            }
        }
    }
}

/// A panel of `RUNS` runs of `LEN` pixels a step, each run from its own start.
#[inline(always)]
fn runs<const LEN: usize, const RUNS: usize>(image: &[f32], cells: &[usize], starts: [usize; RUNS], panel: &mut [f32]) {
    let panel = panel.as_chunks_mut::<LEN>().0;
    for (out, &cell) in panel.as_chunks_mut::<RUNS>().0.iter_mut().zip(cells) {
        for (out, start) in out.iter_mut().zip(starts) {
            out.copy_from_slice(&image[cell + start..][..LEN]);
        }
    }
}

/// [`runs`] with this processor's instructions.
macro_rules! dispatched {
    ($($name:ident: $len:literal, $runs:literal;)*) => { $(
        #[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
        fn $name(image: &[f32], cells: &[usize], starts: [usize; $runs], panel: &mut [f32]) {
            runs::<$len, $runs>(image, cells, starts, panel);
        }
    )* };
}

dispatched! {
    run_of_32: 32, 1;
    runs_of_16: 16, 2;
    runs_of_8: 8, 4;
}
