//! The points of a run's curves, kept and written as they come.
use super::RunError;
use crate::report::{self, Point};
use std::{
    io,
    path::{Path, PathBuf},
};

/// The points of `metrics.jsonl`, written as they come.
pub(super) struct Points {
    pub(super) all: Vec<Point>,
    file: Option<(PathBuf, std::fs::File)>,
}

impl Points {
    /// Goes on after `all`.
    pub(super) fn new(folder: Option<&Path>, all: Vec<Point>) -> Result<Self, RunError> {
        let open = |folder: &Path| {
            let path = folder.join("metrics.jsonl");
            let lines: Result<String, _> = all.iter().map(Point::to_line).collect();
            let written =
                lines.map_err(io::Error::from).and_then(|text| report::write_atomically(&path, text.as_bytes()));
            let file = written.and_then(|()| std::fs::OpenOptions::new().append(true).open(&path));
            file.map(|file| (path.clone(), file)).map_err(|source| RunError::Write { path, source })
        };
        let file = folder.map(open).transpose()?;
        Ok(Points { all, file })
    }

    pub(super) fn push(&mut self, point: Point) -> Result<(), RunError> {
        if let Some((path, file)) = &mut self.file {
            let written =
                point.to_line().map_err(io::Error::from).and_then(|line| io::Write::write_all(file, line.as_bytes()));
            written.map_err(|source| RunError::Write { path: path.clone(), source })?;
        }
        self.all.push(point);
        Ok(())
    }
}
