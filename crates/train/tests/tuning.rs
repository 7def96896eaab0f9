//! Training some of a model's parameters: what is frozen stays to the bit, and what is trained is all that is measured, noised and paid for.
mod common;
use common::{WIDTH, config, model, people, train};
use engine::{Device, Tensor};
use privacy::{Key, Ledger};
use std::{collections::HashMap, sync::Arc};
use train::{
    clip::ClipConfig,
    config::Config,
    data::{Batch, Examples},
    model::Weights,
    plan::{Plan, spent},
    team::Team,
    trainer::Trainer,
};

const BITFIT: &str = "model.trainable=[\"*.bias\"]";
const HEAD: &str = "model.trainable=[\"2.*\"]";
const BODY: &str = "model.frozen=[\"2.*\"]";
const LORA: &str = "model.lora={rank=2, alpha=3, targets=[\"*.weight\"]}";
const LORA_B: &str = "model.lora={rank=2, targets=[\"0.weight\"], freeze_a=true}";
const ALL: [&[&str]; 6] = [&[BITFIT], &[HEAD], &[BODY], &[LORA], &[LORA_B], &[LORA_B, HEAD]];

/// Every tensor by name, as bits.
fn bits(weights: &Weights) -> HashMap<String, Vec<u32>> {
    let each = weights.all().map(|(p, t)| (p.name.clone(), t.data().iter().map(|x| x.to_bits()).collect()));
    each.collect()
}

fn start(trainer: &Trainer) -> HashMap<String, Vec<u32>> {
    bits(&Weights::public(trainer.model.layout(), &trainer.key))
}

/// Twelve private steps, by rules and updates that move what they can (decay moves weights that have no gradient): frozen numbers are the
/// same bits, and every trained tensor moved.
#[test]
fn frozen_parameters_stay_to_the_bit_and_trained_ones_move() {
    let updates = [
        "update=[{update=\"sgd\", learning_rate=0.3, momentum=0.9, weight_decay=0.1}]",
        "update=[{update=\"adamw\", learning_rate=0.05, weight_decay=0.1}, {update=\"ema\", decay=0.5}]",
    ];
    let rules = ["clip={rule=\"flat\", bound=0.5}", "clip={rule=\"per-layer\", bound=0.5}", "privacy.mode=ordinary"];
    for set in ALL {
        for (update, rule) in updates.iter().flat_map(|u| rules.iter().map(move |r| (*u, *r))) {
            let config = config(&[set, &[update, rule]].concat());
            let run = train(&config, people(200), 200);
            let (before, after, layout) = (start(&run), bits(&run.weights), run.model.layout());
            assert_eq!(before.len(), after.len());
            layout.frozen().iter().for_each(|p| assert_eq!(before[&p.name], after[&p.name], "{set:?}: {}", p.name));
            let moved = |name: &str| before[name].iter().zip(&after[name]).all(|(a, b)| a != b);
            layout.parameters().iter().for_each(|p| assert!(moved(&p.name), "{set:?}: {} has not moved", p.name));
            let shown = bits(&run.shown());
            layout.frozen().iter().for_each(|p| assert_eq!(before[&p.name], shown[&p.name], "{set:?}: {}", p.name));
        }
    }
}

/// A head on a frozen body is trained as a model of its own on what the body makes of the data: the same bits.
#[test]
fn a_head_is_trained_as_if_it_were_all_there_is() {
    let on_body = train(&config(&[HEAD]), people(200), 200);
    let weights = Weights::public(on_body.model.layout(), &on_body.key);
    let named = bits(&weights);
    let floats = |name: &str| named[name].iter().map(|x| f32::from_bits(*x)).collect::<Vec<f32>>();
    let (inputs, labels) = common::rows(200);
    let h = engine::op::linear(
        &Tensor::new([200, WIDTH], inputs),
        &Tensor::new([5, WIDTH], floats("0.weight")),
        Some(&Tensor::new([5], floats("0.bias"))),
    );
    let h = engine::op::tanh(h);
    let alone = config(&["model={layers=[{layer=\"linear\", features=3}]}"]);
    let targets = common::targets(vec![]);
    let head = Arc::new(train::model::Model::build(&alone.model, &[5], &targets).unwrap());
    let start = HashMap::from([
        ("0.weight".to_owned(), Tensor::new([3, 5], floats("2.weight"))),
        ("0.bias".to_owned(), Tensor::new([3], floats("2.bias"))),
    ]);
    let start = Weights::from_public(head.layout(), start).unwrap();
    let data = Examples::from_floats(h.into_data(), vec![5], common::targets(labels), vec![]).unwrap();
    let plan = Plan::new(&alone, &head, 200).unwrap();
    let key = Arc::new(Key::from_seed(4));
    let ledger = Ledger::new(alone.privacy.neighbouring);
    let mut run = plan.trainer(&alone, &head, start, data, 200, key, ledger).unwrap();
    (0..12).for_each(|_| run.step().unwrap());
    let (a, b) = (on_body.weights.point().to_vec(), run.weights.point().to_vec());
    // The body's products may be of other sizes (chunks), and round otherwise.
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?}\n{b:?}");
    assert_eq!(run.ledger.entries(), on_body.ledger.entries());
}

#[test]
fn what_is_trained_changes_nothing_of_what_is_paid() {
    let whole = train(&config(&[]), people(200), 200);
    for set in ALL {
        let config = config(set);
        let model = model(&config);
        let plan = Plan::new(&config, &model, 200).unwrap();
        let run = train(&config, people(200), 200);
        assert_eq!(run.ledger.entries(), plan.rehearse(&config, &model).unwrap().entries(), "{set:?}");
        assert_eq!(spent(&config, &run.ledger).unwrap(), plan.epsilon, "{set:?}");
        assert_eq!(run.ledger.entries(), whole.ledger.entries(), "{set:?}");
    }
}

/// One person more moves the sum of what is trained by no more than the bound, whatever the frozen parameters' gradients are.
#[test]
fn one_person_more_moves_what_is_trained_by_at_most_the_bound() {
    for set in ALL {
        let released = |n: usize| {
            // Noise of one key is the same with the person and without: it cancels in the difference.
            let one = [
                "train.steps=1",
                "train.sample_rate=1.0",
                "clip={rule=\"flat\", bound=0.05}",
                "update=[{update=\"sgd\", learning_rate=200.0}]",
            ];
            let config = config(&[set, &one].concat());
            let (mut inputs, labels) = common::rows(n);
            inputs.iter_mut().skip(60 * WIDTH).for_each(|x| *x *= 2.0);
            let run = train(&config, common::examples(inputs, labels), n);
            run.weights.point().to_vec()
        };
        let (with, without) = (released(61), released(60));
        let moved: f64 = with.iter().zip(&without).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
        assert!(moved > 0.03 && moved <= 0.05 * 1.001 + 1e-4, "{set:?}: {moved}");
    }
}

#[test]
fn every_rule_trains_some_of_the_parameters() {
    for entry in ClipConfig::ENTRIES {
        let rule = format!("clip={{rule=\"{}\"}}", entry.name);
        for set in [BITFIT, LORA] {
            let Ok(config) = Config::read("test", &common::config(&[set]).to_toml(), std::slice::from_ref(&rule))
            else {
                continue;
            };
            let plan = Plan::new(&config, &model(&config), 200);
            let Ok(plan) = plan else { continue };
            let run = train(&config, people(200), 200);
            assert_eq!(spent(&config, &run.ledger).unwrap(), plan.epsilon, "{rule}, {set}");
            let (before, after) = (start(&run), bits(&run.weights));
            run.model.layout().frozen().iter().for_each(|p| assert_eq!(before[&p.name], after[&p.name], "{rule}"));
        }
    }
}

#[test]
fn a_team_adapts_as_one_device_does() {
    for set in ALL {
        let run = |devices: usize| {
            let mut run = common::trainer(&config(set), people(200), 200);
            run.team = Team::new(&vec![Device::Cpu; devices], &run.weights).unwrap();
            (0..12).for_each(|_| run.step().unwrap());
            run
        };
        let (one, three) = (run(1), run(3));
        assert!(common::gap(&one, &three) < 1e-5, "{set:?}");
        assert_eq!(one.ledger.entries(), three.ledger.entries());
    }
}

/// Logits and losses of the merged weights in the plain model are those of the adapted one.
#[test]
fn merged_weights_are_the_adapted_model() {
    let run = train(&config(&[LORA]), people(200), 200);
    let plain = model(&config(&[]));
    let merged = run.weights.merged().map(|(p, t)| (p.name.clone(), t.clone())).collect();
    let merged = Weights::from_public(plain.layout(), merged).unwrap();
    let (inputs, labels) = common::rows(50);
    let batch =
        || Batch { inputs: inputs.clone(), n: 50, shape: vec![WIDTH], targets: common::targets(labels.clone()) };
    assert_eq!(run.model.losses(&run.weights, batch()), plain.losses(&merged, batch()));
    let fresh = Weights::public(run.model.layout(), &run.key);
    assert_ne!(run.model.losses(&run.weights, batch()), run.model.losses(&fresh, batch()));
}

#[derive(serde::Deserialize)]
struct Torch {
    losses: Vec<f64>,
    rows: Vec<Vec<Vec<f64>>>,
}

/// Attention and a linear layer with a product beside each of their three matrices, by PyTorch's automatic differentiation.
#[test]
fn adapters_have_pytorchs_gradients() {
    let torch: Torch = serde_json::from_str(include_str!("vectors/lora.json")).unwrap();
    let text = "layers = [{ layer = \"attention\", heads = 2 }, { layer = \"flatten\" }, { layer = \"linear\", features = 3 }]\n\
                lora = { rank = 2, alpha = 3, targets = [\"*weight\"] }";
    let model = train::model::Model::build(&toml::from_str(text).unwrap(), &[3, 4], &common::targets(vec![])).unwrap();
    let numbers = |place: usize, count: usize| {
        (0..count).map(move |k| (0.4 * (1.0 + 0.9 * k as f64 + 2.0 * place as f64).sin()) as f32).collect::<Vec<f32>>()
    };
    let fresh = Weights::public(model.layout(), &Key::from_seed(0));
    // The model's own six in order, then the factors: those of the script, from 10 on.
    let places = (0..6).chain(10..16);
    let named = fresh
        .all()
        .zip(places)
        .map(|((p, _), at)| (p.name.clone(), Tensor::new(p.shape.clone(), numbers(at, p.len()))));
    let weights = Weights::from_public(model.layout(), named.collect()).unwrap();
    let inputs = numbers(20, 36).into_iter().map(|x| 4.0 * x).collect();
    let batch = || Batch { inputs, n: 3, shape: vec![3, 4], targets: common::targets(vec![0, 2, 1]) };
    let taps = model.taps(&weights, batch());
    let near = |a: f64, b: f64| assert!((a - b).abs() <= 2e-5 * b.abs() + 2e-6, "{a}, and PyTorch {b}");
    let rows = taps.rows();
    assert_eq!(rows.len(), 6);
    for (i, example) in torch.rows.iter().enumerate() {
        for (rows, wanted) in rows.iter().zip(example) {
            assert_eq!(rows.row(i).len(), wanted.len());
            rows.row(i).iter().zip(wanted).for_each(|(a, b)| near(f64::from(*a), *b));
        }
    }
    let inputs = numbers(20, 36).into_iter().map(|x| 4.0 * x).collect();
    let batch = Batch { inputs, n: 3, shape: vec![3, 4], targets: common::targets(vec![0, 2, 1]) };
    model.losses(&weights, batch).iter().zip(torch.losses).for_each(|(a, b)| near(f64::from(*a), b));
}
