//! Matrix products: a safe face of the `gemm` crate, which picks AVX-512, AVX2 or NEON kernels at run time.

use gemm::Parallelism;
use rayon::prelude::*;

/// Products below this many multiplications stay on one thread.
const SMALL: usize = 1 << 18;
/// The inner dimension of one block of [`product_long`].
const INNER: usize = 1024;
/// The most blocks, hence partial results, of [`product_long`].
const BLOCKS: usize = 32;

/// A matrix in a slice: element (i, j) is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub struct Mat<'a> {
    /// Storage; may be longer than the matrix.
    pub data: &'a [f32],
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// Elements from one row to the next.
    pub row_stride: usize,
    /// Elements from one column to the next.
    pub col_stride: usize,
}

impl<'a> Mat<'a> {
    /// A row-major matrix.
    #[must_use]
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    /// Rows `from..to`.
    fn rows_range(self, from: usize, to: usize) -> Self {
        Self { data: &self.data[from * self.row_stride..], rows: to - from, ..self }
    }

    /// # Panics
    /// If the slice is too short.
    fn check(&self) {
        if self.rows > 0 && self.cols > 0 {
            let rows = (self.rows - 1).checked_mul(self.row_stride);
            let cols = (self.cols - 1).checked_mul(self.col_stride);
            let last = rows.zip(cols).and_then(|(r, c)| r.checked_add(c));
            assert!(last.is_some_and(|last| last < self.data.len()), "{self:?} in {} elements", self.data.len());
        }
    }
}

impl std::fmt::Debug for Mat<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mat[{} x {}, strides {}, {}]", self.rows, self.cols, self.row_stride, self.col_stride)
    }
}

/// Whether a product may spread over the threads of rayon's current pool. The result is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Stay on the calling thread: for products inside a parallel loop.
    One,
    /// Use the pool when the product is large enough to gain by it.
    Many,
}

/// `out = a b`, or `out += a b` if `accumulate`; `out` is row major, `a.rows` x `b.cols`.
///
/// # Panics
/// If the inner dimensions differ, `out` has another length, or a matrix exceeds its slice.
pub fn product(out: &mut [f32], a: Mat, b: Mat, accumulate: bool, threads: Threads) {
    scaled_product(out, a, b, 1.0, accumulate, threads);
}

/// As [`product`], with `scale` before `a b`.
pub(crate) fn scaled_product(out: &mut [f32], a: Mat, b: Mat, scale: f32, accumulate: bool, threads: Threads) {
    assert!(a.cols == b.rows, "inner dimensions differ: {a:?} times {b:?}");
    assert!(out.len() == a.rows * b.cols, "{a:?} times {b:?} into {} elements", out.len());
    a.check();
    b.check();
    if !accumulate && a.cols == 0 {
        out.fill(0.0);
    }
    if out.is_empty() || a.cols == 0 {
        return;
    }
    let (m, n, k) = (a.rows, b.cols, a.cols);
    let parallelism = match threads {
        Threads::Many if m * n * k >= SMALL => Parallelism::Rayon(rayon::current_num_threads()),
        _ => Parallelism::None,
    };
    let (a_row, a_col) = (a.row_stride as isize, a.col_stride as isize);
    let (b_row, b_col) = (b.row_stride as isize, b.col_stride as isize);
    let (out, a, b) = (out.as_mut_ptr(), a.data.as_ptr(), b.data.as_ptr());
    // SAFETY: `out` holds m x n elements row major; `check` made sure that the last element of `a` (m x k) and of `b`
    // (k x n) lie in their slices, and strides are not negative, so every element does. `out` is borrowed mutably.
    unsafe {
        let (out_row, last) = (n as isize, parallelism);
        gemm::gemm(
            m, n, k, out, 1, out_row, accumulate, a, a_col, a_row, b, b_col, b_row, 1.0, scale, false, false, false,
            last,
        );
    }
}

/// `out = a b` where the inner dimension is much longer than the outer ones (a weight gradient over many rows).
///
/// The inner dimension is cut into blocks whose number depends on its length alone; blocks run in parallel and their
/// partial results are added in order.
///
/// # Panics
/// As [`product`].
pub fn product_long(out: &mut [f32], a: Mat, b: Mat) {
    let blocks = (a.cols / INNER).clamp(1, BLOCKS);
    if blocks == 1 || out.is_empty() || out.len() > a.cols {
        return product(out, a, b, false, Threads::Many);
    }
    assert!(a.cols == b.rows, "inner dimensions differ: {a:?} times {b:?}");
    let inner = a.cols;
    let parts: Vec<Vec<f32>> = (0..blocks)
        .into_par_iter()
        .map(|block| {
            let (from, to) = (block * inner / blocks, (block + 1) * inner / blocks);
            let mut part = vec![0.0; a.rows * b.cols];
            product(&mut part, a.t().rows_range(from, to).t(), b.rows_range(from, to), false, Threads::One);
            part
        })
        .collect();
    add_in_order(out, &parts);
}

/// `out` = the sum of `parts`, added in their order.
pub(crate) fn add_in_order<T: AsRef<[f32]>>(out: &mut [f32], parts: &[T]) {
    out.fill(0.0);
    for part in parts {
        out.iter_mut().zip(part.as_ref()).for_each(|(o, p)| *o += p);
    }
}

#[cfg(test)]
mod tests {
    use super::{Mat, Threads, product, product_long};

    fn numbers(len: usize) -> Vec<f32> {
        (0..len).map(|i| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0).collect()
    }

    /// The definition, in f64.
    fn naive(a: Mat, b: Mat) -> Vec<f64> {
        let at = |m: Mat, i: usize, j: usize| f64::from(m.data[i * m.row_stride + j * m.col_stride]);
        let cell = |i, j| (0..a.cols).map(|k| at(a, i, k) * at(b, k, j)).sum();
        (0..a.rows * b.cols).map(|ij| cell(ij / b.cols, ij % b.cols)).collect()
    }

    fn close(got: &[f32], want: &[f64], scale: f64) {
        got.iter().zip(want).for_each(|(&g, w)| assert!((f64::from(g) - w).abs() < 1e-5 * scale, "{g} {w}"));
    }

    #[test]
    fn strides_transposes_and_accumulation() {
        let (a, b) = (numbers(35), numbers(42));
        let (a, b) = (Mat::new(&a, 7, 5).t(), Mat::new(&b, 7, 6));
        let mut out = vec![1.0; 30];
        product(&mut out, a, b, false, Threads::One);
        close(&out, &naive(a, b), 10.0);
        product(&mut out, a, b, true, Threads::One);
        close(&out, &naive(a, b).iter().map(|v| 2.0 * v).collect::<Vec<_>>(), 10.0);
    }

    #[test]
    fn long_inner_dimension() {
        let (a, b) = (numbers(5000 * 3), numbers(5000 * 4));
        let (a, b) = (Mat::new(&a, 5000, 3).t(), Mat::new(&b, 5000, 4));
        let mut out = vec![0.0; 12];
        product_long(&mut out, a, b);
        close(&out, &naive(a, b), 100.0);
    }

    #[test]
    fn empty_products() {
        let mut out = vec![7.0; 4];
        product(&mut out, Mat::new(&[], 2, 0), Mat::new(&[], 0, 2), false, Threads::Many);
        assert_eq!(out, [0.0; 4]);
        product(&mut [], Mat::new(&[], 0, 3), Mat::new(&[1.0; 6], 3, 2), false, Threads::Many);
    }

    #[test]
    #[should_panic(expected = "Mat[2 x 3, strides 3, 1] in 5 elements")]
    fn refuses_a_short_slice() {
        product(&mut [0.0; 4], Mat::new(&[0.0; 5], 2, 3), Mat::new(&[0.0; 6], 3, 2), false, Threads::One);
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (a, b) = (numbers(300 * 700), numbers(700 * 200));
        let (a, b) = (Mat::new(&a, 300, 700), Mat::new(&b, 700, 200));
        let on = |threads: usize| {
            let mut out = vec![0.0; 300 * 200];
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| product(&mut out, a, b, false, Threads::Many));
            out
        };
        assert_eq!(on(1), on(2));
        assert_eq!(on(1), on(3));
    }
}
