//! The files below a folder, in the order of their names.
use super::DataError;
use std::path::{Path, PathBuf};

/// Folders in folders; deeper is a link that leads back.
const DEEPEST: usize = 32;

/// All files below `folder`, links followed, in the byte order of their paths; what is hidden (begins with a dot) is left out.
///
/// # Errors
/// A folder that cannot be read, nests without end, or holds no files.
pub(super) fn list(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut files = Vec::new();
    let kind = |e: std::io::Error| DataError::Unreadable { path: folder.to_owned(), kind: e.kind() };
    if !walk(folder, DEEPEST, &mut files).map_err(kind)? {
        return Err(DataError::file(folder, "holds folders in folders without end; remove the link that leads back"));
    }
    if files.is_empty() {
        return Err(DataError::file(folder, "holds no pictures"));
    }
    // By bytes and not by parts: as `sort` does, by which a message says how to find a picture.
    files.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
    Ok(files)
}

/// Whether all was seen: not if it lies deeper than `depth`.
fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        // Follows links, also ones that lead nowhere: reading those says so.
        if !path.is_dir() {
            files.push(path);
        } else if depth == 0 || !walk(&path, depth - 1, files)? {
            return Ok(false);
        }
    }
    Ok(true)
}
