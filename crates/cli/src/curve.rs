//! `--curve`: delta at every epsilon, and what an attacker can do, as SVG, CSV and words.
//!
//! What an attacker can do follows from all (epsilon, delta) pairs together (`privacy::TradeOff`).
use privacy::{Ledger, Price, TradeOff, account};
use std::path::{Path, PathBuf};
use train::report::{
    plot::{Axis, Chart, Series, sheet},
    write_atomically,
};

const POINTS: usize = 160;

/// Endings of files that `--curve` does not write.
const OTHERS: [&str; 9] = ["png", "pdf", "jpg", "jpeg", "html", "json", "jsonl", "txt", "tsv"];

/// What to write: the picture, the table, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    svg: Option<PathBuf>,
    csv: Option<PathBuf>,
}

/// The files of `--curve NAME`: the one that it is if it ends in .svg or .csv, and otherwise both of that stem.
pub fn files(name: PathBuf) -> Result<Files, String> {
    let text = name.as_os_str().to_string_lossy();
    let nameless = name.file_name().is_none() || text.ends_with(std::path::is_separator) || name.is_dir();
    if nameless || [".svg", ".csv"].iter().any(|ending| name.ends_with(ending)) {
        return Err("names no file: give it a name, such as curve, curve.svg or curve.csv".into());
    }
    let ending = name.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "svg" => Ok(Files { svg: Some(name), csv: None }),
        "csv" => Ok(Files { svg: None, csv: Some(name) }),
        other if OTHERS.contains(&other) => {
            Err(format!("curves are written as .svg and .csv, not .{other}: without an ending both are written"))
        }
        _ => Ok(Files { svg: Some(place(&name, "svg")), csv: Some(place(&name, "csv")) }),
    }
}

/// Writes the files, and says what they mean.
pub fn write(
    files: &Files,
    ledger: &Ledger,
    rows: &[(&str, Result<Price, String>)],
    delta: f64,
) -> Result<Vec<String>, String> {
    let Some((accountant, price)) = rows.iter().find_map(|(name, price)| price.as_ref().ok().map(|p| (*name, p)))
    else {
        return Err("--curve: no accountant could price this".into());
    };
    if !price.epsilon.is_finite() {
        return Err("--curve: epsilon is infinite, there is no curve to draw".into());
    }
    let by = account::by_name(accountant).ok_or("no such accountant")?;
    let top = (1.6 * price.epsilon).max(0.5);
    let epsilons: Vec<f64> = (0..=POINTS).map(|k| top * k as f64 / POINTS as f64).collect();
    let deltas = by.deltas(ledger, &epsilons).map_err(|e| e.to_string())?;
    let pairs: Vec<(f64, f64)> = epsilons.into_iter().zip(deltas).chain([(price.epsilon, delta)]).collect();
    let trade_off = TradeOff::new(pairs.clone());
    let save = |path: &PathBuf, text: String| save(path, &text);
    files.csv.as_ref().map_or(Ok(()), |path| save(path, table(&pairs, &trade_off)))?;
    files.svg.as_ref().map_or(Ok(()), |path| save(path, picture(accountant, &pairs, &trade_off)))?;
    let means = |rate: f64| {
        // Rounded up: a bound.
        let (wrong, found) = (100.0 * rate, (1e4 * trade_off.true_positives(rate)).ceil() / 100.0);
        let most = if price.estimate { "about (an estimate, not a guarantee)" } else { "at most" };
        format!("an attacker who is wrong about {wrong:.1} % of outsiders finds {most} {found:.2} % of the members")
    };
    let written: Vec<String> =
        [&files.svg, &files.csv].into_iter().flatten().map(|f| f.display().to_string()).collect();
    let written = format!("curve: {}", written.join(" and "));
    Ok([0.001, 0.01, 0.05].map(means).into_iter().chain([written]).collect())
}

fn place(name: &Path, extension: &str) -> PathBuf {
    let mut file = name.as_os_str().to_owned();
    file.push(".");
    file.push(extension);
    file.into()
}

fn save(path: &Path, text: &str) -> Result<(), String> {
    write_atomically(path, text.as_bytes()).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

fn rates() -> impl Iterator<Item = f64> {
    (0..=POINTS).map(|k| k as f64 / POINTS as f64)
}

fn table(pairs: &[(f64, f64)], trade_off: &TradeOff) -> String {
    let mut text = String::from("curve,x,y\n");
    for (epsilon, delta) in &pairs[..pairs.len() - 1] {
        text += &format!("delta_of_epsilon,{epsilon},{delta:e}\n");
    }
    for rate in rates() {
        text += &format!("true_positive_rate_of_false_positive_rate,{rate},{}\n", trade_off.true_positives(rate));
    }
    text
}

/// Two charts, one above the other.
fn picture(accountant: &str, pairs: &[(f64, f64)], trade_off: &TradeOff) -> String {
    let delta = Chart {
        title: format!("Delta at every epsilon ({accountant})"),
        x: Axis::new("epsilon"),
        y: Axis::new("delta").log(),
        series: vec![Series { name: "delta".into(), points: pairs[..pairs.len() - 1].to_vec(), tone: 1 }],
    };
    let attack = Chart {
        title: "The best membership test".into(),
        x: Axis::new("false positive rate").within(0.0, 1.0),
        y: Axis::new("true positive rate").within(0.0, 1.0),
        series: vec![
            Series {
                name: "at most".into(),
                points: rates().map(|a| (a, trade_off.true_positives(a))).collect(),
                tone: 2,
            },
            Series { name: "chance".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], tone: 3 },
        ],
    };
    sheet(&[delta, attack])
}
