//! Attention of bf16 numbers: beside the processor's of the same numbers, and what must not matter.
use crate::{Turn, gap, gpu, numbers, wide};
use engine::{
    Device, Precision, Tensor,
    op::{self, Attention, Present},
};

/// The GPU, whose activations are of bf16 from now on.
fn turn() -> Option<Turn> {
    gpu().inspect(|turn| turn.gpu.set_precision(Precision::Bf16))
}

/// Numbers around zero that bf16 has: nothing is lost when they are stored so.
fn rounded(shape: &[usize], seed: u64) -> Tensor {
    let mut x = numbers(shape, seed);
    x.data_mut().iter_mut().for_each(|x| *x = f32::from_bits((x.to_bits() + 0x8000) & 0xffff_0000));
    x
}

/// Every third position is hidden, and most of the second example.
fn flags(t: usize) -> Vec<bool> {
    (0..2 * t).map(|at| at % 3 != 1 && at < t + 2).collect()
}

/// The gradient by queries, keys and values, and the output.
fn both(device: Device, [qkv, dy]: [&Tensor; 2], how: Attention, present: Option<&Present>) -> [Tensor; 2] {
    let (qkv, dy) = (qkv.clone().to(device), dy.clone().to(device));
    let (y, kept) = op::attention(&qkv, how, present);
    [op::attention_backward(&dy, &qkv, &kept, how, present).to_host(), y.to_host()]
}

/// The length of the difference, relative to that of `a`.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let square = |sum: f64, x: f64| sum + x * x;
    let difference = a.iter().zip(b).map(|(a, b)| a - b).fold(0.0, square);
    (difference / a.iter().copied().fold(1e-30, square)).sqrt()
}

/// A result's numbers are rounded (2^-9 of each at most), as are the weights of the values, the gradients by scores, and the
/// output that these are made of: as a length, less than two such roundings of everything; each number, with hundreds of terms of
/// either sign in it, within some of the largest.
#[test]
fn rounds_little() {
    let Some(turn) = turn() else { return };
    for width in [16, 40, 64, 96, 128, 33, 160] {
        for t in [1, 7, 64, 130, 512] {
            for (causal, some) in [(false, false), (false, true), (true, false), (true, true)] {
                let (how, present) = (Attention { heads: 2, causal }, some.then(|| Present::from(flags(t))));
                let [qkv, dy] = [(6, 1), (2, 2)].map(|(parts, seed)| rounded(&[2, t, parts * width], seed));
                let [here, there] = [Device::Cpu, Device::Cuda(turn.gpu)]
                    .map(|device| both(device, [&qkv, &dy], how, present.as_ref()));
                for ((here, there), what) in here.iter().zip(&there).zip(["gradient", "output"]) {
                    let (here, there) = (wide(here), wide(there));
                    let (most, all) = (gap(&here, &there), apart(&here, &there));
                    let name = format!("{what} of {width} wide, {t} long, causal {causal}, flags {some}");
                    assert!(most <= 2f64.powi(-6) && all <= 2f64.powi(-8), "{name}: {most:e}, as a length {all:e}");
                }
            }
        }
    }
}

/// Keys and values of hidden positions are nobody's, even if they are no numbers; nor are other examples'. The same bits.
#[test]
fn what_is_hidden_does_not_matter() {
    let Some(turn) = turn() else { return };
    for (width, t, causal) in [(64, 200, false), (64, 130, true), (40, 70, true), (128, 65, false), (150, 20, true)] {
        let (how, present) = (Attention { heads: 2, causal }, flags(t));
        let [qkv, dy] = [(6, 3), (2, 4)].map(|(parts, seed)| rounded(&[2, t, parts * width], seed));
        let [mut nobody, mut alone, mut outer] = [qkv.clone(), qkv.clone(), dy.clone()];
        let rows = nobody.data_mut().chunks_exact_mut(6 * width).zip(&present);
        rows.filter(|(_, present)| !**present).for_each(|(row, _)| row[2 * width..].fill(f32::NAN));
        alone.data_mut()[6 * t * width..].fill(f32::NAN);
        outer.data_mut()[2 * t * width..].fill(f32::NAN);
        let (device, present) = (Device::Cuda(turn.gpu), Present::from(present));
        let results = [[&qkv, &dy], [&qkv, &dy], [&nobody, &dy], [&alone, &outer]]
            .map(|inputs| both(device, inputs, how, Some(&present)));
        let same = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits());
        for (k, first) in results[0].iter().enumerate() {
            let name = format!("result {k} of {width} wide, {t} long, causal {causal}");
            assert!(first.data().iter().all(|x| x.is_finite()), "{name} is not a number");
            assert!(same(first.data(), results[1][k].data()), "{name} differs from itself");
            assert!(same(first.data(), results[2][k].data()), "{name} depends on what is hidden");
            assert!(same(first.row(0), results[3][k].row(0)), "{name} depends on another example");
        }
    }
}
