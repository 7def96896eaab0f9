//! Rows of a Parquet file, as the cells of text that they would be: numbers in the shortest form that reads back the same, days as
//! year-month-day, nothing for what is missing. So a column means the same from either kind of file.
//!
//! Only the columns that were looked for are read, one group of rows at a time.
use super::super::DataError;
use ::csv::ByteRecord;
use ::parquet::{
    basic::{ConvertedType, LogicalType, TimeUnit},
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, reader::RowIter},
    schema::types::Type,
};
use bytes::Bytes;
use std::{
    cell::RefCell,
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

/// The first bytes of a Parquet file.
pub(super) const MAGIC: &[u8] = b"PAR1";

const DAY: i64 = 86_400;

/// A Parquet file being read.
pub(super) struct Records {
    columns: Vec<Column>,
    /// The places that were looked for.
    wanted: RefCell<BTreeSet<usize>>,
    file: Option<SerializedFileReader<Bytes>>,
    rows: Option<RowIter<'static>>,
    /// Rows that were read.
    count: u64,
}

struct Column {
    name: Vec<u8>,
    kind: Arc<Type>,
}

impl Records {
    /// Starts on the content of a file.
    pub(super) fn open(path: &Path, bytes: &[u8]) -> Result<Self, DataError> {
        let bytes = Bytes::copy_from_slice(bytes);
        let file = whole(|| SerializedFileReader::new(bytes)).ok_or_else(|| broken(path))?;
        let fields = file.metadata().file_metadata().schema().get_fields().to_vec();
        let column = |kind: Arc<Type>| Column { name: kind.name().trim_ascii().as_bytes().to_vec(), kind };
        let columns: Vec<Column> = fields.into_iter().map(column).collect();
        let twice = (0..columns.len()).any(|i| columns[..i].iter().any(|before| before.name == columns[i].name));
        if twice {
            return Err(DataError::file(path, "has two columns of one name; rename one"));
        }
        Ok(Self { columns, wanted: RefCell::default(), file: Some(file), rows: None, count: 0 })
    }

    /// The columns' names, in order.
    pub(super) fn names(&self) -> Vec<Vec<u8>> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    /// Marks a column as one to read.
    ///
    /// # Errors
    /// A column that is no single cell a row; says what it is.
    pub(super) fn want(&self, at: usize) -> Result<(), &'static str> {
        let kind = &self.columns[at].kind;
        let info = kind.get_basic_info();
        if !kind.is_primitive() || repeated(kind) {
            return Err("is nested (a list, a map or a group); make a column of each part");
        }
        if info.converted_type() == ConvertedType::INTERVAL {
            return Err("is of intervals; make a column of days");
        }
        self.wanted.borrow_mut().insert(at);
        Ok(())
    }

    /// Reads the next row, the columns that nobody looked for empty; gives its number from 1, or `None` at the end.
    pub(super) fn next(&mut self, path: &Path, out: &mut ByteRecord) -> Result<Option<u64>, DataError> {
        let wanted: Vec<usize> = self.wanted.get_mut().iter().copied().collect();
        if let Some(file) = self.file.take() {
            self.rows = Some(rows(file, &self.columns, &wanted).ok_or_else(|| broken(path))?);
        }
        let rows = self.rows.as_mut().ok_or_else(|| broken(path))?;
        let Some(row) = whole(|| rows.next().transpose()).ok_or_else(|| broken(path))? else { return Ok(None) };
        let mut cells = row.into_columns().into_iter();
        out.clear();
        for (at, column) in self.columns.iter().enumerate() {
            match wanted.binary_search(&at) {
                Ok(_) => out.push_field(&text(cells.next().map(|(_, cell)| cell), &column.kind)),
                Err(_) => out.push_field(b""),
            }
        }
        self.count += 1;
        Ok(Some(self.count))
    }
}

/// Rows of the wanted columns.
fn rows(file: SerializedFileReader<Bytes>, columns: &[Column], wanted: &[usize]) -> Option<RowIter<'static>> {
    let kinds = wanted.iter().map(|at| columns[*at].kind.clone()).collect();
    let name = file.metadata().file_metadata().schema().name().to_owned();
    whole(|| {
        let part = Type::group_type_builder(&name).with_fields(kinds).build()?;
        RowIter::from_file_into(Box::new(file)).project(Some(part))
    })
}

/// What the library makes of a file; nothing where it gives up: on some damaged files it panics, which fuzzing shows.
fn whole<T>(read: impl FnOnce() -> ::parquet::errors::Result<T>) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()?.ok()
}

fn broken(path: &Path) -> DataError {
    let problem = "is not a whole Parquet file (truncated, damaged, encrypted, or packed by another codec than Snappy, gzip or \
                   Zstandard); write it again";
    DataError::file(path, problem)
}

fn repeated(kind: &Type) -> bool {
    let info = kind.get_basic_info();
    info.has_repetition() && info.repetition() == ::parquet::basic::Repetition::REPEATED
}

/// A cell as text.
fn text(cell: Option<Field>, kind: &Type) -> Vec<u8> {
    let logical = kind.get_basic_info().logical_type_ref();
    let nanoseconds = matches!(logical, Some(LogicalType::Timestamp(time)) if time.unit == TimeUnit::NANOS);
    match cell {
        None | Some(Field::Null) => Vec::new(),
        // pandas' way to say that a number is missing.
        Some(Field::Float(x)) if x.is_nan() => Vec::new(),
        Some(Field::Double(x)) if x.is_nan() => Vec::new(),
        Some(Field::Str(text)) => text.into_bytes(),
        Some(Field::Bytes(bytes)) => bytes.data().to_vec(),
        Some(Field::Float(x)) => x.to_string().into_bytes(),
        Some(Field::Double(x)) => x.to_string().into_bytes(),
        Some(Field::Date(days)) => day(days.into()),
        Some(Field::TimestampMillis(time)) => day(time.div_euclid(1000 * DAY)),
        Some(Field::TimestampMicros(time)) => day(time.div_euclid(1_000_000 * DAY)),
        Some(Field::Long(time)) if nanoseconds => day(time.div_euclid(1_000_000_000 * DAY)),
        Some(Field::TimeMillis(time)) => time.to_string().into_bytes(),
        Some(Field::TimeMicros(time)) => time.to_string().into_bytes(),
        // Booleans, whole numbers, decimals.
        Some(other) => other.to_string().into_bytes(),
    }
}

/// Year-month-day of a number of days since 1970-01-01. Hinnant's `civil_from_days`: years that begin in March, in eras of 400.
fn day(since_1970: i64) -> Vec<u8> {
    let days = since_1970 + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let of_year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day = of_era - (365 * of_year + of_year / 4 - of_year / 100);
    let from_march = (5 * day + 2) / 153;
    let (month, day) =
        (if from_march < 10 { from_march + 3 } else { from_march - 9 }, day - (153 * from_march + 2) / 5 + 1);
    let year = 400 * era + of_year + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::super::date::Day;

    #[test]
    fn days_are_written_as_they_are_read() {
        for number in (-700_000..2_900_000).step_by(37) {
            let text = String::from_utf8(super::day(number)).unwrap();
            assert_eq!(Day::read(&text).map(Day::number), Some(number as f64), "{text}");
        }
    }
}
