//! A lot that several devices share out is the lot that one of them would have looked at alone: the same ledger, the same
//! noise, each example once. Processors stand for devices here; `tests/gpu` does the same with GPUs.
mod common;
use common::{WIDTH, config, examples, gap, people, rows, trainer};
use engine::Device;
use privacy::Sum;
use train::{
    clip::ClipConfig,
    config::Config,
    data::Examples,
    grads::Grads,
    plan::{Plan, spent},
    team::Team,
    trainer::Trainer,
    update::UpdateConfig,
};

/// A trainer whose lots `devices` processors share out.
fn team(config: &Config, data: Examples, present: usize, devices: usize) -> Trainer {
    let mut trainer = trainer(config, data, present);
    trainer.team = Team::new(&vec![Device::Cpu; devices], &trainer.weights).unwrap();
    assert_eq!(trainer.team.len(), devices);
    trainer
}

fn train(config: &Config, present: usize, devices: usize) -> Trainer {
    let mut trainer = team(config, people(present), present, devices);
    (0..config.train.steps.unwrap()).for_each(|_| trainer.step().unwrap());
    trainer
}

/// Weights to 1e-5 and every line of the ledger, for 1, 2, 3 and 50 devices (of which most have nothing to do).
fn agrees(set: &[&str], tolerance: f64) {
    let config = config(set);
    let alone = train(&config, 200, 1);
    for devices in [2, 3, 50] {
        let together = train(&config, 200, devices);
        assert_eq!(alone.ledger.entries(), together.ledger.entries(), "{set:?} on {devices}");
        let gap = gap(&alone, &together);
        assert!(gap < tolerance, "{set:?} on {devices}: {gap:e} apart");
    }
}

#[test]
fn a_team_trains_as_one_does() {
    agrees(&[], 1e-5);
    agrees(&["train.chunk=2"], 1e-5);
    agrees(&["privacy.mode=ordinary"], 1e-5);
    agrees(&["privacy.neighbouring=replace-one"], 1e-5);
    agrees(&["update=[{update=\"adam\", learning_rate=\"auto\"}]"], 1e-4);
    let dropout = "model={layers=[{layer=\"linear\", features=9}, {layer=\"dropout\", rate=0.4}, {layer=\"linear\", features=3}]}";
    agrees(&[dropout], 1e-5);
}

/// Every rule and every update that needs no more than its name, those with questions, crowds, memories, frames and looks of
/// their own among them.
#[test]
fn every_rule_and_update_can_be_shared_out() {
    let rules = ClipConfig::ENTRIES.iter().map(|entry| format!("clip={{ rule = \"{}\" }}", entry.name));
    let update = |name: &str| format!("update=[{{ update = \"{name}\", learning_rate = 0.05 }}]");
    let updates = UpdateConfig::ENTRIES.iter().map(|entry| update(entry.name));
    let mut tried = 0;
    for set in rules.chain(updates) {
        let Ok(config) = std::panic::catch_unwind(|| config(&[&set])) else { continue };
        if Plan::new(&config, &common::model(&config), 200).is_err() {
            continue;
        }
        agrees(&[&set], 1e-4);
        tried += 1;
    }
    assert!(tried > 30, "only {tried} were tried");
}

/// Nobody took part: weights move by noise alone, to the bit as they do on one device.
#[test]
fn noise_is_made_once() {
    let alone = train(&config(&[]), 0, 1);
    let before = common::trainer(&config(&[]), people(0), 0).weights.point();
    assert_ne!(before.flat(), alone.weights.point().flat(), "noise moves the weights all the same");
    for devices in [2, 5] {
        assert_eq!(train(&config(&[]), 0, devices).weights.point().flat(), alone.weights.point().flat());
    }
}

/// The released sum of one step on `present` people, negated: learning rate 1, no momentum, times the lot.
fn released(people: Examples, present: usize, devices: usize) -> Grads {
    let set = [
        "update=[{update=\"sgd\", learning_rate=1.0}]",
        "train.steps=1",
        "train.lot=200",
        "privacy.noise_multiplier=0.7",
    ];
    let mut run = team(&config(&set), people, present, devices);
    let before = run.weights.point();
    run.step().unwrap();
    let mut moved = run.weights.point();
    moved.zip_with(&before, |a, b| *a -= b);
    moved.scale(200.0)
}

fn apart(a: &Grads, b: &Grads) -> f64 {
    let mut apart = a.clone();
    apart.zip_with(b, |a, b| *a -= b);
    apart.norm()
}

/// A person more, wherever in the draw, moves the sum of all devices by no more than the bound of 0.5.
#[test]
fn one_person_more_moves_the_whole_by_at_most_the_bound() {
    let (mut inputs, labels) = rows(61);
    inputs[60 * WIDTH..].iter_mut().for_each(|x| *x *= 1e3);
    let with = |devices| released(examples(inputs.clone(), labels.clone()), 61, devices);
    let without = |devices| released(examples(inputs[..60 * WIDTH].to_vec(), labels[..60].to_vec()), 60, devices);
    for devices in [2, 3, 61] {
        let moved = apart(&with(devices), &without(devices));
        assert!(moved > 0.4 && moved <= 0.5 * 1.001 + 1e-4, "{devices} devices: {moved}");
        assert!(apart(&with(devices), &with(1)) < 1e-3, "each person is in the sum once");
    }
}

#[test]
fn a_round_is_charged_once() {
    let config = config(&[]);
    let plan = Plan::new(&config, &common::model(&config), 200).unwrap();
    let run = train(&config, 200, 4);
    assert_eq!(run.ledger.entries(), plan.rehearse(&config, &common::model(&config)).unwrap().entries());
    assert_eq!(spent(&config, &run.ledger).unwrap(), plan.epsilon);
}

/// Weights that were put there from outside, as those of a checkpoint are, reach every device.
#[test]
fn others_follow_whatever_happens_to_the_leaders_weights() {
    let run = |devices| {
        let mut run = team(&config(&[]), people(200), 200, devices);
        (0..3).for_each(|_| run.step().unwrap());
        run.weights = train(&config(&["train.seed=9"]), 200, 1).weights;
        (0..3).for_each(|_| run.step().unwrap());
        run
    };
    assert!(gap(&run(1), &run(3)) < 1e-5);
}

#[test]
fn results_do_not_depend_on_who_is_done_first() {
    let runs = [0, 1, 2].map(|_| train(&config(&[]), 200, 7).weights.point().to_vec());
    assert!(runs.iter().all(|weights| *weights == runs[0]));
}
