//! What every kind of chart shares: the view box, the grid, ticks, titles, and notes.

use super::super::page::text;
use super::axis::Axis;
use super::scale::{Scale, Tick};

/// Width of the view box.
pub(super) const WIDTH: f64 = 480.0;
/// Height of the view box.
pub(super) const HEIGHT: f64 = 290.0;

/// The upper edge of the plot area.
pub(super) const TOP: f64 = 62.0;
/// The lower edge of the plot area.
pub(super) const BOTTOM: f64 = HEIGHT - 50.0;
const RIGHT: f64 = WIDTH - 16.0;
/// Width of one character of a tick label, and of a title. A guess on the wide side: fonts differ, and so do style
/// sheets.
const TICK_CHARACTER: f64 = 8.8;
const TITLE_CHARACTER: f64 = 9.2;

/// The plot area and the two scales on it; no scales when there is nothing to draw.
pub(super) struct Frame {
    scales: Option<(Scale, Scale)>,
    left: f64,
}

impl Frame {
    /// A frame with room for the labels of `y` on its left.
    pub fn new(x: Option<Scale>, y: Option<Scale>) -> Self {
        let scales = x.zip(y);
        let labels = scales.as_ref().map(|(_, y)| y.ticks()).unwrap_or_default();
        let widest = labels.iter().map(|tick| tick.label.chars().count()).max().unwrap_or(0);
        Self { scales, left: (widest as f64 * TICK_CHARACTER + 14.0).clamp(28.0, 130.0) }
    }

    /// Where a datum lies in the view box.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let places = self.scales.as_ref().map(|(across, up)| (across.place(x), up.place(y)));
        places.map_or((self.left, BOTTOM), |(x, y)| (self.across(x), self.up(y)))
    }

    fn across(&self, place: f64) -> f64 {
        self.left + place * (RIGHT - self.left)
    }

    fn up(&self, place: f64) -> f64 {
        BOTTOM - place * (BOTTOM - TOP)
    }

    /// The left and the right edge of the plot area.
    pub fn sides(&self) -> (f64, f64) {
        (self.left, RIGHT)
    }

    /// Title, grid, ticks and axis titles.
    pub fn background(&self, title: &str, x: &Axis, y: &Axis) -> String {
        let title = shorten(title, ((WIDTH - 20.0) / TITLE_CHARACTER) as usize);
        let mut out = words("title", 4.0, 18.0, "start", &title);
        match &self.scales {
            Some((across, up)) => out += &self.axes(&x.caption(), &y.caption(), &across.ticks(), &up.ticks()),
            None => out += &self.nothing(),
        }
        out
    }

    fn axes(&self, across: &str, up: &str, x: &[Tick], y: &[Tick]) -> String {
        let mut out: String = y.iter().map(|tick| self.y_tick(tick)).collect();
        out.extend(x.iter().map(|tick| self.x_tick(tick)));
        out += &line("axis", (self.left, BOTTOM), (RIGHT, BOTTOM));
        out += &words("muted", 4.0, 44.0, "start", &shorten(up, 28));
        out + &words("muted", RIGHT, HEIGHT - 10.0, "end", &shorten(across, 40))
    }

    fn y_tick(&self, tick: &Tick) -> String {
        let y = self.up(tick.place);
        line("grid", (self.left, y), (RIGHT, y)) + &words("tick", self.left - 8.0, y + 4.5, "end", &tick.label)
    }

    fn x_tick(&self, tick: &Tick) -> String {
        let x = self.across(tick.place);
        let half = tick.label.chars().count() as f64 * TICK_CHARACTER / 2.0;
        let middle = x.clamp(half.min(WIDTH / 2.0), (WIDTH - half).max(WIDTH / 2.0));
        line("axis", (x, BOTTOM), (x, BOTTOM + 5.0)) + &words("tick", middle, BOTTOM + 19.0, "middle", &tick.label)
    }

    fn nothing(&self) -> String {
        let (middle, height) = (WIDTH / 2.0, (TOP + BOTTOM) / 2.0);
        line("grid", (self.left, BOTTOM), (RIGHT, BOTTOM))
            + &words("muted", middle, height, "middle", "nothing to draw")
    }

    /// A remark below the plot area; none when empty.
    pub fn note(&self, note: &str) -> String {
        if note.is_empty() { String::new() } else { words("note", 4.0, HEIGHT - 10.0, "start", note) }
    }
}

/// The `<svg>` element around `body`, named and described.
pub(super) fn envelope(title: &str, description: &str, body: &str) -> String {
    format!(
        "<svg class=\"chart\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"currentColor\">\n\
         <title>{}</title>\n<desc>{}</desc>\n{body}</svg>",
        text(title),
        text(description)
    )
}

/// One piece of text of a class, anchored at its start, middle or end.
pub(super) fn words(class: &str, x: f64, y: f64, anchor: &str, content: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", text(content))
}

/// One straight line of a class.
pub(super) fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> String {
    format!(
        "<line class=\"{class}\" x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"currentColor\"/>\n",
        from.0, from.1, to.0, to.1
    )
}

/// At most `limit` characters of `content`, with an ellipsis where some are missing.
pub(super) fn shorten(content: &str, limit: usize) -> String {
    if content.chars().count() <= limit {
        return content.to_owned();
    }
    content.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}
