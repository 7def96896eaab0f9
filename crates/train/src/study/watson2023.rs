//! Watson et al. 2023: what hurts more, clipping or noise; early or late; in few dimensions or many; and what pruning mends.
//!
//! The protocol is the reconstruction of `clipping-02`: only the paper's abstract could be read, so its claims are tested and
//! none of its numbers is compared with.
use super::{
    Ask, Results, StudyError, Table,
    networks::{Arm, Numbers, Subject, Trained, spread},
};
use crate::{
    data::{Batch, Examples, Loaded, Targets},
    diagnose::{
        at,
        hessian::{lanczos, symmetric},
        interpolation::{barrier, line},
        statistics::{deviation, mean},
    },
    grads::Grads,
    model::{Model, ModelConfig},
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::{Key, Purpose, Sum};

const NAME: &str = "watson2023";

/// How much is made.
struct Size {
    train: usize,
    test: usize,
    steps: u64,
    seeds: u64,
    widths: &'static [usize],
    switches: &'static [u64],
    ratios: &'static [f64],
}

const FULL: Size = Size {
    train: 10_000,
    test: 5000,
    steps: 400,
    seeds: 3,
    widths: &[1, 2, 4, 8],
    switches: &[10, 25, 50, 75, 90],
    ratios: &[1.0, 0.5, 0.2, 0.1, 0.05, 0.02],
};
const QUICK: Size =
    Size { train: 2000, test: 1000, steps: 60, seeds: 1, widths: &[1, 2], switches: &[50], ratios: &[1.0, 0.1] };

/// What every experiment stands on.
struct Ground {
    size: Size,
    train: Examples,
    public: Examples,
    test: Examples,
    /// Step sizes, tuned for each arm on the same grid, on a seed that is not used again.
    rates: Vec<(Arm, f64)>,
}

pub(super) fn run(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let size = if ask.quick { QUICK } else { FULL };
    let config = ask.config(NAME, "fashion.toml", &[])?;
    let loaded = config.data.load(&ask.data)?;
    let mut ground = ground(size, loaded)?;
    let model = network(&ground, 1)?;
    ground.rates = tune(&ground, &model, results)?;
    let ends = arms(&ground, &model, results)?;
    let recovery = phases(&ground, &model, results)?;
    let widths = widths(&ground, results)?;
    basin(&ground, &model, results)?;
    let pruned = pruning(&ground, &model, results)?;
    claims(results, &ends, &recovery, &widths, &pruned);
    Ok(())
}

fn ground(size: Size, loaded: Loaded) -> Result<Ground, StudyError> {
    let Loaded { train, evaluation, .. } = loaded;
    let test = evaluation.ok_or_else(|| StudyError::Other("fashion.toml names no evaluation data".into()))?;
    let take = |from: &Examples, range: std::ops::Range<usize>| copy(from, &range.collect::<Vec<_>>());
    let (n, t) = (size.train, size.test);
    Ok(Ground {
        train: take(&train, 0..n)?,
        public: take(&train, 50_000..52_000)?,
        test: take(&test, 0..t)?,
        size,
        rates: Vec::new(),
    })
}

/// Some examples as a set of their own, each image shrunk to 14 x 14 by averaging.
fn copy(from: &Examples, who: &[usize]) -> Result<Examples, StudyError> {
    let Batch { inputs, targets, .. } = from.gather(who);
    let small = inputs.chunks(784).flat_map(|image| {
        (0..196).map(move |k| {
            let (y, x) = (2 * (k / 14), 2 * (k % 14));
            (0..4).map(|c| image[(y + c / 2) * 28 + x + c % 2]).sum::<f32>() / 4.0
        })
    });
    Ok(Examples::from_floats(small.collect(), vec![196], targets, Vec::new())?)
}

/// One hidden layer of 32 times `width` units.
fn network(ground: &Ground, width: usize) -> Result<Model, StudyError> {
    let text = format!(
        "layers = [{{ layer = \"linear\", features = {} }}, {{ layer = \"tanh\" }}, {{ layer = \"linear\", features = 10 }}]",
        32 * width
    );
    let config: ModelConfig = toml::from_str(&text).map_err(|e| StudyError::Other(e.to_string()))?;
    let kind: Targets = ground.train.gather(&[]).targets;
    Model::build(&config, &[196], &kind).map_err(|e| StudyError::Other(e.to_string()))
}

fn subject<'a>(ground: &'a Ground, model: &'a Model, rate: f64, seed: u64) -> Subject<'a> {
    let numbers = Numbers { lot: 256.0, steps: ground.size.steps, rate, c: 0.5, z: 2.0, seed };
    Subject { model, data: &ground.train, test: &ground.test, numbers, start: None, mask: None }
}

fn rate(ground: &Ground, arm: Arm) -> f64 {
    ground.rates.iter().find(|r| r.0 == arm).map_or(1.0, |r| r.1)
}

/// Step sizes that every arm is tried with.
const GRID: [f64; 6] = [0.1, 0.3, 1.0, 3.0, 10.0, 30.0];

/// Test accuracies of one arm over the grid, on a seed that is not used again, and the step size of the best.
fn tuned(ground: &Ground, model: &Model, arm: Arm) -> Result<(Vec<f64>, f64), StudyError> {
    let end = |rate: &f64| subject(ground, model, *rate, 100).train(|_| arm).map(|t| t.accuracy());
    let ends = GRID.iter().map(end).collect::<Result<Vec<_>, _>>()?;
    let best = (0..GRID.len()).fold(0, |b, k| if ends[k] > ends[b] { k } else { b });
    Ok((ends, GRID[best]))
}

fn tune(ground: &Ground, model: &Model, results: &mut Results) -> Result<Vec<(Arm, f64)>, StudyError> {
    let head: Vec<String> = GRID.iter().map(|r| format!("{r}")).collect();
    let head: Vec<&str> = std::iter::once("arm").chain(head.iter().map(String::as_str)).chain(["picked"]).collect();
    let mut table = Table::new("Test accuracy (%) by step size, seed 100", &head);
    let mut rates = Vec::new();
    for arm in Arm::ALL {
        let (ends, best) = tuned(ground, model, arm)?;
        rates.push((arm, best));
        let cells = ends.iter().map(|e| format!("{e:.2}"));
        table.row(std::iter::once(arm.name().to_owned()).chain(cells).chain([format!("{best}")]));
    }
    let words = vec![format!(
        "Fashion-MNIST, images averaged down to 14 x 14, {} training and {} test examples, one hidden layer of 32 tanh units; \
         expected lot 256, {} steps, C = 0.5, noise multiplier 2. Each arm's step size is picked from one grid on a seed that is \
         not used again; all other numbers are shared. Only the arm `DP` is private.",
        ground.size.train, ground.size.test, ground.size.steps
    )];
    results.part("What was run", words, vec![table], Vec::new());
    Ok(rates)
}

fn arms(ground: &Ground, model: &Model, results: &mut Results) -> Result<Vec<(Arm, Vec<f64>)>, StudyError> {
    let mut table = Table::new("Final test accuracy (%) by arm", &["arm", "step size", "accuracy", "half-way"]);
    let (mut ends, mut layers) = (Vec::new(), Vec::new());
    let looks = [(Mark::Line, 0), (Mark::Dashed, 1), (Mark::Line, 1), (Mark::Joined, 2), (Mark::Joined, 3)];
    for (arm, (mark, tone)) in Arm::ALL.into_iter().zip(looks) {
        let run = |seed| subject(ground, model, rate(ground, arm), seed).train(|_| arm);
        let runs = (0..ground.size.seeds).map(run).collect::<Result<Vec<Trained>, _>>()?;
        let last: Vec<f64> = runs.iter().map(Trained::accuracy).collect();
        let half: Vec<f64> = runs.iter().map(|r| 100.0 * r.curve[r.curve.len() / 2].1).collect();
        table.row([arm.name().into(), format!("{}", rate(ground, arm)), spread(&last), spread(&half)]);
        ends.push((arm, last));
        layers.push(Layer::new(
            short(arm),
            mark,
            tone,
            runs[0].curve.iter().map(|(s, a)| (*s as f64, 100.0 * a)).collect(),
        ));
    }
    let picture = Picture {
        title: "The four arms and clipping rescaled, seed 0".into(),
        x: Axis::new("step").whole(),
        y: Axis::new("accuracy").unit("%"),
        layers,
        marks: Vec::new(),
    };
    results.part(
        "Clipping and noise apart",
        vec![format!("{} seeds, mean ± standard deviation.", ground.size.seeds)],
        vec![table],
        vec![picture],
    );
    Ok(ends)
}

/// An arm's name where room is short.
fn short(arm: Arm) -> &'static str {
    ["SGD", "clip", "rescaled", "noise", "DP"][arm as usize]
}

/// What is gained or lost by what came first: (from, to, share of steps before the switch, final accuracy).
type Phase = (Arm, Arm, u64, f64);

fn phases(ground: &Ground, model: &Model, results: &mut Results) -> Result<Vec<Phase>, StudyError> {
    let head: Vec<String> = ground.size.switches.iter().map(|s| format!("switch at {s} %")).collect();
    let head: Vec<&str> = std::iter::once("arms").chain(head.iter().map(String::as_str)).collect();
    let mut table = Table::new("Final test accuracy (%) after a switch, mean over seeds", &head);
    let four = [Arm::Sgd, Arm::Clip, Arm::Noise, Arm::Dp];
    let mut all = Vec::new();
    for (from, to) in four.iter().flat_map(|a| four.iter().map(move |b| (*a, *b))).filter(|(a, b)| a != b) {
        let mut cells = vec![format!("{} → {}", from.name(), to.name())];
        for share in ground.size.switches {
            let change = ground.size.steps * share / 100;
            let end = |seed| switch(ground, model, (from, to), change, seed);
            let ends = (0..ground.size.seeds).map(end).collect::<Result<Vec<_>, _>>()?;
            cells.push(format!("{:.2}", mean(&ends)));
            all.push((from, to, *share, mean(&ends)));
        }
        table.row(cells);
    }
    results.part(
        "Early or late",
        vec!["The first arm until the switch, then the second, each with its own step size.".into()],
        vec![table],
        Vec::new(),
    );
    Ok(all)
}

/// Two runs in a row: the second starts where the first ends.
fn switch(ground: &Ground, model: &Model, (from, to): (Arm, Arm), change: u64, seed: u64) -> Result<f64, StudyError> {
    let mut first = subject(ground, model, rate(ground, from), seed);
    first.numbers.steps = change;
    let start = first.train(|_| from)?.weights.point();
    let mut second = subject(ground, model, rate(ground, to), 1000 + seed);
    second.numbers.steps = ground.size.steps - change;
    second.start = Some(start);
    Ok(second.train(|_| to)?.accuracy())
}

/// (width, arm, final accuracies).
type Wide = (usize, Arm, Vec<f64>);

fn widths(ground: &Ground, results: &mut Results) -> Result<Vec<Wide>, StudyError> {
    let mut table = Table::new(
        "Final test accuracy (%) by width",
        &["width", "parameters", "SGD", "clip only", "noise only", "DP"],
    );
    let mut all = Vec::new();
    for &width in ground.size.widths {
        let model = network(ground, width)?;
        let mut cells = vec![format!("x{width}"), format!("{}", model.layout().len())];
        for arm in [Arm::Sgd, Arm::Clip, Arm::Noise, Arm::Dp] {
            let rate = if width == 1 { rate(ground, arm) } else { tuned(ground, &model, arm)?.1 };
            let end = |seed| subject(ground, &model, rate, seed).train(|_| arm).map(|t| t.accuracy());
            let ends = (0..ground.size.seeds).map(end).collect::<Result<Vec<_>, _>>()?;
            cells.push(format!("{} (step size {rate})", spread(&ends)));
            all.push((width, arm, ends));
        }
        table.row(cells);
    }
    let line = |arm: Arm| all.iter().filter(|w| w.1 == arm).map(|w| (w.0 as f64, mean(&w.2))).collect::<Vec<_>>();
    let picture = Picture {
        title: "Accuracy against width".into(),
        x: Axis::new("width, times 32 units").log(),
        y: Axis::new("accuracy").unit("%"),
        layers: vec![
            Layer::new("SGD", Mark::Line, 0, line(Arm::Sgd)),
            Layer::new("clip only", Mark::Dashed, 1, line(Arm::Clip)),
            Layer::new("noise only", Mark::Joined, 2, line(Arm::Noise)),
            Layer::new("DP", Mark::Joined, 3, line(Arm::Dp)),
        ],
        marks: Vec::new(),
    };
    results.part(
        "Dimension",
        vec![
            "Step sizes picked for each width and arm from the same grid as before; same C, multiplier and lot.".into(),
        ],
        vec![table],
        vec![picture],
    );
    Ok(all)
}

/// The line from the SGD end to the DP end, and the sharpest directions at each.
fn basin(ground: &Ground, model: &Model, results: &mut Results) -> Result<(), StudyError> {
    let end = |arm| subject(ground, model, rate(ground, arm), 0).train(|_| arm).map(|t| t.weights.point());
    let (sgd, dp) = (end(Arm::Sgd)?, end(Arm::Dp)?);
    let losses: Vec<(f64, f64)> = line(&sgd, &dp, |p| model.score(&at(model.layout(), p), &ground.test).loss);
    let mut table = Table::new(
        "Curvature at the ends (training loss on 1000 examples)",
        &[
            "end",
            "largest eigenvalue",
            "above 1 % of it, of 30",
            "stable rank of those",
            "noise energy along the top 10",
        ],
    );
    for (name, point) in [("SGD", &sgd), ("DP", &dp)] {
        let values = spectrum(ground, model, point);
        let above = values.iter().filter(|l| **l > 0.01 * values[0]).count();
        let rank = values.iter().filter(|l| **l > 0.0).sum::<f64>() / values[0];
        let share = 1000.0 / model.layout().len() as f64;
        table.row([
            name.into(),
            format!("{:.2}", values[0]),
            format!("{above}"),
            format!("{rank:.2}"),
            format!("{share:.2} %"),
        ]);
    }
    let picture = Picture {
        title: "Test loss from the SGD end (0) to the DP end (1)".into(),
        x: Axis::new("place on the line"),
        y: Axis::new("loss").unit("nats"),
        layers: vec![Layer::new("loss", Mark::Joined, 1, losses.clone())],
        marks: vec![(0.0, "SGD".into()), (1.0, "DP".into())],
    };
    let words = vec![format!("The barrier between the two ends of seed 0 is {:.3} nats.", barrier(&losses))];
    results.part("The basin", words, vec![table], vec![picture]);
    Ok(())
}

/// The largest Ritz values of the Hessian, descending.
fn spectrum(ground: &Ground, model: &Model, point: &Grads) -> Vec<f64> {
    let who: Vec<usize> = (0..1000.min(ground.train.len())).collect();
    let gradient = |p: &Grads| {
        let taps = model.taps(&at(model.layout(), p), ground.train.gather(&who));
        taps.sum(&vec![1.0; who.len()], &vec![0; taps.parameters()], 1).scale(1.0 / who.len() as f64)
    };
    let h = 1e-3 * point.norm().max(1.0);
    let product = |v: &[f64]| {
        let v = Grads::new(point.layout(), v.iter().map(|x| *x as f32).collect());
        let (a, b) = (gradient(&point.clone().add_scaled(v.clone(), h)), gradient(&point.clone().add_scaled(v, -h)));
        a.flat().iter().zip(b.flat()).map(|(a, b)| (f64::from(*a) - f64::from(*b)) / (2.0 * h)).collect()
    };
    let mut start = vec![0.0; model.layout().len()];
    Key::from_seed(1).stream(Purpose::Audit, 0, 0).fill_normal_f64(0, &mut start);
    let found = lanczos(product, start, 40);
    let m = found.alpha.len();
    let entry = |i: usize, j: usize| match i.abs_diff(j) {
        0 => found.alpha[i],
        1 => found.beta[i.min(j)],
        _ => 0.0,
    };
    let (values, _) = symmetric((0..m).map(|i| (0..m).map(|j| entry(i, j)).collect()).collect());
    values.into_iter().take(30).collect()
}

/// (ratio kept, by magnitude, pruned, final accuracies).
type Pruned = (f64, bool, bool, Vec<f64>);

fn pruning(ground: &Ground, model: &Model, results: &mut Results) -> Result<Vec<Pruned>, StudyError> {
    let mut public = subject(ground, model, rate(ground, Arm::Sgd), 50);
    public.data = &ground.public;
    let trained = public.train(|_| Arm::Sgd)?;
    let point = trained.weights.point();
    let head: Vec<String> = ground.size.ratios.iter().map(|p| format!("{p}")).collect();
    let head: Vec<&str> = ["mask", "rest"].into_iter().chain(head.iter().map(String::as_str)).collect();
    let mut table = Table::new("Final test accuracy (%) of DP by share of weights kept", &head);
    let mut all = Vec::new();
    for (magnitude, prune) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut cells: Vec<String> = vec![
            ["random", "magnitude"][usize::from(magnitude)].into(),
            ["frozen", "pruned"][usize::from(prune)].into(),
        ];
        for &p in ground.size.ratios {
            let end = |seed| one_pruned(ground, model, &point, (p, magnitude, prune), seed);
            let ends = (0..ground.size.seeds).map(end).collect::<Result<Vec<_>, _>>()?;
            cells.push(spread(&ends));
            all.push((p, magnitude, prune, ends));
        }
        table.row(cells);
    }
    let words = vec![format!(
        "Weights and magnitudes come from 2000 examples that are set apart and declared public, trained on without privacy for {} steps ({:.2} % test accuracy by themselves); the private steps then move the kept weights only. Biases are always kept. Masked gradients are measured and noised on kept coordinates alone.",
        ground.size.steps,
        trained.accuracy()
    )];
    results.part("Pruning", words, vec![table], Vec::new());
    Ok(all)
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

/// Whether `a` is above `b` by more than the two spreads of their seeds together.
fn verdict(a: &[f64], b: &[f64]) -> &'static str {
    let apart = deviation(a).hypot(deviation(b));
    match mean(a) - mean(b) {
        d if d > apart => "holds",
        d if d < -apart => "does not hold",
        _ => "undecided",
    }
}

/// The paper's claims, each with what was seen here.
fn claims(results: &mut Results, ends: &[(Arm, Vec<f64>)], phases: &[Phase], widths: &[Wide], pruned: &[Pruned]) {
    let mut table = Table::new("Claims", &["claim", "here", "numbers"]);
    let of = |arm: Arm| ends.iter().find(|e| e.0 == arm).map_or(&[][..], |e| &e.1);
    let (noise, clip) = (of(Arm::Noise), of(Arm::Clip));
    table.row(late(of(Arm::Sgd), of(Arm::Dp), phases));
    table.row([
        "C2: clipping has the larger impact than noise".into(),
        verdict(noise, clip).into(),
        format!(
            "noise only {}, clip only {}, clip rescaled {}; SGD {}, DP {}",
            spread(noise),
            spread(clip),
            spread(of(Arm::Renorm)),
            spread(of(Arm::Sgd)),
            spread(of(Arm::Dp))
        ),
    ]);
    table.row(wider(widths));
    table.row(masks(pruned));
    let words = "The abstract's claims. A difference counts when it is larger than the spreads (standard deviations over seeds) of \
                 its two sides together; otherwise the claim is undecided here.";
    results.part("The paper's claims", vec![words.into()], vec![table], Vec::new());
}

fn late(sgd: &[f64], dp: &[f64], phases: &[Phase]) -> [String; 3] {
    let from_to = |from: Arm, to: Arm| -> Vec<f64> {
        phases.iter().filter(|p| p.0 == from && p.1 == to && p.2 <= 50).map(|p| p.3).collect()
    };
    let (late, early) = (from_to(Arm::Dp, Arm::Sgd), from_to(Arm::Sgd, Arm::Dp));
    let nearer = |x: f64, a: f64, b: f64| (x - a).abs() < (x - b).abs();
    let (s, d) = (mean(sgd), mean(dp));
    let holds = nearer(mean(&late), s, d) && nearer(mean(&early), d, s);
    [
        "C1: the late phase decides".into(),
        if holds { "holds" } else { "does not hold" }.into(),
        format!(
            "switched in the first half, DP then SGD ends at {:.2} (SGD {s:.2}), SGD then DP at {:.2} (DP {d:.2})",
            mean(&late),
            mean(&early)
        ),
    ]
}

fn wider(widths: &[Wide]) -> [String; 3] {
    let ends = |width: usize, arm: Arm| widths.iter().find(|w| w.0 == width && w.1 == arm).map_or(&[][..], |w| &w.2);
    let (first, last) = (widths.first().map_or(1, |w| w.0), widths.last().map_or(1, |w| w.0));
    let lost = |arm: Arm, width: usize| -> Vec<f64> {
        ends(width, Arm::Sgd).iter().zip(ends(width, arm)).map(|(sgd, arm)| sgd - arm).collect()
    };
    let grows = |arm: Arm| verdict(&lost(arm, last), &lost(arm, first));
    let verdicts = [grows(Arm::Clip), grows(Arm::Noise)];
    let whole = if verdicts[0] == verdicts[1] { verdicts[0] } else { "undecided" };
    let numbers =
        |arm: Arm| format!("{} at x{first}, {} at x{last}", spread(&lost(arm, first)), spread(&lost(arm, last)));
    [
        "C3: both grow with the dimension".into(),
        whole.into(),
        format!("points lost against SGD: clip only {}; noise only {}", numbers(Arm::Clip), numbers(Arm::Noise)),
    ]
}

fn masks(pruned: &[Pruned]) -> [String; 3] {
    let best = |pick: fn(&Pruned) -> bool| {
        let some = pruned.iter().filter(|p| pick(p));
        some.max_by(|a, b| mean(&a.3).total_cmp(&mean(&b.3))).map_or(&[][..], |p| &p.3)
    };
    let (whole, heavy) = (best(|p| p.0 == 1.0), best(|p| p.0 < 1.0 && p.1));
    let random = best(|p| p.0 < 1.0 && !p.1);
    let verdicts = [verdict(heavy, whole), verdict(heavy, random)];
    [
        "C4: magnitude pruning can raise the accuracy of DP-SGD (and beats a random mask)".into(),
        if verdicts[0] == verdicts[1] { verdicts[0].to_owned() } else { verdicts.join("; against random: ") },
        format!(
            "best magnitude mask {}, best random mask {}, no mask {}",
            spread(heavy),
            spread(random),
            spread(whole)
        ),
    ]
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
