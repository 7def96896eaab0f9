//! Neighbouring data sets under the same key: everything public agrees, and sums differ by no more than was promised.
//!
//! The idea is Cebere et al. 2026 (arXiv 2602.17454): most violations in published libraries are data-dependent control
//! flow, sensitivity or scale, and show when two runs differ in one person only.
mod common;
use common::{WIDTH, config, examples, rows, trainer};
use privacy::Sum;

/// One step on `present` people, with learning rate 1 and no momentum, times the lot size: the released sum, negated.
fn released(set: &[&str], people: train::data::Examples, present: usize) -> train::grads::Grads {
    let mut all = vec![
        "update=[{update=\"sgd\", learning_rate=1.0}]",
        "train.steps=1",
        "train.lot=200",
        "privacy.noise_multiplier=0.7",
    ];
    all.extend(set);
    let mut run = trainer(&config(&all), people, present);
    let before = run.weights.point();
    run.step().unwrap();
    let mut moved = run.weights.point();
    moved.zip_with(&before, |a, b| *a -= b);
    moved.scale(200.0)
}

#[test]
fn one_person_more_moves_the_release_by_at_most_the_bound() {
    for rule in ["flat", "auto-s", "auto-v"] {
        let rule = format!("clip.rule={rule}");
        for last in [1.0f32, 1e4, 1e-6] {
            let (mut inputs, labels) = rows(61);
            inputs[60 * WIDTH..].iter_mut().for_each(|x| *x *= last);
            let with = released(&[&rule], examples(inputs.clone(), labels.clone()), 61);
            let without = released(&[&rule], examples(inputs[..60 * WIDTH].to_vec(), labels[..60].to_vec()), 60);
            let mut moved = with;
            moved.zip_with(&without, |a, b| *a -= b);
            // The same key gives the same draw of the others and the same noise; what is left is the new person's share.
            assert!(moved.norm() <= 0.5 * 1.001 + 1e-4, "{rule}: {}", moved.norm());
            assert!(moved.norm() > 0.0, "{rule}: the person took part");
        }
    }
}

#[test]
fn the_ledger_knows_nothing_of_the_data() {
    let set = ["train.steps=5"];
    let ledgers = [0usize, 1, 60, 200].map(|n| {
        let (inputs, labels) = rows(n);
        let mut run = trainer(&config(&set), examples(inputs, labels), n);
        (0..5).for_each(|_| run.step().unwrap());
        run.ledger.entries()
    });
    assert!(ledgers.windows(2).all(|pair| pair[0] == pair[1]));
}
