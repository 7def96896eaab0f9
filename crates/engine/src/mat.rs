//! Matrices in slices, by strides.

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

    /// # Panics
    /// If the slice is too short.
    pub(crate) fn check(&self) {
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
