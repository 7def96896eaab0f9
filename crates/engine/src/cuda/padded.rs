//! Matrices whose rows begin at multiples of 32 bytes, whatever their length: what tensor cores are fed from.

use std::sync::{Arc, OnceLock};

use super::{Buffer, Gpu, Grid, arguments};

/// Rows further apart than they are long; and the same without the gaps, once somebody asked for that.
#[derive(Clone)]
pub(crate) struct Padded {
    buffer: Arc<Buffer>,
    pitch: usize,
    dense: OnceLock<Arc<Buffer>>,
}

impl Padded {
    /// Rows `pitch` elements apart.
    pub(crate) fn new(buffer: Buffer, pitch: usize) -> Self {
        Self { buffer: Arc::new(buffer), pitch, dense: OnceLock::new() }
    }

    pub(crate) fn gpu(&self) -> &'static Gpu {
        self.buffer.gpu()
    }

    /// The address of the rows, and how far apart they are.
    pub(crate) fn rows(&self) -> (u64, usize) {
        (self.buffer.address(), self.pitch)
    }

    /// Whether somebody else looks at them too.
    pub(crate) fn is_shared(&mut self) -> bool {
        self.dense.take();
        Arc::get_mut(&mut self.buffer).is_none()
    }

    /// The `len` elements of rows of `width`, one after the other.
    pub(crate) fn dense(&self, len: usize, width: usize) -> Arc<Buffer> {
        let copy = || {
            let (dense, rows) = (Buffer::of(self.gpu(), len), len.checked_div(width).unwrap_or(0));
            move_rows(self.gpu(), (self.buffer.address(), self.pitch), (dense.address(), width), [rows, width]);
            Arc::new(dense)
        };
        self.dense.get_or_init(copy).clone()
    }
}

/// Copies `rows` rows of `width` from an address to another, each with the distance of its rows.
pub(super) fn move_rows(gpu: &Gpu, from: (u64, usize), to: (u64, usize), [rows, width]: [usize; 2]) {
    let grid = Grid { blocks: [rows as u32, width.div_ceil(1 << 12) as u32, 1], threads: 256, shared: 0 };
    gpu.launch("move_rows", grid, arguments![from.0, to.0, from.1, to.1, width]);
}
