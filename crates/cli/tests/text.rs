//! Texts as a user meets them: train, read the statement, write with what was learnt.
mod common;
use common::{json, secateur};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use std::fs;
use tempfile::TempDir;

const CONFIG: &str = r#"
title = "facts to sentences"
[data]
source = "text"
train = "train.csv"
test = "test.csv"
examples = 40
prompt = "facts"
text = "sentence"
length = 16
tokenizer = "bytes"
[model]
layers = [
    { layer = "embedding", vocabulary = 259, features = 8, padding = 0 },
    { layer = "positions" },
    { layer = "transformer", layers = 1, heads = 2, hidden = 8, causal = true },
    { layer = "linear", features = 259 },
]
[privacy]
noise_multiplier = 1.0
delta = 1e-3
[train]
lot = 10
steps = 3
evaluations = 1
[clip]
rule = "flat"
bound = 1.0
[[update]]
update = "adam"
learning_rate = 0.01
"#;

/// A folder with a configuration and its files.
fn folder() -> TempDir {
    let top = TempDir::new().unwrap();
    let rows = |n: usize| (0..n).map(|k| format!("\"a, {k}\",it is {k}\n")).collect::<String>();
    fs::write(top.path().join("train.csv"), format!("facts,sentence\n{}", rows(40))).unwrap();
    fs::write(top.path().join("test.csv"), "facts,sentence\nb,it is that which is too long to fit\nb,no\n").unwrap();
    fs::write(top.path().join("text.toml"), CONFIG).unwrap();
    top
}

#[test]
fn a_model_is_trained_and_writes_after_its_data_are_gone() {
    let top = folder();
    let run = top.path().join("run");
    let train =
        secateur().arg("train").arg(top.path().join("text.toml")).args(["-q", "--out"]).arg(&run).assert().success();
    train
        .stdout(contains("private: epsilon").and(contains("perplexity")).and(contains("bits a byte")))
        .stderr(contains("1 of the 2 evaluation texts are longer than `length = 16`"));
    let summary = json(&run.join("summary.json"));
    let bits = summary["evaluation_bits_per_byte"].as_f64().unwrap();
    assert!(bits > 1.0 && bits < 20.0 && summary["test_accuracy"].is_null(), "{summary}");
    fs::remove_file(top.path().join("train.csv")).unwrap();
    fs::remove_file(top.path().join("test.csv")).unwrap();
    let write = |more: &[&str]| {
        let mut command = secateur();
        command.arg("generate").arg(&run).args(["--prompt", "a, 7", "--tokens", "6"]).args(more);
        command.assert().success().get_output().stdout.clone()
    };
    let [one, again, other] = ["1", "1", "2"].map(|seed| write(&["--seed", seed]));
    assert!(one == again && one != other && !one.is_empty());
    assert_eq!(write(&["--temperature", "0"]), write(&["--temperature", "0"]));
}

#[test]
fn what_cannot_write_says_why() {
    let top = folder();
    let of = |set: &[&str], out: &str| {
        let mut command = secateur();
        command.arg("train").arg(top.path().join("text.toml")).arg("-q").args(set.iter().flat_map(|s| ["--set", s]));
        command.arg("--out").arg(top.path().join(out)).assert().success();
        top.path().join(out)
    };
    let run = of(&["privacy.mode=ordinary"], "run");
    let generate = |more: &[&str]| {
        let mut command = secateur();
        command.arg("generate").arg(&run).args(more);
        command.assert()
    };
    generate(&[]).success().stderr(contains("NOT PRIVATE: ordinary training").and(contains("may write out")));
    generate(&["--temperature", "-1"]).failure().stderr(contains("temperature must be"));
    generate(&["--prompt", "a prompt of too many bytes"])
        .failure()
        .stderr(contains("the model 16 positions: shorten it"));
    secateur()
        .arg("generate")
        .arg(top.path())
        .assert()
        .failure()
        .stderr(contains("name the folder of results of a run"));
    let adult = top.path().join("adult");
    secateur().args(["train", "-q", "--set", "train.steps=1", "--out"]).arg(&adult).assert().success();
    secateur().arg("generate").arg(&adult).assert().failure().stderr(contains("does not write texts"));
}

#[test]
fn mistakes_name_the_key() {
    let top = folder();
    let refused = |set: &str| {
        let mut command = secateur();
        command.arg("train").arg(top.path().join("text.toml")).args(["-q", "--set", set, "--out"]);
        command.arg(top.path().join("none")).assert().failure()
    };
    refused("data.text=sentense").stderr(contains("has no column `sentense`"));
    refused("data.tokenizer=bpe").stderr(contains("learnt from private rows"));
    refused("data.tokenizer={tokenizer=\"file\", path=\"t.json\"}").stderr(contains("data.tokenizer.origin"));
    assert!(!top.path().join("none").exists());
}

#[test]
fn blocks_are_said_on_the_console_and_in_the_statement() {
    let top = folder();
    fs::write(top.path().join("long.txt"), "It was the best of times, it was the worst of times. ".repeat(9)).unwrap();
    let text = CONFIG.replace("prompt = \"facts\"\ntext = \"sentence\"\n", "records = \"blocks\"\nblock = 16\n");
    let text = text
        .replace("train.csv", "long.txt")
        .replace("test = \"test.csv\"", "held_out = 5")
        .replace("examples = 40", "examples = 25");
    fs::write(top.path().join("text.toml"), text).unwrap();
    let run = top.path().join("run");
    let train =
        secateur().arg("train").arg(top.path().join("text.toml")).args(["-q", "--out"]).arg(&run).assert().success();
    train
        .stdout(contains("unit of privacy: one block of 16 characters of the training text: not a person"))
        .stderr(contains("warning: The unit of privacy is one block of 16 characters"));
    let statement = json(&run.join("privacy.json"));
    assert!(statement["unit_of_privacy"].as_str().unwrap().contains("not a person"));
    let page = fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("The unit of privacy is a part of a text, and not a person"));
    // A text of blocks has no end: the model goes on beyond its length.
    let written =
        secateur().arg("generate").arg(&run).args(["--prompt", "It was", "--tokens", "40"]).assert().success();
    assert!(written.get_output().stdout.len() > 40);
}

#[test]
fn texts_are_answered_for_and_a_model_that_writes_says_so() {
    let top = folder();
    let [run, writer, asked] = ["run", "writer", "asked.csv"].map(|name| top.path().join(name));
    secateur().arg("train").arg(top.path().join("text.toml")).args(["-q", "--out"]).arg(&writer).assert().success();
    let rows: String = (0..40).map(|k| format!("{},it is {k}\n", ["odd", "even"][k % 2])).collect();
    fs::write(top.path().join("train.csv"), format!("facts,sentence\n{rows}")).unwrap();
    fs::write(top.path().join("test.csv"), "facts,sentence\nodd,it is 3\neven,it is 4\n").unwrap();
    fs::write(&asked, "sentence\nit is 3\n\"it is 4, they say, and more\"\nno\n").unwrap();
    let from = CONFIG.find("    { layer = \"positions\"").unwrap();
    let to = CONFIG.find("]\n[privacy]").unwrap();
    let layers = "    { layer = \"mean_over\" },\n    { layer = \"linear\", features = 2 },\n";
    let config = format!("{}{layers}{}", &CONFIG[..from], &CONFIG[to..]);
    let target = "target = { name = \"facts\", classes = [\"odd\", \"even\"] }";
    fs::write(top.path().join("text.toml"), config.replace("prompt = \"facts\"", target)).unwrap();
    secateur().arg("train").arg(top.path().join("text.toml")).args(["-q", "--out"]).arg(&run).assert().success();

    let predict = |run: &std::path::Path| secateur().arg("predict").arg("--run").arg(run).arg(&asked).assert();
    let done = predict(&run).success();
    let answers = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    let answers: Vec<&str> = answers.lines().collect();
    assert_eq!((answers[0], answers.len()), ("prediction,probability of odd,probability of even", 4), "{answers:?}");
    predict(&writer).failure().stderr(contains("this model writes").and(contains("secateur generate")));
}
