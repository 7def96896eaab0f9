//! Norms of product gradients by Gram matrices, without forming a gradient ("ghost norms").
//!
//! `|sum_t b_t a_t^T|^2 = sum_ts (a a^T)_ts (b b^T)_ts` (Goodfellow 2015, arXiv 1510.01799; Li et al. 2021, arXiv
//! 2110.05679). Both matrices are symmetric, so panels of columns are made from the diagonal down, in cache. Patches of an
//! image share its pixels: the inner product of two patches is the sum, over the cells of the window, of inner products of
//! pixels, which are made once: `kh kw` times fewer multiplications than from the patches themselves.

use multiversion::multiversion;

use super::factors::{Buffers, Factors};
use super::square;
use crate::matmul::lower_product;
use crate::memory::Scratch;
use crate::op::unfold::Unfolding;
use crate::{Mat, Threads, product};

/// A Gram sum below this part of the sum of its terms' sizes has lost too many digits to cancellation. Each term is right to
/// about 1e-7 of its size, so what passes is right to about 64e-7 as a squared norm: inside the margin of 1e-5 that
/// clipping leaves for rounding.
pub(super) const CANCELLED: f64 = 1.0 / 64.0;

/// Columns of a Gram matrix that are made together: one panel of the product kernel, which is packed once.
const GRAM: usize = 32;
/// Elements of a gradient above which what is kept of a batch leaves the caches.
const LARGE: usize = 1 << 15;
/// Multiplications in the time that it takes to write an element of a gradient to memory and to read it again.
const TRIP: usize = 85;

/// Scratch for both Gram matrices, and for the inner products of pixels.
pub(super) type Scratches = [Scratch; 3];

/// Whether gradients are to be formed: where keeping them for their sum is cheaper than Gram matrices. It depends on shapes
/// alone.
///
/// Small gradients stay in cache, and are formed if `2 t (p + d) > p d`; Gram matrices run at half the speed, being small
/// products. Large ones are paid for with trips to memory. (Mixed ghost clipping, Bu et al., arXiv 2205.10683, compares
/// memory, `2 t^2 > p d`.)
pub(super) fn forms_gradients(factors: &Factors) -> bool {
    let &Factors { t, d, p, .. } = factors;
    match factors.t {
        0 | 1 => false,
        _ if factors.size() < LARGE => 2 * t * (p + d) > factors.size(),
        _ => cost(factors) > TRIP * factors.size(),
    }
}

/// Gram matrices in multiplications of the product kernel at its full rate, as measured.
fn cost(factors: &Factors) -> usize {
    let &Factors { t, d, p, .. } = factors;
    match pixels(factors) {
        None => t * t * (p + d) * 5 / 8,
        Some(unfolding) => {
            let [c, h, w] = unfolding.shape();
            (h * w) * (h * w) * c + t * t * (p + unfolding.window().cells() * 4)
        }
    }
}

/// The unfolding of patches whose Gram matrix is made from pixels.
fn pixels<'f>(factors: &'f Factors) -> Option<&'f Unfolding> {
    factors.unfolding.as_ref().filter(|unfolding| unfolding.window().stride == [1, 1])
}

/// The squared norm of example `i`, or none where f32 might show too small a norm because terms cancel.
pub(super) fn norm(factors: &Factors, i: usize, buffers: &mut Buffers, scratch: &mut Scratches) -> Option<f64> {
    let [left, right, pairs] = scratch;
    let whole = pixels(factors).map(|unfolding| {
        let out = left.of(factors.t * factors.t);
        patches(unfolding, factors.a.row(i), pairs, out);
        &*out
    });
    let [mut sum, mut size] = [0.0; 2];
    for from in (0..factors.t).step_by(GRAM) {
        let width = GRAM.min(factors.t - from);
        let terms = match whole {
            Some(whole) => {
                let b = Mat::new(factors.b.row(i), factors.p, factors.t);
                overlap(&whole[from * factors.t + from..], factors.t, halved(gram(b, from, width, right), width), width)
            }
            None => {
                let (a, b) = factors.example(i, buffers);
                let a = gram(a, from, width, pairs);
                overlap(a, width, halved(gram(b, from, width, right), width), width)
            }
        };
        [sum, size] = [sum + terms[0], size + terms[1]];
    }
    (sum >= CANCELLED * size).then_some(2.0 * sum)
}

/// Columns `from..from + width` of `m^T m`, from the diagonal down; zeros above it.
fn gram<'s>(m: Mat, from: usize, width: usize, scratch: &'s mut Scratch) -> &'s mut [f32] {
    let below = Mat { data: &m.data[from * m.col_stride..], cols: m.cols - from, ..m };
    let out = scratch.of(below.cols * width);
    lower_product(out, below.t(), Mat { cols: width, ..below });
    out.chunks_exact_mut(width).enumerate().take(width).for_each(|(row, line)| line[row + 1..].fill(0.0));
    out
}

/// Half of what lies on the diagonal: twice the sum over such panels is a sum over the whole matrix.
fn halved(panel: &mut [f32], width: usize) -> &[f32] {
    panel.chunks_exact_mut(width).enumerate().take(width).for_each(|(row, line)| line[row] *= 0.5);
    panel
}

/// The sum of products of rows of `a`, `stride` apart, with the rows of `b`, next to each other; and of their sizes.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn overlap(a: &[f32], stride: usize, b: &[f32], width: usize) -> [f64; 2] {
    const LANES: usize = 16;
    let [mut sums, mut sizes] = [[0.0f64; LANES]; 2];
    let [mut sum, mut size] = [0.0f64; 2];
    for (a, b) in a.chunks(stride).zip(b.chunks_exact(width)) {
        let ((a, a_rest), (b, b_rest)) = (a[..width].as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                let term = f64::from(a[i]) * f64::from(b[i]);
                (sums[i], sizes[i]) = (sums[i] + term, sizes[i] + term.abs());
            }
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            let term = f64::from(*a) * f64::from(*b);
            (sum, size) = (sum + term, size + term.abs());
        }
    }
    [sum + sums.iter().sum::<f64>(), size + sizes.iter().sum::<f64>()]
}

/// The Gram matrix `[t, t]` of the patches of `image`, for a window of stride 1.
///
/// Inner products of pixels lie in rows of the bordered image's positions, in which a step of the window is a shift by a
/// constant: each cell of the window adds one long run to each row.
fn patches(unfolding: &Unfolding, image: &[f32], scratch: &mut Scratch, out: &mut [f32]) {
    let ([c, h, w], (oh, ow), (tall, wide)) = (unfolding.shape(), unfolding.fit(), unfolding.padded());
    let [ph, pw] = unfolding.window().padding;
    let [kh, kw] = unfolding.window().kernel;
    let (all, run) = (tall * wide, (oh - 1) * wide + ow);
    let (pairs, rest) = scratch.of(h * w * (h * w + all) + run).split_at_mut(h * w * h * w);
    let (shifted, row) = rest.split_at_mut(h * w * all);
    let image = Mat::new(image, c, h * w);
    product(pairs, image.t(), image, false, Threads::One);
    shifted.fill(0.0);
    for (pairs, shifted) in pairs.chunks_exact(h * w).zip(shifted.chunks_exact_mut(all)) {
        for (from, to) in pairs.chunks_exact(w).zip(shifted[ph * wide..].chunks_mut(wide)) {
            to[pw..pw + w].copy_from_slice(from);
        }
    }
    for (t, out) in out.chunks_exact_mut(oh * ow).enumerate() {
        row.fill(0.0);
        for cell in 0..kh * kw {
            let (y, x) = ((t / ow + cell / kw).wrapping_sub(ph), (t % ow + cell % kw).wrapping_sub(pw));
            if y < h && x < w {
                let from = (y * w + x) * all + cell / kw * wide + cell % kw;
                add(row, &shifted[from..from + run]);
            }
        }
        for (to, from) in out.chunks_exact_mut(ow).zip(row.chunks(wide)) {
            to.copy_from_slice(&from[..ow]);
        }
    }
}

/// `out += x`.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn add(out: &mut [f32], x: &[f32]) {
    out.iter_mut().zip(x).for_each(|(o, x)| *o += x);
}

/// `|a|^2 |b|^2`, for one position.
pub(super) fn single(factors: &Factors, i: usize, buffers: &mut Buffers) -> f64 {
    let (a, b) = factors.example(i, buffers);
    square(&a.data[..factors.d]) * square(&b.data[..factors.p])
}
