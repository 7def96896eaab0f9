//! Which pictures there are, and what they are of: by the folders that they lie in, or by a table.
use super::{
    super::{
        encode::{Answers, cell},
        file,
        table::{Layout, Table},
    },
    DataError, Images, Targets, folder,
};
use ::csv::ByteRecord;
use std::path::{Path, PathBuf};

/// Pictures to be read, in order.
pub(super) struct List {
    /// Their paths.
    pub pictures: Vec<PathBuf>,
    /// What they are of.
    pub targets: Targets,
    /// How a message tells them.
    pub place: Place,
}

/// How a message tells a picture, whose name is private.
pub(super) enum Place {
    /// By its number in the order of names below a folder.
    Folder(PathBuf),
    /// By the lines of a table and the column of paths.
    Table { path: PathBuf, column: String, lines: Vec<u64> },
    /// By its own name: a picture that was asked about.
    Itself,
}

impl Place {
    /// The error of the picture at this place of the list.
    pub(super) fn error(&self, at: usize, picture: &Path, problem: String) -> DataError {
        match self {
            Self::Itself => DataError::file(picture, problem),
            Self::Table { path, column, lines } => {
                let problem = format!("the picture {problem}");
                DataError::Cell { path: path.clone(), line: lines[at], column: column.clone(), problem }
            }
            Self::Folder(folder) => {
                let n = at + 1;
                let find = format!("find -L . -type f ! -path '*/.*' | LC_ALL=C sort | sed -n {n}p");
                DataError::file(
                    folder,
                    format!("picture {n} in the order of names {problem} (which it is: `{find}` there)"),
                )
            }
        }
    }
}

impl Images {
    /// The pictures below the folder `name`, or in the table of that name, with what they are of.
    pub(super) fn list(&self, root: &Path, name: &Path) -> Result<List, DataError> {
        if self.path.is_some() {
            return self.table(root, &file::find(root, name)?, true);
        }
        let below = root.join(name);
        if !below.is_dir() {
            return Err(match below.exists() {
                true => DataError::file(&below, "is no folder; for a table of paths name its column, `path = \"...\"`"),
                false => DataError::Missing { path: below },
            });
        }
        let pictures = folder::list(&below)?;
        let labels = pictures.iter().map(|picture| self.class(&below, picture)).collect::<Result<_, _>>()?;
        let targets = Targets::Classes { labels, names: self.classes.clone().into() };
        Ok(List { pictures, targets, place: Place::Folder(below) })
    }

    /// The class that a picture's folder names.
    fn class(&self, below: &Path, picture: &Path) -> Result<u32, DataError> {
        let bad = |problem: String| DataError::file(below, problem);
        let mut parts = picture.strip_prefix(below).unwrap_or(picture).components();
        let (class, rest) = (parts.next(), parts.next());
        if rest.is_none() {
            return Err(bad("holds a file beside the folders of the classes; move it away".into()));
        }
        let named = |name: &String| class.is_some_and(|class| class.as_os_str() == name.as_str());
        let other = || {
            let classes = self.classes.join(", ");
            bad(format!(
                "holds a folder that is none of the declared classes ({classes}); extend `classes`, or move it away"
            ))
        };
        self.classes.iter().position(named).map(|class| class as u32).ok_or_else(other)
    }

    /// The pictures that a table names. `answered` says whether the target's column is read.
    pub(super) fn table(&self, root: &Path, path: &Path, answered: bool) -> Result<List, DataError> {
        let bytes = file::read(path)?;
        let layout = Layout::declared(&self.delimiter, self.quoting, self.header, &self.columns)?;
        let mut table = Table::open(path, &bytes, &layout)?;
        let column = self.path.clone().unwrap_or_default();
        let at = table.find(&column)?;
        let target = self.target.as_ref().filter(|_| answered);
        let mut answers = target.map(|target| Answers::new(target, &table)).transpose()?;
        let from = match &self.images {
            Some(images) => root.join(images),
            None => path.parent().unwrap_or(Path::new("")).to_owned(),
        };
        let (mut row, mut pictures, mut lines) = (ByteRecord::new(), Vec::new(), Vec::new());
        while let Some(line) = table.next(&mut row)? {
            let bad = |column: &str, problem: String| table.bad(line, column, problem);
            let name = std::str::from_utf8(cell(&row, at)).ok().filter(|name| !name.is_empty());
            let name = name.ok_or_else(|| bad(&column, "the cell holds no path; mend or drop the row".into()))?;
            if let Some(answers) = &mut answers {
                answers.row(&row).map_err(|problem| bad(problem.column, problem.text))?;
            }
            pictures.push(from.join(name));
            lines.push(line);
        }
        let targets = answers.map_or_else(|| self.made_up(pictures.len()), Answers::finish);
        Ok(List { pictures, targets, place: Place::Table { path: path.to_owned(), column, lines } })
    }
}
