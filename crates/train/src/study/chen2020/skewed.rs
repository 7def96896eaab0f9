//! The correction where it must help: gradients that are skewed on purpose, by their targets or by a scale that depends on
//! the label. Small models, so that gradients can be multiplied out and perturbed as published.
use super::super::{
    Ask, Results, StudyError, Table,
    networks::{Numbers, spread},
    toy::{flat, norm},
};
use crate::{
    data::{Examples, Targets},
    diagnose,
    grads::Grads,
    model::{Loss, Model, ModelConfig, Weights},
};
use engine::Device;
use privacy::{Key, Purpose, Stream, Sum};

/// Features of an example.
const DIMENSION: usize = 5;
/// One in so many examples belongs to the minority.
const RARE: f64 = 0.1;
/// Scales of the perturbation with c = 1, and the honest baseline: larger thresholds without it.
const ARMS: [(f64, f64); 9] =
    [(0.0, 1.0), (0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (4.0, 1.0), (8.0, 1.0), (0.0, 2.0), (0.0, 4.0), (0.0, 8.0)];

/// Examples whose gradients are skewed.
struct Skewed {
    name: &'static str,
    model: Model,
    train: Examples,
    /// What each training example's gradient is multiplied with.
    scale: Vec<f32>,
    test: Examples,
}

pub(super) fn skewed(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let seeds = if ask.quick { 2 } else { 5 };
    let (mut tables, mut verdicts) = (Vec::new(), Vec::new());
    for problem in [regression()?, imbalance()?] {
        let settings = format!("{ARMS:?} {seeds} seeds");
        let rows = ask.part(problem.name, settings, Device::Cpu, || rows(&problem, seeds))?;
        let title = format!("{}: excess loss of the end over the best, z = 1.1", problem.name);
        let mut table = Table::new(title, &["k", "c", "without noise", "private", "accuracy, private (%)"]);
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        verdicts.extend(verdict(problem.name, &rows));
        rows.into_iter().for_each(|row| table.row(row));
        tables.push(table);
    }
    let mut words = vec![
        format!(
            "Skewed regression: linear regression on {DIMENSION} made-up features, 3000 examples: nine in ten targets lie 1 low, one in \
             ten lies 9 high, so gradients are skewed about their mean and clipping at 1 pulls the intercept down."
        ),
        format!(
            "Scaled by label: two Gaussian classes in {DIMENSION} dimensions, one in ten examples of the second, whose gradients are \
             multiplied by 9 so that both classes weigh the same (cost-sensitive training). Clipping at 1 undoes that weight. Loss and \
             accuracy on as many examples of one class as of the other."
        ),
        format!(
            "Perturbation of scale k before clipping, step size 0.1 (1 + k) so that the pull stays comparable; the last rows are the \
             honest baseline, a larger c with the step size divided by it; 3000 steps of expected size 100; {seeds} seeds, mean ± \
             standard deviation."
        ),
    ];
    words.extend(verdicts);
    results.part("The correction on skewed gradients", words, tables, Vec::new());
    Ok(())
}

/// What the correction does to the private excess loss, beside what a larger threshold does; nothing while rows are missing.
fn verdict(name: &str, rows: &[Vec<String>]) -> Option<String> {
    let first = rows.first()?;
    let excess = |row: &Vec<String>| -> Option<f64> { row.get(3)?.split(' ').next()?.parse().ok() };
    // The best of the rows that differ from the first in this column, of k and c, alone.
    let best = |column: usize| {
        let alone = rows.iter().filter(|row| row[column] != first[column] && row[1 - column] == first[1 - column]);
        let ends = alone.filter_map(|row| Some((excess(row)?.max(0.0), row[column].as_str())));
        ends.min_by(|a, b| a.0.total_cmp(&b.0))
    };
    let (plain, (with, k), (larger, c)) = (excess(first)?, best(0)?, best(1)?);
    let helps = if with < plain { "helps" } else { "does not help" };
    Some(format!(
        "{name}: the correction {helps}: the private excess loss goes from {plain:.2} to {with:.2} (k = {k}); a larger threshold \
         alone brings it to {larger:.2} (c = {c})."
    ))
}

fn rows(problem: &Skewed, seeds: u64) -> Result<Vec<Vec<String>>, StudyError> {
    let best = problem.score(&problem.best()).0;
    let row = |(k, c): (f64, f64)| {
        let ends = |z: f64| -> Vec<(f64, f64)> {
            let end =
                |seed| problem.descend(Numbers { lot: 100.0, steps: 3000, rate: 0.1 * (1.0 + k) / c, c, z, seed }, k);
            (0..seeds).map(|seed| problem.score(&end(seed))).collect()
        };
        let excess = |ends: &[(f64, f64)]| spread(&ends.iter().map(|end| end.0 - best).collect::<Vec<_>>());
        let (plain, private) = (ends(0.0), ends(1.1));
        let accuracies: Vec<f64> = private.iter().map(|end| 100.0 * end.1).collect();
        let accuracy = if accuracies[0].is_nan() { "-".into() } else { spread(&accuracies) };
        vec![format!("{k}"), format!("{c}"), excess(&plain), excess(&private), accuracy]
    };
    Ok(ARMS.into_iter().map(row).collect())
}

fn linear(loss: Loss, targets: &Targets) -> Result<Model, StudyError> {
    let other = |e: String| StudyError::Other(e);
    let layer =
        toml::from_str("layer = \"linear\"\nfeatures = 1").map_err(|e: toml::de::Error| other(e.to_string()))?;
    let config = ModelConfig { loss: Some(loss), layers: vec![layer], ..ModelConfig::default() };
    Model::build(&config, &[DIMENSION], targets).map_err(|e| other(e.to_string()))
}

fn regression() -> Result<Skewed, StudyError> {
    let (train, test) = (lopsided(3000, 1)?, lopsided(1000, 2)?);
    let model = linear(Loss::MeanSquaredError, &train.gather(&[]).targets)?;
    Ok(Skewed { name: "Skewed regression", model, scale: vec![1.0; train.len()], train, test })
}

fn imbalance() -> Result<Skewed, StudyError> {
    let (train, test) = (classes(3000, RARE, 1)?, classes(2000, 0.5, 2)?);
    let model = linear(Loss::SigmoidCrossEntropy, &train.gather(&[]).targets)?;
    let Targets::Classes { labels, .. } = train.gather(&(0..train.len()).collect::<Vec<_>>()).targets else {
        return Err(StudyError::Other("classes are classes".into()));
    };
    let scale = labels.iter().map(|label| if *label == 1 { (1.0 / RARE - 1.0) as f32 } else { 1.0 }).collect();
    Ok(Skewed { name: "Scaled by label", model, train, scale, test })
}

fn features(n: usize, seed: u64) -> (Vec<f32>, Stream) {
    let mut x = vec![0.0f32; n * DIMENSION];
    Key::from_seed(seed).stream(Purpose::Audit, 0, 0).fill_normal(0, &mut x);
    (x, Key::from_seed(seed).stream(Purpose::Audit, 1, 0))
}

/// `y = 2 x_1 - x_2 + e`, where `e` is -1 nine times in ten and 9 once.
fn lopsided(n: usize, seed: u64) -> Result<Examples, StudyError> {
    let (x, coins) = features(n, seed);
    let target =
        |(i, row): (usize, &[f32])| 2.0 * row[0] - row[1] + if coins.uniform(i as u64) < RARE { 9.0 } else { -1.0 };
    let y = x.chunks(DIMENSION).enumerate().map(target).collect();
    Ok(Examples::from_floats(x, vec![DIMENSION], Targets::Values { width: 1, data: y }, Vec::new())?)
}

/// Two unit Gaussian clouds, the second, of share `rare`, 1.5 further along the first two axes.
fn classes(n: usize, rare: f64, seed: u64) -> Result<Examples, StudyError> {
    let (mut x, coins) = features(n, seed);
    let labels: Vec<u32> = (0..n).map(|i| u32::from(coins.uniform(i as u64) < rare)).collect();
    for (row, _) in x.chunks_mut(DIMENSION).zip(&labels).filter(|(_, label)| **label == 1) {
        row[..2].iter_mut().for_each(|x| *x += 1.5);
    }
    let names = ["common", "rare"].map(str::to_owned).to_vec().into();
    Ok(Examples::from_floats(x, vec![DIMENSION], Targets::Classes { labels, names }, Vec::new())?)
}

impl Skewed {
    /// Loss and accuracy on the test examples; no accuracy where there are no classes.
    fn score(&self, weights: &Weights) -> (f64, f64) {
        let score = self.model.score(weights, &self.test);
        (score.loss, score.accuracy.unwrap_or(f64::NAN))
    }

    /// The end of long gradient descent without clipping.
    fn best(&self) -> Weights {
        let (layout, n) = (self.model.layout(), self.train.len());
        let all: Vec<usize> = (0..n).collect();
        let mut point = Grads::zeros(layout);
        for _ in 0..1000 {
            let taps = self.model.taps(&diagnose::at(layout, &point), self.train.gather(&all));
            let sum = taps.sum(&self.scale, &vec![0; taps.parameters()], 1);
            point = point.add_scaled(sum, -0.2 / n as f64);
        }
        diagnose::at(layout, &point)
    }

    /// Private descent with a fresh perturbation of every example's gradient: the rule as published, gradients multiplied out.
    fn descend(&self, n: Numbers, k: f64) -> Weights {
        let layout = self.model.layout();
        let (noise, coins) = (Key::from_seed(100 + n.seed), Key::from_seed(500 + n.seed));
        let mut point = Grads::zeros(layout);
        for step in 0..n.steps {
            let mut draws = vec![0.0f32; self.train.len()];
            coins.stream(Purpose::Sample, step, 0).fill_uniform(0, &mut draws);
            let rate = (n.lot / self.train.len() as f64) as f32;
            let who: Vec<usize> = (0..self.train.len()).filter(|i| draws[*i] < rate).collect();
            let sum = self.perturbed(&point, &who, (n.c, k), &noise.stream(Purpose::Noise, step, 1));
            let mut release = vec![0.0f64; layout.len()];
            noise.stream(Purpose::Noise, step, 0).fill_normal_f64(0, &mut release);
            let walk = point.flat_mut().iter_mut().zip(sum.iter().zip(&release));
            walk.for_each(|(x, (s, z))| *x -= (n.rate / n.lot * (s + n.z * n.c * z)) as f32);
        }
        diagnose::at(layout, &point)
    }

    /// The sum of gradients, each perturbed and then clipped.
    fn perturbed(&self, point: &Grads, who: &[usize], (c, k): (f64, f64), stream: &Stream) -> Vec<f64> {
        let d = point.layout().len();
        let taps = self.model.taps(&diagnose::at(point.layout(), point), self.train.gather(who));
        let rows = taps.rows();
        let mut noise = vec![0.0f64; who.len() * d];
        stream.fill_normal_f64(0, &mut noise);
        let mut sum = vec![0.0f64; d];
        for (i, example) in who.iter().enumerate() {
            let scale = f64::from(self.scale[*example]);
            let gradient = rows.iter().flat_map(|r| r.row(i)).map(|g| scale * f64::from(*g));
            let g: Vec<f64> = gradient.zip(&noise[i * d..]).map(|(g, z)| g + k * z).collect();
            let w = flat(c)(norm(&g));
            sum.iter_mut().zip(&g).for_each(|(s, g)| *s += w * g);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::statistics::mean;

    #[test]
    fn the_verdict_takes_the_best_of_either_cure() {
        let row = |k: &str, c: &str, private: &str| [k, c, "", private].map(str::to_owned).to_vec();
        let rows = [
            row("0", "1", "0.92 ± 0.01"),
            row("1", "1", "0.30 ± 0.02"),
            row("8", "1", "0.4"),
            row("0", "4", "-0.00"),
            // Both cures at once are none of either.
            row("8", "4", "-1.00"),
        ];
        let said = verdict("x", &rows).unwrap();
        assert!(said.contains("helps: the private excess loss goes from 0.92 to 0.30 (k = 1)"), "{said}");
        assert!(said.contains("0.00 (c = 4)") && !said.contains("-0.00"), "{said}");
        assert_eq!((verdict("x", &[]), verdict("x", &rows[..1])), (None, None));
    }

    #[test]
    fn the_lopsided_targets_are_centred_and_skewed() {
        let data = lopsided(20_000, 7).unwrap();
        let Targets::Values { data: y, .. } = data.gather(&(0..20_000).collect::<Vec<_>>()).targets else { panic!() };
        let y: Vec<f64> = y.iter().map(|y| f64::from(*y)).collect();
        let m = mean(&y);
        assert!(m.abs() < 0.15, "{m}");
        assert!(mean(&y.iter().map(|y| (y - m).powi(3)).collect::<Vec<_>>()) > 20.0);
    }

    /// What the study is for: the correction helps where gradients are skewed, with and without the noise of privacy.
    #[test]
    fn the_correction_helps_where_gradients_are_skewed() {
        for problem in [regression().unwrap(), imbalance().unwrap()] {
            let best = problem.score(&problem.best()).0;
            let excess = |k: f64, z: f64| {
                let numbers = Numbers { lot: 100.0, steps: 1500, rate: 0.1 * (1.0 + k), c: 1.0, z, seed: 3 };
                problem.score(&problem.descend(numbers, k)).0 - best
            };
            for z in [0.0, 1.1] {
                let (flat, perturbed) = (excess(0.0, z), excess(8.0, z));
                assert!(perturbed < 0.6 * flat, "{}, z = {z}: {perturbed} against {flat}", problem.name);
            }
        }
    }
}
