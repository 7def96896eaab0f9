//! Comparisons and the list of rules, as a user meets them.
mod common;
use common::{answer, json, secateur};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

#[test]
fn rules_are_listed_with_source_and_class() {
    secateur().arg("rules").assert().success().stdout(contains("auto-s").and(contains("arXiv 2206.07136")));
    let listed = answer(secateur().args(["rules", "quantile", "micro-batch", "--format", "json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    for key in ["rule", "class", "source", "summary"] {
        assert!(listed[0][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
    }
    let others = [
        "\nupdate\nsgd ",
        "\nmechanism\ngaussian ",
        "\ntrain.sampling\npoisson ",
        "\nmodel.layers\nlinear ",
        "\ndata.source\nadult ",
        "(Zhang et al. 2025)",
    ];
    others.iter().for_each(|text| drop(secateur().arg("rules").assert().success().stdout(contains(*text))));
    let settings = contains("  gamma = 0.01").and(contains("  learning_rate\n")).and(contains("  beta2 = 0.999"));
    secateur().args(["rules", "auto-s", "adam"]).assert().success().stdout(settings);
    let listed = answer(secateur().args(["rules", "adam-bc", "tree", "--format", "json"]));
    assert_eq!((&listed[0]["update"], &listed[1]["mechanism"]), (&"adam-bc".into(), &"tree".into()));
    secateur().args(["rules", "abadi"]).assert().failure().stderr(contains("nothing is called `abadi`"));
}

/// Runs with fixed seeds and no ledger: only on data that somebody says are public.
#[test]
fn private_data_are_not_compared_on() {
    let top = TempDir::new().unwrap();
    let compare = |more: &[&str]| {
        let mut command = secateur();
        command.args(["compare", "--quiet", "--rules", "flat", "--seeds", "1", "--set", "train.steps=2"]).args(more);
        command.arg("--out").arg(top.path().join("out")).assert()
    };
    compare(&[]).failure().stderr(contains("NOT PRIVATE").and(contains("--declare-public")));
    assert!(!top.path().join("out").exists(), "nothing was trained");
    let told = compare(&["--declare-public", "the census is published"]).success();
    let text = String::from_utf8(told.get_output().stdout.clone()).unwrap();
    assert!(text.starts_with("NOT PRIVATE") && text.contains("the census is published"), "{text}");
    let page = fs::read_to_string(top.path().join("out/compare.html")).unwrap();
    assert!(page.contains("NOT PRIVATE") && page.contains("the census is published"));
    assert_eq!(json(&top.path().join("out/compare.json"))[0]["declared_public"], "the census is published");
}

#[test]
fn a_comparison_leaves_a_table_and_a_page() {
    let top = TempDir::new().unwrap();
    let out = top.path().join("compared");
    let mut command = secateur();
    command.args([
        "compare",
        "--quiet",
        "--rules",
        "flat,auto-s:gamma=0.1,quantile",
        "--seeds",
        "2",
        "--declare-public",
        "yes",
    ]);
    command.args(["--set", "train.steps=5", "--set", "train.evaluations=2", "--set", "privacy.accountant=rdp"]);
    command.args(["--tune", "privacy.delta=1e-5,2e-5", "--out"]).arg(&out);
    command.assert().success().stdout(contains("flat").and(contains("auto-s:gamma=0.1")).and(contains("tried")));
    let rows = json(&out.join("compare.json"));
    assert_eq!(rows.as_array().map(Vec::len), Some(3));
    for row in rows.as_array().unwrap() {
        let number = |key: &str| row[key].as_f64().unwrap_or_else(|| panic!("{key} of {row}"));
        assert!(number("epsilon") <= 1.0 && number("epsilon") > 0.99, "{row}");
        assert!(number("epsilon_with_tuning") > number("epsilon"), "{row}");
        assert!(number("accuracy") > 50.0 && number("ms_per_step") > 0.0 && number("deviation") >= 0.0);
        assert_eq!((&row["combinations"], row["accuracies"].as_array().map(Vec::len)), (&Value::from(2), Some(2)));
    }
    let page = fs::read_to_string(out.join("compare.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("quantile") && page.contains("NOT PRIVATE"));
    assert!(fs::read_to_string(out.join("table.txt")).unwrap().contains("accuracy"));
}

#[test]
fn arms_that_make_no_sense_are_refused_before_anything_runs() {
    let fails = |rules: &str, tune: &str, said: &str| {
        let mut command = secateur();
        command.args(["compare", "--quiet", "--rules", rules, "--tune", tune]);
        command.assert().failure().stderr(contains(said));
    };
    fails("flat,abadi", "train.lot=100", "no clip rule `abadi`");
    fails("flat:gamma=1", "train.lot=100", "gamma");
    fails("flat:gamma", "train.lot=100", "key=value");
    fails("flat", "train.lot", "KEY=V1,V2");
}
