//! Copies of images, moved and mirrored: what augmentation makes of them.

use rayon::prelude::*;

use crate::cuda::{Grid, arguments};
use crate::{Device, Gpu, Tensor};

/// What lies beyond an image's edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// The image mirrored at its outermost pixels, which are not repeated: PyTorch's `reflect`.
    Reflected,
    /// Zeros.
    Zeros,
}

/// One copy of an image: pixel `(y, x)` is the image's `(y + down, x + right)`, or `(y + down, w - 1 - x + right)` mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Move {
    /// Lines.
    pub down: i32,
    /// Columns.
    pub right: i32,
    /// 1 for left and right exchanged, 0 for not.
    pub mirrored: u32,
}

/// Copies of images `x` `[n, c, h, w]`, as many of each one after the other as there are moves for each: `[moves, c, h, w]`.
///
/// # Panics
/// If `x` are not images, if moves are not a whole number for each, or if one is by as much as an image is large.
#[must_use]
pub fn moved(x: &Tensor, moves: &[Move], beyond: Beyond) -> Tensor {
    let &[n, c, h, w] = x.shape() else { panic!("moved: {x:?} are not images [n, c, h, w]") };
    let each = moves.len() / n.max(1);
    assert!(each * n == moves.len(), "moved: {} moves of {n} images", moves.len());
    let inside =
        |Move { down, right, .. }: &Move| (down.unsigned_abs() as usize) < h && (right.unsigned_abs() as usize) < w;
    assert!(moves.iter().all(inside), "moved: by more than an image of {h} by {w}");
    if let Some(gpu) = x.gpu() {
        return moved_on(gpu, x, moves, beyond);
    }
    let mut y = Tensor::unfilled([moves.len(), c, h, w]);
    let copies = y.data_mut().par_chunks_exact_mut((c * h * w).max(1)).zip(moves).enumerate();
    copies.for_each(|(k, (to, by))| one(x.row(k / each), to, [h, w], *by, beyond));
    y
}

fn moved_on(gpu: &'static Gpu, x: &Tensor, moves: &[Move], beyond: Beyond) -> Tensor {
    let &[n, c, h, w] = x.shape() else { unreachable!("seen by whoever calls") };
    let y = Tensor::unfilled_on(Device::Cuda(gpu), [moves.len(), c, h, w]);
    let (by, each) = (gpu.upload(moves), moves.len() / n.max(1));
    let list = arguments![x, &by, &y, y.len(), c, h, w, each.max(1), beyond == Beyond::Reflected];
    gpu.launch("moved", Grid::over(y.len()), list);
    y
}

/// One copy of an image, channel by channel.
fn one(image: &[f32], to: &mut [f32], [h, w]: [usize; 2], by: Move, beyond: Beyond) {
    let columns: Vec<Option<usize>> =
        (0..w).map(|x| from(if by.mirrored != 0 { w - 1 - x } else { x }, by.right, w, beyond)).collect();
    for (plane, to) in image.chunks_exact(h * w).zip(to.chunks_exact_mut(h * w)) {
        for (y, to) in to.chunks_exact_mut(w).enumerate() {
            match from(y, by.down, h, beyond) {
                None => to.fill(0.0),
                Some(line) => {
                    let line = &plane[line * w..(line + 1) * w];
                    to.iter_mut().zip(&columns).for_each(|(to, x)| *to = x.map_or(0.0, |x| line[x]));
                }
            }
        }
    }
}

/// Where the number at `at` comes from, of `len` in a row; none is a zero.
fn from(at: usize, by: i32, len: usize, beyond: Beyond) -> Option<usize> {
    let (at, last) = (at as i64 + i64::from(by), len as i64 - 1);
    let inside = (0..=last).contains(&at);
    let reflected = if at < 0 { -at } else { 2 * last - at };
    match beyond {
        _ if inside => Some(at as usize),
        Beyond::Reflected => Some(reflected as usize),
        Beyond::Zeros => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Beyond, Move, moved};
    use crate::Tensor;

    fn by(down: i32, right: i32, mirrored: u32) -> Move {
        Move { down, right, mirrored }
    }

    /// `numpy.pad(x, 2, mode = "reflect")`, cropped and mirrored by hand.
    #[test]
    fn pixels_are_where_numpy_puts_them() {
        let x = Tensor::new([1, 1, 3, 4], (1..=12).map(|x| x as f32).collect());
        let moves = [by(0, 0, 0), by(0, 0, 1), by(-2, 1, 0), by(1, -2, 0), by(1, -2, 1)];
        let y = moved(&x, &moves, Beyond::Reflected);
        assert_eq!(y.shape(), [5, 1, 3, 4]);
        let want = [
            [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12],
            [4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9],
            [10, 11, 12, 11, 6, 7, 8, 7, 2, 3, 4, 3],
            [7, 6, 5, 6, 11, 10, 9, 10, 7, 6, 5, 6],
            [6, 5, 6, 7, 10, 9, 10, 11, 6, 5, 6, 7],
        ];
        for (k, want) in want.iter().enumerate() {
            assert_eq!(y.row(k), want.map(|x| x as f32), "copy {k}");
        }
        let y = moved(&x, &[by(-1, 2, 0), by(2, 0, 1)], Beyond::Zeros);
        assert_eq!(y.row(0), [0., 0., 0., 0., 3., 4., 0., 0., 7., 8., 0., 0.]);
        assert_eq!(y.row(1), [12., 11., 10., 9., 0., 0., 0., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn copies_of_an_image_lie_together_and_channels_move_alike() {
        let x = Tensor::new([2, 2, 2, 2], (0..16).map(|x| x as f32).collect());
        let y = moved(&x, &[by(0, 0, 0), by(0, 0, 1), by(1, 0, 0), by(0, 0, 0)], Beyond::Zeros);
        assert_eq!(y.row(1), [1., 0., 3., 2., 5., 4., 7., 6.]);
        assert_eq!(y.row(2), [10., 11., 0., 0., 14., 15., 0., 0.]);
        assert_eq!((y.row(0), y.row(3)), (x.row(0), x.row(1)));
        assert_eq!(moved(&Tensor::zeros([0, 1, 2, 2]), &[], Beyond::Zeros).shape(), [0, 1, 2, 2]);
    }
}
