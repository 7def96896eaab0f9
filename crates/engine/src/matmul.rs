//! Matrix products, by the kernel that convolutions use too ([`crate::kernel`]).

use std::ops::Range;

use rayon::prelude::*;

use crate::Mat;
use crate::kernel::{self, Finish, Inner, Level, MOST, Scale};
use crate::memory::Scratch;
use crate::narrow;

/// Products below this many multiplications stay on one thread.
const SMALL: usize = 1 << 18;
/// The most steps of the inner dimension that are taken together: a tile of rows stays in the first cache.
pub(crate) const DEPTH: usize = 384;
/// Panels that are packed together: they stay in the second cache.
const GROUP: usize = 8;
/// A right factor of at most this many elements is packed once, before its product is spread over threads.
const SHARED: usize = 1 << 18;
/// Rows that are taken together.
const TILE: usize = 12;
/// Parts that a thread is given.
const PARTS: usize = 4;
/// Fewer rows than this are not worth packing panels for.
const SHORT: usize = 96;
/// Strides up to this are walked along in place: what a step skips is used by the next tiles.
const NEAR: usize = 256;

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
    general_product(out, a, b, Extra { scale: Scale::All(scale), start: None }, accumulate, threads);
}

/// What may be done on the way.
#[derive(Clone, Copy)]
pub(crate) struct Extra<'a> {
    /// What `b` is multiplied with.
    pub scale: Scale<'a>,
    /// What every row of the result begins with.
    pub start: Option<&'a [f32]>,
}

/// As [`product`], and more.
///
/// # Panics
/// As [`product`], and if `start` has another length than a row of the result or comes with `accumulate`.
pub(crate) fn general_product(out: &mut [f32], a: Mat, b: Mat, extra: Extra, accumulate: bool, threads: Threads) {
    assert!(extra.start.is_none_or(|start| start.len() == b.cols && !accumulate), "a start for {a:?} times {b:?}");
    assert!(a.cols == b.rows, "inner dimensions differ: {a:?} times {b:?}");
    assert!(out.len() == a.rows * b.cols, "{a:?} times {b:?} into {} elements", out.len());
    a.check();
    b.check();
    if !accumulate && a.cols == 0 {
        out.chunks_exact_mut(b.cols.max(1)).for_each(|row| match extra.start {
            Some(start) => row.copy_from_slice(start),
            None => row.fill(0.0),
        });
    }
    if out.is_empty() || a.cols == 0 {
        return;
    }
    if narrow::product(out, a, b, &extra, accumulate, threads) {
        return;
    }
    let job = Job { a, b, extra, accumulate, lower: false, level: Level::current() };
    let spread = threads == Threads::Many && a.rows * b.cols * a.cols >= SMALL && rayon::current_num_threads() > 1;
    if spread { job.spread(out) } else { job.part(Out(out.as_mut_ptr()), 0..a.rows, 0..job.panels(), None) }
}

/// `out = a b` on and below the diagonal, on this thread; above it `out` holds anything.
///
/// # Panics
/// As [`product`].
pub(crate) fn lower_product(out: &mut [f32], a: Mat, b: Mat) {
    assert!(a.cols == b.rows, "inner dimensions differ: {a:?} times {b:?}");
    assert!(out.len() == a.rows * b.cols, "{a:?} times {b:?} into {} elements", out.len());
    a.check();
    b.check();
    if a.cols == 0 {
        return out.fill(0.0);
    }
    let extra = Extra { scale: Scale::ONE, start: None };
    let job = Job { a, b, extra, accumulate: false, lower: true, level: Level::current() };
    job.part(Out(out.as_mut_ptr()), 0..a.rows, 0..job.panels(), None);
}

/// One product; which parts of it are made where does not change a bit of the result.
#[derive(Clone, Copy)]
struct Job<'a> {
    a: Mat<'a>,
    b: Mat<'a>,
    extra: Extra<'a>,
    accumulate: bool,
    /// Whether nobody wants what lies above the diagonal.
    lower: bool,
    level: Level,
}

/// The result, shared between parts that write disjoint tiles.
#[derive(Clone, Copy)]
struct Out(*mut f32);

// SAFETY: parts that run at the same time write different rows or columns: see `Job::spread`.
unsafe impl Send for Out {}
unsafe impl Sync for Out {}

impl Job<'_> {
    fn panels(&self) -> usize {
        self.b.cols.div_ceil(self.level.width())
    }

    /// Parts on all threads: groups of panels, and rows if there are few groups.
    fn spread(self, out: &mut [f32]) {
        let (panels, out) = (self.panels(), Out(out.as_mut_ptr()));
        let mut scratch = Scratch::new();
        let packed = self.packed_once(&mut scratch);
        let groups = panels.div_ceil(GROUP);
        let pieces = (PARTS * rayon::current_num_threads()).div_ceil(groups).min(self.a.rows.div_ceil(SHORT)).max(1);
        let cut = |all: usize, i: usize, of: usize| i * all / of..(i + 1) * all / of;
        (0..groups * pieces).into_par_iter().for_each(|part| {
            self.part(out, cut(self.a.rows, part / groups, pieces), cut(panels, part % groups, groups), packed);
        });
    }

    /// What the rows and what the panels are multiplied with: weights of steps go to the rows where these are copied anyway.
    fn scales(&self) -> (Scale<'_>, Scale<'_>) {
        match self.extra.scale {
            weights @ Scale::Steps { .. } if self.a.row_stride == 1 && self.panels() > 2 => (weights, Scale::ONE),
            scale => (Scale::ONE, scale),
        }
    }

    /// All panels, if they are small: step after step of the depths, of each all panels.
    fn packed_once<'s>(&self, scratch: &'s mut Scratch) -> Option<&'s [f32]> {
        let (width, panels, depth) = (self.level.width(), self.panels(), self.a.cols);
        if panels * width * depth > SHARED {
            return None;
        }
        let all = kernel::aligned(scratch, panels * width * depth);
        for steps in depths(depth) {
            self.pack(0..panels, steps, &mut all[steps.0 * panels * width..steps.1 * panels * width]);
        }
        Some(all)
    }

    /// Packs some panels, one after the other.
    fn pack(&self, panels: Range<usize>, steps: (usize, usize), out: &mut [f32]) {
        let (width, scale) = (self.level.width(), self.scales().1);
        for (panel, out) in panels.zip(out.chunks_exact_mut((steps.1 - steps.0) * width)) {
            kernel::pack(self.b, scale, steps, panel * width, width, out);
        }
    }

    /// The tiles of some rows and some panels of columns, which are packed here unless all of them are `ready`.
    fn part(&self, out: Out, rows: Range<usize>, panels: Range<usize>, ready: Option<&[f32]>) {
        let (width, depth) = (self.level.width(), self.a.cols);
        let mut scratch = [const { Scratch::new() }; 2];
        let [panel, copy] = &mut scratch;
        for group in panels.clone().step_by(GROUP) {
            let group = group..(group + GROUP).min(panels.end);
            for steps in depths(depth) {
                let (from, size) = (steps.0, (steps.1 - steps.0) * width);
                let packed = match ready {
                    Some(all) => &all[from * width * self.panels() + group.start * size..][..group.len() * size],
                    None => {
                        let packed = kernel::aligned(panel, group.len() * size);
                        self.pack(group.clone(), steps, packed);
                        packed
                    }
                };
                for tile in tiles(rows.clone()) {
                    let mut pointers = [std::ptr::null(); TILE];
                    let pointers = &mut pointers[..tile.len()];
                    let inner = self.point(tile.start, steps, group.len(), copy, pointers);
                    for (panel, packed) in group.clone().zip(packed.chunks_exact(size)) {
                        let column = panel * width;
                        let Some(columns) = self.columns(column, tile.end) else { continue };
                        let start = self.start(column, from);
                        let finish = Finish {
                            row_stride: self.b.cols,
                            columns,
                            accumulate: self.accumulate || from > 0,
                            shift: std::ptr::null(),
                            start: start.as_ref().map_or(std::ptr::null(), |start| start.as_ptr()),
                        };
                        // SAFETY: the level is the machine's; `check` made sure that every element of `a` lies in its
                        // slice, and `pointers` points at rows of it or of a copy; the tile lies in `out`, which has
                        // `a.rows` rows of `b.cols`, and belongs to this part.
                        unsafe {
                            let out = out.0.add(tile.start * self.b.cols + column);
                            kernel::rows_by_panel(self.level, pointers, inner, packed.as_ptr(), out, finish);
                        }
                    }
                }
            }
        }
    }

    /// How many columns are made of the panel that begins at `column`, for a tile of rows up to `below`, if any are.
    fn columns(&self, column: usize, below: usize) -> Option<usize> {
        let (width, vector) = (self.level.width(), self.level.width() / 2);
        let whole = width.min(self.b.cols - column);
        match self.lower {
            false => Some(whole),
            true => Some(whole.min(below.checked_sub(column).filter(|n| *n > 0)?.next_multiple_of(vector))),
        }
    }

    /// What the columns of a panel begin with, at the first step of the inner dimension.
    fn start(&self, column: usize, step: usize) -> Option<[f32; MOST]> {
        let from = &self.extra.start.filter(|_| step == 0)?[column..];
        let mut start = [0.0; MOST];
        let len = from.len().min(MOST);
        start[..len].copy_from_slice(&from[..len]);
        Some(start)
    }

    /// Where rows `first..` of `a` begin and how to walk along them: in place, or in a copy if they are far apart or meet
    /// more than a few panels.
    fn point(
        &self,
        first: usize,
        steps: (usize, usize),
        panels: usize,
        copy: &mut Scratch,
        pointers: &mut [*const f32],
    ) -> Inner {
        let (len, rows, a) = (steps.1 - steps.0, pointers.len(), self.a);
        let scale = self.scales().0;
        let near = a.col_stride == 1 || (panels < 3 && a.col_stride <= NEAR);
        let (start, step) = if near && matches!(scale, Scale::All(_)) {
            (&a.data[first * a.row_stride + steps.0 * a.col_stride..], (a.row_stride, a.col_stride))
        } else {
            let copy = copy.of(len * TILE);
            kernel::pack_rows(a, scale, steps, (first, rows), TILE, copy);
            (&*copy, (1, TILE))
        };
        pointers.iter_mut().enumerate().for_each(|(i, pointer)| *pointer = start[i * step.0..].as_ptr());
        Inner::run(len, step.1)
    }
}

/// The inner dimension in pieces that are taken together.
fn depths(depth: usize) -> impl Iterator<Item = (usize, usize)> {
    let pieces = depth.div_ceil(DEPTH);
    (0..pieces).map(move |piece| (piece * depth / pieces, (piece + 1) * depth / pieces))
}

/// Rows in tiles of about the same height.
fn tiles(rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let (len, count) = (rows.len(), rows.len().div_ceil(TILE));
    (0..count).map(move |i| rows.start + i * len / count..rows.start + (i + 1) * len / count)
}

#[cfg(test)]
mod tests {
    use super::{Extra, Threads, general_product, lower_product, product};
    use crate::Mat;
    use crate::kernel::Scale;

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

    /// Both layouts of the right factor, over several depths and a panel that is not full.
    #[test]
    fn weighted_steps_and_a_start() {
        let (rows, depth, cols) = (15, 800, 39);
        let (a, b, start) = (numbers(rows * depth), numbers(depth * cols), numbers(cols));
        let weights: Vec<f32> = numbers(depth / 4).iter().map(|w| w + 1.5).collect();
        for b in [Mat::new(&b, depth, cols), Mat::new(&b, cols, depth).t()] {
            let a = Mat::new(&a, rows, depth);
            let weighted: Vec<f32> = (0..depth * cols)
                .map(|kj| weights[kj / cols / 4] * b.data[kj / cols * b.row_stride + kj % cols * b.col_stride])
                .collect();
            let mut want = naive(a, Mat::new(&weighted, depth, cols));
            want.iter_mut().enumerate().for_each(|(ij, w)| *w += f64::from(start[ij % cols]));
            let mut out = vec![f32::NAN; rows * cols];
            let extra = Extra { scale: Scale::Steps { weights: &weights, every: 4 }, start: Some(&start) };
            general_product(&mut out, a, b, extra, false, Threads::Many);
            close(&out, &want, 100.0);
        }
    }

    /// Sizes around tiles, vectors and panels, over several depths.
    #[test]
    fn the_lower_half_is_that_of_the_whole() {
        for (rows, depth, cols) in [(1, 1, 1), (12, 5, 12), (40, 900, 32), (33, 384, 33), (100, 20, 70), (70, 7, 100)] {
            let (a, b) = (numbers(rows * depth), numbers(cols * depth));
            let (a, b) = (Mat::new(&a, rows, depth), Mat::new(&b, cols, depth).t());
            let mut out = vec![f32::NAN; rows * cols];
            lower_product(&mut out, a, b);
            let want = naive(a, b);
            for (ij, want) in want.into_iter().enumerate().filter(|(ij, _)| ij % cols <= ij / cols) {
                assert!((f64::from(out[ij]) - want).abs() < 1e-3, "{rows}, {depth}, {cols}: {} {want}", out[ij]);
            }
        }
    }

    /// Few columns and few rows, which are made in their own way: sizes beside its limits, weights, starts, sums.
    #[test]
    fn narrow_products() {
        for (rows, depth, cols) in [(70, 400, 2), (9, 33, 4), (1, 32, 1), (2, 800, 130), (3, 40, 64), (4, 500, 5)] {
            let (left, right, start) = (numbers(rows * depth), numbers(depth * cols), numbers(cols));
            let weights: Vec<f32> = numbers(depth.div_ceil(4)).iter().map(|w| w + 1.5).collect();
            for (turned_a, turned_b) in [(false, false), (false, true), (true, false), (true, true)] {
                let a = if turned_a { Mat::new(&left, depth, rows).t() } else { Mat::new(&left, rows, depth) };
                let b = if turned_b { Mat::new(&right, cols, depth).t() } else { Mat::new(&right, depth, cols) };
                let plain = naive(a, b);
                let mut out = vec![f32::NAN; rows * cols];
                product(&mut out, a, b, false, Threads::Many);
                close(&out, &plain, 100.0);
                product(&mut out, a, b, true, Threads::One);
                close(&out, &plain.iter().map(|v| 2.0 * v).collect::<Vec<_>>(), 100.0);
                let extra = Extra { scale: Scale::All(1.0), start: Some(&start) };
                general_product(&mut out, a, b, extra, false, Threads::Many);
                let begun = plain.iter().enumerate().map(|(ij, v)| v + f64::from(start[ij % cols]));
                close(&out, &begun.collect::<Vec<_>>(), 100.0);
                let weighted: Vec<f32> = (0..depth * cols)
                    .map(|kj| weights[kj / cols / 4] * b.data[kj / cols * b.row_stride + kj % cols * b.col_stride])
                    .collect();
                let extra = Extra { scale: Scale::Steps { weights: &weights, every: 4 }, start: None };
                general_product(&mut out, a, b, extra, false, Threads::Many);
                close(&out, &naive(a, Mat::new(&weighted, depth, cols)), 100.0);
            }
        }
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
