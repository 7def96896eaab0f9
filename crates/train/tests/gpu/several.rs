//! Several GPUs of one host against one of them; skipped where there is one only.
use crate::{gap, gpu, numbers, wide};
use engine::{Device, Gpu, Group, Tensor, op};
use train::{clip::ClipConfig, config::Mode, team::Team, trainer::Trainer, update::UpdateConfig, workload::Workload};

/// All GPUs, if there are two at least.
fn several() -> Option<(crate::Turn, Vec<Device>)> {
    let turn = gpu()?;
    let all = Device::list("cuda:all").unwrap_or_else(|e| panic!("{e}"));
    if all.len() < 2 {
        println!("skipped: one GPU");
        return None;
    }
    all.iter().filter_map(|device| device.gpu()).for_each(|gpu| gpu.set_precision(turn.gpu.precision()));
    Some((turn, all))
}

fn guarded<T>(work: impl FnOnce() -> T) -> T {
    engine::guard(work).unwrap_or_else(|e| panic!("{e}"))
}

/// By NCCL (each tensor on its own device), and by copies between GPUs (where they are in another order).
#[test]
fn sums_and_copies_are_the_hosts() {
    let Some((_turn, all)) = several() else { return };
    let group = Group::new(&all).unwrap_or_else(|e| panic!("{e}"));
    println!("{} GPUs, NCCL: {}", all.len(), group.uses_nccl());
    for len in [1, 1000, 3_000_001] {
        let terms: Vec<Tensor> = (0..all.len()).map(|k| numbers(&[len], k as u64)).collect();
        let want = terms.iter().skip(1).fold(terms[0].clone(), op::add);
        let put = |devices: &[Device]| -> Vec<Tensor> {
            terms.iter().zip(devices).map(|(term, device)| term.clone().to(*device)).collect()
        };
        let turned: Vec<Device> = all.iter().rev().copied().collect();
        for devices in [&all, &turned] {
            let sum = || guarded(|| group.sum(put(devices)));
            let (first, second) = (sum(), sum());
            assert_eq!(first.device(), devices[0]);
            assert!(gap(&wide(&first), &wide(&want)) < 1e-6, "{len} numbers");
            assert_eq!(wide(&first), wide(&second), "the same sum each time");
        }
        let from = [terms[0].clone().to(all[0]), terms[1].clone().to(all[0])];
        let blank = |device: &Device| from.clone().map(|x| Tensor::zeros_on(*device, x.shape()));
        let mut to: Vec<[Tensor; 2]> = all[1..].iter().map(blank).collect();
        let mut lists: Vec<&mut [Tensor]> = to.iter_mut().map(|list| &mut list[..]).collect();
        guarded(|| group.hand_out(&from, &mut lists));
        for (list, device) in to.iter().zip(&all[1..]) {
            list.iter().zip(&terms).for_each(|(got, want)| assert_eq!(wide(got), wide(want)));
            assert!(list.iter().all(|tensor| tensor.device() == *device));
        }
    }
}

/// Numbers that stand on one GPU are read by operations on another, while their own GPU goes on with other things.
#[test]
fn numbers_elsewhere_are_read() {
    let Some((_turn, all)) = several() else { return };
    let step = numbers(&[100_000], 3);
    for _ in 0..20 {
        let there = guarded(|| {
            let mut w = numbers(&[100_000], 4).to(all[1]);
            // Written just now by the other GPU, and overwritten right after.
            let mut late = op::add(step.clone().to(all[0]), &Tensor::zeros_on(all[0], [100_000]));
            op::walk(&mut w, (&late).into(), 1.0);
            late.clear();
            w
        });
        let mut here = numbers(&[100_000], 4);
        op::walk(&mut here, (&step).into(), 1.0);
        assert_eq!(wide(&here), wide(&there));
    }
}

/// Two threads read from and write to the same GPU.
#[test]
fn threads_do_not_spoil_each_others_copies() {
    let Some((turn, _)) = several() else { return };
    let device = Device::Cuda(turn.gpu);
    std::thread::scope(|scope| {
        for seed in 0..4u64 {
            scope.spawn(move || {
                let want = numbers(&[300_000], seed);
                for _ in 0..30 {
                    assert_eq!(wide(&want.clone().to(device)), wide(&want));
                }
            });
        }
    });
}

/// A step out of summands on all GPUs, behind its noise, is on each of them, to the bit, the one that a single GPU takes by the sum; also
/// while each of them was just writing its summands, and goes on right after; and rounded forms are those of the new numbers.
#[test]
fn steps_are_taken_together() {
    let Some((_turn, all)) = several() else { return };
    let group = Group::new(&all).unwrap_or_else(|e| panic!("{e}"));
    all.iter().filter_map(|device| device.gpu()).for_each(|gpu| gpu.set_precision(engine::Precision::Bf16));
    let key = [7; 32];
    for (round, sizes) in [&[512 * 64, 3, 800 * 64, 1_000_000 / 64 * 64][..], &[64], &[704, 64 * 9]]
        .into_iter()
        .cycle()
        .take(30)
        .enumerate()
    {
        let (len, nonce) = (sizes.iter().sum::<usize>(), round as u64);
        let term = |k: usize| numbers(&[len], (k + round) as u64);
        let start = |device: Device| {
            sizes.iter().map(|n| numbers(&[n.div_ceil(64), (*n).min(64)], *n as u64).to(device)).collect::<Vec<_>>()
        };
        let product = |list: &[Tensor]| {
            let (w, device) = (&list[list.len() - 1], list[0].device());
            wide(&op::linear(&numbers(&[5, 64], 9).to(device), w, None))
        };
        let noise = |cipher| round.is_multiple_of(2).then_some(op::Noise { cipher, deviation: 0.5 });
        let mut sum = (1..all.len()).map(term).fold(term(0), |sum, term| op::add(sum, &term)).to(all[0]);
        if let Some(noise) = noise(op::Cipher { key: &key, nonce }) {
            op::add_normals(&mut sum, noise.deviation, noise.cipher);
        }
        let mut want = start(all[0]);
        op::walk_all(&mut want, &sum, -0.3, None);
        let mut lists: Vec<Vec<Tensor>> = all.iter().map(|device| start(*device)).collect();
        let before: Vec<Vec<f64>> = lists.iter().map(|list| product(list)).collect();
        guarded(|| {
            let zeros = |device: &Device| Tensor::zeros_on(*device, [len]);
            let summands: Vec<Tensor> =
                all.iter().enumerate().map(|(k, device)| op::add(zeros(device), &term(k).to(*device))).collect();
            assert!(group.shares(&summands), "these GPUs do not see each other's memory");
            let mut lists: Vec<&mut [Tensor]> = lists.iter_mut().map(|list| &mut list[..]).collect();
            op::noised_walk(&mut lists, &summands, -0.3, noise(op::Cipher { key: &key, nonce }));
            summands.into_iter().for_each(|mut sum| sum.clear());
        });
        for (list, before) in lists.iter().zip(before) {
            for (k, (got, want)) in list.iter().zip(&want).enumerate() {
                let (got, want) = (wide(got), wide(want));
                let other: Vec<usize> = (0..got.len()).filter(|i| got[*i] != want[*i]).collect();
                let (device, ends) = (list[k].device(), (other.first(), other.last()));
                assert!(other.is_empty(), "round {round}, tensor {k} on {device}: {} differ, {ends:?}", other.len());
            }
            let fresh: Vec<Tensor> = list.iter().map(|w| w.to_host().to(w.device())).collect();
            assert!(product(list) == product(&fresh) && product(list) != before, "round {round}: rounded forms");
        }
    }
}

fn trainer(name: &str, device: &str, set: &[String]) -> Option<Trainer> {
    trainer_of(name, Mode::Private, device, set)
}

fn trainer_of(name: &str, mode: Mode, device: &str, set: &[String]) -> Option<Trainer> {
    let workload = Workload::by_name(name)?;
    let all = [set, &[format!("train.device={device}"), "train.chunk=24".to_owned()]].concat();
    let config = workload.config(mode, &all).ok()?;
    workload.trainer(&config, 64).ok()
}

fn run(name: &str, device: &str, set: &[String], steps: usize) -> Option<(Vec<f64>, String)> {
    let mut trainer = trainer(name, device, set)?;
    for _ in 0..steps {
        guarded(|| trainer.step()).unwrap_or_else(|e| panic!("{e}"));
    }
    Some((wide(trainer.weights.point().tensor()), format!("{:?}", trainer.ledger.entries())))
}

fn set(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn training_is_one_gpus() {
    let Some(_several) = several() else { return };
    let plain = "update=[{ update = \"sgd\", learning_rate = 0.1 }]";
    let momentum = "update=[{ update = \"sgd\", learning_rate = 0.1, momentum = 0.9 }]";
    let adam = "update=[{ update = \"adamw\", learning_rate = 0.001 }]";
    let all = [("W1", plain), ("W1", momentum), ("W1", adam), ("W2", momentum), ("W3", plain), ("W3", momentum)];
    for (name, update) in all {
        let set = set(&[update, "train.sample_rate=0.5"]);
        let (one, book) = run(name, "cuda:0", &set, 6).unwrap_or_else(|| panic!("{name}"));
        for devices in ["cuda:0,1", "cuda:1,0", "cuda:all"] {
            let (many, other) = run(name, devices, &set, 6).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(book, other);
            let gap = gap(&one, &many);
            assert!(gap < 1e-4, "{name}, {update} on {devices}: weights {gap:e} apart");
        }
    }
}

/// Ordinary training takes its steps together too, without noise.
#[test]
fn ordinary_training_is_one_gpus() {
    let Some(_several) = several() else { return };
    let run = |device| {
        let mut trainer = trainer_of("W1", Mode::Ordinary, device, &[]).unwrap_or_else(|| panic!("no W1"));
        (0..6).for_each(|_| guarded(|| trainer.step()).unwrap_or_else(|e| panic!("{e}")));
        wide(trainer.weights.point().tensor())
    };
    let (one, many) = (run("cuda:0"), run("cuda:all"));
    assert!(gap(&one, &many) < 1e-5, "weights {:e} apart", gap(&one, &many));
}

/// Weights that are changed between two steps are the ones that every GPU goes on with.
#[test]
fn others_are_brought_up_to_the_leader() {
    let Some(_several) = several() else { return };
    let run = |device| {
        let mut trainer = trainer("W1", device, &[]).unwrap_or_else(|| panic!("no W1"));
        let start = trainer.weights.clone();
        for k in 0..4 {
            guarded(|| trainer.step()).unwrap_or_else(|e| panic!("{e}"));
            if k == 1 {
                trainer.weights = start.clone();
            }
        }
        wide(trainer.weights.point().tensor())
    };
    let gap = gap(&run("cuda:0"), &run("cuda:all"));
    assert!(gap < 1e-5, "weights {gap:e} apart");
}

/// Nobody is drawn: weights move by noise alone, to the bit as on one GPU.
#[test]
fn noise_is_made_once() {
    let Some(_several) = several() else { return };
    // Steps that are taken together, and those of the leader alone.
    for update in [&[][..], &["update=[{ update = \"sgd\", learning_rate = 0.1, momentum = 0.9 }]"]] {
        let set = set(&[&["train.sample_rate=1e-12"], update].concat());
        let one = run("W2", "cuda:0", &set, 3);
        assert!(one.is_some());
        assert_eq!(one, run("W2", "cuda:0,1", &set, 3));
        assert_eq!(one, run("W2", "cuda:all", &set, 3));
    }
}

/// Whatever a rule keeps (frames, directions, places of its own) stands on the first GPU or the host, and works on all.
#[test]
fn every_rule_and_update_works_on_several() {
    let Some(_several) = several() else { return };
    let rules = ClipConfig::ENTRIES.iter().map(|entry| vec![format!("clip.rule={}", entry.name)]);
    let updates = UpdateConfig::ENTRIES.iter();
    let updates = updates.map(|e| vec![format!("update=[{{ update = \"{}\", learning_rate = 0.01 }}]", e.name)]);
    let (mut tried, mut failed) = (0, Vec::new());
    for set in rules.chain(updates) {
        let both = || Some((run("W1", "cuda:0", &set, 2)?, run("W1", "cuda:0,1", &set, 2)?));
        match std::panic::catch_unwind(both) {
            Err(_) => failed.push(format!("{set:?}: panicked")),
            Ok(None) => {}
            Ok(Some((one, many))) => {
                tried += 1;
                let gap = gap(&one.0, &many.0);
                if gap > 1e-3 || one.1 != many.1 {
                    failed.push(format!("{set:?}: weights {gap:e} apart"));
                }
            }
        }
    }
    println!("{tried} rules and updates");
    assert!(failed.is_empty(), "{failed:#?}");
    assert!(tried > 15, "only {tried} were tried");
}

#[test]
fn a_gpu_that_is_not_there_is_named() {
    let there = Gpu::count();
    let said = Device::list(&format!("cuda:{there}")).err().map(|e| e.0).unwrap_or_default();
    assert!(said.starts_with("cuda:") && said.contains("this machine has"), "{said}");
    let Some((_turn, all)) = several() else { return };
    assert!(Group::new(&[all[0], all[0]]).err().is_some_and(|e| e.0.contains("twice")));
    let weights = trainer("W1", "cuda:0", &[]).map(|t| t.weights).unwrap_or_else(|| panic!("no W1"));
    assert!(Team::new(&[all[0], Device::Cpu], &weights).is_err());
}
