//! Small charts as SVG text.
//!
//! A [`Chart`] is data: a title, two axes, some series. [`Chart::svg`] fits a scale to each axis, lets a frame draw
//! what every kind of chart shares (title, grid, ticks, axis titles, notes), and adds the marks. Another kind of chart
//! is another set of marks in the same frame.
//!
//! The text is self-contained and needs no script and no identifier, so that any number of charts fit on one page.
//! Colours come from CSS classes (`chart`, `grid`, `muted`, `tone-1`...); without a style sheet everything falls back
//! to `currentColor`. Whatever the data are, every coordinate is finite and lies inside the view box.

mod axis;
mod frame;
mod label;
mod marks;
mod picture;
mod scale;
mod sheet;

pub use self::axis::{Axis, Spread};
pub use self::picture::{Layer, Mark, Picture};
pub use self::sheet::sheet;

use self::frame::Frame;
use self::marks::Segments;
use self::scale::Scale;

/// A line chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What the chart shows; also its accessible name.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines, usually one or two. With more than one, a legend is drawn.
    pub series: Vec<Series>,
}

/// One line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What the line shows, for the legend and the description.
    pub name: String,
    /// The vertices, in the order in which they are joined. The line breaks at one that cannot be drawn.
    pub points: Vec<(f64, f64)>,
    /// The colour, 1 to 3: the class `tone-N`.
    pub tone: u8,
}

impl Chart {
    /// The chart as an `<svg>` element.
    pub fn svg(&self) -> String {
        let lines: Vec<Segments> = self.series.iter().map(|series| self.segments(series)).collect();
        let all = || lines.iter().flat_map(Segments::vertices);
        let x = Scale::fit(&self.x, all().map(|(x, _)| x), false);
        let y = Scale::fit(&self.y, all().map(|(_, y)| y), true);
        let frame = Frame::new(x, y);
        let marks: String =
            self.series.iter().zip(&lines).map(|(series, line)| marks::line(self, &frame, series, line)).collect();
        let body = frame.background(&self.title, &self.x, &self.y)
            + &marks
            + &marks::legend(&self.series)
            + &frame.note(&self.note(&lines));
        frame::envelope(&self.title, &self.description(&lines), &body)
    }

    fn segments(&self, series: &Series) -> Segments {
        Segments::split(&series.points, |(x, y)| self.x.can_draw(x) && self.y.can_draw(y))
    }

    /// What had to be left out, if anything.
    fn note(&self, lines: &[Segments]) -> String {
        let positive = [&self.x, &self.y].iter().any(|axis| axis.spread == Spread::Log);
        match lines.iter().map(|line| line.dropped).sum::<usize>() {
            0 => String::new(),
            1 if positive => "1 value not drawn (not finite or not positive)".to_owned(),
            1 => "1 value not drawn (not finite)".to_owned(),
            many if positive => format!("{many} values not drawn (not finite or not positive)"),
            many => format!("{many} values not drawn (not finite)"),
        }
    }

    /// The chart in words, for those who do not see it.
    fn description(&self, lines: &[Segments]) -> String {
        let series = self.series.iter().zip(lines).map(|(series, line)| {
            match (line.vertices().next(), line.vertices().last()) {
                (Some(first), Some(last)) => format!(
                    " {}: {} points, from {} at {} to {} at {}.",
                    series.name,
                    line.vertices().count(),
                    self.y.value(first.1),
                    self.x.value(first.0),
                    self.y.value(last.1),
                    self.x.value(last.0),
                ),
                _ => format!(" {}: no points.", series.name),
            }
        });
        format!("Line chart of {} against {}.{}", self.y.caption(), self.x.caption(), series.collect::<String>())
    }
}

#[cfg(test)]
mod tests;
