//! The two factors of a product gradient, as matrices.

use rayon::prelude::*;

use super::gpu;

use crate::matmul::scaled_product;
use crate::memory::Scratch;
use crate::op::direct::Direct;
use crate::op::unfold::Unfolding;
use crate::tensor::volume;
use crate::{Mat, Tensor, Threads, Window};

/// The left factor `a`: what the parameter was multiplied with.
///
/// The right factor `b` is the gradient of the output. The gradient of example `i` is `sum_t b_it a_it^T`, `[p, d]`: the
/// layout of PyTorch's weights (for a convolution `d = c kh kw`).
#[derive(Clone, Copy, Debug)]
pub enum Left<'a> {
    /// Of a linear map: `a` is `[n, .., d]` and goes with `b` `[n, .., p]`.
    Rows {
        /// The input.
        a: &'a Tensor,
    },
    /// Of a convolution: the patches of `x` `[n, c, h, w]` go with `b` `[n, p, h', w']` (or `[n, p, h' w']`).
    Patches {
        /// The input.
        x: &'a Tensor,
        /// How it is unfolded.
        window: Window,
    },
}

/// Checked factors: `n` examples, each with `a` as `[d, t]` and `b` as `[p, t]` matrices.
pub(super) struct Factors<'a> {
    pub(super) n: usize,
    pub(super) t: usize,
    pub(super) d: usize,
    pub(super) p: usize,
    pub(super) a: &'a Tensor,
    pub(super) b: &'a Tensor,
    /// Present for patches.
    pub(super) unfolding: Option<Unfolding>,
    pub(super) window: Option<Window>,
    /// Present for patches that are read in place.
    direct: Option<Direct>,
}

/// Buffers for the border and the patches of an image, and for a transposed gradient.
pub(super) struct Buffers {
    pad: Scratch,
    cols: Scratch,
    pub(super) gradient: Scratch,
}

pub(super) fn buffers() -> Buffers {
    Buffers { pad: Scratch::new(), cols: Scratch::new(), gradient: Scratch::new() }
}

impl<'a> Factors<'a> {
    /// # Panics
    /// If the factors do not fit each other.
    pub(super) fn new(left: Left<'a>, b: &'a Tensor) -> Self {
        match left {
            Left::Rows { a } => Self::of_rows(a, b),
            Left::Patches { x, window } => Self::of_patches(x, window, b),
        }
    }

    fn of_rows(a: &'a Tensor, b: &'a Tensor) -> Self {
        let (dims, d, p) = (a.shape().len(), a.last(), b.last());
        let fits = dims >= 2 && b.shape().len() == dims && a.shape()[..dims - 1] == b.shape()[..dims - 1];
        assert!(fits, "per-example product: inputs {a:?}, gradients {b:?}");
        Self {
            n: a.rows(),
            t: volume(&a.shape()[1..dims - 1]),
            d,
            p,
            a,
            b,
            unfolding: None,
            window: None,
            direct: None,
        }
    }

    fn of_patches(x: &'a Tensor, window: Window, b: &'a Tensor) -> Self {
        let &[n, c, h, w] = x.shape() else { panic!("per-example product: image {x:?} is not [n, c, h, w]") };
        let unfolding = Unfolding::new([c, h, w], window);
        let (d, t) = (unfolding.patch(), unfolding.positions());
        let fits = b.shape().len() >= 2 && b.rows() == n && volume(&b.shape()[2..]) == t;
        assert!(fits, "per-example product: images {x:?} by {window:?}, gradients {b:?}");
        let direct = Direct::new(&unfolding);
        Self { n, t, d, p: b.shape()[1], a: x, b, unfolding: Some(unfolding), window: Some(window), direct }
    }

    /// Elements of one gradient.
    pub(super) fn size(&self) -> usize {
        self.p * self.d
    }

    /// The factors of example `i`: `[d, t]` and `[p, t]`.
    pub(super) fn example<'s>(&'s self, i: usize, buffers: &'s mut Buffers) -> (Mat<'s>, Mat<'s>) {
        let Buffers { pad, cols, .. } = buffers;
        self.unfolded(i, pad, cols)
    }

    fn unfolded<'s>(&'s self, i: usize, pad: &mut Scratch, cols: &'s mut Scratch) -> (Mat<'s>, Mat<'s>) {
        let b = self.b.row(i);
        match &self.unfolding {
            None => (Mat::new(self.a.row(i), self.t, self.d).t(), Mat::new(b, self.t, self.p).t()),
            Some(unfolding) => {
                let cols = cols.of(self.d * self.t);
                unfolding.fill(self.a.row(i), pad, cols);
                (unfolding.matrix(cols, 1), Mat::new(b, self.p, self.t))
            }
        }
    }

    /// Writes the gradient of example `i`, `[p, d]`.
    pub(super) fn gradient(&self, i: usize, buffers: &mut Buffers, out: &mut [f32]) {
        if self.lies() {
            let lying = self.any_gradient(i, buffers);
            out.fill(0.0);
            add_transposed(lying, out, self.p);
        } else {
            self.add(i, 1.0, false, buffers, out);
        }
    }

    /// The gradient of example `i` in the buffer, transposed if [`Factors::lies`].
    pub(super) fn any_gradient<'s>(&self, i: usize, buffers: &'s mut Buffers) -> &'s mut [f32] {
        let mut gradient = std::mem::replace(&mut buffers.gradient, Scratch::new());
        self.add(i, 1.0, false, buffers, gradient.of(self.size()));
        buffers.gradient = gradient;
        buffers.gradient.of(self.size())
    }

    /// Whether [`Factors::add`] makes `[d, p]`: what is contiguous along the positions then lies along the rows of the left
    /// factor, which is faster.
    pub(super) fn lies(&self) -> bool {
        self.direct.is_some()
    }

    /// `out` becomes (or is increased by) `scale` times the gradient of example `i`, transposed if [`Factors::lies`].
    pub(super) fn add(&self, i: usize, scale: f32, accumulate: bool, buffers: &mut Buffers, out: &mut [f32]) {
        if let (Some(direct), Some(unfolding)) = (&self.direct, &self.unfolding) {
            let image = unfolding.bordered(self.a.row(i), &mut buffers.pad);
            return direct.weight_gradient(image, self.b.row(i), scale, accumulate, out, &mut buffers.cols);
        }
        let (a, b) = self.example(i, buffers);
        scaled_product(out, b, a.t(), scale, accumulate, Threads::One);
    }
}

/// Adds `from` `[d, p]` to `to` `[p, d]`, sixteen columns at a time.
pub(super) fn add_transposed(from: &[f32], to: &mut [f32], p: usize) {
    let d = from.len().checked_div(p).unwrap_or(0);
    for (block, from) in from.chunks((16 * p).max(1)).enumerate() {
        for (j, to) in to.chunks_exact_mut(d.max(1)).enumerate() {
            let column = from[j..].iter().step_by(p);
            to[block * 16..].iter_mut().zip(column).for_each(|(to, from)| *to += *from);
        }
    }
}

/// The definition: every example's gradient, `[n, p d]`.
///
/// # Panics
/// If the factors do not fit each other.
#[must_use]
pub fn product_rows(left: Left, b: &Tensor) -> Tensor {
    let factors = Factors::new(left, b);
    if let Some(gpu) = b.gpu() {
        return gpu::rows(gpu, &factors);
    }
    let mut rows = Tensor::unfilled([factors.n, factors.size()]);
    if !rows.is_empty() {
        let rows = rows.data_mut().par_chunks_mut(factors.size()).enumerate();
        rows.for_each_init(buffers, |buffers, (i, row)| factors.gradient(i, buffers, row));
    }
    rows
}
