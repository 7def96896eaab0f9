//! Is the cloud of gradients symmetric about its mean? Random projections to look at, and a test.
//!
//! Projections are inner products with standard normal directions (Chen, Wu, Hong 2020, section 4), centred on the mean
//! gradient. Two statistics:
//! * the sliced Wasserstein distance of the cloud to its symmetrisation: the mean over directions of the distance on the
//!   line, each in standard deviations of its slice;
//! * Mardia's skewness of two-dimensional clouds (Mardia 1970): the sum of squared third moments of the whitened cloud.
//!
//! Their null law comes from turning a random half of the examples around and centring again, the symmetric bootstrap of
//! Arcones & Giné 1991: the centre is estimated, so plain sign flips would not do. Size and power are checked in the tests.
use super::{
    Diagnostic, Finding, Scan, Scene,
    statistics::{asymmetry, deviation, mean, sorted},
};
use crate::report::plot::{Axis, Layer, Mark, Picture};
use privacy::{Key, Purpose};
use rayon::prelude::*;
use serde_json::json;

/// See the module.
pub struct Symmetry;

/// Clouds that are drawn, of two directions each.
const CLOUDS: usize = 3;
/// Points drawn of each cloud.
const DRAWN: usize = 350;
/// Random turnings.
const TURNINGS: usize = 199;

/// A statistic, its mean under symmetry, and how often symmetry gives as much.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Tested {
    /// The statistic.
    pub value: f64,
    /// Its mean over turned clouds.
    pub under_symmetry: f64,
    /// The share of turned clouds that reach it, the cloud itself counted as one.
    pub p: f64,
}

impl Diagnostic for Symmetry {
    fn heading(&self) -> &'static str {
        "Symmetry"
    }

    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding> {
        (scan.len() >= 8 && scan.mean_norm() > 0.0).then_some(())?;
        let rows: Vec<&[f64]> = scan.projections.iter().map(Vec::as_slice).collect();
        let sliced = test(&rows, &scene.setting.key, sliced);
        let clouds: Vec<&[&[f64]]> = rows.chunks_exact(2).take(CLOUDS).collect();
        let skew: Vec<Tested> = clouds.iter().map(|cloud| test(cloud, &scene.setting.key, skewness)).collect();
        let pictures = clouds.iter().zip(&skew).enumerate().map(|(k, (cloud, skew))| {
            let title = format!("Projection {}: skewness {:.2}, p = {:.3}", k + 1, skew.value, skew.p);
            picture(title, cloud[0].iter().zip(cloud[1]).take(DRAWN).map(|(x, y)| (*x, *y)).collect())
        });
        Some(Finding {
            name: "symmetry",
            numbers: json!({
                "directions": rows.len(), "turnings": TURNINGS, "sliced_wasserstein": sliced, "mardia_skewness": skew,
            }),
            words: words(sliced, &skew),
            pictures: pictures.collect(),
            table: None,
        })
    }
}

fn words(sliced: Tested, skew: &[Tested]) -> Vec<String> {
    let verdict = match (sliced.p < 0.05, sliced.value < 2.0 * sliced.under_symmetry) {
        (false, _) => "The cloud of gradients cannot be told from a symmetric one",
        (true, true) => "The cloud of gradients is slightly asymmetric",
        (true, false) => "The cloud of gradients is asymmetric",
    };
    let list: Vec<String> = skew.iter().map(|s| format!("{:.2} (p = {:.3})", s.value, s.p)).collect();
    vec![
        format!(
            "{verdict}: it lies {:.3} standard deviations from its symmetrisation, where symmetric clouds of this size lie {:.3} \
             (p = {:.3}).",
            sliced.value, sliced.under_symmetry, sliced.p
        ),
        format!("Mardia's skewness of the clouds below: {}.", list.join(", ")),
    ]
}

/// The mean over rows of the distance to the symmetrisation, each in standard deviations.
pub fn sliced(rows: &[&[f64]]) -> f64 {
    mean(&rows.iter().map(|row| asymmetry(&sorted(row)) / deviation(row).max(f64::MIN_POSITIVE)).collect::<Vec<_>>())
}

/// Mardia's skewness of two centred rows.
pub fn skewness(rows: &[&[f64]]) -> f64 {
    let (x, y) = (rows[0], rows[1]);
    let moment = |f: &dyn Fn(f64, f64) -> f64| mean(&x.iter().zip(y).map(|(x, y)| f(*x, *y)).collect::<Vec<_>>());
    let (xx, xy, yy) = (moment(&|x, _| x * x), moment(&|x, y| x * y), moment(&|_, y| y * y));
    let (a, b) = (xx.sqrt(), xy / xx);
    let rest = (yy - xy * b).max(f64::MIN_POSITIVE).sqrt();
    let third = |i: i32, j: i32| moment(&|x, y| (x / a).powi(i) * ((y - b * x) / rest).powi(j)).powi(2);
    third(3, 0) + 3.0 * third(2, 1) + 3.0 * third(1, 2) + third(0, 3)
}

/// `statistic` of centred rows, against what it is when random halves of the examples are turned around.
pub fn test(rows: &[&[f64]], key: &Key, statistic: impl Fn(&[&[f64]]) -> f64 + Sync) -> Tested {
    let value = statistic(rows);
    let turned: Vec<f64> = (0..TURNINGS as u64).into_par_iter().map(|t| turned(rows, key, t, &statistic)).collect();
    let reached = turned.iter().filter(|t| **t >= value).count();
    Tested { value, under_symmetry: mean(&turned), p: (1 + reached) as f64 / (1 + TURNINGS) as f64 }
}

fn turned(rows: &[&[f64]], key: &Key, turning: u64, statistic: &impl Fn(&[&[f64]]) -> f64) -> f64 {
    let n = rows.first().map_or(0, |row| row.len());
    let mut words = vec![0; n.div_ceil(64)];
    key.stream(Purpose::Permute, turning, 1).fill_words(0, &mut words);
    let sign = |i: usize| if words[i / 64] >> (i % 64) & 1 == 1 { 1.0 } else { -1.0 };
    let turn = |row: &&[f64]| {
        let mut row: Vec<f64> = row.iter().enumerate().map(|(i, x)| sign(i) * x).collect();
        let centre = mean(&row);
        row.iter_mut().for_each(|x| *x -= centre);
        row
    };
    let all: Vec<Vec<f64>> = rows.iter().map(turn).collect();
    statistic(&all.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A cloud about the origin, and its point reflection beside it.
pub fn picture(title: String, points: Vec<(f64, f64)>) -> Picture {
    let reflected = points.iter().map(|(x, y)| (-x, -y)).collect();
    Picture {
        title,
        x: Axis::new("along one random direction"),
        y: Axis::new("along another"),
        layers: vec![
            Layer::new("reflected", Mark::Rings, 3, reflected),
            Layer::new("gradients", Mark::Dots, 2, points),
        ],
        marks: Vec::new(),
    }
}
