//! Every layer of the list with some of its parameters frozen or adapted, beside the same layer trained whole.
use super::{batch, close, each, model, numbers};
use crate::{
    grads::{How, Layout},
    layer::{Keep, Parameter},
    model::{Model, ModelError, Weights},
    tap::Taps,
};
use engine::Tensor;
use privacy::{Key, Purpose};
use std::collections::HashMap;

/// The same model with another word for each parameter, at the weights of the first.
fn changed(whole: &Model, weights: &Weights, how: &[How]) -> (Model, Weights) {
    let model = whole.with(how).unwrap_or_else(|e| panic!("{e}"));
    let named = weights.all().map(|(p, t)| (p.name.clone(), t.clone())).collect();
    let weights = Weights::begin(model.layout(), &Key::from_seed(11), named);
    (model, weights)
}

/// Gradients of three examples, whose inputs are made as `whole` wants them.
fn look(whole: &Model, model: &Model, weights: &Weights) -> Taps {
    model.taps(weights, batch(model, numbers(whole, 3, 2), &[1, 0, 2]))
}

/// Ways to choose some of `n`: each alone, all but each, and every other one.
fn choices(n: usize) -> Vec<Vec<bool>> {
    let one = |k: usize| (0..n).map(|i| i == k).collect::<Vec<bool>>();
    let alone: Vec<_> = (0..n).map(one).collect();
    let but = alone.iter().map(|one| one.iter().map(|x| !x).collect());
    let others = [0, 1].map(|odd| (0..n).map(|i| i % 2 == odd).collect());
    let all = alone.iter().cloned().chain(but).chain(others);
    all.filter(|choice: &Vec<bool>| choice.contains(&true)).collect()
}

/// What is trained has the gradients that it has where all is trained, and norms and sums are of these alone.
#[test]
fn what_is_frozen_changes_nothing_of_what_is_trained() {
    each(|what, whole, weights| {
        let full = look(whole, whole, weights).rows();
        for choice in choices(full.len()).into_iter().step_by(1 + full.len() / 12) {
            let how: Vec<How> = choice.iter().map(|t| if *t { How::Train } else { How::Freeze }).collect();
            let (model, weights) = changed(whole, weights, &how);
            let kept: Vec<&Tensor> = full.iter().zip(&choice).filter(|(_, t)| **t).map(|(rows, _)| rows).collect();
            for measured in [false, true] {
                let taps = look(whole, &model, &weights);
                let mut taps = if measured { again(whole, &model, &weights) } else { taps };
                assert_eq!(taps.parameters(), kept.len(), "{what}, {choice:?}");
                let groups = vec![0; kept.len()];
                for (i, square) in taps.norms(&groups, 1).into_iter().enumerate() {
                    let want: f64 = kept.iter().flat_map(|t| t.row(i)).map(|g| f64::from(*g).powi(2)).sum();
                    close(&format!("{what}, {choice:?}, norm"), square, want, 1e-4, 1e-9);
                }
                let (by, sum) = ([0.5, -2.0, 0.25], taps.sum(&[0.5, -2.0, 0.25], &groups, 1));
                let want = kept.iter().flat_map(|t| {
                    (0..t.row(0).len()).map(|j| (0..3).map(|i| f64::from(by[i] * t.row(i)[j])).sum::<f64>())
                });
                sum.flat().iter().zip(want).for_each(|(a, b)| close(what, f64::from(*a), b, 1e-4, 1e-5));
            }
        }
    });
}

/// As `look`, with norms taken on the way.
fn again(whole: &Model, model: &Model, weights: &Weights) -> Taps {
    let batch = batch(model, numbers(whole, 3, 2), &[1, 0, 2]);
    let inputs = Tensor::new([&[3], model.input()].concat(), batch.inputs);
    model.look(
        weights,
        inputs,
        &batch.targets,
        Keep::training(),
        Taps::new(3, model.layout()).beside(weights.adapted()).measured(),
    )
}

fn targets(model: &Model) -> Vec<usize> {
    let adaptable = |parameter: &Parameter| parameter.shape.len() == 2 && parameter.name.ends_with("weight");
    let parameters = model.layout().parameters().iter().enumerate();
    parameters.filter(|(_, parameter)| adaptable(parameter)).map(|(p, _)| p).collect()
}

/// Factors that are neither zero nor small.
fn stirred(weights: &Weights, seed: u64) -> Weights {
    let stream = Key::from_seed(seed).stream(Purpose::Init, 3, 3);
    let mut point = weights.point();
    point.flat_mut().iter_mut().enumerate().for_each(|(i, x)| *x = 0.3 * stream.normal(i as u64) as f32);
    weights.at(&point)
}

/// `dB = s dW A^T` and `dA = s B^T dW`, by hand from every example's whole gradient, at `W + s B A`.
#[test]
fn adapters_have_the_gradients_of_the_chain_rule() {
    const RANK: usize = 2;
    let scale = 1.5;
    let mut tried = 0;
    for name in ["linear", "attention", "transformer"] {
        for (config, shape) in super::tried(name) {
            let whole = model(&config, &shape);
            let start = Weights::public(whole.layout(), &Key::from_seed(5));
            for target in targets(&whole) {
                let mut how = vec![How::Freeze; whole.layout().parameters().len()];
                how[target] = How::Adapt { rank: RANK, scale, freeze_a: false };
                let (adapted, weights) = changed(&whole, &start, &how);
                let weights = stirred(&weights, 7);
                let [rows_a, rows_b] = &look(&whole, &adapted, &weights).rows()[..] else {
                    panic!("{config}: two factors")
                };
                // Whoever knows nothing of adapters, at the merged weights.
                let merged: HashMap<_, _> = weights.merged().map(|(p, t)| (p.name.clone(), t.clone())).collect();
                let plain = Weights::from_public(whole.layout(), merged).unwrap();
                let full = &look(&whole, &whole, &plain).rows()[target];
                let [a, b] = [0, 1].map(|k| weights.tensors()[k].data().to_vec());
                let [p, d] = [0, 1].map(|axis| whole.layout().parameters()[target].shape[axis]);
                let (frozen, shown) = (start.tensors()[target].data(), plain.tensors()[target].data());
                for k in 0..p * d {
                    let product: f64 = (0..RANK).map(|r| f64::from(b[k / d * RANK + r] * a[r * d + k % d])).sum();
                    close(&config, f64::from(shown[k]), f64::from(frozen[k]) + scale * product, 1e-5, 1e-6);
                }
                for i in 0..3 {
                    let w = |j: usize, k: usize| f64::from(full.row(i)[j * d + k]);
                    for r in 0..RANK {
                        for k in 0..d {
                            let want: f64 = (0..p).map(|j| f64::from(b[j * RANK + r]) * w(j, k)).sum();
                            close(&config, f64::from(rows_a.row(i)[r * d + k]), scale * want, 1e-3, 1e-5);
                        }
                        for j in 0..p {
                            let want: f64 = (0..d).map(|k| f64::from(a[r * d + k]) * w(j, k)).sum();
                            close(&config, f64::from(rows_b.row(i)[j * RANK + r]), scale * want, 1e-3, 1e-5);
                        }
                    }
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 10, "{tried}");
}

/// Norms and sums of adapters' taps are those of their rows, also where one factor stays as it starts.
#[test]
fn short_cuts_of_adapters_agree_with_rows() {
    for freeze_a in [false, true] {
        for name in ["linear", "attention", "transformer"] {
            for (config, shape) in super::tried(name) {
                let whole = model(&config, &shape);
                let start = Weights::public(whole.layout(), &Key::from_seed(5));
                let mut how = vec![How::Train; whole.layout().parameters().len()];
                for target in targets(&whole) {
                    how[target] = How::Adapt { rank: 2, scale: 0.5, freeze_a };
                }
                let (model, weights) = changed(&whole, &start, &how);
                let weights = stirred(&weights, 8);
                let (mut taps, rows) = (again(&whole, &model, &weights), look(&whole, &model, &weights).rows());
                let groups = vec![0; rows.len()];
                for (i, square) in taps.norms(&groups, 1).into_iter().enumerate() {
                    let want: f64 = rows.iter().flat_map(|t| t.row(i)).map(|g| f64::from(*g).powi(2)).sum();
                    close(&format!("{config}, norm"), square, want, 1e-4, 1e-9);
                }
                let (sum, by) = (taps.sum(&[1.0, 0.0, -3.0], &groups, 1), [1.0, 0.0, -3.0]);
                let want = rows.iter().flat_map(|t| {
                    (0..t.row(0).len()).map(|j| (0..3).map(|i| f64::from(by[i] * t.row(i)[j])).sum::<f64>())
                });
                sum.flat().iter().zip(want).for_each(|(a, b)| close(&config, f64::from(*a), b, 1e-4, 1e-5));
            }
        }
    }
}

/// Only matrices whose gradients are products over positions can be adapted; all others say so.
#[test]
fn what_cannot_be_adapted_says_so() {
    let whole = model("layer = \"embedding\"\nvocabulary = 5\nfeatures = 3", &[4]);
    let mut how = vec![How::Freeze; whole.layout().parameters().len()];
    how[0] = How::Adapt { rank: 1, scale: 1.0, freeze_a: false };
    let error = whole.with(&how).err().unwrap();
    assert!(matches!(&error, ModelError::Tuning(what) if what.contains("`0.weight` is no matrix")), "{error}");
}

/// Starting values do not depend on what is trained.
#[test]
fn fresh_weights_are_the_same_whatever_is_trained() {
    let whole = model("layer = \"transformer\"\nlayers = 1\nheads = 2\nhidden = 6", &[3, 4]);
    let n = whole.layout().parameters().len();
    let how: Vec<How> = (0..n).map(|i| if i % 3 == 0 { How::Train } else { How::Freeze }).collect();
    let layout = Layout::split(whole.layout().parameters().to_vec(), &how);
    let [a, b] = [whole.layout(), &layout].map(|layout| Weights::public(layout, &Key::from_seed(6)));
    let named: HashMap<_, _> = b.all().map(|(p, t)| (&p.name, t)).collect();
    a.all().for_each(|(p, t)| assert_eq!(t, named[&p.name], "{}", p.name));
}
