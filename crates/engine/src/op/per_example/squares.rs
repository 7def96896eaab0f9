//! Squared norms of examples: on the host, on a GPU, or not taken yet.

use super::grams;
use crate::cuda::{Buffer, Grid, arguments};
use crate::op::Weighing;
use crate::{Dtype, Gpu, Tensor};

/// Squared norms of examples, on the host or still on a GPU.
pub enum Squares {
    /// On the host.
    Host(Vec<f64>),
    /// On a GPU.
    Device(Numbers),
    /// Of gradients `[n, ..]` on a GPU that are rows already, or the outer products of rows with other rows: not taken yet.
    Rows(Tensor, Option<Tensor>),
    /// Of the sums of outer products of rows `[n, t, d]` with rows `[n, t, p]` on a GPU, by Gram matrices: not taken yet.
    Grams(Tensor, Tensor),
}

/// Numbers of f64 on a GPU, each of which may be the sum of some parts that lie together.
pub struct Numbers {
    buffer: Buffer,
    len: usize,
    parts: usize,
}

impl Numbers {
    pub(super) fn new(gpu: &'static Gpu, len: usize) -> Self {
        Self::of_parts(gpu, len, 1)
    }

    /// Sums of `parts` numbers each, which are not yet added up: whoever adds numbers up does so.
    pub(super) fn of_parts(gpu: &'static Gpu, len: usize, parts: usize) -> Self {
        Self { buffer: Buffer::new(gpu, 8 * len * parts), len, parts }
    }

    pub(super) fn at(&self) -> u64 {
        self.buffer.address()
    }

    pub(super) fn to_host(&self) -> Vec<f64> {
        debug_assert!(self.parts == 1, "parts are not numbers");
        let mut numbers = vec![0.0; self.len];
        self.buffer.gpu().read(self.at(), &mut numbers);
        numbers
    }
}

impl Squares {
    /// A copy on the host.
    #[must_use]
    pub fn to_host(self) -> Vec<f64> {
        match self {
            Squares::Host(numbers) => numbers,
            Squares::Device(numbers) if numbers.parts == 1 => numbers.to_host(),
            Squares::Device(Numbers { len, .. }) => Squares::total(vec![self], &[0], len, 1),
            Squares::Rows(ref g, _) | Squares::Grams(ref g, _) => {
                let n = g.rows();
                Squares::total(vec![self], &[0], n, 1)
            }
        }
    }

    fn gpu(&self) -> Option<&'static Gpu> {
        match self {
            Squares::Host(_) => None,
            Squares::Device(numbers) => Some(numbers.buffer.gpu()),
            Squares::Rows(g, _) | Squares::Grams(g, _) => g.gpu(),
        }
    }

    /// Sums over parameters, `[n, groups]` row by row, where `all[k]` belongs to group `group_of[k]`; a GPU is waited for once.
    ///
    /// # Panics
    /// If there are not `n` numbers for each parameter.
    #[must_use]
    pub fn total(all: Vec<Squares>, group_of: &[usize], n: usize, groups: usize) -> Vec<f64> {
        let mut out = match all.iter().find_map(Squares::gpu) {
            Some(gpu) => total_there(gpu, &all, group_of, [n, groups], None).0.to_host(),
            None => vec![0.0; n * groups],
        };
        for (squares, group) in all.iter().zip(group_of) {
            let Squares::Host(numbers) = squares else { continue };
            assert!(numbers.len() == n, "{} norms of {n} examples", numbers.len());
            numbers.iter().enumerate().for_each(|(i, square)| out[i * groups + group] += square);
        }
        out
    }

    /// The factors, where Gram matrices tell.
    fn map(&self) -> Option<grams::Map<'_>> {
        if let Squares::Grams(a, b) = self { Some((a, b)) } else { None }
    }

    /// What is made of such sums: weights `[n]` of each group, on the GPU that all the norms are on.
    ///
    /// # Errors
    /// All of them, where some are on the host.
    ///
    /// # Panics
    /// As [`Squares::total`], or if there is not a curve for each bound.
    pub fn weights(
        all: Vec<Squares>,
        group_of: &[usize],
        n: usize,
        weighing: &Weighing,
    ) -> Result<Vec<Tensor>, Vec<Squares>> {
        let groups = weighing.bounds.len();
        assert!(weighing.curves.len() == groups, "{} curves for {groups} bounds", weighing.curves.len());
        let host = all.iter().any(|squares| matches!(squares, Squares::Host(_)));
        match all.iter().find_map(Squares::gpu).filter(|_| !host) {
            Some(gpu) => Ok(total_there(gpu, &all, group_of, [n, groups], Some(weighing)).1),
            None => Err(all),
        }
    }

    /// What the kernel is told: addresses and lengths of rows, of other rows, of which there may be none. Squares that were
    /// taken have the largest length of all, and the number of their parts in the place of the other length. And which rows are bf16.
    fn entry(&self, n: usize) -> Option<[u64; 5]> {
        let rows = |g: &Tensor| {
            assert!(g.rows() == n, "gradients {g:?} of {n} examples");
            [g.at(), g.row_len() as u64, u64::from(g.dtype() == Dtype::Bf16)]
        };
        match self {
            Squares::Host(_) | Squares::Grams(..) => None,
            Squares::Device(numbers) => {
                assert!(numbers.len == n, "{} norms of {n} examples", numbers.len);
                Some([numbers.at(), u64::MAX, 0, numbers.parts as u64, 0])
            }
            Squares::Rows(left, right) => {
                let ([a, d, first], [b, p, second]) = (rows(left), right.as_ref().map_or([0; 3], rows));
                Some([a, d, b, p, first + 2 * second])
            }
        }
    }
}

/// Those that are on a GPU, in one launch after that of Gram matrices, and the weights that are made of them, if any are.
fn total_there(
    gpu: &'static Gpu,
    all: &[Squares],
    group_of: &[usize],
    [n, groups]: [usize; 2],
    weighing: Option<&Weighing>,
) -> (Numbers, Vec<Tensor>) {
    let maps: Vec<grams::Map> = all.iter().filter_map(Squares::map).collect();
    let by_grams = grams::squares(gpu, &maps, n);
    let mut next = (by_grams.at()..).step_by(8 * n.max(1)).map(|at| [at, u64::MAX, 0, 1, 0]);
    let entry = |squares: &Squares| squares.map().and_then(|_| next.next()).or_else(|| squares.entry(n));
    let entries = all.iter().map(entry).zip(group_of).filter_map(|(entry, group)| Some((entry?, *group)));
    let table: Vec<u64> =
        entries.flat_map(|([a, d, b, p, narrow], group)| [a, d, b, p, group as u64 | narrow << 32]).collect();
    let (count, table, out) = (table.len() / 5, gpu.constant(&table), Numbers::new(gpu, n * groups));
    let prepared = weighing.map(|weighing| weighing.prepare(gpu, n));
    let curves = prepared.as_ref().map_or(0, |(_, curves)| curves.address());
    let (present, tiny) = weighing.map_or((0, 0.0), |weighing| (weighing.present, weighing.tiny));
    // Few examples have no other blocks to hide behind.
    let threads = if n < gpu.multiprocessors { 1024 } else { 256 };
    let grid = Grid { shared: 8 * count as u32, ..Grid::blocks(n, 1, threads) };
    gpu.launch("total_norms", grid, arguments![&*table, count, out.at(), groups, curves, present, tiny]);
    (out, prepared.map_or_else(Vec::new, |(weights, _)| weights))
}
