//! A run's model answers for rows that it has not seen: the answers are those that the run's own scores were taken from.
mod common;
use common::{json, secateur};
use predicates::str::contains;
use std::{fs, path::Path};
use tempfile::TempDir;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/own-table/");

fn trained(out: &Path, set: &[&str]) {
    let mut command = secateur();
    command.args(["train", "--quiet", &format!("{TABLE}own-table.toml"), "--out"]).arg(out);
    command.args(set.iter().flat_map(|set| ["--set", set]));
    command.assert().success();
}

/// A model is not called private by silence.
#[test]
fn a_model_that_is_not_private_answers_with_a_warning() {
    let top = TempDir::new().unwrap();
    for (set, warns) in [
        ("train.seed=1", "NOT PRIVATE: the seed is fixed"),
        ("privacy.mode=ordinary", "NOT PRIVATE: ordinary training"),
    ] {
        let run = top.path().join(set);
        trained(&run, &["train.steps=2", set]);
        let mut command = secateur();
        command.arg("predict").arg("--run").arg(&run).arg(format!("{TABLE}public-test.csv"));
        command.assert().success().stderr(contains(warns));
        fs::remove_file(run.join("privacy.json")).unwrap();
        command.assert().success().stderr(contains("nothing says whether the model is private"));
    }
}

fn predicted(run: &Path, file: &Path) -> Vec<Vec<String>> {
    let done = secateur().arg("predict").arg("--run").arg(run).arg(file).assert().success();
    let text = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

#[test]
fn predictions_are_what_the_score_was_taken_from() {
    let top = TempDir::new().unwrap();
    let run = top.path().join("run");
    trained(&run, &[]);
    let public = fs::read_to_string(format!("{TABLE}public-test.csv")).unwrap();
    let truth: Vec<&str> = public.lines().skip(1).map(|line| line.rsplit(',').next().unwrap()).collect();
    let answers = predicted(&run, format!("{TABLE}public-test.csv").as_ref());
    assert_eq!(answers[0], ["prediction", "probability of no", "probability of yes"]);
    assert_eq!(answers.len(), truth.len() + 1);
    let right = answers[1..].iter().zip(&truth).filter(|(answer, truth)| answer[0] == **truth).count();
    let accuracy = json(&run.join("summary.json"))["test_accuracy"].as_f64().unwrap();
    assert_eq!(right as f64 / truth.len() as f64, accuracy);
    for answer in &answers[1..] {
        let p: Vec<f64> = answer[1..].iter().map(|p| p.parse().unwrap()).collect();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-6 && (p[1] > p[0]) == (answer[0] == "yes"), "{answer:?}");
    }

    // The same rows without their answers, and with their columns in another order.
    let bare: Vec<String> = public.lines().map(|line| line.rsplit_once(',').unwrap().0.to_owned()).collect();
    let swapped: Vec<String> = bare.iter().map(|line| line.split(',').rev().collect::<Vec<_>>().join(",")).collect();
    for (name, lines) in [("bare.csv", bare), ("swapped.csv", swapped)] {
        let file = top.path().join(name);
        fs::write(&file, lines.join("\n")).unwrap();
        assert_eq!(predicted(&run, &file), answers, "{name}");
    }
}

#[test]
fn numbers_come_in_the_columns_unit() {
    let top = TempDir::new().unwrap();
    let run = top.path().join("run");
    // Blood pressure from the rest; scaled to -1..1 for the model, and answered for in millimetres.
    let config = fs::read_to_string(format!("{TABLE}own-table.toml")).unwrap();
    let from = config.find("[[data.features]]\nname = \"blood_pressure\"").unwrap();
    let to = from + config[from..].find("[[data.features]]\nname = \"smoker\"").unwrap();
    let target = "name = \"blood_pressure\"\nrange = [60, 220]\nscale = [-1, 1]";
    let config = format!("{}{}", &config[..from], &config[to..])
        .replace("name = \"readmitted\"\nclasses = [\"no\", \"yes\"]", target)
        .replace("features = 2", "features = 1");
    // Cells that are missing cannot be learned from.
    for name in ["patients.csv", "public-test.csv"] {
        let text = fs::read_to_string(format!("{TABLE}{name}")).unwrap();
        let known = text.lines().filter(|line| !line.split(',').any(|cell| cell == "?" || cell.is_empty()));
        fs::write(top.path().join(name), known.collect::<Vec<_>>().join("\n")).unwrap();
    }
    let file = top.path().join("pressure.toml");
    fs::write(&file, config).unwrap();
    secateur().args(["train", "--quiet", "--out"]).arg(&run).arg(&file).assert().success();
    let answers = predicted(&run, &top.path().join("public-test.csv"));
    assert_eq!(answers[0], ["prediction"]);
    let answers: Vec<f64> = answers[1..].iter().map(|row| row[0].parse().unwrap()).collect();
    let public = fs::read_to_string(top.path().join("public-test.csv")).unwrap();
    let column = public.lines().next().unwrap().split(',').position(|name| name == "blood_pressure").unwrap();
    let truth: Vec<f64> =
        public.lines().skip(1).map(|row| row.split(',').nth(column).unwrap().parse().unwrap()).collect();
    // The run's loss is the mean squared error on the scale of -1..1, of which one is 80 millimetres.
    let errors = answers.iter().zip(&truth).map(|(y, t)| ((y - t.clamp(60.0, 220.0)) / 80.0).powi(2));
    let loss = errors.sum::<f64>() / truth.len() as f64;
    let told = json(&run.join("summary.json"))["evaluation_loss"].as_f64().unwrap();
    assert!((loss - told).abs() < 1e-5 * told, "{loss} {told}");
}

#[test]
fn what_cannot_be_answered_is_named() {
    let top = TempDir::new().unwrap();
    let (run, rows) = (top.path().join("run"), top.path().join("rows.csv"));
    let refused = |run: &Path, what: &'static str| {
        secateur().arg("predict").arg("--run").arg(run).arg(&rows).assert().code(1).stderr(contains(what));
    };
    refused(&run, "config.toml");
    trained(&run, &["train.steps=2"]);
    refused(&run, "rows.csv: there is no such file");
    fs::write(&rows, "age,blood_pressure,smoker,ward\n50,120,yes,north\n50,120,yes,attic\n").unwrap();
    refused(&run, "rows.csv, line 3, column `ward`: the cell is none of the declared categories");
    fs::write(&rows, "age,blood_pressure,smoker\n50,120,yes\n").unwrap();
    refused(&run, "rows.csv: has no column `ward`");
    fs::write(&rows, "age,blood_pressure,smoker,ward\n50,120,yes,north\n").unwrap();
    let out = top.path().join("answers.csv");
    let done = secateur().args(["predict", "--run"]).arg(&run).arg(&rows).arg("--out").arg(&out).assert().success();
    done.stdout(contains("1 predictions in"));
    assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 2);
    fs::remove_file(run.join("model.safetensors")).unwrap();
    refused(&run, "model.safetensors: there is no such file: the run has not ended");
}
