//! Bu et al. 2022: automatic clipping against a tuned threshold.
mod causes;
mod images;

use super::{
    Ask, Results, StudyError, Table,
    runs::{Job, make_on_cpu},
    toy::{EXAMPLE_1, NormEc},
};
use crate::report::plot::{Axis, Layer, Mark, Picture};

const NAME: &str = "bu2022";

pub(super) fn run(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    map(ask, results)?;
    gamma(ask, results)?;
    images::images(ask, results)?;
    causes::causes(ask, results)
}

/// The test accuracy (%) of one run on the census, whose model is too small for a GPU.
fn accuracy(ask: &Ask, name: &str, set: [String; 2]) -> Result<Option<f64>, StudyError> {
    let job = Job { name: format!("Adult, {name}"), file: "adult.toml", set: set.into() };
    let made = make_on_cpu(ask, NAME, &[job])?;
    Ok(made.first().and_then(|made| made.accuracy))
}

/// An accuracy in a table; a dash where the run is not made.
fn shown(accuracy: Option<f64>) -> String {
    accuracy.map_or_else(|| "-".into(), |a| format!("{a:.2}"))
}

/// Accuracy over learning rates and thresholds: a diagonal for flat clipping, a row for AUTO-S.
fn map(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let (rates, bounds): (&[f64], &[f64]) = match ask.quick {
        true => (&[0.5, 8.0], &[0.1, 1.0]),
        false => (&[0.125, 0.5, 2.0, 8.0, 32.0, 128.0], &[0.01, 0.1, 1.0, 10.0]),
    };
    let head: Vec<String> = rates.iter().map(|r| format!("step size {r}")).collect();
    let head: Vec<&str> = std::iter::once("rule").chain(head.iter().map(String::as_str)).collect();
    let mut table = Table::new("Adult, epsilon 1: test accuracy (%)", &head).shaded();
    let mut layers = Vec::new();
    let rules = bounds.iter().map(|c| (format!("flat, C = {c}"), format!("clip={{rule=\"flat\", bound={c:?}}}")));
    let auto = [
        ("AUTO-S".to_owned(), "clip={rule=\"auto-s\"}".to_owned()),
        ("AUTO-V".to_owned(), "clip={rule=\"auto-v\"}".to_owned()),
    ];
    let looks =
        [(Mark::Line, 0), (Mark::Dashed, 0), (Mark::Line, 1), (Mark::Dashed, 1), (Mark::Joined, 2), (Mark::Joined, 3)];
    for (k, (name, rule)) in rules.chain(auto).enumerate() {
        let end = |rate: &f64| {
            let update = format!("update=[{{update=\"sgd\", learning_rate={rate:?}}}]");
            accuracy(ask, &format!("{name}, step size {rate}"), [rule.clone(), update])
        };
        let ends = rates.iter().map(end).collect::<Result<Vec<_>, _>>()?;
        table.row(std::iter::once(name.clone()).chain(ends.iter().map(|end| shown(*end))));
        let (mark, tone) = looks[k % looks.len()];
        let points = rates.iter().zip(ends).filter_map(|(rate, end)| Some((*rate, end?)));
        layers.push(Layer::new(name.replace("flat, C = ", ""), mark, tone, points.collect()));
    }
    let picture = Picture {
        title: "Adult, epsilon 1: accuracy by C (flat) or rule".into(),
        x: Axis::new("step size").log(),
        y: Axis::new("%"),
        layers,
        marks: Vec::new(),
    };
    let words = vec![
        "The paper shows that flat clipping's accuracy depends on step size times threshold (a diagonal of its heat map), and that AUTO-S \
         needs the step size alone. Here on the Adult census: logistic regression on public buckets, epsilon 1, delta 1e-5, plain SGD, \
         one seed a cell. Cells of flat clipping with the same product, and small thresholds, should agree.".into(),
    ];
    results.part("The diagonal and the row", words, vec![table], vec![picture]);
    Ok(())
}

/// The stability constant: what it does to the bias on example 1, and to accuracy.
fn gamma(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let gammas: &[f64] = if ask.quick { &[0.01, 1.0] } else { &[0.0001, 0.01, 0.1, 1.0, 10.0] };
    let mut table =
        Table::new("The stability constant", &["gamma", "zero of example 1 (optimum 1)", "Adult, epsilon 1 (%)"]);
    for g in gammas {
        let zero = EXAMPLE_1.zero(&|x| x / (x.abs() + g));
        // For gradients well below gamma the sum shrinks like 1/gamma; the step size undoes that.
        let rate = 2.0 * (1.0 + g);
        let set = [
            format!("clip={{rule=\"auto-s\", gamma={g:?}}}"),
            format!("update=[{{update=\"sgd\", learning_rate={rate:?}}}]"),
        ];
        table.row([format!("{g}"), format!("{zero:.6}"), shown(accuracy(ask, &format!("gamma = {g}"), set)?)]);
    }
    let words = vec![
        "The convergence theory needs symmetric gradients. On the skewed example 1 the zero of the normalised gradient lies far from the \
         optimum unless gamma is large. Step size 2 (1 + gamma).".into(),
        "Other threshold-free rules have the same bias. A memory for each example (alpha-NormEC, Shulgin et al. 2025) has not: it is made \
         for federated clients, and as secret as their data.".into(),
    ];
    results.part("Gamma", words, vec![table, biased()], Vec::new());
    Ok(())
}

/// Where threshold-free rules stop on example 1.
fn biased() -> Table {
    let mut table = Table::new("Where rules stop on example 1 (optimum 1)", &["rule", "stops at"]);
    table.row(["flat, C = 1".into(), format!("{:.6}", EXAMPLE_1.zero(&|g| g.clamp(-1.0, 1.0)))]);
    for gamma in [100.0, 1000.0] {
        table.row([format!("AUTO-S, gamma = {gamma}"), format!("{:.6}", EXAMPLE_1.zero(&|g| g / (g.abs() + gamma)))]);
    }
    for r in [0.01, 0.1, 1.0] {
        let zero = EXAMPLE_1.zero(&|g: f64| g / (g.abs() + r / (g.abs() + r)));
        table.row([format!("PSAC, r = {r}"), format!("{zero:.6}")]);
    }
    let mut memory = NormEc::new(&EXAMPLE_1, [-2.5], (1.0, 0.1, 0.05), false);
    (0..5000).for_each(|_| drop(memory.round(&EXAMPLE_1, |_, _| 0.0)));
    table.row(["alpha-NormEC, alpha = 1, beta = 0.1, 5000 rounds".into(), format!("{:.6}", memory.x[0])]);
    table
}
