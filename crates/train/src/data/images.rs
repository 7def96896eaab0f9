//! Pictures as they lie on disk: PNG and JPEG files in a folder, by class or by a table.
//!
//! ```toml
//! [data]
//! source = "images"
//! train = "scans/train"           # private: one folder below it for each class
//! test = "scans/test"             # declared public
//! examples = 8000
//! classes = ["benign", "malignant"]
//! size = 64                       # or [height, width]: public, every picture is brought to it
//! channels = "grey"
//! ```
//!
//! or, where a table says which picture is what (relative paths start from `images`, or else from the table's folder):
//!
//! ```toml
//! train = "train.csv"
//! path = "file"                   # the column with the pictures' paths
//! target = { name = "bone age", range = [0, 228] }
//! ```
//!
//! A picture is decoded to 8 bits a channel, turned as its EXIF orientation says, scaled and cut, and kept as bytes; `mean` and `std`
//! are public constants. What cannot be read whole is an error, and nothing is left out but hidden files.
//!
//! # Why this is private
//! *Claim.* One picture becomes one example, which depends on that picture, its row and the declaration alone; no message holds a
//! picture's name, its folder or its pixels.
//! *Argument.* Size, channels, window, `mean`, `std` and classes are declared; each file is decoded and fitted by itself. Folders are
//! labels and file names may be people's: messages tell a picture by its place in the order of names, with the command that finds it.
//! *Tests.* `tests::a_picture_depends_on_itself`, `tests::no_message_names_a_picture`.
mod decode;
mod fit;
mod folder;
mod list;

use super::{DataError, Examples, Loaded, Promise, Source, Targets, examples::check_scale, schema::Target};
use fit::Fitting;
use list::{List, Place};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Where pictures are, what they are of, and the public form that all are brought to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// The private pictures: a folder with one folder for each class, or a table of paths.
    pub train: PathBuf,
    /// The like, declared public, to measure on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The public number of training pictures.
    pub examples: usize,
    /// The public classes, in order: the folders' names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// The column of paths, where `train` is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The folder that a table's paths start from, if it is not the table's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// What to predict, where `train` is a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Between fields: one ASCII character.
    #[serde(default = "super::csv::comma")]
    pub delimiter: String,
    /// Whether double quotes enclose fields.
    #[serde(default = "super::schema::yes")]
    pub quoting: bool,
    /// Whether the first row names the columns.
    #[serde(default = "super::schema::yes")]
    pub header: bool,
    /// The columns' names in order, for files without a header row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// Pixels of an example: one number, or `[height, width]`.
    pub size: Size,
    /// How a picture of another size is brought to it.
    #[serde(default)]
    pub fit: Fit,
    /// With `fit = "crop"`: what the shorter side is scaled to before the middle is cut out; by default the picture just covers `size`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Grey or coloured.
    #[serde(default)]
    pub channels: Channels,
    /// The values of 16-bit pictures that become black and white.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<[u16; 2]>,
    /// Public: taken off pixels, which first become 0 to 1; one number, or one a channel.
    #[serde(default = "half")]
    pub mean: Vec<f64>,
    /// Public: pixels less `mean` are divided by this.
    #[serde(default = "quarter")]
    pub std: Vec<f64>,
}

/// Pixels of an example.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a number of pixels, or [height, width]")]
pub enum Size {
    /// As high as wide.
    Square(usize),
    /// Height and width.
    Sides([usize; 2]),
}

/// How a picture is brought to the declared size. Scaling is bilinear with the filter's support grown to the scale (antialiased).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fit {
    /// Scaled, sides in proportion, until it covers the size; the middle is cut out.
    #[default]
    Crop,
    /// Scaled to the size, whatever its proportions.
    Stretch,
    /// Not at all: another size is an error.
    Exact,
}

/// Colours of an example.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// One channel: luma by ITU-R BT.601.
    Grey,
    /// Red, green and blue; of grey pictures three times the same.
    #[default]
    Rgb,
}

impl Channels {
    fn count(self) -> usize {
        match self {
            Self::Grey => 1,
            Self::Rgb => 3,
        }
    }
}

/// Round constants that owe nothing to any picture.
fn half() -> Vec<f64> {
    vec![0.5]
}

fn quarter() -> Vec<f64> {
    vec![0.25]
}

/// The widest side of an example.
const WIDEST: usize = 8192;

impl Source for Images {
    fn declared(&self) -> usize {
        self.examples
    }

    fn private_files(&self) -> Vec<&Path> {
        std::iter::once(&self.train).chain(&self.images).map(PathBuf::as_path).collect()
    }

    fn load(&self, root: &Path) -> Result<Loaded, DataError> {
        self.check()?;
        let read = |name: &PathBuf| self.examples(self.list(root, name)?);
        let train = read(&self.train)?;
        Loaded::new(train, self.test.as_ref().map(read).transpose()?, self.examples)
    }

    /// A folder of pictures, whatever is its order below; a picture; or a table of paths.
    fn ask(&self, root: &Path, path: &Path) -> Result<Examples, DataError> {
        self.check()?;
        let (pictures, place) = match &self.path {
            _ if path.is_dir() => (folder::list(path)?, Place::Folder(path.to_owned())),
            _ if decode::is_picture(path) => (vec![path.to_owned()], Place::Itself),
            Some(_) => {
                let table = self.table(root, path, false)?;
                (table.pictures, table.place)
            }
            None => return Err(DataError::file(path, "is neither a folder of pictures nor a PNG or JPEG file")),
        };
        let targets = self.made_up(pictures.len());
        self.examples(List { pictures, targets, place })
    }

    fn answer(&self, output: f64) -> f64 {
        self.target.as_ref().map_or(output, |target| target.answer(output))
    }

    fn names(&self, path: &Path) -> Result<Vec<String>, DataError> {
        let pictures = if path.is_dir() { folder::list(path)? } else { Vec::new() };
        let name = |picture: &PathBuf| picture.strip_prefix(path).unwrap_or(picture).to_string_lossy().into_owned();
        Ok(pictures.iter().map(name).collect())
    }

    fn promise(&self) -> Promise {
        let person = "Each picture of the training data is one person; somebody with k pictures is protected k times less (as a group).";
        Promise { assumptions: vec![person.into()], ..Promise::default() }
    }
}

impl Images {
    fn size(&self) -> [usize; 2] {
        match self.size {
            Size::Square(side) => [side, side],
            Size::Sides(sides) => sides,
        }
    }

    fn shape(&self) -> [usize; 3] {
        let [height, width] = self.size();
        [self.channels.count(), height, width]
    }

    fn check(&self) -> Result<(), DataError> {
        let [height, width] = self.size();
        let problem = match self {
            _ if [height, width].iter().any(|side| !(1..=WIDEST).contains(side)) => {
                ("size", "must be from 1 to 8192 pixels a side")
            }
            Images { resize: Some(_), fit: Fit::Stretch | Fit::Exact, .. } => ("resize", "is for `fit = \"crop\"`"),
            Images { resize: Some(side), .. } if *side < height.max(width) || *side > WIDEST => {
                ("resize", "must be at least the longer side of `size`, and up to 8192")
            }
            Images { window: Some([black, white]), .. } if black >= white => {
                ("window", "must be two values from 0 to 65535, black first, such as [0, 4095]")
            }
            Images { path: None, target: Some(_), .. } => {
                ("target", "is for a table of paths, whose column `path` names; the folders of pictures are `classes`")
            }
            Images { path: None, images: Some(_), .. } => {
                ("images", "is for a table of paths, whose column `path` names")
            }
            Images { path: Some(_), target: None, .. } => {
                ("target", "must say what to predict, as `path` says that `train` is a table")
            }
            Images { path: Some(_), .. } if !self.classes.is_empty() => {
                ("classes", "are for folders of pictures: a table's stand in `target`")
            }
            _ => return self.check_answers(),
        };
        Err(DataError::config(problem.0, problem.1))
    }

    fn check_answers(&self) -> Result<(), DataError> {
        check_scale(&self.shape(), &self.mean, &self.std)?;
        let Some(target) = &self.target else {
            let classes = Target { name: String::new(), classes: self.classes.clone(), range: None, scale: [0.0, 1.0] };
            let without = "must list the folders' names (a table of paths instead: `path` names its column)";
            let problem = |problem| if self.classes.is_empty() { without.to_owned() } else { problem };
            return super::schema::check_target(&classes)
                .map_err(|text| DataError::config("classes", problem(text.replace("`classes` ", ""))));
        };
        if Some(&target.name) == self.path.as_ref() {
            return Err(DataError::config("target", "is the column of paths"));
        }
        super::schema::check_target(target).map_err(|problem| DataError::config("target", problem))
    }

    fn made_up(&self, n: usize) -> Targets {
        match &self.target {
            Some(target) => target.made_up(n),
            None => Targets::Classes { labels: vec![0; n], names: self.classes.clone().into() },
        }
    }

    /// Reads the pictures, side by side.
    fn examples(&self, list: List) -> Result<Examples, DataError> {
        let shape = self.shape();
        let each: usize = shape.iter().product();
        let mut data: Vec<u8> = Vec::new();
        let total = each.checked_mul(list.pictures.len()).filter(|total| data.try_reserve_exact(*total).is_ok());
        let too_many = || DataError::config("size", "is too large for so many pictures: they do not fit in memory");
        data.resize(total.ok_or_else(too_many)?, 0);
        let fitting = Fitting { size: self.size(), fit: self.fit, resize: self.resize, channels: self.channels };
        let read = |(at, (picture, out)): (usize, (&PathBuf, &mut [u8]))| {
            let one = read(picture, self.window, &fitting, out);
            one.err().map(|problem| list.place.error(at, picture, problem))
        };
        let all = list.pictures.par_iter().zip(data.par_chunks_exact_mut(each)).enumerate();
        match all.filter_map(read).find_first(|_| true) {
            Some(error) => Err(error),
            None => Examples::from_bytes(data, shape.to_vec(), list.targets, &self.mean, &self.std),
        }
    }
}

/// One picture, plane by plane.
fn read(path: &Path, window: Option<[u16; 2]>, fitting: &Fitting, out: &mut [u8]) -> Result<(), String> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            "is not there; correct its path, or the folder that paths start from".to_owned()
        }
        kind => format!("cannot be read ({kind}); check its permissions"),
    })?;
    fitting.put(&decode::decode(&bytes, window)?, out)
}

#[cfg(test)]
mod tests;
