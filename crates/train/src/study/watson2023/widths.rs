//! Clipping and noise against the number of parameters.
use super::{
    super::{
        Results, StudyError, Table,
        networks::{Arm, interval},
    },
    Ground, network, rate, subject, tuned,
};
use crate::{
    diagnose::{at, statistics::mean},
    grads::Grads,
    model::Model,
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::Sum;
use serde::{Deserialize, Serialize};

const FOUR: [Arm; 4] = [Arm::Sgd, Arm::Clip, Arm::Noise, Arm::Dp];

/// What came of a width.
#[derive(Serialize, Deserialize)]
pub(super) struct Wide {
    pub width: usize,
    parameters: usize,
    /// Arm, step size, final accuracies in percent.
    pub arms: Vec<(Arm, f64, Vec<f64>)>,
    /// Squared lengths at the end of the DP run of seed 0.
    parts: [f64; 3],
}

pub(super) fn widths(ground: &Ground, results: &mut Results) -> Result<Option<Vec<Wide>>, StudyError> {
    let mut all = Vec::new();
    for &width in ground.size.widths {
        all.extend(ground.part(&format!("width-{width}"), || wide(ground, width))?);
    }
    if all.len() < ground.size.widths.len() {
        return Ok(None);
    }
    let mut table = Table::new(
        "Final test accuracy (%) by width",
        &["width", "parameters", "SGD", "clip only", "noise only", "DP"],
    );
    let mut energies = Table::new(
        "One step at the end of the DP run of seed 0, on 2000 examples: squared lengths",
        &["width", "parameters", "signal", "clipping bias", "noise", "noise over signal"],
    );
    for wide in &all {
        let head = [format!("x{}", wide.width), wide.parameters.to_string()];
        let cells = wide.arms.iter().map(|(_, rate, ends)| format!("{} (step size {rate})", interval(ends)));
        table.row(head.clone().into_iter().chain(cells));
        let [signal, bias, noise] = wide.parts;
        let numbers = [signal, bias, noise].map(|x| format!("{x:.2e}"));
        energies.row(head.into_iter().chain(numbers).chain([format!("{:.1}", noise / signal)]));
    }
    let words = vec![
        "Step sizes picked for each width and arm from the same grid as before; same C, multiplier and lot.".to_owned(),
        "Signal is the squared norm of the mean clipped gradient, bias that of its distance from the mean gradient, and noise \
         d (z C / m)², which grows with the number of parameters d."
            .to_owned(),
    ];
    results.part("Dimension", words, vec![table, energies], vec![picture(&all)]);
    Ok(Some(all))
}

fn picture(all: &[Wide]) -> Picture {
    let line = |k: usize| all.iter().map(|w| (w.width as f64, mean(&w.arms[k].2))).collect::<Vec<_>>();
    let looks = [(Mark::Line, 0), (Mark::Dashed, 1), (Mark::Joined, 2), (Mark::Joined, 3)];
    let layers = FOUR.iter().zip(looks).enumerate();
    Picture {
        title: "Accuracy against width".into(),
        x: Axis::new("width, times 32 units").log().ticked(all.iter().map(|w| w.width as f64)),
        y: Axis::new("test accuracy").unit("%"),
        layers: layers.map(|(k, (arm, (mark, tone)))| Layer::new(arm.name(), mark, tone, line(k))).collect(),
        marks: Vec::new(),
    }
}

fn wide(ground: &Ground, width: usize) -> Result<Wide, StudyError> {
    let model = network(ground, width)?;
    let (mut arms, mut parts) = (Vec::new(), [0.0; 3]);
    for arm in FOUR {
        let rate = if width == 1 { rate(ground, arm) } else { tuned(ground, &model, arm)?.1 };
        let mut ends = Vec::new();
        for seed in 0..ground.size.seeds {
            let trained = subject(ground, &model, rate, seed).train(|_| arm)?;
            ends.push(trained.accuracy());
            if arm == Arm::Dp && seed == 0 {
                parts = energies(ground, &model, &trained.weights.point());
            }
        }
        arms.push((arm, rate, ends));
    }
    Ok(Wide { width, parameters: model.layout().len(), arms, parts })
}

/// `clipping-02`, E2: signal, clipping bias and noise of one step at `point`.
fn energies(ground: &Ground, model: &Model, point: &Grads) -> [f64; 3] {
    let n = subject(ground, model, 0.0, 0).numbers;
    let who: Vec<usize> = (0..2000.min(ground.train.len())).collect();
    let mut taps = model.taps(&at(model.layout(), point), ground.train.gather(&who));
    let group = vec![0; taps.parameters()];
    let weights: Vec<f32> =
        taps.norms(&group, 1).iter().map(|square| super::super::toy::flat(n.c)(square.sqrt()) as f32).collect();
    let mean = |weights: &[f32]| taps.sum(weights, &group, 1).scale(1.0 / who.len() as f64);
    let (clipped, plain) = (mean(&weights), mean(&vec![1.0; who.len()]));
    let noise = model.layout().len() as f64 * (n.z * n.c / n.lot).powi(2);
    [clipped.norm().powi(2), clipped.clone().add_scaled(plain, -1.0).norm().powi(2), noise]
}
