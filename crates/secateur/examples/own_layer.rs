//! A layer of your own, outside the house: forward, backward, and a tap for its parameter.
//!
//! `cargo run --release -p secateur --example own_layer`
use secateur::{
    engine::Tensor,
    privacy::{Key, Ledger},
    train::{
        config::Config,
        layer::{Build, Init, Keep, Layer, Linear, Parameter, View},
        model::{Loss, Model, Weights},
        plan::{self, Plan},
        tap::{Rows, Taps},
    },
};
use std::{error::Error, path::Path, sync::Arc};

/// `y_j = s_j x_j`: one learned factor a feature.
struct Scale {
    output: [usize; 1],
}

impl Layer for Scale {
    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::new("scale", self.output, Init::Constant(1.0))]
    }
    fn output(&self) -> &[usize] {
        &self.output
    }
    fn forward(&self, w: View, x: Tensor, keep: &mut Keep) -> Tensor {
        let y = times(&x, w.get(0).data());
        keep.push(|| x);
        y
    }
    fn backward(&self, w: View, keep: &mut Keep, dy: Tensor, taps: &mut Taps) -> Tensor {
        // Example i's own gradient of the scale is dy_i * x_i: one row an example.
        let x: Tensor = keep.pop();
        let own = dy.data().iter().zip(x.data()).map(|(dy, x)| dy * x).collect();
        taps.leave(w.id(0), Rows::new(Tensor::new(x.shape().to_vec(), own)));
        times(&dy, w.get(0).data())
    }
}

/// Every row of `x` times `by`.
fn times(x: &Tensor, by: &[f32]) -> Tensor {
    let products = x.data().chunks(by.len()).flat_map(|row| row.iter().zip(by).map(|(x, s)| x * s));
    Tensor::new(x.shape().to_vec(), products.collect())
}

fn main() -> Result<(), Box<dyn Error>> {
    let config = Config::read("own_layer", "", &["train.steps=100".into()])?;
    let data = config.data.load(Path::new("."))?;
    let features = data.train.shape()[0];

    // Yours, and one from the list. `Model::new` refuses a layer that forgets a tap or mixes examples.
    let linear = Linear { features: 2, bias: true };
    let layers: Vec<Box<dyn Layer>> = vec![Box::new(Scale { output: [features] }), linear.build(&[features])?];
    let targets = data.train.gather(&[]).targets;
    let model = Arc::new(Model::new(data.train.shape(), layers, Loss::CrossEntropy, &targets)?);
    let plan = Plan::new(&config, &model, data.declared)?;

    let key = Arc::new(Key::from_os()?);
    let weights = Weights::public(model.layout(), &key);
    let (rows, ledger) = (data.train.len(), Ledger::new(config.privacy.neighbouring));
    let mut trainer = plan.trainer(&config, &model, weights, data.train, rows, key, ledger)?;
    for _ in 0..plan.steps {
        trainer.step()?;
    }
    let public = data.evaluation.ok_or("the Adult data come with a test set")?;
    let score = model.score(&trainer.weights, &public);
    let epsilon = plan::spent(&config, &trainer.ledger)?;
    println!("accuracy {:.2} % at epsilon {epsilon:.3}", 100.0 * score.accuracy.unwrap_or_default());
    Ok(())
}
