//! A convolution as kernels take it, and the input gradient of one with stride 2: what each position sees, and makes.

use crate::Window;
use crate::cuda::dnn::Shape;

/// A convolution as a kernel takes it.
pub(super) struct Sight {
    pub(super) shape: Shape,
    /// Rows and columns of positions.
    pub(super) positions: (usize, usize),
    /// What a position sees of the images.
    pub(super) window: Window,
    /// Pixels that a position makes, in each direction.
    pub(super) up: usize,
    /// Rows and columns of what is made.
    pub(super) made: [usize; 2],
}

/// How far apart, counted in positions, the first and the last of what a pixel of a position sees are, and how far before the position the
/// first is, for `cells` weights behind a border of `border`, with stride 2.
fn seen(cells: usize, border: usize) -> [usize; 2] {
    let at = |cell: usize| ((cell + border) % 2 + border) as i64 - cell as i64;
    let all = || (0..cells).map(|cell| at(cell) / 2);
    let (first, last) = (all().min().unwrap_or(0), all().max().unwrap_or(0));
    [(last - first + 1) as usize, (-first) as usize]
}

impl Sight {
    /// The convolution itself.
    pub(super) fn of(shape: Shape) -> Self {
        let Shape { input: [_, h, w], window, .. } = shape;
        let positions = window.fit(h, w);
        Self { shape, positions, window, up: 1, made: [positions.0, positions.1] }
    }

    /// The input gradient of a convolution with stride 2: a position makes two by two pixels of it. `shape` is the convolution's, that
    /// of the result has its gradients in the place of images. None where the window does not fit such positions.
    pub(super) fn of_gradient(shape: Shape) -> Option<Self> {
        let Shape { n, input: [c, h, w], outputs, window } = shape;
        let (Window { kernel: [kh, kw], stride, padding: [ph, pw] }, (oh, ow)) = (window, window.fit(h, w));
        let ([rows, above], [columns, before]) = (seen(kh, ph), seen(kw, pw));
        let sight = Window { kernel: [rows, columns], stride: [1, 1], padding: [above, before] };
        let back = Shape { n, input: [outputs, oh, ow], outputs: c, window };
        (stride == [2, 2]).then_some(Self {
            shape: back,
            positions: (h.div_ceil(2), w.div_ceil(2)),
            window: sight,
            up: 2,
            made: [h, w],
        })
    }

    /// What programs of gradients are compiled with besides.
    pub(super) fn raised(&self) -> String {
        let Shape { outputs: c, window: Window { kernel: [h, w], padding: [above, before], .. }, .. } = self.shape;
        match self.up {
            1 => String::new(),
            up => format!(
                "UP={up} FULL_C={c} FULL_H={} FULL_W={} CELLS_H={h} CELLS_W={w} BORDER_H={above} BORDER_W={before}",
                self.made[0], self.made[1]
            ),
        }
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
