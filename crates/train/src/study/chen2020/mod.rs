//! Chen, Wu, Hong 2020: where clipping fails, what perturbation before it mends, and how symmetric real gradients are.
mod real;
mod skewed;

use super::{
    Ask, Results, StudyError, Table,
    toy::{EXAMPLE_1, EXAMPLE_2, PLANE, flat, perturbed, sampled},
};
use crate::{
    clip::radial::phi,
    report::plot::{Axis, Layer, Mark, Picture},
};
use engine::Device;
use privacy::{Key, Purpose};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

const NAME: &str = "chen2020";
/// Scales of the perturbation, as in the specification's table.
const SCALES: [f64; 10] = [0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 20.0, 50.0];

pub(super) fn run(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    failures(results);
    perturbation(ask, results)?;
    skewed::skewed(ask, results)?;
    real::networks(ask, results)
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
    let fixed = format!("{:.7}, {:.8}", fixed[0], fixed[1]);
    table.row(["in the plane".into(), show(&best), fixed, "0.4268424, 0.19148494".into()]);
    results.part(
        "Where clipping fails",
        vec!["The paper's two examples and one of ours in the plane, without noise: quadratics whose gradients are so skewed that \
              clipping at 1 moves or hides the optimum.".into()],
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
        y: Axis::new("second coordinate"),
        layers: vec![
            Layer::new("clipped", Mark::Line, 1, path(&flat(1.0))),
            Layer::new("not clipped", Mark::Dashed, 2, path(&|_| 1.0)),
            Layer::new("ends", Mark::Rings, 3, vec![(best[0], best[1]), (fixed[0], fixed[1])]),
        ],
        marks: Vec::new(),
    }
}

/// What one scale of the perturbation comes to: by the closed form, and drawn anew at each step.
#[derive(Serialize, Deserialize)]
struct Scaled {
    k: f64,
    zero: f64,
    slope: f64,
    drawn: f64,
    slope_2: f64,
    drawn_2: f64,
    plane: [f64; 2],
    drawn_plane: [f64; 2],
}

impl Scaled {
    fn new(k: f64, steps: usize) -> Scaled {
        let drift = |g: f64| perturbed(g, k, 1.0);
        let zero = EXAMPLE_1.zero(&drift);
        let stream = |problem: u8| Key::from_seed(2020).stream(Purpose::Audit, (10.0 * k) as u64, problem);
        let numbers = (0.02, k, 1.0);
        Scaled {
            k,
            zero,
            slope: EXAMPLE_1.slope(zero, &drift),
            drawn: sampled(&EXAMPLE_1, &stream(0), EXAMPLE_1.optimum(), numbers, steps)[0],
            slope_2: EXAMPLE_2.slope(0.0, &drift),
            drawn_2: sampled(&EXAMPLE_2, &stream(1), [1.9], numbers, steps)[0],
            plane: if k == 0.0 { PLANE.fixed_point(&flat(1.0)) } else { radial_fixed(k) },
            drawn_plane: sampled(&PLANE, &stream(2), PLANE.optimum(), numbers, steps),
        }
    }

    fn row(&self) -> [String; 8] {
        let best = PLANE.optimum();
        let away = |x: [f64; 2]| (x[0] - best[0]).hypot(x[1] - best[1]);
        [
            format!("{}", self.k),
            format!("{:.7}", self.zero),
            format!("{:.5}", self.slope),
            format!("{:.2}", self.drawn),
            format!("{:.3e}", self.slope_2),
            format!("{:.2}", self.drawn_2),
            format!("{:.4}", away(self.plane)),
            format!("{:.3}", away(self.drawn_plane)),
        ]
    }
}

/// The table over k: where perturbed clipping stops, how fast it gets there, and that drawing the perturbation agrees.
fn perturbation(ask: &Ask, results: &mut Results) -> Result<(), StudyError> {
    let steps = if ask.quick { 100_000 } else { 2_000_000 };
    let all = || Ok(SCALES.into_par_iter().map(|k| Scaled::new(k, steps)).collect::<Vec<_>>());
    let settings = format!("{SCALES:?} {steps} steps");
    let Some(scaled) = ask.part("perturbation", settings, Device::Cpu, all)? else { return Ok(()) };
    let mut table = Table::new(
        "Perturbation before clipping on the three problems, c = 1",
        &[
            "k",
            "example 1: fixed point (optimum 1)",
            "slope there",
            "drawn",
            "example 2: slope at 0",
            "drawn, from 1.9",
            "plane: distance from the optimum",
            "drawn",
        ],
    );
    scaled.iter().for_each(|scaled| table.row(scaled.row()));
    let line = |f: fn(&Scaled) -> f64| scaled.iter().filter(|s| s.k > 0.0).map(|s| (s.k, f(s))).collect::<Vec<_>>();
    let picture = Picture {
        title: "Bias against speed, example 1".into(),
        x: Axis::new("scale of the perturbation, k").log(),
        y: Axis::new("distance and slope").log(),
        layers: vec![
            Layer::new("distance", Mark::Joined, 1, line(|s| 1.0 - s.zero)),
            Layer::new("slope", Mark::Dashed, 2, line(|s| s.slope)),
        ],
        marks: Vec::new(),
    };
    let words = vec![
        "The cure of section 5: add k times a standard normal to each example's gradient, then clip. The bias dies like 1/k² while the \
         pull towards the fixed point shrinks like 1/k. In expectation the drawn rule is a radial one. Fixed points, slopes and distances \
         are the radial rule's; \"drawn\" is a run that draws fresh normals at every step (step size 0.02, 2,000,000 steps, mean of the \
         second half; its stationary spread is wide where the slope is small). Without perturbation every point of [-2, 2] is a fixed \
         point of example 2.".into(),
    ];
    results.part("Perturbation before clipping", words, vec![table], vec![picture]);
    Ok(())
}

/// The fixed point of the radial rule in the plane, its strength tabulated on a fine grid of norms.
fn radial_fixed(k: f64) -> [f64; 2] {
    const STEP: f64 = 0.01;
    let table: Vec<f64> = (0..800).into_par_iter().map(|i| phi(f64::from(i) * STEP, k, 2)).collect();
    PLANE.fixed_point(&|n: f64| {
        let place = (n / STEP).min(798.0);
        let i = place.floor() as usize;
        (table[i] + (table[i + 1] - table[i]) * place.fract()) / n.max(1e-12)
    })
}
