//! One array of an `.npy` file, or of an `.npz` archive of them (NumPy's format, versions 1 to 3).
//!
//! By hand: after a short text header an array is its numbers, and the libraries for it bring a parser of Python's literals.
use super::super::{DataError, file};
use std::{
    io::{Cursor, Read},
    path::Path,
};

const MAGIC: &[u8] = b"\x93NUMPY";
const ARCHIVE: &[u8] = b"PK\x03\x04";

/// Numbers in the order of C: the last axis runs fastest.
pub(super) struct Array {
    /// Sizes, at least one; the first counts rows.
    pub shape: Vec<usize>,
    kind: Kind,
    big: bool,
    bytes: Vec<u8>,
}

/// How one number is stored.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bool,
    Unsigned(usize),
    Signed(usize),
    Float(usize),
}

impl Kind {
    /// Bytes a number.
    fn size(self) -> usize {
        match self {
            Kind::Bool => 1,
            Kind::Unsigned(size) | Kind::Signed(size) | Kind::Float(size) => size,
        }
    }
}

/// Whether the file is an archive of arrays, by its first bytes.
pub(super) fn is_archive(path: &Path) -> bool {
    let mut first = [0; 4];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok() && first == *ARCHIVE
}

impl Array {
    /// The array in a file, or the one called `name` (as the key `data.<key>` says) in an archive.
    ///
    /// # Errors
    /// A file that is neither, ends too soon, or holds something else than numbers.
    pub(super) fn read(path: &Path, name: &str, key: &str) -> Result<Self, DataError> {
        let bytes = file::read(path)?;
        let bytes = if bytes.starts_with(ARCHIVE) { entry(path, bytes, name, key)? } else { bytes };
        Self::parse(bytes).map_err(|problem| DataError::file(path, problem))
    }

    /// The array in the bytes of an `.npy` file.
    pub(super) fn parse(mut bytes: Vec<u8>) -> Result<Self, String> {
        let Header { kind, big, fortran, shape, length } = Header::parse(&bytes)?;
        let promised = shape.iter().try_fold(kind.size(), |all, axis| all.checked_mul(*axis));
        match promised.map(|promised| (bytes.len() - length).cmp(&promised)) {
            Some(std::cmp::Ordering::Equal) => {}
            Some(std::cmp::Ordering::Greater) => {
                return Err("holds more bytes than its header promises; save it again".into());
            }
            _ => return Err("holds fewer bytes than its header promises (truncated?); fetch it again".into()),
        }
        if shape.is_empty() || shape.contains(&0) {
            return Err("holds no rows of numbers".into());
        }
        bytes.drain(..length);
        let bytes = if fortran && shape.len() > 1 { rows_first(&bytes, &shape, kind.size()) } else { bytes };
        Ok(Self { shape, kind, big, bytes })
    }

    /// Numbers there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.kind.size()
    }

    /// The number at this place.
    ///
    /// # Panics
    /// Beyond the last.
    pub(super) fn number(&self, at: usize) -> f64 {
        let size = self.kind.size();
        let bytes = &self.bytes[at * size..][..size];
        let mut word = [0; 8];
        match self.big {
            true => word.iter_mut().zip(bytes.iter().rev()).for_each(|(to, from)| *to = *from),
            false => word[..size].copy_from_slice(bytes),
        }
        let bits = u64::from_le_bytes(word);
        match self.kind {
            Kind::Bool => f64::from(u8::from(bits != 0)),
            Kind::Unsigned(_) => bits as f64,
            // The sign is spread by going up and down again.
            Kind::Signed(_) => (((bits << (64 - 8 * size)) as i64) >> (64 - 8 * size)) as f64,
            Kind::Float(2) => half(bits as u16),
            Kind::Float(4) => f64::from(f32::from_bits(bits as u32)),
            Kind::Float(_) => f64::from_bits(bits),
        }
    }

    /// The numbers themselves, where they are unsigned bytes; or the array as it was.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Self> {
        if self.kind == Kind::Unsigned(1) { Ok(self.bytes) } else { Err(self) }
    }
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// What stands before the numbers.
struct Header {
    kind: Kind,
    big: bool,
    fortran: bool,
    shape: Vec<usize>,
    /// Bytes up to the numbers.
    length: usize,
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let damaged = || "ends within its header, or has none that NumPy writes; save it again".to_owned();
        if !bytes.starts_with(MAGIC) {
            return Err("is no NumPy array (wrong first bytes); save it with `numpy.save` or `numpy.savez`".into());
        }
        // Version 1 has a length of two bytes, later ones of four.
        let (from, size) = match bytes.get(6..12) {
            Some(&[1, _, a, b, ..]) => (10, usize::from(u16::from_le_bytes([a, b]))),
            Some(&[2 | 3, _, a, b, c, d]) => (12, u32::from_le_bytes([a, b, c, d]) as usize),
            _ => return Err(damaged()),
        };
        let length = from + size;
        let text = bytes.get(from..length).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(damaged)?;
        let value = |key: &str| {
            let (_, rest) = text.split_once(&format!("'{key}'"))?;
            rest.trim_start().strip_prefix(':').map(str::trim_start)
        };
        let (kind, big) = kind(value("descr").ok_or_else(damaged)?)?;
        let fortran = value("fortran_order").ok_or_else(damaged)?.starts_with("True");
        let sizes = value("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')')).ok_or_else(damaged)?.0;
        let sizes = sizes.split(',').map(str::trim).filter(|size| !size.is_empty()).map(str::parse::<usize>);
        let shape = sizes.collect::<Result<Vec<_>, _>>().map_err(|_| damaged())?;
        Ok(Self { kind, big, fortran, shape, length })
    }
}

/// The kind of number that a header's `descr` names, and whether its high byte comes first.
fn kind(descr: &str) -> Result<(Kind, bool), String> {
    let descr = descr.strip_prefix('\'').and_then(|rest| rest.split_once('\'')).map(|(name, _)| name);
    let (order, name) = descr.and_then(|name| name.split_at_checked(1)).unwrap_or_default();
    let kind = match name {
        "b1" => Kind::Bool,
        "u1" | "u2" | "u4" | "u8" => Kind::Unsigned(digit(name)),
        "i1" | "i2" | "i4" | "i8" => Kind::Signed(digit(name)),
        "f2" | "f4" | "f8" => Kind::Float(digit(name)),
        _ => {
            let problem = "does not hold plain numbers (booleans, integers, floats of up to 64 bits); save it with `.astype(\"float32\")`";
            return Err(problem.into());
        }
    };
    Ok((kind, order == ">"))
}

fn digit(name: &str) -> usize {
    usize::from(name.as_bytes()[1] - b'0')
}

/// Numbers whose first axis runs fastest (Fortran's order), with the last one running fastest.
fn rows_first(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let steps: Vec<usize> = shape.iter().scan(size, |step, axis| Some(std::mem::replace(step, *step * axis))).collect();
    let mut out = Vec::with_capacity(bytes.len());
    let (mut place, mut from) = (vec![0; shape.len()], 0);
    while out.len() < bytes.len() {
        out.extend_from_slice(&bytes[from..from + size]);
        for axis in (0..shape.len()).rev() {
            (place[axis], from) = (place[axis] + 1, from + steps[axis]);
            if place[axis] < shape[axis] {
                break;
            }
            from -= place[axis] * steps[axis];
            place[axis] = 0;
        }
    }
    out
}

/// The array `name` of an archive, as the bytes of an `.npy` file.
fn entry(path: &Path, archive: Vec<u8>, name: &str, key: &str) -> Result<Vec<u8>, DataError> {
    let broken =
        || DataError::file(path, "is not a whole archive of arrays (truncated or damaged); save or fetch it again");
    let mut archive = zip::ZipArchive::new(Cursor::new(archive)).map_err(|_| broken())?;
    let entry = archive.by_name(&format!("{name}.npy")).map_err(|e| match e {
        zip::result::ZipError::FileNotFound => DataError::file(
            path,
            format!("has no array `{name}`; name it with `data.{key}`, as in `numpy.savez(file, {name}=...)`"),
        ),
        _ => broken(),
    })?;
    // No more is unpacked than the archive says, and memory grows as bytes come.
    let (mut bytes, size) = (Vec::new(), entry.size());
    entry.take(size).read_to_end(&mut bytes).map_err(|_| broken())?;
    Ok(bytes)
}
