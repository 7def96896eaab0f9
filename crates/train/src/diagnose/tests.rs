//! The scan against gradients multiplied out; estimators on gradients whose answers are known; what may be looked at.
use super::{
    Scan, Scene, Setting, clipped, hessian, scene, source,
    source::On,
    statistics::mean,
    step::{Moments, Parts},
    symmetry,
};
use crate::{
    clip::ClipRule,
    data::{Examples, Loaded, Targets},
    layer::LayerConfig,
    model::{Loss, Model, ModelConfig, Weights},
};
use privacy::{Key, Neighbouring, Purpose};

fn rule(text: &str) -> Box<dyn ClipRule> {
    let config: crate::clip::ClipConfig = toml::from_str(text).unwrap();
    let layout = crate::grads::Layout::new(Vec::new());
    let setting = crate::clip::Setting {
        layout,
        parameters: 0,
        noise_multiplier: 1.0,
        lot: 10.0,
        sample_rate: 0.1,
        steps: 10,
        key: std::sync::Arc::new(Key::from_seed(0)),
        root: Default::default(),
    };
    config.get().prepare(&setting).unwrap()
}

pub(super) fn setting(bound: f64, chunk: usize) -> Setting {
    let rules = ["flat", "auto-s"].map(|name| (name.to_owned(), rule(&format!("rule = \"{name}\"\nbound = {bound}"))));
    Setting {
        rules: rules.into(),
        learning: Vec::new(),
        notes: Vec::new(),
        bound,
        noise_multiplier: 1.1,
        lot: 10.0,
        sample_rate: 0.1,
        key: Key::from_seed(5),
        chunk,
        eigenvalues: 3,
    }
}

/// A linear model without a bias, of inputs `[n, d]`.
pub(super) fn model(d: usize, loss: Loss, targets: &Targets) -> Model {
    let linear: LayerConfig = toml::from_str("layer = \"linear\"\nfeatures = 1\nbias = false").unwrap();
    let config = ModelConfig { loss: Some(loss), layers: vec![linear], ..ModelConfig::default() };
    Model::build(&config, &[d], targets).unwrap()
}

/// Examples whose gradients at weight 0 are `-2 y x`: with `y = -1/2` the gradients are the inputs themselves.
pub(super) fn examples(rows: &[Vec<f64>]) -> Examples {
    let targets = Targets::Values { width: 1, data: vec![-0.5; rows.len()] };
    let inputs = rows.iter().flatten().map(|x| *x as f32).collect();
    Examples::from_floats(inputs, vec![rows[0].len()], targets, Vec::new()).unwrap()
}

/// Looks at gradients that are given.
fn scan(rows: &[Vec<f64>], setting: &Setting) -> Scan {
    scan_of(&examples(rows), setting)
}

fn scan_of(data: &Examples, setting: &Setting) -> Scan {
    let model = model(data.shape()[0], Loss::MeanSquaredError, &data.gather(&[]).targets);
    let weights = scene::at(model.layout(), &crate::grads::Grads::zeros(model.layout()));
    let who = (0..data.len()).collect();
    Scan::new(&Scene { model: &model, weights: &weights, other: None, examples: data, who, setting })
}

pub(super) fn normals(n: usize, d: usize, seed: u64) -> Vec<Vec<f64>> {
    let mut all = vec![0.0; n * d];
    Key::from_seed(seed).stream(Purpose::Audit, 0, 0).fill_normal_f64(0, &mut all);
    all.chunks(d).map(<[f64]>::to_vec).collect()
}

fn inner(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(super) fn near(got: f64, wanted: f64, what: &str) {
    assert!((got - wanted).abs() <= 2e-5 * wanted.abs().max(1.0), "{what}: {got} is not {wanted}");
}

#[test]
fn a_scan_agrees_with_gradients_multiplied_out_whatever_the_chunks() {
    let rows: Vec<Vec<f64>> =
        normals(37, 5, 1).into_iter().map(|r| r.iter().map(|x| x * 0.7 + 0.3).collect()).collect();
    let n = rows.len() as f64;
    let v: Vec<f64> = (0..5).map(|j| rows.iter().map(|r| r[j]).sum::<f64>() / n).collect();
    for chunk in [1, 8, 64] {
        let scan = scan(&rows, &setting(1.0, chunk));
        for (i, row) in rows.iter().enumerate() {
            near(scan.norms[i], inner(row, row).sqrt(), "norm");
            near(scan.dots[i], inner(row, &v), "dot");
        }
        for t in &scan.thresholds {
            let clipped = |r: &Vec<f64>, j: usize| r[j] * clipped::shrink(inner(r, r).sqrt(), t.c);
            let m: Vec<f64> = (0..5).map(|j| rows.iter().map(|r| clipped(r, j)).sum::<f64>() / n).collect();
            near(t.square, inner(&m, &m), "square");
            near(t.dot, inner(&m, &v), "inner product");
        }
        let at_bound = scan.thresholds.iter().find(|t| t.c == 1.0).unwrap();
        near(scan.rules[0].square, at_bound.square, "the rule");
        near(scan.rules[0].second, mean(&scan.norms.iter().map(|n| n.min(1.0).powi(2)).collect::<Vec<_>>()), "second");
        assert!(scan.projections.iter().all(|row| mean(row).abs() < 1e-9));
    }
}

#[test]
fn examples_that_are_not_finite_are_left_out_and_counted() {
    let mut rows = normals(12, 3, 2);
    rows[4] = vec![3e38, 3e38, 3e38];
    // A target of -2 makes gradients four times the inputs: beyond f32 for the fifth.
    let targets = Targets::Values { width: 1, data: vec![-2.0; 12] };
    let inputs = rows.iter().flatten().map(|x| *x as f32).collect();
    let all = scan_of(&Examples::from_floats(inputs, vec![3], targets, Vec::new()).unwrap(), &setting(1.0, 5));
    assert_eq!((all.lost, all.len()), (1, 11));
    assert!(all.mean_norm().is_finite() && !all.who.contains(&4));
}

/// Gradients symmetric about their mean: no bias beyond its standard error. Skewed ones: two thirds at `-1`, one third at
/// `2 + 3 m` along an axis has a closed form.
#[test]
fn disparity_is_nothing_for_symmetric_and_exact_for_skewed_gradients() {
    let shift = [0.8, -0.4, 0.2, 0.0];
    let rows: Vec<Vec<f64>> =
        normals(4000, 4, 3).iter().map(|r| r.iter().zip(shift).map(|(x, s)| x + s).collect()).collect();
    let symmetric = scan(&rows, &setting(1.0, 512));
    let got = clipped::disparity(&symmetric.norms, &symmetric.dots, symmetric.mean_norm(), 1.0);
    assert!(got.b.abs() < 4.0 * got.error && got.error < 0.01, "{got:?}");
    // Example 1 of the paper at x* + 1 = 2: gradients 5, 5, -7, so v = 1, clipped at 1: h = (1, 1, -1), h' of (-3, -3, 9) = (-1, -1, 1).
    let skewed = scan(&[vec![5.0], vec![5.0], vec![-7.0]], &setting(1.0, 2));
    let got = clipped::disparity(&skewed.norms, &skewed.dots, skewed.mean_norm(), 1.0);
    near(got.clipped, 1.0 / 3.0, "h");
    near(got.b, 1.0 / 3.0, "b");
    // And at x = 0, on the other side: gradients 3, 3, -9, v = -1: progress (-1)(1/3) is negative, b the whole of it.
    let skewed = scan(&[vec![3.0], vec![3.0], vec![-9.0]], &setting(1.0, 3));
    let got = clipped::disparity(&skewed.norms, &skewed.dots, skewed.mean_norm(), 1.0);
    near(got.clipped, -1.0 / 3.0, "h");
    near(got.b, -1.0 / 3.0, "b");
}

/// Standard normal gradients about `v` in `d` dimensions, nobody clipped: no bias, and the squared mean is not over-counted.
#[test]
fn the_parts_of_a_step_are_unbiased() {
    let (n, d) = (200, 20);
    let setting = setting(1e3, 64);
    let parts = |seed: u64| {
        let rows: Vec<Vec<f64>> = normals(n, d, seed).into_iter().map(|mut r| (r[0] += 0.5, r).1).collect();
        super::step::configured(&setting, &scan(&rows, &setting)).unwrap()
    };
    let all: Vec<Parts> = (10..40).map(parts).collect();
    let signal = mean(&all.iter().map(|p| p.signal).collect::<Vec<_>>());
    // The uncorrected mean would be 0.25 + 20/200 = 0.35; the standard error here is about 0.014.
    assert!((signal - 0.25).abs() < 0.05, "{signal}");
    assert!(all.iter().all(|p| p.bias < 1e-6));
    let one = Moments { square: 1.0, dot: 1.0, second: 4.0, change: 0.0, own: 4.0 };
    let parts = Parts::new(&setting, 2.0, one, (1.0, 4.0), (1_000_000, 50));
    near(parts.noise, 50.0 * (1.1f64 * 2.0 / 10.0).powi(2), "noise");
    near(parts.sampling, 0.9 / 10.0 * 4.0, "sampling");
}

/// Of 100 symmetric clouds about as many are rejected at 5 % as should be; of skewed ones all.
#[test]
fn the_test_of_symmetry_has_its_size_and_power() {
    let key = Key::from_seed(9);
    let p = |seed: u64, skew: f64| {
        let cloud = normals(120, 2, seed);
        let row = |j: usize| {
            let row: Vec<f64> = cloud.iter().map(|r| r[j] + skew * (r[j] * r[j] - 1.0)).collect();
            let centre = mean(&row);
            row.into_iter().map(|x| x - centre).collect::<Vec<f64>>()
        };
        let (x, y) = (row(0), row(1));
        symmetry::test(&[&x, &y], &key, symmetry::sliced).p
    };
    let rejected = (0..100).filter(|seed| p(1000 + seed, 0.0) <= 0.05).count();
    // Binomial(100, 0.05): beyond 14 with probability 1e-4.
    assert!(rejected <= 14, "{rejected} of 100 symmetric clouds were called asymmetric");
    assert!((0..5).all(|seed| p(2000 + seed, 0.5) <= 0.01));
}

/// Exponential laws have skewness 2 in each coordinate: Mardia's statistic of two independent ones is 8.
#[test]
fn skewness_has_its_closed_form() {
    let stream = Key::from_seed(3).stream(Purpose::Audit, 0, 0);
    let draw =
        |from: u64| -> Vec<f64> { (0..200_000).map(|i| -stream.uniform(from + i).max(1e-300).ln() - 1.0).collect() };
    let (x, y) = (draw(0), draw(1 << 32));
    let got = symmetry::skewness(&[&x, &y]);
    assert!((got - 8.0).abs() < 0.5, "{got}");
    let turned: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 3.0 * x - 0.5 * y).collect();
    assert!((symmetry::skewness(&[&turned, &y]) - got).abs() < 1e-6, "affine maps change nothing");
}

/// `diagnostics.md`, H1: logistic loss, `Hv = (-0.1767767, 0.35355339, -0.08838835)`, by central differences with h = 1e-2.
#[test]
fn a_hessian_vector_product_by_differences() {
    let names: std::sync::Arc<[String]> = ["no".to_owned(), "yes".to_owned()].into();
    let targets = Targets::Classes { labels: vec![1], names };
    let data = Examples::from_floats(vec![1.0, -2.0, 0.5], vec![3], targets, Vec::new()).unwrap();
    let model = model(3, Loss::SigmoidCrossEntropy, &data.gather(&[]).targets);
    let point = |x: [f32; 3]| crate::grads::Grads::new(model.layout(), x.to_vec());
    let (w, v) = (point([0.3, 0.1, -0.2]), point([0.5f32.sqrt(), 0.5f32.sqrt(), 0.0]));
    let weights: Weights = scene::at(model.layout(), &w);
    let setting = setting(1.0, 4);
    let scene =
        Scene { model: &model, weights: &weights, other: None, examples: &data, who: vec![0], setting: &setting };
    use privacy::Sum;
    let ahead = scene.gradient_at(&w.clone().add_scaled(v.clone(), 1e-2));
    let behind = scene.gradient_at(&w.clone().add_scaled(v, -1e-2));
    let product = ahead.flat().iter().zip(behind.flat()).map(|(a, b)| (a - b) / 2e-2);
    // With all of the logistic curvature at its largest, 1/4 x x^T v; the sigmoid at 0 logit: x.w = 0.
    for (got, wanted) in product.zip([-0.176_776_7f32, 0.353_553_4, -0.088_388_35]) {
        assert!((got - wanted).abs() < 1e-4, "{got} is not {wanted}");
    }
    let scan = Scan::new(&scene);
    let found = super::Diagnostic::find(&hessian::Hessian, &scene, &scan).unwrap();
    let top = found.numbers["eigenvalues"][0].as_f64().unwrap();
    assert!((top - 5.25 / 4.0).abs() < 1e-3, "the only curvature is |x|^2 / 4 = 1.3125: {top}");
}

#[test]
fn private_data_are_revealed_or_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.jsonl");
    let load = || Loaded {
        train: examples(&[vec![1.0]]),
        evaluation: None,
        declared: 1,
        notes: Vec::new(),
        remarks: Vec::new(),
    };
    let look = |on: On, ledger: &std::path::Path| {
        let (checkpoints, steps, only) = (Vec::new(), Vec::new(), Vec::new());
        let ask =
            super::Ask { checkpoints, steps, examples: 1, on, only, eigenvalues: 0, run: None, ledger: ledger.into() };
        source::examples(load(), &ask, Neighbouring::AddRemove)
    };
    let refused = look(On::Evaluation, &ledger).unwrap_err().to_string();
    assert!(refused.contains("--training") && !ledger.exists(), "{refused}");
    look(On::Declared("synthetic".into()), &ledger).unwrap();
    assert!(!ledger.exists());
    for looks in 1..=2 {
        let (_, standing) = look(On::Training, &ledger).unwrap();
        assert_eq!(standing, source::Standing::Revealed);
        let book = privacy::Ledger::read(&ledger).unwrap();
        let revealed = |(event, n): &(privacy::Event, u64)| match event {
            privacy::Event::Revealed { .. } => *n,
            _ => 0,
        };
        assert_eq!(book.entries().iter().map(revealed).sum::<u64>(), looks);
        assert_eq!(privacy::account::by_name("rdp").unwrap().spent(&book, 1e-5), Ok(f64::INFINITY));
    }
    // A ledger that cannot be written: nothing is shown.
    let absent = folder.path().join("no/such/ledger.jsonl");
    assert!(look(On::Training, &absent).is_err());
}
