//! Charts as a file of their own: one above the other, with the colours of the report's page.

use super::Chart;
use super::frame::{HEIGHT, WIDTH};

/// The page's colours, for light and dark surroundings.
const STYLE: &str = "\
svg { --ink: #1a211e; --muted: #5b6660; --rule: #d9dedb; --paper: #ffffff; --one: #1b6b4d; --two: #3d58b8; --three: #a3450f; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #e8edea; --muted: #a3aea8; --rule: #3a4540; --paper: #151a18; --one: #6fcaa1; --two: #93a9f5; --three: #f09a62; }
}
.paper { fill: var(--paper); } .chart { color: var(--ink); } .chart .title { font-size: 15px; font-weight: 600; }
.chart .muted, .chart .tick, .chart .note { fill: var(--muted); } .chart .grid { stroke: var(--rule); }
.tone-1 { color: var(--one); } .tone-2 { color: var(--two); } .tone-3 { color: var(--three); }";

/// Space around each chart.
const MARGIN: f64 = 16.0;

/// The charts as one self-contained SVG file.
pub fn sheet(charts: &[Chart]) -> String {
    let step = HEIGHT + MARGIN;
    let (width, height) = (WIDTH + 2.0 * MARGIN, step * charts.len() as f64 + MARGIN);
    let place = |(k, chart): (usize, &Chart)| {
        let y = MARGIN + step * k as f64;
        chart.svg().replacen(
            "<svg ",
            &format!("<svg x=\"{MARGIN}\" y=\"{y}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" "),
            1,
        )
    };
    let inside: String = charts.iter().enumerate().map(place).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <style>{STYLE}</style>\n<rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n{inside}\n</svg>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Series};
    use super::*;

    #[test]
    fn charts_are_stacked_in_one_file() {
        let chart = |title: &str| Chart {
            title: title.into(),
            x: Axis::new("x"),
            y: Axis::new("y"),
            series: vec![Series { name: "s".into(), points: vec![(0.0, 1.0), (1.0, 2.0)], tone: 1 }],
        };
        let text = sheet(&[chart("first"), chart("second")]);
        assert_eq!(text.matches("<svg ").count(), 3);
        assert_eq!(text.matches("</svg>").count(), 3);
        assert!(text.contains("first") && text.contains("second") && text.contains("<style>"));
    }
}
