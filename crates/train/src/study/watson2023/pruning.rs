//! Fewer weights: masks by magnitude and at random, the rest pruned or frozen.
use super::{
    super::{
        Results, StudyError, Table,
        networks::{Arm, interval},
    },
    Ground, rate, subject,
};
use crate::{
    diagnose::statistics::mean,
    grads::Grads,
    model::Model,
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::{Key, Purpose};
use serde::{Deserialize, Serialize};

/// What came of a mask.
#[derive(Serialize, Deserialize)]
pub(super) struct Pruned {
    /// Share of weights that are kept.
    pub keep: f64,
    pub magnitude: bool,
    /// Whether the others are zero; else they stay where they are.
    pub prune: bool,
    /// Final accuracies in percent, one a seed.
    pub ends: Vec<f64>,
}

/// Where masks and starting weights come from.
#[derive(Serialize, Deserialize)]
struct Public {
    accuracy: f64,
    masks: Vec<Pruned>,
}

pub(super) fn pruning(
    ground: &Ground,
    model: &Model,
    results: &mut Results,
) -> Result<Option<Vec<Pruned>>, StudyError> {
    let Some(public) = ground.part("pruning", || all(ground, model))? else { return Ok(None) };
    let head: Vec<String> = ground.size.ratios.iter().map(|p| format!("{p}")).collect();
    let head: Vec<&str> = ["mask", "rest"].into_iter().chain(head.iter().map(String::as_str)).collect();
    let mut table = Table::new("Final test accuracy (%) of DP by share of weights kept", &head);
    for row in public.masks.chunks(ground.size.ratios.len()) {
        let name = |first: bool, names: [&str; 2]| names[usize::from(first)].to_owned();
        let names = [name(row[0].magnitude, ["random", "magnitude"]), name(row[0].prune, ["frozen", "pruned"])];
        table.row(names.into_iter().chain(row.iter().map(|one| interval(&one.ends))));
    }
    let words = vec![format!(
        "Weights and magnitudes come from 2000 examples that are set apart and declared public, trained on without privacy for {} \
         steps ({:.2} % test accuracy by themselves); the private steps then move the kept weights only. Biases are always kept. \
         Masked gradients are measured and noised on kept coordinates alone.",
        ground.size.steps, public.accuracy
    )];
    let pictures = [true, false].map(|prune| picture(&public.masks, prune)).to_vec();
    results.part("Pruning", words, vec![table], pictures);
    Ok(Some(public.masks))
}

/// Accuracy against the share that is kept, where the rest is pruned, or frozen.
fn picture(masks: &[Pruned], prune: bool) -> Picture {
    let line = |magnitude: bool| -> Vec<(f64, f64)> {
        let row = masks.iter().filter(|one| one.prune == prune && one.magnitude == magnitude);
        row.map(|one| (one.keep, mean(&one.ends))).collect()
    };
    Picture {
        title: format!("The rest {}", if prune { "pruned" } else { "frozen" }),
        x: Axis::new("share of weights kept").log().ticked(line(true).into_iter().map(|(keep, _)| keep)),
        y: Axis::new("test accuracy").unit("%"),
        layers: vec![
            Layer::new("magnitude", Mark::Joined, 2, line(true)),
            Layer::new("random", Mark::Dashed, 3, line(false)),
        ],
        marks: Vec::new(),
    }
}

fn all(ground: &Ground, model: &Model) -> Result<Public, StudyError> {
    let mut public = subject(ground, model, rate(ground, Arm::Sgd), 50);
    public.data = &ground.public;
    let trained = public.train(|_| Arm::Sgd)?;
    let point = trained.weights.point();
    let mut masks = Vec::new();
    for (magnitude, prune) in [(true, true), (true, false), (false, true), (false, false)] {
        for &keep in ground.size.ratios {
            let end = |seed| one_pruned(ground, model, &point, (keep, magnitude, prune), seed);
            let ends = (0..ground.size.seeds).map(end).collect::<Result<Vec<_>, _>>()?;
            masks.push(Pruned { keep, magnitude, prune, ends });
        }
    }
    Ok(Public { accuracy: trained.accuracy(), masks })
}

fn one_pruned(
    ground: &Ground,
    model: &Model,
    public: &Grads,
    (p, magnitude, prune): (f64, bool, bool),
    seed: u64,
) -> Result<f64, StudyError> {
    let mask = mask(public, p, magnitude, seed);
    let mut start = public.clone();
    if prune {
        start.zip_with(&mask, |x, m| *x *= m);
    }
    let mut subject = subject(ground, model, rate(ground, Arm::Dp), seed);
    (subject.start, subject.mask) = (Some(start), Some(mask));
    Ok(subject.train(|_| Arm::Dp)?.accuracy())
}

/// Ones at the kept coordinates: the share `p` of matrices' entries that scores highest, lower index first among equals, and
/// every bias.
pub(super) fn mask(public: &Grads, p: f64, magnitude: bool, seed: u64) -> Grads {
    let layout = public.layout();
    let stream = Key::from_seed(seed).stream(Purpose::Permute, 0, 4);
    let prunable = |i: &usize| layout.parameters()[*i].shape.len() > 1;
    let entries: Vec<usize> = (0..layout.parameters().len()).filter(prunable).flat_map(|i| layout.range(i)).collect();
    let score = |j: usize| if magnitude { f64::from(public.flat()[j].abs()) } else { stream.uniform(j as u64) };
    let mut order: Vec<(f64, usize)> = entries.iter().map(|j| (score(*j), *j)).collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut mask = Grads::new(layout, vec![1.0; layout.len()]);
    let kept = (p * entries.len() as f64).floor() as usize;
    order[kept..].iter().for_each(|(_, j)| mask.flat_mut()[*j] = 0.0);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        grads::Layout,
        layer::{Init, Parameter},
    };

    /// `clipping-02`, section 3.
    #[test]
    fn the_specifications_mask() {
        let layout = Layout::new(vec![Parameter::new("0.weight", [1, 6], Init::Constant(0.0))]);
        let theta = Grads::new(&layout, vec![0.5, -0.1, 0.03, -0.9, 0.2, 0.0]);
        assert_eq!(mask(&theta, 0.5, true, 0).flat(), [1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        assert_eq!(mask(&theta, 1.0, false, 0).flat(), [1.0; 6]);
        assert_eq!(mask(&theta, 0.34, false, 3).flat().iter().sum::<f32>(), 2.0);
    }
}
