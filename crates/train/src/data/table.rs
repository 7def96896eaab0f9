//! Rows of a table, delimited text or Parquet, with their numbers for messages and no word of their content.
#[cfg(feature = "parquet")]
mod parquet;

use super::error::DataError;
use ::csv::{ByteRecord, Reader, ReaderBuilder};
use std::path::Path;

/// How a text file is laid out; public.
pub(super) struct Layout<'a> {
    /// Between fields; one ASCII character.
    pub delimiter: u8,
    /// Whether double quotes enclose fields.
    pub quoting: bool,
    /// The columns' names; `None` when the file's first row has them.
    pub columns: Option<&'a [String]>,
}

impl<'a> Layout<'a> {
    /// The layout that the keys of a declaration describe, if they go together.
    ///
    /// # Errors
    /// A delimiter that is none, and names of columns where they do not belong, are missing or come twice.
    pub(super) fn declared(
        delimiter: &str,
        quoting: bool,
        header: bool,
        columns: &'a [String],
    ) -> Result<Self, DataError> {
        let &[delimiter] = delimiter.as_bytes() else {
            return Err(DataError::config("delimiter", "must be one ASCII character, such as \",\" or \"\\t\""));
        };
        if matches!(delimiter, b'"' | b'\r' | b'\n') {
            return Err(DataError::config("delimiter", "cannot be a quote or a line end"));
        }
        let twice = (0..columns.len()).any(|i| columns[..i].contains(&columns[i]));
        let problem = match (header, columns.is_empty()) {
            (true, false) => "is for files without a header row: remove it, or set `header = false`",
            (false, true) => "must list all columns in order, as `header = false` says that the file has no names",
            _ if twice => "lists one name twice",
            _ => return Ok(Layout { delimiter, quoting, columns: (!header).then_some(columns) }),
        };
        Err(DataError::config("columns", problem))
    }
}

/// A table being read.
pub(super) struct Table<'a> {
    path: &'a Path,
    columns: Vec<Vec<u8>>,
    rows: Rows<'a>,
}

/// Where rows come from.
enum Rows<'a> {
    Text {
        bytes: &'a [u8],
        reader: Reader<&'a [u8]>,
    },
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::Records>),
}

impl<'a> Table<'a> {
    /// Starts on the unpacked content of a file: Parquet by its first bytes, or else text, whose header is taken off if it has one.
    pub(super) fn open(path: &'a Path, bytes: &'a [u8], layout: &Layout) -> Result<Self, DataError> {
        #[cfg(feature = "parquet")]
        if bytes.starts_with(parquet::MAGIC) {
            let records = parquet::Records::open(path, bytes)?;
            return Ok(Self { path, columns: records.names(), rows: Rows::Parquet(Box::new(records)) });
        }
        #[cfg(not(feature = "parquet"))]
        if bytes.starts_with(b"PAR1") {
            let problem = "is a Parquet file, which this build does not read; build one that does with `cargo build --release \
                           --features parquet`";
            return Err(DataError::file(path, problem));
        }
        Self::text(path, bytes, layout)
    }

    fn text(path: &'a Path, bytes: &'a [u8], layout: &Layout) -> Result<Self, DataError> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let reader = ReaderBuilder::new()
            .delimiter(layout.delimiter)
            .quoting(layout.quoting)
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes);
        let mut table = Self { path, columns: Vec::new(), rows: Rows::Text { bytes, reader } };
        table.columns = match layout.columns {
            Some(names) => names.iter().map(|name| name.trim_ascii().as_bytes().to_vec()).collect(),
            None => table.header()?,
        };
        Ok(table)
    }

    fn header(&mut self) -> Result<Vec<Vec<u8>>, DataError> {
        let mut first = ByteRecord::new();
        if self.read(&mut first)?.is_none() {
            return Err(DataError::file(self.path, "is empty: a header row and rows of data are expected"));
        }
        let columns: Vec<Vec<u8>> = first.iter().map(|cell| cell.trim_ascii().to_vec()).collect();
        let twice = (0..columns.len()).find_map(|i| Some((columns[..i].iter().position(|c| *c == columns[i])?, i)));
        let Some((one, two)) = twice else { return Ok(columns) };
        let problem = format!(
            "fields {} and {} of the header row are the same; rename one, or set `header = false` and list `columns`",
            one + 1,
            two + 1
        );
        Err(DataError::line(self.path, 1, problem))
    }

    /// The place of a declared column.
    pub(super) fn find(&self, column: &str) -> Result<usize, DataError> {
        let name = column.trim_ascii().as_bytes();
        let at = self.columns.iter().position(|c| c == name).ok_or_else(|| {
            // Told of the header alone: that the declared name is there, in other letters.
            let near = match self.columns.iter().any(|c| c.eq_ignore_ascii_case(name)) {
                true => " (but one that differs in capitals)",
                false => "",
            };
            let problem = format!(
                "has no column `{column}`{near}; correct the declared name, check `delimiter`, or set `header = false` \
                 and list `columns` if the file has no header row"
            );
            DataError::file(self.path, problem)
        })?;
        #[cfg(feature = "parquet")]
        if let Rows::Parquet(records) = &self.rows {
            records.want(at).map_err(|what| DataError::file(self.path, format!("column `{column}` {what}")))?;
        }
        Ok(at)
    }

    /// A problem of one cell of the row whose number [`next`](Self::next) gave.
    pub(super) fn bad(&self, line: u64, column: &str, problem: impl Into<String>) -> DataError {
        let (path, column, problem) = (self.path.to_owned(), column.to_owned(), problem.into());
        match self.rows {
            Rows::Text { .. } => DataError::Cell { path, line, column, problem },
            #[cfg(feature = "parquet")]
            Rows::Parquet(_) => DataError::Row { path, row: line, column, problem },
        }
    }

    /// Reads the next row; gives the line on which it begins (its number, in a file without lines), or `None` at the end.
    ///
    /// # Errors
    /// A row with more or fewer fields than there are columns.
    pub(super) fn next(&mut self, row: &mut ByteRecord) -> Result<Option<u64>, DataError> {
        let Some(line) = self.read(row)? else { return Ok(None) };
        let expected = self.columns.len();
        if row.len() == expected {
            return Ok(Some(line));
        }
        let many = if row.len() < expected { "few" } else { "many" };
        let problem = format!("too {many} fields ({expected} columns are expected); check `delimiter` and quotes");
        Err(DataError::line(self.path, line, problem))
    }

    fn read(&mut self, row: &mut ByteRecord) -> Result<Option<u64>, DataError> {
        match &mut self.rows {
            Rows::Text { bytes, reader } => {
                let more = reader.read_byte_record(row);
                let more = more.map_err(|_| DataError::file(self.path, "is not delimited text; check the file"))?;
                Ok(more.then(|| line(bytes, row)))
            }
            #[cfg(feature = "parquet")]
            Rows::Parquet(records) => records.next(self.path, row),
        }
    }
}

/// The line of `row`: the reader's own count stops before blank lines, so those are added.
fn line(bytes: &[u8], row: &ByteRecord) -> u64 {
    let Some(at) = row.position() else { return 0 };
    let from = usize::try_from(at.byte()).unwrap_or(usize::MAX).min(bytes.len());
    let blank = bytes[from..].iter().take_while(|b| matches!(b, b'\r' | b'\n'));
    at.line() + blank.filter(|b| **b == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8], columns: Option<&[String]>) -> Result<Vec<u64>, String> {
        let layout = Layout { delimiter: b',', quoting: true, columns };
        let mut table = Table::open(Path::new("t.csv"), text, &layout).map_err(|e| e.to_string())?;
        let (mut row, mut lines) = (ByteRecord::new(), Vec::new());
        while let Some(line) = table.next(&mut row).map_err(|e| e.to_string())? {
            lines.push(line);
        }
        Ok(lines)
    }

    #[test]
    fn lines_count_blank_lines_and_quoted_breaks() {
        assert_eq!(lines(b"\xef\xbb\xbfa,b\n1,2\n\n\n3,4\n\"x\ny\",5\n6,7", None), Ok(vec![2, 5, 6, 8]));
        assert_eq!(lines(b"a,b\r\n1,2\r\n\r\n3,4\r\n", None), Ok(vec![2, 4]));
        let columns = ["a".to_owned(), "b".to_owned()];
        assert_eq!(lines(b"\n1,2\n3,4\n", Some(&columns)), Ok(vec![2, 3]));
        assert_eq!(lines(b"", Some(&columns)), Ok(vec![]));
    }

    #[test]
    fn ragged_rows_and_bad_headers_are_named() {
        let error = lines(b"a,b\n1,2\n1,canary,3\n", None).unwrap_err();
        assert!(error.contains("t.csv, line 3: too many") && !error.contains("canary"), "{error}");
        assert!(lines(b"a,b\n1\n", None).unwrap_err().contains("line 2: too few"));
        let layout = Layout { delimiter: b',', quoting: true, columns: None };
        let table = Table::open(Path::new("t.csv"), b"Age,b\n", &layout).unwrap();
        let missing = |name| table.find(name).unwrap_err().to_string();
        assert!(missing("age").contains("no column `age` (but one that differs in capitals)"), "{}", missing("age"));
        assert!(missing("c").contains("no column `c`; correct"), "{}", missing("c"));
        assert!(lines(b"\n\n", None).unwrap_err().contains("is empty"));
        let error = lines(b"canary,b,canary\n", None).unwrap_err();
        assert!(error.contains("fields 1 and 3") && !error.contains("canary"), "{error}");
    }
}
