//! Days as tables write them, year-month-day (ISO 8601): a feature that is a number of days, from public bounds.

use super::schema::{Numeric, Transform, unit, yes};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::fmt;
use toml::{Value, value};

/// A day of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(value::Date);

impl Day {
    /// Reads `2026-11-26`; a time of day behind it, after a blank or a `T`, is dropped.
    pub(super) fn read(text: &str) -> Option<Day> {
        let (day, rest) = text.split_at_checked(10)?;
        let alone = rest.is_empty() || rest.starts_with(['T', ' ']);
        day.parse::<value::Datetime>().ok().filter(|_| alone)?.date.map(Day)
    }

    /// Days since 1970-01-01, before it below zero; exact. Hinnant's `days_from_civil`: years that begin in March, in eras
    /// of 400.
    pub(super) fn number(self) -> f64 {
        let (month, day) = (i64::from(self.0.month), i64::from(self.0.day));
        let year = i64::from(self.0.year) - i64::from(month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        (era * 146_097 + 365 * of_era + of_era / 4 - of_era / 100 + of_year - 719_468) as f64
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// With or without quotes around it.
impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let day = match Value::deserialize(from)? {
            Value::Datetime(there) => there.date.map(Day),
            Value::String(text) => Day::read(&text),
            _ => None,
        };
        day.ok_or_else(|| D::Error::custom("expected a day, such as 2026-11-26"))
    }
}

/// A day, clamped to public bounds and scaled as a number of days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Date {
    /// The feature's name.
    pub name: String,
    /// The column, where it is not called like the feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Public bounds; what lies outside is clamped to them.
    pub range: [Day; 2],
    /// Where the range's ends land; `[0, 1]` by default.
    #[serde(default = "unit")]
    pub scale: [f64; 2],
    /// Whether the scaled day is itself an input (besides the buckets).
    #[serde(default = "yes")]
    pub value: bool,
    /// Public days, ascending: one more input for each of the intervals between them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<Day>,
    /// The public day that stands for a missing cell; declaring it adds an input "is missing".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Day>,
}

impl Date {
    /// The same as a number of days.
    pub(super) fn numeric(&self) -> Numeric {
        Numeric {
            name: self.name.clone(),
            column: self.column.clone(),
            range: self.range.map(Day::number),
            transform: Transform::Linear,
            scale: self.scale,
            value: self.value,
            buckets: self.buckets.iter().map(|day| day.number()).collect(),
            default: self.default.map(Day::number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Option<f64> {
        Day::read(text).map(Day::number)
    }

    /// Numbers from Python's `datetime.date(..).toordinal() - 719163`.
    #[test]
    fn days_are_counted_as_pythons_are() {
        for (text, days) in [
            ("1970-01-01", 0.0),
            ("1969-12-31", -1.0),
            ("2000-02-29", 11_016.0),
            ("2000-03-01", 11_017.0),
            ("1900-03-01", -25_508.0),
            ("2026-11-26", 20_783.0),
            ("0001-01-01", -719_162.0),
            ("9999-12-31", 2_932_896.0),
        ] {
            assert_eq!(number(text), Some(days), "{text}");
        }
        assert_eq!(number("2026-11-26T23:59:59Z"), Some(20_783.0));
        assert_eq!(number("2026-11-26 08:00"), Some(20_783.0));
    }

    #[test]
    fn what_is_no_day_is_none() {
        for text in
            ["", "2026-02-29", "2026-13-01", "26-11-2026", "26.11.2026", "2026-11-2", "2026-11-266", "2026-11-ää"]
        {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
