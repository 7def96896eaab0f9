//! People with several records: what is drawn, clipped, noised and promised is a person, with all records.
mod common;
use common::{WIDTH, config, gap, model, place::Place, place::Until, rows, targets};
use engine::Device;
use privacy::{Key, Ledger, Sum};
use std::{fs, path::Path, sync::Arc};
use train::{
    clip::ClipConfig,
    config::Config,
    data::Examples,
    diagnose::{Ask, source::On},
    grads::Grads,
    model::Weights,
    plan::Plan,
    report::{Statement, Summary},
    run::Run,
    team::Team,
    trainer::Trainer,
};

/// Inputs and labels, and whose each record is.
type Records = (Vec<f32>, Vec<u32>, Vec<u64>);

/// `people` people, of whom the `p`-th has `1 + p % 5` records: everybody's first in order, then everybody's second, and so on.
fn records(people: u64) -> Records {
    let person: Vec<u64> = (0..5).flat_map(|k| (0..people).filter(move |p| p % 5 >= k)).collect();
    let (inputs, labels) = rows(person.len());
    (inputs, labels, person)
}

/// The records of those whom `keep` keeps, as people's.
fn people((inputs, labels, person): &Records, most: usize, keep: impl Fn(u64) -> bool) -> Examples {
    let kept: Vec<usize> = (0..person.len()).filter(|r| keep(person[*r])).collect();
    let x = kept.iter().flat_map(|r| inputs[r * WIDTH..(r + 1) * WIDTH].to_vec()).collect();
    let y = kept.iter().map(|r| labels[*r]).collect();
    let who: Vec<u64> = kept.iter().map(|r| person[*r]).collect();
    common::examples(x, y).by_person(&who, most).unwrap()
}

fn run(config: &Config, data: Examples) -> Trainer {
    let present = data.units();
    common::train(config, data, present)
}

/// The ledger of a run of people is that of a run of as many examples; with one record each so are the weights, to the bit where a
/// person has one place, and but for rounding where places stay empty.
#[test]
fn people_with_one_record_each_are_examples() {
    let dropout = "model={layers=[{layer=\"linear\", features=9}, {layer=\"dropout\", rate=0.4}, {layer=\"linear\", features=3}]}";
    let auto = "update=[{update=\"adam\", learning_rate=\"auto\"}]";
    let sets: [&[&str]; 6] = [
        &[],
        &["clip={rule=\"auto-s\", per=\"layer\"}"],
        &["clip={rule=\"micro-batch\"}", dropout],
        &["clip={rule=\"dice-sgd\"}"],
        &["privacy.mode=ordinary", auto],
        &[auto, "privacy.neighbouring=replace-one", dropout],
    ];
    for set in sets {
        let config = config(set);
        let records = (rows(200).0, rows(200).1, (0..200).map(|p| 1000 - 3 * p).collect());
        let straight = run(&config, common::people(200));
        let [one, three] = [1, 3].map(|most| run(&config, people(&records, most, |_| true)));
        assert_eq!(straight.ledger.entries(), one.ledger.entries(), "{set:?}");
        assert_eq!(straight.ledger.entries(), three.ledger.entries(), "{set:?}");
        assert_eq!(straight.weights.point().flat(), one.weights.point().flat(), "{set:?}");
        // Coins are looked up by a person's number and place: with more places they are others.
        let gap = gap(&straight, &three);
        assert!(gap < 1e-4 || set.contains(&dropout), "{set:?}: {gap:e} apart");
    }
}

/// Every rule takes people: its ledger is the one of examples, and chunks and devices change nothing but last bits.
#[test]
fn every_rule_takes_people() {
    let records = records(60);
    let mut tried = 0;
    for entry in ClipConfig::ENTRIES {
        let [rule, bounded] = ["", ", bound = 0.5"].map(|more| format!("clip={{ rule = \"{}\"{more} }}", entry.name));
        let rule = if std::panic::catch_unwind(|| config(&[&rule])).is_ok() { rule } else { bounded };
        let config = |chunk: &str| config(&[&rule, "train.steps=4", chunk]);
        if Plan::new(&config("train.chunk=1"), &model(&config("train.chunk=1")), 200).is_err() {
            continue;
        }
        tried += 1;
        let whole = run(&config("train.chunk=1000"), people(&records, 3, |_| true));
        let examples = common::train(&config("train.chunk=7"), common::people(60), 60);
        assert_eq!(whole.ledger.entries(), examples.ledger.entries(), "{rule}");
        assert!(whole.weights.point().flat().iter().all(|x| x.is_finite()), "{rule}");
        for chunk in ["train.chunk=1", "train.chunk=8"] {
            let gap = gap(&whole, &run(&config(chunk), people(&records, 3, |_| true)));
            assert!(gap < 1e-4, "{rule}, {chunk}: {gap:e} apart");
        }
        let mut together = common::trainer(&config("train.chunk=8"), people(&records, 3, |_| true), 60);
        together.team = Team::new(&[Device::Cpu; 3], &together.weights).unwrap();
        (0..4).for_each(|_| together.step().unwrap());
        let gap = gap(&whole, &together);
        assert!(gap < 1e-4, "{rule}, three devices: {gap:e} apart");
    }
    assert!(tried + 2 > ClipConfig::ENTRIES.len(), "only {tried} were tried");
}

/// One step with learning rate 1 and no momentum, times the lot size: the released sum, negated.
fn released(set: &[&str], data: Examples) -> Grads {
    let mut all = vec![
        "update=[{update=\"sgd\", learning_rate=1.0}]",
        "train.steps=1",
        "train.lot=200",
        "privacy.noise_multiplier=0.7",
    ];
    all.extend(set);
    let present = data.units();
    let mut run = common::trainer(&config(&all), data, present);
    let before = run.weights.point();
    run.step().unwrap();
    let mut moved = run.weights.point();
    moved.zip_with(&before, |a, b| *a -= b);
    moved.scale(200.0)
}

/// A person with any number of records, whose places lie among the others', removed with all of them: by the same key the others'
/// draw, their chosen records, their coins, the divisor and the noise are the same, and what is left is the person's own share.
#[test]
fn a_person_with_all_records_moves_the_release_by_at_most_the_bound() {
    let dropout = "model={layers=[{layer=\"linear\", features=9}, {layer=\"dropout\", rate=0.4}, {layer=\"linear\", features=3}]}";
    for rule in ["flat", "auto-s", "auto-v", "psac"] {
        for (own, size) in [(1, 1.0f32), (2, 1e4), (3, 1e-6), (40, 1.0), (40, 300.0)] {
            let (mut inputs, mut labels, mut person) = records(60);
            // After everybody's first record, and before most of the others'.
            for k in 0..own {
                let at = 60 + 3 * k;
                let row: Vec<f32> = inputs[at * WIDTH..(at + 1) * WIDTH].iter().map(|x| x * size).collect();
                inputs.splice(at * WIDTH..at * WIDTH, row);
                labels.insert(at, (k % 3) as u32);
                person.insert(at, 777);
            }
            let all = (inputs, labels, person);
            let set = [&*format!("clip.rule={rule}"), dropout];
            let mut moved = released(&set, people(&all, 3, |_| true));
            moved.zip_with(&released(&set, people(&all, 3, |p| p != 777)), |a, b| *a -= b);
            let moved = moved.norm();
            assert!(moved <= 0.5 * 1.001 + 1e-4, "{rule}, {own} records of {size:e}: {moved}");
            assert!(moved > 0.0, "{rule}: the person took part");
        }
    }
}

#[test]
fn the_ledger_knows_nothing_of_records() {
    let ledgers =
        [0u64, 1, 60].map(|n| run(&config(&["train.steps=5"]), people(&records(n), 2, |_| true)).ledger.entries());
    assert!(ledgers.windows(2).all(|pair| pair[0] == pair[1]));
}

/// The same record several times is that record once: a mean, and not a sum; losses that a learning rate finds itself by, too.
#[test]
fn a_record_several_times_counts_once() {
    let (inputs, labels) = rows(80);
    let once: Records = (inputs.clone(), labels.clone(), (0..80).collect());
    let thrice = (inputs.repeat(3), labels.repeat(3), (0..240).map(|r| r % 80).collect());
    for set in [&[][..], &["update=[{update=\"adam\", learning_rate=\"auto\"}]"], &["privacy.mode=ordinary"]] {
        let config = config(set);
        let one = run(&config, people(&once, 1, |_| true));
        for most in [2, 3, 8] {
            let gap = gap(&one, &run(&config, people(&thrice, most, |_| true)));
            assert!(gap < 1e-4, "{set:?}, at most {most}: {gap:e} apart");
        }
    }
}

/// With dropout every record flips coins of its own: three copies are not one, though the first has the same coins in both.
#[test]
fn records_of_a_person_flip_their_own_coins() {
    let dropout = "model={layers=[{layer=\"linear\", features=9}, {layer=\"dropout\", rate=0.4}, {layer=\"linear\", features=3}]}";
    let config = config(&[dropout, "train.steps=3"]);
    let (inputs, labels) = rows(80);
    let once: Records = (inputs.clone(), labels.clone(), (0..80).collect());
    let thrice = (inputs.repeat(3), labels.repeat(3), (0..240).map(|r| r % 80).collect());
    let one = run(&config, people(&once, 3, |_| true));
    assert!(gap(&one, &run(&config, people(&thrice, 3, |_| true))) > 1e-3);
}

/// A record whose loss overflows takes its person out of the step, with what else there is of that person, and nobody else.
#[test]
fn a_record_that_overflows_takes_its_person_out() {
    let model = "model={loss=\"mean-squared-error\", layers=[{layer=\"linear\", features=3}]}";
    for set in [&["clip.rule=flat", model][..], &["privacy.mode=ordinary", model]] {
        let all = records(40);
        let person = all.2[43];
        let with = |bad: &dyn Fn(usize) -> bool| {
            let mut all = all.clone();
            (0..all.2.len()).filter(|r| bad(*r)).for_each(|r| all.0[r * WIDTH..(r + 1) * WIDTH].fill(3e38));
            released(set, people(&all, 5, |_| true)).to_vec()
        };
        let lost = with(&|r| r == 43);
        assert!(lost.iter().all(|x| x.is_finite()), "{set:?}");
        assert_eq!(lost, with(&|r| all.2[r] == person), "{set:?}");
        assert_ne!(lost, with(&|_| false), "{set:?}");
        assert_ne!(lost, with(&|r| all.2[r] != person), "{set:?}");
    }
}

#[derive(serde::Deserialize)]
struct Step {
    norms: Vec<f64>,
    sum: Vec<f64>,
}

/// A step without noise, everybody in it, as `vectors/people.py` made it in plain Python; for a person of four records and three
/// places it is one of the four means of three.
#[test]
fn a_step_is_the_published_one() {
    let step: Step = serde_json::from_str(include_str!("vectors/people.json")).unwrap();
    let number = |k: usize, start: f64| 0.4 * (0.7 * k as f64 + start).sin();
    let person = [7u64, 3, 7, 12, 3, 7, 5, 12, 12, 9, 5];
    let inputs: Vec<f32> = (0..44).map(|k| (3.0 * number(k, 1.5) * (1 + k / 4 % 3) as f64) as f32).collect();
    let labels = (0..11).map(|r| (2 * r) % 3).collect();
    let config = config(&[
        "model={layers=[{layer=\"linear\", features=3}, {layer=\"tanh\"}, {layer=\"linear\", features=3}]}",
        "update=[{update=\"sgd\", learning_rate=1.0}]",
        "train.lot=5",
        "train.steps=1",
        "privacy.noise_multiplier=0.0",
    ]);
    let model = Arc::new(train::model::Model::build(&config.model, &[4], &targets(vec![])).unwrap());
    let named = model.layout().parameters().iter().map(|p| {
        let start: u32 = p.name.bytes().map(u32::from).sum();
        let numbers = (0..p.len()).map(|k| number(k, f64::from(start)) as f32).collect();
        (p.name.clone(), engine::Tensor::new(p.shape.clone(), numbers))
    });
    let weights = Weights::from_public(model.layout(), named.collect()).unwrap();
    let data = Examples::from_floats(inputs, vec![4], targets(labels), vec![]).unwrap().by_person(&person, 3).unwrap();
    assert_eq!((data.units(), data.len(), step.norms.len()), (5, 11, 5));
    let plan = Plan::new(&config, &model, 5).unwrap();
    let (key, ledger) = (Arc::new(Key::from_seed(4)), Ledger::new(config.privacy.neighbouring));
    let mut trainer = plan.trainer(&config, &model, weights, data, 5, key, ledger).unwrap();
    let before = trainer.weights.point();
    trainer.step().unwrap();
    let after = trainer.weights.point();
    for (k, want) in step.sum.iter().enumerate() {
        let got = 5.0 * f64::from(before.flat()[k] - after.flat()[k]);
        assert!((got - want).abs() < 5e-6, "number {k}: {got} and {want}");
    }
}

const IDS: &str = "patient-canary";

/// A place with a table of visits: 60 patients, the `p`-th with `1 + p % 5` of them.
fn visits(set: &[&str]) -> Place {
    let more =
        ["data.train=visits.csv", "data.examples=60", "data.person=patient", "data.per_person=3", "train.seed=3"];
    let place = Place::new(&[&more[..], set].concat());
    let (inputs, labels, person) = records(60);
    let lines: Vec<String> = (0..person.len())
        .map(|r| {
            let cells: Vec<String> =
                inputs[r * WIDTH..(r + 1) * WIDTH].iter().map(|x| format!("{:.4}", x.clamp(-4.0, 4.0))).collect();
            format!("{IDS}-{},{},{}\n", person[r], cells.join(","), ["p", "q", "r"][labels[r] as usize])
        })
        .collect();
    fs::write(place.top.path().join("visits.csv"), format!("patient,a,b,c,d,e,f,y\n{}", lines.concat())).unwrap();
    place
}

fn read<T: serde::de::DeserializeOwned>(folder: &Path, name: &str) -> T {
    serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap()
}

/// From a table to results: what is promised is said everywhere, no id anywhere; a run that was stopped goes on to the same bits,
/// and not with another cap.
#[test]
fn a_table_of_visits_trains_and_goes_on() {
    let place = visits(&[]);
    let whole = place.start("whole").train(&mut ()).unwrap();
    let record = &whole.record;
    assert!(
        record
            .statement
            .unit_of_privacy
            .starts_with("one person: all rows of the training data with one value of `patient`")
    );
    assert_eq!(record.summary.examples, 60);
    let folder = place.folder("whole");
    let statement: Statement = read(&folder, "privacy.json");
    let person = statement.person.unwrap();
    assert_eq!((&*person.column, person.records), ("patient", 3));
    assert!(statement.neighbouring_definition.contains("exactly one person, with all of the person's records"));
    assert!(statement.assumptions.iter().any(|a| a.contains("at most 3 records")), "{:?}", statement.assumptions);
    assert!(!statement.assumptions.iter().any(|a| a.contains("Each row")));
    let summary: Summary = read(&folder, "summary.json");
    assert_eq!(summary.unit_of_privacy, statement.unit_of_privacy);
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    for said in [
        "all rows of the training data with one value of `patient`",
        "60 people a step",
        "Declared people",
        "whoever has several ids",
    ] {
        assert!(page.contains(said), "{said}");
    }
    let _ = place.start("stopped").train(&mut Until(5)).unwrap();
    for folder in ["whole", "stopped"] {
        for file in fs::read_dir(place.folder(folder)).unwrap() {
            let bytes = fs::read(file.as_ref().unwrap().path()).unwrap();
            let found = bytes.windows(IDS.len()).any(|window| window == IDS.as_bytes());
            assert!(!found, "an id is in {}", file.unwrap().path().display());
        }
    }
    let other = place.config(&["data.per_person=4"]);
    let refused = Run::resume(&place.folder("stopped"), Some(&other), None).err().unwrap().to_string();
    assert!(refused.contains("per_person"), "{refused}");
    let resumed = place.resume("stopped").train(&mut ()).unwrap();
    assert_eq!(resumed.weights.point().flat(), whole.weights.point().flat());
    assert_eq!(resumed.ledger.entries(), whole.ledger.entries());
}

/// What a bad file or declaration is told by: file, line, column and key, and nobody's id.
#[test]
fn bad_people_are_errors_that_name_the_place() {
    let place = visits(&[]);
    let said = |config: Config| Run::prepare(config, place.top.path(), None, false).err().unwrap().to_string();
    assert!(said(place.config(&["data.person=nurse"])).contains("no column `nurse`"));
    assert!(said(place.config(&["data.per_person=0"])).contains("data.per_person: must be from 1 to 4096"));
    let path = place.top.path().join("visits.csv");
    let text = fs::read_to_string(&path).unwrap();
    let line = text.lines().nth(2).unwrap().to_owned();
    fs::write(&path, text.replacen(&line, line.trim_start_matches(|c| c != ','), 1)).unwrap();
    let error = said(place.config(&[]));
    assert!(error.contains("visits.csv, line 3, column `patient`: says nobody") && !error.contains(IDS), "{error}");
}

/// Somebody in both files: told to whoever runs it, and in no result.
#[test]
fn somebody_in_both_files_is_a_note() {
    let place = visits(&["data.test=test.csv"]);
    let text = fs::read_to_string(place.top.path().join("visits.csv")).unwrap();
    let write = |lines: &str| fs::write(place.top.path().join("test.csv"), lines).unwrap();
    write(&text.lines().take(9).fold(String::new(), |all, line| all + line + "\n").replace(IDS, "other"));
    assert!(place.start("apart").notes.is_empty());
    write(&text.lines().take(9).fold(String::new(), |all, line| all + line + "\n"));
    let run = place.start("both");
    assert!(run.notes.iter().any(|note| note.contains("in the test data, too")), "{:?}", run.notes);
    let outcome = run.train(&mut ()).unwrap();
    let published = serde_json::to_string(&outcome.record.statement).unwrap();
    assert!(!published.contains("in the test data, too"));
}

/// What looks at single records says that it does not know people.
#[test]
fn diagnosing_people_is_refused() {
    let place = visits(&[]);
    let ask = Ask {
        checkpoints: vec![],
        steps: vec![],
        examples: 10,
        on: On::Evaluation,
        only: vec![],
        eigenvalues: 0,
        run: None,
        ledger: place.folder("ledger.jsonl"),
    };
    let refused = train::diagnose::diagnose(&place.config(&[]), place.top.path(), &ask);
    assert!(refused.err().unwrap().to_string().contains("data.person"));
}

#[test]
fn people_that_are_not_the_data_are_refused() {
    let data = || common::people(10);
    assert!(data().by_person(&[1; 9], 3).unwrap_err().to_string().contains("one person for each row"));
    assert!(data().by_person(&[1; 10], 0).unwrap_err().to_string().contains("from 1 to 4096"));
    let config = config(&[]);
    let (model, data) = (model(&config), data().by_person(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5], 2).unwrap());
    assert_eq!(data.units(), 5);
    let plan = Plan::new(&config, &model, 200).unwrap();
    let (key, ledger) = (Arc::new(Key::from_seed(4)), Ledger::new(config.privacy.neighbouring));
    let weights = Weights::public(model.layout(), &key);
    let refused = plan.trainer(&config, &model, weights, data, 10, key, ledger);
    assert!(refused.err().unwrap().to_string().contains("people"));
}
