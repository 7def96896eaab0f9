//! Tests of the charts: snapshots of small ones, and that no data whatever leave the view box.

use super::*;
use proptest::prelude::*;

fn chart(x: Axis, y: Axis, series: &[&[(f64, f64)]]) -> Chart {
    let name = |at: usize| ["first", "second", "third"][at].to_owned();
    let one =
        |(at, points): (usize, &&[(f64, f64)])| Series { name: name(at), points: points.to_vec(), tone: at as u8 + 1 };
    Chart { title: "Loss by steps".into(), x, y, series: series.iter().enumerate().map(one).collect() }
}

fn plain(points: &[(f64, f64)]) -> String {
    chart(Axis::new("step"), Axis::new("loss"), &[points]).svg()
}

/// Every number of an attribute that is a coordinate, with whether it is horizontal.
fn coordinates(svg: &str) -> Vec<(bool, f64)> {
    let mut found = Vec::new();
    for (name, across) in [
        ("x", true),
        ("x1", true),
        ("x2", true),
        ("cx", true),
        ("y", false),
        ("y1", false),
        ("y2", false),
        ("cy", false),
    ] {
        let opening = format!(" {name}=\"");
        let values = svg.split(&opening).skip(1).filter_map(|rest| rest.split('"').next());
        found.extend(values.map(|value| (across, value.parse::<f64>().unwrap())));
    }
    for path in svg.split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        let numbers = path.split(['M', 'L', ' ']).filter(|word| !word.is_empty());
        found.extend(numbers.enumerate().map(|(at, word)| (at % 2 == 0, word.parse::<f64>().unwrap())));
    }
    found
}

fn assert_inside(svg: &str) {
    for (across, value) in coordinates(svg) {
        let end = if across { frame::WIDTH } else { frame::HEIGHT };
        assert!((0.0..=end).contains(&value), "{value} in {svg}");
    }
    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
}

#[test]
fn a_small_chart_looks_like_this() {
    let svg = chart(Axis::new("step").whole(), Axis::new("loss").unit("nats"), &[&[(0.0, 2.0), (10.0, 1.0)]]).svg();
    assert_eq!(svg, include_str!("small.svg").trim_end());
}

#[test]
fn no_data_say_so() {
    for points in [&[][..], &[(f64::NAN, 1.0)], &[(1.0, f64::INFINITY)]] {
        let svg = plain(points);
        assert!(svg.contains("nothing to draw"));
        assert_inside(&svg);
    }
    assert!(chart(Axis::new("x"), Axis::new("y"), &[]).svg().contains("nothing to draw"));
}

#[test]
fn one_point_and_constant_lines_are_drawn() {
    for points in [&[(5.0, 0.25)][..], &[(0.0, 7.0), (9.0, 7.0)], &[(0.0, 0.0)]] {
        let svg = plain(points);
        assert!(svg.contains("<circle"));
        assert_inside(&svg);
    }
}

#[test]
fn what_cannot_be_drawn_is_noted_and_breaks_the_line() {
    let svg = plain(&[(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0), (3.0, f64::NEG_INFINITY), (4.0, 1.0), (5.0, 1.5)]);
    assert!(svg.contains("2 values not drawn (not finite)"));
    assert_eq!(svg.split(" d=\"").nth(1).unwrap().split('"').next().unwrap().matches('M').count(), 3);
    let log = chart(Axis::new("x"), Axis::new("y").log(), &[&[(0.0, 1.0), (1.0, 0.0)]]).svg();
    assert!(log.contains("1 value not drawn (not finite or not positive)"));
}

#[test]
fn two_series_have_a_legend_and_differ_in_dashes() {
    let svg = chart(Axis::new("x"), Axis::new("y"), &[&[(0.0, 1.0), (1.0, 2.0)], &[(0.0, 2.0), (1.0, 1.0)]]).svg();
    assert!(svg.contains(">first</text>") && svg.contains(">second</text>"));
    assert_eq!(svg.matches("stroke-dasharray").count(), 2);
    assert!(svg.contains("tone-1") && svg.contains("tone-2"));
    assert_inside(&svg);
}

#[test]
fn titles_are_escaped_and_shortened() {
    let mut chart = chart(Axis::new("<x>"), Axis::new("y & z"), &[&[(0.0, 1.0)]]);
    chart.title = "<script>".repeat(40);
    let svg = chart.svg();
    assert!(!svg.contains("<script>") && !svg.contains("<x>") && svg.contains('…') && svg.contains("y &amp; z"));
}

#[test]
fn long_lines_stay_small() {
    let points: Vec<_> = (0..200_000).map(|step| (f64::from(step), f64::from(step).sqrt())).collect();
    let svg = plain(&points);
    assert!(svg.len() < 60_000 && svg.matches("<circle").count() == 1, "{}", svg.len());
}

#[test]
fn the_description_tells_the_ends() {
    let svg =
        chart(Axis::new("step").whole(), Axis::new("accuracy").unit("%"), &[&[(0.0, 10.0), (1200.0, 95.41)]]).svg();
    let expected = "Line chart of accuracy (%) against step. first: 2 points, from 10 % at 0 to 95.41 % at 1200.";
    assert!(svg.contains(expected), "{svg}");
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => any::<f64>(), 4 => -1e4..1e4, 1 => Just(0.0), 1 => Just(f64::NAN), 1 => Just(f64::MAX), 1 => Just(5e-324)]
}

fn axis() -> impl Strategy<Value = Axis> {
    let limits = prop_oneof![Just((f64::NEG_INFINITY, f64::INFINITY)), Just((0.0, 100.0)), Just((0.0, 0.0))];
    (any::<bool>(), any::<bool>(), proptest::option::of(value()), limits).prop_map(|(log, whole, include, limits)| {
        let spread = if log { Spread::Log } else { Spread::Linear };
        Axis { spread, whole, include, limits, ..Axis::new("a quantity with a name").unit("units") }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn nothing_leaves_the_view_box(
        x in axis(), y in axis(), lines in prop::collection::vec(prop::collection::vec((value(), value()), 0..9), 0..4)
    ) {
        let lines: Vec<&[(f64, f64)]> = lines.iter().map(Vec::as_slice).collect();
        assert_inside(&chart(x, y, &lines[..lines.len().min(3)]).svg());
    }

    #[test]
    fn narrow_ranges_stay_inside(middle in value(), width in -20i32..2, shift in 0.0..1.0) {
        let wide = middle * 10f64.powi(width);
        let points = [(0.0, middle), (1.0, middle + wide), (2.0, middle + shift * wide)];
        assert_inside(&plain(&points));
        assert_inside(&chart(Axis::new("x"), Axis::new("y").log(), &[&points]).svg());
    }
}
