//! The same bits from every instruction set.
//!
//! `multiversion` compiles a kernel once for each level and picks one at run time; its versions cannot be called by name.
//! What kernels are made of can be: every arithmetic function and every reduction is inlined into three functions here, one
//! for each level, whose results must agree to the last bit. They do because Rust neither contracts nor reorders
//! floating-point arithmetic, and because sums are taken in a fixed number of lanes. (Products are not part of this: they
//! use fused multiply-add where there is one, and agree to rounding: `train`, `every_level_of_instructions_agrees`.)
//!
//! Most telling with `cargo test --release`: with little optimisation there are few vector instructions.

use multiversion::multiversion;

use super::lanes;
use crate::math;

/// Elementwise results, and reductions of prefixes of every length, as bits.
#[inline(always)]
fn everything(x: &[f32], out: &mut [u64]) {
    let mut wide = vec![0.0f32; x.len()];
    let mut results = Vec::new();
    for f in 0..5 {
        match f {
            0 => wide.iter_mut().zip(x).for_each(|(y, x)| *y = math::exp(*x)),
            1 => wide.iter_mut().zip(x).for_each(|(y, x)| *y = math::exp_below_zero(-x.abs())),
            2 => wide.iter_mut().zip(x).for_each(|(y, x)| *y = math::tanh(*x)),
            3 => wide.iter_mut().zip(x).for_each(|(y, x)| *y = math::erf(*x)),
            _ => wide.iter_mut().zip(x).for_each(|(y, x)| *y = 1.0 / (1.0 + x * x).sqrt()),
        }
        results.extend(wide.iter().map(|y| u64::from(y.to_bits())));
    }
    for len in (0..100).chain([x.len()]) {
        let (x, y) = (&x[..len], &wide[..len]);
        let narrow = [lanes::sum(x, |x| x * 0.7), lanes::inner(x, y), lanes::largest(x)];
        results.extend(narrow.map(|sum| u64::from(sum.to_bits())));
        results.push(lanes::wide_sum(x).to_bits());
    }
    out.copy_from_slice(&results);
}

#[multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn best(x: &[f32], out: &mut [u64]) {
    everything(x, out);
}

#[multiversion(targets("x86_64+avx2"))]
fn middle(x: &[f32], out: &mut [u64]) {
    everything(x, out);
}

#[test]
fn every_level_gives_the_same_bits() {
    let x: Vec<f32> = (0..3001).map(|i| ((i * 7919 + 13) % 10_007) as f32 / 300.0 - 16.0).collect();
    let run = |level: fn(&[f32], &mut [u64])| {
        let mut out = vec![0; 5 * x.len() + 4 * 101];
        level(&x, &mut out);
        out
    };
    let baseline = run(everything);
    assert!(baseline == run(middle), "AVX2");
    assert!(baseline == run(best), "AVX-512");
}
