//! Attention on a GPU: fused for heads of up to 128 numbers; for wider ones by products and a softmax between them, of f32 numbers,
//! one head of every example at a time.

use super::{Attended, Sizes, scale};
use crate::cuda::blas::{Matrix, Product};
use crate::cuda::{Buffer, Grid, arguments};
use crate::op::Present;
use crate::op::layer_norm::warps;
use crate::{Dtype, Gpu, Precision, Tensor};

/// The addresses of one head's part of every example: of rows `row` elements apart, examples `t row` apart.
fn head(at: u64, part: usize, row: usize, t: usize) -> Matrix {
    Matrix::new(at + 4 * part as u64, row).every(t * row)
}

impl Sizes {
    fn product(&self, gpu: &Gpu, m: usize, n: usize, k: usize, alpha: f32) -> Product {
        Product { batch: self.n, alpha, ..Product::new(gpu, m, n, k) }
    }

    /// `[n, t, t]` numbers.
    fn square(&self, gpu: &'static Gpu) -> (Buffer, Matrix) {
        let buffer = Buffer::of(gpu, self.n * self.t * self.t);
        let matrix = Matrix::new(buffer.address(), self.t).every(self.t * self.t);
        (buffer, matrix)
    }

    /// The projections with hidden keys and values as 0: a hidden one must not matter even if it is not a number.
    fn visible(&self, gpu: &'static Gpu, qkv: &Tensor, flags: u64) -> Tensor {
        let mut visible = qkv.clone();
        if flags != 0 {
            let (len, at) = (visible.len(), visible.address_mut());
            gpu.launch("hide_absent", Grid::over(len), arguments![at, flags, len, self.d()]);
        }
        visible
    }
}

/// Heads of up to this width are fused.
const WIDEST: usize = 128;
/// Queries, or keys, that a block of threads holds.
const ROWS: usize = 128;
/// Keys that stream past queries, forward.
const SEEN: usize = 64;

/// How the fused program is compiled.
struct Fused {
    defines: String,
    dtype: Dtype,
    /// Bytes of a row of shared memory.
    row: usize,
    /// Rows that stream past others, backward.
    shared: usize,
}

impl Fused {
    fn new(gpu: &Gpu, sizes: Sizes) -> Self {
        let (dtype, precision) = (Dtype::of_activations(gpu), u8::from(gpu.precision() != Precision::F32));
        // What products take at a time.
        let width = sizes.width.next_multiple_of(if dtype == Dtype::Bf16 { 16 } else { 32 });
        let warpgroups = dtype == Dtype::Bf16 && width % 32 == 0 && gpu.has_warpgroups();
        let row = width * dtype.bytes() + if warpgroups { 0 } else { 16 };
        let [causal, products] = [sizes.causal, warpgroups].map(u8::from);
        let head = format!("HEAD={} WIDTH={width} CAUSAL={causal}", sizes.width);
        let defines = format!("{head} PRECISION={precision} WARPGROUPS={products} {}", dtype.define());
        Self { defines, dtype, row, shared: if warpgroups { 64 } else { 32 } }
    }

    /// Runs a kernel that has `sides` blocks of threads for each [`ROWS`] rows of every head, which share `lines` rows and `more` bytes.
    fn launch(
        &self,
        gpu: &Gpu,
        kernel: &'static str,
        sizes: Sizes,
        sides: usize,
        [lines, more]: [usize; 2],
        arguments: &[u64],
    ) {
        let blocks = Grid::blocks(sides * sizes.n * sizes.heads * sizes.t.div_ceil(ROWS), 1, 256);
        let shared = (lines * self.row + more) as u32;
        gpu.launch_variant(kernel, &self.defines, Grid { shared, ..blocks }, arguments);
    }
}

fn fused(gpu: &'static Gpu, qkv: &Tensor, sizes: Sizes, flags: u64) -> (Tensor, Attended) {
    let (Sizes { n, t, heads, width, .. }, program) = (sizes, Fused::new(gpu, sizes));
    let qkv = qkv.as_dtype(program.dtype);
    let y = Tensor::unfilled_as(program.dtype, qkv.device(), [n, t, heads * width]);
    let sums = Tensor::unfilled_on(qkv.device(), [n, heads, 2, t]);
    let list = arguments![qkv.at(), flags, n, t, heads, y.at(), &sums];
    program.launch(gpu, "attention_forward", sizes, 1, [ROWS + 4 * SEEN, 0], list);
    (y.clone(), Attended { sums, y: Some(y) })
}

fn fused_backward(gpu: &'static Gpu, [dy, qkv, y, sums]: [&Tensor; 4], sizes: Sizes, flags: u64) -> Tensor {
    let (Sizes { n, t, heads, .. }, program) = (sizes, Fused::new(gpu, sizes));
    let [dy, qkv, y] = [dy, qkv, y].map(|x| x.as_dtype(program.dtype));
    let gradient = Tensor::unfilled_as(program.dtype, qkv.device(), qkv.shape());
    let terms = Buffer::of(gpu, 2 * n * heads * t);
    let lanes = if program.dtype == Dtype::Bf16 { 8 } else { 32 };
    let list = arguments![dy.at(), y.at(), sums, n, t, heads, &terms];
    gpu.launch_variant("attention_terms", &program.defines, Grid::over(lanes * n * t * heads), list);
    let list = arguments![dy.at(), qkv.at(), &terms, flags, n, t, heads, gradient.at()];
    program.launch(gpu, "attention_backward", sizes, 2, [2 * ROWS + 4 * program.shared, 2 * 1024], list);
    gradient
}

pub(super) fn attention(
    gpu: &'static Gpu,
    qkv: &Tensor,
    sizes: Sizes,
    present: Option<&Present>,
) -> (Tensor, Attended) {
    let (Sizes { n, t, heads, width, causal }, d) = (sizes, sizes.d());
    if let (_copy, flags) = present.map_or((None, 0), |present| present.address(gpu))
        && width <= WIDEST
    {
        return fused(gpu, qkv, sizes, flags);
    }
    let y = Tensor::unfilled_on(qkv.device(), [n, t, d]);
    let sums = Tensor::zeros_on(qkv.device(), [n, heads, 2, t]);
    let (_copy, flags) = present.map_or((None, 0), |present| present.address(gpu));
    let qkv = sizes.visible(gpu, qkv, flags);
    let ((_buffer, scores), at, blas) = (sizes.square(gpu), qkv.address(), gpu.blas());
    for h in 0..heads {
        let [q, k, v] = [0, 1, 2].map(|part| head(at, part * d + h * width, 3 * d, t));
        blas.product(gpu, scores, q, k.t(), &sizes.product(gpu, t, t, width, scale(width)));
        let list = arguments![scores.at, flags, &sums, n * t, t, heads, h, causal];
        gpu.launch("softmax_rows", warps(n * t), list);
        blas.product(gpu, head(y.address(), h * width, d, t), scores, v, &sizes.product(gpu, t, width, t, 1.0));
    }
    (y.as_dtype(Dtype::of_activations(gpu)), Attended { sums, y: None })
}

pub(super) fn attention_backward(
    gpu: &'static Gpu,
    dy: &Tensor,
    qkv: &Tensor,
    kept: &Attended,
    sizes: Sizes,
    present: Option<&Present>,
) -> Tensor {
    let (Sizes { n, t, heads, width, causal }, d) = (sizes, sizes.d());
    if let (Some(y), (_copy, flags)) = (&kept.y, present.map_or((None, 0), |present| present.address(gpu))) {
        return fused_backward(gpu, [dy, qkv, y, &kept.sums], sizes, flags);
    }
    let gradient = Tensor::unfilled_on(qkv.device(), qkv.shape());
    let (_copy, flags) = present.map_or((None, 0), |present| present.address(gpu));
    let qkv = sizes.visible(gpu, qkv, flags);
    let ((_p, p), (_ds, ds), blas) = (sizes.square(gpu), sizes.square(gpu), gpu.blas());
    for h in 0..heads {
        let [q, k, v] = [0, 1, 2].map(|part| head(qkv.address(), part * d + h * width, 3 * d, t));
        let [dq, dk, dv] = [0, 1, 2].map(|part| head(gradient.address(), part * d + h * width, 3 * d, t));
        let dy = head(dy.address(), h * width, d, t);
        blas.product(gpu, p, q, k.t(), &sizes.product(gpu, t, t, width, scale(width)));
        blas.product(gpu, ds, dy, v.t(), &sizes.product(gpu, t, t, width, 1.0));
        let list = arguments![p.at, ds.at, flags, &kept.sums, n * t, t, heads, h, causal];
        gpu.launch("softmax_rows_backward", warps(n * t), list);
        blas.product(gpu, dv, p.t(), dy, &sizes.product(gpu, t, width, t, 1.0));
        blas.product(gpu, dk, ds.t(), q, &sizes.product(gpu, t, width, t, scale(width)));
        blas.product(gpu, dq, ds, k, &sizes.product(gpu, t, width, t, scale(width)));
    }
    gradient.as_dtype(Dtype::of_activations(gpu))
}
