//! `account` and `calibrate` as a user meets them.
mod common;
use common::{answer, json, secateur};
use predicates::{prelude::PredicateBooleanExt, str::contains};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

fn account(flags: &str) -> Value {
    let mut command = secateur();
    command.arg("account").args(flags.split(' ')).args(["--format", "json"]);
    answer(&mut command)
}

const CASE_A: &str = "--noise-multiplier 1 --sample-rate 0.01 --steps 1000 --delta 1e-5";

/// The specification's table I3, case A: 2.101365 by Renyi orders on a grid, 1.828237 in truth.
#[test]
fn account_prices_a_plan() {
    let priced = account(CASE_A);
    let [lower, epsilon, upper] =
        ["epsilon_lower", "epsilon", "epsilon_upper"].map(|key| priced[key].as_f64().unwrap());
    assert!(lower <= 1.828236666516577 && 1.828236666516577 <= upper && upper - lower < 0.005 * upper, "{priced}");
    assert_eq!((epsilon, &priced["accountant"], &priced["delta"]), (upper, &"pld".into(), &1e-5.into()));
    assert_eq!((&priced["neighbouring"], &priced["sampling"]), (&"add-remove".into(), &"poisson at 0.01".into()));
    let rdp = account(&format!("{CASE_A} --accountant rdp"));
    assert!((rdp["epsilon"].as_f64().unwrap() - 2.1013).abs() < 1e-3, "{rdp}");
    let none = account("--noise-multiplier 0 --sample-rate 0.01 --steps 1 --delta 1e-5");
    assert_eq!(none["epsilon"], "inf");
    assert!(!none["notes"].as_array().unwrap().is_empty(), "infinity is explained");
    secateur().arg("account").args(CASE_A.split(' ')).assert().success().stdout(contains("epsilon = 1.828"));
}

#[test]
fn an_interval_is_tightened_on_request() {
    let width = |flags: &str| {
        let priced = account(&format!("{CASE_A}{flags}"));
        let [lower, upper] = ["epsilon_lower", "epsilon_upper"].map(|key| priced[key].as_f64().unwrap());
        assert!(lower <= 1.828236666516577 && 1.828236666516577 <= upper + 1e-9, "{priced}");
        upper - lower
    };
    assert!(width(" --precision 1e-6") < 0.02 * width(""));
}

#[test]
fn all_accountants_answer_in_rows() {
    let rows = account(&format!("{CASE_A} --accountant all"));
    let row = |name: &str| rows.as_array().unwrap().iter().find(|row| row["accountant"] == name).unwrap().clone();
    let epsilon = |name: &str| row(name)["epsilon"].as_f64().unwrap();
    assert!((epsilon("exact") - 1.828236666516577).abs() < 1e-8);
    assert!(epsilon("gdp-clt") < epsilon("exact") && row("gdp-clt")["estimate"] == true);
    assert!(["pld", "rdp", "gdp", "zcdp"].iter().all(|name| epsilon(name) >= epsilon("exact")));
}

/// Reference: two phases of 500 steps cost 1.3986456 in truth.
#[test]
fn phases_are_priced_together() {
    let priced = account("--phase z=1,q=0.01,steps=500 --phase z=2,q=0.01,steps=500 --delta 1e-5");
    let epsilon = priced["epsilon"].as_f64().unwrap();
    assert!((1.3986456..1.3986456 * 1.003).contains(&epsilon) && priced["rounds"] == 1000, "{priced}");
}

/// Reference: replace-one under Poisson sampling costs 2.843440 in truth.
#[test]
fn relations_and_samplings_are_priced_or_refused_with_a_reason() {
    let replaced = account(&format!("{CASE_A} --neighbouring replace-one"))["epsilon"].as_f64().unwrap();
    assert!((2.84344..2.86).contains(&replaced), "{replaced}");
    let full = account("--noise-multiplier 10 --sample-rate 1 --steps 100 --delta 1e-5 --sampling full");
    // One Gaussian of multiplier 1: 4.377178 (Balle & Wang 2018).
    assert!((4.377178..4.39).contains(&full["epsilon"].as_f64().unwrap()), "{full}");
    let shuffled = account("--noise-multiplier 1 --sample-rate 0.001 --steps 1000 --delta 1e-6 --sampling shuffled");
    assert!(shuffled["epsilon"].as_f64().unwrap() >= 3.7239, "never below what an attack shows: {shuffled}");
    let mut fixed = secateur();
    fixed.arg("account").args(CASE_A.split(' ')).args(["--sampling", "fixed-size"]);
    fixed.assert().failure().stderr(contains("--examples"));
    let mut fixed = secateur();
    fixed.arg("account").args(CASE_A.split(' ')).args(["--sampling", "fixed-size", "--examples", "10000"]);
    fixed.assert().failure().stderr(contains("pld cannot price round (fixed-size 100 of 10000): gaussian 1: "));
    // The specification prices it 2.100522 by Rényi divergences.
    let fixed = account(
        "--noise-multiplier 4 --sample-rate 0.01 --steps 2000 --delta 1e-5 --sampling fixed-size --examples 50000 \
         --neighbouring replace-one",
    );
    assert!((1.0489..1.0493).contains(&fixed["epsilon"].as_f64().unwrap()), "{fixed}");
    secateur()
        .arg("account")
        .args(CASE_A.split(' '))
        .args(["--sampling", "sometimes"])
        .assert()
        .failure()
        .code(2)
        .stderr(contains("truncated-poisson:B"));
}

/// Reference, case A: two rows 3.979086, the best of a geometric number of runs of mean 10 4.103256.
#[test]
fn groups_and_trials_are_priced_on_request() {
    let priced = account(&format!("{CASE_A} --group 2 --trials geometric:10"));
    let [group, trials] = ["group", "trials"].map(|key| priced[key]["epsilon"].as_f64().unwrap());
    assert!((3.979085..3.9811).contains(&group), "{priced}");
    assert!((trials - 4.1032556).abs() < 1e-3, "{priced}");
}

#[test]
fn a_curve_is_drawn_and_explained() {
    let top = TempDir::new().unwrap();
    let name = top.path().join("curve");
    let mut command = secateur();
    command.arg("account").args(CASE_A.split(' ')).arg("--curve").arg(&name);
    command.assert().success().stdout(contains("an attacker who is wrong about 1.0 % of outsiders"));
    assert!(fs::read_to_string(top.path().join("curve.svg")).unwrap().contains("<svg"));
    let table = fs::read_to_string(top.path().join("curve.csv")).unwrap();
    let deltas: Vec<f64> = table
        .lines()
        .filter_map(|l| l.strip_prefix("delta_of_epsilon,"))
        .filter_map(|l| l.split(',').nth(1)?.parse().ok())
        .collect();
    assert!(deltas.len() > 100 && deltas.windows(2).all(|pair| pair[1] <= pair[0]));
}

/// A name that ends in .svg or .csv is that file, and the other is not written: there may be one of the user's.
#[test]
fn a_curve_goes_where_its_name_says() {
    let top = TempDir::new().unwrap();
    let ask = |name: &str| {
        let mut command = secateur();
        command.current_dir(&top).arg("account").args(CASE_A.split(' ')).args(["--curve", name]);
        command.assert()
    };
    let names = || {
        let entries = fs::read_dir(&top).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.filter(|name| name != "folder").collect();
        names.sort();
        names.iter().for_each(|name| fs::remove_file(top.path().join(name)).unwrap());
        names
    };
    fs::create_dir(top.path().join("folder")).unwrap();
    for (name, files) in [
        ("x.svg", &["x.svg"][..]),
        ("x.csv", &["x.csv"]),
        ("X.SVG", &["X.SVG"]),
        ("x", &["x.csv", "x.svg"]),
        ("epsilon-1.5", &["epsilon-1.5.csv", "epsilon-1.5.svg"]),
    ] {
        ask(name).success().stdout(contains(format!("curve: {}", files[files.len() - 1])));
        assert_eq!(names(), files, "{name}");
    }
    for (name, why) in [
        ("x.png", "not .png"),
        ("x.PDF", "not .pdf"),
        (".svg", "names no file"),
        ("folder", "names no file"),
        ("none/", "names no file"),
        ("..", "names no file"),
        ("", "value is required"),
    ] {
        ask(name).failure().stderr(contains(why).and(contains("--curve")));
        assert!(names().is_empty(), "{name}");
    }
}

#[test]
fn calibrate_never_goes_above_the_budget() {
    let find = |flags: &str| {
        let mut command = secateur();
        command.args(["calibrate", "--epsilon", "1", "--format", "json"]).args(flags.split(' '));
        answer(&mut command)
    };
    // Reference: 1.51312 by Renyi accounting, 1.4146194 in truth.
    let z = |found: &Value| found["noise_multiplier"].as_f64().unwrap();
    let rdp = find("--delta 1e-5 --sample-rate 0.01 --steps 1000 --accountant rdp");
    assert!((z(&rdp) - 1.51312).abs() < 1e-3, "{rdp}");
    let pld = find("--delta 1e-5 --sample-rate 0.01 --steps 1000");
    assert!((1.4146194..1.4146194 * 1.002).contains(&z(&pld)) && pld["epsilon"].as_f64().unwrap() <= 1.0, "{pld}");
    let steps = find("--delta 1e-5 --sample-rate 0.01 --noise-multiplier 1.4148");
    assert!(
        (995..=1002).contains(&steps["steps"].as_u64().unwrap()) && steps["epsilon"].as_f64().unwrap() <= 1.0,
        "{steps}"
    );
    let rate = find("--delta 1e-5 --noise-multiplier 1.4148 --steps 1000");
    assert!((rate["sample_rate"].as_f64().unwrap() - 0.01).abs() < 1e-4, "{rate}");
    let delta = find("--noise-multiplier 1.4146194 --sample-rate 0.01 --steps 1000");
    assert!((delta["delta"].as_f64().unwrap() / 1e-5 - 1.0).abs() < 0.02, "{delta}");
    secateur()
        .args("calibrate --epsilon 1 --sample-rate 0.01 --steps 1000".split(' '))
        .assert()
        .failure()
        .stderr(contains("all but one"));
}

#[test]
fn numbers_outside_their_range_are_refused_by_name() {
    let refuse = |flags: &str, wanted: &str| {
        secateur().args(flags.split(' ')).assert().failure().code(2).stderr(contains(wanted));
    };
    refuse("account --noise-multiplier -1 --sample-rate 0.01 --steps 10 --delta 1e-5", "--noise-multiplier");
    refuse("account --noise-multiplier 1 --sample-rate 1.01 --steps 10 --delta 1e-5", "from 0 to 1");
    refuse("account --noise-multiplier 1 --sample-rate 0.01 --steps 1.5 --delta 1e-5", "--steps");
    refuse("account --noise-multiplier 1 --sample-rate 0.01 --steps -3 --delta 1e-5", "whole number from 0");
    refuse("account --noise-multiplier 1 --sample-rate 0.01 --steps 10 --delta 1", "below 1");
    refuse("account --noise-multiplier 1 --sample-rate 0.01 --steps 10 --delta 0.1 --precision 0", "from 1e-8 to 0.1");
    refuse("account --noise-multiplier nan --sample-rate 0.01 --steps 10 --delta 1e-5", "--noise-multiplier");
    refuse("account --sample-rate 0.01 --steps 10 --delta 1e-5", "--noise-multiplier");
    refuse("calibrate --epsilon 0 --delta 1e-5 --sample-rate 0.01 --steps 10", "above 0");
}

/// All verbs that ask about a run take its folder by --run; `account` has its delta from there.
#[test]
fn a_run_is_named_in_one_way() {
    let top = TempDir::new().unwrap();
    let run = top.path().join("run");
    let train = ["train", "--quiet", "--set", "train.steps=3", "--set", "privacy.delta=3e-6", "--out"];
    secateur().args(train).arg(&run).assert().success();
    let account =
        |more: &[&str]| answer(secateur().args(["account", "--format", "json"]).args(more).arg("--run").arg(&run));
    let spent = json(&run.join("privacy.json"))["epsilon"].clone();
    assert_eq!((&account(&[])["epsilon"], &account(&[])["delta"]), (&spent, &3e-6.into()));
    assert_eq!(account(&["--delta", "1e-5"])["delta"], 1e-5);
    let both = ["account", "--ledger", "x", "--run", "y"];
    secateur().args(both).assert().failure().stderr(contains("cannot be used with"));
    secateur().args(["account", "--run", "no-such-run"]).assert().failure().stderr(contains("no-such-run"));
    secateur().args(["account", "--ledger", "x"]).assert().failure().stderr(contains("--delta"));
    secateur().args(["generate", "--run"]).arg(&run).assert().failure().stderr(contains("does not write texts"));
    let lists = ["list", "rules"].map(|verb| secateur().arg(verb).assert().success().get_output().stdout.clone());
    assert_eq!(lists[0], lists[1]);
}
