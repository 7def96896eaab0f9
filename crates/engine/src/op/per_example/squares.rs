//! Squared norms of examples: on the host, on a GPU, or not taken yet.

use crate::cuda::{Buffer, Grid, arguments};
use crate::{Gpu, Tensor};

/// Squared norms of examples, on the host or still on a GPU.
pub enum Squares {
    /// On the host.
    Host(Vec<f64>),
    /// On a GPU.
    Device(Numbers),
    /// Of gradients `[n, ..]` on a GPU that are rows already, or the outer products of rows with other rows: not taken yet.
    Rows(Tensor, Option<Tensor>),
}

/// Numbers of f64 on a GPU.
pub struct Numbers {
    buffer: Buffer,
    len: usize,
}

impl Numbers {
    pub(super) fn new(gpu: &'static Gpu, len: usize) -> Self {
        Self { buffer: Buffer::new(gpu, 8 * len), len }
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.buffer.gpu()
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn at(&self) -> u64 {
        self.buffer.address()
    }

    /// A copy on the host, which waits for the GPU.
    #[must_use]
    pub fn to_host(&self) -> Vec<f64> {
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
            Squares::Device(numbers) => numbers.to_host(),
            Squares::Rows(ref g, _) => {
                let n = g.rows();
                Squares::total(vec![self], &[0], n, 1)
            }
        }
    }

    fn gpu(&self) -> Option<&'static Gpu> {
        match self {
            Squares::Host(_) => None,
            Squares::Device(numbers) => Some(numbers.buffer.gpu()),
            Squares::Rows(g, _) => g.gpu(),
        }
    }

    /// Sums over parameters, `[n, groups]` row by row, where `all[k]` belongs to group `group_of[k]`; a GPU is waited for once.
    ///
    /// # Panics
    /// If there are not `n` numbers for each parameter.
    #[must_use]
    pub fn total(all: Vec<Squares>, group_of: &[usize], n: usize, groups: usize) -> Vec<f64> {
        let mut out = match all.iter().find_map(Squares::gpu) {
            Some(gpu) => total_there(gpu, &all, group_of, [n, groups]).to_host(),
            None => vec![0.0; n * groups],
        };
        for (squares, group) in all.iter().zip(group_of) {
            let Squares::Host(numbers) = squares else { continue };
            assert!(numbers.len() == n, "{} norms of {n} examples", numbers.len());
            numbers.iter().enumerate().for_each(|(i, square)| out[i * groups + group] += square);
        }
        out
    }

    /// As [`Squares::total`], left on the GPU.
    ///
    /// # Errors
    /// All of them, where some are on the host.
    ///
    /// # Panics
    /// As [`Squares::total`].
    pub fn total_there(
        all: Vec<Squares>,
        group_of: &[usize],
        n: usize,
        groups: usize,
    ) -> Result<Numbers, Vec<Squares>> {
        let host = all.iter().any(|squares| matches!(squares, Squares::Host(_)));
        match all.iter().find_map(Squares::gpu).filter(|_| !host) {
            Some(gpu) => Ok(total_there(gpu, &all, group_of, [n, groups])),
            None => Err(all),
        }
    }

    /// What the kernel is told: addresses and lengths of rows, of other rows, of which there may be none. Squares that were
    /// taken have the largest length of all.
    fn entry(&self, n: usize) -> Option<[u64; 4]> {
        let rows = |g: &Tensor| {
            assert!(g.rows() == n, "gradients {g:?} of {n} examples");
            [g.address(), g.row_len() as u64]
        };
        match self {
            Squares::Host(_) => None,
            Squares::Device(numbers) => {
                assert!(numbers.len == n, "{} norms of {n} examples", numbers.len);
                Some([numbers.at(), u64::MAX, 0, 0])
            }
            Squares::Rows(left, right) => {
                let ([a, d], [b, p]) = (rows(left), right.as_ref().map_or([0, 0], rows));
                Some([a, d, b, p])
            }
        }
    }
}

/// Those that are on a GPU, in one launch.
fn total_there(gpu: &'static Gpu, all: &[Squares], group_of: &[usize], [n, groups]: [usize; 2]) -> Numbers {
    let entries = all.iter().zip(group_of).filter_map(|(squares, group)| Some((squares.entry(n)?, *group)));
    let table: Vec<u64> = entries.flat_map(|([a, d, b, p], group)| [a, d, b, p, group as u64]).collect();
    let (count, table, out) = (table.len() / 5, gpu.constant(&table), Numbers::new(gpu, n * groups));
    let grid = Grid { shared: 8 * count as u32, ..Grid::blocks(n, 1, 256) };
    gpu.launch("total_norms", grid, arguments![&*table, count, out.at(), groups]);
    out
}
