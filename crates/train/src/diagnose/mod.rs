//! See the geometry: what clipping does to the gradients of a model, measured, drawn, and said in words.
//!
//! Everything here reads raw gradients, losses or curvature, and none of it is private. [`source`] decides whose gradients
//! may be looked at: public examples, or private ones at infinite cost in the ledger. A [`Scan`] takes what all diagnostics
//! share in two passes that never hold more than one chunk of examples; a [`Diagnostic`] turns it into a [`Finding`];
//! `page` prints them.
//!
//! A new diagnostic is one file here and one line in the list below.
//!
//! Sources: Chen, Wu, Hong 2020 (arXiv 2006.15429) for symmetry and disparity; the others are named in their files.
#[cfg(test)]
mod by_hand;
pub mod clipped;
mod live;
mod origin;
mod page;
mod ruled;
mod scan;
mod scene;
pub mod source;
pub mod statistics;
#[cfg(test)]
mod tests;
mod visit;

use crate::report::{Table, plot::Picture};
pub use live::Live;
pub use origin::Origin;
pub use page::html;
pub use scan::{Directions, Scan, Threshold};
pub(crate) use scene::at;
pub use scene::{Scene, Setting};
use serde::Serialize;
pub(crate) use visit::FILES;
pub use visit::{Ask, DiagnoseError, Diagnosis, Visit, diagnose};

/// What a diagnostic found at one point of training.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Its name in the list.
    pub name: &'static str,
    /// Every number, for `diagnose.json`. What is not finite is `null`.
    pub numbers: serde_json::Value,
    /// What the numbers mean, in plain sentences; the first may stand alone.
    pub words: Vec<String>,
    /// What to look at.
    #[serde(skip)]
    pub pictures: Vec<Picture>,
    /// What to read off, where a chart would not do; its numbers are among the others.
    #[serde(skip)]
    pub table: Option<Table>,
}

/// A way of looking at gradients, losses or curvature.
pub trait Diagnostic: Sync {
    /// Its heading on the page.
    fn heading(&self) -> &'static str;
    /// What it found; nothing where it does not apply (calibration without classes, say).
    fn find(&self, scene: &Scene, scan: &Scan) -> Option<Finding>;
    /// Whether it needs many passes over the examples, and is run only when asked for.
    fn dear(&self) -> bool {
        false
    }
}

/// One entry of the list.
#[derive(Clone, Copy)]
pub struct Entry {
    /// The word that picks it.
    pub name: &'static str,
    /// What it shows, in a line.
    pub summary: &'static str,
    /// The diagnostic.
    pub diagnostic: &'static dyn Diagnostic,
}

macro_rules! diagnostics {
    ($($file:ident :: $Type:ident = $name:literal, $summary:literal;)*) => {
        $(pub mod $file;)*

        /// All diagnostics, in the order of the page.
        pub const ALL: &[Entry] = &[$(Entry { name: $name, summary: $summary, diagnostic: &$file::$Type }),*];
    };
}

diagnostics! {
    norms::Norms = "norms", "how long gradients are, whole and by layer, and how many are clipped";
    angle::Angle = "angle", "where single gradients and the clipped mean point, against the true mean";
    step::Step = "step", "one released step taken apart: signal, clipping bias, sampling, noise; and the best threshold";
    bias::Bias = "bias", "the disparity of Chen et al. 2020, and the terms of their bound";
    symmetry::Symmetry = "symmetry", "random projections beside their point reflections, skewness, a test of symmetry";
    batch::Batch = "batch", "variance of the gradient against the batch size, and the gradient noise scale";
    tail::Tail = "tail", "how heavy the tails of gradient noise are, before and after clipping";
    calibration::Calibration = "calibration", "whether confidence is earned: reliability diagram, ECE";
    interpolation::Interpolation = "interpolation", "the loss on the line between two checkpoints";
    hessian::Hessian = "hessian", "the largest curvatures, and how much of signal, bias and noise lies along them";
}
