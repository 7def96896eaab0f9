//! Frozen parameters and adapters on a GPU: the processor's gradients, steps and ledger, and frozen numbers the same to the bit.
use crate::{gap, gpu, numbers, wide};
use engine::{Device, Precision, Tensor};
use privacy::Key;
use std::{collections::HashMap, sync::Arc};
use train::{
    config::Mode,
    data::Targets,
    layer::Coins,
    model::{Model, Weights},
    trainer::Trainer,
    workload::Workload,
};

const SOME: [&str; 4] = [
    "trainable = [\"*.bias\"]",
    "frozen = [\"*.weight\"]",
    "lora = { rank = 2, alpha = 3, targets = [\"*linear*.weight\", \"*out_proj.weight\", \"*in_proj_weight\"] }",
    "lora = { rank = 2, targets = [\"*in_proj_weight\"], freeze_a = true }\ntrainable = [\"*norm*\", \"2.*\"]",
];

fn targets(labels: Vec<u32>) -> Targets {
    Targets::Classes { labels, names: ["a", "b", "c"].map(str::to_owned).into() }
}

/// Norms, a weighted sum, and every gradient multiplied out; the logits; and how long the sum of each example alone is. Both
/// factors of an adapter are away from zero, and small enough that attention does not pick one position for good: there a
/// rounding to bf16 would change gradients by a quarter.
fn seen(model: &Model, device: Device) -> [Vec<f64>; 5] {
    let fresh = Weights::public(model.layout(), &Key::from_seed(5));
    let stir = |(k, p, t): (usize, &str, &Tensor)| {
        let factor = p.contains("lora_");
        let small = |t: Tensor| Tensor::new(t.shape(), t.data().iter().map(|x| 0.3 * x).collect());
        (p.to_owned(), if factor { small(numbers(t.shape(), 90 + k as u64)) } else { t.clone() })
    };
    let named: HashMap<_, _> = fresh.all().enumerate().map(|(k, (p, t))| stir((k, &p.name, t))).collect();
    let weights = Weights::from_public(model.layout(), named).unwrap_or_else(|e| panic!("{e}")).to(device);
    let coins = Coins { key: Arc::new(Key::from_seed(5)), step: 3, who: vec![4, 0, 11, 2, 9] };
    let x = numbers(&[5, 6, 8], 7).to(device);
    let mut taps = model.taps_with(&weights, (x.clone(), &targets(vec![0, 2, 1, 1, 0])), coins, None, true);
    let groups = vec![0; model.layout().parameters().len()];
    let norms = taps.norms(&groups, 1).into_iter().map(f64::sqrt).collect();
    let sum =
        |weights: [f32; 5]| taps.sum(&weights, &groups, 1).to_vec().into_iter().map(f64::from).collect::<Vec<_>>();
    let all = sum([0.5, 0.0, 1.0, -0.3, 0.01]);
    let alone = (0..5).map(|i| sum(std::array::from_fn(|k| if k == i { 1.0 } else { 0.0 })));
    let alone = alone.map(|sum| sum.iter().map(|g| g * g).sum::<f64>().sqrt()).collect();
    let rows = taps.rows().iter().flat_map(wide).collect();
    [norms, all, rows, wide(&model.outputs(&weights, x)), alone]
}

#[test]
fn gradients_of_what_is_trained_are_the_processors() {
    let Some(turn) = gpu() else { return };
    for some in SOME {
        let text = format!(
            "layers = [{{ layer = \"transformer\", layers = 2, heads = 2, hidden = 12 }}, {{ layer = \"flatten\" }}, {{ layer = \
             \"linear\", features = 3 }}]\n{some}"
        );
        let config = toml::from_str(&text).unwrap_or_else(|e| panic!("{e}"));
        let model = Model::build(&config, &[6, 8], &targets(vec![])).unwrap_or_else(|e| panic!("{some}: {e}"));
        let here = seen(&model, Device::Cpu);
        for (precision, tolerance) in [(Precision::F32, 1e-5), (Precision::Tf32, 5e-3), (Precision::Bf16, 2e-2)] {
            turn.gpu.set_precision(precision);
            let there =
                engine::guard(|| seen(&model, Device::Cuda(turn.gpu))).unwrap_or_else(|e| panic!("{some}: {e}"));
            for (what, (here, there)) in ["norms", "sums", "rows", "logits"].iter().zip(here.iter().zip(&there)) {
                let gap = gap(here, there);
                assert!(gap < tolerance, "{some}, {precision:?}: {what} {gap:e} apart");
            }
            // A norm that is reported is that of what is summed, or more.
            let told = there[4].iter().zip(&there[0]).all(|(length, norm)| *norm >= length * (1.0 - 1e-5));
            assert!(told, "{some}, {precision:?}: {:?} and {:?}", there[4], there[0]);
        }
        turn.gpu.set_precision(Precision::F32);
    }
}

fn run(name: &str, device: &str, precision: &str, some: &str, steps: usize) -> Trainer {
    let workload = Workload::by_name(name).unwrap_or_else(|| panic!("no workload {name}"));
    let set = [format!("train.device={device}"), format!("train.precision={precision}"), some.to_owned()];
    let config = workload.config(Mode::Private, &set).unwrap_or_else(|e| panic!("{e}"));
    let mut trainer = workload.trainer(&config, 16).unwrap_or_else(|e| panic!("{e}"));
    (0..steps).for_each(|_| {
        engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"))
    });
    trainer
}

/// Twelve steps, some of them as graphs.
#[test]
fn training_some_parameters_is_the_processors() {
    let Some(_turn) = gpu() else { return };
    let lora = "model.lora={rank=4, targets=[\"0.weight\", \"2.weight\"]}";
    for (name, some) in [("W1", lora), ("W1", "model.trainable=[\"*.bias\"]"), ("W2", "model.trainable=[\"*.bias\"]")] {
        let here = run(name, "cpu", "f32", some, 12);
        for (precision, tolerance) in [("f32", 1e-4), ("tf32", 1e-2), ("bf16", 5e-2)] {
            let there = run(name, "cuda", precision, some, 12);
            assert_eq!(here.ledger.entries(), there.ledger.entries());
            let gap = gap(&wide(here.weights.point().tensor()), &wide(there.weights.point().tensor()));
            assert!(gap < tolerance, "{name}, {some}, {precision}: {gap:e} apart");
            let frozen: HashMap<_, _> = here.model.layout().frozen().iter().map(|p| (&p.name, p)).collect();
            let both = here.weights.all().zip(there.weights.all()).filter(|((p, _), _)| frozen.contains_key(&p.name));
            let same = |a: &Tensor, b: &Tensor| a.data() == b.to_host().data();
            assert!(both.into_iter().all(|((_, a), (_, b))| same(a, b)), "{name}, {some}, {precision}: frozen weights");
        }
    }
}
