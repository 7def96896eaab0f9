//! Look-up of rows in a table.

use crate::Tensor;

/// The rows of `table` `[v, d]` named by `ids` (row major, of shape `shape`, usually `[n, t]`): `[n, t, d]`.
///
/// # Panics
/// If an id is not below `v`, or `shape` does not hold the ids.
#[must_use]
pub fn embedding(ids: &[u32], shape: &[usize], table: &Tensor) -> Tensor {
    let &[v, d] = table.shape() else { panic!("embedding: table {table:?} is not [v, d]") };
    let mut y = Tensor::unfilled([shape, &[d]].concat());
    assert!(y.len() == ids.len() * d, "embedding: {} ids of shape {shape:?}", ids.len());
    for (row, &id) in y.data_mut().chunks_exact_mut(d.max(1)).zip(ids) {
        assert!((id as usize) < v, "embedding: id beyond a table {table:?}");
        row.copy_from_slice(table.row(id as usize));
    }
    y
}
