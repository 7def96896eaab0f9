//! Softmax cross-entropy with class labels.

use multiversion::multiversion;
use rayon::prelude::*;

use super::each;
use crate::{Tensor, math};

/// Every row's own loss `log sum exp(logits) - logits[label]` and its own gradient `softmax(logits) - onehot(label)`.
///
/// `logits` is `[n, k]`; nothing is averaged over rows. Stable for logits of any size.
///
/// # Panics
/// If there are not `n` labels, or one is not below `k`.
#[must_use]
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> (Vec<f32>, Tensor) {
    let &[n, k] = logits.shape() else { panic!("cross_entropy: logits {logits:?} are not [n, k]") };
    assert!(labels.len() == n, "cross_entropy: logits {logits:?}, {} labels", labels.len());
    assert!(labels.iter().all(|&label| (label as usize) < k), "cross_entropy: a label beyond logits {logits:?}");
    let mut gradient = logits.clone();
    let mut losses = vec![0.0; n];
    let rows = each::rows_at_least(k);
    let blocks = gradient.data_mut().par_chunks_mut((rows * k).max(1)).zip(losses.par_chunks_mut(rows));
    blocks.zip(labels.par_chunks(rows)).for_each(|((gradient, losses), labels)| {
        let pairs = gradient.chunks_exact_mut(k).zip(labels);
        pairs.zip(losses).for_each(|((row, &label), loss)| *loss = row_loss(row, label as usize));
    });
    (losses, gradient)
}

/// Every row's index of the largest element, the first of equal ones; 0 for a row of NaN.
#[must_use]
pub fn argmax_rows(x: &Tensor) -> Vec<u32> {
    let largest = |row: &[f32]| {
        let mut best = 0;
        (1..row.len()).for_each(|i| best = if row[i] > row[best] || row[best].is_nan() { i } else { best });
        if row.get(best).is_none_or(|x| x.is_nan()) { 0 } else { best as u32 }
    };
    (0..x.rows()).map(|i| largest(x.row(i))).collect()
}

/// Turns a row of logits into its gradient and returns its loss.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn row_loss(row: &mut [f32], label: usize) -> f32 {
    let top = row.iter().fold(f32::NEG_INFINITY, |top, &x| if x > top { x } else { top });
    row.iter_mut().for_each(|x| *x -= top);
    let wanted = row[label];
    row.iter_mut().for_each(|x| *x = math::exp(*x));
    let sum: f32 = row.iter().map(|&x| f64::from(x)).sum::<f64>() as f32;
    row.iter_mut().for_each(|x| *x /= sum);
    // One minus a probability near 1 would lose its digits: the others sum to it exactly.
    let others: f32 = row.iter().enumerate().map(|(i, &p)| if i == label { 0.0 } else { p }).sum();
    row[label] = if row[label] > 0.5 { -others } else { row[label] - 1.0 };
    sum.ln() - wanted
}
