//! A chart of several kinds of marks in one frame: clouds of dots, bars, lines, and single values marked on the
//! horizontal axis.
//!
//! As with the line chart, everything is data, text is self-contained, and nothing leaves the view box. Layers differ in
//! more than colour: by kind, by dashes, and dots by being filled or open.

use super::axis::{Axis, Spread};
use super::frame::{self, BOTTOM, Frame, TOP, WIDTH};
use super::label::Taken;
use super::marks::Segments;
use super::scale::Scale;
use std::fmt::Write as _;

/// A chart made of layers, drawn in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// What it shows; also its accessible name.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn.
    pub layers: Vec<Layer>,
    /// Values on the horizontal axis to mark by a vertical line, each with its name.
    pub marks: Vec<(f64, String)>,
}

/// One kind of mark at some points.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// What it shows, for the legend.
    pub name: String,
    /// Where, in axis values.
    pub points: Vec<(f64, f64)>,
    /// The colour, 1 to 3: the class `tone-N`.
    pub tone: u8,
    /// How.
    pub mark: Mark,
}

/// A kind of mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A line through the points.
    Line,
    /// The same, dashed.
    Dashed,
    /// A line and a dot on every point.
    Joined,
    /// Filled dots.
    Dots,
    /// Open circles.
    Rings,
    /// Bars from the foot of the frame, each from its point to the next one's `x`; the last point only ends the last bar.
    Bars,
}

impl Layer {
    /// A layer.
    pub fn new(name: impl Into<String>, mark: Mark, tone: u8, points: Vec<(f64, f64)>) -> Self {
        Layer { name: name.into(), points, tone: tone.min(3), mark }
    }
}

impl Picture {
    /// The chart as an `<svg>` element.
    pub fn svg(&self) -> String {
        let parts: Vec<Segments> = self.layers.iter().map(|layer| self.split(layer)).collect();
        let all = || parts.iter().flat_map(Segments::vertices);
        let marked = self.marked().map(|(x, _)| *x);
        let snug = !self.layers.iter().any(|l| matches!(l.mark, Mark::Dots | Mark::Rings));
        let x = Scale::fit(&self.x, all().map(|(x, _)| x).chain(marked), !snug);
        let y = Scale::fit(&self.y, all().map(|(_, y)| y), true);
        let frame = Frame::new(x, y);
        let drawn: String = self.layers.iter().zip(&parts).map(|(layer, part)| draw(&frame, layer, part)).collect();
        let marks = if all().next().is_some() { self.rules(&frame, self.taken(&frame, &parts)) } else { String::new() };
        let body = frame.background(&self.title, &self.x, &self.y) + &drawn + &marks + &self.legend();
        let lost: usize = parts.iter().map(|part| part.dropped).sum();
        frame::envelope(&self.title, &self.description(), &(body + &frame.note(&self.note(lost))))
    }

    fn split(&self, layer: &Layer) -> Segments {
        Segments::split(&layer.points, |(x, y)| self.x.can_draw(x) && self.y.can_draw(y))
    }

    fn note(&self, lost: usize) -> String {
        let log = [&self.x, &self.y].iter().any(|axis| axis.spread == Spread::Log);
        match (lost, log) {
            (0, _) => String::new(),
            (n, true) => format!("{n} not drawn (0 or less)"),
            (n, false) => format!("{n} not drawn"),
        }
    }

    /// What labels have to keep clear of.
    fn taken(&self, frame: &Frame, parts: &[Segments]) -> Taken {
        let mut taken = Taken::default();
        for (layer, part) in self.layers.iter().zip(parts) {
            let dotted = matches!(layer.mark, Mark::Dots | Mark::Rings);
            for run in part.parts() {
                let at: Vec<(f64, f64)> = run.iter().map(|p| frame.at(*p)).collect();
                at.iter().filter(|_| dotted).for_each(|p| taken.dot(*p));
                for pair in at.windows(2).filter(|_| !dotted) {
                    match layer.mark {
                        Mark::Bars => taken.line((f64::midpoint(pair[0].0, pair[1].0), pair[0].1), (pair[1].0, BOTTOM)),
                        _ => taken.line(pair[0], pair[1]),
                    }
                }
            }
        }
        self.marked().for_each(|(x, _)| {
            let (x, _) = frame.at((*x, 1.0));
            taken.line((x, TOP), (x, BOTTOM));
        });
        taken
    }

    fn marked(&self) -> impl Iterator<Item = &(f64, String)> {
        self.marks.iter().filter(|(x, _)| self.x.can_draw(*x))
    }

    /// The marked values: dotted vertical lines, their names beside them and over all lines.
    fn rules(&self, frame: &Frame, mut taken: Taken) -> String {
        let (mut out, mut names) = (String::new(), String::new());
        for (value, name) in self.marked() {
            let (x, _) = frame.at((*value, 1.0));
            let _ = writeln!(
                out,
                "<line class=\"mark-line\" x1=\"{x:.1}\" y1=\"{TOP:.1}\" x2=\"{x:.1}\" y2=\"{BOTTOM:.1}\" \
                 stroke=\"currentColor\" stroke-width=\"1.2\" stroke-dasharray=\"2 3\"/>"
            );
            let name = frame::shorten(name, 28);
            let place = taken.label(x, name.chars().count(), frame.sides());
            names += &frame::words("halo", place.x, place.y, place.anchor, &name);
        }
        out + &names
    }

    /// Names of two or more layers, right-aligned above the plot area, each after a piece of its mark.
    fn legend(&self) -> String {
        let mut right = WIDTH - 16.0;
        let mut out = String::new();
        let named: Vec<&Layer> = self.layers.iter().filter(|layer| !layer.name.is_empty()).collect();
        for layer in named.iter().rev().filter(|_| named.len() > 1) {
            let name = frame::shorten(&layer.name, 18);
            let left = right - breadth(&name) - 28.0;
            if left < 4.0 {
                break;
            }
            let swatch = swatch(layer.mark, left);
            let _ = writeln!(out, "<g class=\"tone-{}\">{swatch}</g>", layer.tone);
            out += &frame::words("muted", left + 25.0, 44.0, "start", &name);
            right = left - 10.0;
        }
        out
    }

    fn description(&self) -> String {
        let layers = self.layers.iter().map(|l| format!(" {}: {} points.", l.name, l.points.len()));
        let marks = self.marks.iter().map(|(x, name)| format!(" Marked: {name} at {}.", self.x.value(*x)));
        let axes = format!("Chart of {} against {}.", self.y.caption(), self.x.caption());
        axes + &layers.chain(marks).collect::<String>()
    }
}

/// About how wide a name is: capitals are wider.
fn breadth(name: &str) -> f64 {
    name.chars().map(|c| if c.is_uppercase() || c == 'm' || c == 'w' { 9.0 } else { 7.2 }).sum()
}

fn draw(frame: &Frame, layer: &Layer, segments: &Segments) -> String {
    let inside: String = match layer.mark {
        Mark::Line | Mark::Dashed => path(frame, segments, layer.mark == Mark::Dashed),
        Mark::Joined => path(frame, segments, false) + &dots(frame, segments, 2.6, false),
        Mark::Dots => dots(frame, segments, 1.6, false),
        Mark::Rings => dots(frame, segments, 1.9, true),
        Mark::Bars => bars(frame, segments),
    };
    format!("<g class=\"tone-{}\">\n{inside}</g>\n", layer.tone)
}

fn path(frame: &Frame, segments: &Segments, dashed: bool) -> String {
    let one = |part: &[(f64, f64)]| {
        let places = part.iter().map(|&p| frame.at(p)).enumerate();
        places.map(|(k, (x, y))| format!("{}{x:.1} {y:.1}", if k == 0 { "M" } else { "L" })).collect::<String>()
    };
    let d: String = segments.parts().map(one).collect();
    if d.is_empty() {
        return d;
    }
    let dash = if dashed { " stroke-dasharray=\"6 5\"" } else { "" };
    format!(
        "<path class=\"line\" d=\"{d}\" fill=\"none\" stroke=\"currentColor\" stroke-width=\"2\"{dash} \
         stroke-linejoin=\"round\"/>\n"
    )
}

fn dots(frame: &Frame, segments: &Segments, radius: f64, open: bool) -> String {
    let look = if open { "fill=\"none\" stroke=\"currentColor\"" } else { "fill-opacity=\".6\"" };
    let one = |p| {
        let (x, y) = frame.at(p);
        format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>")
    };
    let all: String = segments.vertices().map(one).collect();
    format!("<g {look}>{all}</g>\n")
}

fn bars(frame: &Frame, segments: &Segments) -> String {
    let one = |pair: &[(f64, f64)]| {
        let ((x, y), (end, _)) = (frame.at(pair[0]), frame.at(pair[1]));
        let (width, height) = ((end - x - 0.6).max(0.4), (BOTTOM - y).max(0.0));
        format!("<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill-opacity=\".55\"/>")
    };
    let all: String = segments.parts().flat_map(|part| part.windows(2).map(one)).collect();
    all + "\n"
}

fn swatch(mark: Mark, left: f64) -> String {
    let (right, middle) = (left + 20.0, left + 10.0);
    let line = |dash: &str| {
        format!(
            "<line x1=\"{left:.1}\" y1=\"39.5\" x2=\"{right:.1}\" y2=\"39.5\" stroke=\"currentColor\" stroke-width=\"2\"{dash}/>"
        )
    };
    match mark {
        Mark::Line => line(""),
        Mark::Joined => line("") + &format!("<circle cx=\"{middle:.1}\" cy=\"39.5\" r=\"2.8\"/>"),
        Mark::Dashed => line(" stroke-dasharray=\"6 5\""),
        Mark::Dots => format!("<circle cx=\"{middle:.1}\" cy=\"39.5\" r=\"3.2\"/>"),
        Mark::Rings => {
            format!("<circle cx=\"{middle:.1}\" cy=\"39.5\" r=\"3.2\" fill=\"none\" stroke=\"currentColor\"/>")
        }
        Mark::Bars => {
            format!("<rect x=\"{left:.1}\" y=\"34\" width=\"20.0\" height=\"10.0\" fill-opacity=\".55\"/>")
        }
    }
}
