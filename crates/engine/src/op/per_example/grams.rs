//! Norms of many linear maps' gradients by Gram matrices, in one launch that writes no matrix.
//!
//! One map's Gram matrices are too few pieces for a whole GPU, and a library makes them whole and writes them. Here the
//! lower halves of all maps' matrices are shared out square by square (`grams.cu`): 16 examples of 512 positions are 16
//! squares of 512 rows and columns a map.

mod plan;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::margins::{Made, Margins};
use super::squares::Numbers;
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Dtype, Gpu, Precision, Tensor};

/// Bytes of a row that are multiplied in one go.
const DEPTH: usize = 128;
/// Bytes of 128 such rows.
const SLAB: usize = 128 * DEPTH;
/// Numbers of a part of what matrices tell (`gram_norm.cuh`).
pub(super) const PART: usize = 6;
/// Numbers of a row whose products are added up at a time (`LONG` of `grams.cu`).
pub(super) const LONG: usize = 4096;

/// The factors `a` `[n, .., d]` and `b` `[n, .., p]` of a map.
pub(super) type Map<'a> = (&'a Tensor, &'a Tensor);

/// Whether the kernel takes these factors: f32, of which TF32 is taken, or bf16, on Hopper.
pub(super) fn fits(gpu: &Gpu, (a, b): Map) -> bool {
    let wanted = match gpu.precision() {
        Precision::F32 => return false,
        Precision::Tf32 => Dtype::F32,
        Precision::Bf16 => Dtype::Bf16,
    };
    gpu.has_warpgroups() && [a, b].into_iter().all(|x| x.rows_dtype() == wanted && aligned(x))
}

/// Whether rows begin at multiples of 16 bytes.
pub(super) fn aligned(x: &Tensor) -> bool {
    let (at, row, dtype) = x.rows_at();
    at.is_multiple_of(16) && (row * dtype.bytes()).is_multiple_of(16)
}

/// The type of a map's numbers.
fn dtype((a, _): Map) -> Dtype {
    a.rows_dtype()
}

/// Positions of an example.
fn positions(x: &Tensor) -> usize {
    x.row_len() / x.last()
}

/// What rounding may take from a map's norms.
pub(super) fn margins(gpu: &Gpu, map @ (a, b): Map) -> Margins {
    Margins::of(gpu, (dtype(map), Made::Here), LONG, [positions(a), a.last(), b.last()])
}

/// How the program is compiled, and what follows from that.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Form {
    defines: &'static str,
    /// Blocks that make a square of the matrices together, of 128 rows and columns each.
    cluster: usize,
    /// Threads that multiply, and all.
    threads: [usize; 2],
    /// Rows that are copied at a time.
    rows: usize,
    shared: usize,
    /// Accumulators of a thread that multiplies.
    numbers: usize,
    /// What a slab of a square on the diagonal costs, where one of a square below it costs 16.
    diagonal: usize,
}

/// Of at most 128 positions.
const ONE: Form = Form {
    defines: "CLUSTER=1 STAGES=6",
    cluster: 1,
    threads: [256, 256 + 32],
    rows: 128,
    shared: 6 * SLAB + 1024,
    numbers: 64,
    diagonal: 11,
};
/// Of as many as there are.
const TWO: Form = Form {
    defines: "CLUSTER=2 STAGES=4",
    cluster: 2,
    threads: [256, 256 + 128],
    rows: 128,
    shared: 4 * 3 * SLAB + 1024,
    numbers: 128,
    diagonal: 11,
};
/// Of at most 512: reads everything once.
const FOUR: Form = Form {
    defines: "CLUSTER=4 STAGES=4",
    cluster: 4,
    threads: [384, 384 + 128],
    rows: 64,
    shared: 4 * (7 * SLAB / 2) + 1024,
    numbers: 96,
    diagonal: 19,
};

impl Form {
    fn of((a, _): Map) -> Form {
        match positions(a) {
            ..=128 => ONE,
            257..=512 => FOUR,
            _ => TWO,
        }
    }

    /// What the program is compiled with for these maps, whose numbers are of one type.
    fn defines(self, maps: &[Map]) -> String {
        let types = maps.iter().map(|map| dtype(*map).define());
        let all =
            types.reduce(|all, one| if all == one { all } else { panic!("Gram matrices of factors of two types") });
        format!("{} {}", self.defines, all.unwrap_or_default())
    }

    /// Squares along a side of an example's matrices.
    fn side(self, (a, _): Map) -> usize {
        positions(a).div_ceil(128 * self.cluster)
    }

    /// Squares on the diagonal and below it.
    fn squares(self, map: Map) -> usize {
        self.side(map) * (self.side(map) + 1) / 2
    }

    /// Parts that a square's sums come in: one a warp.
    fn parts(self) -> usize {
        self.cluster * self.threads[0] / 32
    }
}

/// What the kernels are told of each map, whose norms go to these addresses, and how many squares there are.
fn table(gpu: &Gpu, maps: &[Map], form: Form, norms: &[u64]) -> (Vec<u64>, usize) {
    let (mut words, mut squares) = (Vec::with_capacity(48 * maps.len()), 0);
    for (&(a, b), norms) in maps.iter().zip(norms) {
        for x in [a, b] {
            words.extend(gpu.boxed(x.rows_at(), [x.rows(), positions(x), x.last()], form.rows));
        }
        let numbers = [a.last(), b.last(), positions(a), squares * form.parts()].map(|number| number as u64);
        words.extend(numbers);
        words.extend(margins(gpu, (a, b)).words());
        words.push(*norms);
        words.resize(words.len().next_multiple_of(16), 0);
        squares += a.rows() * form.squares((a, b));
    }
    (words, squares)
}

/// All squares, those of the longest rows first: what they take, and how the kernel is told of them.
fn squares_of(maps: &[Map], form: Form) -> Vec<(usize, [u64; 3])> {
    let steps =
        |map: &Map| [map.0, map.1].map(|x| (x.last() * dtype(*map).bytes()).div_ceil(DEPTH)).iter().sum::<usize>();
    let (mut all, mut part) = (Vec::new(), 0);
    for (k, map) in maps.iter().enumerate() {
        for example in 0..map.0.rows() {
            for (row, column) in (0..form.side(*map)).flat_map(|row| (0..=row).map(move |column| (row, column))) {
                // As tensor cores and shared memory do, and for what comes after.
                let cost = steps(map) * if row == column { form.diagonal } else { 16 } + 320;
                let words =
                    [(k, example), (row, column), (part, 0)].map(|(low, high)| low as u64 | (high as u64) << 32);
                all.push((cost, words));
                part += 1;
            }
        }
    }
    all.sort_by_key(|(_, [map, ..])| Reverse(steps(&maps[*map as u32 as usize])));
    all
}

/// Which squares each cluster makes, so that all have as much to do: where each one's begin, and the squares.
fn shares(maps: &[Map], form: Form, clusters: usize) -> [Vec<u64>; 2] {
    let mut loads: BinaryHeap<Reverse<(usize, usize)>> = (0..clusters).map(|cluster| Reverse((0, cluster))).collect();
    let mut lists = vec![Vec::new(); clusters];
    for (cost, words) in squares_of(maps, form) {
        let Some(mut least) = loads.peek_mut() else { break };
        least.0.0 += cost;
        lists[least.0.1].extend(words);
    }
    let ends = lists.iter().scan(0, |end, list| {
        *end += list.len() as u64 / 3;
        Some(*end)
    });
    [std::iter::once(0).chain(ends).collect(), lists.concat()]
}

/// What the matrices tell, map by map, in each example by example.
fn parts(gpu: &'static Gpu, maps: &[Map], form: Form, table: &Buffer, squares: usize) -> Numbers {
    let (defines, [multiplying, threads]) = (form.defines(maps), form.threads);
    let grid = Grid { shared: form.shared as u32, ..Grid::blocks(form.cluster, 1, threads as u32) };
    let room = match form.cluster {
        1 => 2 * gpu.multiprocessors,
        _ => gpu.clusters_at_once("grams", &defines, grid),
    };
    let clusters = room.clamp(1, squares);
    let blocks = clusters * form.cluster;
    let parts = Numbers::new(gpu, PART * squares * form.parts());
    let aside = Buffer::of(gpu, 2 * blocks * multiplying * form.numbers);
    let [starts, items] = shares(maps, form, clusters);
    let [starts, items, plan] = [starts, items, plan::words()].map(|list| gpu.constant(&list));
    let list = arguments![table, &*starts, &*items, &*plan, &aside, parts.at()];
    gpu.launch_variant("grams", &defines, Grid { blocks: [blocks as u32, 1, 1], ..grid }, list);
    parts
}

/// The parts of one map, and how many an example has.
pub(super) fn of_one(gpu: &'static Gpu, map: Map) -> (Numbers, usize) {
    let form = Form::of(map);
    let (table, squares) = table(gpu, &[map], form, &[0]);
    (parts(gpu, &[map], form, &gpu.constant(&table), squares), form.squares(map) * form.parts())
}

/// Upper bounds of squared norms, `[maps, n]`.
///
/// # Panics
/// If maps have other numbers of examples.
pub(super) fn squares(gpu: &'static Gpu, maps: &[Map], n: usize) -> Numbers {
    assert!(maps.iter().all(|(a, _)| a.rows() == n), "norms of other than {n} examples");
    let out = Numbers::new(gpu, maps.len() * n);
    for form in [FOUR, TWO, ONE] {
        let mine = maps.iter().enumerate().filter(|(_, map)| Form::of(**map) == form);
        let (maps, norms): (Vec<Map>, Vec<u64>) = mine.map(|(k, map)| (*map, out.at() + (8 * k * n) as u64)).unzip();
        let (table, squares) = table(gpu, &maps, form, &norms);
        if squares > 0 {
            let table = gpu.constant(&table);
            let parts = parts(gpu, &maps, form, &table, squares);
            let list = arguments![&*table, maps.len(), n, parts.at()];
            gpu.launch_variant("norms_of_grams", &form.defines(&maps), Grid::over(32 * maps.len() * n), list);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{FOUR, Map, ONE, TWO, shares, squares_of};
    use crate::Tensor;

    /// Every square is made once, its parts are nobody else's, and no cluster has more to do than another and one square.
    #[test]
    fn squares_are_shared_out() {
        let factors = [(16, 512, 768, 2304), (16, 512, 1200, 768), (3, 700, 40, 9), (2, 512, 768, 50_257)];
        let tensors = factors.map(|(n, t, d, p)| [d, p].map(|width| Tensor::unfilled([n, t, width])));
        let maps: Vec<Map> = tensors.iter().map(|[a, b]| (a, b)).collect();
        for (maps, form) in [(&maps[..], TWO), (&maps[..2], TWO), (&maps[..2], FOUR), (&maps[..1], ONE)] {
            let (all, [starts, items]) = (squares_of(maps, form), shares(maps, form, 66));
            let count: usize = maps.iter().map(|map| map.0.rows() * form.squares(*map)).sum();
            assert_eq!((all.len(), items.len(), starts.len()), (count, 3 * count, 67));
            let (mut made, mut loads) = (vec![false; count], Vec::new());
            for list in starts.windows(2) {
                let mine = items[3 * list[0] as usize..3 * list[1] as usize].chunks(3);
                loads.push(
                    mine.clone().map(|item| all.iter().find(|(_, words)| words == item).map_or(0, |x| x.0)).sum(),
                );
                mine.for_each(|item| assert!(!std::mem::replace(&mut made[item[2] as usize], true), "{item:?} twice"));
            }
            let largest = all.iter().map(|x| x.0).max().unwrap_or(0);
            let (least, most): (Option<&usize>, Option<&usize>) = (loads.iter().min(), loads.iter().max());
            assert!(made.iter().all(|made| *made) && most.unwrap() - least.unwrap() <= largest, "{loads:?}");
        }
    }
}
