//! From values to places along an axis, and where the ticks go.

use super::super::words;
use super::axis::{Axis, Spread};

/// A fitted axis. Bounds are kept in axis units: the value itself, or its decimal logarithm.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Scale {
    spread: Spread,
    whole: bool,
    low: f64,
    high: f64,
    given: Vec<f64>,
}

/// A tick: where it stands (0 to 1 along the axis) and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    pub place: f64,
    pub label: String,
}

/// About how many ticks an axis gets.
const TARGET: f64 = 5.0;
/// A range narrower than this part of its values is drawn as if it were one value.
const NARROW: f64 = 1e-6;
/// Magnitudes below this are drawn as zero.
const SMALLEST: f64 = 1e-100;
/// The part of a step by which a bound may miss a tick and still count as on it: the last bits of a quotient are noise.
const SLACK: f64 = 1e-9;
/// Decades from which a logarithmic axis is ticked at powers of ten only.
const DECADES: f64 = 1.5;

impl Scale {
    /// The scale that shows all `values`, all of which the axis can draw; widened to round bounds when `snap`.
    /// None when there is nothing to show.
    pub fn fit(axis: &Axis, values: impl Iterator<Item = f64>, snap: bool) -> Option<Self> {
        let mut values = values.peekable();
        values.peek()?;
        let include = axis.include.filter(|&value| axis.can_draw(value));
        let units = values.chain(include).map(|value| to_units(axis.spread, value));
        let data = units.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), unit| (low.min(unit), high.max(unit)));
        let wide = widen(axis.spread, data);
        let (low, high) = if snap { round_out(axis.spread, wide) } else { wide };
        // The logarithm of a negative limit is NaN, which loses every comparison, as it should.
        let (least, most) = (to_units(axis.spread, axis.limits.0), to_units(axis.spread, axis.limits.1));
        let held = (low.max(least).min(data.0), high.min(most).max(data.1));
        let (low, high) = if held.0 < held.1 { held } else { (low, high) };
        Some(Self { spread: axis.spread, whole: axis.whole, low, high, given: axis.ticks.clone() })
    }

    /// The place of a value, 0 to 1.
    pub fn place(&self, value: f64) -> f64 {
        self.place_unit(to_units(self.spread, value))
    }

    fn place_unit(&self, unit: f64) -> f64 {
        if self.high > self.low { ((unit - self.low) / (self.high - self.low)).clamp(0.0, 1.0) } else { 0.5 }
    }

    /// The ticks, from low to high.
    pub fn ticks(&self) -> Vec<Tick> {
        match self.spread {
            _ if !self.given.is_empty() => self.given_ticks(),
            Spread::Linear => self.linear_ticks(),
            Spread::Log => self.log_ticks(),
        }
    }

    fn given_ticks(&self) -> Vec<Tick> {
        let here = |value: &&f64| (self.low..=self.high).contains(&to_units(self.spread, **value));
        let tick = |value: &f64| Tick { place: self.place(*value), label: words::plain(*value) };
        self.given.iter().filter(here).map(tick).collect()
    }

    fn linear_ticks(&self) -> Vec<Tick> {
        let step = step(self.high - self.low, self.whole);
        let size = self.low.abs().max(self.high.abs());
        multiples(self.low, self.high, step)
            .map(|unit| Tick { place: self.place_unit(unit), label: label(unit, step, size) })
            .collect()
    }

    fn log_ticks(&self) -> Vec<Tick> {
        let tick = |value: f64| Tick { place: self.place(value), label: words::plain(value) };
        let span = self.high - self.low;
        if span >= DECADES {
            let stride = (span / (TARGET + 1.0)).ceil();
            return multiples(self.low, self.high, stride).map(|unit| tick(power_of_ten(unit))).collect();
        }
        let fine: Vec<Tick> = self.one_two_five().map(tick).collect();
        if fine.len() >= 3 { fine } else { self.even_ticks() }
    }

    /// 1, 2, 5 in every decade of the axis.
    fn one_two_five(&self) -> impl Iterator<Item = f64> {
        let decades = self.low.floor() as i32..=self.high.ceil() as i32;
        let values =
            decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|lead| round(lead * power_of_ten(f64::from(decade)), 1)));
        values.filter(|value| (self.low..=self.high).contains(&value.log10()))
    }

    /// Evenly spaced values on a logarithmic axis too short for powers of ten.
    fn even_ticks(&self) -> Vec<Tick> {
        let (low, high) = (10f64.powf(self.low), 10f64.powf(self.high));
        let step = step(high - low, self.whole);
        multiples(low, high, step)
            .map(|value| Tick { place: self.place(value), label: label(value, step, high) })
            .collect()
    }
}

fn to_units(spread: Spread, value: f64) -> f64 {
    match spread {
        // Steps between numbers as small as this would have no place in a float.
        Spread::Linear if value.abs() < SMALLEST => 0.0,
        Spread::Linear => value,
        Spread::Log => value.log10(),
    }
}

/// Room around data that have (almost) no extent of their own.
fn widen(spread: Spread, (low, high): (f64, f64)) -> (f64, f64) {
    let middle = low / 2.0 + high / 2.0;
    match spread {
        Spread::Log if high - low < NARROW => (middle - 0.3, middle + 0.3),
        Spread::Linear if low == 0.0 && high == 0.0 => (middle - 1.0, middle + 1.0),
        Spread::Linear if high - low < middle.abs() * NARROW => {
            (middle - middle.abs() * 0.1, middle + middle.abs() * 0.1)
        }
        _ => (low, high),
    }
}

/// Bounds moved outwards to the next tick.
fn round_out(spread: Spread, (low, high): (f64, f64)) -> (f64, f64) {
    let step = match spread {
        Spread::Linear => step(high - low, false),
        Spread::Log if high - low >= DECADES => 1.0,
        Spread::Log => return (low - (high - low) * 0.05, high + (high - low) * 0.05),
    };
    ((low / step + SLACK).floor() * step, (high / step - SLACK).ceil() * step)
}

/// A round distance between ticks: 1, 2 or 5 times a power of ten.
fn step(span: f64, whole: bool) -> f64 {
    let rough = span / TARGET;
    let power = power_of_ten(rough.log10().floor());
    let lead = [1.0, 2.0, 5.0].into_iter().find(|lead| lead * power >= rough * 0.99).unwrap_or(10.0);
    if whole { (lead * power).max(1.0) } else { lead * power }
}

fn multiples(low: f64, high: f64, step: f64) -> impl Iterator<Item = f64> {
    let (first, last) = ((low / step - SLACK).ceil(), (high / step + SLACK).floor());
    (0..=(last - first).clamp(0.0, 20.0) as u32).map(move |at| (first + f64::from(at)) * step)
}

/// Ten to a whole power, as exactly as text has it.
fn power_of_ten(power: f64) -> f64 {
    format!("1e{power:.0}").parse().unwrap_or(f64::NAN)
}

/// `value` to `digits` significant digits.
fn round(value: f64, digits: usize) -> f64 {
    format!("{value:.*e}", digits - 1).parse().unwrap_or(value)
}

/// A tick's label: as many decimals as the step needs, or an exponent for very large and very small numbers.
fn label(value: f64, step: f64, size: f64) -> String {
    let decimals = (-(step * 1.0001).log10().floor()).max(0.0) as usize;
    if value.abs() < step / 2.0 {
        return "0".to_owned();
    }
    let sign = if value < 0.0 { "−" } else { "" };
    if size >= 1e7 || decimals > 4 {
        let digits = (value.abs().log10().floor() - step.log10().floor()).clamp(0.0, 8.0) as usize;
        return sign.to_owned() + &trim(&format!("{:.digits$e}", value.abs()));
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{}{point}{fraction}", words::group(whole))
}

/// A number with an exponent, without trailing zeros before it.
fn trim(text: &str) -> String {
    match text.split_once('e') {
        Some((lead, power)) if lead.contains('.') => {
            format!("{}e{power}", lead.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis, values: &[f64], snap: bool) -> Vec<String> {
        let scale = Scale::fit(axis, values.iter().copied(), snap).unwrap();
        scale.ticks().into_iter().map(|tick| tick.label.replace(words::THIN, " ")).collect()
    }

    #[test]
    fn linear_ticks_are_round() {
        let axis = Axis::new("x");
        assert_eq!(
            labels(&axis, &[0.13, 0.97], true),
            ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"].map(|l| l.replace("0.0", "0"))
        );
        assert_eq!(labels(&axis, &[50.0, 2000.0], false), ["500", "1000", "1500", "2000"]);
        assert_eq!(labels(&axis, &[0.0, 60000.0], false), ["0", "20 000", "40 000", "60 000"]);
        assert_eq!(labels(&axis, &[-3.0, 1.0], true), ["−3", "−2", "−1", "0", "1"]);
        assert_eq!(labels(&axis, &[0.0, 4e9], true), ["0", "1e9", "2e9", "3e9", "4e9"]);
        assert_eq!(labels(&axis, &[-2.5e8, 0.0], true), ["−2.5e8", "−2e8", "−1.5e8", "−1e8", "−5e7", "0"]);
        assert_eq!(labels(&axis, &[0.0, 3e-5], true), ["0", "1e-5", "2e-5", "3e-5"]);
    }

    #[test]
    fn whole_axes_have_whole_ticks() {
        assert_eq!(labels(&Axis::new("step").whole(), &[0.0, 2.0], false), ["0", "1", "2"]);
    }

    #[test]
    fn log_ticks_fit_the_range() {
        let axis = Axis::new("x").log();
        assert_eq!(labels(&axis, &[0.02, 700.0], true), ["0.01", "0.1", "1", "10", "100", "1000"]);
        assert_eq!(labels(&axis, &[1.0, 20.0], false), ["1", "2", "5", "10", "20"]);
        assert_eq!(labels(&axis, &[3.0, 4.0], false), ["3.0", "3.2", "3.4", "3.6", "3.8", "4.0"]);
        assert_eq!(labels(&axis, &[1e-90, 1e90], true).len(), 7);
    }

    /// A quantity that has few values is ticked where they are: of 1, 2, 4 and 8, round numbers are 1, 2 and 5.
    #[test]
    fn given_ticks_stand_where_the_data_are() {
        let widths = [1.0, 2.0, 4.0, 8.0];
        let axis = Axis::new("width").log();
        assert_eq!(labels(&axis, &widths, false), ["1", "2", "5"]);
        let ticked = axis.ticked(widths);
        assert_eq!(labels(&ticked, &widths, false), ["1", "2", "4", "8"]);
        assert_eq!(labels(&ticked, &[1.5, 4.5], false), ["2", "4"]);
    }

    #[test]
    fn limits_hold_the_padding_not_the_data() {
        let axis = Axis::new("accuracy").within(0.0, 100.0);
        let fit = |values: &[f64]| Scale::fit(&axis, values.iter().copied(), true).unwrap();
        assert_eq!((fit(&[100.0]).high, fit(&[0.0]).low, fit(&[-7.0]).low < -6.9), (100.0, 0.0, true));
    }

    #[test]
    fn one_value_gets_room() {
        for axis in [Axis::new("x"), Axis::new("x").log()] {
            let scale = Scale::fit(&axis, [0.25, 0.25].into_iter(), true).unwrap();
            assert!(scale.place(0.25) > 0.2 && scale.place(0.25) < 0.8);
        }
        assert!(Scale::fit(&Axis::new("x"), std::iter::empty(), true).is_none());
    }
}
