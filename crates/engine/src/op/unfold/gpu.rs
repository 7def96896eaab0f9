//! Images as matrices of patches on a GPU, some images after the other, and back.

use super::Unfolding;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Gpu, Tensor, Window};

/// Scratch memory for unfolded images on a GPU, in elements.
const UNFOLDED: usize = 1 << 26;

/// The numbers that kernels of images take: height, width, positions, window.
pub(in crate::op) fn numbers(h: usize, w: usize, window: Window) -> [usize; 10] {
    let ((oh, ow), Window { kernel: [kh, kw], stride: [sh, sw], padding: [ph, pw] }) = (window.fit(h, w), window);
    [h, w, oh, ow, kh, kw, sh, sw, ph, pw]
}

/// `work` on some images after the other, unfolded on their GPU: the number of the first, how many, the address of their
/// patches `[images, d, t]`, and `d` and `t`.
pub(in crate::op) fn each_part(
    gpu: &'static Gpu,
    x: &Tensor,
    window: Window,
    mut work: impl FnMut(usize, usize, u64, [usize; 2]),
) {
    in_parts(gpu, x, window, |first, images, cols, size| {
        launch("unfold_images", gpu, x, window, (first, images, cols));
        work(first, images, cols, size);
    });
}

/// The adjoint: `work` fills patches of some images, which are folded into `x`.
pub(in crate::op) fn fold_parts(
    gpu: &'static Gpu,
    x: &Tensor,
    window: Window,
    mut work: impl FnMut(usize, usize, u64, [usize; 2]),
) {
    in_parts(gpu, x, window, |first, images, cols, size| {
        work(first, images, cols, size);
        launch("fold_images", gpu, x, window, (first, images, cols));
    });
}

fn in_parts(gpu: &'static Gpu, x: &Tensor, window: Window, mut work: impl FnMut(usize, usize, u64, [usize; 2])) {
    let &[n, c, h, w] = x.shape() else { panic!("images {x:?} are not [n, c, h, w]") };
    let unfolding = Unfolding::new([c, h, w], window);
    let (d, t) = (unfolding.patch(), unfolding.positions());
    let most = (UNFOLDED / (d * t).max(1)).clamp(1, n.max(1));
    let cols = Buffer::of(gpu, most * d * t);
    for first in (0..n).step_by(most) {
        work(first, most.min(n - first), cols.address(), [d, t]);
    }
}

/// A thread for each element that the kernel makes: of the patches, or of the images.
fn launch(
    kernel: &'static str,
    gpu: &'static Gpu,
    x: &Tensor,
    window: Window,
    (first, images, cols): (usize, usize, u64),
) {
    let (c, h, w) = (x.shape()[1], x.shape()[2], x.shape()[3]);
    let part = x.address() + (4 * first * x.row_len()) as u64;
    let [_, _, oh, ow, kh, kw, sh, sw, ph, pw] = numbers(h, w, window);
    let (from, to, n) = match kernel {
        "fold_images" => (cols, part, images * x.row_len()),
        _ => (part, cols, images * c * kh * kw * oh * ow),
    };
    gpu.launch(kernel, Grid::over(n), arguments![from, to, n, c, h, w, oh, ow, kh, kw, sh, sw, ph, pw]);
}
