//! Where the names of marked values go: beside their lines, clear of what is drawn.

use super::frame::{BOTTOM, TOP};

/// Width of one character of a label, a guess on the wide side, and the height of a line of text.
const CHARACTER: f64 = 7.0;
const LINE: f64 = 15.0;
/// How densely lines are looked at, in view box units.
const STEP: f64 = 3.0;

/// What is drawn already, as points in the view box.
#[derive(Default)]
pub(super) struct Taken {
    points: Vec<(f64, f64)>,
}

/// A label's place: where its text is anchored, and at which end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place {
    pub x: f64,
    pub y: f64,
    pub anchor: &'static str,
}

impl Taken {
    /// A dot.
    pub fn dot(&mut self, at: (f64, f64)) {
        self.points.push(at);
    }

    /// A straight line.
    pub fn line(&mut self, (x, y): (f64, f64), (to_x, to_y): (f64, f64)) {
        let pieces = ((to_x - x).hypot(to_y - y) / STEP).ceil().clamp(1.0, 500.0);
        let at = |k: u32| f64::from(k) / pieces;
        self.points.extend((0..=pieces as u32).map(|k| (x + at(k) * (to_x - x), y + at(k) * (to_y - y))));
    }

    /// Finds the highest free place for a label of `characters` beside the vertical line at `x`, between the `sides` of the plot
    /// area, and takes it. Where there is none it is the one that hides least.
    pub fn label(&mut self, x: f64, characters: usize, sides: (f64, f64)) -> Place {
        let width = CHARACTER * characters as f64;
        let rows = ((BOTTOM - TOP) / LINE) as usize;
        let away_from_middle = x > (sides.0 + sides.1) / 2.0;
        let spot = |row: usize, before: bool| {
            let from = if before { x - 5.0 - width } else { x + 5.0 };
            (from, TOP + 12.0 + LINE * row as f64, before)
        };
        let fits = |(from, ..): &(f64, f64, bool)| *from >= sides.0 && from + width <= sides.1;
        let all = || (0..rows).flat_map(|row| [spot(row, away_from_middle), spot(row, !away_from_middle)]);
        let hidden = |(from, y, _): &(f64, f64, bool)| {
            let inside = |p: &&(f64, f64)| {
                (from - 2.0..from + width + 2.0).contains(&p.0) && (y - LINE + 2.0..y + 5.0).contains(&p.1)
            };
            self.points.iter().filter(inside).count()
        };
        // `min_by_key` takes the first of equals: the highest.
        let (from, y, before) = all().filter(fits).min_by_key(hidden).unwrap_or(spot(0, away_from_middle));
        self.line((from, y - 4.0), (from + width, y - 4.0));
        match before {
            true => Place { x: x - 5.0, y, anchor: "end" },
            false => Place { x: x + 5.0, y, anchor: "start" },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDES: (f64, f64) = (40.0, 460.0);

    #[test]
    fn a_label_is_clear_of_lines_dots_and_other_labels() {
        let mut taken = Taken::default();
        taken.line((40.0, TOP + 8.0), (460.0, TOP + 8.0));
        taken.dot((130.0, TOP + 12.0 + LINE - 3.0));
        let first = taken.label(100.0, 11, SIDES);
        assert_eq!(first, Place { x: 105.0, y: TOP + 12.0 + 2.0 * LINE, anchor: "start" });
        let second = taken.label(110.0, 11, SIDES);
        assert!(second.y > first.y + LINE - 1.0);
    }

    #[test]
    fn the_side_with_room_is_taken_and_full_charts_have_labels_too() {
        let mut empty = Taken::default();
        assert_eq!(empty.label(450.0, 11, SIDES), Place { x: 445.0, y: TOP + 12.0, anchor: "end" });
        // Half way, the first choice is after the line; a line there sends it before.
        let mut taken = Taken::default();
        (0..40).for_each(|k| taken.line((250.0, TOP + 5.0 * f64::from(k)), (460.0, TOP + 5.0 * f64::from(k))));
        assert_eq!(taken.label(240.0, 11, SIDES).anchor, "end");
        (0..40).for_each(|k| taken.line((40.0, TOP + 5.0 * f64::from(k)), (250.0, TOP + 5.0 * f64::from(k))));
        assert!(taken.label(240.0, 11, SIDES).y <= BOTTOM);
        assert!(Taken::default().label(240.0, 400, SIDES).y <= BOTTOM);
    }
}
