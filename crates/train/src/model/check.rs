//! What every model is asked before it may train: is each parameter measured, and do examples stay apart?
//!
//! # Why this is private
//! *Claim.* A model that passes has no parameter without a tap, and no layer through which one example changes another's
//! output (batch normalisation and its like), on the made-up inputs tried.
//! *Argument.* A parameter without a tap would have no norm and no bound. A layer that mixes examples lets one person
//! move everybody's gradient, which clipping each of them does not bound.
//! *Tests.* `an_untapped_parameter_is_refused`, `a_layer_that_mixes_examples_is_refused`.
use super::{Model, ModelError, Weights, inputs};
use crate::data::{Batch, Targets};
use privacy::{Key, Purpose};

const TRIED: usize = 3;

pub(super) fn every_parameter_is_tapped(model: &Model, targets: &Targets) -> Result<(), ModelError> {
    let weights = Weights::public(&model.layout, &Key::from_seed(0));
    let rows = vec![0.0; model.input.iter().product()];
    let taps =
        model.taps(&weights, Batch { inputs: rows, n: 1, shape: model.input.clone(), targets: made_up(targets, 1) });
    let missing: Vec<String> = taps.untapped().into_iter().map(str::to_owned).collect();
    if missing.is_empty() { Ok(()) } else { Err(ModelError::Untapped(missing)) }
}

/// Disturbs one example of a few and looks at the others' outputs and gradients.
pub(super) fn examples_stay_apart(model: &Model, targets: &Targets) -> Result<(), ModelError> {
    let key = Key::from_seed(1);
    let weights = Weights::public(&model.layout, &key);
    let width: usize = model.input.iter().product();
    let stream = key.stream(Purpose::Init, 1, 0);
    // Zeros and ones: images, features and token ids alike.
    let rows: Vec<f32> = (0..TRIED * width).map(|i| stream.uniform(i as u64).round() as f32).collect();
    let mut disturbed = rows.clone();
    disturbed[..width].iter_mut().for_each(|x| *x = 1.0 - *x);
    let [before, after] = [rows, disturbed].map(|rows| seen(model, &weights, rows, targets));
    let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| same(*a, *b));
    match (1..TRIED).find(|i| !close(&before[*i], &after[*i])) {
        None => Ok(()),
        Some(i) => Err(ModelError::Mixes(i)),
    }
}

/// Each example's outputs and gradient norm.
fn seen(model: &Model, weights: &Weights, rows: Vec<f32>, targets: &Targets) -> Vec<Vec<f64>> {
    let outputs = model.outputs(weights, inputs(rows.clone(), TRIED, &model.input));
    let batch = Batch { inputs: rows, n: TRIED, shape: model.input.clone(), targets: made_up(targets, TRIED) };
    let norms = model.taps(weights, batch).norms(&vec![0; model.layout.parameters().len()], 1);
    let both = |i: usize| outputs.row(i).iter().map(|x| f64::from(*x)).chain([norms[i].sqrt()]).collect();
    (0..TRIED).map(both).collect()
}

fn made_up(like: &Targets, n: usize) -> Targets {
    match like {
        Targets::Classes { names, .. } => Targets::Classes { labels: vec![0; n], names: names.clone() },
        Targets::Values { width, .. } => Targets::Values { width: *width, data: vec![0.0; n * width] },
    }
}

/// Equal up to rounding, or neither a number.
fn same(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-4 * a.abs().max(b.abs()).max(1e-3)
}
