//! The command as a user meets it: what it prints, what it leaves, what it refuses.
mod common;
use assert_cmd::Command;
use common::{answer, json, secateur};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use serde_json::Value;
use std::{fs, path::Path};
use tempfile::TempDir;

/// A short run of the default configuration.
fn quick(out: &Path) -> Command {
    let mut command = secateur();
    command.args(["train", "--quiet", "--set", "train.steps=5", "--set", "train.evaluations=2", "--out"]).arg(out);
    command
}

#[test]
fn train_leaves_what_it_promises() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("run");
    quick(&out).assert().success().stdout(contains("private: epsilon").and(contains("test accuracy")));
    let summary = json(&out.join("summary.json"));
    for key in [
        "epsilon",
        "delta",
        "accountant",
        "noise_multiplier",
        "sample_rate",
        "steps",
        "clip_rule",
        "clip_bound",
        "test_accuracy",
        "train_seconds",
        "clipped_and_noised",
    ] {
        assert!(!summary[key].is_null(), "{key}");
    }
    assert_eq!((&summary["clipped_and_noised"], &summary["steps"]), (&Value::Bool(true), &Value::from(5)));
    assert_eq!(summary["verdict"], "private");
    assert!(summary["epsilon"].as_f64().unwrap() <= 1.0);
    let statement = json(&out.join("privacy.json"));
    assert_eq!(
        (&statement["neighbouring"], &statement["randomness"]),
        (&"add-remove".into(), &"operating system".into())
    );
    assert!(fs::read_to_string(out.join("report.html")).unwrap().contains("<svg"));
    assert_eq!(fs::read_to_string(out.join("metrics.jsonl")).unwrap().lines().count(), 3);
    assert!(fs::metadata(out.join("model.safetensors")).unwrap().len() > 1000);
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(out.join("ledger.jsonl"));
    let priced = answer(&mut priced);
    assert_eq!((&priced["epsilon"], &priced["rounds"]), (&summary["epsilon"], &Value::from(5)));
}

#[test]
fn the_resolved_configuration_runs_again() {
    let top = TempDir::new().unwrap();
    let [first, again] = ["a", "b"].map(|name| top.path().join(name));
    let seeded = quick(&first).args(["--seed", "3"]).assert().success().stderr(contains("NOT private"));
    seeded.stdout(contains("NOT PRIVATE: the seed is fixed").and(contains("private: epsilon").not()));
    assert_eq!(json(&first.join("privacy.json"))["verdict"], "seeded");
    let zero = top.path().join("zero");
    let unbounded = quick(&zero).args(["--set", "privacy.noise_multiplier=0"]).assert().success();
    unbounded.stdout(contains("NOT PRIVATE: epsilon = inf"));
    secateur().args(["train", "--quiet", "--out"]).arg(&again).arg(first.join("config.toml")).assert().success();
    let [a, b] = [&first, &again].map(|out| fs::read(out.join("model.safetensors")).unwrap());
    assert_eq!(a, b, "a seed and a configuration give the same weights");
}

#[test]
fn the_example_of_an_own_table_trains() {
    let top = TempDir::new().unwrap();
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/own-table/own-table.toml");
    secateur().args(["train", example, "--quiet", "--out"]).arg(top.path()).assert().success();
    let accuracy = json(&top.path().join("summary.json"))["test_accuracy"].as_f64().unwrap();
    // The commoner class has 55.5 %; 400 test rows leave 2.5 % of standard error.
    assert!(accuracy > 0.62, "{accuracy}");
}

/// The images are not in the repository: $SECATEUR_DATA or ../shared/data, or else skipped.
#[test]
fn the_cnn_learns_fashion_mnist_from_its_configuration() {
    let beside = || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).to_owned();
    let data = std::env::var_os("SECATEUR_DATA").map_or_else(beside, Into::into);
    if !data.join("fashion-mnist").exists() {
        eprintln!("skipped: no fashion-mnist in {}", data.display());
        return;
    }
    let top = TempDir::new().unwrap();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/fashion-mnist.toml");
    let mut run = secateur();
    run.args([
        "train",
        config,
        "--quiet",
        "--set",
        "train.lot=512",
        "--set",
        "train.steps=40",
        "--set",
        "train.evaluations=1",
    ]);
    run.args(["--set", "privacy.epsilon=8", "--data-dir"]).arg(&data).arg("--out").arg(top.path()).assert().success();
    let accuracy = json(&top.path().join("summary.json"))["test_accuracy"].as_f64().unwrap();
    // Guessing gives 10 %; forty small steps were seen to give about 65 %.
    assert!(accuracy > 0.4, "{accuracy}");
}

/// Shipped configurations are read and planned, data or not.
#[test]
fn shipped_configurations_are_fine() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs");
    for file in fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()) {
        secateur().args(["train", "--print-config"]).arg(&file).assert().success().stdout(contains("[privacy]"));
    }
}

#[test]
fn results_are_not_overwritten_unasked() {
    let top = TempDir::new().unwrap();
    quick(top.path()).assert().success();
    quick(top.path()).assert().failure().code(1).stderr(contains("--force"));
    quick(top.path()).arg("--force").assert().success();
    assert!(top.path().join("ledger.earlier-1.jsonl").exists());
}

#[test]
fn ordinary_training_says_so_everywhere() {
    let top = TempDir::new().unwrap();
    let mut run = quick(top.path());
    run.args(["--set", "privacy.mode=ordinary"]);
    run.assert().success().stdout(contains("NOT PRIVATE")).stderr(contains("NOT PRIVATE"));
    let summary = json(&top.path().join("summary.json"));
    assert_eq!((&summary["clipped_and_noised"], &summary["epsilon"]), (&Value::Bool(false), &"inf".into()));
    assert!(fs::read_to_string(top.path().join("report.html")).unwrap().contains("NOT PRIVATE"));
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(top.path().join("ledger.jsonl"));
    assert_eq!(answer(&mut priced)["epsilon"], "inf");
}

#[test]
fn configurations_that_are_wrong_say_where_and_what_instead() {
    let top = TempDir::new().unwrap();
    let file = top.path().join("mine.toml");
    let refuse = |text: &str| {
        fs::write(&file, text).unwrap();
        let mut command = secateur();
        command.args(["train", "--quiet", "--out"]).arg(top.path().join("never")).arg(&file);
        String::from_utf8(command.assert().failure().code(1).get_output().stderr.clone()).unwrap()
    };
    let cases: [(&str, &[&str]); 15] = [
        ("[privacy]\nepsilom = 2.0", &["mine.toml:2", "epsilom", "did you mean `epsilon`?"]),
        ("[clip]\nrule = \"flat\"\nbond = 1.0", &["mine.toml:3", "unknown field `bond`", "did you mean `bound`?"]),
        ("[clip]\nrule = \"flatt\"", &["mine.toml:2", "unknown rule `flatt`", "did you mean `flat`?"]),
        ("[clip]\nrule = \"flat\"\nbound = -1.0", &["bound", "above 0"]),
        ("[clip]\nrule = \"flat\"\nbound = 0", &["bound", "above 0"]),
        ("[train]\nsample_rate = 1.5", &["train.sample_rate", "at most 1"]),
        ("[train]\nsample_rate = 0.0", &["train.sample_rate", "above 0"]),
        ("[train]\nlot = 64\nsample_rate = 0.1", &["train.lot", "exclude"]),
        ("[privacy]\ndelta = 1.5", &["privacy.delta"]),
        ("[privacy]\nepsilon = nan", &["privacy.epsilon"]),
        ("[privacy]\naccountant = \"guess\"", &["privacy.accountant", "rdp"]),
        ("[optimiser]\nx = 1", &["mine.toml:1", "unknown field `optimiser`"]),
        ("privacy = [", &["mine.toml:1"]),
        (
            "data = { source = \"adult\" }\n[[update]]\nupdate = \"sgd\"\nlearning_rate = -3.0",
            &["learning_rate", "sgd"],
        ),
        ("[train]\nsteps = 4", &["mine.toml", "there is no [data]"]),
    ];
    for (text, wanted) in cases {
        let error = refuse(text);
        assert!(wanted.iter().all(|w| error.contains(w)), "{text:?} gives {error}");
        assert!(!top.path().join("never").exists() || fs::read_dir(top.path().join("never")).unwrap().next().is_none());
    }
}

#[test]
fn missing_and_damaged_files_are_named() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("out");
    secateur().args(["train", "nowhere.toml"]).assert().failure().stderr(contains("nowhere.toml"));
    let idx = "[data]\nsource = \"idx\"\ntrain_images = \"images.gz\"\ntrain_labels = \"labels\"\nexamples = 10\n";
    fs::write(top.path().join("idx.toml"), idx).unwrap();
    let mut run = secateur();
    run.args(["train", "--quiet", "--out"]).arg(&out).arg(top.path().join("idx.toml"));
    run.assert().failure().stderr(contains("images.gz").and(contains("--data-dir")));
    fs::write(top.path().join("images.gz"), b"\x00\x00\x08\x01\x00\x00").unwrap();
    fs::write(top.path().join("labels"), b"\x00\x00\x08\x01\x00\x00\x00\x00").unwrap();
    run.assert().failure().stderr(contains("images.gz").and(contains("ends within its IDX header")));
    fs::write(top.path().join("images.gz"), b"\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
        .unwrap();
    run.assert().failure().stderr(contains("images.gz").and(contains("no IDX file")));
    assert!(!out.exists(), "a run that cannot start leaves nothing");
}

#[test]
fn an_unwritable_folder_is_named() {
    let top = TempDir::new().unwrap();
    fs::write(top.path().join("file"), "").unwrap();
    quick(&top.path().join("file/inside")).assert().failure().stderr(contains("cannot write").and(contains("inside")));
}

#[test]
fn a_delta_of_one_over_n_is_warned_of_and_impossible_budgets_are_explained() {
    let top = TempDir::new().unwrap();
    quick(&top.path().join("a")).args(["--set", "privacy.delta=1e-3"]).assert().success().stderr(contains("delta"));
    let mut run = quick(&top.path().join("b"));
    run.args(["--set", "privacy.epsilon=1e-12", "--set", "privacy.delta=1e-300"]);
    run.assert().failure().stderr(contains("cannot be reached"));
}

#[test]
fn a_torn_ledger_is_read_and_a_bad_one_is_named() {
    let top = TempDir::new().unwrap();
    quick(top.path()).assert().success();
    let ledger = top.path().join("ledger.jsonl");
    let whole = fs::read_to_string(&ledger).unwrap();
    let price = |text: &str| {
        fs::write(&ledger, text).unwrap();
        let mut command = secateur();
        command.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(&ledger);
        command
    };
    let torn = answer(&mut price(&whole[..whole.len() - 5]));
    assert!(torn["notes"][0].as_str().unwrap().contains("torn"));
    let lines: Vec<&str> = whole.lines().collect();
    let damaged = [lines[0], "{\"charge\":", lines[1], ""].join("\n");
    price(&damaged).assert().failure().stderr(contains("ledger.jsonl").and(contains("2")));
}

#[test]
fn completions_are_written() {
    secateur().args(["completions", "bash"]).assert().success().stdout(contains("secateur"));
}

/// Ctrl-C in the middle: results are complete, and the ledger holds what was spent.
#[cfg(unix)]
#[test]
fn an_interrupted_run_says_what_was_spent() {
    use std::{process, thread::sleep, time::Duration};
    let top = TempDir::new().unwrap();
    let out = top.path().join("run");
    let mut run = process::Command::new(env!("CARGO_BIN_EXE_secateur"));
    run.args(["train", "--quiet", "--set", "train.steps=50000", "--set", "train.lot=16", "--out"]).arg(&out);
    let mut child = run.stdout(process::Stdio::null()).stderr(process::Stdio::null()).spawn().unwrap();
    let metrics = out.join("metrics.jsonl");
    for _ in 0..600 {
        if fs::metadata(&metrics).is_ok_and(|m| m.len() > 0) {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    sleep(Duration::from_millis(300));
    process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let summary = json(&out.join("summary.json"));
    let steps = summary["steps"].as_u64().unwrap();
    assert!(summary["interrupted"].as_bool().unwrap() && steps > 0 && steps < 50000);
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(out.join("ledger.jsonl"));
    assert_eq!(answer(&mut priced)["rounds"].as_u64(), Some(steps));
}

/// Killed without warning: the ledger on disk counts at least the steps whose results anybody could have seen.
#[cfg(unix)]
#[test]
fn a_killed_run_is_never_under_reported() {
    use std::{process, thread::sleep, time::Duration};
    let top = TempDir::new().unwrap();
    let out = top.path().join("run");
    let mut run = process::Command::new(env!("CARGO_BIN_EXE_secateur"));
    run.args([
        "train",
        "--quiet",
        "--set",
        "train.steps=50000",
        "--set",
        "train.evaluations=5000",
        "--set",
        "train.lot=16",
        "--out",
    ])
    .arg(&out);
    let mut child = run.stdout(process::Stdio::null()).stderr(process::Stdio::null()).spawn().unwrap();
    let lines = || fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    for _ in 0..600 {
        if lines().lines().count() > 3 {
            break;
        }
        sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let seen = lines()
        .lines()
        .filter_map(|l| serde_json::from_str::<Value>(l).ok())
        .filter_map(|p| p["step"].as_u64())
        .max()
        .unwrap();
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(out.join("ledger.jsonl"));
    let rounds = answer(&mut priced)["rounds"].as_u64().unwrap();
    assert!(seen > 0 && rounds >= seen, "{rounds} charged, {seen} seen");
}

#[test]
fn bench_times_steps_and_draws_them() {
    let folder = tempfile::tempdir().unwrap();
    let plot = folder.path().join("scaling.svg");
    let run = secateur()
        .args(["bench", "--workload", "w1", "--batch", "8,16", "--steps", "2", "--threads", "1", "--format", "json"])
        .arg("--plot")
        .arg(&plot)
        .assert()
        .success();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&run.get_output().stdout).unwrap();
    assert_eq!(rows.len(), 4);
    for (row, (mode, batch)) in rows.iter().zip([("ordinary", 8), ("ordinary", 16), ("private", 8), ("private", 16)]) {
        assert_eq!((row["workload"].as_str(), row["mode"].as_str()), (Some("W1"), Some(mode)));
        assert!(row["batch"] == batch && row["ms_p10"].as_f64() <= row["ms_median"].as_f64());
        assert!(row["ms_median"].as_f64() <= row["ms_p90"].as_f64() && row["examples_per_s"].as_f64() > Some(0.0));
    }
    assert!(std::fs::read_to_string(plot).unwrap().contains("W1"));
    let rules = ["--rule", "auto-s,per-layer", "--batch", "8", "--steps", "2", "--threads", "1", "--format", "json"];
    let rows = secateur().args(["bench", "--workload", "w1"]).args(rules).assert().success();
    let rows: serde_json::Value = serde_json::from_slice(&rows.get_output().stdout).unwrap();
    let said = |k: usize| (rows[k]["rule"].as_str(), rows[k]["class"].as_str(), rows[k]["pairs"].as_u64());
    assert_eq!(said(0), (Some("auto-s"), Some("NORM"), Some(2)));
    assert_eq!(said(1), (Some("per-layer"), Some("LAYER-NORM"), Some(2)));
    assert!(rows[0]["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0));
    secateur().args(["bench", "--rule", "flut"]).assert().failure().stderr(contains("--rule flut"));
    let no_length = secateur().args(["bench", "--workload", "W1", "--length", "5", "--private"]).assert().failure();
    assert!(String::from_utf8_lossy(&no_length.get_output().stderr).contains("not a workload of texts"));
    let unknown = secateur().args(["bench", "--workload", "W9"]).assert().failure();
    assert!(String::from_utf8_lossy(&unknown.get_output().stderr).contains("W1, W2"));
}
