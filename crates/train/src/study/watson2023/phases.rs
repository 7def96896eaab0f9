//! One arm until a switch, another one after it: which phase decides, and how fast the second recovers from the first.
use super::{
    super::{Results, StudyError, Table, networks::Arm},
    Ground, rate, subject,
};
use crate::{
    diagnose::statistics::mean,
    model::Model,
    report::plot::{Axis, Layer, Mark, Picture},
};
use serde::{Deserialize, Serialize};

/// What came of a switch.
#[derive(Serialize, Deserialize)]
pub(super) struct Phase {
    pub from: Arm,
    pub to: Arm,
    /// Share of steps before the switch, in percent.
    pub share: u64,
    /// Final accuracies, one a seed, in percent.
    pub ends: Vec<f64>,
    /// Epochs after the switch until the accuracy is within a point of what `to` alone ends at, one a seed; none where it does
    /// not get there.
    pub recovered: Vec<Option<f64>>,
}

const FOUR: [Arm; 4] = [Arm::Sgd, Arm::Clip, Arm::Noise, Arm::Dp];

pub(super) fn phases(ground: &Ground, model: &Model, results: &mut Results) -> Result<Option<Vec<Phase>>, StudyError> {
    let mut all = Vec::new();
    for to in FOUR {
        let part = ground.part(&format!("phases-{}", to.name().replace(' ', "-")), || into(ground, model, to))?;
        all.extend(part.unwrap_or_default());
    }
    let pairs = FOUR.iter().flat_map(|a| FOUR.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b);
    if all.len() < 12 * ground.size.switches.len() {
        return Ok(None);
    }
    let head: Vec<String> = ground.size.switches.iter().map(|s| format!("switch at {s} %")).collect();
    let head: Vec<&str> = std::iter::once("arms").chain(head.iter().map(String::as_str)).collect();
    let mut ends = Table::new("Final test accuracy (%) after a switch, mean over seeds", &head);
    let mut epochs =
        Table::new("Epochs after the switch to within a point of what the second arm alone ends at, mean", &head);
    for (from, to) in pairs {
        let row: Vec<&Phase> = all.iter().filter(|p| p.from == from && p.to == to).collect();
        let name = format!("{} → {}", from.name(), to.name());
        ends.row(std::iter::once(name.clone()).chain(row.iter().map(|p| format!("{:.2}", mean(&p.ends)))));
        epochs.row(std::iter::once(name).chain(row.iter().map(|p| recovery(&p.recovered))));
    }
    let words = "The first arm until the switch, then the second, each with its own step size. Recovery is looked at in tenths of \
                 what is left; seeds that do not get there are counted in brackets.";
    results.part("Early or late", vec![words.into()], vec![ends, epochs], vec![picture(&all)]);
    Ok(Some(all))
}

/// Where a run ends that is private in one phase only, against how long the first phase is.
fn picture(all: &[Phase]) -> Picture {
    let line = |from: Arm, to: Arm| -> Vec<(f64, f64)> {
        let pair = all.iter().filter(|p| p.from == from && p.to == to);
        pair.map(|p| (p.share as f64, mean(&p.ends))).collect()
    };
    let layer = |name: &str, mark, tone, (from, to)| Layer::new(name, mark, tone, line(from, to));
    Picture {
        title: "Private early or late".into(),
        x: Axis::new("switch at").unit("% of steps").within(0.0, 100.0),
        y: Axis::new("accuracy at the end").unit("%"),
        layers: vec![
            layer("DP → SGD", Mark::Joined, 2, (Arm::Dp, Arm::Sgd)),
            layer("SGD → DP", Mark::Dashed, 3, (Arm::Sgd, Arm::Dp)),
        ],
        marks: Vec::new(),
    }
}

fn recovery(seeds: &[Option<f64>]) -> String {
    let there: Vec<f64> = seeds.iter().flatten().copied().collect();
    let lost = seeds.len() - there.len();
    match (there.is_empty(), lost) {
        (true, _) => "never".into(),
        (false, 0) => format!("{:.1}", mean(&there)),
        (false, lost) => format!("{:.1} ({lost} never)", mean(&there)),
    }
}

/// All switches that end in `to`.
fn into(ground: &Ground, model: &Model, to: Arm) -> Result<Vec<Phase>, StudyError> {
    let alone = |seed| subject(ground, model, rate(ground, to), seed).train(|_| to).map(|t| t.accuracy());
    let alone = (0..ground.size.seeds).map(alone).collect::<Result<Vec<_>, _>>()?;
    let goal = mean(&alone) - 1.0;
    let mut all = Vec::new();
    for from in FOUR.into_iter().filter(|from| *from != to) {
        for share in ground.size.switches {
            let change = ground.size.steps * share / 100;
            let one = |seed| switch(ground, model, (from, to), (change, goal), seed);
            let seeds = (0..ground.size.seeds).map(one).collect::<Result<Vec<_>, _>>()?;
            let (ends, recovered) = seeds.into_iter().unzip();
            all.push(Phase { from, to, share: *share, ends, recovered });
        }
    }
    Ok(all)
}

/// Two runs in a row, the second from where the first ends: the last accuracy, and epochs until it is at `goal`.
fn switch(
    ground: &Ground,
    model: &Model,
    (from, to): (Arm, Arm),
    (change, goal): (u64, f64),
    seed: u64,
) -> Result<(f64, Option<f64>), StudyError> {
    let mut first = subject(ground, model, rate(ground, from), seed);
    first.numbers.steps = change;
    let start = first.train(|_| from)?.weights.point();
    let mut second = subject(ground, model, rate(ground, to), 1000 + seed);
    second.numbers.steps = ground.size.steps - change;
    second.start = Some(start);
    let epoch = ground.train.len() as f64 / second.numbers.lot;
    let trained = second.train(|_| to)?;
    let there = trained.curve.iter().find(|(_, accuracy)| 100.0 * accuracy >= goal);
    Ok((trained.accuracy(), there.map(|(step, _)| *step as f64 / epoch)))
}
