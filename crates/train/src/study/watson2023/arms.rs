//! The four arms, and clipping rescaled to the length that the mean had before.
use super::{
    super::{
        Results, StudyError, Table,
        networks::{Arm, Trained, interval},
    },
    Ground, rate, subject,
};
use crate::{
    model::Model,
    report::plot::{Axis, Layer, Mark, Picture},
};
use serde::{Deserialize, Serialize};

/// What the seeds of an arm came to.
#[derive(Serialize, Deserialize)]
pub(super) struct End {
    pub arm: Arm,
    /// Final test accuracies, one a seed, in percent.
    pub last: Vec<f64>,
    /// The same half-way.
    half: Vec<f64>,
    /// Accuracy against steps of seed 0, in percent.
    curve: Vec<(f64, f64)>,
}

pub(super) fn arms(ground: &Ground, model: &Model, results: &mut Results) -> Result<Option<Vec<End>>, StudyError> {
    let all = || Arm::ALL.into_iter().map(|arm| end(ground, model, arm)).collect();
    let Some(ends): Option<Vec<End>> = ground.part("arms", all)? else { return Ok(None) };
    let mut table = Table::new("Final test accuracy (%) by arm", &["arm", "step size", "accuracy", "half-way"]);
    let looks = [(Mark::Line, 0), (Mark::Dashed, 1), (Mark::Dashed, 2), (Mark::Joined, 2), (Mark::Joined, 3)];
    let mut layers = Vec::new();
    for (end, (mark, tone)) in ends.iter().zip(looks) {
        table.row([end.arm.name().into(), rate(ground, end.arm).to_string(), interval(&end.last), interval(&end.half)]);
        layers.push(Layer::new(short(end.arm), mark, tone, end.curve.clone()));
    }
    let picture = Picture {
        title: "The four arms and clipping rescaled, seed 0".into(),
        x: Axis::new("step").whole(),
        y: Axis::new("accuracy").unit("%"),
        layers,
        marks: Vec::new(),
    };
    let words = format!("{} seeds, mean ± 95 % interval.", ground.size.seeds);
    results.part("Clipping and noise apart", vec![words], vec![table], vec![picture]);
    Ok(Some(ends))
}

fn end(ground: &Ground, model: &Model, arm: Arm) -> Result<End, StudyError> {
    let run = |seed| subject(ground, model, rate(ground, arm), seed).train(|_| arm);
    let runs = (0..ground.size.seeds).map(run).collect::<Result<Vec<Trained>, _>>()?;
    Ok(End {
        arm,
        last: runs.iter().map(Trained::accuracy).collect(),
        half: runs.iter().map(|r| 100.0 * r.curve[r.curve.len() / 2].1).collect(),
        curve: runs[0].curve.iter().map(|(s, a)| (*s as f64, 100.0 * a)).collect(),
    })
}

/// An arm's name where room is short.
fn short(arm: Arm) -> &'static str {
    ["SGD", "clip", "rescaled", "noise", "DP"][arm as usize]
}
