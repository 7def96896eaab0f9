//! Panels out of rows.

use multiversion::multiversion;

/// Columns of the widest panel.
pub(crate) const MOST: usize = 32;

/// Packs rows of `from`, which begin `stride` apart, as the columns of a panel of `width`: element `j` of row `i`, `scale`
/// times, goes to `panel[j * width + i]`. There are at most `width` rows; columns beyond them are 0.
pub(crate) fn turn(from: &[f32], stride: usize, rows: usize, scale: f32, width: usize, panel: &mut [f32]) {
    match width {
        MOST => turn_by::<MOST>(from, stride, rows, scale, panel),
        16 => turn_by::<16>(from, stride, rows, scale, panel),
        _ => turn_by::<8>(from, stride, rows, scale, panel),
    }
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn turn_by<const WIDTH: usize>(from: &[f32], stride: usize, rows: usize, scale: f32, panel: &mut [f32]) {
    let panel = panel.as_chunks_mut::<WIDTH>().0;
    if rows < WIDTH {
        panel.fill([0.0; WIDTH]);
    }
    // Sixteen elements of each row at a time, so that both sides stay in the first cache.
    for (block, panel) in panel.chunks_mut(16).enumerate() {
        for i in 0..rows {
            let row = &from[i * stride + block * 16..][..panel.len()];
            panel.iter_mut().zip(row).for_each(|(out, x)| out[i] = *x * scale);
        }
    }
}
