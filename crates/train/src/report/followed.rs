//! What was followed along training: curves of a report, and one line of `followed.jsonl` for each time that was looked.
//!
//! A run that is looked at (`--diagnose-every`) leaves the file in its folder, and whoever writes the report again, after a
//! private look or when the run goes on, draws from it.

use super::{
    FileError, page,
    plot::{Axis, Layer, Mark, Picture},
    write_atomically,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, io, path::Path};

const FILE: &str = "followed.jsonl";

/// A curve: the number it follows, a title, what its axis shows, in which unit, and by which factor.
struct Curve(&'static str, &'static str, &'static str, &'static str, f64);

const CURVES: [Curve; 6] = [
    Curve("norms/share_clipped", "Share clipped", "examples clipped", "%", 100.0),
    Curve("angle/degrees", "Angle of the clipped mean", "angle", "degrees", 1.0),
    Curve("angle/share_positive", "Agreement", "positive cosine", "%", 100.0),
    Curve("symmetry/sliced_wasserstein/value", "Distance from symmetry", "distance", "std. dev.", 1.0),
    Curve("bias/relative", "Disparity", "b, relative", "%", 100.0),
    Curve("step/parts/misdirection", "Signal lost in a step", "lost", "%", 100.0),
];

/// What was seen at one point of training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Glance {
    /// Steps made; none where that is not known.
    pub step: Option<u64>,
    /// What is followed and was found, by `DIAGNOSTIC/NUMBER`.
    pub numbers: BTreeMap<String, f64>,
}

impl Glance {
    /// A look at this step, whose numbers are those of `find` that are followed.
    pub(crate) fn new(step: Option<u64>, find: impl Fn(&str, &str) -> Option<f64>) -> Self {
        let number = |Curve(key, ..): &Curve| {
            let (diagnostic, _) = key.split_once('/')?;
            Some(((*key).to_owned(), find(diagnostic, &key[diagnostic.len()..])?))
        };
        Glance { step, numbers: CURVES.iter().filter_map(number).collect() }
    }
}

/// What was seen of the run in `folder` so far, in order of steps; nothing where nobody looked.
///
/// # Errors
/// When the file is there and cannot be read, or is not what a run writes.
pub(crate) fn looks(folder: &Path) -> Result<Vec<Glance>, FileError> {
    let path = folder.join(FILE);
    let read = || -> io::Result<Vec<Glance>> {
        match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            text => Ok(text?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?),
        }
    };
    read().map_err(FileError::at(&path))
}

/// Forgets what was seen after `step`, from which the run in `folder` goes on.
///
/// # Errors
/// As [`follow`]: before anything is trained, since the report cannot be written without the file.
pub(crate) fn rewind(folder: &Path, step: u64) -> Result<(), FileError> {
    let mut all = looks(folder)?;
    let before = all.len();
    all.retain(|look| look.step <= Some(step));
    if all.len() < before { put(folder, &all) } else { Ok(()) }
}

/// Adds a look to those of the run in `folder`; of two at one step, as when a run goes on from an earlier checkpoint, the later
/// one counts.
///
/// # Errors
/// When the file cannot be read or written; the one before then stays.
pub(crate) fn follow(folder: &Path, look: Glance) -> Result<(), FileError> {
    let mut all = looks(folder)?;
    all.retain(|earlier| earlier.step < look.step);
    all.push(look);
    put(folder, &all)
}

fn put(folder: &Path, all: &[Glance]) -> Result<(), FileError> {
    let path = folder.join(FILE);
    let lines = all.iter().map(|look| Ok(serde_json::to_string(look)? + "\n")).collect::<io::Result<String>>();
    lines.and_then(|text| write_atomically(&path, text.as_bytes())).map_err(FileError::at(&path))
}

/// The curves as a section of a page; nothing where there are not several points.
pub(crate) fn along(looks: &[Glance]) -> String {
    if looks.len() < 2 {
        return String::new();
    }
    let axis = Axis::new(if looks[0].step.is_some() { "step" } else { "checkpoint" }).whole();
    let curve = |Curve(key, title, label, unit, factor): &Curve| {
        let place = |k: usize, look: &Glance| look.step.map_or(k as f64, |step| step as f64);
        let points = looks.iter().enumerate().filter_map(|(k, l)| Some((place(k, l), factor * l.numbers.get(*key)?)));
        let points: Vec<_> = points.collect();
        (points.len() > 1).then(|| Picture {
            title: (*title).into(),
            x: axis.clone(),
            y: Axis::new(*label).unit(*unit).including(0.0),
            layers: vec![Layer::new(*label, Mark::Joined, 1, points)],
            marks: Vec::new(),
        })
    };
    let pictures: Vec<Picture> = CURVES.iter().filter_map(curve).collect();
    page::section("Along training", &page::figures(&pictures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(step: u64, degrees: f64) -> Glance {
        Glance::new(Some(step), |diagnostic, path| (diagnostic == "angle" && path == "/degrees").then_some(degrees))
    }

    #[test]
    fn looks_are_kept_and_a_run_that_goes_back_forgets_what_came_after() {
        let folder = tempfile::tempdir().unwrap();
        assert!(looks(folder.path()).unwrap().is_empty());
        for (step, degrees) in [(10, 3.0), (20, 4.0), (30, 5.0), (20, 6.0)] {
            follow(folder.path(), look(step, degrees)).unwrap();
        }
        assert_eq!(looks(folder.path()).unwrap(), [look(10, 3.0), look(20, 6.0)]);
        rewind(folder.path(), 20).unwrap();
        assert_eq!(looks(folder.path()).unwrap().len(), 2);
        rewind(folder.path(), 19).unwrap();
        assert_eq!(looks(folder.path()).unwrap(), [look(10, 3.0)]);
    }

    #[test]
    fn a_run_that_nobody_looked_at_gets_no_file() {
        let folder = tempfile::tempdir().unwrap();
        rewind(folder.path(), 0).unwrap();
        assert!(!folder.path().join(FILE).exists());
    }

    #[test]
    fn curves_need_two_points_and_a_broken_file_is_named() {
        assert_eq!((along(&[look(1, 2.0)]), along(&[])), (String::new(), String::new()));
        let section = along(&[look(1, 2.0), look(2, 3.0)]);
        assert!(section.contains("Angle of the clipped mean") && !section.contains("Share clipped"), "{section}");
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "{\"step\":").unwrap();
        let error = looks(folder.path()).unwrap_err();
        assert!(error.to_string().contains(FILE), "{error}");
        assert_eq!(rewind(folder.path(), 1).unwrap_err().to_string(), error.to_string());
    }
}
