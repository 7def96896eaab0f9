//! The GPU against the processor: every operation on the same numbers, every layer, whole steps of training. One program,
//! which can be carried to a machine with a GPU; without one every test says so and passes.
//!
//! Products are f32 unless a test says otherwise. GPU tests run one after the other: they change the GPU's precision.
mod attention;
mod augment;
mod bounds;
mod images;
mod margins;
mod models;
mod operations;
mod people;
mod products;
mod recorder;
mod rounded;
mod rows;
mod several;
mod tuning;
mod weights;

use engine::{Device, Gpu, Precision, Tensor};
use privacy::{Key, Purpose};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The first GPU, for one test at a time.
pub(crate) struct Turn {
    pub(crate) gpu: &'static Gpu,
    _turn: MutexGuard<'static, ()>,
}

/// Waits for the GPU; none without one.
pub(crate) fn gpu() -> Option<Turn> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    match "cuda".parse::<Device>() {
        Ok(Device::Cuda(gpu)) => {
            gpu.set_precision(Precision::F32);
            Some(Turn { gpu, _turn: turn })
        }
        _ => {
            println!("skipped: no GPU");
            None
        }
    }
}

/// Numbers around zero.
pub(crate) fn numbers(shape: &[usize], seed: u64) -> Tensor {
    let stream = Key::from_seed(seed).stream(Purpose::Init, 3, 0);
    let mut data = vec![0.0; shape.iter().product()];
    stream.fill_normal(0, &mut data);
    Tensor::new(shape, data)
}

/// The largest difference, relative to the largest number; infinite where one is a number and the other is not.
pub(crate) fn gap(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let size = a.iter().filter(|x| x.is_finite()).fold(1e-30, |m: f64, x| m.max(x.abs()));
    let apart = |(a, b): (&f64, &f64)| match (a.is_nan(), b.is_nan()) {
        (true, true) => 0.0,
        (false, false) if a == b => 0.0,
        (false, false) => (a - b).abs() / size,
        _ => f64::INFINITY,
    };
    a.iter().zip(b).map(apart).fold(0.0, f64::max)
}

pub(crate) fn wide(x: &Tensor) -> Vec<f64> {
    x.to_host().data().iter().map(|x| f64::from(*x)).collect()
}

/// What `work` gives on both devices, and how close that must be.
pub(crate) fn twins(name: &str, tolerance: f64, work: impl Fn(Device) -> Vec<Tensor>) {
    let Some(turn) = gpu() else { return };
    twins_on(&turn, name, tolerance, work);
}

pub(crate) fn twins_on(turn: &Turn, name: &str, tolerance: f64, work: impl Fn(Device) -> Vec<Tensor>) {
    let there = engine::guard(|| work(Device::Cuda(turn.gpu))).unwrap_or_else(|e| panic!("{name}: {e}"));
    for (k, (here, there)) in work(Device::Cpu).iter().zip(&there).enumerate() {
        assert_eq!(here.shape(), there.shape(), "{name}, result {k}");
        let gap = gap(&wide(here), &wide(there));
        assert!(gap <= tolerance, "{name}, result {k}: {gap:e} apart");
    }
}
