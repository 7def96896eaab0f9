//! From the cells of one row to the inputs and the target of one example.
//!
//! Everything used here is declared: an encoded row depends on that row alone.

use super::{
    date::Day,
    error::DataError,
    schema::{Categorical, Cross, Feature, Numeric, Target, Transform},
    table::Table,
    targets::Targets,
};
use ::csv::ByteRecord;
use std::{borrow::Cow, collections::HashMap, fmt::Display};

/// More inputs than this are a slip in a cross.
const MOST_INPUTS: usize = 1 << 20;

/// What is wrong with a cell: the declared column and the problem, never the content.
pub(super) struct Problem<'a> {
    /// The declared column.
    pub column: &'a str,
    /// The kind of problem and how to put it right.
    pub text: String,
}

/// The declared features, bound to the columns of one file.
pub(super) struct Encoder<'a> {
    parts: Vec<Part<'a>>,
    missing: Option<&'a [u8]>,
    names: Vec<String>,
    /// The interval or category of each feature in the row at hand.
    slots: Vec<usize>,
}

/// How a cell is read as a number.
type Reading = fn(&[u8]) -> Result<f64, &'static str>;

/// One feature.
enum Part<'a> {
    Number { at: usize, column: &'a str, f: Cow<'a, Numeric>, read: Reading },
    Category { at: usize, column: &'a str, f: &'a Categorical, index: HashMap<&'a [u8], usize> },
    Cross { of: Vec<(usize, usize)>, size: usize },
}

impl<'a> Encoder<'a> {
    /// Finds every declared column in `table`. The features must have passed `schema::check`.
    pub(super) fn new(features: &'a [Feature], missing: Option<&'a str>, table: &Table) -> Result<Self, DataError> {
        let mut parts = Vec::with_capacity(features.len());
        let (mut slots, mut names): (Vec<Vec<String>>, _) = (Vec::new(), Vec::new());
        for feature in features {
            let labels = labels(feature, features, &slots)?;
            parts.push(bind(feature, features, &slots, labels.len(), table)?);
            names.extend(inputs(feature, &labels));
            slots.push(labels);
        }
        if names.len() > MOST_INPUTS {
            return Err(DataError::config("features", "more than a million inputs; use fewer categories or crosses"));
        }
        Ok(Self { parts, missing: missing.map(|m| m.trim_ascii().as_bytes()), names, slots: vec![0; features.len()] })
    }

    /// The inputs' names, in order.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Appends the inputs of one row to `out`.
    pub(super) fn row(&mut self, row: &ByteRecord, out: &mut Vec<f32>) -> Result<(), Problem<'a>> {
        for (i, part) in self.parts.iter().enumerate() {
            self.slots[i] = match part {
                Part::Number { at, column, f, read } => number(f, *read, cell(row, *at), self.missing, out)
                    .map_err(|text| Problem { column, text: text.to_owned() })?,
                Part::Category { at, column, f, index } => {
                    category(f, index, cell(row, *at), self.missing, out).map_err(|text| Problem { column, text })?
                }
                Part::Cross { of, size } => {
                    hot(of.iter().fold(0, |slot, &(feature, size)| slot * size + self.slots[feature]), *size, out)
                }
            };
        }
        Ok(())
    }
}

/// The names of a feature's intervals, categories or combinations.
fn labels(feature: &Feature, all: &[Feature], slots: &[Vec<String>]) -> Result<Vec<String>, DataError> {
    let name = feature.name();
    Ok(match feature {
        Feature::Numeric(f) => intervals(name, &f.buckets),
        Feature::Date(f) => intervals(name, &f.buckets),
        Feature::Categorical(f) => {
            let other = f.other.then(|| format!("{name} = other"));
            f.categories.iter().map(|c| format!("{name} = {c}")).chain(other).collect()
        }
        Feature::Cross(f) => combinations(f, all, slots)?,
    })
}

/// The intervals between some edges; none without any.
fn intervals(name: &str, edges: &[impl Display]) -> Vec<String> {
    let between = edges.windows(2).map(|e| format!("{} <= {name} < {}", e[0], e[1]));
    let first = edges.first().map(|e| format!("{name} < {e}"));
    let last = edges.last().map(|e| format!("{name} >= {e}"));
    first.into_iter().chain(between).chain(last).collect()
}

fn combinations(f: &Cross, all: &[Feature], slots: &[Vec<String>]) -> Result<Vec<String>, DataError> {
    let sets: Vec<&Vec<String>> = members(f, all).map(|i| &slots[i]).collect();
    let size = sets.iter().try_fold(1usize, |size, set| size.checked_mul(set.len())).unwrap_or(usize::MAX);
    if size > MOST_INPUTS {
        return Err(DataError::config(
            format!("features `{}`", f.name),
            "more than a million combinations; cross less",
        ));
    }
    let join = |left: &str, right: &str| if left.is_empty() { right.to_owned() } else { format!("{left} & {right}") };
    Ok(sets
        .iter()
        .fold(vec![String::new()], |left, set| left.iter().flat_map(|l| set.iter().map(move |r| join(l, r))).collect()))
}

/// The places of a cross's features.
fn members<'a>(f: &'a Cross, all: &'a [Feature]) -> impl Iterator<Item = usize> + 'a {
    f.of.iter().filter_map(|name| all.iter().position(|g| g.name() == name))
}

/// The inputs that a feature adds, in the order in which `row` writes them.
fn inputs(feature: &Feature, labels: &[String]) -> Vec<String> {
    let (value, gap) = match feature {
        Feature::Numeric(f) => (f.value, f.default.is_some()),
        Feature::Date(f) => (f.value, f.default.is_some()),
        _ => (false, false),
    };
    let name = feature.name();
    let (value, gap) = (value.then(|| name.to_owned()), gap.then(|| format!("{name} is missing")));
    value.into_iter().chain(labels.iter().cloned()).chain(gap).collect()
}

fn bind<'a>(
    feature: &'a Feature,
    all: &'a [Feature],
    slots: &[Vec<String>],
    size: usize,
    table: &Table,
) -> Result<Part<'a>, DataError> {
    let column = feature.column().unwrap_or_default();
    Ok(match feature {
        Feature::Numeric(f) => Part::Number { at: table.find(column)?, column, f: Cow::Borrowed(f), read: told },
        Feature::Date(f) => Part::Number { at: table.find(column)?, column, f: Cow::Owned(f.numeric()), read: day },
        Feature::Categorical(f) => Part::Category { at: table.find(column)?, column, f, index: index(&f.categories) },
        Feature::Cross(f) => Part::Cross { of: members(f, all).map(|i| (i, slots[i].len())).collect(), size },
    })
}

fn index(names: &[String]) -> HashMap<&[u8], usize> {
    names.iter().enumerate().map(|(i, name)| (name.trim_ascii().as_bytes(), i)).collect()
}

/// A cell without the space around it.
pub(super) fn cell(row: &ByteRecord, at: usize) -> &[u8] {
    row.get(at).unwrap_or_default().trim_ascii()
}

fn is_missing(cell: &[u8], missing: Option<&[u8]>) -> bool {
    cell.is_empty() || Some(cell) == missing
}

/// Sets one of `size` new inputs; gives back which.
fn hot(slot: usize, size: usize, out: &mut Vec<f32>) -> usize {
    let from = out.len();
    out.resize(from + size, 0.0);
    out[from + slot] = 1.0;
    slot
}

/// A finite number.
fn parse(cell: &[u8]) -> Result<f64, &'static str> {
    let number: f64 = std::str::from_utf8(cell).ok().and_then(|t| t.parse().ok()).ok_or("the cell is not a number")?;
    if number.is_finite() { Ok(number) } else { Err("the cell is not a finite number") }
}

/// A number, or what else the cell may be.
fn told(cell: &[u8]) -> Result<f64, &'static str> {
    const NUMBER: &str =
        "the cell is not a number; a mark for missing cells is declared by `data.missing`, a day by `kind = \"date\"`";
    parse(cell).map_err(|problem| if problem.ends_with("not a number") { NUMBER } else { problem })
}

/// Days since 1970-01-01.
fn day(cell: &[u8]) -> Result<f64, &'static str> {
    let day = std::str::from_utf8(cell).ok().and_then(Day::read);
    day.map(Day::number)
        .ok_or("the cell is not a day as in 2026-11-26; a mark for missing cells is declared by `data.missing`")
}

/// `x` clamped to `range`, and where it lands in `scale`.
pub(super) fn place(x: f64, [lo, hi]: [f64; 2], [a, b]: [f64; 2], transform: Transform) -> f32 {
    let (x, span) = (x.clamp(lo, hi) - lo, hi - lo);
    let share = match transform {
        Transform::Linear => x / span,
        Transform::Log => x.ln_1p() / span.ln_1p(),
    };
    (a + (b - a) * share) as f32
}

fn number(
    f: &Numeric,
    read: Reading,
    cell: &[u8],
    missing: Option<&[u8]>,
    out: &mut Vec<f32>,
) -> Result<usize, &'static str> {
    let gap = is_missing(cell, missing);
    let x = match f.default {
        Some(default) if gap => default,
        None if gap => return Err("the cell is missing; declare a public `default` for this feature"),
        _ => read(cell)?,
    };
    if f.value {
        out.push(place(x, f.range, f.scale, f.transform));
    }
    let x = x.clamp(f.range[0], f.range[1]);
    let slot = f.buckets.iter().take_while(|edge| **edge <= x).count();
    if !f.buckets.is_empty() {
        hot(slot, f.buckets.len() + 1, out);
    }
    if f.default.is_some() {
        out.push(f32::from(u8::from(gap)));
    }
    Ok(slot)
}

fn category(
    f: &Categorical,
    index: &HashMap<&[u8], usize>,
    cell: &[u8],
    missing: Option<&[u8]>,
    out: &mut Vec<f32>,
) -> Result<usize, String> {
    let n = f.categories.len();
    match index.get(cell) {
        Some(&slot) => Ok(hot(slot, n + usize::from(f.other), out)),
        None if f.other => Ok(hot(n, n + 1, out)),
        None if is_missing(cell, missing) => {
            Err("the cell is missing; list the mark for missing cells in `categories`, or set `other = true`"
                .to_owned())
        }
        None => Err(format!(
            "the cell is none of the declared categories ({}); extend `categories`, or set `other = true`",
            f.categories.join(", ")
        )),
    }
}

/// The declared target, bound to a column, and what has been read of it.
pub(super) struct Answers<'a> {
    at: usize,
    target: &'a Target,
    index: HashMap<&'a [u8], usize>,
    labels: Vec<u32>,
    values: Vec<f32>,
}

impl<'a> Answers<'a> {
    /// Finds the target's column in `table`.
    pub(super) fn new(target: &'a Target, table: &Table) -> Result<Self, DataError> {
        let at = table.find(&target.name)?;
        Ok(Self { at, target, index: index(&target.classes), labels: Vec::new(), values: Vec::new() })
    }

    /// Takes the target of one row.
    pub(super) fn row(&mut self, row: &ByteRecord) -> Result<(), Problem<'a>> {
        let (cell, target) = (cell(row, self.at), self.target);
        let problem = |text| Problem { column: &target.name, text };
        if let Some(range) = target.range {
            let x = parse(cell)
                .map_err(|text| problem(format!("{text}, and the target needs one; mend or drop the row")))?;
            self.values.push(place(x, range, target.scale, Transform::Linear));
            return Ok(());
        }
        let classes =
            || format!("the cell is none of the declared classes ({}); extend `classes`", target.classes.join(", "));
        let label = self.index.get(cell).ok_or_else(|| problem(classes()))?;
        self.labels.push(*label as u32);
        Ok(())
    }

    /// All targets taken.
    pub(super) fn finish(self) -> Targets {
        match self.target.range {
            Some(_) => Targets::Values { width: 1, data: self.values },
            None => Targets::Classes { labels: self.labels, names: self.target.classes.clone().into() },
        }
    }
}
