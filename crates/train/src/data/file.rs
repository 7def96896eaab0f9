//! Reading a data file whole: plain, gzip (`.gz`) or xz (`.xz`).
//!
//! The container is recognised by its first bytes, not by the name. A path that does not exist is also tried with
//! `.gz` and `.xz` behind it, so one configuration serves packed and unpacked copies.

use super::error::DataError;
use std::{
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

const GZIP: &[u8] = &[0x1f, 0x8b];
const XZ: &[u8] = &[0xfd, b'7', b'z', b'X', b'Z', 0];

/// The file that `name` means: relative names start from `root`; `.gz` and `.xz` are tried after the bare name.
pub(crate) fn find(root: &Path, name: &Path) -> Result<PathBuf, DataError> {
    let path = root.join(name);
    let packed = ["", ".gz", ".xz"].map(|end| {
        let mut name = path.clone().into_os_string();
        name.push(end);
        PathBuf::from(name)
    });
    packed.into_iter().find(|p| p.is_file()).ok_or(DataError::Missing { path })
}

/// The unpacked content of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = std::fs::read(path).map_err(|e| match e.kind() {
        ErrorKind::NotFound => DataError::Missing { path: path.to_owned() },
        kind => DataError::Unreadable { path: path.to_owned(), kind },
    })?;
    unpack(path, bytes)
}

/// `bytes`, unpacked if they are gzip or xz. `path` is for the message.
pub(super) fn unpack(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, DataError> {
    let broken = |container| {
        let problem = format!("is not a whole {container} file (truncated or damaged); fetch or pack it again");
        DataError::file(path, problem)
    };
    if bytes.starts_with(GZIP) {
        let mut out = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_end(&mut out).map_err(|_| broken("gzip"))?;
        return Ok(out);
    }
    if bytes.starts_with(XZ) {
        let mut out = Vec::new();
        lzma_rs::xz_decompress(&mut &bytes[..], &mut out).map_err(|_| broken("xz"))?;
        return Ok(out);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut pack = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        pack.write_all(bytes).unwrap();
        pack.finish().unwrap()
    }

    #[test]
    fn plain_gzip_and_xz_read_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let mut xz = Vec::new();
        lzma_rs::xz_compress(&mut &b"1,2\n"[..], &mut xz).unwrap();
        for (name, bytes) in [("a", b"1,2\n".to_vec()), ("b.gz", gz(b"1,2\n")), ("c.xz", xz)] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
            let bare = Path::new(name.split('.').next().unwrap());
            let path = find(folder.path(), bare).unwrap();
            assert_eq!(path, folder.path().join(name));
            assert_eq!(read(&path).unwrap(), b"1,2\n");
        }
    }

    #[test]
    fn absent_and_damaged_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let absent = find(folder.path(), Path::new("none.csv")).unwrap_err().to_string();
        assert!(absent.contains("none.csv") && absent.contains("--data-dir"), "{absent}");
        assert!(matches!(read(&folder.path().join("none.csv")), Err(DataError::Missing { .. })));
        assert!(matches!(read(folder.path()), Err(DataError::Unreadable { .. })));
        let cut = gz(b"a secret");
        let cut = unpack(Path::new("x.gz"), cut[..cut.len() - 9].to_vec()).unwrap_err().to_string();
        assert!(cut.contains("x.gz") && cut.contains("gzip") && !cut.contains("secret"), "{cut}");
        let xz = unpack(Path::new("x.xz"), [XZ, &[7; 40]].concat()).unwrap_err().to_string();
        assert!(xz.contains("whole xz"), "{xz}");
    }
}
