//! What was measured on the way: charts, and the same numbers as a table.

use super::super::plot::{Axis, Chart, Series};
use super::super::record::{Point, Record};
use super::super::words;
use super::section;

/// The table shows at most about this many rows.
const ROWS: usize = 200;

type Reading = fn(&Point) -> Option<f64>;

/// Loss and accuracy, against steps and against epsilon; no chart for what was not measured.
pub(super) fn learning(record: &Record) -> String {
    let points = &record.points;
    let spends = points.iter().any(|point| point.epsilon.is_finite());
    let pairs = across(spends).into_iter().flat_map(|x| up().map(move |y| (x.clone(), y)));
    let charts: String = pairs.filter_map(|(x, y)| pair(&x, &y, points)).map(|chart| card(&chart)).collect();
    if charts.is_empty() {
        let reason = "Nothing was evaluated during this run, so there is no loss and no accuracy to draw.";
        return section("What it learned", &format!("<p>{reason}</p>\n{}", table(points)));
    }
    let remark = if spends { "" } else { "<p>Epsilon is infinite throughout, so nothing is drawn against it.</p>\n" };
    section("What it learned", &format!("<div class=\"charts\">\n{charts}</div>\n{remark}{}", table(points)))
}

/// A quantity of a point: its axis, how it is read, and its part of a title.
#[derive(Clone)]
struct Quantity {
    axis: Axis,
    read: Reading,
    title: &'static str,
    tone: u8,
}

fn across(spends: bool) -> Vec<Quantity> {
    let steps = Quantity { axis: steps(), read: by_step, title: "by steps", tone: 0 };
    let epsilon = Quantity { axis: epsilon(), read: by_epsilon, title: "by privacy spent", tone: 0 };
    if spends { vec![steps, epsilon] } else { vec![steps] }
}

fn up() -> [Quantity; 3] {
    [
        Quantity { axis: loss(), read: by_loss, title: "Evaluation loss", tone: 1 },
        Quantity { axis: accuracy(), read: by_accuracy, title: "Accuracy", tone: 2 },
        Quantity { axis: bits(), read: by_bits, title: "Bits per byte", tone: 2 },
    ]
}

/// The chart of one quantity against another; none when `y` was never measured.
fn pair(x: &Quantity, y: &Quantity, points: &[Point]) -> Option<Chart> {
    let title = format!("{} {}", y.title, x.title);
    let chart = chart(&title, (&x.axis, x.read), (&y.axis, y.read), points, y.tone);
    chart.series.iter().any(|series| !series.points.is_empty()).then_some(chart)
}

/// Epsilon against steps, and what that means for a shorter run.
pub(super) fn spending(record: &Record) -> String {
    if !record.verdict().is_finite() || record.points.is_empty() {
        return String::new();
    }
    let chart = chart("Epsilon by steps", (&steps(), by_step), (&epsilon(), by_epsilon), &record.points, 3);
    let body = format!(
        "<div class=\"charts\">\n{}<div class=\"beside\">\n{}</div>\n</div>\n",
        card(&chart),
        pace(&record.points)
    );
    section("What it spent", &body)
}

fn chart(title: &str, (x, across): (&Axis, Reading), (y, up): (&Axis, Reading), points: &[Point], tone: u8) -> Chart {
    let points = points.iter().filter_map(|point| across(point).zip(up(point))).collect();
    let series = Series { name: y.label.clone(), points, tone };
    Chart { title: title.to_owned(), x: x.clone(), y: y.clone(), series: vec![series] }
}

fn card(chart: &Chart) -> String {
    format!("<figure class=\"card\">\n{}\n</figure>\n", chart.svg())
}

fn steps() -> Axis {
    Axis::new("step").whole().including(0.0).within(0.0, f64::INFINITY)
}

fn epsilon() -> Axis {
    Axis::new("epsilon").including(0.0).within(0.0, f64::INFINITY)
}

fn loss() -> Axis {
    Axis::new("loss").unit("nats").within(0.0, f64::INFINITY)
}

fn accuracy() -> Axis {
    Axis::new("accuracy").unit("%").within(0.0, 100.0)
}

fn bits() -> Axis {
    Axis::new("loss of a byte").unit("bits").within(0.0, f64::INFINITY)
}

fn by_bits(point: &Point) -> Option<f64> {
    point.evaluation_bits_per_byte
}

fn by_step(point: &Point) -> Option<f64> {
    Some(point.step as f64)
}

fn by_epsilon(point: &Point) -> Option<f64> {
    Some(point.epsilon)
}

fn by_loss(point: &Point) -> Option<f64> {
    point.evaluation_loss
}

fn by_accuracy(point: &Point) -> Option<f64> {
    point.evaluation_accuracy.map(|share| share * 100.0)
}

/// How fast the budget went, from the points.
fn pace(points: &[Point]) -> String {
    let finite: Vec<_> = points.iter().filter(|point| point.epsilon.is_finite()).collect();
    let Some(last) = finite.last() else { return String::new() };
    // Points too few to tell when half was spent tell nothing.
    let half = finite.iter().find(|point| point.epsilon >= last.epsilon / 2.0).filter(|half| half.step < last.step);
    let lead = half.map_or(String::new(), |half| {
        let share = 100.0 * half.step as f64 / last.step as f64;
        format!(
            "<p class=\"lead\">Half of the final epsilon was spent by step {} of {}, {share:.0}{}% of the way.</p>\n",
            words::count(half.step),
            words::count(last.step),
            words::THIN
        )
    });
    lead + "<p>Every step that looks at the data costs privacy, and the cost is never given back. As a rule it adds up \
            more slowly than in proportion: the first steps are the dear ones, and a somewhat shorter run saves little. \
            A larger noise multiplier or a smaller sample rate lowers the whole curve.</p>\n"
}

/// The numbers behind the charts.
fn table(points: &[Point]) -> String {
    if points.is_empty() {
        return String::new();
    }
    let stride = points.len().div_ceil(ROWS).max(1);
    let shown = |at: usize| at.is_multiple_of(stride) || at + 1 == points.len();
    let bits = points.iter().any(|point| point.evaluation_bits_per_byte.is_some());
    let chosen = points.iter().enumerate().filter(|&(at, _)| shown(at));
    let rows: String = chosen.map(|(_, point)| row(point, bits)).collect();
    let bits = if bits { "<th scope=\"col\">Bits per byte</th>" } else { "" };
    let remark = if stride > 1 { format!(" (every {stride}th; all are in metrics.jsonl)") } else { String::new() };
    format!(
        "<details>\n\
         <summary>The numbers behind the charts{remark}</summary>\n\
         <div class=\"scroll\" tabindex=\"0\"><table>\n\
         <thead><tr><th scope=\"col\">Step</th><th scope=\"col\">Epoch</th><th scope=\"col\">Time</th><th \
         scope=\"col\">Epsilon</th><th scope=\"col\">Loss</th><th scope=\"col\">Accuracy</th>{bits}</tr></thead>\n\
         <tbody>\n\
         {rows}</tbody>\n\
         </table></div>\n\
         </details>\n"
    )
}

fn row(point: &Point, bits: bool) -> String {
    let mut cells = vec![
        words::count(point.step),
        words::significant(point.epoch, 3),
        words::duration(point.seconds),
        words::bound(point.epsilon),
        point.evaluation_loss.map_or_else(missing, |loss| words::significant(loss, 4)),
        point.evaluation_accuracy.map_or_else(missing, words::percent),
    ];
    let measured = || point.evaluation_bits_per_byte.map_or_else(missing, |bits| words::significant(bits, 4));
    cells.extend(bits.then(measured));
    let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
    format!("<tr>{cells}</tr>\n")
}

fn missing() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::super::example;
    use super::*;

    #[test]
    fn five_charts_of_a_private_run() {
        let record = example::private();
        assert_eq!(learning(&record).matches("<svg").count(), 4);
        assert_eq!(spending(&record).matches("<svg").count(), 1);
        assert!(spending(&record).contains("spent by step"));
    }

    #[test]
    fn bits_stand_where_accuracy_does() {
        let page = learning(&example::blocks());
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(page.contains("Bits per byte by steps") && !page.contains("Accuracy by steps"));
    }

    #[test]
    fn nothing_is_drawn_against_an_infinite_epsilon() {
        let record = example::ordinary();
        assert_eq!(learning(&record).matches("<svg").count(), 2);
        assert_eq!(spending(&record), "");
    }

    #[test]
    fn no_evaluation_and_no_points_are_words() {
        for points in [example::unevaluated().points, vec![]] {
            let page = learning(&Record { points, ..example::private() });
            assert!(page.contains("Nothing was evaluated") && !page.contains("<svg"));
        }
    }

    #[test]
    fn long_tables_are_thinned_and_keep_the_last_row() {
        let first = example::private().points[0];
        let points: Vec<_> = (1..=1003).map(|step| Point { step, ..first }).collect();
        let table = table(&points);
        assert!(table.matches("<tr>").count() < 210 && table.contains("every 6th"));
        assert!(table.contains("<td>1003</td>"));
    }
}
