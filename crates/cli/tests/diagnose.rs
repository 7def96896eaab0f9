//! `secateur diagnose`, `train --diagnose-every` and `secateur study` as a user meets them.
mod common;
use common::{answer, json, secateur};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

fn page(out: &Path) -> String {
    fs::read_to_string(out.join("diagnose.html")).unwrap()
}

#[test]
fn public_data_are_looked_at_without_a_ledger() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("d");
    let mut command = secateur();
    command.args(["diagnose", "--examples", "300", "--hessian", "3", "--out"]).arg(&out);
    command.assert().success().stdout(contains("% of examples are clipped").and(contains("largest curvature")));
    assert!(!out.join("ledger.jsonl").exists());
    let page = page(&out);
    assert!(page.contains("Made from public data") && !page.contains("NOT PRIVATE"));
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("NaN"));
    let found = json(&out.join("diagnose.json"));
    let names: Vec<&str> =
        found["visits"][0]["findings"].as_array().unwrap().iter().map(|f| f["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["norms", "angle", "step", "bias", "symmetry", "batch", "tail", "calibration", "hessian"]);
    assert_eq!((&found["examples"], &found["standing"]["data"]), (&300.into(), &"evaluation".into()));
}

#[test]
fn looking_at_private_data_annuls_the_run() {
    let top = TempDir::new().unwrap();
    let run = top.path().join("run");
    let train = ["train", "--quiet", "--set", "train.steps=4", "--set", "train.evaluations=1", "--out"];
    secateur().args(train).arg(&run).assert().success();
    secateur().args(["diagnose", "--training", "--examples", "64", "--run"]).arg(&run).assert().success();
    assert!(page(&run).contains("NOT PRIVATE: this page shows private training data"));
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(run.join("ledger.jsonl"));
    assert_eq!(answer(&mut priced)["epsilon"], "inf");
    assert_eq!(json(&run.join("privacy.json"))["epsilon"], "inf");
    assert_eq!(json(&run.join("summary.json"))["epsilon"], "inf");
    let report = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(report.contains("NOT PRIVATE: epsilon is infinite") && report.contains("were looked at after this run"));
}

#[test]
fn training_here_is_charged_and_every_step_gets_its_visit() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("d");
    let mut command = secateur();
    command.args(["diagnose", "--steps", "0,2,5", "--examples", "100", "--only", "norms,symmetry", "--out"]).arg(&out);
    command.assert().success().stdout(contains("step 0").and(contains("step 5")));
    let found = json(&out.join("diagnose.json"));
    let steps: Vec<u64> = found["visits"].as_array().unwrap().iter().map(|v| v["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, [0, 2, 5]);
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(out.join("ledger.jsonl"));
    assert_eq!(answer(&mut priced)["rounds"], 5);
    assert!(page(&out).contains("Along training"));
}

/// Public examples say what private ones made of the weights that they are looked at by: where no noise is between them, the page says so.
#[test]
fn where_weights_come_from_is_told() {
    let top = TempDir::new().unwrap();
    let at = |name: &str| top.path().join(name);
    let look = |out: &Path, more: &[&str]| {
        let mut command = secateur();
        command.args(["diagnose", "--examples", "50", "--only", "norms"]).args(more).arg("--out").arg(out);
        command.assert().success();
        (page(out), json(&out.join("diagnose.json"))["origin"].clone())
    };
    let (shown, origin) = look(&at("a"), &["--steps", "2", "--set", "privacy.mode=ordinary"]);
    assert!(shown.contains("NOT PRIVATE: public data") && !shown.contains("Made from public data"));
    assert_eq!(origin["weights"], "shown");
    let (shown, origin) = look(&at("b"), &["--steps", "2", "--set", "train.seed=1"]);
    assert!(shown.contains("NOT PRIVATE: public data") && origin["weights"] == "seeded");
    let (shown, origin) = look(&at("c"), &["--steps", "2"]);
    assert!(shown.contains("Made from public data") && shown.contains("trained privately: epsilon"));
    assert!(origin["epsilon"].as_f64().is_some_and(|epsilon| epsilon > 0.0 && epsilon <= 1.0));
    // Weights that a run left, or that lay in a file; and a run that is watched.
    let run = at("run");
    let ordinary =
        ["train", "-q", "--set", "train.steps=2", "--set", "privacy.mode=ordinary", "--diagnose-every", "1", "--out"];
    secateur().args(ordinary).arg(&run).assert().success();
    assert!(page(&run).contains("NOT PRIVATE: public data"));
    let (shown, _) = look(&at("d"), &["--run", run.to_str().unwrap()]);
    assert!(shown.contains("NOT PRIVATE: public data"));
    let weights = run.join("model.safetensors");
    let (shown, origin) = look(&at("e"), &["--checkpoint", weights.to_str().unwrap()]);
    assert!(shown.contains("of which nothing is known") && origin["weights"] == "unknown");
}

#[test]
fn what_makes_no_sense_is_named() {
    let top = TempDir::new().unwrap();
    let wrong = |args: &[&str], words: &str| {
        let mut command = secateur();
        command.arg("diagnose").args(args).arg("--out").arg(top.path().join("d"));
        command.assert().failure().stderr(contains(words.to_owned()).and(contains("panicked").not()));
    };
    wrong(&["--only", "norm"], "no diagnostic is called `norm`: there are norms, angle");
    wrong(&["--steps", "999999"], "--steps 999999");
    wrong(&["--checkpoint", "absent.safetensors"], "absent.safetensors");
    wrong(&["--training", "--declare-public", "x"], "cannot be used with");
    wrong(&["--run", "no-such-run"], "no-such-run");
    secateur()
        .args(["study", "nobody1999"])
        .assert()
        .failure()
        .stderr(contains("chen2020, watson2023, bu2022, fashion2026"));
    secateur().args(["study", "bu2022", "--studies", "nowhere"]).assert().failure().stderr(contains("--studies"));
}

#[test]
fn a_run_that_is_watched_has_its_curves_in_the_report() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("run");
    let train = ["train", "--quiet", "--set", "train.steps=6", "--diagnose-every", "2", "--out"];
    secateur().args(train).arg(&out).assert().success();
    let report = fs::read_to_string(out.join("report.html")).unwrap();
    assert!(report.contains("Along training") && report.contains("Disparity"));
    assert_eq!(json(&out.join("diagnose.json"))["visits"].as_array().unwrap().len(), 3);
    let look = ["diagnose", "--training", "--only", "norms", "--examples", "64", "--run"];
    for looks in 1..=2 {
        secateur().args(look).arg(&out).assert().success();
        let report = fs::read_to_string(out.join("report.html")).unwrap();
        assert!(report.contains("NOT PRIVATE: epsilon is infinite") && report.contains("Along training"));
        let warnings = json(&out.join("privacy.json"))["warnings"].as_array().unwrap().len();
        assert_eq!(warnings, 1, "one warning after {looks} looks");
    }
    // Another run in its place is not one that was looked at.
    let again = ["train", "--quiet", "--set", "train.steps=6", "--force", "--out"];
    let files = |folder: &Path| {
        let names = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect::<BTreeSet<_>>()
    };
    secateur().args(again).arg(&out).assert().success();
    secateur().args(again).arg(top.path().join("fresh")).assert().success();
    let mut expected = files(&top.path().join("fresh"));
    expected.insert("ledger.earlier-1.jsonl".into());
    assert_eq!(files(&out), expected);
}

/// All of them where the images are ($SECATEUR_DATA or ../shared/data); else the parts that need no data but what is in the
/// program, and the others say what they lack.
#[test]
fn quick_studies_run() {
    let studies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../studies");
    let beside = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data"));
    let data = std::env::var_os("SECATEUR_DATA").map_or_else(|| beside.to_owned(), PathBuf::from);
    let there = data.join("fashion-mnist").is_dir();
    if !there {
        eprintln!("skipped: the parts of studies that need images, which are not below {}", data.display());
    }
    for name in ["chen2020", "bu2022", "watson2023", "fashion2026"] {
        let top = TempDir::new().unwrap();
        let mut command = secateur();
        command.args(["study", name, "--quick", "--studies"]).arg(&studies).arg("--out").arg(top.path());
        command.arg("--data-dir").arg(&data);
        if ["watson2023", "fashion2026"].contains(&name) && !there {
            command.assert().failure().stderr(contains("fashion-mnist"));
            continue;
        }
        command.assert().success();
        let results = json(&top.path().join("results.json"));
        assert_eq!(results["quick"], true);
        let page = fs::read_to_string(top.path().join("page.html")).unwrap();
        assert!(page.contains("<svg") && page.contains("<table class=") && !page.contains("<script"));
        assert!(fs::read_to_string(top.path().join("README.md")).unwrap().contains("A quick run"));
    }
}

/// Every rule of the list is shown, or named with the reason why not; and what stands in for a rule is said.
#[test]
fn rules_are_shown_or_named() {
    let top = TempDir::new().unwrap();
    let look = |clip: &str| {
        let out = top.path().join(clip.len().to_string());
        let mut command = secateur();
        command
            .args(["diagnose", "--examples", "64", "--only", "norms,step", "--set"])
            .arg(clip)
            .arg("--out")
            .arg(&out);
        command.assert().success();
        let found = json(&out.join("diagnose.json"));
        let norms = &found["visits"][0]["findings"][0]["numbers"];
        let names = |rows: &serde_json::Value, key: &str| -> Vec<String> {
            let name = |row: &serde_json::Value| row.get(key).unwrap_or(row).as_str().unwrap().to_owned();
            rows.as_array().unwrap().iter().map(name).collect()
        };
        let notes = names(&found["notes"], "");
        (names(&norms["rules"], "rule"), names(&norms["rules_that_learn"], ""), notes, page(&out))
    };
    let (shown, learning, notes, page) = look("clip={rule=\"flat\", bound=1.0}");
    assert_eq!(shown[0], "flat");
    assert!(learning.contains(&"quantile".to_owned()) && !learning.contains(&"auto-s".to_owned()), "{learning:?}");
    assert!(page.contains("quantile (as it starts out)") && page.contains("What each rule makes of these gradients"));
    for entry in train::clip::ClipConfig::ENTRIES {
        let named = notes.iter().any(|note| note.contains(&format!("{} (", entry.name)));
        assert!(shown.contains(&entry.name.to_owned()) != named, "{}: shown or named, not both", entry.name);
    }
    for (clip, why) in [("micro-batch", "clips means of crowds"), ("dice-sgd", "adds what it cut off before")] {
        let (shown, _, notes, page) = look(&format!("clip={{rule=\"{clip}\", bound=0.5}}"));
        assert_eq!(shown.iter().filter(|name| *name == "flat").count(), 1);
        assert!(shown[0] == "flat" && notes[0].contains(why) && page.contains("is shown in its place"), "{notes:?}");
    }
}
