//! How symmetric real gradients are: projections, distance from symmetry and disparity along private runs on images.
use super::{
    super::{Ask, Results, StudyError, Table},
    NAME,
};
use crate::{
    diagnose::{self, Diagnosis, Visit, source::On, symmetry},
    report::plot::{Axis, Layer, Mark, Picture},
    run::RunError,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A run that is looked at.
struct Course {
    name: &'static str,
    file: &'static str,
    /// What is changed there.
    set: &'static [&'static str],
    /// Epochs at which it is looked at; the last is the end.
    epochs: &'static [f64],
    /// The same of a quick run; none where it has no part.
    quickly: &'static [f64],
}

/// Epochs whose clouds are drawn, besides the last.
const DRAWN: [f64; 5] = [0.0, 3.0, 10.0, 25.0, 60.0];
/// Clouds that are drawn of each, of two directions.
const CLOUDS: usize = 3;

const COURSES: [Course; 3] = [
    Course {
        name: "MNIST",
        file: "mnist.toml",
        set: &[],
        epochs: &[0.0, 1.0, 3.0, 6.0, 10.0, 17.0, 25.0, 40.0, 60.0, 100.0],
        quickly: &[0.0, 0.13, 0.3],
    },
    Course {
        name: "CIFAR-10",
        file: "cifar10.toml",
        set: &[],
        epochs: &[0.0, 1.0, 3.0, 6.0, 10.0, 17.0, 25.0, 40.0, 60.0],
        quickly: &[0.0, 0.01],
    },
    Course {
        name: "CIFAR-10, 10x step",
        file: "cifar10.toml",
        set: &["update.0.learning_rate.peak=0.01"],
        epochs: &[0.0, 1.0, 3.0, 6.0, 10.0, 17.0, 25.0, 40.0, 60.0],
        quickly: &[],
    },
];

/// A cloud's skewness, and its points.
type Cloud = (f64, Vec<(f64, f64)>);

/// What was seen at one point of a run.
#[derive(Serialize, Deserialize)]
struct Look {
    epoch: f64,
    median_norm: f64,
    clipped: f64,
    positive: f64,
    close: f64,
    degrees: f64,
    mean_norm: f64,
    b: f64,
    w: f64,
    relative: f64,
    distance: f64,
    under_symmetry: f64,
    p: f64,
    /// The share of these examples that are classified right.
    #[serde(default)]
    accuracy: Option<f64>,
    /// Mardia's skewness of each cloud, and its points.
    clouds: Vec<Cloud>,
}

pub(super) fn networks(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let mut words = vec![
        "The paper draws random projections of per-example gradients of a CNN trained on MNIST and CIFAR-10 with c = 1 and noise \
         multiplier 1.1, and finds clouds that become close to symmetric about their mean. It gives no table of numbers. Here 2000 \
         training examples are looked at, projected on 24 public random directions; clouds of three pairs of them are drawn beside their \
         reflections, and the distance from symmetry is the mean over all.".to_owned(),
    ];
    let (mut tables, mut pictures) = (Vec::new(), Vec::new());
    for course in COURSES.iter().filter(|course| !ask.quick || !course.quickly.is_empty()) {
        let looks = match course.looks(ask) {
            Err(StudyError::Diagnose(diagnose::DiagnoseError::Data(absent))) => {
                words.push(format!("{}: not run, for lack of data: {absent}.", course.name));
                continue;
            }
            other => other?,
        };
        let Some(looks) = looks else { continue };
        words.extend(outcome(course, &looks));
        tables.extend(self::tables(course, &looks));
        pictures.extend(along(course, &looks));
        pictures.extend(looks.iter().flat_map(|look| clouds(course, look)));
    }
    results.part("How symmetric real gradients are", words, tables, pictures);
    Ok(())
}

impl Course {
    fn looks(&self, ask: &Ask) -> Result<Option<Vec<Look>>, StudyError> {
        let (epochs, examples) = if ask.quick { (self.quickly, 500) } else { (self.epochs, 2000) };
        let last = epochs[epochs.len() - 1];
        let set: Vec<String> = self.set.iter().map(|s| (*s).to_owned()).collect();
        let config = ask.config(NAME, self.file, &[&set[..], &[format!("train.epochs={last}")]].concat())?;
        let settings = format!("{}# {epochs:?}", ask.config_on_cpu(NAME, self.file, &set)?.to_toml());
        let per_epoch = config.data.declared() as f64 / config.train.lot.unwrap_or(128.0);
        let device = config.train.open_devices().map_err(RunError::from)?[0];
        ask.part(self.name, settings, device, || {
            let folder = Scratch::new()?;
            let question = diagnose::Ask {
                checkpoints: Vec::new(),
                steps: epochs.iter().map(|epoch| (epoch * per_epoch).floor() as u64).collect(),
                examples,
                on: On::Declared(format!("{} is a public benchmark", self.name)),
                only: ["norms", "angle", "bias", "symmetry", "calibration"].map(str::to_owned).to_vec(),
                eigenvalues: 0,
                run: None,
                ledger: folder.0.join("ledger.jsonl"),
            };
            let Diagnosis { visits, .. } = diagnose::diagnose(&config, &ask.data, &question)?;
            let drawn = |epoch: f64| ask.quick || epoch == last || DRAWN.contains(&epoch);
            Ok(visits.iter().zip(epochs).map(|(visit, epoch)| Look::new(visit, *epoch, drawn(*epoch))).collect())
        })
    }
}

impl Look {
    fn new(visit: &Visit, epoch: f64, drawn: bool) -> Look {
        let find = |name: &str| visit.findings.iter().find(|f| f.name == name);
        let number = |name: &str, path: &str| find(name).and_then(|f| f.numbers.pointer(path)?.as_f64()).unwrap_or(0.0);
        let pictures = find("symmetry").map_or(&[][..], |f| &f.pictures[..]);
        let points = |k: usize, p: &Picture| {
            (number("symmetry", &format!("/mardia_skewness/{k}/value")), p.layers[1].points.clone())
        };
        let clouds = pictures.iter().take(if drawn { CLOUDS } else { 0 }).enumerate().map(|(k, p)| points(k, p));
        Look {
            epoch,
            median_norm: number("norms", "/whole/quantiles/3/norm"),
            clipped: number("norms", "/share_clipped"),
            positive: number("angle", "/share_positive"),
            close: number("bias", "/at_bound/close"),
            degrees: number("angle", "/degrees"),
            mean_norm: number("bias", "/mean_gradient_norm"),
            b: number("bias", "/at_bound/b"),
            w: number("bias", "/at_bound/w"),
            relative: number("bias", "/relative"),
            distance: number("symmetry", "/sliced_wasserstein/value"),
            under_symmetry: number("symmetry", "/sliced_wasserstein/under_symmetry"),
            p: number("symmetry", "/sliced_wasserstein/p"),
            accuracy: find("calibration").and_then(|f| f.numbers.pointer("/accuracy")?.as_f64()),
            clouds: clouds.collect(),
        }
    }

    fn lengths(&self) -> [String; 8] {
        [
            format!("{}", self.epoch),
            self.accuracy.map_or_else(|| "-".into(), |share| format!("{:.1} %", 100.0 * share)),
            format!("{:.3}", self.median_norm),
            format!("{:.3}", self.mean_norm),
            format!("{:.0} %", 100.0 * self.clipped),
            format!("{:.0} %", 100.0 * self.positive),
            format!("{:.1} %", 100.0 * self.close),
            format!("{:.1}°", self.degrees),
        ]
    }

    fn symmetry(&self) -> [String; 7] {
        [
            format!("{}", self.epoch),
            format!("{:.2e}", self.b),
            format!("{:.2e}", self.w),
            format!("{:.1} %", 100.0 * self.relative),
            format!("{:.3}", self.distance),
            format!("{:.3}", self.under_symmetry),
            format!("{:.3}", self.p),
        ]
    }
}

fn tables(course: &Course, looks: &[Look]) -> [Table; 2] {
    let titled = |what: &str| format!("{}, c = 1, noise multiplier 1.1: {what}", course.name);
    let mut lengths = Table::new(
        titled("lengths and angles along training"),
        &[
            "epoch",
            "accuracy",
            "median norm",
            "norm of the mean",
            "clipped",
            "cosine > 0",
            "within c/4 of the mean",
            "angle of the clipped mean",
        ],
    );
    let mut symmetry = Table::new(
        titled("disparity and symmetry along training"),
        &["epoch", "b", "W", "b relative", "distance from symmetry", "of symmetric clouds", "p"],
    );
    looks.iter().for_each(|look| lengths.row(look.lengths()));
    looks.iter().for_each(|look| symmetry.row(look.symmetry()));
    [lengths, symmetry]
}

/// Disparity and symmetry against epochs.
fn along(course: &Course, looks: &[Look]) -> [Picture; 2] {
    let line = |f: fn(&Look) -> f64| looks.iter().map(|look| (look.epoch, f(look))).collect::<Vec<_>>();
    let picture = |title: &str, y: Axis, layers: Vec<Layer>| Picture {
        title: format!("{}: {title}", course.name),
        x: Axis::new("epoch").including(0.0),
        y,
        layers,
        marks: Vec::new(),
    };
    [
        picture(
            "disparity along training",
            Axis::new("relative to symmetric").unit("%").including(0.0),
            vec![
                Layer::new("b", Mark::Joined, 1, line(|look| 100.0 * look.relative)),
                Layer::new("−W", Mark::Dashed, 3, line(|look| -100.0 * look.w * look.relative / look.b)),
            ],
        ),
        picture(
            "distance from symmetry",
            Axis::new("distance").unit("std. dev.").including(0.0),
            vec![
                Layer::new("gradients", Mark::Joined, 1, line(|look| look.distance)),
                Layer::new("symmetric clouds", Mark::Dashed, 3, line(|look| look.under_symmetry)),
            ],
        ),
    ]
}

fn clouds(course: &Course, look: &Look) -> Vec<Picture> {
    let one = |(k, (skew, points)): (usize, &Cloud)| {
        let title = format!("{}, epoch {}, {}: skewness {skew:.2}", course.name, look.epoch, k + 1);
        symmetry::picture(title, points.clone())
    };
    look.clouds.iter().enumerate().map(one).collect()
}

/// What the first and the last look say, beside what the paper says.
fn outcome(course: &Course, looks: &[Look]) -> Option<String> {
    let (first, last) = (looks.first()?, looks.last()?);
    let mut words = format!(
        "{} (seed 2020, {} epochs): from the first to the last look the distance from symmetry along random directions goes from {:.3} \
         to {:.3} standard deviations, where symmetric clouds of this size lie {:.3} (p = {:.3}): {}. Along the mean gradient \
         the disparity b goes from {:.0} % to {:.0} % of what a symmetric law would make of a clipped step.",
        course.name,
        last.epoch,
        first.distance,
        last.distance,
        last.under_symmetry,
        last.p,
        verdict(first, last),
        100.0 * first.relative,
        100.0 * last.relative
    );
    if last.relative < -0.5 {
        words += " The two do not contradict each other: a minority of long gradients makes the mean and is what clipping \
                  shortens, and random directions hardly see it. Symmetric projections are no proof of a small bias.";
    }
    Some(words)
}

/// The paper's clouds come close to symmetry. Here that is said where the last look cannot be told from symmetric clouds.
fn verdict(first: &Look, last: &Look) -> &'static str {
    match (last.p >= 0.05, last.distance < first.distance) {
        (true, _) => "as in the paper, clouds cannot be told from symmetric ones in the end",
        (false, true) => "nearer, but unlike in the paper still told from symmetric clouds",
        (false, false) => "unlike in the paper, they do not come nearer to symmetry",
    }
}

/// A folder for a ledger that nobody wants; gone with its owner.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, StudyError> {
        let folder = std::env::temp_dir().join(format!("secateur-study-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| StudyError::Other(format!("{}: {e}", folder.display())))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use privacy::{Accountant, Curve, Event, Neighbouring, Sampling, account::Rdp};

    /// `clipping-01`, section 4: epsilon of the MNIST run at delta 1e-5 by epochs of 469 steps, as printed: Rényi divergences of
    /// whole orders. (Real orders give 0.6139 for the first epoch, the loss distribution 0.1954.)
    #[test]
    fn reference_epsilons() {
        let sampling = Sampling::Poisson { rate: 128.0 / 60_000.0 };
        let round = Event::Round { sampling, releases: vec![Event::Gaussian { noise_multiplier: 1.1 }] };
        let step = Rdp.price(&round, Neighbouring::AddRemove).unwrap();
        let ln_delta = 1e-5f64.ln();
        for (epochs, printed) in [(1, 0.6295), (3, 0.6714), (10, 0.8182), (25, 1.1325), (60, 1.7554)] {
            let curve = step.clone().times(469 * epochs);
            let at = |order: f64| {
                curve.divergence(order) + (1.0 - 1.0 / order).ln() - (ln_delta + order.ln()) / (order - 1.0)
            };
            let epsilon = (2..256).map(|order| at(f64::from(order))).fold(f64::INFINITY, f64::min);
            assert!((epsilon - printed).abs() <= 0.501e-4, "{epochs} epochs: {epsilon} is not {printed}");
        }
    }
}
