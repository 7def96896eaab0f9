//! A comparison as a table of text.
use super::{Row, standing};

/// The rows, one a line, under a head that says how they stand; what the columns mean is said below.
pub fn text(rows: &[Row]) -> String {
    let wide = rows.iter().map(|row| row.arm.chars().count()).max().unwrap_or(0).max("rule".len());
    let head = format!(
        "{:<wide$}  {:>16}  {:>8}  {:>7}  {:>8}  {:>8}  {:>5}  {:>9}",
        "rule", "accuracy %", "epsilon", "noise", "ms/step", "peak MB", "tried", "eps tuned"
    );
    let lines: Vec<String> = rows.iter().map(|row| line(row, wide)).collect();
    let tuned = rows.iter().any(|row| row.combinations > 1);
    let remark = "\nThe best of so many combinations by mean accuracy; \"eps tuned\" is the price of publishing the best of a random\nnumber of runs with that mean.\n";
    format!("{}\n\n{head}\n{}\n{}", standing(rows), lines.join("\n"), if tuned { remark } else { "" })
}

fn line(row: &Row, wide: usize) -> String {
    let deviation = row.deviation.map_or(String::new(), |sd| format!(" +- {sd:.2}"));
    let accuracy = format!("{:.2}{deviation}", row.accuracy);
    let peak = row.peak_mb.map_or("-".into(), |mb| format!("{mb:.0}"));
    let settings = if row.settings.is_empty() { String::new() } else { format!("  {}", row.settings.join(" ")) };
    format!(
        "{:<wide$}  {accuracy:>16}  {:>8.4}  {:>7.4}  {:>8.3}  {peak:>8}  {:>5}  {:>9.4}{settings}",
        row.arm, row.epsilon, row.noise_multiplier, row.ms_per_step, row.combinations, row.epsilon_with_tuning
    )
}
