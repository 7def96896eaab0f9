//! The basin: losses on the line between two ends, curvature at each, and where noise goes.
use super::{
    super::{Results, StudyError, Table, networks::Arm},
    Ground, rate, subject,
};
use crate::{
    data::Examples,
    diagnose::{
        at,
        hessian::{Top, products},
        interpolation::{barrier, line},
    },
    grads::Grads,
    model::Model,
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::{Key, Purpose, Sum};
use serde::{Deserialize, Serialize};

/// Eigenvalues that are looked for.
const WANTED: usize = 50;
/// Sharp directions in which noise is looked for.
const SHARP: usize = 10;

#[derive(Serialize, Deserialize)]
struct Found {
    train: Vec<(f64, f64)>,
    test: Vec<(f64, f64)>,
    /// At the SGD end and at the DP end.
    ends: [Curvature; 2],
}

#[derive(Serialize, Deserialize)]
struct Curvature {
    values: Vec<f64>,
    above: usize,
    rank: f64,
    /// The share of the energy of ten draws of noise along the sharpest directions.
    noise: f64,
}

pub(super) fn basin(ground: &Ground, model: &Model, results: &mut Results) -> Result<(), StudyError> {
    let Some(found) = ground.part("basin", || find(ground, model))? else { return Ok(()) };
    let examples = examples(ground);
    let mut table = Table::new(
        format!("Curvature at the ends (training loss on {examples} examples)"),
        &[
            "end".into(),
            "largest eigenvalue".into(),
            format!("above 1 % of it, of {}", found.ends[0].values.len()),
            "stable rank of those".into(),
            format!("noise energy along the top {SHARP}, measured"),
            format!("{SHARP} / d"),
        ]
        .each_ref()
        .map(String::as_str),
    );
    for (name, end) in ["SGD", "DP"].iter().zip(&found.ends) {
        table.row([
            (*name).into(),
            format!("{:.2}", end.values[0]),
            end.above.to_string(),
            format!("{:.2}", end.rank),
            format!("{:.3} %", 100.0 * end.noise),
            format!("{:.3} %", 100.0 * SHARP as f64 / model.layout().len() as f64),
        ]);
    }
    let words = vec![format!(
        "Seed 0. The barrier between the two ends is {:.3} nats of training loss and {:.3} of test loss (the largest height over the \
         chord).",
        barrier(&found.train),
        barrier(&found.test)
    )];
    results.part("The basin", words, vec![table], pictures(found));
    Ok(())
}

fn pictures(found: Found) -> Vec<Picture> {
    let [sgd, dp] = found.ends.map(|end| end.values);
    let ranked =
        |x: Vec<f64>| x.into_iter().enumerate().map(|(k, l)| ((k + 1) as f64, l)).filter(|l| l.1 > 0.0).collect();
    vec![
        Picture {
            title: "Loss from the SGD end (0) to the DP end (1)".into(),
            x: Axis::new("place on the line"),
            y: Axis::new("loss").unit("nats"),
            layers: vec![
                Layer::new("train", Mark::Joined, 1, found.train),
                Layer::new("test", Mark::Dashed, 2, found.test),
            ],
            marks: vec![(0.0, "SGD".into()), (1.0, "DP".into())],
        },
        Picture {
            title: "Largest eigenvalues of the Hessian".into(),
            x: Axis::new("rank").whole(),
            y: Axis::new("curvature").unit("nats").log(),
            layers: vec![Layer::new("SGD", Mark::Line, 1, ranked(sgd)), Layer::new("DP", Mark::Dashed, 3, ranked(dp))],
            marks: Vec::new(),
        },
    ]
}

fn find(ground: &Ground, model: &Model) -> Result<Found, StudyError> {
    let end = |arm| subject(ground, model, rate(ground, arm), 0).train(|_| arm).map(|t| t.weights.point());
    let (sgd, dp) = (end(Arm::Sgd)?, end(Arm::Dp)?);
    let losses = |on: &Examples| line(&sgd, &dp, |p| model.score(&at(model.layout(), p), on).loss);
    Ok(Found {
        train: losses(&ground.train),
        test: losses(&ground.test),
        ends: [&sgd, &dp].map(|point| curvature(ground, model, point)),
    })
}

fn examples(ground: &Ground) -> usize {
    ground.train.len().min(if ground.ask.quick { 500 } else { 5000 })
}

fn curvature(ground: &Ground, model: &Model, point: &Grads) -> Curvature {
    let who: Vec<usize> = (0..examples(ground)).collect();
    let gradient = |p: &Grads| {
        let taps = model.taps(&at(model.layout(), p), ground.train.gather(&who));
        taps.sum(&vec![1.0; who.len()], &vec![0; taps.parameters()], 1).scale(1.0 / who.len() as f64)
    };
    let normals = |purpose: Purpose, k: u64| {
        let mut all = vec![0.0f32; model.layout().len()];
        Key::from_seed(1).stream(purpose, k, 0).fill_normal(0, &mut all);
        all
    };
    let start = normals(Purpose::Audit, 0).into_iter().map(f64::from).collect();
    let top = Top::of(products(point, gradient), start, if ground.ask.quick { SHARP } else { WANTED });
    let share = |k| top.shares(&Grads::new(model.layout(), normals(Purpose::Noise, k)))[SHARP - 1];
    let noise = (0..10).map(share).sum::<f64>() / 10.0;
    Curvature { above: top.above_a_hundredth(), rank: top.stable_rank(), noise, values: top.values }
}
