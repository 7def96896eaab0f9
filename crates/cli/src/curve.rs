//! `--curve`: delta at every epsilon, and what an attacker can do, as SVG, CSV and words.
//!
//! From (epsilon, delta) pairs follows the f-DP trade-off (Dong, Roth & Su 2022, Proposition 2.13): a test of membership
//! with false positive rate `a` has a true positive rate of at most the smallest, over all pairs, of
//! `min(e^epsilon a + delta, 1 - e^-epsilon (1 - delta - a))`.
use privacy::{Ledger, Price, account};
use std::path::{Path, PathBuf};
use train::report::{
    plot::{Axis, Chart, Series, sheet},
    write_atomically,
};

const POINTS: usize = 160;

/// Writes `name.svg` and `name.csv`, and says what they mean.
pub fn write(
    name: &Path,
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
    let csv = place(name, "csv");
    let svg = place(name, "svg");
    save(&csv, &table(&pairs))?;
    save(&svg, &picture(accountant, &pairs))?;
    let means = |rate: f64| {
        let (wrong, found) = (100.0 * rate, 100.0 * true_positives(&pairs, rate));
        format!("an attacker who is wrong about {wrong:.1} % of outsiders finds at most {found:.2} % of the members")
    };
    let files = format!("curve: {} and {}", svg.display(), csv.display());
    Ok([0.001, 0.01, 0.05].map(means).into_iter().chain([files]).collect())
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

/// The largest true positive rate at this false positive rate.
fn true_positives(pairs: &[(f64, f64)], rate: f64) -> f64 {
    let one = |(epsilon, delta): &(f64, f64)| {
        (epsilon.exp() * rate + delta).min(1.0 - (-epsilon).exp() * (1.0 - delta - rate))
    };
    pairs.iter().map(one).fold(1.0, f64::min).max(rate)
}

fn rates() -> impl Iterator<Item = f64> {
    (0..=POINTS).map(|k| k as f64 / POINTS as f64)
}

fn table(pairs: &[(f64, f64)]) -> String {
    let mut text = String::from("curve,x,y\n");
    for (epsilon, delta) in &pairs[..pairs.len() - 1] {
        text += &format!("delta_of_epsilon,{epsilon},{delta:e}\n");
    }
    for rate in rates() {
        text += &format!("true_positive_rate_of_false_positive_rate,{rate},{}\n", true_positives(pairs, rate));
    }
    text
}

/// Two charts, one above the other.
fn picture(accountant: &str, pairs: &[(f64, f64)]) -> String {
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
                points: rates().map(|a| (a, true_positives(pairs, a))).collect(),
                tone: 2,
            },
            Series { name: "chance".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], tone: 3 },
        ],
    };
    sheet(&[delta, attack])
}
