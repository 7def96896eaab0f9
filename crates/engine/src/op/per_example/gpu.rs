//! Per-example norms and sums on a GPU.
//!
//! # Why this is private
//! *Claim.* With any [`Precision`](crate::Precision), what an example adds to a sum is no longer than its weight times the
//! norm reported for it, but for the rounding of f32 sums, which clipping's margin covers.
//! *Argument.* Four ways lead to a norm ([`Way`]).
//! * The gradient is made once, by a product whose factors may be rounded, and kept; its norm is taken in f64 or f32 of the
//!   numbers that are kept, and the sum weighs those numbers in f32. What the product rounded, and how it added up, is the
//!   same in both because it happened once.
//! * The gradient is made twice: the SAME numbers, made again by the same operations ([`tiles`], [`products`]), are weighed and
//!   summed in f32. How the factors were rounded does not matter.
//! * One position (`t = 1`): norms and sums are true f32, whatever the precision.
//! * Gram matrices: `n^2 = sum_ts (a_t a_s)(b_t b_s)` of the rounded factors. Their sum multiplies `w b` instead of `b` (or `w a`
//!   instead of `a`), and `round(w b)` is not `w round(b)`; and sums of products are rounded. What is reported is an upper bound: `margins.rs`. Under
//!   [`Precision::Bf16`](crate::Precision::Bf16) all factors are bf16 in memory, for more than one position: what is f32
//!   is rounded by us, to nearest, before anything is made of it, and a number is rounded alike whenever that happens.
//!
//! *Tests.* `tests/gpu/bounds.rs`: `sums_stay_within_reported_norms`, with factors whose terms cancel, at each precision; `tests/gpu/margins.rs`.

use super::factors::Factors;
use super::grams::{self, LONG, PART};
use super::kept::Kept;
use super::margins::{Made, Margins};
use super::rows::gpu::{THREADS, pieces, rows_dots, rows_squares};
use super::squares::{Numbers, Squares};
use super::{products, tiles};
use crate::cuda::blas::{Matrix, Product};
use crate::cuda::{Buffer, Grid, arguments};
use crate::op::unfold;
use crate::{Device, Dtype, Gpu, Part, Precision, Tensor};

/// Elements of Gram matrices that are held at a time.
const GRAMS: usize = 1 << 26;

/// The factors of a linear map as products read them: rounded where products are made of rounded numbers, unless there is but one
/// position.
fn operands(gpu: &Gpu, factors: &Factors) -> [Tensor; 2] {
    let dtype = if factors.t == 1 { Dtype::F32 } else { Dtype::of_activations(gpu) };
    [factors.a, factors.b].map(|x| x.rows_as(dtype))
}

/// How a gradient's norm is taken, and its sum.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// One position: the product of its factors' norms; one product in f32.
    Outer,
    /// By Gram matrices; one product.
    Grams,
    /// Made once, and kept until the sum.
    Kept,
    /// Made twice, in registers.
    Twice,
}

/// Operations a nanosecond when gradients are made again for the sum, in TF32 (measured: 90 to 140 thousand).
const MAKING: usize = 95_000;
/// Bytes a nanosecond to memory and back.
const MOVING: usize = 2_700;
/// The most that kept gradients may take, in halves of what their factors take, of which they are in the place.
const ROOM: usize = 5;

impl Way {
    /// By cost, from shapes and precision alone: `t^2 (p + d)` multiplications for Gram matrices against `t p d` for the gradients, which
    /// are kept where 8 bytes a number (written, read) take less than `2 t` operations. Products of bf16 are twice as quick, and memory is not.
    fn of(gpu: &Gpu, factors: &Factors) -> Self {
        let &Factors { t, d, p, a, b, window, .. } = factors;
        let quicker = 2 * t * MOVING > 8 * MAKING;
        let quick = if gpu.precision() == Precision::Bf16 { 2 } else { 1 };
        let roomy = 2 * p * d <= ROOM * (a.row_len() + b.row_len());
        match window {
            None if t == 1 => Way::Outer,
            None if t * (p + d) < p * d * quick => Way::Grams,
            _ if quicker && roomy => Way::Kept,
            _ => Way::Twice,
        }
    }
}

/// Squared norms, and gradients that were kept; none are unless they may be.
pub(super) fn squares(gpu: &'static Gpu, factors: &Factors, keep: bool) -> (Squares, Option<Kept>) {
    let &Factors { n, t, d, p, window, .. } = factors;
    if n * t * d * p == 0 {
        let out = Numbers::new(gpu, n);
        gpu.clear(out.at(), 8 * n);
        return (Squares::Device(out), None);
    }
    let keep = keep && Way::of(gpu, factors) == Way::Kept;
    let squares = match (Way::of(gpu, factors), window) {
        (Way::Outer, _) => Squares::Rows(factors.a.clone(), Some(factors.b.clone())),
        (Way::Grams, _) => match operands(gpu, factors) {
            [a, b] if grams::fits(gpu, (&a, &b)) => Squares::Grams(a, b),
            [a, b] => Squares::Device(by_grams(gpu, [&a, &b], None)),
        },
        (_, Some(window)) => return tiles::squares(gpu, factors, window, keep),
        (_, None) if keep => {
            let rows = rows(gpu, factors);
            let squares = rows_squares(gpu, &rows);
            return (Squares::Device(squares), Some(Kept::new(rows, 1)));
        }
        (_, None) => Squares::Device(products::squares(gpu, &operands(gpu, factors))),
    };
    (squares, None)
}

/// What a table that is used twice adds to the Gram matrices of its product part.
struct Twice<'a> {
    /// `[n, t, d]`, the gradients by the embeddings.
    e: &'a Tensor,
    /// The address of the ids.
    ids: u64,
    /// Squared norms of the scattered part.
    scattered: Numbers,
}

/// `[n, t, d]` of a matrix of rows.
fn sizes(x: &Tensor) -> [usize; 3] {
    [x.rows(), x.row_len() / x.last().max(1), x.last()]
}

/// Upper bounds of squared norms by Gram matrices of `[a, b]`, for as many examples at a time as memory is held for.
fn by_grams(gpu: &'static Gpu, [a, b]: [&Tensor; 2], twice: Option<&Twice>) -> Numbers {
    let ([n, t, d], p) = (sizes(a), b.last());
    let (out, most) = (Numbers::new(gpu, n), (GRAMS / (2 * t * t)).clamp(1, n.max(1)));
    let made = match twice {
        Some(_) if a.rows_dtype() == Dtype::F32 => Made::Exactly,
        _ if grams::fits(gpu, (a, b)) => Made::Here,
        _ => Made::There,
    };
    let own = (made == Made::Here).then(|| grams::of_one(gpu, (a, b)));
    let precision = if made == Made::Exactly { Precision::F32 } else { gpu.precision() };
    let margins = Margins::of(gpu, (a.rows_dtype(), made), long(precision, [a, b]), [t, d, p]);
    let margins = gpu.constant(&margins.words());
    for first in (0..n).step_by(most) {
        let batch = most.min(n - first);
        let library = own.is_none().then(|| parts(gpu, precision, [a, b], first, batch));
        let (made, pieces, skipped) = match (&own, &library) {
            (Some((parts, pieces)), _) => (parts, *pieces, first * pieces),
            (_, Some((parts, pieces))) => (parts, *pieces, 0),
            _ => unreachable!("parts are made one way or the other"),
        };
        let (parts, to) = (made.at() + (8 * PART * skipped) as u64, out.at() + 8 * first as u64);
        let Some(twice) = twice else {
            let list = arguments![parts, to, batch, pieces, &*margins];
            gpu.launch("gram_norms", Grid::over(batch), list);
            continue;
        };
        let (crosses, scattered) =
            (crosses(gpu, precision, [a, b], twice, first, batch), twice.scattered.at() + 8 * first as u64);
        let list = arguments![parts, crosses.at(), scattered, to, batch, pieces, &*margins];
        gpu.launch("tied_norms", Grid::over(batch), list);
    }
    out
}

/// As [`by_grams`], of a table that is used twice: of `[h, r]`, its product's factors, and `e`, the gradients by the embeddings, as their
/// sums read them.
pub(super) fn tied(gpu: &'static Gpu, factors: [&Tensor; 3], ids: u64, scattered: Numbers) -> Numbers {
    let ([_, t, _], [h, r, e], dtype) = (sizes(factors[0]), factors, Dtype::of_activations(gpu));
    let of_product = if t == 1 { Dtype::F32 } else { dtype };
    let ([h, r], e) = ([h, r].map(|x| x.rows_as(of_product)), e.rows_as(dtype).rows_as(of_product));
    by_grams(gpu, [&h, &r], Some(&Twice { e: &e, ids, scattered }))
}

/// Rows of example `first` and those behind it.
fn rows_from(x: &Tensor, first: usize) -> Matrix {
    let (rows, [_, t, _]) = (Matrix::of(x), sizes(x));
    rows.from(first * t * rows.row).every(t * rows.row)
}

/// Numbers of a row whose products a library adds up at a time: all, where it would copy rows to add up some.
fn long(precision: Precision, factors: [&Tensor; 2]) -> usize {
    let plain = precision == Precision::F32 || factors.into_iter().all(grams::aligned);
    if plain { LONG } else { usize::MAX }
}

/// Inner products of the rows of `x` with those of `y`, of `width` numbers, `t` of each for `batch` examples; `long` of them at a time.
fn inner_products(
    gpu: &'static Gpu,
    precision: Precision,
    [to, x, y]: [Matrix; 3],
    [batch, t, width]: [usize; 3],
    long: usize,
) {
    for from in (0..width).step_by(long) {
        let beta = if from > 0 { 1.0 } else { 0.0 };
        let how = Product { batch, beta, precision, ..Product::new(gpu, t, t, long.min(width - from)) };
        gpu.blas().product(gpu, to, x.from(from), y.from(from).t(), &how);
    }
}

/// What a library's Gram matrices of `batch` examples tell, and how many parts an example has.
fn parts(
    gpu: &'static Gpu,
    precision: Precision,
    factors: [&Tensor; 2],
    first: usize,
    batch: usize,
) -> (Numbers, usize) {
    let [_, t, _] = sizes(factors[0]);
    let (squares, pieces) = ([0; 2].map(|_| Buffer::of(gpu, batch * t * t)), pieces(t * t));
    let parts = Numbers::new(gpu, PART * batch * pieces);
    for (square, factor) in squares.iter().zip(factors) {
        let (x, to) = (rows_from(factor, first), Matrix::new(square.address(), t).every(t * t));
        inner_products(gpu, precision, [to, x, x], [batch, t, factor.last()], long(precision, factors));
    }
    let list = arguments![&squares[0], &squares[1], parts.at(), t];
    gpu.launch("gram_parts", Grid::blocks(batch, pieces, THREADS), list);
    (parts, pieces)
}

/// What the two uses of a table have in common, for `batch` examples.
fn crosses(
    gpu: &'static Gpu,
    precision: Precision,
    [h, r]: [&Tensor; 2],
    twice: &Twice,
    first: usize,
    batch: usize,
) -> Numbers {
    let ([_, t, d], &Twice { e, ids, .. }) = (sizes(h), twice);
    let (cross, crosses) = (Buffer::of(gpu, batch * t * t), Numbers::new(gpu, 2 * batch));
    let long = long(precision, [h, e]);
    let [h, r, e] = [h, r, e].map(|x| rows_from(x, first));
    let to = Matrix::new(cross.address(), t).every(t * t);
    inner_products(gpu, precision, [to, h, e], [batch, t, d], long);
    let ids = ids + (4 * first * t) as u64;
    let list = arguments![&cross, r.at, e.at, ids, crosses.at(), t, r.row, d, e.row];
    gpu.launch_as(e.dtype, "tied_parts", Grid::blocks(batch, 1, THREADS), list);
    crosses
}

/// Every example's gradient, `[n, p d]`.
pub(super) fn rows(gpu: &'static Gpu, factors: &Factors) -> Tensor {
    let &Factors { n, t, d, p, a, b, window, .. } = factors;
    let mut rows = Tensor::unfilled_on(Device::Cuda(gpu), [n, p * d]);
    if t == 0 {
        rows.clear();
        return rows;
    }
    let to = |first: usize| Matrix::new(rows.address() + (4 * first * p * d) as u64, d).every(p * d);
    match window {
        None => {
            let [a, b] = operands(gpu, factors);
            let (a, b) = (rows_from(&a, 0), rows_from(&b, 0));
            gpu.blas().product(gpu, to(0), b.t(), a, &Product { batch: n, ..exact(gpu, t, [p, d, t]) });
        }
        Some(window) => unfold::each_part(gpu, a, window, |first, images, cols, _| {
            let b = b.address() + (4 * first * t * p) as u64;
            let (a, b) = (Matrix::new(cols, t).every(d * t), Matrix::new(b, t).every(p * t));
            gpu.blas().product(gpu, to(first), b, a.t(), &Product { batch: images, ..exact(gpu, t, [p, d, t]) });
        }),
    }
    rows
}

/// A product that is true f32 where there is but one position.
fn exact(gpu: &Gpu, t: usize, [m, n, k]: [usize; 3]) -> Product {
    let precision = if t == 1 { Precision::F32 } else { gpu.precision() };
    Product { precision, ..Product::new(gpu, m, n, k) }
}

/// `out = sum_i weights[i] G_i`, or where it is `onto` what is there, `out += ..`.
pub(super) fn sum(gpu: &'static Gpu, factors: &Factors, weights: Part, out: u64, onto: bool) {
    let &Factors { n, t, d, p, window, .. } = factors;
    let at_once = window.is_none() && matches!(Way::of(gpu, factors), Way::Outer | Way::Grams);
    if d * p > 0 && !onto && !(at_once && n * t > 0) {
        gpu.clear(out, 4 * d * p);
    }
    if n * t * d * p == 0 {
        return;
    }
    weights.on(gpu, |weights| match window {
        Some(window) => tiles::sum(gpu, factors, window, weights, out),
        None if at_once => weighed_sum(gpu, factors, weights, out, onto),
        None => products::sum(gpu, &operands(gpu, factors), weights, out),
    });
}

/// Whether `a` `[n, t, d]` meets the weights, and not `b` `[n, t, p]`: the narrower one.
pub(super) fn weighs_left(d: usize, p: usize) -> bool {
    d < p
}

/// As one product. The narrower factor is weighed; numbers that are not finite are taken out of the other where the weight is 0.
fn weighed_sum(gpu: &'static Gpu, factors: &Factors, weights: u64, out: u64, onto: bool) {
    let (&Factors { n, t, d, p, .. }, [a, b]) = (factors, operands(gpu, factors));
    let left = weighs_left(d, p);
    let (narrow, wide) = if left { (&a, &b) } else { (&b, &a) };
    let narrow = narrow.as_dtype(wide.rows_dtype());
    let (scaled, wide) = (Tensor::unfilled_as(narrow.dtype(), narrow.device(), narrow.shape()), Matrix::of(wide));
    let stretch = THREADS as usize * 16 / narrow.dtype().bytes();
    let pieces = narrow.row_len().div_ceil(4 * stretch).clamp(64.min((t * wide.row).div_ceil(stretch)), 4096);
    let round = t > 1 && gpu.precision() == Precision::Tf32;
    let list = arguments![narrow.at(), weights, scaled.at(), narrow.row_len(), wide.at, t * wide.row, round];
    gpu.launch_as(narrow.dtype(), "weigh_rows", Grid::blocks(n, pieces, THREADS), list);
    let scaled = Matrix::of(&scaled);
    let (a, b) = if left { (scaled, wide) } else { (wide, scaled) };
    let how = Product { beta: f32::from(u8::from(onto)), ..exact(gpu, t, [p, d, n * t]) };
    gpu.blas().product(gpu, Matrix::new(out, d), b.t(), a, &how);
}

/// `<G_i, v>` for every example, as `sum_t b_it^T V a_it`, in true f32.
pub(super) fn dots(gpu: &'static Gpu, factors: &Factors, v: Part) -> Vec<f64> {
    let &Factors { n, t, d, p, a, b, window, .. } = factors;
    let (image, plain) = (Buffer::of(gpu, n * t * p), operands(gpu, factors));
    let [a, b] = if window.is_some() { [a, b] } else { plain.each_ref() };
    let how = |m: usize, n: usize, k: usize| Product { precision: Precision::F32, ..Product::new(gpu, m, n, k) };
    v.on(gpu, |v| match window {
        None => {
            let (to, a) = (Matrix::new(image.address(), p), Matrix::new(a.address(), d));
            gpu.blas().product(gpu, to, a, Matrix::new(v, d).t(), &how(n * t, p, d));
        }
        Some(window) => unfold::each_part(gpu, a, window, |first, images, cols, _| {
            let to = Matrix::new(image.address() + (4 * first * p * t) as u64, t).every(p * t);
            let how = Product { batch: images, ..how(p, t, d) };
            gpu.blas().product(gpu, to, Matrix::new(v, d), Matrix::new(cols, t).every(d * t), &how);
        }),
    });
    rows_dots(gpu, image.address(), b.address(), [n, t * p, t * p]).to_host()
}
