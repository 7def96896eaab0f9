//! Norms of product gradients by Gram matrices, without forming a gradient ("ghost norms").
//!
//! `|sum_t b_t a_t^T|^2 = sum_ts (a a^T)_ts (b b^T)_ts` (Goodfellow 2015, arXiv 1510.01799; Li et al. 2021, arXiv
//! 2110.05679). Both matrices are symmetric, so panels of columns are made from the diagonal down, in cache. Patches of an
//! image share its pixels: the inner product of two patches is the sum, over the cells of the window, of inner products of
//! pixels, which are made once: `kh kw` times fewer multiplications than from the patches themselves.

use multiversion::multiversion;

use super::allowance::{Allowance, outer};
use super::factors::{Buffers, Factors};
use super::square;
use crate::matmul::lower_product;
use crate::memory::Scratch;
use crate::op::unfold::Unfolding;
use crate::{Mat, Threads, product};

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

/// The squared norm of example `i` with what rounding may add; where f32 might show too small a norm, what its gradient's own square is to be
/// brought to.
pub(super) fn norm(
    factors: &Factors,
    i: usize,
    buffers: &mut Buffers,
    scratch: &mut Scratches,
) -> Result<f64, Allowance> {
    let [left, right, pairs] = scratch;
    let t = factors.t;
    let whole = pixels(factors).map(|unfolding| {
        let out = left.of(t * t);
        patches(unfolding, factors.a.row(i), pairs, out);
        &*out
    });
    let (mut sums, mut allowance) = (Sums::default(), Allowance::new(t, [factors.d, factors.p]));
    for from in (0..t).step_by(GRAM) {
        let width = GRAM.min(t - from);
        match whole {
            Some(whole) => {
                let b = Mat::new(factors.b.row(i), factors.p, t);
                sums.panel(&whole[from * t + from..], t, gram(b, from, width, right), width, &mut allowance);
            }
            None => {
                let (a, b) = factors.example(i, buffers);
                let a = gram(a, from, width, pairs);
                sums.panel(a, width, gram(b, from, width, right), width, &mut allowance);
            }
        };
    }
    sums.norm(&mut allowance).ok_or(allowance)
}

/// What the lower halves of both matrices add up to.
#[derive(Default)]
struct Sums {
    product: f64,
    size: f64,
    squares: [f64; 2],
    /// Squares of elements of the diagonals.
    diagonals: [f64; 2],
}

impl Sums {
    /// Takes in panels of both, whose rows begin `stride` and `width` apart.
    fn panel(&mut self, a: &[f32], stride: usize, b: &mut [f32], width: usize, allowance: &mut Allowance) {
        for at in 0..width {
            let elements = [a[at * stride + at], b[at * width + at]];
            allowance.diagonal(elements);
            let squares = elements.map(|x| f64::from(x).powi(2));
            self.diagonals = [self.diagonals[0] + squares[0], self.diagonals[1] + squares[1]];
        }
        let [product, size, left, right] = overlap(a, stride, halved(b, width), width);
        (self.product, self.size) = (self.product + product, self.size + size);
        self.squares = [self.squares[0] + left, self.squares[1] + right];
    }

    fn norm(&self, allowance: &mut Allowance) -> Option<f64> {
        // The diagonal of one is in the panels once, and of the other a quarter of its squares.
        let [left, right] = self.squares;
        allowance.squares = [2.0 * left - self.diagonals[0], 2.0 * right + 0.5 * self.diagonals[1]];
        allowance.of_grams(2.0 * self.product, 2.0 * self.size, allowance.lost())
    }
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

/// The sum of products of rows of `a`, `stride` apart, with the rows of `b`, next to each other; of their sizes; and of the squares of both.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn overlap(a: &[f32], stride: usize, b: &[f32], width: usize) -> [f64; 4] {
    const LANES: usize = 16;
    let mut lanes = [[0.0f64; LANES]; 4];
    let mut rest = [0.0f64; 4];
    for (a, b) in a.chunks(stride).zip(b.chunks_exact(width)) {
        let ((a, a_rest), (b, b_rest)) = (a[..width].as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in a.iter().zip(b) {
            for i in 0..LANES {
                let (a, b) = (f64::from(a[i]), f64::from(b[i]));
                lanes[0][i] += a * b;
                lanes[1][i] += (a * b).abs();
                lanes[2][i] += a * a;
                lanes[3][i] += b * b;
            }
        }
        for (a, b) in a_rest.iter().zip(b_rest) {
            let (a, b) = (f64::from(*a), f64::from(*b));
            let terms = [a * b, (a * b).abs(), a * a, b * b];
            rest.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        }
    }
    std::array::from_fn(|k| rest[k] + lanes[k].iter().sum::<f64>())
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
    outer(square(&a.data[..factors.d]), square(&b.data[..factors.p]))
}
