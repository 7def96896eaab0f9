//! Convolutions of numbers that are stored in bf16, and their per-example gradients: beside the processor's f32 operations on the
//! same, already rounded numbers. What is stored in bf16 again is off by one rounding, kept gradients too; sums and norms stay f32.
use crate::{bounds, gap, gpu, numbers, operations::squares, twins_on, wide};
use engine::{
    Device, Precision, Tensor, Window,
    op::{
        self,
        per_example::{self as each, Left},
    },
};

/// Half a unit in the last of the eight places of the largest number, and a sixteenth of that for whatever else is rounded.
const ROUNDED: f64 = 17.0 / 4096.0;

/// Images `[n, c, h, w]`, output channels, kernel, stride, padding; from the tenth on what only the kernels of bf16 tell apart.
pub(crate) const SIZES: [([usize; 4], usize, [usize; 3]); 17] = [
    ([3, 3, 32, 32], 16, [3, 1, 1]),
    ([2, 16, 16, 16], 64, [3, 1, 1]),
    ([5, 40, 8, 8], 70, [3, 1, 1]),
    ([9, 12, 4, 4], 33, [3, 1, 1]),
    ([3, 64, 20, 12], 24, [3, 2, 1]),
    ([4, 9, 13, 11], 20, [4, 2, 0]),
    ([3, 37, 16, 16], 40, [1, 2, 0]),
    ([2, 5, 9, 7], 8, [1, 1, 0]),
    ([3, 4, 11, 40], 17, [5, 1, 2]),
    ([5, 1, 28, 28], 16, [8, 2, 3]),
    ([2, 17, 24, 8], 130, [3, 1, 1]),
    ([3, 8, 15, 21], 9, [2, 3, 1]),
    ([2, 4, 20, 20], 5, [7, 1, 3]),
    ([2, 96, 32, 32], 64, [3, 2, 1]),
    ([7, 40, 16, 16], 48, [3, 2, 1]),
    ([3, 64, 20, 32], 80, [3, 1, 1]),
    ([5, 30, 6, 8], 50, [2, 1, 0]),
];

fn window([k, s, p]: [usize; 3]) -> Window {
    Window { kernel: [k, k], stride: [s, s], padding: [p, p] }
}

/// Numbers of bf16: those of f32, to nearest, ties to even.
fn rounded(shape: &[usize], seed: u64, scale: f32) -> Tensor {
    let mut x = numbers(shape, seed);
    for x in x.data_mut() {
        let bits = (*x * scale).to_bits();
        *x = f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
    }
    x
}

/// The same numbers on a device, where a GPU stores them in bf16: a linear map of each row by one.
fn stored(x: Tensor, device: Device) -> Tensor {
    let w = x.shape()[3];
    let mut one = Tensor::zeros([w, w]);
    (0..w).for_each(|k| one.data_mut()[k * (w + 1)] = 1.0);
    op::linear(&x.to(device), &one.to(device), None)
}

#[test]
fn convolutions_of_rounded_images() {
    use op::Activation::{Relu, Tanh};
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(Precision::Bf16);
    for own in [true, false] {
        turn.gpu.always_own_convolutions(own);
        for (k, (size @ [n, c, h, w], o, kernel)) in SIZES.into_iter().enumerate() {
            let (window, activation) = (window(kernel), [None, Some(Relu), Some(Tanh)][k % 3]);
            let name = format!("{size:?} to {o}, {window:?}, {activation:?}, own {own}");
            twins_on(&turn, &name, ROUNDED, |device| {
                let (oh, ow) = window.output(h, w).unwrap();
                let [x, dy] = [(&size, 1), (&[n, o, oh, ow], 4)].map(|(s, seed)| rounded(s, seed, 1.0));
                let w = rounded(&[o, c, kernel[0], kernel[0]], 2, 0.1).to(device);
                let b = numbers(&[o], 3).to(device);
                let (stored_x, stored_dy) = (stored(x.clone(), device), stored(dy.clone(), device));
                vec![
                    op::conv2d_then(&stored_x, &w, Some(&b), window, activation),
                    op::conv2d_then(&x.to(device), &w, None, window, None),
                    op::conv2d_backward(&stored_dy, &w, &size, window),
                    op::conv2d_backward(&dy.to(device), &w, &size, window),
                    stored_x,
                    stored_dy,
                ]
            });
        }
    }
    turn.gpu.always_own_convolutions(false);
}

/// Factors are multiplied as they are stored, or rounded where only the other one is stored in bf16.
#[test]
fn gradients_of_rounded_images() {
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(Precision::Bf16);
    for (size @ [n, c, h, w], p, kernel) in SIZES {
        let window = window(kernel);
        for first in [false, true] {
            let name = format!("{size:?} to {p}, {window:?}, of the first layer: {first}");
            let made = |device, how: fn(Left, &Tensor, usize, Device) -> Vec<Tensor>| {
                let (oh, ow) = window.output(h, w).unwrap();
                let (x, b) = (rounded(&size, 1, 1.0), stored(rounded(&[n, p, oh, ow], 2, 1.0), device));
                let x = if first { x.to(device) } else { stored(x, device) };
                how(Left::Patches { x: &x, window }, &b, p * c * window.cells(), device)
            };
            twins_on(&turn, &name, 1e-4, |device| made(device, gradients));
            twins_on(&turn, &format!("{name}, kept"), ROUNDED, |device| made(device, kept_gradients));
        }
    }
}

fn gradients(left: Left, b: &Tensor, size: usize, device: Device) -> Vec<Tensor> {
    let mut sum = numbers(&[size], 8).to(device);
    each::product_sum(left, b, &weights(b), &mut sum);
    vec![squares(each::product_norms(left, b)), sum]
}

fn weights(b: &Tensor) -> Vec<f32> {
    (0..b.rows()).map(|i| [0.5, 0.0, -1.25, 1.0][i % 4]).collect()
}

/// Where gradients are kept, their norms are those of what is kept, and the sum is that of the same numbers.
fn kept_gradients(left: Left, b: &Tensor, size: usize, device: Device) -> Vec<Tensor> {
    let (norms, kept) = each::product_norms_kept(left, b);
    let Some(kept) = kept else { return vec![squares(norms)] };
    let (rows, start) = (kept.rows(), numbers(&[size], 8));
    let mut sum = start.clone().to(device);
    kept.sum(&weights(b), &mut sum);
    let of_rows = |i: usize| rows.to_host().row(i).iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    let theirs: Vec<f64> = (0..rows.rows()).map(of_rows).collect();
    assert!(gap(&norms, &theirs) < 1e-6, "{norms:?} for gradients of {theirs:?}");
    let mut wanted = start.to(device);
    each::rows_sum(&rows, &weights(b), &mut wanted);
    assert!(gap(&wide(&sum), &wide(&wanted)) < 1e-6, "another sum than that of what was kept");
    vec![squares(norms), sum, rows]
}

/// What an example adds is within its norm: with noise, and with gradients that cancel but for what rounding leaves.
#[test]
fn sums_of_rounded_images_stay_within_reported_norms() {
    let Some(turn) = gpu() else { return };
    turn.gpu.set_precision(Precision::Bf16);
    let device = Device::Cuda(turn.gpu);
    for (size @ [n, c, h, w], p, kernel) in SIZES {
        let window = window(kernel);
        let (oh, ow) = window.output(h, w).unwrap();
        for checkered in [false, true] {
            for first in [false, true] {
                let (mut x, mut b) = (numbers(&size, 1), rounded(&[n, p, oh, ow], 2, 1.0));
                if checkered {
                    x.data_mut().iter_mut().for_each(|x| *x = 1.0 + 0.003 * *x);
                    let sign = |k: usize| if (k + k / ow).is_multiple_of(2) { 1.0 } else { -1.0 };
                    b.data_mut().iter_mut().enumerate().for_each(|(k, b)| *b = sign(k) * (1.0 + *b * 0.01));
                }
                // The first layer's images are f32, with numbers that bf16 does not have.
                let x = if first { x.to(device) } else { stored(x, device) };
                let b = stored(b, device);
                let name = format!("{size:?} to {p}, {window:?}, checkered {checkered}, first {first}");
                bounds::try_all(&name, Left::Patches { x: &x, window }, &b, p * c * window.cells(), device);
            }
        }
    }
}
