//! Look-up of tokens in a table.

use crate::cuda::{Grid, arguments};
use crate::memory::Indices;
use crate::part::Part;
use crate::{Dtype, Gpu, Tensor};

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

/// What [`look_up`] found: the rows, `[n, t, d]`, and what their gradients need.
pub struct LookedUp {
    /// The rows.
    pub rows: Tensor,
    /// The id of each position; 0 where there was none.
    pub ids: Indices,
    /// Which positions are not empty; none if there is no padding.
    pub present: Option<Present>,
}

/// The rows of `table` `[v, d]` for tokens `x` `[n, t]`.
///
/// A token is a whole number below `v`; anything else has a row of NaN. Positions that hold `padding` are empty: their row
/// is 0.
///
/// # Panics
/// If the table is not `[v, d]`.
#[must_use]
pub fn look_up(x: &Tensor, table: &Tensor, padding: Option<u32>) -> LookedUp {
    let &[v, d] = table.shape() else { panic!("look_up: table {table:?} is not [v, d]") };
    if let Some(gpu) = x.gpu() {
        return look_up_on(gpu, x, table, padding);
    }
    let valid = |token: f32| token >= 0.0 && token < v as f32 && token.fract() == 0.0;
    let ids: Vec<u32> = x.data().iter().map(|&token| if valid(token) { token as u32 } else { 0 }).collect();
    let mut rows = embedding(&ids, x.shape(), table);
    for (at, row) in rows.data_mut().chunks_exact_mut(d.max(1)).enumerate() {
        match (valid(x.data()[at]), Some(ids[at]) == padding) {
            (_, true) => row.fill(0.0),
            (false, false) => row.fill(f32::NAN),
            (true, false) => {}
        }
    }
    let present = padding.map(|padding| Present::from(ids.iter().map(|id| *id != padding).collect::<Vec<_>>()));
    LookedUp { rows, ids: ids.into(), present }
}

fn look_up_on(gpu: &'static Gpu, x: &Tensor, table: &Tensor, padding: Option<u32>) -> LookedUp {
    let (&[v, d], count) = (table.shape(), x.len()) else { unreachable!("the table was checked") };
    let dtype = Dtype::of_activations(gpu);
    let rows = Tensor::unfilled_as(dtype, x.device(), [x.shape(), &[d]].concat());
    let ids = Indices::unfilled_on(gpu, count);
    let present = padding.map(|_| Present(Flags::Device(Indices::unfilled_on(gpu, count))));
    let flags = present.as_ref().map_or(0, |present| present.address(gpu).1);
    ids.part().on(gpu, |ids| {
        let padding = padding.map_or(u64::MAX, u64::from);
        let list = arguments![x, table, rows.at(), ids, flags, v, d, padding];
        gpu.launch_as(dtype, "look_up", Grid::blocks(count, 1, 128), list);
    });
    LookedUp { rows, ids, present }
}

/// Rows of `dy` `[n, t, d]` whose id is `padding` become 0: empty positions have no gradient.
///
/// # Panics
/// If there are not `n t` ids.
#[must_use]
pub fn silence<'a>(mut dy: Tensor, ids: impl Into<Part<'a, u32>>, padding: u32) -> Tensor {
    let (ids, d) = (ids.into(), dy.last());
    assert!(ids.len() * d == dy.len(), "silence: {} ids, gradients {dy:?}", ids.len());
    if let Some(gpu) = dy.gpu() {
        let (count, (from, dx)) = (ids.len(), dy.in_place());
        ids.on(gpu, |ids| {
            let list = arguments![from, dx.at(), ids, d, padding];
            gpu.launch_as(dx.dtype(), "silence_rows", Grid::blocks(count, 1, 128), list);
        });
        return dx;
    }
    let rows = dy.data_mut().chunks_exact_mut(d.max(1)).zip(ids.host());
    rows.filter(|(_, id)| **id == padding).for_each(|(row, _)| row.fill(0.0));
    dy
}

/// Which positions of a batch of texts hold a token, `[n, t]` row by row.
pub struct Present(pub(super) Flags);

pub(super) enum Flags {
    Host(Vec<bool>),
    /// 0 or 1 each.
    Device(Indices),
}

impl From<Vec<bool>> for Present {
    fn from(flags: Vec<bool>) -> Self {
        Self(Flags::Host(flags))
    }
}

impl From<&[bool]> for Present {
    fn from(flags: &[bool]) -> Self {
        flags.to_vec().into()
    }
}

impl Present {
    /// How many positions there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match &self.0 {
            Flags::Host(flags) => flags.len(),
            Flags::Device(flags) => flags.count(),
        }
    }

    /// The flags themselves.
    ///
    /// # Panics
    /// If they are on a GPU.
    pub(crate) fn host(&self) -> &[bool] {
        match &self.0 {
            Flags::Host(flags) => flags,
            Flags::Device(_) => panic!("flags on a GPU where the others are on the host"),
        }
    }

    /// The address of flags of 32 bits on a GPU, and the copy that holds them if they were on the host.
    pub(crate) fn address(&self, gpu: &'static Gpu) -> (Option<crate::cuda::Buffer>, u64) {
        match &self.0 {
            Flags::Device(flags) => (None, flags.part().on(gpu, |at| at)),
            Flags::Host(flags) => {
                let copy = gpu.upload(&flags.iter().map(|&flag| u32::from(flag)).collect::<Vec<u32>>());
                let at = copy.address();
                (Some(copy), at)
            }
        }
    }
}
