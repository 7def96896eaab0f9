//! Several processes at one run are one run: the same ledger, the same weights, noise once; and whatever goes wrong with one of
//! them ends it in words. Threads stand for processes here.
mod common;
use common::{config, gap, people, trainer};
use engine::{Device, guard};
use std::{net::TcpListener, path::Path, thread};
use train::{
    clip::ClipConfig,
    config::{Config, DEFAULT},
    plan::Plan,
    run::Run,
    team::Team,
    trainer::Trainer,
    world::{Place, World},
};

/// An address where nobody waits yet.
fn address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// What each of `size` processes makes of its place, in order of ranks. Each has threads of its own, as processes have: one that
/// waits for another must not keep it from working.
fn processes<T: Send>(size: usize, work: impl Fn(Place) -> T + Sync) -> Vec<T> {
    let (master, work) = (address(), &work);
    thread::scope(|scope| {
        let start = |rank| {
            let place = Place { rank, size, master: master.clone() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            scope.spawn(move || pool.install(|| work(place)))
        };
        let all: Vec<_> = (0..size).map(start).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

/// A process's trainer, with `devices` processors of its own.
fn joined(config: &Config, present: usize, place: Place, devices: usize) -> Result<Trainer, String> {
    let mut trainer = trainer(config, people(present), present);
    trainer.team = Team::new(&vec![Device::Cpu; devices], &trainer.weights).unwrap();
    let world = World::meet(place).map_err(|e| e.0)?;
    trainer.join(world).map_err(|e| e.0)?;
    Ok(trainer)
}

fn steps(trainer: &mut Trainer, count: usize) -> Result<(), String> {
    (0..count).try_for_each(|_| guard(|| trainer.step()).map_err(|e| e.0)?.map_err(|e| e.to_string()))
}

fn train(config: &Config, present: usize, place: Place, devices: usize) -> Result<Trainer, String> {
    let mut trainer = joined(config, present, place, devices)?;
    steps(&mut trainer, 12)?;
    Ok(trainer)
}

#[test]
fn processes_train_as_one_does() {
    let mut refused = Vec::new();
    let own = |entry: &str| format!("clip={{ rule = \"{entry}\" }}");
    let rules = ClipConfig::ENTRIES.iter().map(|entry| own(entry.name));
    for set in rules.chain(["privacy.mode=ordinary".into(), "train.chunk=2".into()]) {
        let Ok(config) = std::panic::catch_unwind(|| config(&[&set])) else { continue };
        if Plan::new(&config, &common::model(&config), 200).is_err() {
            continue;
        }
        let alone = common::train(&config, people(200), 200);
        // Three processes, the second with two devices: four shares.
        let runs = processes(3, |place| {
            let devices = 1 + usize::from(place.rank == 1);
            train(&config, 200, place, devices)
        });
        let runs: Vec<Trainer> = match runs.into_iter().collect::<Result<_, String>>() {
            Ok(runs) => runs,
            Err(why) => {
                assert!(why.contains("several processes cannot do together"), "{set}: {why}");
                refused.push(set);
                continue;
            }
        };
        for run in &runs {
            assert_eq!(run.ledger.entries(), alone.ledger.entries(), "{set}");
            assert_eq!(run.weights.point().flat(), runs[0].weights.point().flat(), "{set}: to the bit");
            assert!(gap(run, &alone) < 1e-4, "{set}: {:e} apart", gap(run, &alone));
        }
    }
    assert_eq!(refused, [own("dice-sgd"), own("micro-batch")]);
}

#[test]
fn noise_is_made_once() {
    let alone = common::train(&config(&[]), people(0), 0);
    let runs = processes(2, |place| train(&config(&[]), 0, place, 1).unwrap().weights.point().to_vec());
    runs.iter().for_each(|weights| assert_eq!(weights, alone.weights.point().flat()));
}

#[test]
fn a_lost_process_ends_the_run_and_is_named() {
    let config = config(&[]);
    let said = processes(3, |place| {
        let rank = place.rank;
        let mut trainer = joined(&config, 200, place, 1).unwrap();
        steps(&mut trainer, 3).unwrap();
        let before = trainer.weights.point().to_vec();
        // Rank 2 leaves here.
        let lost = if rank == 2 { String::new() } else { steps(&mut trainer, 1).unwrap_err() };
        assert!(rank == 2 || trainer.weights.point().flat() == before, "nothing was learnt from part of a lot");
        let rounds: u64 = trainer.ledger.entries().iter().map(|(_, n)| n).sum();
        (lost, rounds)
    });
    assert!(said[0].0.contains("rank 2 of 3") && said[0].0.contains("its process ended"), "{said:?}");
    assert!(said[1].0.contains("rank 0 of 3"), "{said:?}");
    assert!(said.iter().all(|(_, rounds)| *rounds == 3), "a step that was not made is not charged: {said:?}");
}

#[test]
fn numbers_that_differ_end_the_run() {
    let said = processes(2, |place| {
        let rate = 0.3 + 1e-6 * place.rank as f64;
        let config = config(&[&format!("update=[{{ update = \"sgd\", learning_rate = {rate} }}]")]);
        train(&config, 200, place, 1).err().unwrap()
    });
    said.iter().for_each(|said| assert!(said.contains("rank 1's step is not rank 0's"), "{said}"));
    let said = processes(2, |place| {
        let seed = format!("train.seed={}", place.rank);
        train(&config(&[&seed]), 200, place, 1).err().unwrap()
    });
    said.iter().for_each(|said| assert!(said.contains("rank 1's starting point is not rank 0's"), "{said}"));
}

#[test]
fn whoever_does_not_belong_is_turned_away() {
    // A rank that is there twice.
    let said = processes(3, |place| {
        let rank = place.rank.min(1);
        World::meet(Place { rank, ..place }).err().map(|e| e.0).unwrap_or_default()
    });
    assert!(said[0].contains("two processes are rank 1"), "{said:?}");
    assert!(said[1..].contains(&said[0]), "the second is told: {said:?}");
    // One that takes part in a larger run.
    let said = processes(2, |place| {
        let size = place.size + place.rank;
        World::meet(Place { size, ..place }).err().map(|e| e.0).unwrap_or_default()
    });
    said.iter().for_each(|said| assert!(said.contains("in a run of 3 processes, rank 0 in one of 2"), "{said}"));
}

/// A short run of the default configuration in `folder`, as one of several.
fn run(folder: &Path, place: Place, set: &[&str]) -> Result<Vec<f32>, String> {
    let set: Vec<String> =
        [&["train.steps=4", "train.evaluations=1"], set].concat().iter().map(|s| (*s).into()).collect();
    let config = Config::read("test", DEFAULT, &set).unwrap();
    let rank = place.rank;
    let run = Run::prepare_at(config, ".".as_ref(), Some(folder), false, Some(place)).map_err(|e| e.to_string())?;
    assert_eq!(run.rank(), rank);
    Ok(run.train(&mut ()).map_err(|e| e.to_string())?.weights.point().to_vec())
}

/// Without a seed: the key is rank 0's, and so is everything that is written.
#[test]
fn a_whole_run_is_rank_0s() {
    let top = tempfile::tempdir().unwrap();
    let folder = |rank: usize| top.path().join(rank.to_string());
    let weights = processes(2, |place| run(&folder(place.rank), place, &[]).unwrap());
    assert_eq!(weights[0], weights[1]);
    assert!(folder(0).join("ledger.jsonl").exists() && folder(0).join("report.html").exists());
    assert!(!folder(1).exists());
}

#[test]
fn another_configuration_or_other_data_are_refused() {
    let top = tempfile::tempdir().unwrap();
    let both = |own: fn(usize) -> &'static str| {
        let said = processes(2, |place| {
            let rank = place.rank;
            run(&top.path().join("never"), place, &[own(rank)]).err().unwrap_or_default()
        });
        assert!(!top.path().join("never").exists());
        said
    };
    let said = both(|rank| ["clip.bound=1.0", "clip.bound=2.0"][rank]);
    said.iter().for_each(|said| assert!(said.contains("rank 1's configuration is not rank 0's"), "{said}"));
}
