//! Where NVIDIA's libraries are: beside the system's, in the folders of the PyPI wheels, or where
//! `SECATEUR_CUDA_LIBRARIES` says.
//!
//! A library that was opened by its path is found again by its name, so opening it here is all that cudarc needs.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use libloading::Library;

/// Folders to look in before the system's, separated as in `PATH`.
const VARIABLE: &str = "SECATEUR_CUDA_LIBRARIES";

/// Libraries stay open until the process ends.
static OPEN: Mutex<Vec<(&'static str, bool)>> = Mutex::new(Vec::new());

/// Whether the library of this stem (`nvrtc`, `cublas`, ...) could be opened.
pub(crate) fn open(stem: &'static str) -> bool {
    let mut open = OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some((_, found)) = open.iter().find(|(known, _)| *known == stem) {
        return *found;
    }
    let found = find(stem);
    open.push((stem, found));
    found
}

fn find(stem: &str) -> bool {
    let prefix = format!("lib{stem}.so");
    let mut candidates: Vec<PathBuf> = folders().iter().flat_map(|folder| files(folder, &prefix)).collect();
    candidates.extend(["", ".13", ".12", ".9", ".2", ".1"].map(|end| PathBuf::from(format!("{prefix}{end}"))));
    candidates.into_iter().any(|path| {
        // SAFETY: these are NVIDIA's libraries, whose initialisers have no preconditions.
        let library = unsafe { Library::new(&path) };
        library.map(std::mem::forget).is_ok()
    })
}

/// Files of `folder` that are versions of a library, longest name last.
fn files(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect();
    names.sort();
    names
}

/// Where to look: the variable, the toolkit, and the wheels of the Python that is active or on the path.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::env::var_os(VARIABLE).map(|list| std::env::split_paths(&list).collect()).unwrap_or_default();
    let toolkits = ["CUDA_HOME", "CUDA_PATH"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    folders.extend(toolkits.chain([PathBuf::from("/usr/local/cuda")]).map(|root| root.join("lib64")));
    let pythons = ["VIRTUAL_ENV", "CONDA_PREFIX"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    for root in pythons.chain(["/usr/local", "/usr"].map(PathBuf::from)) {
        folders.extend(wheels(&root));
    }
    folders
}

/// `lib/python3.x/{site,dist}-packages/nvidia/*/lib`.
fn wheels(root: &Path) -> Vec<PathBuf> {
    let below = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found = Vec::new();
    for python in below(root.join("lib")).filter(|path| path.to_string_lossy().contains("python3")) {
        for packages in ["site-packages", "dist-packages"] {
            found.extend(below(python.join(packages).join("nvidia")).map(|package| package.join("lib")));
        }
    }
    found
}
