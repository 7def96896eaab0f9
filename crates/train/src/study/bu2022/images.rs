//! AUTO-S and AUTO-V in the place of a tuned threshold, on images, under three optimizers.
//!
//! An arm is a data set, an optimizer and a rule. Its step size is the best of a few on a seed that is not used again; then come
//! the seeds that count. Everything else is the configuration's, tuned for flat clipping by those before the paper.
use super::{
    super::{
        Ask, Results, StudyError, Table,
        networks::{interval, spread},
    },
    NAME,
};
use crate::{
    diagnose::statistics::mean,
    run::{Run, RunError},
};
use serde::{Deserialize, Serialize};

/// The seed that step sizes are picked on.
const PICKING: u64 = 100;
/// Optimizers.
const UPDATES: [&str; 3] = ["sgd", "adam", "lamb"];
/// Rules.
const RULES: [&str; 3] = ["flat", "auto-s", "auto-v"];

/// A data set, with what the paper reports of flat clipping and of AUTO-S under SGD.
struct Problem {
    name: &'static str,
    file: &'static str,
    epsilon: f64,
    /// Step sizes that are tried, for each of [`UPDATES`].
    rates: [&'static [f64]; 3],
    /// Seeds, likewise.
    seeds: [u64; 3],
    /// Epochs of a quick run.
    quickly: f64,
    paper: Option<Paper>,
}

/// What the paper reports in percent: flat clipping, AUTO-S, and the spread of the latter.
#[derive(Clone, Copy)]
struct Paper {
    flat: f64,
    auto: f64,
    spread: f64,
}

const PROBLEMS: [Problem; 3] = [
    Problem {
        name: "MNIST",
        file: "mnist.toml",
        epsilon: 3.0,
        rates: [&[0.25, 0.5, 1.0], &[0.0005, 0.001, 0.002], &[0.005, 0.01, 0.02]],
        seeds: [5, 3, 3],
        quickly: 0.3,
        paper: Some(Paper { flat: 98.04, auto: 98.15, spread: 0.07 }),
    },
    Problem {
        name: "Fashion-MNIST",
        file: "fashion-mnist.toml",
        epsilon: 3.0,
        rates: [&[2.0, 4.0, 8.0], &[0.001, 0.002, 0.004], &[0.01, 0.02, 0.04]],
        seeds: [5, 3, 3],
        quickly: 0.3,
        paper: Some(Paper { flat: 86.04, auto: 86.36, spread: 0.18 }),
    },
    Problem {
        name: "CIFAR-10",
        file: "cifar10.toml",
        epsilon: 2.0,
        rates: [&[0.5, 1.0], &[0.001, 0.002], &[0.01, 0.02]],
        seeds: [3, 2, 2],
        quickly: 0.02,
        paper: None,
    },
];

/// What came of an arm.
#[derive(Serialize, Deserialize)]
struct Came {
    /// The step size that was picked.
    rate: f64,
    /// Accuracies on the seeds that count, in percent.
    ends: Vec<f64>,
}

pub(super) fn images(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let mut words = introduction();
    let mut tables = Vec::new();
    for problem in &PROBLEMS {
        let (arms, absent) = one(ask, problem)?;
        words.extend(problem.paper.and_then(|paper| verdict(problem, paper, &arms)));
        words.extend(absent);
        tables.extend((!arms.is_empty()).then(|| table(problem, &arms)));
    }
    results.part("Images", words, tables, Vec::new());
    Ok(())
}

fn introduction() -> Vec<String> {
    [
        "Configurations are those of the state of the art before the paper (tanh CNNs of Papernot et al. 2021, trained as in Tramèr & \
         Boneh 2021), as in the paper, in which AUTO-S takes the place of the tuned threshold and nothing else changes but the step \
         size. Here each arm's step size is the best of those tried on a seed that is not used again, and R is the threshold of flat \
         clipping, so that steps have about the same length.",
        "CIFAR-10 is trained from scratch, at the paper's epsilon: the paper's 92.70 % stands on features of SimCLRv2, learned on \
         other images, which are not to be had here. Numbers can be compared between rules, not with the paper's.",
    ]
    .map(str::to_owned)
    .to_vec()
}

/// All arms of a problem: (update, rule, what came of it).
type Arms = Vec<(&'static str, &'static str, Came)>;

/// The arms that were made, and which were not for lack of data: parts of them may have been kept where the data were.
fn one(ask: &Ask, problem: &Problem) -> Result<(Arms, Option<String>), StudyError> {
    let (mut arms, mut absent, mut why) = (Vec::new(), Vec::new(), String::new());
    for (k, update) in UPDATES.into_iter().enumerate() {
        for rule in RULES.into_iter().filter(|rule| !ask.quick || *rule != "auto-v") {
            let rates = if ask.quick { &problem.rates[k][1..2] } else { problem.rates[k] };
            let seeds = if ask.quick { 1 } else { problem.seeds[k] };
            match arm(ask, problem, (update, rule), rates, seeds) {
                Ok(came) => arms.extend(came.map(|came| (update, rule, came))),
                Err(StudyError::Run(RunError::Data(missing))) => {
                    absent.push(format!("{update} with {rule}"));
                    why = missing.to_string();
                }
                Err(other) => return Err(other),
            }
        }
    }
    let words = || format!("{}: not run, for lack of data: {}. {why}.", problem.name, absent.join(", "));
    Ok((arms, (!absent.is_empty()).then(words)))
}

fn arm(
    ask: &Ask,
    problem: &Problem,
    (update, rule): (&str, &str),
    rates: &[f64],
    seeds: u64,
) -> Result<Option<Came>, StudyError> {
    let settings = |rate: f64, seed: u64| {
        let mut set = vec![
            format!("clip={{rule=\"{rule}\", bound=0.1}}"),
            format!("privacy.epsilon={:?}", problem.epsilon),
            format!("update=[{}]", link(update, rate)),
            format!("train.seed={seed}"),
        ];
        set.extend(ask.quick.then(|| format!("train.epochs={}", problem.quickly)));
        set
    };
    let base = ask.config_on_cpu(NAME, problem.file, &settings(rates[0], PICKING))?.to_toml();
    let end = |rate: f64, seed: u64| accuracy(ask, problem.file, &settings(rate, seed));
    let name = format!("{}-{update}-{rule}", problem.file.trim_end_matches(".toml"));
    ask.parts.part(&name, (&format!("{base}\n# {rates:?}, {seeds} seeds"), ask.device()), || {
        let mut best = (rates[0], f64::NEG_INFINITY);
        for rate in rates.iter().filter(|_| rates.len() > 1) {
            let accuracy = end(*rate, PICKING)?;
            best = if accuracy > best.1 { (*rate, accuracy) } else { best };
        }
        let ends = (1..=seeds).map(|seed| end(best.0, seed)).collect::<Result<_, _>>()?;
        Ok(Came { rate: best.0, ends })
    })
}

fn link(update: &str, rate: f64) -> String {
    let more = match update {
        "sgd" => ", momentum=0.9",
        "lamb" => ", weight_decay=0.0",
        _ => "",
    };
    format!("{{update=\"{update}\", learning_rate={rate:?}{more}}}")
}

/// The test accuracy (%) of one run.
fn accuracy(ask: &Ask, file: &str, set: &[String]) -> Result<f64, StudyError> {
    let config = ask.config(NAME, file, set)?;
    let done = Run::prepare(config, &ask.data, None, false)?.train(&mut ())?;
    Ok(100.0 * done.record.summary.test_accuracy.unwrap_or(f64::NAN))
}

fn table(problem: &Problem, arms: &Arms) -> Table {
    let title = format!("{} at epsilon {}, delta 1e-5: test accuracy (%)", problem.name, problem.epsilon);
    let mut table = Table::new(
        title,
        &["optimizer", "rule", "step size", "tried", "accuracy", "seeds", "mean, 95 % interval", "paper"],
    );
    for (update, rule, came) in arms {
        let k = UPDATES.iter().position(|u| u == update).unwrap_or(0);
        let paper = problem.paper.filter(|_| *update == "sgd").and_then(|paper| match *rule {
            "flat" => Some(format!("{:.2}", paper.flat)),
            "auto-s" => Some(format!("{:.2} ± {:.2}", paper.auto, paper.spread)),
            _ => None,
        });
        let tried: Vec<String> = problem.rates[k].iter().map(f64::to_string).collect();
        table.row([
            (*update).into(),
            (*rule).into(),
            came.rate.to_string(),
            tried.join(", "),
            spread(&came.ends),
            came.ends.len().to_string(),
            interval(&came.ends),
            paper.unwrap_or_else(|| "-".into()),
        ]);
    }
    table
}

/// AUTO-S under SGD beside the paper's number.
fn verdict(problem: &Problem, paper: Paper, arms: &Arms) -> Option<String> {
    let of =
        |wanted: &str| arms.iter().find(|(update, rule, _)| *update == "sgd" && *rule == wanted).map(|arm| &arm.2.ends);
    let (auto, flat) = (of("auto-s")?, of("flat")?);
    let gap = mean(auto) - paper.auto;
    let beyond = gap.abs() - paper.spread;
    let said = match (beyond <= 0.0, gap > 0.0) {
        (true, _) => "within the paper's spread".to_owned(),
        (false, true) => format!("{beyond:.2} points above the paper's spread"),
        (false, false) => format!("{beyond:.2} points below the paper's spread"),
    };
    Some(format!(
        "{}: AUTO-S {} here, {:.2} ± {:.2} in the paper: {said}. Over flat clipping it gains {:+.2} points here, {:+.2} in the paper.",
        problem.name,
        spread(auto),
        paper.auto,
        paper.spread,
        mean(auto) - mean(flat),
        paper.auto - paper.flat
    ))
}
