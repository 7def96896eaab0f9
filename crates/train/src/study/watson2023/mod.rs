//! Watson et al. 2023: what hurts more, clipping or noise; early or late; in few dimensions or many; and what pruning mends.
//!
//! The protocol is the reconstruction of `clipping-02`: only the paper's abstract could be read, so its claims are tested and
//! none of its numbers is compared with.
mod arms;
mod basin;
mod claims;
mod phases;
mod pruning;
mod widths;

use super::{
    Ask, Results, StudyError, Table,
    networks::{Arm, Numbers, Subject},
};
use crate::{
    data::{Batch, Examples, Loaded, Targets},
    model::{Model, ModelConfig},
};
use engine::Device;
use serde::{Serialize, de::DeserializeOwned};

const NAME: &str = "watson2023";

/// How much is made.
#[derive(Debug, Clone, Copy)]
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
    seeds: 5,
    widths: &[1, 2, 4, 8],
    switches: &[10, 25, 50, 75, 90],
    ratios: &[1.0, 0.5, 0.2, 0.1, 0.05, 0.02],
};
const QUICK: Size =
    Size { train: 2000, test: 1000, steps: 60, seeds: 1, widths: &[1, 2], switches: &[50], ratios: &[1.0, 0.1] };

/// What every experiment stands on.
struct Ground<'a> {
    ask: &'a Ask,
    size: Size,
    train: Examples,
    public: Examples,
    test: Examples,
    /// Step sizes, tuned for each arm on the same grid, on a seed that is not used again.
    rates: Vec<(Arm, f64)>,
}

pub(super) fn run(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let config = ask.config_on_cpu(NAME, "fashion.toml", &[])?;
    let mut ground = ground(ask, config.data.load(&ask.data)?)?;
    let model = network(&ground, 1)?;
    // All else stands on the step sizes: whoever shares the work waits for nobody and makes them too.
    ground.rates = tune(&ground, &model, results)?;
    let ends = arms::arms(&ground, &model, results)?;
    let phases = phases::phases(&ground, &model, results)?;
    let wide = widths::widths(&ground, results)?;
    basin::basin(&ground, &model, results)?;
    let pruned = pruning::pruning(&ground, &model, results)?;
    if let (Some(ends), Some(phases), Some(wide), Some(pruned)) = (ends, phases, wide, pruned) {
        claims::claims(results, &ends, &phases, &wide, &pruned);
    }
    Ok(())
}

fn ground(ask: &Ask, loaded: Loaded) -> Result<Ground<'_>, StudyError> {
    let size = if ask.quick { QUICK } else { FULL };
    let Loaded { train, evaluation, .. } = loaded;
    let test = evaluation.ok_or_else(|| StudyError::Other("fashion.toml names no evaluation data".into()))?;
    let take = |from: &Examples, range: std::ops::Range<usize>| copy(from, &range.collect::<Vec<_>>());
    let (n, t) = (size.train, size.test);
    Ok(Ground {
        ask,
        train: take(&train, 0..n)?,
        public: take(&train, 50_000..52_000)?,
        test: take(&test, 0..t)?,
        size,
        rates: Vec::new(),
    })
}

impl Ground<'_> {
    /// A long part of the study.
    fn part<T: Serialize + DeserializeOwned>(
        &self,
        name: &str,
        make: impl FnOnce() -> Result<T, StudyError>,
    ) -> Result<Option<T>, StudyError> {
        self.ask.part(name, format!("{:?} {:?}", self.size, self.rates), Device::Cpu, make)
    }
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
    let all = || Arm::ALL.into_iter().map(|arm| tuned(ground, model, arm)).collect::<Result<Vec<_>, _>>();
    let found = match ground.part("step-sizes", all)? {
        Some(found) => found,
        None => all()?,
    };
    let mut rates = Vec::new();
    for (arm, (ends, best)) in Arm::ALL.into_iter().zip(found) {
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
