//! Softmax cross-entropy with class labels, of one output or of one for each token.

use multiversion::multiversion;
use rayon::prelude::*;

use super::{each, lanes};
use crate::cuda::{Buffer, Grid, arguments};
use crate::{Gpu, Tensor, math};

/// Every row's own loss `log sum exp(logits) - logits[label]`, `[n]`, and its own gradient
/// `softmax(logits) - onehot(label)`, in the storage of the logits.
///
/// `logits` is `[n, k]`; nothing is averaged over rows. Stable for logits of any size.
///
/// # Panics
/// If there are not `n` labels, or one is not below `k`.
#[must_use]
pub fn cross_entropy(logits: Tensor, labels: &[u32]) -> (Tensor, Tensor) {
    let &[n, k] = logits.shape() else { panic!("cross_entropy: logits {logits:?} are not [n, k]") };
    assert!(labels.len() == n, "cross_entropy: logits {logits:?}, {} labels", labels.len());
    assert!(labels.iter().all(|&label| (label as usize) < k), "cross_entropy: a label beyond logits {logits:?}");
    if let Some(gpu) = logits.gpu() {
        let (losses, labels) = (Tensor::unfilled_on(logits.device(), [n]), gpu.upload(labels));
        let (logits, dtype, gradient) = logits.rows_in_place();
        let (to, pitch, _) = gradient.rows_at();
        let list = arguments![logits, &labels, &losses, to, k, pitch];
        gpu.launch_as(dtype, "cross_entropy_rows", Grid::blocks(n, 1, threads(k)), list);
        return (losses, gradient);
    }
    let mut gradient = logits;
    let mut losses = vec![0.0; n];
    let rows = each::rows_at_least(k);
    let blocks = gradient.data_mut().par_chunks_mut((rows * k).max(1)).zip(losses.par_chunks_mut(rows));
    blocks.zip(labels.par_chunks(rows)).for_each(|((gradient, losses), labels)| {
        let pairs = gradient.chunks_exact_mut(k).zip(labels);
        pairs.zip(losses).for_each(|((row, &label), loss)| *loss = row_loss(row, label as usize, 1.0));
    });
    (Tensor::new([n], losses), gradient)
}

/// Threads for a row of `k`.
fn threads(k: usize) -> u32 {
    k.next_multiple_of(32).clamp(32, 1024) as u32
}

/// Every example's own loss, the MEAN of the cross-entropies of its counted tokens, `[n]`, and its gradient, `[n, t, v]`,
/// in the storage of the logits.
///
/// `logits` are `[n, t, v]`, `labels` `n t`; a token whose label is `u32::MAX` is not counted, whatever its logits. An
/// example without a counted token has loss 0 and gradient 0. Stable for logits of any size.
///
/// # Panics
/// If there are not `n t` labels, or a counted one is not below `v`.
#[must_use]
pub fn token_cross_entropy(logits: Tensor, labels: &[u32]) -> (Tensor, Tensor) {
    let &[n, t, v] = logits.shape() else { panic!("token_cross_entropy: logits {logits:?} are not [n, t, v]") };
    assert!(labels.len() == n * t, "token_cross_entropy: logits {logits:?}, {} labels", labels.len());
    let known = |&label: &u32| label == u32::MAX || (label as usize) < v;
    assert!(labels.iter().all(known), "token_cross_entropy: a label beyond logits {logits:?}");
    if t * v == 0 {
        return (Tensor::zeros_on(logits.device(), [n]), logits);
    }
    if let Some(gpu) = logits.gpu() {
        return tokens_on(gpu, logits, labels, [n, t, v]);
    }
    let counted = |labels: &[u32]| labels.iter().filter(|&&label| label != u32::MAX).count();
    let counts: Vec<usize> = labels.chunks_exact(t).map(counted).collect();
    let mut gradient = logits;
    let mut losses = vec![0.0; n * t];
    let rows = each::rows_at_least(v);
    let blocks = gradient.data_mut().par_chunks_mut(rows * v).zip(losses.par_chunks_mut(rows)).enumerate();
    blocks.for_each(|(block, (gradient, losses))| {
        for ((row, loss), at) in gradient.chunks_exact_mut(v).zip(losses).zip(block * rows..) {
            match labels[at] {
                u32::MAX => row.fill(0.0),
                label => *loss = row_loss(row, label as usize, 1.0 / counts[at / t] as f32),
            }
        }
    });
    let mean = |(losses, &count): (&[f32], &usize)| lanes::wide_sum(losses) / count.max(1) as f64;
    let means = losses.chunks_exact(t).zip(&counts).map(|example| mean(example) as f32).collect();
    (Tensor::new([n], means), gradient)
}

fn tokens_on(gpu: &'static Gpu, logits: Tensor, labels: &[u32], [n, t, v]: [usize; 3]) -> (Tensor, Tensor) {
    let (means, labels, counts) = (Tensor::unfilled_on(logits.device(), [n]), gpu.upload(labels), Buffer::of(gpu, n));
    let losses = Buffer::of(gpu, n * t);
    let (logits, dtype, gradient) = logits.rows_in_place();
    let (to, pitch, _) = gradient.rows_at();
    gpu.launch("count_tokens", Grid::blocks(n, 1, 128), arguments![&labels, &counts, t]);
    let list = arguments![logits, &labels, &counts, &losses, to, t, v, pitch];
    gpu.launch_as(dtype, "token_cross_entropy_rows", Grid::blocks(n * t, 1, threads(v)), list);
    gpu.launch("mean_losses", Grid::blocks(n, 1, 128), arguments![&losses, &counts, &means, t]);
    (means, gradient)
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

/// Turns a row of logits into `weight` times its gradient and returns its loss.
#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn row_loss(row: &mut [f32], label: usize, weight: f32) -> f32 {
    let top = lanes::largest(row);
    let wanted = row[label] - top;
    row.iter_mut().for_each(|x| *x = math::exp(*x - top));
    // One minus a probability near 1 would lose its digits: the others sum to it exactly.
    let own = f64::from(std::mem::take(&mut row[label]));
    let others = lanes::wide_sum(row);
    let sum = own + others;
    let scale = weight / sum as f32;
    row.iter_mut().for_each(|x| *x *= scale);
    row[label] = -((others / sum) as f32 * weight);
    (sum.ln() - f64::from(wanted)) as f32
}
