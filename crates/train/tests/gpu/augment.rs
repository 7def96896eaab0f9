//! Altered copies of images, and gradients that are added up over several images, on a GPU.
use crate::{gap, gpu, numbers, twins, wide};
use engine::{
    Tensor, Window,
    op::{self, Beyond, Move},
};
use train::{config::Mode, trainer::Trainer, workload::Workload};

#[test]
fn copies_are_the_processors() {
    for beyond in [Beyond::Reflected, Beyond::Zeros] {
        twins("moved", 0.0, |device| {
            let x = numbers(&[3, 2, 6, 9], 1).to(device);
            let of = |k: i32| Move { down: k % 5 - 2, right: k % 7 - 3, mirrored: (k % 2) as u32 };
            vec![op::moved(&x, &(0..12).map(of).collect::<Vec<_>>(), beyond), op::moved(&x, &[of(1); 3], beyond)]
        });
    }
}

#[test]
fn images_above_each_other_are_the_processors() {
    for (kernel, stride, padding) in [(3, 1, 1), (3, 2, 1), (1, 2, 0), (8, 2, 3)] {
        let window = Window { kernel: [kernel; 2], stride: [stride; 2], padding: [padding; 2] };
        let (oh, ow) = window.output(9, 9).unwrap_or_default();
        twins("stacked", 0.0, |device| {
            let (x, b) = (numbers(&[6, 3, 9, 9], 2), numbers(&[6, 4, oh * ow], 3));
            let (x, b) = op::stacked(&x.to(device), &b.to(device), window, 3);
            vec![x, b]
        });
    }
}

fn run(name: &str, device: &str, precision: &str, steps: usize) -> Trainer {
    let altered = "train.augment={multiplicity=4, flip=true, shift=2}";
    let set = [format!("train.device={device}"), format!("train.precision={precision}"), altered.to_owned()];
    let config = Workload::by_name(name).and_then(|w| w.config(Mode::Private, &set).ok());
    let (workload, config) = (Workload::by_name(name), config.unwrap_or_else(|| panic!("{name} with {set:?}")));
    let mut trainer = workload.and_then(|w| w.trainer(&config, 16).ok()).unwrap_or_else(|| panic!("no {name}"));
    (0..steps).for_each(|_| {
        engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"))
    });
    trainer
}

/// Twelve steps, some of them as graphs.
#[test]
fn training_on_altered_copies_is_the_processors() {
    let Some(_turn) = gpu() else { return };
    for (name, steps) in [("W2", 12), ("W3", 4), ("W6", 3)] {
        let here = run(name, "cpu", "f32", steps);
        for (precision, tolerance) in [("f32", 1e-4), ("tf32", 1e-2), ("bf16", 5e-2)] {
            let there = run(name, "cuda", precision, steps);
            assert_eq!(here.ledger.entries(), there.ledger.entries());
            let of = |trainer: &Trainer| -> Vec<f64> { wide(&Tensor::clone(trainer.weights.point().tensor())) };
            let gap = gap(&of(&here), &of(&there));
            assert!(gap < tolerance, "{name}, {precision}: {gap:e} apart");
        }
    }
}
