//! The marks of a line chart: lines, dots, and the legend that names them.

use super::super::page::text;
use super::frame::{self, Frame, WIDTH};
use super::{Chart, Series};

/// Lines with more vertices than this get no dots, except on the last one.
const DOTS: usize = 60;
/// Vertices nearer than this (view box units) to the one before are left out: nobody can see them.
const NEAR: f64 = 0.3;

/// The drawable vertices of one line, split where others were dropped.
pub(super) struct Segments {
    parts: Vec<Vec<(f64, f64)>>,
    /// How many vertices were dropped.
    pub dropped: usize,
}

impl Segments {
    /// Splits `points` at those that cannot be drawn.
    pub fn split(points: &[(f64, f64)], can_draw: impl Fn((f64, f64)) -> bool) -> Self {
        let parts: Vec<_> =
            points.split(|&point| !can_draw(point)).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect();
        let dropped = points.len() - parts.iter().map(Vec::len).sum::<usize>();
        Self { parts, dropped }
    }

    /// The unbroken parts.
    pub fn parts(&self) -> impl Iterator<Item = &[(f64, f64)]> {
        self.parts.iter().map(Vec::as_slice)
    }

    /// All drawable vertices.
    pub fn vertices(&self) -> impl Iterator<Item = (f64, f64)> {
        self.parts.iter().flatten().copied()
    }
}

/// One series as a path and its dots.
pub(super) fn line(chart: &Chart, frame: &Frame, series: &Series, segments: &Segments) -> String {
    let path: String = segments.parts.iter().map(|part| trace(frame, part)).collect();
    if path.is_empty() {
        return path;
    }
    let (tone, dash) = (tone(series), dash(chart, series));
    format!(
        "<g class=\"tone-{tone}\">\n\
         <path class=\"line\" d=\"{path}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"{dash} \
         stroke-linejoin=\"round\" stroke-linecap=\"round\"/>\n\
         {}</g>\n",
        dots(chart, frame, segments)
    )
}

fn trace(frame: &Frame, part: &[(f64, f64)]) -> String {
    let mut path = String::new();
    let mut before: Option<(f64, f64)> = None;
    for (index, &vertex) in part.iter().enumerate() {
        let (x, y) = frame.at(vertex);
        let near = before.is_some_and(|(u, v)| (x - u).abs() < NEAR && (y - v).abs() < NEAR);
        if near && index + 1 < part.len() {
            continue;
        }
        path += &format!("{}{x:.1} {y:.1}", if before.is_none() { "M" } else { "L" });
        before = Some((x, y));
    }
    path
}

/// A dot on every vertex of a short line, on lonely vertices, and a larger one on the last.
fn dots(chart: &Chart, frame: &Frame, segments: &Segments) -> String {
    let all = segments.vertices().count() <= DOTS;
    let lonely = segments.parts.iter().filter(|part| all || part.len() == 1).flatten();
    let mut out: String = lonely.map(|&vertex| dot(chart, frame, vertex, 2.4)).collect();
    out.extend(segments.vertices().last().map(|vertex| dot(chart, frame, vertex, 4.0)));
    out
}

fn dot(chart: &Chart, frame: &Frame, vertex: (f64, f64), radius: f64) -> String {
    let (x, y) = frame.at(vertex);
    let hint = format!("{} {}: {}", chart.x.label, chart.x.value(vertex.0), chart.y.value(vertex.1));
    format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"><title>{}</title></circle>\n", text(&hint))
}

/// The names of two or more series, right-aligned above the plot area, each after a piece of its line.
pub(super) fn legend(series: &[Series]) -> String {
    let mut right = WIDTH - 16.0;
    let mut out = String::new();
    for (at, series) in series.iter().enumerate().rev().filter(|_| series.len() > 1) {
        let name = frame::shorten(&series.name, 12);
        let left = right - name.chars().count() as f64 * 7.4 - 28.0;
        if left < 4.0 {
            break;
        }
        out += &format!(
            "<g class=\"tone-{}\"><line x1=\"{left:.1}\" y1=\"39.5\" x2=\"{:.1}\" y2=\"39.5\" stroke=\"currentColor\" \
             stroke-width=\"2\"{}/></g>\n{}",
            tone(series),
            left + 20.0,
            pattern(at),
            frame::words("muted", left + 25.0, 44.0, "start", &name)
        );
        right = left - 10.0;
    }
    out
}

fn tone(series: &Series) -> u8 {
    series.tone.clamp(1, 3)
}

fn dash(chart: &Chart, series: &Series) -> &'static str {
    pattern(chart.series.iter().position(|other| std::ptr::eq(other, series)).unwrap_or(0))
}

/// Lines differ in more than colour: every second one is dashed.
fn pattern(at: usize) -> &'static str {
    if at % 2 == 1 { " stroke-dasharray=\"6 5\"" } else { "" }
}
