//! How the columns of a table become inputs: the public half of reading tabular data.
//!
//! ```toml
//! [[data.features]]
//! name = "age"                    # the feature, and the column unless `column` says otherwise
//! kind = "numeric"
//! range = [17, 90]                # public; values outside are clamped
//! buckets = [25, 35, 45, 55, 65]  # optional public edges: one input an interval, [edge, next edge)
//!
//! [[data.features]]
//! name = "first seen"
//! kind = "date"                   # year-month-day; becomes a number of days
//! range = [2015-01-01, 2026-01-01]
//!
//! [[data.features]]
//! name = "workclass"
//! kind = "categorical"
//! categories = ["Private", "State-gov", "Without-pay"]
//! other = true                    # one more input for everything else; without it, that is an error
//!
//! [[data.features]]
//! name = "age by workclass"
//! kind = "cross"
//! of = ["age", "workclass"]       # one input for each combination of bucket and category
//!
//! [data.target]
//! name = "income"
//! classes = ["<=50K", ">50K"]     # or `range = [lo, hi]` for a number
//! ```

use super::{date::Date, error::DataError, targets::Targets};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use std::collections::HashSet;
use toml::{Table, Value};

/// One declared feature: one or more inputs of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Feature {
    /// A number with a public range.
    Numeric(Numeric),
    /// A day between public bounds.
    Date(Date),
    /// One of some public categories.
    Categorical(Categorical),
    /// Every combination of two or more earlier features.
    Cross(Cross),
}

/// A number, clamped to a public range and scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numeric {
    /// The feature's name.
    pub name: String,
    /// The column, where it is not called like the feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Public bounds; what lies outside is clamped to them.
    pub range: [f64; 2],
    /// What happens between clamping and scaling.
    #[serde(default)]
    pub transform: Transform,
    /// Where the range's ends land; `[0, 1]` by default.
    #[serde(default = "unit")]
    pub scale: [f64; 2],
    /// Whether the scaled number is itself an input (besides the buckets).
    #[serde(default = "yes")]
    pub value: bool,
    /// Public edges, ascending: one more input for each of the `edges + 1` intervals.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<f64>,
    /// The public number that stands for a missing cell; declaring it adds an input "is missing".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<f64>,
}

/// The shape of a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transform {
    /// Evenly over the range.
    #[default]
    Linear,
    /// `ln(1 + x - lo)`: for amounts that are mostly small.
    Log,
}

/// One input for each declared category.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Categorical {
    /// The feature's name.
    pub name: String,
    /// The column, where it is not called like the feature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// The public categories, in input order.
    pub categories: Vec<String>,
    /// Whether a last input takes everything undeclared, missing cells included.
    #[serde(default)]
    pub other: bool,
}

/// One input for each combination of the features `of`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cross {
    /// The feature's name.
    pub name: String,
    /// Earlier features: categorical, or numeric with buckets.
    pub of: Vec<String>,
}

/// What is to be predicted: `classes` or `range`, not both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The column.
    pub name: String,
    /// The public classes, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Public bounds of a number to predict; what lies outside is clamped to them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
    /// Where the range's ends land; `[0, 1]` by default.
    #[serde(default = "unit")]
    pub scale: [f64; 2],
}

pub(super) fn unit() -> [f64; 2] {
    [0.0, 1.0]
}

pub(super) fn yes() -> bool {
    true
}

impl Target {
    /// `n` targets of this kind, made up.
    pub(super) fn made_up(&self, n: usize) -> Targets {
        match self.range {
            Some(_) => Targets::Values { width: 1, data: vec![0.0; n] },
            None => Targets::Classes { labels: vec![0; n], names: self.classes.clone().into() },
        }
    }

    /// From where a model puts a number back to the column's unit: `scale` to `range`.
    pub(super) fn answer(&self, output: f64) -> f64 {
        let ([a, b], [lo, hi]) = (self.scale, self.range.unwrap_or(self.scale));
        lo + (hi - lo) * (output - a) / (b - a)
    }
}

impl Feature {
    /// The feature's name.
    pub fn name(&self) -> &str {
        match self {
            Self::Numeric(f) => &f.name,
            Self::Date(f) => &f.name,
            Self::Categorical(f) => &f.name,
            Self::Cross(f) => &f.name,
        }
    }

    /// The column it reads; none for a cross.
    pub(super) fn column(&self) -> Option<&str> {
        match self {
            Self::Numeric(f) => Some(f.column.as_deref().unwrap_or(&f.name)),
            Self::Date(f) => Some(f.column.as_deref().unwrap_or(&f.name)),
            Self::Categorical(f) => Some(f.column.as_deref().unwrap_or(&f.name)),
            Self::Cross(_) => None,
        }
    }
}

const STATISTICS: [&str; 6] =
    ["normalise", "normalize", "normalisation", "normalization", "standardise", "standardize"];
const LEAK: &str =
    "statistics computed from private rows leak; declare a public `range` (images: `mean` and `std`) instead";

const BOUNDS: &str = "the smallest and largest value of private rows leak";
const VALUES: &str = "the set of values in private rows leaks";

/// Refuses keys and transforms that ask for statistics of the private rows.
pub(super) fn refuse_statistics(table: &Table) -> Result<(), String> {
    if let Some(key) = STATISTICS.iter().find(|key| table.contains_key(**key)) {
        return Err(format!("`{key}` is refused: {LEAK}"));
    }
    match table.get("transform") {
        Some(Value::String(way)) if !["linear", "log"].contains(&way.as_str()) => {
            Err(format!("transform `{way}` is refused: use `linear` or `log`; {LEAK}"))
        }
        _ => Ok(()),
    }
}

/// Reads the list of features, naming the one that is wrong.
pub(super) fn features<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Feature>, D::Error> {
    let tables = Vec::<Table>::deserialize(from)?;
    let named = |(i, table): (usize, Table)| {
        let name = table.get("name").and_then(Value::as_str).unwrap_or("unnamed").to_owned();
        feature(table).map_err(|e| D::Error::custom(format!("feature {} (`{name}`): {e}", i + 1)))
    };
    tables.into_iter().enumerate().map(named).collect()
}

fn feature(mut table: Table) -> Result<Feature, String> {
    refuse_statistics(&table)?;
    let lacks = |key| !table.contains_key(key);
    let kind = table.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    match kind.as_str() {
        "numeric" if lacks("range") => Err(format!("a numeric feature needs a public `range = [lo, hi]`: {BOUNDS}")),
        "date" if lacks("range") => {
            Err(format!("a date needs a public `range = [2015-01-01, 2026-01-01]` of days: {BOUNDS}"))
        }
        "categorical" if lacks("categories") => {
            Err(format!("a categorical feature needs its public `categories = [...]`: {VALUES}"))
        }
        // Without the tag each struct is read directly, so messages name the key.
        "numeric" => crate::registry::fields(untagged(&mut table)).map(Feature::Numeric),
        "date" => crate::registry::fields(untagged(&mut table)).map(Feature::Date),
        "categorical" => crate::registry::fields(untagged(&mut table)).map(Feature::Categorical),
        "cross" => crate::registry::fields(untagged(&mut table)).map(Feature::Cross),
        _ => crate::registry::fields(table),
    }
}

fn untagged(table: &mut Table) -> Table {
    table.remove("kind");
    std::mem::take(table)
}

/// Checks the declaration as a whole.
///
/// # Errors
/// No features, names used twice, ranges, edges or categories that make no sense, crosses of what is not there.
pub(super) fn check(features: &[Feature], target: &Target) -> Result<(), DataError> {
    if features.is_empty() {
        return Err(DataError::config("features", "declare at least one `[[data.features]]`"));
    }
    for (i, feature) in features.iter().enumerate() {
        let before = &features[..i];
        let field = || format!("features `{}`", feature.name());
        if before.iter().any(|f| f.name() == feature.name()) {
            return Err(DataError::config(field(), "the name is used twice; rename one and give it `column`"));
        }
        if feature.column() == Some(&target.name) {
            return Err(DataError::config(field(), "is the target's column; remove it from the features"));
        }
        check_feature(feature, before).map_err(|problem| DataError::config(field(), problem))?;
    }
    check_target(target).map_err(|problem| DataError::config("target", problem))
}

fn check_feature(feature: &Feature, before: &[Feature]) -> Result<(), String> {
    match feature {
        Feature::Numeric(f) => check_numeric(f),
        Feature::Date(f) if f.range[0] >= f.range[1] => Err("`range` must be two days, the earlier one first".into()),
        Feature::Date(f) => check_numeric(&f.numeric()),
        Feature::Categorical(f) => distinct(&f.categories, if f.other { 1 } else { 2 }, "categories"),
        Feature::Cross(f) => check_cross(f, before),
    }
}

fn check_numeric(f: &Numeric) -> Result<(), String> {
    ascending("range", f.range)?;
    ascending("scale", f.scale)?;
    let [lo, hi] = f.range;
    let edges: Vec<f64> = std::iter::once(lo).chain(f.buckets.iter().copied()).collect();
    if !(edges.iter().all(|e| e.is_finite() && *e <= hi) && edges.windows(2).all(|w| w[0] < w[1])) {
        return Err("`buckets` must ascend, above the range's lower end and up to its upper end".into());
    }
    if f.default.is_some_and(|d| !(lo..=hi).contains(&d)) {
        return Err("`default` must lie in `range`".into());
    }
    if !f.value && f.buckets.is_empty() {
        return Err("with `value = false` and no `buckets` nothing is left; remove the feature".into());
    }
    Ok(())
}

fn check_cross(f: &Cross, before: &[Feature]) -> Result<(), String> {
    if f.of.len() < 2 {
        return Err("`of` must name at least two features".into());
    }
    let slotted = |name: &String| match before.iter().find(|b| b.name() == name) {
        Some(Feature::Categorical(_)) => Ok(()),
        Some(Feature::Numeric(n)) if !n.buckets.is_empty() => Ok(()),
        Some(Feature::Date(d)) if !d.buckets.is_empty() => Ok(()),
        Some(_) => Err(format!("`{name}` cannot be crossed: it must be categorical, or numeric with `buckets`")),
        None => Err(format!("`{name}` is not among the features declared before it")),
    };
    f.of.iter().try_for_each(slotted)
}

/// Whether a target makes sense.
pub(super) fn check_target(target: &Target) -> Result<(), String> {
    match (target.classes.is_empty(), target.range) {
        (false, None) => distinct(&target.classes, 2, "classes"),
        (true, Some(range)) => ascending("range", range).and_then(|()| ascending("scale", target.scale)),
        (false, Some(_)) => Err("has both `classes` and `range`; keep the one that fits".into()),
        (true, None) => {
            Err("needs public `classes = [...]` (or `range = [lo, hi]` for a number): what private rows hold leaks"
                .into())
        }
    }
}

/// Bounds beyond this are a slip, and would overflow inputs.
const LARGEST: f64 = 1e30;

fn ascending(key: &str, [lo, hi]: [f64; 2]) -> Result<(), String> {
    let fine = lo.abs() <= LARGEST && hi.abs() <= LARGEST && lo < hi;
    if fine { Ok(()) } else { Err(format!("`{key}` must be two finite numbers (up to 1e30), the lower one first")) }
}

fn distinct(names: &[String], least: usize, key: &str) -> Result<(), String> {
    let mut seen = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !seen.insert(name.trim_ascii())) {
        return Err(format!("`{key}` lists `{twice}` twice"));
    }
    if names.len() < least { Err(format!("`{key}` needs at least {least}")) } else { Ok(()) }
}
