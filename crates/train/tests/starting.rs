//! Where training starts: files that do not fit are told in full, claims are kept to, and what weights have cost is carried on.
mod common;
use common::place::{Place, Until};
use privacy::{Event, Ledger};
use safetensors::{Dtype, tensor::TensorView};
use std::{fs, path::Path};
use train::{
    diagnose::{self, Ask, Diagnosis, Origin, source::On},
    plan::spent,
    report::{Claim, Statement},
    run::{Run, RunError},
};

const FRESH: &str = "model.weights={public=\"start.safetensors\"}";

/// Tensors by name, kind and shape, with the numbers 1, 2, 3, ... in them.
fn write(path: &Path, tensors: &[(&str, Dtype, &[usize])]) {
    let bytes = |kind: Dtype, shape: &[usize]| -> Vec<u8> {
        let count: usize = shape.iter().product();
        let number = |k: usize| (k + 1) as f32;
        match kind {
            Dtype::F32 => (0..count).flat_map(|k| number(k).to_le_bytes()).collect(),
            Dtype::BF16 => (0..count).flat_map(|k| ((number(k).to_bits() >> 16) as u16).to_le_bytes()).collect(),
            // Whole numbers up to 2048 are exact: exponent and fraction of f32, cut.
            Dtype::F16 => (0..count)
                .flat_map(|k| {
                    let bits = number(k).to_bits();
                    ((((bits >> 23) - 112) << 10 | (bits >> 13 & 1023)) as u16).to_le_bytes()
                })
                .collect(),
            _ => vec![0; count * 8],
        }
    };
    let data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, kind, shape)| ((*name).to_owned(), *kind, shape.to_vec(), bytes(*kind, shape)))
        .collect();
    let view = |(name, kind, shape, bytes): &'_ (String, Dtype, Vec<usize>, Vec<u8>)| {
        (name.clone(), (*kind, shape.clone(), bytes.clone()))
    };
    let owned: Vec<_> = data.iter().map(view).collect();
    let views =
        owned.iter().map(|(name, (kind, shape, bytes))| (name, TensorView::new(*kind, shape.clone(), bytes).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// What the model wants, with other kinds of numbers.
fn fitting(path: &Path, kind: Dtype) {
    write(
        path,
        &[("0.weight", kind, &[5, 6]), ("0.bias", kind, &[5]), ("2.weight", kind, &[3, 5]), ("2.bias", kind, &[3])],
    );
}

fn prepare(place: &Place, name: &str, more: &[&str]) -> Result<Run, RunError> {
    Run::prepare(place.config(more), place.top.path(), Some(&place.folder(name)), false)
}

fn error(place: &Place, more: &[&str]) -> String {
    prepare(place, "refused", more).err().map(|e| e.to_string()).expect("this is refused")
}

fn statement(folder: &Path) -> Statement {
    serde_json::from_str(&fs::read_to_string(folder.join("privacy.json")).unwrap()).unwrap()
}

fn ledger(folder: &Path) -> Ledger {
    Ledger::read(folder.join("ledger.jsonl")).unwrap()
}

fn rounds(ledger: &Ledger) -> u64 {
    ledger.entries().iter().filter(|(event, _)| matches!(event, Event::Round { .. })).map(|(_, n)| n).sum()
}

#[test]
fn every_kind_of_number_is_read_and_the_claim_is_told() {
    for kind in [Dtype::F32, Dtype::F16, Dtype::BF16] {
        let place = Place::new(&["model.frozen=[\"0.*\"]"]);
        fitting(&place.top.path().join("start.safetensors"), kind);
        let outcome = prepare(&place, "run", &[FRESH]).unwrap().train(&mut ()).unwrap();
        let frozen = outcome.weights.all().find(|(p, _)| p.name == "0.weight").unwrap().1.data().to_vec();
        assert_eq!(frozen, (1..=30).map(|k| k as f32).collect::<Vec<_>>(), "{kind:?}");
        let start = statement(&place.folder("run")).starting_weights;
        assert_eq!((start.claim, start.from.as_deref(), start.frozen), (Claim::Public, Some("start.safetensors"), 35));
        let page = fs::read_to_string(place.folder("run").join("report.html")).unwrap();
        assert!(page.contains("The weights in start.safetensors, which training starts from, are public"));
        assert!(
            fs::read_to_string(place.folder("run").join("config.toml"))
                .unwrap()
                .contains("public = \"start.safetensors\"")
        );
    }
}

#[test]
fn all_that_does_not_fit_is_named_before_anything_is_made() {
    let place = Place::new(&[]);
    let path = place.top.path().join("start.safetensors");
    let f = Dtype::F32;
    write(
        &path,
        &[("0.weight", f, &[6, 5]), ("0.bias", Dtype::I64, &[5]), ("2.weight", f, &[3, 5]), ("head.bias", f, &[3])],
    );
    let told = error(&place, &[FRESH]);
    for what in [
        "model.weights: ",
        "start.safetensors: does not fit the model:",
        "`0.weight` has shape [6, 5] in the file, and [5, 6] in the model",
        "`0.bias` holds I64: F32, F16 and BF16 are read",
        "`2.bias` [3] is not in the file",
        "`head.bias` [3] is not in the model",
        "model.fresh",
    ] {
        assert!(told.contains(what), "{what} in {told}");
    }
    assert!(!place.folder("refused").exists(), "nothing was made");
    let fresh = "model.fresh=[\"0.*\", \"2.bias\", \"head.*\"]";
    prepare(&place, "fine", &[FRESH, fresh]).unwrap();
    let told = error(&place, &[FRESH, "model.fresh=[\"0.*\", \"2.bias\", \"heads.*\"]"]);
    assert!(told.contains("model.fresh: \"heads.*\" matches none") && told.contains("`head.bias`"), "{told}");
    assert!(error(&place, &["model.fresh=[\"0.*\"]"]).contains("without model.weights all start fresh"));
    fs::write(&path, "not safetensors").unwrap();
    assert!(error(&place, &[FRESH]).contains("no safetensors file"));
    assert!(error(&place, &["model.weights={public=\"absent\"}"]).contains("absent"));
}

#[test]
fn a_file_without_a_claim_is_refused() {
    let place = Place::new(&[]);
    let text = place.config(&[]).to_toml();
    let set = ["model.weights=\"start.safetensors\"".to_owned()];
    let told = train::config::Config::read("run.toml", &text, &set).unwrap_err().to_string();
    assert!(told.contains("{ public = \"start.safetensors\" }") && told.contains("{ run = \"FOLDER\" }"), "{told}");
}

/// Weights from the same data are not public, whoever says so; those from other data are.
#[test]
fn weights_from_the_same_data_are_not_public() {
    let place = Place::new(&[]);
    prepare(&place, "ordinary", &["privacy.mode=ordinary"]).unwrap().train(&mut ()).unwrap();
    prepare(&place, "private", &[]).unwrap().train(&mut ()).unwrap();
    let public = |name: &str| format!("model.weights={{public=\"{name}/model.safetensors\"}}");
    assert!(error(&place, &[&public("ordinary")]).contains("is from ordinary training on people.csv"));
    let told = error(&place, &[&public("private")]);
    assert!(told.contains("so it is not public") && told.contains("{ run = \""), "{told}");
    // Copied elsewhere it is still what it is.
    fs::copy(place.folder("private").join("model.safetensors"), place.top.path().join("copy.safetensors")).unwrap();
    assert!(error(&place, &["model.weights={public=\"copy.safetensors\"}"]).contains("not public"));
    // Another declaration of the same file.
    assert!(error(&place, &[&public("private"), "data.examples=90"]).contains("not public"));
    assert!(error(&place, &[&public("ordinary"), "data.examples=90"]).contains("ordinary training"));
    // Another way to say where it lies.
    assert!(error(&place, &[&public("private"), "data.train=./people.csv"]).contains("not public"));
    let whole = format!("data.train={}", place.top.path().join("people.csv").display());
    assert!(error(&place, &[&public("ordinary"), &whole]).contains("ordinary training"));
    fs::create_dir(place.folder("beside")).unwrap();
    fs::write(place.folder("beside/start.safetensors"), fs::read(place.folder("private/model.safetensors")).unwrap())
        .unwrap();
    let config = place.config(&[FRESH, "data.train=../people.csv", "data.test=../public.csv"]);
    let told = Run::prepare(config, &place.folder("beside"), Some(&place.folder("refused")), false).err().unwrap();
    assert!(told.to_string().contains("not public"), "{told}");
    // The same numbers for whoever has other data, and for an ordinary run, which claims nothing.
    fs::copy(place.top.path().join("people.csv"), place.top.path().join("others.csv")).unwrap();
    prepare(&place, "other", &[&public("private"), "data.train=others.csv"]).unwrap();
    prepare(&place, "baseline", &[&public("ordinary"), "privacy.mode=ordinary"]).unwrap();
    // Trained on elsewhere, they have still seen what they have seen.
    let elsewhere = [&public("ordinary"), "privacy.mode=ordinary", "data.train=others.csv"];
    prepare(&place, "elsewhere", &elsewhere).unwrap().train(&mut ()).unwrap();
    assert!(error(&place, &[&public("elsewhere")]).contains("began with is from ordinary training"));
    prepare(&place, "further", &[&public("elsewhere"), "privacy.mode=ordinary"]).unwrap().train(&mut ()).unwrap();
    assert!(
        error(&place, &[&public("further"), "data.train=others.csv"]).contains("began with is from ordinary training")
    );
}

#[test]
fn a_claim_is_told_of_by_all_who_go_on_with_it() {
    let place = Place::new(&[]);
    fitting(&place.top.path().join("start.safetensors"), Dtype::F32);
    let from = |name: &str| format!("model.weights={{run=\"{name}\"}}");
    prepare(&place, "one", &[FRESH, "privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    prepare(&place, "two", &[&from("one"), "privacy.epsilon=2"]).unwrap().train(&mut ()).unwrap();
    prepare(&place, "three", &[&from("two"), "privacy.epsilon=3"]).unwrap().train(&mut Until(5)).unwrap();
    place.resume("three").train(&mut ()).unwrap();
    for name in ["two", "three"] {
        let told = statement(&place.folder(name)).warnings;
        assert_eq!(
            told.iter().filter(|w| w.contains("the weights in start.safetensors are public")).count(),
            1,
            "{told:?}"
        );
    }
}

/// Two phases, all parameters and then biases alone: the second one's epsilon is that of both.
#[test]
fn a_second_phase_pays_for_both() {
    let place = Place::new(&[]);
    prepare(&place, "first", &["privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    let second = ["privacy.epsilon=2", "model.weights={run=\"first\"}", "model.trainable=[\"*.bias\"]"];
    let run = prepare(&place, "second", &second).unwrap();
    let planned = run.plan.epsilon;
    let outcome = run.train(&mut ()).unwrap();
    let (first, both) = (ledger(&place.folder("first")), ledger(&place.folder("second")));
    assert_eq!((rounds(&first), rounds(&both)), (12, 24));
    assert_eq!(both.entries()[..first.entries().len()], first.entries()[..], "the earlier ledger comes first");
    // By an accountant of both ledgers together, from what is on disk.
    let config = place.config(&second);
    let total = spent(&config, &both).unwrap();
    assert!(total <= 2.0 && total > 1.95, "{total}");
    assert_eq!((total, outcome.record.statement.epsilon), (planned, planned));
    let start = statement(&place.folder("second")).starting_weights;
    assert_eq!(start.claim, Claim::Run);
    assert_eq!(start.epsilon_before, Some(spent(&config, &first).unwrap()));
    // What is frozen is what the first phase left.
    let weight = |name: &str| {
        let bytes = fs::read(place.folder(name).join("model.safetensors")).unwrap();
        safetensors::SafeTensors::deserialize(&bytes).unwrap().tensor("0.weight").unwrap().data().to_vec()
    };
    assert_eq!(weight("first"), weight("second"));
}

/// Stopped and continued, the second phase neither pays for the first one twice nor takes its rounds for lost steps.
#[test]
fn a_second_phase_continues() {
    let place = Place::new(&["train.seed=4"]);
    prepare(&place, "first", &["privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    let second = ["privacy.epsilon=2", "model.weights={run=\"first\"}"];
    prepare(&place, "straight", &second).unwrap().train(&mut ()).unwrap();
    prepare(&place, "stopped", &second).unwrap().train(&mut Until(5)).unwrap();
    let run = place.resume("stopped");
    assert!(!run.warnings.iter().any(|warning| warning.contains("killed")), "{:?}", run.warnings);
    run.train(&mut ()).unwrap();
    let [a, b] = ["straight", "stopped"].map(|name| place.folder(name));
    assert_eq!(ledger(&a).entries(), ledger(&b).entries());
    let model = |folder: &Path| fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(model(&a), model(&b));
    assert_eq!(statement(&a).starting_weights, statement(&b).starting_weights);
}

#[test]
fn a_run_that_cannot_be_carried_on_says_why() {
    let place = Place::new(&[]);
    prepare(&place, "first", &["privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    prepare(&place, "ordinary", &["privacy.mode=ordinary"]).unwrap().train(&mut ()).unwrap();
    let from = |name: &str| format!("model.weights={{run=\"{name}\"}}");
    assert!(error(&place, &[&from("ordinary")]).contains("shown as they are"));
    assert!(error(&place, &[&from("absent")]).contains("config.toml"));
    assert!(error(&place, &[&from("first"), "privacy.neighbouring=replace-one"]).contains("privacy.neighbouring"));
    fs::copy(place.top.path().join("people.csv"), place.top.path().join("others.csv")).unwrap();
    assert!(error(&place, &[&from("first"), "data.train=others.csv"]).contains("on other data"));
    let warned = |epsilon: &str, folder: &str| {
        let run = prepare(&place, folder, &[&from("first"), &format!("privacy.epsilon={epsilon}")]).unwrap();
        run.warnings.iter().any(|warning| warning.contains("nothing is learnt. Raise privacy.epsilon"))
    };
    assert!(warned("1.00001", "little") && !warned("2", "enough"));
    prepare(&place, "seeded", &["train.seed=1", "privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    assert!(error(&place, &[&from("seeded"), "privacy.epsilon=2"]).contains("fixed seed"));
    let tree = ["train.sampling=balls-in-bins", "mechanism.mechanism=tree", "privacy.epsilon=1"];
    prepare(&place, "tree", &tree).unwrap().train(&mut ()).unwrap();
    assert!(error(&place, &[&from("tree"), "privacy.epsilon=2"]).contains("correlated"));
    let lora = ["model.lora={rank=1, targets=[\"0.weight\"]}", "clip={rule=\"pruned\", bound=1.0, keep=0.5}"];
    assert!(error(&place, &lora).contains("never lets them move"));
    // Into its own folder, with force: nothing of it is touched.
    let config = place.config(&[&from("first"), "privacy.epsilon=2"]);
    let told = Run::prepare(config, place.top.path(), Some(&place.folder("first")), true).err().unwrap().to_string();
    assert!(told.contains("choose another folder"), "{told}");
    assert_eq!(rounds(&ledger(&place.folder("first"))), 12);
    let told = error(&place, &[&from("first"), "privacy.epsilon=0.9"]);
    assert!(told.contains("after what the run that model.weights comes from spent"), "{told}");
}

/// Looks at evaluation data, at the weights that training starts from, or after two steps of it.
fn look(place: &Place, out: &str, steps: u64, more: &[&str]) -> Result<Diagnosis, String> {
    let out = place.folder(out);
    fs::create_dir_all(&out).unwrap();
    let ask = Ask {
        checkpoints: Vec::new(),
        steps: vec![steps],
        examples: 20,
        on: On::Evaluation,
        only: vec!["norms".into()],
        eigenvalues: 0,
        run: None,
        ledger: out.join("ledger.jsonl"),
    };
    diagnose::diagnose(&place.config(more), place.top.path(), &ask).map_err(|e| e.to_string())
}

/// A diagnosis that trains starts as a run does: it pays for what its weights have cost, and takes none that a run would refuse.
#[test]
fn a_diagnosis_pays_for_the_weights_that_it_starts_from() {
    let place = Place::new(&["privacy.accountant=rdp"]);
    prepare(&place, "first", &["privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    let second = ["model.weights={run=\"first\"}", "privacy.epsilon=2"];
    let spent_first = spent(&place.config(&second), &ledger(&place.folder("first"))).unwrap();
    let Origin::Private { epsilon, .. } = look(&place, "start", 0, &second).unwrap().origin else { panic!("private") };
    assert_eq!(epsilon, spent_first);
    let Origin::Private { epsilon, .. } = look(&place, "later", 2, &second).unwrap().origin else { panic!("private") };
    let both = ledger(&place.folder("later"));
    assert_eq!((rounds(&both), epsilon), (14, spent(&place.config(&second), &both).unwrap()));
    let again = look(&place, "later", 2, &second).unwrap_err();
    assert!(again.contains("ledger.jsonl") && again.contains("choose another folder"), "{again}");
    // What no private run may start from, and what an ordinary one tells of.
    prepare(&place, "ordinary", &["privacy.mode=ordinary"]).unwrap().train(&mut ()).unwrap();
    prepare(&place, "seeded", &["train.seed=1", "privacy.epsilon=1"]).unwrap().train(&mut ()).unwrap();
    for steps in [0, 2] {
        let refused = |weights: &str| look(&place, "refused", steps, &[weights, "privacy.epsilon=2"]).unwrap_err();
        assert!(refused("model.weights={run=\"ordinary\"}").contains("shown as they are"));
        assert!(refused("model.weights={run=\"seeded\"}").contains("fixed seed"));
        assert!(refused("model.weights={public=\"ordinary/model.safetensors\"}").contains("ordinary training"));
        for weights in ["run=\"ordinary\"", "public=\"ordinary/model.safetensors\""] {
            let set = [&*format!("model.weights={{{weights}}}"), "privacy.mode=ordinary"];
            let origin = look(&place, &format!("shown-{steps}-{}", &weights[..3]), steps, &set).unwrap().origin;
            assert_eq!(origin, Origin::Shown, "{weights}, {steps} steps");
        }
    }
    let private = ["model.weights={public=\"first/model.safetensors\"}", "privacy.mode=ordinary"];
    assert_eq!(look(&place, "unknown", 0, &private).unwrap().origin, Origin::Unknown);
    fitting(&place.top.path().join("start.safetensors"), Dtype::F32);
    let claimed = look(&place, "claimed", 0, &[FRESH]).unwrap().origin;
    assert!(claimed.sentence().contains("start.safetensors"), "{}", claimed.sentence());
}

/// A look that cannot be told in the statement is none: the ledger says nothing of it, and nothing is shown.
#[test]
fn a_statement_is_annulled_before_data_are_shown() {
    let place = Place::new(&["privacy.accountant=rdp"]);
    prepare(&place, "run", &[]).unwrap().train(&mut ()).unwrap();
    let folder = place.folder("run");
    fs::remove_file(folder.join("report.html")).unwrap();
    fs::create_dir(folder.join("report.html")).unwrap();
    let ask = Ask {
        checkpoints: vec![folder.join("model.safetensors")],
        steps: Vec::new(),
        examples: 20,
        on: On::Training,
        only: vec!["norms".into()],
        eigenvalues: 0,
        run: Some(folder.clone()),
        ledger: folder.join("ledger.jsonl"),
    };
    let refused = diagnose::diagnose(&place.config(&[]), place.top.path(), &ask).unwrap_err().to_string();
    assert!(refused.contains("report.html"), "{refused}");
    let shown = |(event, _): &(Event, u64)| matches!(event, Event::Revealed { .. });
    assert!(!ledger(&folder).entries().iter().any(shown), "nothing was shown");
    assert_eq!(statement(&folder).epsilon, f64::INFINITY, "a crash in between says too much, not too little");
}

/// A folder is cleared for a run that can begin, and not for one that cannot, nor for one that needs what is in it.
#[test]
fn a_folder_is_not_cleared_for_nothing() {
    let place = Place::new(&[]);
    let folder = place.folder("own");
    fs::create_dir(&folder).unwrap();
    let kept = folder.join("model.safetensors");
    fitting(&kept, Dtype::F32);
    let forced = |more: &[&str]| {
        let made = Run::prepare(place.config(more), place.top.path(), Some(&folder), true);
        made.err().map(|e| e.to_string()).expect("this is refused")
    };
    let needed = forced(&["model.weights={public=\"own/model.safetensors\"}"]);
    assert!(needed.contains("choose another folder") && kept.exists(), "{needed}");
    let many = forced(&["train.sampling=shuffled", "data.examples=150"]);
    assert!(many.contains("150 declared") && kept.exists(), "{many}");
    Run::prepare(place.config(&[]), place.top.path(), Some(&folder), true).unwrap();
    assert!(!kept.exists());
}

/// Paths of rules start where the data's do, in a diagnosis as in a run.
#[test]
fn a_basis_is_found_where_the_data_are() {
    let place = Place::new(&[]);
    let basis: [(&str, Dtype, &[usize]); 4] = [
        ("0.weight", Dtype::F32, &[1, 5, 6]),
        ("0.bias", Dtype::F32, &[1, 5]),
        ("2.weight", Dtype::F32, &[1, 3, 5]),
        ("2.bias", Dtype::F32, &[1, 3]),
    ];
    write(&place.top.path().join("basis.safetensors"), &basis);
    let projected = ["clip={rule=\"projected\", bound=1.0, basis=\"basis.safetensors\"}"];
    for steps in [0, 2] {
        look(&place, &format!("look-{steps}"), steps, &projected).unwrap();
    }
    prepare(&place, "run", &projected).unwrap();
}

/// A second phase by another rule and another sampling tells what the first one rests on.
#[test]
fn a_second_phase_repeats_what_the_first_rests_on() {
    let place = Place::new(&["privacy.accountant=rdp"]);
    prepare(&place, "first", &["privacy.epsilon=1", "train.sampling=shuffled"]).unwrap().train(&mut ()).unwrap();
    let second = ["model.weights={run=\"first\"}", "privacy.epsilon=2"];
    prepare(&place, "second", &second).unwrap().train(&mut ()).unwrap();
    let told = statement(&place.folder("second")).warnings;
    assert!(told.iter().any(|told| told.contains("rests on") && told.contains("than are declared")), "{told:?}");
}
