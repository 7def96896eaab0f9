//! Images as matrices of patches (im2col), and back.
//!
//! [`unfold`] and [`fold`] are the definition. [`Unfolding`] is what the kernels use: it unfolds a few images into a
//! buffer that stays in cache, in either of two layouts.

mod gpu;

use super::border::border;
use crate::memory::Scratch;
use crate::{Mat, Window};
pub(super) use gpu::{each_part, fold_parts, numbers};

/// The patches of one image `x` (`[c, h, w]`) as columns of `cols`, `[c kh kw, h' w']`; the border is 0.
///
/// # Panics
/// If the window does not fit or a slice has the wrong length.
pub fn unfold(x: &[f32], shape: [usize; 3], window: Window, cols: &mut [f32]) {
    let unfolding = Unfolding::new(shape, window);
    unfolding.check(x.len(), cols.len());
    unfolding.each_cell(|cell, pixel| cols[cell] = pixel.map_or(0.0, |p| x[p]));
}

/// The adjoint of [`unfold`]: adds every element of `cols` onto the pixel that it was taken from; `x` is overwritten.
///
/// # Panics
/// As [`unfold`].
pub fn fold(cols: &[f32], shape: [usize; 3], window: Window, x: &mut [f32]) {
    let unfolding = Unfolding::new(shape, window);
    unfolding.check(x.len(), cols.len());
    x.fill(0.0);
    unfolding.each_cell(|cell, pixel| {
        if let Some(pixel) = pixel {
            x[pixel] += cols[cell];
        }
    });
}

/// Shapes of an unfolding.
///
/// With horizontal stride 1 the matrix `[c kh kw, images h' w']` is stored by rows, each a shifted piece of the image;
/// with a larger stride it is stored by columns (patches), where the cells of a window's row lie side by side.
#[derive(Clone, Copy)]
pub(crate) struct Unfolding {
    /// Channels, height, width.
    shape: [usize; 3],
    window: Window,
    /// Positions vertically and horizontally.
    fit: (usize, usize),
}

impl Unfolding {
    /// # Panics
    /// If the window does not fit.
    pub(crate) fn new(shape: [usize; 3], window: Window) -> Self {
        Self { shape, window, fit: window.fit(shape[1], shape[2]) }
    }

    /// Elements of an image.
    pub(crate) fn image(&self) -> usize {
        self.shape.iter().product()
    }

    /// Elements of a patch: `c kh kw`.
    pub(crate) fn patch(&self) -> usize {
        self.shape[0] * self.window.cells()
    }

    /// Patches of an image: `h' w'`.
    pub(crate) fn positions(&self) -> usize {
        self.fit.0 * self.fit.1
    }

    /// Whether patches, not shifted images, are contiguous.
    pub(crate) fn by_patch(&self) -> bool {
        self.window.stride[1] > 1
    }

    /// The filled buffer as the matrix `[patch, images * positions]`.
    pub(crate) fn matrix<'a>(&self, cols: &'a [f32], images: usize) -> Mat<'a> {
        let (patch, columns) = (self.patch(), images * self.positions());
        if self.by_patch() { Mat::new(cols, columns, patch).t() } else { Mat::new(cols, patch, columns) }
    }

    /// Channels, height, width.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    pub(crate) fn window(&self) -> Window {
        self.window
    }

    /// Positions vertically and horizontally.
    pub(crate) fn fit(&self) -> (usize, usize) {
        self.fit
    }

    /// Height and width with the border.
    pub(crate) fn padded(&self) -> (usize, usize) {
        let [_, h, w] = self.shape;
        (h + 2 * self.window.padding[0], w + 2 * self.window.padding[1])
    }

    fn check(&self, x: usize, cols: usize) {
        let want = (self.image(), self.patch() * self.positions());
        assert!((x, cols) == want, "unfold {:?} by {:?}: {x} pixels, {cols} cells", self.shape, self.window);
    }

    /// Every cell of the `[c kh kw, h' w']` matrix with the pixel it shows, or none on the border.
    fn each_cell(&self, mut visit: impl FnMut(usize, Option<usize>)) {
        let ([c, h, w], (oh, ow)) = (self.shape, self.fit);
        let Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] } = self.window;
        for cell in 0..c * kh * kw * oh * ow {
            let (row, i, j) = (cell / (oh * ow), cell / ow % oh, cell % ow);
            let (ch, y, x) = (row / (kh * kw), i * sh + row / kw % kh, j * sw + row % kw);
            let inside = (ph..h + ph).contains(&y) && (pw..w + pw).contains(&x);
            visit(cell, inside.then(|| (ch * h + y - ph) * w + x - pw));
        }
    }

    /// Unfolds consecutive images; `cols` holds `patch * positions` elements for each.
    pub(crate) fn fill(&self, images: &[f32], pad: &mut Scratch, cols: &mut [f32]) {
        let count = images.len().checked_div(self.image()).unwrap_or(0);
        for (i, image) in images.chunks_exact(self.image().max(1)).enumerate() {
            let image = self.bordered(image, pad);
            if self.by_patch() {
                let len = self.patch() * self.positions();
                self.copy_patches(image, &mut cols[i * len..(i + 1) * len]);
            } else {
                self.copy_shifts(image, &mut cols[i * self.positions()..], count * self.positions());
            }
        }
    }

    /// The adjoint of [`Unfolding::fill`]: overwrites `images`.
    pub(crate) fn fold(&self, cols: &[f32], pad: &mut Scratch, images: &mut [f32]) {
        let count = images.len().checked_div(self.image()).unwrap_or(0);
        let (h, w) = self.padded();
        for (i, image) in images.chunks_exact_mut(self.image().max(1)).enumerate() {
            let bare = self.window.padding == [0, 0];
            let target = if bare { &mut *image } else { pad.of(self.shape[0] * h * w) };
            target.fill(0.0);
            if self.by_patch() {
                let len = self.patch() * self.positions();
                self.add_patches(&cols[i * len..(i + 1) * len], target);
            } else {
                self.add_shifts(&cols[i * self.positions()..], count * self.positions(), target);
            }
            if !bare {
                self.crop(pad.of(self.shape[0] * h * w), image);
            }
        }
    }

    /// The image with its border of zeros, in `pad` unless there is none.
    pub(crate) fn bordered<'a>(&self, image: &'a [f32], pad: &'a mut Scratch) -> &'a [f32] {
        let ([c, h, w], [ph, pw]) = (self.shape, self.window.padding);
        if [ph, pw] == [0, 0] {
            return image;
        }
        let pad = pad.of(c * self.padded().0 * self.padded().1);
        border(image, [h, w], [ph, pw], pad);
        pad
    }

    /// The inside of the bordered image.
    fn crop(&self, bordered: &[f32], image: &mut [f32]) {
        let ([_, h, w], [ph, pw], (tall, wide)) = (self.shape, self.window.padding, self.padded());
        for (plane, from) in image.chunks_exact_mut(h * w).zip(bordered.chunks_exact(tall * wide)) {
            for (row, from) in plane.chunks_exact_mut(w).zip(from[ph * wide..].chunks_exact(wide)) {
                row.copy_from_slice(&from[pw..pw + w]);
            }
        }
    }

    /// Horizontal stride 1: each row of the matrix is made of runs of the image.
    fn copy_shifts(&self, image: &[f32], cols: &mut [f32], columns: usize) {
        self.each_run(columns, |cell, pixel, run| cols[cell..cell + run].copy_from_slice(&image[pixel..pixel + run]));
    }

    fn add_shifts(&self, cols: &[f32], columns: usize, image: &mut [f32]) {
        self.each_run(columns, |cell, pixel, run| {
            let (to, from) = (&mut image[pixel..pixel + run], &cols[cell..cell + run]);
            to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
        });
    }

    /// Runs of the matrix stored by rows: first cell, first pixel of the bordered image, length.
    #[inline(always)]
    fn each_run(&self, columns: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let (Window { kernel: [kh, kw], stride: [sh, _], .. }, (oh, ow)) = (self.window, self.fit);
        let (tall, wide) = self.padded();
        for row in 0..self.patch() {
            let (ch, ki, kj) = (row / (kh * kw), row / kw % kh, row % kw);
            for i in 0..oh {
                visit(row * columns + i * ow, (ch * tall + i * sh + ki) * wide + kj, ow);
            }
        }
    }

    fn copy_patches(&self, image: &[f32], cols: &mut [f32]) {
        match self.window.kernel[1] {
            1 => self.copy_rows::<1>(image, cols),
            2 => self.copy_rows::<2>(image, cols),
            3 => self.copy_rows::<3>(image, cols),
            4 => self.copy_rows::<4>(image, cols),
            5 => self.copy_rows::<5>(image, cols),
            7 => self.copy_rows::<7>(image, cols),
            8 => self.copy_rows::<8>(image, cols),
            kw => self.each_patch(|p, start| {
                let rows = cols[p * self.patch()..(p + 1) * self.patch()].chunks_exact_mut(kw);
                rows.enumerate().for_each(|(r, to)| to.copy_from_slice(&image[self.cell_row(start, r)..][..kw]));
            }),
        }
    }

    fn add_patches(&self, cols: &[f32], image: &mut [f32]) {
        match self.window.kernel[1] {
            1 => self.add_rows::<1>(cols, image),
            2 => self.add_rows::<2>(cols, image),
            3 => self.add_rows::<3>(cols, image),
            4 => self.add_rows::<4>(cols, image),
            5 => self.add_rows::<5>(cols, image),
            7 => self.add_rows::<7>(cols, image),
            8 => self.add_rows::<8>(cols, image),
            kw => self.each_patch(|p, start| {
                let rows = cols[p * self.patch()..(p + 1) * self.patch()].chunks_exact(kw).enumerate();
                rows.for_each(|(r, from)| {
                    let to = &mut image[self.cell_row(start, r)..][..kw];
                    to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
                });
            }),
        }
    }

    /// Patches stored one after the other, windows `KW` wide.
    fn copy_rows<const KW: usize>(&self, image: &[f32], cols: &mut [f32]) {
        let rows = cols.as_chunks_mut::<KW>().0;
        let per_patch = self.shape[0] * self.window.kernel[0];
        let (kh, (tall, wide)) = (self.window.kernel[0], self.padded());
        self.each_patch(|p, start| {
            for (plane, to) in rows[p * per_patch..(p + 1) * per_patch].chunks_exact_mut(kh).enumerate() {
                let from = &image[plane * tall * wide + start..];
                to.iter_mut().enumerate().for_each(|(r, to)| to.copy_from_slice(&from[r * wide..r * wide + KW]));
            }
        });
    }

    fn add_rows<const KW: usize>(&self, cols: &[f32], image: &mut [f32]) {
        let rows = cols.as_chunks::<KW>().0;
        let per_patch = self.shape[0] * self.window.kernel[0];
        let (kh, (tall, wide)) = (self.window.kernel[0], self.padded());
        self.each_patch(|p, start| {
            for (plane, from) in rows[p * per_patch..(p + 1) * per_patch].chunks_exact(kh).enumerate() {
                let to = &mut image[plane * tall * wide + start..];
                for (r, from) in from.iter().enumerate() {
                    let to = &mut to[r * wide..r * wide + KW];
                    to.iter_mut().zip(from).for_each(|(t, f)| *t += f);
                }
            }
        });
    }

    /// Every position with its first pixel in the first plane of the bordered image.
    #[inline(always)]
    fn each_patch(&self, mut visit: impl FnMut(usize, usize)) {
        let ([sh, sw], (oh, ow), (_, wide)) = (self.window.stride, self.fit, self.padded());
        for i in 0..oh {
            (0..ow).for_each(|j| visit(i * ow + j, i * sh * wide + j * sw));
        }
    }

    /// First pixel of row `r` of the window (rows of all channels counted through) at the position starting at `start`.
    fn cell_row(&self, start: usize, r: usize) -> usize {
        let (kh, (tall, wide)) = (self.window.kernel[0], self.padded());
        r / kh * tall * wide + r % kh * wide + start
    }
}

#[cfg(test)]
mod tests {
    use super::{Unfolding, fold, unfold};
    use crate::Window;
    use crate::memory::Scratch;

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + 13) % 1009) as f32 - 500.0).collect()
    }

    /// Shapes with both layouts, every specialised width, a border, several channels.
    fn cases() -> Vec<([usize; 3], Window)> {
        let mut cases = Vec::new();
        for kw in 1..=9 {
            for (stride, padding) in [([1, 1], [0, 0]), ([2, 2], [1, 0]), ([1, 3], [0, 2]), ([3, 1], [2, 1])] {
                cases.push(([2, 9, 11], Window { kernel: [3, kw], stride, padding }));
            }
        }
        cases
    }

    #[test]
    fn the_kernels_agree_with_the_definition() {
        for (shape, window) in cases() {
            let unfolding = Unfolding::new(shape, window);
            let (patch, positions) = (unfolding.patch(), unfolding.positions());
            let x = numbers(3 * unfolding.image());
            let mut pad = Scratch::new();
            let mut cols = vec![f32::NAN; 3 * patch * positions];
            unfolding.fill(&x, &mut pad, &mut cols);
            let matrix = unfolding.matrix(&cols, 3);
            let mut back = vec![f32::NAN; x.len()];
            unfolding.fold(&cols, &mut pad, &mut back);
            for g in 0..3 {
                let image = g * unfolding.image()..(g + 1) * unfolding.image();
                let mut want = vec![f32::NAN; patch * positions];
                unfold(&x[image.clone()], shape, window, &mut want);
                for (cell, want) in want.iter().enumerate() {
                    let column = g * positions + cell % positions;
                    let at = cell / positions * matrix.row_stride + column * matrix.col_stride;
                    assert_eq!(cols[at], *want, "{shape:?} {window:?}");
                }
                let mut want_back = vec![f32::NAN; unfolding.image()];
                fold(&want, shape, window, &mut want_back);
                assert_eq!(back[image], want_back, "{shape:?} {window:?}");
            }
        }
    }

    #[test]
    fn fold_is_the_adjoint() {
        for (shape, window) in cases() {
            let unfolding = Unfolding::new(shape, window);
            let (x, y) = (numbers(unfolding.image()), numbers(unfolding.patch() * unfolding.positions()));
            let (mut ux, mut fy) = (vec![0.0; y.len()], vec![0.0; x.len()]);
            unfold(&x, shape, window, &mut ux);
            fold(&y, shape, window, &mut fy);
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
            assert_eq!(dot(&ux, &y), dot(&x, &fy));
        }
    }
}
