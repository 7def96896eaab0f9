//! Matrices in other forms than f32 numbers one after the other: rounded to bf16, or with rows that begin at multiples of 32
//! bytes, whatever their length, which tensor cores are fed from.

use std::sync::{Arc, OnceLock};

use super::{Buffer, Gpu, Grid, arguments};
use crate::Dtype;

/// Rows of numbers, and the same as f32 without gaps, once somebody asked for that.
#[derive(Clone)]
pub(crate) struct Rows {
    buffer: Arc<Buffer>,
    dtype: Dtype,
    pitch: usize,
    plain: OnceLock<Arc<Buffer>>,
}

impl Rows {
    /// Rows `pitch` elements apart.
    pub(crate) fn new(buffer: Arc<Buffer>, dtype: Dtype, pitch: usize) -> Self {
        Self { buffer, dtype, pitch, plain: OnceLock::new() }
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.buffer.gpu()
    }

    /// The address of the rows, and how far apart they are.
    pub(crate) fn rows(&self) -> (u64, usize) {
        (self.buffer.address(), self.pitch)
    }

    pub(crate) fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The same numbers in rows of another length, which have no gaps either.
    pub(crate) fn cut(&mut self, width: usize) {
        self.pitch = width;
    }

    /// Whether somebody else looks at them too. They are about to change.
    pub(crate) fn is_shared(&mut self) -> bool {
        self.plain.take();
        Arc::get_mut(&mut self.buffer).is_none()
    }

    /// Whether both are the same numbers in memory.
    pub(crate) fn is_shared_with(&self, other: &Rows) -> bool {
        Arc::ptr_eq(&self.buffer, &other.buffer)
    }

    /// The `len` elements of rows of `width` as f32, one after the other.
    pub(crate) fn plain(&self, len: usize, width: usize) -> Arc<Buffer> {
        let copy = || {
            let (plain, rows) = (Buffer::of(self.gpu(), len), len.checked_div(width).unwrap_or(0));
            let to = plain.address();
            match self.dtype {
                Dtype::Bf16 if self.pitch == width => widen(self.gpu(), self.buffer.address(), to, len),
                Dtype::Bf16 => {
                    let close = Buffer::new(self.gpu(), 2 * len);
                    move_rows(self.gpu(), self.dtype, self.rows(), (close.address(), width), [rows, width]);
                    widen(self.gpu(), close.address(), to, len);
                }
                Dtype::F32 => move_rows(self.gpu(), self.dtype, self.rows(), (to, width), [rows, width]),
            }
            Arc::new(plain)
        };
        self.plain.get_or_init(copy).clone()
    }
}

/// Copies `rows` rows of `width` from an address to another, each with the distance of its rows.
pub(super) fn move_rows(gpu: &Gpu, dtype: Dtype, from: (u64, usize), to: (u64, usize), [rows, width]: [usize; 2]) {
    let grid = Grid { blocks: [rows as u32, width.div_ceil(1 << 12) as u32, 1], threads: 256, shared: 0 };
    gpu.launch_as(dtype, "move_rows", grid, arguments![from.0, to.0, from.1, to.1, width]);
}

/// `n` numbers of bf16 as f32.
fn widen(gpu: &Gpu, from: u64, to: u64, n: usize) {
    gpu.count_widened(4 * n);
    gpu.launch("widen", Grid::over(n.div_ceil(8)), arguments![from, to, n]);
}

/// `n` numbers of f32, rounded to bf16.
pub(super) fn round(gpu: &Gpu, from: u64, to: u64, n: usize) {
    gpu.launch("round_to_bf16", Grid::over(n.div_ceil(8)), arguments![from, to, n]);
}
