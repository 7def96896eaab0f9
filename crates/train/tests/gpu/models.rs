//! Whole models and whole steps.
use crate::{gap, gpu, wide};
use engine::{Device, Precision, Tensor};
use privacy::{Event, Key, Ledger, Mechanism, Neighbouring, Poisson, Purpose, Sampler, Secret, Source};
use std::sync::Arc;
use train::{
    clip::ClipConfig,
    config::{Config, Mode},
    data::Targets,
    grads::{Grads, Layout},
    layer::{Coins, Init, Parameter},
    model::{Model, Weights},
    state::{Memory, Value},
    tap::Taps,
    trainer::Trainer,
    update::UpdateConfig,
    workload::Workload,
};

/// Layers, and the shape of an example; a vocabulary where examples are texts.
pub(crate) const MODELS: [(&str, &[usize], Option<u32>); 10] = [
    ("{ layer = \"linear\", features = 20 }, { layer = \"relu\" }, { layer = \"dropout\", rate = 0.3 }", &[13], None),
    (
        "{ layer = \"conv2d\", channels = 8, kernel = 4, stride = 2, padding = 1 }, { layer = \"tanh\" }, \
         { layer = \"max_pool2d\", kernel = 2, stride = 1 }, { layer = \"conv2d\", channels = 9, kernel = 3 }, \
         { layer = \"silu\" }, { layer = \"avg_pool2d\", kernel = 2 }, { layer = \"flatten\" }",
        &[2, 16, 14],
        None,
    ),
    (
        "{ layer = \"embedding\", vocabulary = 11, features = 16, padding = 2 }, { layer = \"positions\", length = 12 }, \
         { layer = \"transformer\", layers = 2, heads = 2, hidden = 24, activation = { layer = \"gelu\" } }, \
         { layer = \"layer_norm\" }, { layer = \"mean_over\" }",
        &[9],
        Some(11),
    ),
    (
        "{ layer = \"tied_embedding\", vocabulary = 11, features = 16, layers = [{ layer = \"positions\", kind = \
         \"sinusoidal\" }, { layer = \"transformer\", layers = 1, heads = 4, hidden = 24, causal = true, norm = { layer = \
         \"rms_norm\" }, activation = { layer = \"gelu\", approximate = \"tanh\" } }] }, { layer = \"flatten\" }",
        &[8],
        Some(11),
    ),
    (
        "{ layer = \"embedding\", vocabulary = 11, features = 16, padding = 2 }, { layer = \"positions\" }, { layer = \"token_types\", types \
         = 2 }, { layer = \"layer_norm\", eps = 1e-12 }, { layer = \"transformer\", layers = 2, heads = 2, hidden = 24, place = \"post\" }, \
         { layer = \"token\" }, { layer = \"linear\", features = 16 }, { layer = \"tanh\" }",
        &[9],
        Some(11),
    ),
    (
        "{ layer = \"embedding\", vocabulary = 4, features = 16, padding = 2 }, { layer = \"positions\" }, { layer = \"transformer\", layers \
         = 1, heads = 2, hidden = 24, causal = true }, { layer = \"token\", which = \"last\" }",
        &[9],
        Some(4),
    ),
    ("{ layer = \"wide_resnet\", depth = 10, width = 1, groups = 4 }", &[3, 12, 12], None),
    ("{ layer = \"wide_resnet\", depth = 10, width = 1, groups = 4, standardise = true }", &[3, 8, 8], None),
    (
        "{ layer = \"linear\", features = 64 }, { layer = \"attention\", heads = 2 }, { layer = \"mean_over\" }",
        &[6, 48],
        None,
    ),
    ("{ layer = \"residual\", layers = [{ layer = \"linear\", features = 7 }] }, { layer = \"rms_norm\" }", &[7], None),
];

pub(crate) fn targets(labels: Vec<u32>) -> Targets {
    Targets::Classes { labels, names: ["a", "b", "c"].map(str::to_owned).into() }
}

pub(crate) fn build(layers: &str, shape: &[usize]) -> Model {
    let text = format!("[model]\nlayers = [{layers}, {{ layer = \"linear\", features = 3 }}]");
    let config = Config::read("test", &text, &[]).unwrap_or_else(|e| panic!("{e}"));
    Model::build(&config.model, shape, &targets(vec![])).unwrap_or_else(|e| panic!("{layers}: {e}"))
}

/// What five examples leave.
fn taps(model: &Model, shape: &[usize], tokens: Option<u32>, device: Device) -> Taps {
    let (n, key) = (5, Arc::new(Key::from_seed(5)));
    let weights = Weights::public(model.layout(), &key).to(device);
    let mut x = crate::numbers(&[&[n], shape].concat(), 7);
    if let Some(vocabulary) = tokens {
        let stream = key.stream(Purpose::Init, 1, 0);
        let id = |i: usize| (stream.uniform(i as u64) * f64::from(vocabulary)) as u32 as f32;
        x.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = id(i));
    }
    let coins = Coins { key, step: 3, who: vec![4, 0, 11, 2, 9] };
    model.taps_with(&weights, (x.to(device), &targets(vec![0, 2, 1, 1, 0])), coins, None, true)
}

/// A weight for each of them.
const WEIGHTS: [f32; 5] = [0.5, 0.0, 1.0, -0.3, 0.01];

/// Norms and a weighted sum of per-example gradients, and every gradient multiplied out.
fn seen(model: &Model, shape: &[usize], tokens: Option<u32>, device: Device) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut taps, groups) = (taps(model, shape, tokens, device), vec![0; model.layout().parameters().len()]);
    let norms = taps.norms(&groups, 1).into_iter().map(f64::sqrt).collect();
    let sum = taps.sum(&WEIGHTS, &groups, 1).to_vec();
    let rows = taps.rows().iter().flat_map(wide).collect();
    (norms, sum.into_iter().map(f64::from).collect(), rows)
}

/// How long each example's gradient is: of every parameter's rows, one parameter after the other.
fn lengths(model: &Model, rows: &[f64]) -> Vec<f64> {
    let (n, mut squares, mut at) = (WEIGHTS.len(), vec![0.0; WEIGHTS.len()], 0);
    for parameter in model.layout().parameters() {
        let all = rows[at..at + n * parameter.len()].chunks_exact(parameter.len());
        squares.iter_mut().zip(all).for_each(|(square, row)| *square += row.iter().map(|g| g * g).sum::<f64>());
        at += n * parameter.len();
    }
    squares.into_iter().map(f64::sqrt).collect()
}

#[test]
fn per_example_gradients_are_the_processors() {
    let Some(turn) = gpu() else { return };
    for (layers, shape, tokens) in MODELS {
        let model = build(layers, shape);
        let here = seen(&model, shape, tokens, Device::Cpu);
        let there = engine::guard(|| seen(&model, shape, tokens, Device::Cuda(turn.gpu)));
        let there = there.unwrap_or_else(|e| panic!("{layers}: {e}"));
        let gaps = [gap(&here.0, &there.0), gap(&here.1, &there.1), gap(&here.2, &there.2)];
        assert!(gaps.iter().all(|gap| *gap < 5e-5), "{layers}: norms, sums, gradients apart by {gaps:?}");
        let told =
            lengths(&model, &here.2).into_iter().zip(&there.0).all(|(length, norm)| *norm >= length * (1.0 - 1e-5));
        assert!(told, "{layers}: {:?} on the GPU, {:?} on the processor", there.0, here.0);
    }
}

/// Of so many numbers that their sums are not cleared as a whole.
const LARGE: [(&str, &[usize], Option<u32>); 3] = [
    (
        "{ layer = \"embedding\", vocabulary = 66000, features = 64 }, { layer = \"linear\", features = 96 }, \
         { layer = \"layer_norm\" }, { layer = \"mean_over\" }",
        &[9],
        Some(66_000),
    ),
    (
        "{ layer = \"conv2d\", channels = 8, kernel = 3 }, { layer = \"tanh\" }, { layer = \"flatten\" }, { layer = \"linear\", features = \
         3200 }",
        &[2, 16, 14],
        None,
    ),
    (
        "{ layer = \"tied_embedding\", vocabulary = 66000, features = 64, layers = [{ layer = \"layer_norm\" }] }, { layer = \"flatten\" }",
        &[2],
        Some(66_000),
    ),
];

/// Sums that are not cleared first are made where there was nothing that is a number; nobody's parameters get zeros.
#[test]
fn sums_that_are_not_cleared_are_written_whole() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    for (layers, shape, tokens) in LARGE {
        let model = build(layers, shape);
        let (len, groups) = (model.layout().len(), vec![0; model.layout().parameters().len()]);
        assert!(len > 1 << 22, "{layers}: {len} numbers");
        let not_numbers = || (0..3).for_each(|_| drop(Tensor::new([len], vec![f32::NAN; len]).to(device)));
        let here = taps(&model, shape, tokens, Device::Cpu).sum(&WEIGHTS, &groups, 1);
        let there = taps(&model, shape, tokens, device);
        not_numbers();
        let there = there.sum(&WEIGHTS, &groups, 1);
        let gap = gap(&wide(here.tensor()), &wide(there.tensor()));
        assert!(gap < 5e-5, "{layers}: {gap} apart");
        not_numbers();
        let nobodys = Taps::new(5, &model.layout().on(device)).sum(&WEIGHTS, &groups, 1);
        assert!(wide(nobodys.tensor()).iter().all(|x| *x == 0.0), "{layers}");
    }
}

/// Some steps of a workload on a device: the weights and what the ledger says. Lots of the same size are launched as graphs.
fn run(name: &str, device: &str, update: &str, (rate, chunk, steps): (f64, usize, usize)) -> (Vec<f64>, String) {
    let workload = Workload::by_name(name).unwrap_or_else(|| panic!("no workload {name}"));
    let set = [format!("train.device={device}"), format!("train.chunk={chunk}"), format!("update=[{update}]")];
    let set = [&set[..], &[format!("train.sample_rate={rate}")]].concat();
    let config = workload.config(Mode::Private, &set).unwrap_or_else(|e| panic!("{e}"));
    let mut trainer: Trainer = workload.trainer(&config, 64).unwrap_or_else(|e| panic!("{e}"));
    (0..steps).for_each(|_| {
        engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"))
    });
    (wide(trainer.weights.point().tensor()), format!("{:?}", trainer.ledger.entries()))
}

#[test]
fn training_is_the_processors() {
    let Some(turn) = gpu() else { return };
    let updates = [
        ("W1", "{ update = \"sgd\", learning_rate = 0.1, momentum = 0.9, nesterov = true, weight_decay = 0.01 }"),
        ("W1", "{ update = \"adamw\", learning_rate = 0.001 }"),
        ("W2", "{ update = \"sgd\", learning_rate = 0.1 }"),
    ];
    let before = turn.gpu.graphs_launched();
    for ((name, update), lots) in
        updates.into_iter().flat_map(|update| [(update, (0.5, 24, 6)), (update, (1.0, 64, 16))])
    {
        let ((here, book), (there, other)) = (run(name, "cpu", update, lots), run(name, "cuda", update, lots));
        assert_eq!(book, other);
        let gap = gap(&here, &there);
        assert!(gap < 1e-4, "{name}, {update}, {lots:?}: weights {gap:e} apart");
    }
    let graphs = turn.gpu.graphs_launched() - before;
    assert!(graphs >= 24, "{graphs} graphs");
}

/// Lots whose rows are filled up to one of few sizes: every step's work is seen twice soon, and the weights are the processor's.
/// The first step with momentum is the one without; here its noise is added to the sum first, there in the pass that walks.
#[test]
fn noise_in_the_walk_is_the_noise_of_the_sum() {
    let Some(_turn) = gpu() else { return };
    for (name, chunk) in [("W1", 64), ("W2", 24), ("W3", 64)] {
        let sgd = |more: &str| format!("update=[{{ update = \"sgd\", learning_rate = 0.1{more} }}]");
        let [walked, added] = ["", ", momentum = 0.9"].map(|more| {
            let workload = Workload::by_name(name).unwrap_or_else(|| panic!("no {name}"));
            let set = ["train.device=cuda".to_owned(), format!("train.chunk={chunk}"), sgd(more)];
            let config = workload.config(Mode::Private, &set).unwrap_or_else(|e| panic!("{e}"));
            let mut trainer = workload.trainer(&config, 64).unwrap_or_else(|e| panic!("{e}"));
            engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"));
            wide(trainer.weights.point().tensor())
        });
        assert_eq!(walked, added, "{name}");
    }
}

/// A release on the GPU: what is read of it, before or after a step out of it, is the sum with its noise, and so is each step.
#[test]
fn what_a_gpu_releases_is_read_with_its_noise() {
    let Some(turn) = gpu() else { return };
    let device = Device::Cuda(turn.gpu);
    let len = 70_001;
    let layout = Layout::new(vec![Parameter::new("w", [len], Init::Constant(0.0))]);
    let sum = || Grads::new(&layout.on(device), vec![3.0; len]).to(device);
    let release = || {
        let draw = Poisson::new(10, 0.5, Key::from_seed(1)).unwrap_or_else(|e| panic!("{e}")).draw(3);
        let (mut ledger, mut noise) = (Ledger::new(Neighbouring::AddRemove), White);
        let released = ledger.open(&draw).release(Secret::new(sum()).vouch(0.25), &mut noise);
        released.unwrap_or_else(|e| panic!("{e}"))
    };
    let mut want = vec![3.0; len];
    Key::from_seed(1).stream(Purpose::Noise, 3, 0).add_normal(0, 0.5, &mut want);
    let near = |got: &[f32], by: f32, what: &str| {
        let off = got.iter().zip(&want).map(|(got, want)| (got - by * want).abs()).fold(0.0, f32::max);
        assert!(off < 2e-6, "{what}: {off:e}");
    };
    let start = || Weights::public(&layout, &Key::from_seed(0)).at(&Grads::zeros(&layout)).to(device);
    near(&release().get().to_vec(), 1.0, "read");
    near(&release().get().clone().times(0.5).to_vec(), 0.5, "half");
    let (step, mut weights) = (release(), start());
    weights.walk(&step);
    near(&weights.point().to_vec(), 1.0, "walked");
    near(&step.get().to_vec(), 1.0, "read after the walk");
    let half = release().map(|g| g.times(0.5));
    weights.walk(&half);
    weights.walk(&half);
    near(&weights.point().to_vec(), 2.0, "walked by halves");
    assert_eq!(release().get().to_vec(), step.get().to_vec());
}

/// White noise twice the bound, made by whoever is not asked to make it.
struct White;
impl Mechanism<Grads> for White {
    fn event(&self, _: u64) -> Event {
        Event::Gaussian { noise_multiplier: 2.0 }
    }
    fn unit(&mut self, _: &Source, _: Grads) -> Grads {
        panic!("numbers on a GPU are veiled")
    }
    fn is_white(&self) -> bool {
        true
    }
}

#[test]
fn filled_up_rows_add_nothing() {
    let Some(turn) = gpu() else { return };
    let before = turn.gpu.graphs_launched();
    for rule in ["clip.rule=flat", "clip.rule=auto-s", "privacy.mode=ordinary"] {
        let step = |device: &str| {
            let workload = Workload::by_name("W1").unwrap_or_else(|| panic!("no W1"));
            let set = [
                format!("train.device={device}"),
                "train.chunk=512".into(),
                "train.sample_rate=0.7".into(),
                rule.into(),
            ];
            let config = workload.config(Mode::Private, &set).unwrap_or_else(|e| panic!("{e}"));
            let mut trainer = workload.trainer(&config, 400).unwrap_or_else(|e| panic!("{e}"));
            (0..40).for_each(|_| {
                engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"));
            });
            (wide(trainer.weights.point().tensor()), format!("{:?}", trainer.ledger.entries()))
        };
        let ((here, book), (there, other)) = (step("cpu"), step("cuda"));
        assert_eq!(book, other, "{rule}");
        let gap = gap(&here, &there);
        // Where a rate that is 1e-7 larger puts one number on the other side of a rectifier's zero, weights are 2e-4 apart.
        assert!(gap < 1e-3, "{rule}: weights {gap:e} apart");
    }
    assert!(turn.gpu.graphs_launched() > before + 30, "{} graphs", turn.gpu.graphs_launched() - before);
}

/// What a checkpoint gives back goes where the run is, and not only when it is touched.
#[test]
fn memories_come_back_to_the_gpu() {
    let Some(turn) = gpu() else { return };
    let workload = Workload::by_name("W1").unwrap_or_else(|| panic!("no W1"));
    let set = ["train.device=cuda", "update=[{ update = \"adamw\", learning_rate = 0.001 }]"].map(str::to_owned);
    let config = workload.config(Mode::Private, &set).unwrap_or_else(|e| panic!("{e}"));
    let mut trainer = workload.trainer(&config, 8).unwrap_or_else(|e| panic!("{e}"));
    trainer.step().unwrap_or_else(|e| panic!("{e}"));
    let mut kept = Memory::default();
    for (name, value) in Memory::save(&mut trainer).iter() {
        let value = match value {
            Value::Grads(Some(g)) => Value::Grads(Some(g.clone().to(Device::Cpu))),
            other => other.clone(),
        };
        kept.insert(name, value);
    }
    let layout = trainer.weights.layout().clone();
    kept.load(&mut trainer, &layout).unwrap_or_else(|e| panic!("{e}"));
    let points: Vec<Device> = Memory::save(&mut trainer)
        .iter()
        .filter_map(|(_, value)| if let Value::Grads(Some(g)) = value { Some(g.device()) } else { None })
        .collect();
    assert_eq!(points, [Device::Cuda(turn.gpu); 2]);
}

/// How far apart, of the length of the first.
fn distance(a: &[f64], b: &[f64]) -> f64 {
    let square = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>();
    (square(&mut a.iter().zip(b).map(|(a, b)| a - b)) / square(&mut a.iter().copied())).sqrt()
}

/// Rounded products move norms by a few percent at most, and sums by no more than rectifiers whose inputs change their sign: rounding
/// a small network's images alone moves its sum by 0.04 of its length, and one number by 0.09 of the largest.
#[test]
fn rounded_products_are_near() {
    let Some(turn) = gpu() else { return };
    for (precision, tolerance) in [(Precision::Tf32, [0.05, 0.3]), (Precision::Bf16, [0.5, 0.3])] {
        for (layers, shape, tokens) in MODELS {
            let model = build(layers, shape);
            turn.gpu.set_precision(Precision::F32);
            let exact = seen(&model, shape, tokens, Device::Cuda(turn.gpu));
            turn.gpu.set_precision(precision);
            let rounded = seen(&model, shape, tokens, Device::Cuda(turn.gpu));
            let gaps = [gap(&exact.0, &rounded.0), distance(&exact.1, &rounded.1)];
            println!("{precision:?}, {layers}: {gaps:?}");
            assert!(
                gaps.iter().zip(tolerance).all(|(gap, most)| *gap < most),
                "{precision:?}, {layers}: apart by {gaps:?}"
            );
        }
    }
}

/// One step with every rule and every update that needs no more than its name (and a rate): what has no operation of its own on
/// a GPU goes by way of the host.
#[test]
fn every_rule_and_update_takes_a_step() {
    let Some(_turn) = gpu() else { return };
    let workload = Workload::by_name("W1").unwrap_or_else(|| panic!("no W1"));
    let rules = ClipConfig::ENTRIES.iter().map(|entry| vec![format!("clip.rule={}", entry.name)]);
    let update = |name: &str, fields: &str| vec![format!("update=[{{ update = \"{name}\"{fields} }}]")];
    let updates = UpdateConfig::ENTRIES.iter().flat_map(|entry| {
        let last = ", { update = \"sgd\", learning_rate = 0.1 }]";
        let filter = vec![format!("update=[{{ update = \"{}\" }}{last}", entry.name)];
        [update(entry.name, ", learning_rate = 0.01"), filter]
    });
    let (mut tried, mut failed) = (0, Vec::new());
    for set in rules.chain(updates) {
        let all = [&set[..], &["train.device=cuda".to_owned(), "train.chunk=24".to_owned()]].concat();
        let Ok(config) = workload.config(Mode::Private, &all) else { continue };
        let step = || {
            // A rule may refuse a model of this size.
            let Ok(mut trainer) = workload.trainer(&config, 32) else { return Ok(()) };
            for _ in 0..2 {
                engine::guard(|| trainer.step()).map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            }
            let finite = wide(trainer.weights.point().tensor()).iter().all(|w| w.is_finite());
            finite.then_some(()).ok_or_else(|| "weights are not finite".to_owned())
        };
        tried += 1;
        match std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => failed.push(format!("{set:?}: {e}")),
            Err(_) => failed.push(format!("{set:?}: panicked")),
        }
    }
    assert!(tried > 15, "only {tried} were tried");
    assert!(failed.is_empty(), "{failed:#?}");
}
