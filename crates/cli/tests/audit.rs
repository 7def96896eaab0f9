//! `secateur audit` as a user meets it: what it says, what it leaves, what it refuses, how it ends.
mod common;
use assert_cmd::Command;
use common::{answer, json, secateur};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use std::{fs, path::Path};
use tempfile::TempDir;

fn quick(out: &Path) -> Command {
    let mut command = secateur();
    command.args(["audit", "--quiet", "--steps", "20", "--canaries", "200", "--seed", "1", "--out"]).arg(out);
    command
}

fn ledger_of(out: &Path) -> serde_json::Value {
    let mut priced = secateur();
    priced.args(["account", "--format", "json", "--delta", "1e-5", "--ledger"]).arg(out.join("ledger.jsonl"));
    answer(&mut priced)
}

#[test]
fn an_audit_leaves_its_page_and_a_ledger_and_no_weights() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("audit");
    let said = quick(&out).args(["--attack", "gradient,input"]).assert().success();
    said.stdout(
        contains("claimed: epsilon = ").and(contains("gradient: epsilon > ")).and(contains("input: epsilon > ")),
    )
    .stderr(contains("this run is charged like any"));
    let names: Vec<String> =
        fs::read_dir(&out).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["audit.html", "audit.json", "config.toml", "ledger.jsonl"]);
    let (found, spent) = (json(&out.join("audit.json")), ledger_of(&out));
    assert_eq!(spent["rounds"], 20);
    let (claimed, epsilon) = (found["epsilon"].as_f64().unwrap(), spent["epsilon"].as_f64().unwrap());
    assert!((claimed - epsilon).abs() < 1e-6 * epsilon, "{claimed} {epsilon}");
    for (attack, name) in found["attacks"].as_array().unwrap().iter().zip(["gradient", "input"]) {
        assert_eq!((&attack["attack"], &attack["refuted"]), (&name.into(), &false.into()));
        assert!(attack["proven"].as_f64().unwrap() <= claimed);
    }
    let page = fs::read_to_string(out.join("audit.html")).unwrap();
    for sees in ["The auditor sees every release", "not how the model makes and measures", "has the final model alone"]
    {
        assert_eq!(page.matches(sees).count(), 1, "{sees}");
    }
    assert!(
        page.contains("Not refuted") && page.contains("<svg") && !page.contains("<script") && !page.contains("NaN")
    );

    // What is there is replaced when that is asked for, and what it spent is kept.
    quick(&out).assert().failure().stderr(contains("--force"));
    quick(&out).arg("--force").assert().success();
    assert!(out.join("ledger.earlier-1.jsonl").exists());
}

#[test]
fn what_makes_no_sense_is_named() {
    let top = TempDir::new().unwrap();
    let wrong = |args: &[&str], words: &str| {
        let out = top.path().join("wrong");
        let mut command = secateur();
        command.args(["audit", "--quiet"]).args(args).arg("--out").arg(&out);
        command.assert().failure().code(1).stderr(contains(words.to_owned()).and(contains("panicked").not()));
        assert!(!out.exists(), "{args:?}");
    };
    wrong(&["--attack", "magic"], "expected one of `gradient`, `input`");
    wrong(&["--canaries", "1"], "--canaries");
    wrong(&["--canaries", "30000"], "take the places of people");
    wrong(&["--significance", "2"], "--significance 2");
    wrong(&["--guesses", "3000"], "--guesses 3000");
    wrong(&["--set", "privacy.mode=ordinary"], "privacy.mode");
    wrong(&["no-such.toml"], "no-such.toml");
}

/// Several processes would be as many audits of one folder; a launcher of one is none.
#[test]
fn one_of_several_processes_audits_nothing() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("audit");
    let launchers: [&[(&str, &str)]; 3] = [
        &[("SECATEUR_RANK", "0"), ("SECATEUR_WORLD", "2"), ("SECATEUR_MASTER", "localhost:1")],
        &[("RANK", "1"), ("WORLD_SIZE", "4"), ("MASTER_ADDR", "localhost")],
        &[("SLURM_PROCID", "0"), ("SLURM_NTASKS", "2"), ("SLURM_STEP_NODELIST", "n1")],
    ];
    for set in launchers {
        quick(&out).envs(set.iter().copied()).assert().code(1).stderr(contains("an audit is one process"));
        assert!(!out.exists(), "{set:?}");
    }
    quick(&out).env("SLURM_PROCID", "0").env("SLURM_NTASKS", "1").assert().success();
}

/// An audit that is told to replace what is there replaces no model, nor its ledger.
#[test]
fn a_trained_model_is_not_replaced() {
    let top = TempDir::new().unwrap();
    let run = top.path().join("run");
    secateur().args(["train", "--quiet", "--set", "train.steps=2", "--out"]).arg(&run).assert().success();
    let all = || -> Vec<_> {
        let mut files: Vec<_> = fs::read_dir(&run).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        files.into_iter().filter(|file| file.is_file()).map(|file| (fs::read(&file).unwrap(), file)).collect()
    };
    let before = all();
    quick(&run).arg("--force").assert().code(1).stderr(contains("model.safetensors").and(contains("another folder")));
    assert!(all() == before);
}

/// Ctrl-C: what was spent is in the ledger, and what is said is of the steps that were made.
#[test]
#[cfg(unix)]
fn an_interrupted_audit_is_of_what_was_done() {
    use std::process::{Command, Stdio};
    let top = TempDir::new().unwrap();
    let out = top.path().join("audit");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("secateur"));
    command.args(["audit", "--quiet", "--canaries", "50", "--steps", "20000", "--out"]).arg(&out);
    command.args(["--set", "privacy.noise_multiplier=20", "--set", "privacy.accountant=rdp"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while !fs::metadata(out.join("ledger.jsonl")).is_ok_and(|file| file.len() > 400) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let done = child.wait_with_output().unwrap();
    assert_eq!(done.status.code(), Some(130), "{}", String::from_utf8_lossy(&done.stderr));
    let made = json(&out.join("audit.json"))["steps"][0].as_u64().unwrap();
    assert!(made > 0 && ledger_of(&out)["rounds"] == made);
    assert!(String::from_utf8_lossy(&done.stderr).contains("interrupted after"));
}
