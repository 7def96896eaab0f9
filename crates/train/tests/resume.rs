//! Stop and continue: what a run's second life may and may not change.
mod common;
use common::place::{Place, Until};
use privacy::{Event, Ledger, Neighbouring, Secret};
use std::{fs, path::Path};
use train::{clip::ClipConfig, config::Config, report::Point, run::Run};

const LINKS: [&str; 5] = [
    "[{update=\"sgd\", learning_rate={peak=0.3, schedule=\"cosine\"}, momentum=0.9}]",
    "[{update=\"doppler\"}, {update=\"adam-bc\", learning_rate=0.05, floor=1e-4}, {update=\"ema\", decay=0.9}]",
    "[{update=\"adam\", learning_rate={auto=true, every=3}}]",
    "[{update=\"disk\", gamma=0.5}, {update=\"sgd\", learning_rate=0.3}]",
    "[{update=\"sgld\", learning_rate=0.05, temperature=1e-3}]",
];

fn model(folder: &Path) -> Vec<u8> {
    fs::read(folder.join("model.safetensors")).unwrap()
}

fn ledger(folder: &Path) -> Vec<(Event, u64)> {
    Ledger::read(folder.join("ledger.jsonl")).unwrap().entries()
}

/// That the rows are not as many as declared tells neighbouring data sets apart: whoever runs is told, in each life, and no file is,
/// though the warnings, which rest on no row, stand in them.
#[test]
fn what_the_rows_say_is_in_no_file() {
    let place = Place::new(&["data.examples=201", "privacy.delta=0.1"]);
    let folder = place.folder("run");
    let runs = [place.start("run"), {
        place.start("stopped").train(&mut Until(5)).unwrap();
        place.resume("stopped")
    }];
    for (run, folder) in runs.into_iter().zip([folder, place.folder("stopped")]) {
        assert!(run.notes.len() == 1 && run.notes[0].contains("does not hold exactly"), "{:?}", run.notes);
        run.train(&mut ()).unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            let text = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
            assert!(!text.contains("hold exactly"), "{}", path.display());
            let told = ["privacy.json", "report.html"].iter().any(|name| path.ends_with(name));
            assert!(!told || text.contains("not below one over"), "{}", path.display());
        }
    }
}

#[test]
fn with_a_seed_a_continued_run_is_the_straight_one_to_the_bit() {
    for links in LINKS {
        let place = Place::new(&["train.seed=4", &format!("update={links}")]);
        place.start("straight").train(&mut ()).unwrap();
        for stop in [1, 5, 11] {
            let name = format!("stopped at {stop}");
            place.start(&name).train(&mut Until(stop)).unwrap();
            assert_ne!(model(&place.folder(&name)), model(&place.folder("straight")));
            // And stopped once more on the way.
            place.resume(&name).train(&mut Until(stop + 1)).unwrap();
            if stop + 1 < 12 {
                let outcome = place.resume(&name).train(&mut ()).unwrap();
                assert_eq!(outcome.record.summary.steps, 12);
            }
            let [a, b] = ["straight", &name].map(|name| place.folder(name));
            assert_eq!(model(&a), model(&b), "{links} {stop}");
            assert_eq!(ledger(&a), ledger(&b));
            let epsilon = |folder: &Path| fs::read_to_string(folder.join("privacy.json")).unwrap();
            assert_eq!(epsilon(&a), epsilon(&b));
            let points = Point::from_lines(&fs::read_to_string(b.join("metrics.jsonl")).unwrap()).unwrap();
            assert!(points.windows(2).all(|pair| pair[0].step < pair[1].step && pair[0].seconds <= pair[1].seconds));
            assert_eq!(points.last().unwrap().step, 12);
            assert!(!b.join("checkpoint.safetensors").exists());
        }
    }
}

/// A checkpoint holds what is frozen, too, and adapters by themselves.
#[test]
fn a_run_that_trains_some_of_its_parameters_continues() {
    let lora = "model.lora={rank=2, targets=[\"*.weight\"], freeze_a=true}";
    for set in ["model.trainable=[\"*.bias\"]", lora] {
        let place = Place::new(&["train.seed=4", set]);
        place.start("straight").train(&mut ()).unwrap();
        place.start("stopped").train(&mut Until(5)).unwrap();
        place.resume("stopped").train(&mut ()).unwrap();
        let [a, b] = ["straight", "stopped"].map(|name| place.folder(name));
        assert_eq!((model(&a), ledger(&a)), (model(&b), ledger(&b)), "{set}");
        let adapters = |folder: &Path| fs::read(folder.join("adapters.safetensors")).ok();
        assert_eq!((adapters(&a), adapters(&a).is_some()), (adapters(&b), set == lora));
    }
}

#[test]
fn every_mechanism_and_sampling_continues() {
    let bins = "train.sampling=balls-in-bins";
    for set in [
        vec!["train.sampling=shuffled"],
        vec![bins],
        vec![bins, "mechanism.mechanism=tree"],
        vec![bins, "mechanism={mechanism=\"banded\", bands=3}"],
    ] {
        let mut seeded = set.clone();
        seeded.push("train.seed=4");
        let place = Place::new(&seeded);
        place.start("straight").train(&mut ()).unwrap();
        place.start("a").train(&mut Until(5)).unwrap();
        place.resume("a").train(&mut ()).unwrap();
        assert_eq!(model(&place.folder("a")), model(&place.folder("straight")), "{set:?}");
        // By another key: other bins and other noise, paid for once more and within the budget.
        let place = Place::new(&set);
        place.start("a").train(&mut Until(5)).unwrap();
        let run = place.resume("a");
        let planned = run.plan.epsilon;
        let summary = run.train(&mut ()).unwrap().record.summary;
        assert!(summary.epsilon <= 2.0 && (summary.epsilon - planned).abs() < 1e-9, "{set:?}: {}", summary.epsilon);
        let seasons = ledger(&place.folder("a")).iter().filter(|(e, _)| matches!(e, Event::Season { .. })).count();
        assert_eq!(seasons, if set.len() > 1 { 2 } else { 0 }, "{set:?}");
    }
}

/// A rule whose memory were not whole in the checkpoint would clip otherwise than it had.
#[test]
fn every_rule_continues() {
    for name in ClipConfig::ENTRIES.iter().map(|entry| entry.name) {
        let clip = format!("clip={{rule=\"{name}\", bound=0.5}}");
        let place = Place::new(&["train.seed=4", "privacy.accountant=rdp", &clip]);
        place.start("straight").train(&mut ()).unwrap();
        place.start("a").train(&mut Until(7)).unwrap();
        if name == "dice-sgd" {
            // What it remembers is secret, so that nothing could go on: no checkpoint is made, and none is promised.
            assert!(!place.folder("a").join("checkpoint.safetensors").exists());
            let every = place.config(&["train.checkpoint_every=3"]);
            let refused = Run::prepare(every, place.top.path(), None, false).err().unwrap().to_string();
            assert!(refused.contains("train.checkpoint_every") && refused.contains("dice-sgd"), "{refused}");
            continue;
        }
        place.resume("a").train(&mut ()).unwrap();
        assert_eq!(model(&place.folder("a")), model(&place.folder("straight")), "{name}");
        assert_eq!(ledger(&place.folder("a")), ledger(&place.folder("straight")), "{name}");
    }
}

#[test]
fn without_a_seed_the_key_is_another_and_nothing_secret_is_on_disk() {
    let place = Place::new(&["train.checkpoint_every=3"]);
    place.start("a").train(&mut Until(6)).unwrap();
    fs::create_dir(place.folder("b")).unwrap();
    for file in fs::read_dir(place.folder("a")).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, place.folder("b").join(file.file_name().unwrap())).unwrap();
    }
    // Two continuations of one moment: were the key on disk, their noise would be the same.
    let [a, b] = ["a", "b"].map(|name| {
        place.resume(name).train(&mut ()).unwrap();
        model(&place.folder(name))
    });
    assert_ne!(a, b);
    assert_eq!(ledger(&place.folder("a")), ledger(&place.folder("b")));
}

#[test]
fn lost_steps_stay_charged_and_the_budget_holds() {
    let place = Place::new(&["train.checkpoint_every=4"]);
    place.start("a").train(&mut Until(8)).unwrap();
    let early = fs::read(place.folder("a").join("checkpoint.safetensors")).unwrap();
    place.resume("a").train(&mut Until(11)).unwrap();
    // As after a crash: the ledger knows of eleven rounds, the checkpoint of eight steps.
    fs::write(place.folder("a").join("checkpoint.safetensors"), early).unwrap();
    let run = place.resume("a");
    assert!(run.warnings.iter().any(|w| w.starts_with("3 more rounds")), "{:?}", run.warnings);
    assert!(run.warnings.iter().any(|w| w.contains("noise was raised")), "{:?}", run.warnings);
    let (planned, noise) = (run.plan.epsilon, run.plan.noise_multiplier);
    // And stopped once more, in good order: what was said of the noise stays said.
    run.train(&mut Until(10)).unwrap();
    let run = place.resume("a");
    assert_eq!(run.plan.noise_multiplier, noise);
    let told = |w: &String| w.contains("noise was raised") && w.contains(&format!("to {noise},"));
    assert!(run.warnings.iter().any(told), "{:?}", run.warnings);
    let record = run.train(&mut ()).unwrap().record;
    assert_eq!(record.statement.warnings.iter().filter(|w| told(w)).count(), 1);
    let summary = record.summary;
    assert!(summary.epsilon <= 2.0 && (summary.epsilon - planned).abs() < 1e-9, "{}", summary.epsilon);
    let rounds: u64 = ledger(&place.folder("a")).iter().map(|(_, n)| n).sum();
    assert_eq!((rounds, summary.steps), (15, 12));
}

/// Each life has a key of its own, and with bins a run of epochs of its own to pay for: every raise is told, in order.
#[test]
fn every_raise_of_the_noise_is_told() {
    let place = Place::new(&["train.sampling=balls-in-bins", "mechanism.mechanism=tree"]);
    place.start("a").train(&mut Until(3)).unwrap();
    let mut run = place.resume("a");
    let first = run.plan.noise_multiplier;
    run.train(&mut Until(7)).unwrap();
    run = place.resume("a");
    let second = run.plan.noise_multiplier;
    assert!(second > first, "{first} {second}");
    let told = format!("to {first}, then to {second}, so that epsilon holds");
    let warnings = run.train(&mut ()).unwrap().record.statement.warnings;
    assert!(warnings.iter().any(|w| w.ends_with(&told)), "{told}: {warnings:?}");
}

#[test]
fn what_is_not_the_same_run_is_refused() {
    let place = Place::new(&[]);
    let folder = place.folder("a");
    let refused = |asked: Option<&Config>| Run::resume(&folder, asked, None).err().unwrap().to_string();
    assert!(refused(None).contains("no such folder"));
    std::fs::create_dir_all(&folder).unwrap();
    assert!(refused(None).contains("no checkpoint"));
    std::fs::remove_dir(&folder).unwrap();
    place.start("a").train(&mut Until(5)).unwrap();
    for (change, key) in [
        ("privacy.epsilon=8", "privacy.epsilon"),
        ("clip.bound=2.0", "clip.bound"),
        ("train.seed=1", "train.seed"),
        ("update=[{update=\"sgd\", learning_rate=1.0}]", "update.0"),
    ] {
        let error = refused(Some(&place.config(&[change])));
        assert!(error.contains(key), "{change}: {error}");
    }
    assert!(Run::resume(&folder, Some(&place.config(&[])), None).is_ok());
    // A ledger that knows of fewer rounds than the checkpoint has steps is not this run's.
    let other = Place::new(&[]);
    other.start("a").train(&mut Until(2)).unwrap();
    fs::copy(other.folder("a").join("ledger.jsonl"), folder.join("ledger.jsonl")).unwrap();
    assert!(refused(None).contains("the ledger"));
    place.start("b").train(&mut ()).unwrap();
    assert!(Run::resume(&place.folder("b"), None, None).err().unwrap().to_string().contains("finished"));
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let place = Place::new(&[]);
    place.start("a").train(&mut Until(5)).unwrap();
    let path = place.folder("a").join("checkpoint.safetensors");
    let whole = fs::read(&path).unwrap();
    for length in [0, 7, 100, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = Run::resume(&place.folder("a"), None, None).err().unwrap().to_string();
        assert!(error.contains("checkpoint.safetensors"), "{length}: {error}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(place.resume("a").step(), 5);
}

#[test]
fn ordinary_training_continues_too() {
    let place = Place::new(&["train.seed=4", "privacy.mode=ordinary"]);
    place.start("straight").train(&mut ()).unwrap();
    place.start("a").train(&mut Until(7)).unwrap();
    let summary = place.resume("a").train(&mut ()).unwrap().record.summary;
    assert!(summary.epsilon.is_infinite() && !summary.clipped_and_noised);
    assert_eq!(model(&place.folder("a")), model(&place.folder("straight")));
}

/// A look at private data between two lives of a run is no step that was lost, and no step that was made.
#[test]
fn a_look_is_no_step() {
    let place = Place::new(&["train.checkpoint_every=4", "privacy.noise_multiplier=1"]);
    place.start("a").train(&mut Until(8)).unwrap();
    let path = place.folder("a").join("ledger.jsonl");
    let mut book = Ledger::resume(&path).unwrap();
    Secret::new(()).reveal(&mut book, "gradients of training examples, for diagnostics").unwrap();
    book.close().unwrap();
    drop(book);
    let warned = place.resume("a").warnings;
    assert!(!warned.iter().any(|warning| warning.contains("killed")), "{warned:?}");
    // Nor do other releases hide that a ledger is behind its checkpoint.
    let place = Place::new(&["privacy.mode=ordinary"]);
    place.start("b").train(&mut Until(8)).unwrap();
    let path = place.folder("b").join("ledger.jsonl");
    let gradients = ledger(&place.folder("b"));
    fs::remove_file(&path).unwrap();
    let mut book = Ledger::create(&path, Neighbouring::AddRemove).unwrap();
    let [(Event::Revealed { what }, 8)] = &gradients[..] else { panic!("{gradients:?}") };
    for what in [what, "losses, for ordinary training"].repeat(4) {
        Secret::new(()).reveal(&mut book, what).unwrap();
    }
    book.close().unwrap();
    drop(book);
    let refused = Run::resume(&place.folder("b"), None, None).err().unwrap().to_string();
    assert!(refused.contains("made after 8 rounds, but the ledger beside it knows of 4 rounds"), "{refused}");
}
