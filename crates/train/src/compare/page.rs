//! A comparison as a page for people: the table, and each arm's accuracy beside the first arm's.
use super::{Row, standing};
use crate::report::{
    page::{document, heading, section, text},
    plot::{Axis, Chart, Series},
    words,
};

/// One self-contained page. The first arm is what the others are drawn beside.
pub fn html(title: &str, rows: &[Row]) -> String {
    let body = [
        heading("comparison of clip rules", title),
        "<main>\n".into(),
        format!("<div class=\"banner amber\" role=\"note\"><p>{}</p></div>\n", text(&standing(rows))),
        section("At the same epsilon", &table(rows)),
        section("While they learned", &charts(rows)),
        "</main>\n".into(),
    ];
    document(&format!("{title} - Secateur comparison"), &body.concat())
}

fn table(rows: &[Row]) -> String {
    let heads = [
        "Rule",
        "Accuracy, %",
        "Each seed",
        "Epsilon",
        "Delta",
        "Noise multiplier",
        "ms a step",
        "Peak MB",
        "Tried",
        "Epsilon with tuning",
        "Settings that won",
    ];
    let heads = heads.map(|head| format!("<th scope=\"col\">{head}</th>")).concat();
    let rows: String = rows.iter().map(line).collect();
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table class=\"results\">\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table></div>\n\
         <p>Noise was calibrated for each rule through its own rehearsal. \"Tried\" is the number of combinations of \
         settings, of which the best mean accuracy is shown; \"epsilon with tuning\" prices publishing the best of a random \
         number of runs with that mean.</p>\n"
    )
}

fn line(row: &Row) -> String {
    let deviation = row.deviation.map_or(String::new(), |sd| format!(" ± {sd:.2}"));
    let each: Vec<String> = row.accuracies.iter().map(|a| format!("{a:.2}")).collect();
    let cells = [
        text(&row.arm),
        format!("{:.2}{deviation}", row.accuracy),
        each.join(" "),
        words::bound(row.epsilon),
        words::bound(row.delta),
        words::significant(row.noise_multiplier, 4),
        words::significant(row.ms_per_step, 3),
        row.peak_mb.map_or_else(|| "–".into(), |mb| format!("{mb:.0}")),
        words::count(row.combinations as u64),
        words::bound(row.epsilon_with_tuning),
        text(&row.settings.join(", ")),
    ];
    format!("<tr>{}</tr>\n", cells.map(|cell| format!("<td>{cell}</td>")).concat())
}

fn charts(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let others = if rows.len() > 1 { &rows[1..] } else { rows };
    let figures: String =
        others.iter().map(|row| format!("<figure class=\"card\">\n{}\n</figure>\n", chart(first, row).svg())).collect();
    format!("<div class=\"charts\">\n{figures}</div>\n")
}

fn chart(first: &Row, row: &Row) -> Chart {
    let series = |row: &Row, tone: u8| Series { name: row.arm.clone(), points: row.curve.clone(), tone };
    let mut lines = vec![series(row, 1)];
    if first.arm != row.arm {
        lines.push(series(first, 3));
    }
    Chart {
        title: format!("{}: accuracy by steps", row.arm),
        x: Axis::new("step").whole().including(0.0).within(0.0, f64::INFINITY),
        y: Axis::new("accuracy").unit("%").within(0.0, 100.0),
        series: lines,
    }
}
