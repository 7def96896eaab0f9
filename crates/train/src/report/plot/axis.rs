//! What an axis shows: a quantity, its unit, and how values spread along it.

use super::super::words;

/// How values spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Equal differences take equal lengths.
    Linear,
    /// Equal ratios take equal lengths. Values that are not positive cannot be drawn.
    Log,
}

/// An axis of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The quantity, for example `evaluation loss`.
    pub label: String,
    /// Its unit, for example `%`; empty for a pure number.
    pub unit: String,
    /// Linear or logarithmic.
    pub spread: Spread,
    /// Whether only whole numbers make sense as ticks.
    pub whole: bool,
    /// A value that the axis shows even when no datum reaches it.
    pub include: Option<f64>,
    /// Where the ticks stand, for a quantity that has few values; none for round numbers.
    pub ticks: Vec<f64>,
    /// The smallest and the largest value that can occur: the axis does not reach beyond, unless the data do.
    pub limits: (f64, f64),
}

/// Magnitudes beyond this are not drawn: sums and ratios of them would overflow.
const LARGEST: f64 = 1e100;

impl Axis {
    /// A linear axis without unit and without limits.
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            unit: String::new(),
            spread: Spread::Linear,
            whole: false,
            include: None,
            ticks: Vec::new(),
            limits: (f64::NEG_INFINITY, f64::INFINITY),
        }
    }

    /// The same axis with a unit.
    pub fn unit(self, unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), ..self }
    }

    /// The same axis, logarithmic.
    pub fn log(self) -> Self {
        Self { spread: Spread::Log, ..self }
    }

    /// The same axis with whole ticks only.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// The same axis with ticks at these values and nowhere else.
    pub fn ticked(self, ticks: impl IntoIterator<Item = f64>) -> Self {
        Self { ticks: ticks.into_iter().collect(), ..self }
    }

    /// The same axis, always showing `value`.
    pub fn including(self, value: f64) -> Self {
        Self { include: Some(value), ..self }
    }

    /// The same axis for a quantity that lies between `low` and `high`.
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { limits: (low, high), ..self }
    }

    /// Whether `value` has a place on the axis.
    pub(super) fn can_draw(&self, value: f64) -> bool {
        match self.spread {
            Spread::Linear => value.abs() <= LARGEST,
            Spread::Log => (1.0 / LARGEST..=LARGEST).contains(&value),
        }
    }

    /// The axis title: the quantity and its unit.
    pub(super) fn caption(&self) -> String {
        if self.unit.is_empty() { self.label.clone() } else { format!("{} ({})", self.label, self.unit) }
    }

    /// A value on the axis in words.
    pub(super) fn value(&self, value: f64) -> String {
        let digits = if self.whole { words::plain(value) } else { words::significant(value, 4) };
        if self.unit.is_empty() { digits } else { format!("{digits} {}", self.unit) }
    }
}
