//! What every model is asked before it may train: is each parameter measured, and do examples stay apart?
//!
//! # Why this is private
//! *Claim.* A model that passes has no trained parameter without a tap, and no layer through which one example changes another's
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
        model.taps(&weights, Batch { inputs: rows, n: 1, shape: model.input.clone(), targets: targets.made_up(1) });
    let missing: Vec<String> = taps.untapped().into_iter().map(str::to_owned).collect();
    match missing.iter().find_map(|name| model.layout.adapted_by(name)) {
        None if missing.is_empty() => Ok(()),
        None => Err(ModelError::Untapped(missing)),
        Some(whole) => Err(ModelError::Tuning(format!(
            "model.lora.targets: `{whole}` is no matrix of a linear layer or a projection, which are what is adapted"
        ))),
    }
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
    let batch = Batch { inputs: rows, n: TRIED, shape: model.input.clone(), targets: targets.made_up(TRIED) };
    let norms = model.taps(weights, batch).norms(&vec![0; model.layout.parameters().len()], 1);
    let both = |i: usize| outputs.row(i).iter().map(|x| f64::from(*x)).chain([norms[i].sqrt()]).collect();
    (0..TRIED).map(both).collect()
}

/// Equal up to rounding, or neither a number.
fn same(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || (a - b).abs() <= 1e-4 * a.abs().max(b.abs()).max(1e-3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        layer::{Init, Keep, Layer, LayerConfig, Parameter, View},
        model::Loss,
        tap::{Rows, Taps},
    };
    use engine::Tensor;

    /// Subtracts the batch's mean, as batch normalisation does.
    struct Centred([usize; 1]);
    impl Layer for Centred {
        fn output(&self) -> &[usize] {
            &self.0
        }
        fn forward(&self, _: View, mut x: Tensor, _: &mut Keep) -> Tensor {
            let (n, d) = (x.rows(), self.0[0]);
            let mean: Vec<f32> = (0..d).map(|j| (0..n).map(|i| x.row(i)[j]).sum::<f32>() / n as f32).collect();
            x.data_mut().chunks_mut(d).for_each(|row| row.iter_mut().zip(&mean).for_each(|(x, m)| *x -= m));
            x
        }
        fn backward(&self, _: View, _: &mut Keep, dy: Tensor, _: &mut Taps) -> Tensor {
            dy
        }
    }

    /// Adds a vector whose gradient it reports, or forgets, or spreads over the batch.
    struct Shift {
        output: [usize; 1],
        report: Option<bool>,
    }
    impl Layer for Shift {
        fn parameters(&self) -> Vec<Parameter> {
            vec![Parameter::new("shift", self.output, Init::Constant(0.5))]
        }
        fn output(&self) -> &[usize] {
            &self.output
        }
        fn forward(&self, w: View, mut x: Tensor, _: &mut Keep) -> Tensor {
            x.data_mut()
                .chunks_mut(self.output[0])
                .for_each(|row| row.iter_mut().zip(w.get(0).data()).for_each(|(x, s)| *x += s));
            x
        }
        fn backward(&self, w: View, _: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
            if let Some(own) = self.report {
                let (n, d) = (dy.rows(), self.output[0]);
                let share = |i: usize, j: usize| (0..n).map(|k| dy.row(k)[j]).sum::<f32>() + i as f32;
                let spread = || Tensor::new([n, d], (0..n * d).map(|k| share(k / d, k % d)).collect());
                taps.leave(w.id(0), || Rows::new(if own { dy.clone() } else { spread() }));
            }
            dy
        }
    }

    fn build(layer: impl Layer + 'static) -> Result<Model, ModelError> {
        let head: LayerConfig = toml::from_str("layer = \"linear\"\nfeatures = 2").unwrap();
        let layers: Vec<Box<dyn Layer>> = vec![Box::new(layer), head.get().build(&[4]).unwrap()];
        let targets = Targets::Classes { labels: vec![], names: ["a", "b"].map(str::to_owned).into() };
        Model::new(&[4], layers, Loss::CrossEntropy, &targets)
    }

    #[test]
    fn a_layer_that_mixes_examples_is_refused() {
        assert!(matches!(build(Centred([4])), Err(ModelError::Mixes(_))));
    }

    #[test]
    fn a_layer_that_mixes_gradients_is_refused() {
        assert!(matches!(build(Shift { output: [4], report: Some(false) }), Err(ModelError::Mixes(_))));
        assert!(build(Shift { output: [4], report: Some(true) }).is_ok());
    }

    #[test]
    fn an_untapped_parameter_is_refused() {
        let error = build(Shift { output: [4], report: None }).err().unwrap();
        assert_eq!(error, ModelError::Untapped(vec!["0.shift".into()]));
    }

    #[test]
    fn what_does_not_fit_the_targets_is_said() {
        let targets = |names: &[&str]| Targets::Classes {
            labels: vec![],
            names: names.iter().map(|n| (*n).to_owned()).collect(),
        };
        let layers = |features: usize| {
            let layer: LayerConfig = toml::from_str(&format!("layer = \"linear\"\nfeatures = {features}")).unwrap();
            vec![layer.get().build(&[4]).unwrap()]
        };
        let error = |features, loss, targets: &Targets| {
            Model::new(&[4], layers(features), loss, targets).err().unwrap().to_string()
        };
        assert!(error(2, Loss::CrossEntropy, &targets(&["a", "b", "c"])).contains("features = 3"));
        assert!(error(2, Loss::SigmoidCrossEntropy, &targets(&["a", "b"])).contains("[1]"));
        let numbers = Targets::Values { width: 1, data: vec![] };
        assert!(error(1, Loss::CrossEntropy, &numbers).contains("mean-squared-error"));
        let none = Model::new(&[2], vec![], Loss::CrossEntropy, &targets(&["a", "b"]));
        assert_eq!(none.err(), Some(ModelError::NoParameters));
    }
}
