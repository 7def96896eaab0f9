//! Every layer of the list, through the same questions: against one example at a time, against finite differences,
//! against a disturbed neighbour.
mod frozen;
mod people;

use super::{Coins, LayerConfig};
use crate::{
    data::{Batch, Targets},
    grads::Grads,
    model::{Loss, Model, Weights},
};
use privacy::{Key, Purpose};

/// A way to try a layer: its configuration, and the shape of one example.
type Try = (String, Vec<usize>);

/// How each entry of the list is tried.
fn tried(name: &str) -> Vec<Try> {
    let with = |fields: &str, shape: &[usize]| (format!("layer = \"{name}\"\n{fields}"), shape.to_vec());
    match name {
        "linear" => vec![
            with("features = 4", &[6]),
            with("features = 4\nbias = false", &[6]),
            with("features = 5", &[7, 3]),
            with("features = 3", &[2, 2, 4]),
        ],
        "conv2d" => vec![
            with("channels = 3\nkernel = 3", &[2, 6, 5]),
            with("channels = 4\nkernel = [2, 3]\nstride = [2, 1]\npadding = [1, 2]\nbias = false", &[1, 7, 6]),
            with("channels = 16\nkernel = 2\nstride = 2", &[8, 4, 4]),
        ],
        "relu" | "tanh" | "flatten" => vec![with("", &[2, 3, 4])],
        "silu" | "mean_image" => vec![with("", &[2, 3, 4])],
        "dropout" => vec![with("rate = 0.5", &[6])],
        "rms_norm" => vec![with("", &[6]), with("eps = 1e-3", &[3, 5])],
        "positions" => {
            vec![with("", &[4, 3]), with("length = 7", &[4, 3]), with("kind = \"sinusoidal\"", &[4, 3])]
        }
        "attention" => vec![with("heads = 2", &[5, 4]), with("heads = 1\ncausal = true", &[6, 3])],
        "ws_conv2d" => vec![
            with("channels = 3\nkernel = 3", &[2, 6, 5]),
            with("channels = 4\nkernel = [2, 3]\nstride = [2, 1]\npadding = [1, 2]\nbias = false", &[1, 7, 6]),
        ],
        "gelu" => vec![with("", &[5]), with("approximate = \"tanh\"", &[5])],
        "max_pool2d" => vec![with("kernel = 2\nstride = 1", &[2, 5, 4]), with("kernel = 3\npadding = 1", &[2, 7, 6])],
        "avg_pool2d" => vec![with("kernel = 2", &[2, 5, 4]), with("kernel = 3\nstride = 2\npadding = 1", &[2, 7, 6])],
        "layer_norm" => vec![with("", &[6]), with("eps = 1e-3", &[3, 5])],
        "group_norm" => vec![with("groups = 2", &[4, 3, 2]), with("groups = 1", &[3, 2, 2])],
        "embedding" => {
            vec![with("vocabulary = 5\nfeatures = 3", &[6]), with("vocabulary = 5\nfeatures = 3\npadding = 1", &[6])]
        }
        "token" => vec![with("", &[4, 3]), with("which = \"last\"", &[4, 3])],
        "token_types" => vec![with("types = 1", &[4, 3]), with("types = 3", &[2, 4])],
        "mean_over" => vec![with("", &[4, 3])],
        _ => tried_with_others_inside(name, with),
    }
}

/// The same of those that hold layers.
fn tried_with_others_inside(name: &str, with: impl Fn(&str, &[usize]) -> Try) -> Vec<Try> {
    match name {
        "tied_embedding" => {
            let inside = "{ layer = \"linear\", features = 3 }, { layer = \"tanh\" }";
            vec![
                with("vocabulary = 5\nfeatures = 3\nlayers = []", &[6]),
                with(&format!("vocabulary = 5\nfeatures = 3\npadding = 2\nlayers = [{inside}]"), &[4]),
            ]
        }
        "transformer" => vec![
            with("layers = 2\nheads = 2\nhidden = 6", &[3, 4]),
            with("layers = 1\nheads = 2\nhidden = 5\nplace = \"post\"\ncausal = true\ndropout = 0.1", &[3, 4]),
            with(
                "layers = 1\nheads = 1\nhidden = 5\nnorm = { layer = \"rms_norm\" }\nactivation = { layer = \"silu\" }",
                &[3, 4],
            ),
        ],
        "residual" => vec![
            with("layers = [{ layer = \"linear\", features = 5 }, { layer = \"tanh\" }]", &[5]),
            with(
                "layers = [{ layer = \"linear\", features = 4 }]\nshortcut = [{ layer = \"tanh\" }, { layer = \"linear\", features = 4 }]",
                &[3],
            ),
            with("layers = [{ layer = \"linear\", features = 3 }]\nshortcut = [{ layer = \"tanh\" }]", &[3]),
        ],
        "wide_resnet" => vec![
            with("depth = 10\nwidth = 1\ngroups = 4", &[1, 8, 8]),
            with("depth = 10\nwidth = 1\ngroups = 4\nstandardise = true", &[1, 8, 8]),
        ],
        other => panic!("say in layer/tests.rs how `{other}` is tried"),
    }
}

/// A small model around the layer: something with parameters before it, so that its input gradient is asked for too.
fn model(layer: &str, shape: &[usize]) -> Model {
    let layer: LayerConfig = toml::from_str(layer).unwrap();
    let mut layers = Vec::new();
    if !layer.name().ends_with("embedding") {
        layers.push(toml::from_str("layer = \"layer_norm\"").unwrap());
    }
    layers.extend([
        layer,
        toml::from_str("layer = \"flatten\"").unwrap(),
        toml::from_str("layer = \"linear\"\nfeatures = 3").unwrap(),
    ]);
    let config = crate::model::ModelConfig { loss: Some(Loss::CrossEntropy), layers, ..Default::default() };
    Model::build(&config, shape, &classes(vec![])).unwrap_or_else(|e| panic!("{e}"))
}

fn classes(labels: Vec<u32>) -> Targets {
    Targets::Classes { labels, names: ["a", "b", "c"].map(str::to_owned).into() }
}

fn numbers(model: &Model, n: usize, seed: u64) -> Vec<f32> {
    let stream = Key::from_seed(seed).stream(Purpose::Init, 9, 9);
    let embedding = model.layout().parameters()[0].name == "0.weight" && model.layout().parameters()[0].shape == [5, 3];
    let width = n * model.input().iter().product::<usize>();
    (0..width as u64)
        .map(|i| if embedding { (5.0 * stream.uniform(i)) as u32 as f32 } else { stream.normal(i) as f32 })
        .collect()
}

fn batch(model: &Model, rows: Vec<f32>, labels: &[u32]) -> Batch {
    Batch { inputs: rows, n: labels.len(), shape: model.input().to_vec(), targets: classes(labels.to_vec()) }
}

fn each(f: impl Fn(&str, &Model, &Weights)) {
    for entry in LayerConfig::ENTRIES {
        for (config, shape) in tried(entry.name) {
            let model = model(&config, &shape);
            let weights = Weights::public(model.layout(), &Key::from_seed(5));
            f(&format!("{config} on {shape:?}"), &model, &weights);
        }
    }
}

fn close(what: &str, a: f64, b: f64, relative: f64, absolute: f64) {
    assert!((a - b).abs() <= relative * a.abs().max(b.abs()) + absolute, "{what}: {a} and {b}");
}

#[test]
fn a_lot_agrees_with_one_example_at_a_time() {
    each(|what, model, weights| {
        let labels = [0, 2, 1, 1];
        let (rows, width) = (numbers(model, 4, 1), model.input().iter().product::<usize>());
        let groups = vec![0; model.layout().parameters().len()];
        let mut all = model.taps(weights, batch(model, rows.clone(), &labels));
        let norms = all.norms(&groups, 1);
        let clipped = [0.5f32, 1.0, 0.0, 0.25];
        let sum = all.sum(&clipped, &groups, 1);
        let mut expected = vec![0.0f64; model.layout().len()];
        for i in 0..4 {
            let one = model.taps(weights, batch(model, rows[i * width..(i + 1) * width].to_vec(), &labels[i..=i]));
            let gradient: Vec<f32> = one.rows().iter().flat_map(|t| t.row(0).to_vec()).collect();
            let norm: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
            // Not below, and above by what rounding may add to a sum.
            let fine = norms[i] >= norm * (1.0 - 2e-5) - 1e-12 && norms[i] <= norm * (1.0 + 1e-3) + 1e-12;
            assert!(fine, "{what}: {} and {norm}", norms[i]);
            expected.iter_mut().zip(&gradient).for_each(|(e, g)| *e += f64::from(clipped[i] * g));
        }
        let scale = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
        let gap = sum.flat().iter().zip(&expected).map(|(s, e)| (f64::from(*s) - e).powi(2)).sum::<f64>().sqrt();
        assert!(gap <= 1e-5 * scale, "{what}: the clipped sum is off by {gap} of {scale}");
    });
}

/// Outputs, gradients, norms and the clipped sum of four examples, one list.
fn everything(model: &Model, weights: &Weights) -> Vec<f64> {
    let (rows, labels) = (numbers(model, 4, 1), [0, 2, 1, 1]);
    let groups = vec![0; model.layout().parameters().len()];
    let inputs = engine::Tensor::new([&[4], model.input()].concat(), rows.clone());
    let mut taps = model.taps(weights, batch(model, rows, &labels));
    let norms = taps.norms(&groups, 1);
    let wide = |x: &[f32]| x.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
    let each: Vec<f64> = taps.rows().iter().flat_map(|rows| wide(rows.data())).collect();
    let sum = wide(taps.sum(&[0.5, 1.0, 0.0, 0.25], &groups, 1).flat());
    [wide(model.outputs(weights, inputs).data()), norms, each, sum].concat()
}

/// Of every layer, to the bit, and the sums that follow.
#[test]
fn norms_taken_on_the_way_are_those_taken_afterwards() {
    let key = std::sync::Arc::new(Key::from_seed(6));
    each(|what, model, weights| {
        let groups = vec![0; model.layout().parameters().len()];
        let seen = |measured: bool| {
            let x = engine::Tensor::new([&[4], model.input()].concat(), numbers(model, 4, 1));
            let coins = Coins { key: key.clone(), step: 3, who: vec![7, 2, 9, 4] };
            let mut taps = model.taps_with(weights, (x, &classes(vec![0, 2, 1, 1])), coins, None, measured);
            let norms = taps.norms(&groups, 1);
            (norms.clone(), taps.sum(&[0.5, 1.0, 0.0, 0.25], &groups, 1).to_vec(), taps.norms(&groups, 1) == norms)
        };
        assert!(seen(true) == seen(false), "{what}");
        assert!(seen(true).2, "{what}: asked again");
    });
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let [one, two, eight] = [1, 2, 8].map(on);
    each(|what, model, weights| {
        let alone = one.install(|| everything(model, weights));
        assert!(alone == two.install(|| everything(model, weights)), "{what}: 2 threads");
        assert!(alone == eight.install(|| everything(model, weights)), "{what}: 8 threads");
    });
}

/// Products and convolutions by the instructions of other machines: in a process of its own, since tests that run beside it compare
/// bits.
#[test]
fn every_level_of_instructions_agrees() {
    let own = std::env::current_exe().unwrap();
    let alone = ["--exact", "layer::tests::every_level_agrees_here", "--ignored"];
    let done = std::process::Command::new(own).args(alone).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "changes the level of the whole process: the test before starts it"]
fn every_level_agrees_here() {
    use engine::Level;
    each(|what, model, weights| {
        let at = |level: Level| {
            level.limit();
            everything(model, weights)
        };
        let best = at(Level::best());
        let scale = best.iter().fold(0.0f64, |top, x| top.max(x.abs()));
        for level in [Level::Portable, Level::Avx2] {
            let other = at(level);
            let gap = best.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
            assert!(gap <= 1e-5 * scale, "{what} at {level:?}: off by {gap} of {scale}");
        }
        Level::best().limit();
    });
}

#[test]
fn short_cuts_agree_with_rows() {
    each(|what, model, weights| {
        let taps = model.taps(weights, batch(model, numbers(model, 3, 2), &[1, 0, 2]));
        let rows = taps.rows();
        let stream = Key::from_seed(8).stream(Purpose::Init, 0, 0);
        let v = Grads::new(model.layout(), (0..model.layout().len() as u64).map(|i| stream.normal(i) as f32).collect());
        for (i, dot) in taps.dot(&v).into_iter().enumerate() {
            let flat = rows.iter().flat_map(|t| t.row(i));
            let expected: f64 = flat.zip(v.flat()).map(|(g, v)| f64::from(*g) * f64::from(*v)).sum();
            close(what, dot, expected, 1e-4, 1e-4);
        }
    });
}

#[test]
fn gradients_agree_with_finite_differences() {
    each(|what, model, weights| {
        let (rows, labels) = (numbers(model, 1, 3), [1]);
        let gradient: Vec<f32> = model
            .taps(weights, batch(model, rows.clone(), &labels))
            .rows()
            .iter()
            .flat_map(|t| t.row(0).to_vec())
            .collect();
        let start = weights.point();
        let loss = |k: usize, by: f32| {
            let mut point = start.clone();
            point.flat_mut()[k] += by;
            let named = model.layout().parameters().iter().enumerate().map(|(p, parameter)| {
                (parameter.name.clone(), engine::Tensor::new(parameter.shape.clone(), point.parameter(p).to_vec()))
            });
            let moved = Weights::from_public(model.layout(), named.collect()).unwrap();
            let inputs = engine::Tensor::new([&[1], model.input()].concat(), rows.clone());
            let outputs = model.outputs(&moved, inputs);
            f64::from(model.loss().apply(outputs, &classes(vec![1])).0.data()[0])
        };
        // f32 losses limit what differences can show, and so do the kinks of max and relu, of which a deep network has one in
        // almost every longer step: a right gradient agrees with at least one length of step.
        let agrees = |want: f64, slope: f64| (want - slope).abs() <= 2e-2 * want.abs().max(slope.abs()) + 2e-3;
        for k in (0..gradient.len()).step_by(1 + gradient.len() / 40) {
            let slope = |step: f32| (loss(k, step) - loss(k, -step)) / (2.0 * f64::from(step));
            let want = f64::from(gradient[k]);
            let fine = [1e-2, 3e-3, 1e-3, 3e-4].into_iter().any(|step| agrees(want, slope(step)));
            assert!(fine, "{what}, number {k}: {want} and {}", slope(1e-2));
        }
    });
}

#[test]
fn a_neighbour_changes_nothing() {
    each(|what, model, weights| {
        let rows = numbers(model, 3, 4);
        let width = rows.len() / 3;
        let mut disturbed = rows.clone();
        disturbed[width..2 * width].copy_from_slice(&numbers(model, 1, 77));
        let [a, b] = [rows, disturbed].map(|rows| model.taps(weights, batch(model, rows, &[0, 1, 2])).rows());
        for i in [0, 2] {
            for (a, b) in a.iter().zip(&b) {
                a.row(i).iter().zip(b.row(i)).for_each(|(a, b)| close(what, f64::from(*a), f64::from(*b), 1e-6, 1e-7));
            }
        }
    });
}

#[test]
fn an_example_that_is_not_finite_stays_alone() {
    each(|what, model, weights| {
        let mut rows = numbers(model, 3, 6);
        let width = rows.len() / 3;
        rows[width..2 * width].fill(f32::NAN);
        let groups = vec![0; model.layout().parameters().len()];
        let mut taps = model.taps(weights, batch(model, rows, &[0, 1, 2]));
        let norms = taps.norms(&groups, 1);
        assert!(norms[0].is_finite() && !norms[1].is_finite() && norms[2].is_finite(), "{what}: {norms:?}");
        assert!(taps.finite().data()[1] == 0.0, "{what}");
        let sum = taps.sum(&[1.0, 0.0, 1.0], &groups, 1);
        assert!(sum.flat().iter().all(|x| x.is_finite()), "{what}");
    });
}

#[test]
fn nobody_is_an_empty_batch() {
    each(|what, model, weights| {
        let mut taps = model.taps(weights, batch(model, Vec::new(), &[]));
        let groups = vec![0; model.layout().parameters().len()];
        assert!(taps.norms(&groups, 1).is_empty(), "{what}");
        assert!(taps.sum(&[], &groups, 1).flat().iter().all(|x| *x == 0.0), "{what}");
    });
}

#[test]
fn evaluation_computes_what_training_does() {
    each(|what, model, weights| {
        let rows = numbers(model, 2, 7);
        let targets = classes(vec![0, 1]);
        let inputs = engine::Tensor::new([&[2], model.input()].concat(), rows.clone());
        let (losses, _) = model.loss().apply(model.outputs(weights, inputs), &targets);
        assert!(losses.data().iter().all(|l| l.is_finite()), "{what}");
    });
}

#[test]
fn wrong_shapes_and_fields_are_errors_that_say_what_is_wanted() {
    let error = |layer: &str, shape: &[usize]| {
        let layer: LayerConfig = toml::from_str(layer).unwrap();
        layer.get().build(shape).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(error("layer = \"conv2d\"\nchannels = 2\nkernel = 3", &[9]).contains("[channels, height, width]"));
    assert!(error("layer = \"conv2d\"\nchannels = 2\nkernel = 9", &[1, 4, 4]).contains("does not fit"));
    assert!(error("layer = \"conv2d\"\nchannels = 2\nkernel = 3\nstride = 0", &[1, 4, 4]).contains("at least 1"));
    assert!(error("layer = \"linear\"\nfeatures = 0", &[4]).contains("features"));
    assert!(error("layer = \"group_norm\"\ngroups = 3", &[4, 2, 2]).contains("groups"));
    assert!(error("layer = \"max_pool2d\"\nkernel = 2\npadding = 2", &[4, 4, 4]).contains("half the kernel"));
    let unknown = toml::from_str::<LayerConfig>("layer = \"linear\"\nfeature = 3").unwrap_err().to_string();
    assert!(unknown.contains("unknown field `feature`") && unknown.contains("features"), "{unknown}");
    assert!(toml::from_str::<LayerConfig>("layer = \"dense\"").unwrap_err().to_string().contains("linear"));
}

/// A text with empty positions is the text without them, for outputs and gradients alike.
#[test]
fn empty_positions_do_not_exist() {
    let config = "layers = [
        { layer = \"embedding\", vocabulary = 6, features = 4, padding = 0 },
        { layer = \"transformer\", layers = 2, heads = 2, hidden = 6 },
        { layer = \"mean_over\" },
        { layer = \"linear\", features = 3 },
    ]";
    let of = |tokens: usize| Model::build(&toml::from_str(config).unwrap(), &[tokens], &classes(vec![])).unwrap();
    let (short, long) = (of(3), of(5));
    let weights = Weights::public(short.layout(), &Key::from_seed(5));
    let rows = [vec![1.0f32, 4.0, 2.0], vec![1.0, 4.0, 2.0, 0.0, 0.0]];
    let [a, b] = [(&short, &rows[0]), (&long, &rows[1])].map(|(model, row)| {
        let inputs = engine::Tensor::new([1, row.len()], row.clone());
        let taps = model.taps(&weights, batch(model, row.clone(), &[2]));
        let gradient: Vec<f32> = taps.rows().iter().flat_map(|rows| rows.data().to_vec()).collect();
        (model.outputs(&weights, inputs).into_data(), gradient)
    });
    a.0.iter().zip(&b.0).for_each(|(a, b)| close("outputs", f64::from(*a), f64::from(*b), 1e-5, 1e-6));
    a.1.iter().zip(&b.1).for_each(|(a, b)| close("gradients", f64::from(*a), f64::from(*b), 1e-4, 1e-6));
}
