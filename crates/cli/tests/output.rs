//! Whoever reads the output may stop at any time.
mod common;
use common::{answer, secateur};
use std::process::{Command, Stdio};

const PLAN: &str = "--noise-multiplier 1 --sample-rate 0.01 --steps 1000 --delta 1e-5";

/// What every verb that answers at once is asked.
fn questions() -> Vec<String> {
    let account = format!("account {PLAN}");
    let calibrate = "calibrate --epsilon 1 --delta 1e-5 --sample-rate 0.01 --steps 1000";
    let fixed = ["rules", "rules --format json", "completions bash", "study", "train --print-config", "--help"];
    [account.clone(), format!("{account} --format json"), calibrate.into(), format!("{calibrate} --format json")]
        .into_iter()
        .chain(fixed.map(String::from))
        .collect()
}

fn command(words: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("secateur"));
    command.args(words.split(' '));
    command
}

#[test]
fn a_closed_pipe_is_a_quiet_end() {
    for words in questions() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = command(&words).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
        let done = child.wait_with_output().unwrap();
        assert!(done.status.success() && done.stderr.is_empty(), "{words}: {done:?}");
    }
}

/// Nobody reads the words for people: the answer comes all the same, or the failure.
#[test]
fn remarks_that_nobody_reads_are_dropped() {
    for (words, code) in [(format!("account {PLAN}"), 0), ("account --ledger no-such-file --delta 1e-5".into(), 1)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = command(&words).stderr(writer).stdout(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        assert_eq!((done.status.code(), done.stdout.is_empty()), (Some(code), code == 1), "{words}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    for words in ["rules", "rules --format json"] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let done = command(words).stdout(full).output().unwrap();
        let said = String::from_utf8(done.stderr).unwrap();
        assert_eq!(done.status.code(), Some(1), "{words}");
        assert!(said.starts_with("error: standard output: "), "{words}: {said}");
    }
}

/// The words about the curve are notes there.
#[test]
fn json_is_json_with_a_curve_too() {
    let top = tempfile::TempDir::new().unwrap();
    let mut asked = secateur();
    asked.arg("account").args(PLAN.split(' ')).args(["--format", "json", "--curve"]).arg(top.path().join("curve"));
    let notes = answer(&mut asked)["notes"].to_string();
    assert!(notes.contains("an attacker who is wrong about 1.0 % of outsiders"), "{notes}");
}
