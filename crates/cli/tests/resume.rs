//! A run that is killed and continued, as a user meets it.
mod common;
use assert_cmd::cargo::CommandCargoExt;
use common::{json, secateur};
use predicates::str::contains;
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const STEPS: u64 = 400;

fn train(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("secateur").unwrap();
    command.env_remove("SECATEUR_DATA").args(["train", "--quiet"]).args(arguments);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The last step whose score was written down: it was released.
fn shown(out: &Path) -> u64 {
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap()).max().unwrap_or(0)
}

fn rounds(out: &Path) -> u64 {
    privacy::Ledger::read(out.join("ledger.jsonl")).map_or(0, |ledger| ledger.rounds())
}

#[test]
fn killed_at_any_moment_and_continued_a_run_pays_for_all_it_released() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("run");
    let place = out.to_str().unwrap();
    let long = ["--set", "train.steps=400", "--set", "train.evaluations=400", "--set", "train.checkpoint_every=7"];
    let mut released = 0;
    for life in 0..6 {
        let begun = out.join("checkpoint.safetensors").exists();
        let from =
            if begun { fs::read(out.join("checkpoint.safetensors")).map(|_| shown(&out)).unwrap() / 7 * 7 } else { 0 };
        let mut child = match begun {
            true => train(&["--resume", place]).spawn().unwrap(),
            false => train(&[&long[..], &["--force", "--out", place]].concat()).spawn().unwrap(),
        };
        std::thread::sleep(Duration::from_millis(80 + 70 * life * life));
        child.kill().unwrap();
        child.wait().unwrap();
        if !out.join("ledger.jsonl").exists() {
            continue;
        }
        if !begun && !out.join("checkpoint.safetensors").exists() {
            // Nothing to go on from: the next life starts over, and keeps this ledger under another name.
            assert!(rounds(&out) >= shown(&out));
            continue;
        }
        released += shown(&out).saturating_sub(from);
        assert!(rounds(&out) >= released, "life {life}: {} rounds charged, {released} released", rounds(&out));
        if shown(&out) == STEPS {
            break;
        }
    }
    if out.join("checkpoint.safetensors").exists() {
        secateur().args(["train", "--quiet", "--resume", place]).assert().success();
    } else if !out.join("summary.json").exists() {
        // Every life was too short for a checkpoint: this one is not.
        secateur().args(["train", "--quiet", "--force", "--out", place]).args(long).assert().success();
    }
    let summary = json(&out.join("summary.json"));
    assert_eq!((&summary["steps"], &summary["interrupted"]), (&STEPS.into(), &false.into()));
    assert!(summary["epsilon"].as_f64().unwrap() <= 1.0, "{summary}");
    assert!(rounds(&out) >= STEPS);
    let ledger = out.join("ledger.jsonl");
    let priced =
        common::answer(secateur().args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(ledger));
    assert_eq!(priced["epsilon"], summary["epsilon"]);
    let text = fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let steps: Vec<u64> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["step"].as_u64().unwrap()).collect();
    assert_eq!(steps, (0..=STEPS).collect::<Vec<_>>());
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| name != "checkpoint.safetensors"), "{left:?}");
}

#[test]
fn what_cannot_be_continued_says_why() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("run");
    let place = out.to_str().unwrap();
    secateur().args(["train", "--resume", place]).assert().failure().stderr(contains("no such folder of results"));
    fs::create_dir(&out).unwrap();
    secateur().args(["train", "--resume", place]).assert().failure().stderr(contains("no checkpoint.safetensors"));
    let short = ["--set", "train.steps=5", "--set", "train.checkpoint_every=2"];
    secateur().args(["train", "--quiet", "--out", place]).args(short).assert().success();
    secateur().args(["train", "--resume", place]).assert().failure().stderr(contains("finished"));
    secateur().args(["train", "--resume", place, "--out", "x"]).assert().failure().stderr(contains("--out"));
}
