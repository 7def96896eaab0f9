//! Reductions of a row in a fixed number of lanes, so that they become vector instructions and have one order of additions
//! on every machine. Inlined into the kernels, whose instructions they take.

/// Lanes of `f32`.
const LANES: usize = 16;
/// Lanes of `f64`.
const WIDE: usize = 32;

/// The lanes brought together, in halves.
#[inline(always)]
pub(super) fn tree(mut x: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        (0..half).for_each(|i| x[i] = f(x[i], x[i + half]));
    }
    x[0]
}

/// The sum of `f(x)`.
#[inline(always)]
pub(super) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut sum = [0.0; LANES];
    chunks.iter().for_each(|x| sum.iter_mut().zip(x).for_each(|(s, x)| *s += f(*x)));
    tree(sum, |a, b| a + b) + rest.iter().map(|x| f(*x)).sum::<f32>()
}

/// The inner product.
#[inline(always)]
pub(crate) fn inner(x: &[f32], y: &[f32]) -> f32 {
    let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let mut sum = [0.0; LANES];
    xs.iter().zip(ys).for_each(|(x, y)| (0..LANES).for_each(|i| sum[i] += x[i] * y[i]));
    tree(sum, |a, b| a + b) + x_rest.iter().zip(y_rest).map(|(x, y)| x * y).sum::<f32>()
}

/// The sum, in f64.
#[inline(always)]
pub(super) fn wide_sum(x: &[f32]) -> f64 {
    let (chunks, rest) = x.as_chunks::<WIDE>();
    let mut sum = [0.0; WIDE];
    chunks.iter().for_each(|x| (0..WIDE).for_each(|i| sum[i] += f64::from(x[i])));
    sum.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x)).sum::<f64>()
}

/// The largest element that is a number; minus infinity if none is.
#[inline(always)]
pub(super) fn largest(x: &[f32]) -> f32 {
    let larger = |top: f32, x: f32| if x > top { x } else { top };
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut tops = [f32::NEG_INFINITY; LANES];
    chunks.iter().for_each(|x| (0..LANES).for_each(|i| tops[i] = larger(tops[i], x[i])));
    tops.iter().chain(rest).fold(f32::NEG_INFINITY, |top, &x| larger(top, x))
}
