//! Chen, Wu, Hong 2020: where clipping fails, what perturbation before it mends, and how symmetric real gradients are.
use super::{
    Ask, Results, StudyError, Table,
    networks::{Numbers, spread},
    toy::{EXAMPLE_1, EXAMPLE_2, PLANE, flat, perturbed, radial_plane, sampled},
};
use crate::{
    data::{Examples, Targets},
    diagnose::{self, Visit, source::On},
    model::{Loss, Model, ModelConfig},
    report::plot::{Axis, Layer, Mark, Picture},
};
use privacy::{Key, Purpose};

const NAME: &str = "chen2020";
/// Scales of the perturbation, as in the specification's table.
const SCALES: [f64; 10] = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0];

pub(super) fn run(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    failures(results);
    perturbation(ask, results);
    skewed(ask, results)?;
    networks(ask, results)
}

/// Trajectories and fixed points of the three small problems.
fn failures(results: &mut Results) {
    let clip = flat(1.0);
    let paths = [
        ("clipped", EXAMPLE_1.descend([1.0], 0.1, 200, &clip), Mark::Line, 1),
        ("not clipped", EXAMPLE_1.descend([-2.5], 0.1, 200, &|_| 1.0), Mark::Dashed, 2),
    ];
    let layer = |(name, path, mark, tone): (&str, Vec<[f64; 1]>, Mark, u8)| {
        Layer::new(name, mark, tone, path.iter().enumerate().map(|(t, x)| (t as f64, x[0])).collect())
    };
    let drift = |weight: &dyn Fn(f64) -> f64| {
        let at = |k: i32| f64::from(k) / 20.0;
        (-100..=100).map(|k| (at(k), EXAMPLE_2.mean([at(k)], weight)[0])).collect::<Vec<_>>()
    };
    let pictures = vec![
        Picture {
            title: "Example 1: clipped descent leaves the optimum".into(),
            x: Axis::new("step").whole(),
            y: Axis::new("x"),
            layers: paths.into_iter().map(layer).collect(),
            marks: Vec::new(),
        },
        Picture {
            title: "Example 2: the mean clipped gradient is flat".into(),
            x: Axis::new("x"),
            y: Axis::new("mean gradient"),
            layers: vec![
                Layer::new("clipped", Mark::Line, 1, drift(&clip)),
                Layer::new("not clipped", Mark::Dashed, 2, drift(&|_| 1.0)),
            ],
            marks: Vec::new(),
        },
        plane(),
    ];
    let mut table =
        Table::new("Fixed points of clipped descent, c = 1", &["problem", "optimum", "fixed point", "specification"]);
    let show = |x: &[f64]| x.iter().map(|x| format!("{x:.7}")).collect::<Vec<_>>().join(", ");
    table.row(["example 1".into(), "1".into(), show(&EXAMPLE_1.fixed_point(&clip)), "-2.5".into()]);
    let flat_to = EXAMPLE_2.descend([1.9], 0.1, 1000, &clip)[1000];
    table.row(["example 2, from 1.9".into(), "0".into(), show(&flat_to), "every point of [-2, 2]".into()]);
    let (best, fixed) = (PLANE.optimum(), PLANE.fixed_point(&clip));
    table.row(["in the plane".into(), show(&best), show(&fixed), "0.4268424, 0.19148494".into()]);
    results.part(
        "Where clipping fails",
        vec!["The paper's two examples and one of ours in the plane, without noise: quadratics whose gradients are so skewed that clipping at 1 moves or hides the optimum.".into()],
        vec![table],
        pictures,
    );
}

fn plane() -> Picture {
    let path = |weight: &dyn Fn(f64) -> f64| {
        PLANE.descend([3.0, 2.0], 0.1, 400, weight).iter().step_by(4).map(|x| (x[0], x[1])).collect::<Vec<_>>()
    };
    let (best, fixed) = (PLANE.optimum(), PLANE.fixed_point(&flat(1.0)));
    Picture {
        title: "In the plane: two paths, two ends".into(),
        x: Axis::new("first coordinate"),
        y: Axis::new("second"),
        layers: vec![
            Layer::new("clipped", Mark::Line, 1, path(&flat(1.0))),
            Layer::new("not clipped", Mark::Dashed, 2, path(&|_| 1.0)),
            Layer::new("ends", Mark::Rings, 3, vec![(best[0], best[1]), (fixed[0], fixed[1])]),
        ],
        marks: Vec::new(),
    }
}

/// The table over k: where perturbed clipping stops, how fast it gets there, and that drawing the perturbation agrees.
fn perturbation(ask: &Ask, results: &mut Results) {
    let steps = if ask.quick { 100_000 } else { 2_000_000 };
    let mut table = Table::new(
        "Perturbation before clipping, example 1 (optimum 1) and example 2, c = 1",
        &[
            "k",
            "fixed point",
            "slope there",
            "drawn anew each step",
            "slope of example 2 at 0",
            "distance in the plane",
        ],
    );
    let mut points = Vec::new();
    for (row, k) in SCALES.into_iter().enumerate() {
        let drift = |g: f64| perturbed(g, k, 1.0);
        let zero = EXAMPLE_1.zero(&drift);
        let stream = Key::from_seed(2020).stream(Purpose::Audit, row as u64, 0);
        let drawn = sampled(&EXAMPLE_1, &stream, (0.02, k, 1.0), steps);
        let plane = if k == 0.0 { PLANE.fixed_point(&flat(1.0)) } else { radial_fixed(k) };
        let best = PLANE.optimum();
        table.row([
            format!("{k}"),
            format!("{zero:.7}"),
            format!("{:.5}", EXAMPLE_1.slope(zero, &drift)),
            format!("{drawn:.2}"),
            format!("{:.3e}", EXAMPLE_2.slope(0.0, &drift)),
            format!("{:.4}", (plane[0] - best[0]).hypot(plane[1] - best[1])),
        ]);
        points.push((k, 1.0 - zero, EXAMPLE_1.slope(zero, &drift)));
    }
    let line =
        |f: fn(&(f64, f64, f64)) -> f64| points.iter().filter(|p| p.0 > 0.0).map(|p| (p.0, f(p))).collect::<Vec<_>>();
    let picture = Picture {
        title: "Bias against speed".into(),
        x: Axis::new("scale of the perturbation, k").log(),
        y: Axis::new("example 1").log(),
        layers: vec![
            Layer::new("distance", Mark::Joined, 1, line(|p| p.1)),
            Layer::new("slope", Mark::Dashed, 2, line(|p| p.2)),
        ],
        marks: Vec::new(),
    };
    let words = vec![
        "The cure of section 5: add k times a standard normal to each example's gradient, then clip. The bias dies like 1/k² while the pull towards the fixed point shrinks like 1/k. In expectation the drawn rule is a radial one: the columns are the closed form, and a run that draws fresh normals at every step (step size 0.02, mean of the second half; its stationary spread is wide where the slope is small).".into(),
    ];
    results.part("Perturbation before clipping", words, vec![table], vec![picture]);
}

/// The fixed point of the radial rule in the plane, its strength tabulated on a fine grid of norms.
fn radial_fixed(k: f64) -> [f64; 2] {
    const STEP: f64 = 0.05;
    let table: Vec<f64> = (0..160).map(|i| radial_plane(f64::from(i) * STEP, k, 1.0)).collect();
    PLANE.fixed_point(&|n: f64| {
        let place = (n / STEP).min(158.0);
        let i = place.floor() as usize;
        (table[i] + (table[i + 1] - table[i]) * place.fract()) / n.max(1e-12)
    })
}

/// A regression whose gradients are skewed on purpose: most targets lie a little low, a few lie far up.
fn skewed(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let n = 3000;
    let data = lopsided(n, 1)?;
    let test = lopsided(1000, 2)?;
    let layers = vec![
        toml::from_str("layer = \"linear\"\nfeatures = 1")
            .map_err(|e: toml::de::Error| StudyError::Other(e.to_string()))?,
    ];
    let config = ModelConfig { loss: Some(Loss::MeanSquaredError), weights: None, layers };
    let model =
        Model::build(&config, &[DIMENSION], &data.gather(&[]).targets).map_err(|e| StudyError::Other(e.to_string()))?;
    let seeds = if ask.quick { 2 } else { 5 };
    let mut table = Table::new(
        "Skewed regression: excess loss of the end over the best, z = 1.1",
        &["k", "c", "without noise", "private"],
    );
    let best = loss(&model, &least_squares(&model, &data), &test);
    let perturbed = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0].map(|k| (k, 1.0));
    for (k, c) in perturbed.into_iter().chain([(0.0, 2.0), (0.0, 4.0), (0.0, 8.0)]) {
        let mut cells = vec![format!("{k}"), format!("{c}")];
        for z in [0.0, 1.1] {
            let end = |seed| {
                let numbers = Numbers { lot: 100.0, steps: 3000, rate: 0.1 * (1.0 + k) / c, c, z, seed };
                perturbed_descent(&model, &data, numbers, k).map(|w| loss(&model, &w, &test) - best)
            };
            cells.push(spread(&(0..seeds).map(end).collect::<Result<Vec<_>, _>>()?));
        }
        table.row(cells);
    }
    let words = vec![format!(
        "Linear regression on {DIMENSION} made-up features, {n} examples: nine in ten targets lie 1 low, one in ten lies 9 high, so gradients are skewed about their mean and clipping at 1 pulls the intercept down. Perturbation of scale k before clipping, step size 0.1 (1 + k) so that the pull stays comparable; the last rows are the honest baseline, a larger c with the step size divided by it; 3000 steps of expected size 100; {seeds} seeds, mean ± standard deviation."
    )];
    results.part("The correction on skewed gradients", words, vec![table], Vec::new());
    Ok(())
}

const DIMENSION: usize = 5;

/// `y = 2 x_1 - x_2 + e`, where `e` is -1 nine times in ten and 9 once.
fn lopsided(n: usize, seed: u64) -> Result<Examples, StudyError> {
    let stream = Key::from_seed(seed).stream(Purpose::Audit, 0, 0);
    let mut x = vec![0.0f32; n * DIMENSION];
    stream.fill_normal(0, &mut x);
    let coins = Key::from_seed(seed).stream(Purpose::Audit, 1, 0);
    let target =
        |(i, row): (usize, &[f32])| 2.0 * row[0] - row[1] + if coins.uniform(i as u64) < 0.1 { 9.0 } else { -1.0 };
    let y = x.chunks(DIMENSION).enumerate().map(target).collect();
    Ok(Examples::from_floats(x, vec![DIMENSION], Targets::Values { width: 1, data: y }, Vec::new())?)
}

fn loss(model: &Model, weights: &crate::model::Weights, on: &Examples) -> f64 {
    model.score(weights, on).loss
}

/// Gradient descent without clipping, long enough.
fn least_squares(model: &Model, data: &Examples) -> crate::model::Weights {
    let mut point = crate::grads::Grads::zeros(model.layout());
    for _ in 0..400 {
        use privacy::Sum;
        let taps = model.taps(&diagnose::at(model.layout(), &point), data.gather(&(0..data.len()).collect::<Vec<_>>()));
        let sum = taps.sum(&vec![1.0; data.len()], &vec![0; taps.parameters()], 1);
        point = point.add_scaled(sum, -0.2 / data.len() as f64);
    }
    diagnose::at(model.layout(), &point)
}

/// Private descent with a fresh perturbation of every example's gradient: the rule as published, gradients multiplied out.
fn perturbed_descent(model: &Model, data: &Examples, n: Numbers, k: f64) -> Result<crate::model::Weights, StudyError> {
    let layout = model.layout();
    let key = Key::from_seed(100 + n.seed);
    let mut point = crate::grads::Grads::zeros(layout);
    let d = layout.len();
    let coins = Key::from_seed(500 + n.seed);
    for step in 0..n.steps {
        let mut draws = vec![0.0f32; data.len()];
        coins.stream(Purpose::Sample, step, 0).fill_uniform(0, &mut draws);
        let rate = (n.lot / data.len() as f64) as f32;
        let who: Vec<usize> = (0..data.len()).filter(|i| draws[*i] < rate).collect();
        let taps = model.taps(&diagnose::at(layout, &point), data.gather(&who));
        let rows = taps.rows();
        let mut noise = vec![0.0f64; who.len() * d];
        key.stream(Purpose::Noise, step, 1).fill_normal_f64(0, &mut noise);
        let mut sum = vec![0.0f64; d];
        key.stream(Purpose::Noise, step, 0).fill_normal_f64(0, &mut sum);
        sum.iter_mut().for_each(|x| *x *= n.z * n.c);
        for i in 0..who.len() {
            let g: Vec<f64> =
                rows.iter().flat_map(|r| r.row(i)).zip(&noise[i * d..]).map(|(g, z)| f64::from(*g) + k * z).collect();
            let w = flat(n.c)(super::toy::norm(&g));
            sum.iter_mut().zip(&g).for_each(|(s, g)| *s += w * g);
        }
        let walk = point.flat_mut().iter_mut().zip(&sum);
        walk.for_each(|(x, s)| *x -= (n.rate / n.lot * s) as f32);
    }
    Ok(diagnose::at(layout, &point))
}

/// Projections, symmetry and disparity along a private run on MNIST.
fn networks(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let (set, steps, examples) = match ask.quick {
        true => (vec!["train.epochs=0.3".to_owned()], vec![0, 60, 140], 500),
        // Epochs 0, 3, 10, 25 and 60 of 468.75 steps.
        false => (Vec::new(), vec![0, 1407, 4688, 11719, 28125], 2000),
    };
    let config = ask.config(NAME, "mnist.toml", &set)?;
    let folder = tempdir()?;
    let question = diagnose::Ask {
        checkpoints: Vec::new(),
        steps,
        examples,
        on: On::Declared("MNIST is a public benchmark".into()),
        only: ["norms", "angle", "step", "bias", "symmetry"].map(str::to_owned).to_vec(),
        eigenvalues: 0,
        run: None,
        ledger: folder.join("ledger.jsonl"),
    };
    let found = diagnose::diagnose(&config, &ask.data, &question);
    let _ = std::fs::remove_dir_all(&folder);
    const TITLE: &str = "How symmetric real gradients are";
    let found = match found {
        Err(diagnose::DiagnoseError::Data(absent)) => {
            results.part(TITLE, vec![format!("Not run, for lack of data: {absent}.")], Vec::new(), Vec::new());
            return Ok(());
        }
        other => other?,
    };
    let mut table = Table::new(
        "MNIST, c = 1, noise multiplier 1.1: gradients along training",
        &[
            "epoch",
            "median norm",
            "clipped",
            "cosine > 0",
            "within c/4 of the mean",
            "angle of the clipped mean",
            "b relative",
            "distance from symmetry",
            "(symmetric clouds)",
            "p",
        ],
    );
    for visit in &found.visits {
        table.row(line(visit, 60000.0 / 128.0));
    }
    let pictures = found.visits.iter().flat_map(|v| {
        let clouds = v.findings.iter().filter(|f| f.name == "symmetry").flat_map(|f| f.pictures.iter().take(2));
        let epoch = v.step.unwrap_or(0) as f64 * 128.0 / 60000.0;
        clouds
            .cloned()
            .enumerate()
            .map(move |(k, p)| Picture { title: format!("Epoch {epoch:.1}: projection {}", k + 1), ..p })
    });
    let words = vec![
        "The paper draws random projections of per-example gradients of a CNN trained on MNIST and CIFAR-10 with c = 1 and noise multiplier 1.1, and finds clouds that become close to symmetric about their mean. It gives no table of numbers.".into(),
        format!("Run here: the configuration in mnist.toml (seed 2020), {} training examples looked at, projections by three pairs of public random directions. CIFAR-10 was not run.", found.examples),
    ];
    let words = words.into_iter().chain(outcome(&found.visits)).collect();
    results.part(TITLE, words, vec![table], pictures.collect());
    Ok(())
}

/// What the first and the last visit say, beside what the paper says.
fn outcome(visits: &[Visit]) -> Option<String> {
    let (first, last) = (visits.first()?, visits.last()?);
    let distance = |v: &Visit| number(v, "symmetry", "/sliced_wasserstein/value");
    let relative = |v: &Visit| 100.0 * number(v, "bias", "/relative");
    let mut words = format!(
        "From the first to the last visit the distance from symmetry along random directions goes from {:.3} to {:.3} standard \
         deviations, where symmetric clouds of this size lie {:.3}: {} the paper's finding. Along the mean gradient the disparity \
         b goes from {:.0} % to {:.0} % of what a symmetric law would make of a clipped step.",
        distance(first),
        distance(last),
        number(last, "symmetry", "/sliced_wasserstein/under_symmetry"),
        if distance(last) < distance(first) { "as in" } else { "unlike" },
        relative(first),
        relative(last)
    );
    if relative(last) < -50.0 {
        words += " The two do not contradict each other: a minority of long gradients makes the mean and is what clipping \
                  shortens, and random directions hardly see it. Symmetric projections are no proof of a small bias.";
    }
    Some(words)
}

fn number(visit: &Visit, name: &str, path: &str) -> f64 {
    let finding = visit.findings.iter().find(|f| f.name == name);
    finding.and_then(|f| f.numbers.pointer(path)?.as_f64()).unwrap_or(f64::NAN)
}

fn line(visit: &Visit, per_epoch: f64) -> Vec<String> {
    let number = |name: &str, path: &str| number(visit, name, path);
    vec![
        format!("{:.1}", visit.step.unwrap_or(0) as f64 / per_epoch),
        format!("{:.3}", number("norms", "/whole/quantiles/3/norm")),
        format!("{:.0} %", 100.0 * number("norms", "/share_clipped")),
        format!("{:.0} %", 100.0 * number("angle", "/share_positive")),
        format!("{:.1} %", 100.0 * number("bias", "/at_bound/close")),
        format!("{:.1}°", number("angle", "/degrees")),
        format!("{:.1} %", 100.0 * number("bias", "/relative")),
        format!("{:.3}", number("symmetry", "/sliced_wasserstein/value")),
        format!("{:.3}", number("symmetry", "/sliced_wasserstein/under_symmetry")),
        format!("{:.3}", number("symmetry", "/sliced_wasserstein/p")),
    ]
}

fn tempdir() -> Result<std::path::PathBuf, StudyError> {
    let folder = std::env::temp_dir().join(format!("secateur-study-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|e| StudyError::Other(format!("{}: {e}", folder.display())))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::statistics::mean;

    #[test]
    fn the_lopsided_targets_are_centred_and_skewed() {
        let data = lopsided(20_000, 7).unwrap();
        let Targets::Values { data: y, .. } = data.gather(&(0..20_000).collect::<Vec<_>>()).targets else { panic!() };
        let y: Vec<f64> = y.iter().map(|y| f64::from(*y)).collect();
        let m = mean(&y);
        assert!(m.abs() < 0.15, "{m}");
        assert!(mean(&y.iter().map(|y| (y - m).powi(3)).collect::<Vec<_>>()) > 20.0);
    }
}
