//! Several images as one, one above the other: a convolution's gradient of the one is the sum of its gradients of them.

use rayon::prelude::*;

use crate::cuda::{Grid, arguments};
use crate::{Tensor, Window};

/// Every `each` images of `x` `[n each, c, h, w]` as one `[n, c, .., w]`, and the gradients of their outputs `b` `[n each, p, h' w']`
/// as those of its outputs `[n, p, ..]`: the product of `b` and patches of `x` under `window` (see [`per_example::Left`]) of the one is the sum of
/// those of the images.
///
/// Between images lie as many lines of zeros as no window sees two images across; outputs that belong to none have gradients of zero.
///
/// [`per_example::Left`]: super::per_example::Left
///
/// # Panics
/// If `each` does not divide the images, or `b` is not of the window's outputs on them.
#[must_use]
pub fn stacked(x: &Tensor, b: &Tensor, window: Window, each: usize) -> (Tensor, Tensor) {
    let &[images, _, h, w] = x.shape() else { panic!("stacked: {x:?} are not images [n, c, h, w]") };
    let ((oh, ow), p) = (window.fit(h, w), b.shape()[1]);
    assert!(each > 0 && images.is_multiple_of(each), "stacked: {images} images by {each}");
    assert!(b.rows() == images && b.row_len() == p * oh * ow, "stacked: images {x:?} by {window:?}, gradients {b:?}");
    let stride = window.stride[0];
    let step = apart(h, oh, window);
    let lines = window.fit(each * step, w).0;
    let x = above_each_other(x, [each, h, w], step, each * step);
    let b = above_each_other(&b.clone().reshape([images, p, oh, ow]), [each, oh, ow], step / stride, lines);
    (x, b.reshape([images / each, p, lines * ow]))
}

/// Lines from the top of an image of `h` to the top of the next: enough zeros for the windows of both, the same positions of windows on
/// both, and room for all `oh` of them.
fn apart(h: usize, oh: usize, window: Window) -> usize {
    let stride = window.stride[0];
    (h + window.padding[0]).next_multiple_of(stride).max(oh * stride)
}

/// Images `[n each, c, h, w]` every `step` lines in `[n, c, lines, w]`, with zeros between.
fn above_each_other(x: &Tensor, [each, h, w]: [usize; 3], step: usize, lines: usize) -> Tensor {
    let (n, c) = (x.rows() / each, x.shape()[1]);
    let shape = [n, c, lines, w];
    if let Some(gpu) = x.gpu() {
        let y = Tensor::unfilled_as(x.dtype(), x.device(), shape);
        let (area, threads) = (h * w, (step * w / 4).next_multiple_of(32).clamp(32, 256));
        let list = arguments![x.at(), y.at(), each, c, area, step * w, lines * w];
        gpu.launch_as(x.dtype(), "stacked", Grid::blocks(n * c * each, 1, threads as u32), list);
        return y;
    }
    let mut y = Tensor::zeros(shape);
    let planes = y.data_mut().par_chunks_exact_mut((lines * w).max(1)).enumerate();
    planes.for_each(|(plane, to)| {
        let (i, channel) = (plane / c, plane % c);
        for k in 0..each {
            let from = &x.row(i * each + k)[channel * h * w..(channel + 1) * h * w];
            to[k * step * w..][..h * w].copy_from_slice(from);
        }
    });
    y
}

#[cfg(test)]
mod tests {
    use super::{apart, stacked};
    use crate::op::per_example::{Left, product_rows};
    use crate::{Tensor, Window};

    fn numbers(shape: &[usize], from: usize) -> Tensor {
        let len = shape.iter().product();
        Tensor::new(shape, (0..len).map(|i| ((i * 7 + from) % 23) as f32 - 11.0).collect())
    }

    /// Every shape of window: the gradients are whole numbers, so that sums are exact.
    #[test]
    fn gradients_of_a_stack_are_the_sums_of_its_images() {
        for (kernel, stride, padding) in
            [(3, 1, 1), (3, 2, 1), (1, 1, 0), (1, 2, 0), (8, 2, 3), (4, 2, 0), (5, 3, 4), (2, 1, 0), (7, 1, 0)]
        {
            let window = Window { kernel: [kernel, 3], stride: [stride, 1], padding: [padding, 1] };
            for (h, each) in [(8, 3), (9, 2), (11, 1)] {
                let (oh, ow) = window.fit(h, 6);
                let (x, b) = (numbers(&[2 * each, 2, h, 6], 1), numbers(&[2 * each, 3, oh * ow], 5));
                let apart = product_rows(Left::Patches { x: &x, window }, &b);
                let (x, b) = stacked(&x, &b, window, each);
                let whole = product_rows(Left::Patches { x: &x, window }, &b);
                for i in 0..2 {
                    let rows = (i * each..(i + 1) * each).map(|k| apart.row(k).to_vec());
                    let want = rows.reduce(|a, b| a.iter().zip(&b).map(|(a, b)| a + b).collect()).unwrap();
                    assert_eq!(whole.row(i), want, "{window:?} on {h} lines, {each} images");
                }
            }
        }
    }

    #[test]
    fn images_are_no_further_apart_than_they_need_to_be() {
        let of = |kernel, stride, padding, h| {
            let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] };
            apart(h, window.fit(h, h).0, window)
        };
        assert_eq!([of(3, 1, 1, 32), of(3, 2, 1, 32), of(1, 1, 0, 8), of(1, 2, 0, 8)], [33, 34, 8, 8]);
    }
}
