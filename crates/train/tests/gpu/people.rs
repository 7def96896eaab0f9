//! People with several records: folded taps, their losses and whole steps are the processor's.
use crate::{
    gap, gpu,
    models::{MODELS, build, targets},
    numbers, wide,
};
use engine::{Device, Precision, Tensor, op};
use privacy::{Key, Ledger, Purpose};
use std::sync::Arc;
use train::{config::Config, data::Examples, layer::Coins, model::Model, model::Weights, plan::Plan};

/// Places of each of four people, the record in each, and its share.
const EACH: usize = 3;
const RECORDS: [usize; 12] = [0, 1, 2, 3, 4, 3, 5, 5, 5, 6, 7, 6];
const SHARES: [f32; 12] = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.5, 0.5, 0.0, 1.0, 0.0, 0.0, 0.5, 0.5, 0.0];

/// Norms, a weighted sum and losses of four people's gradients, and the lengths of the gradients multiplied out.
fn seen(model: &Model, shape: &[usize], tokens: Option<u32>, device: Device) -> [Vec<f64>; 4] {
    let key = Arc::new(Key::from_seed(5));
    let weights = Weights::public(model.layout(), &key).to(device);
    let mut x = numbers(&[&[8], shape].concat(), 7);
    if let Some(vocabulary) = tokens {
        let stream = key.stream(Purpose::Init, 1, 0);
        let id = |i: usize| (stream.uniform(i as u64) * f64::from(vocabulary)) as u32 as f32;
        x.data_mut().iter_mut().enumerate().for_each(|(i, x)| *x = id(i));
    }
    let rows: Vec<f32> = RECORDS.iter().flat_map(|r| x.row(*r).to_vec()).collect();
    let x = Tensor::new([&[RECORDS.len()], shape].concat(), rows).to(device);
    let labels = targets(RECORDS.iter().map(|r| (*r % 3) as u32).collect());
    let coins = Coins { key, step: 3, who: RECORDS.to_vec() };
    let mut taps = model.taps_with(&weights, (x, &labels), coins, Some((EACH, SHARES.to_vec())), true);
    let groups = vec![0; model.layout().parameters().len()];
    let norms = taps.norms(&groups, 1).into_iter().map(f64::sqrt).collect();
    let sum = taps.sum(&[0.5, 0.0, 1.0, -0.3], &groups, 1).to_vec();
    let (finite, rows) = (wide(&taps.finite()), taps.rows());
    let square = |i: usize| rows.iter().flat_map(|t| t.row(i)).map(|g| f64::from(*g).powi(2)).sum::<f64>();
    [norms, sum.into_iter().map(f64::from).collect(), finite, (0..4).map(|i| square(i).sqrt()).collect()]
}

#[test]
fn peoples_gradients_are_the_processors() {
    let all: Vec<_> =
        MODELS.iter().map(|(layers, shape, tokens)| (layers, build(layers, shape), shape, *tokens)).collect();
    let here: Vec<_> = all.iter().map(|(_, model, shape, tokens)| seen(model, shape, *tokens, Device::Cpu)).collect();
    let Some(turn) = gpu() else { return };
    for (precision, tolerance) in [(Precision::F32, 5e-5), (Precision::Tf32, 2e-2), (Precision::Bf16, 1e-1)] {
        turn.gpu.set_precision(precision);
        for ((layers, model, shape, tokens), here) in all.iter().zip(&here) {
            let there = engine::guard(|| seen(model, shape, *tokens, Device::Cuda(turn.gpu)));
            let there = there.unwrap_or_else(|e| panic!("{layers}: {e}"));
            let gaps: Vec<f64> = here.iter().zip(&there).skip(1).map(|(here, there)| gap(here, there)).collect();
            assert!(gaps.iter().all(|gap| *gap < tolerance), "{precision:?}, {layers}: apart by {gaps:?}");
            // Never shorter than the gradient that is summed, and longer by what rounding over all positions of a person may add.
            let most = 1.0 + tolerance.max(2e-3);
            let told = |(length, norm): (&f64, &f64)| (length * (1.0 - 1e-5)..=length * most).contains(norm);
            let told = there[3].iter().zip(&there[0]).all(told);
            assert!(told, "{precision:?}, {layers}: {:?} and {:?}", there[0], there[3]);
        }
    }
}

#[test]
fn rows_are_weighed_as_on_the_processor() {
    let Some(turn) = gpu() else { return };
    let mut x = numbers(&[5, 3, 7], 2);
    x.data_mut()[21..42].fill(f32::NAN);
    let weights = Tensor::new([5], vec![0.5, 0.0, 1.0, -3.0, 0.3]);
    let here = op::weigh_rows(x.clone(), &weights);
    let there = Device::Cuda(turn.gpu);
    assert_eq!(here.data(), op::weigh_rows(x.to(there), &weights.to(there)).to_host().data());
}

/// Steps on a table of people, of one to five records each: weights and ledger, rows filled up and launched as graphs or not.
fn train(rule: &str, device: Device) -> (Vec<f64>, String) {
    let set = [
        format!("clip={rule}"),
        "train.lot=20".into(),
        "train.steps=6".into(),
        "train.chunk=24".into(),
        "privacy.noise_multiplier=0.5".into(),
        "update=[{update=\"sgd\", learning_rate=0.3, momentum=0.9}]".into(),
    ];
    let text = "[model]\nlayers = [{ layer = \"linear\", features = 9 }, { layer = \"tanh\" }, { layer = \"dropout\", rate = 0.2 }, { layer \
                = \"linear\", features = 3 }]";
    let config = Config::read("test", text, &set).unwrap_or_else(|e| panic!("{e}"));
    let person: Vec<u64> = (0..5).flat_map(|k| (0..60).filter(move |p| p % 5 >= k)).collect();
    let (inputs, labels) = (numbers(&[person.len(), 6], 3), (0..person.len() as u32).map(|r| r % 3).collect());
    let data = Examples::from_floats(inputs.into_data(), vec![6], targets(labels), vec![]);
    let mut data = data.and_then(|data| data.by_person(&person, 3)).unwrap_or_else(|e| panic!("{e}"));
    let model = Arc::new(Model::build(&config.model, &[6], &targets(vec![])).unwrap_or_else(|e| panic!("{e}")));
    let plan = Plan::new(&config, &model, 60).unwrap_or_else(|e| panic!("{e}"));
    let (key, ledger) = (Arc::new(Key::from_seed(4)), Ledger::new(config.privacy.neighbouring));
    data.reside(device);
    let weights = Weights::public(model.layout(), &key).to(device);
    let trainer = plan.trainer(&config, &model, weights, data, 60, key, ledger);
    let mut trainer = trainer.unwrap_or_else(|e| panic!("{e}"));
    (0..6).for_each(|_| {
        engine::guard(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")).unwrap_or_else(|e| panic!("{e}"))
    });
    (wide(trainer.weights.point().tensor()), format!("{:?}", trainer.ledger.entries()))
}

#[test]
fn training_on_people_is_the_processors() {
    let rules = [
        "{rule=\"flat\", bound=0.5}",
        "{rule=\"auto-s\", per=\"layer\"}",
        "{rule=\"micro-batch\"}",
        "{rule=\"adaclip\"}",
    ];
    let here = rules.map(|rule| train(rule, Device::Cpu));
    let Some(turn) = gpu() else { return };
    for (rule, (here, book)) in rules.into_iter().zip(here) {
        let (there, other) = train(rule, Device::Cuda(turn.gpu));
        assert_eq!(book, other, "{rule}");
        let gap = gap(&here, &there);
        assert!(gap < 1e-4, "{rule}: weights {gap:e} apart");
    }
}
